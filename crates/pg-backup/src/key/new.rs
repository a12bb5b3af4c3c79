//! `key new`: an identity, and what to write on paper.

use crate::cli::KeyNew;
use std::fs::{File, OpenOptions};
use std::io::{Write, stderr, stdout};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use toban_core::age::NewIdentity;
use toban_core::{Context, Error, Result, durable};

const PAPER: &str = "\
Write on paper, and keep it where the server is not:
  the line AGE-SECRET-KEY-1...   opens every backup; without it nobody ever reads them again
  the line age1...               the recipient: into recipients_file of the server
Read it back from the paper with `pg-backup key test --identity FILE` before you rely on it.
";

/// Makes an identity.
pub(super) fn make_identity(args: &KeyNew) -> Result<()> {
    let identity = NewIdentity::random();
    match &args.here {
        Some(path) => write_file(path, &identity)?,
        None => print(&identity)?,
    }
    let recipient = format!("Recipient: {}\n", identity.recipient);
    stderr().write_all((PAPER.to_string() + &recipient).as_bytes()).doing(|| "write to stderr".into())
}

/// A terminal and a pipe keep nothing; a file would.
fn print(identity: &NewIdentity) -> Result<()> {
    let mut stdout = stdout().lock();
    let meta = rustix::fs::fstat(stdout.as_fd()).map_err(std::io::Error::from);
    let kind = rustix::fs::FileType::from_raw_mode(meta.doing(|| "look at stdout".into())?.st_mode);
    if kind == rustix::fs::FileType::RegularFile {
        let e = Error::usage("stdout is a file: the identity would stay on this machine");
        return Err(e.hint("pipe it to another machine, or say where it lies with --here FILE"));
    }
    stdout.write_all(identity.to_file().reveal().as_bytes()).doing(|| "write to stdout".into())
}

fn write_file(path: &Path, identity: &NewIdentity) -> Result<()> {
    let doing = || format!("write {}", path.display());
    // Never in the place of another: that one may be the only key to what is stored.
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).doing(doing)?;
    // On the disk before the recipient is printed: what is encrypted to it from now on nothing else opens.
    let write = |mut file: File| file.write_all(identity.to_file().reveal().as_bytes()).and(file.sync_all());
    write(file).doing(doing)?;
    durable::sync_dir(durable::folder_of(path))
}
