//! Segments got before recovery asks for them.
//!
//! PostgreSQL asks for one file at a time and replays it before it asks for the next. So the first `fetch` starts a
//! process that outlives it and keeps the next few in a folder beside pg_wal's segments ([`prefetcher`]). It is a
//! convenience: what it cannot get is left for the call that wants it, which then reports what is wrong.

mod prefetcher;

use super::destination::Destination;
use super::system_identifier;
use crate::{cli, data_dir};
pub(crate) use prefetcher::get_ahead;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use toban_core::wal::WalName;
use toban_core::{Context, Result, durable};

/// The folder, beside the segments.
const FOLDER: &str = "toban-ahead";
/// The file in it that names the segment handed over last, and the size of segments.
const HANDED: &str = "handed";
const LOCK: &str = "lock";
/// How long a call waits for a segment that is on its way.
const COMING_LIMIT: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(2);

fn folder_beside(path: &Path) -> PathBuf {
    path.parent().unwrap_or(Path::new(".")).join(FOLDER)
}

/// Hands over what was got ahead, if it is there and whole.
///
/// Its SHA-256 was compared when it was unpacked, and recovery, which waits for us, has no time for another sum (3 ms for
/// 16 MiB, as much as all the rest): a file that is as it was left is whole. Without a running process that keeps the
/// folder nothing in it is trusted: it may have been read back from a disk since.
///
/// # Errors
/// When it cannot be moved.
pub(super) fn take_kept(to: &Destination) -> Result<bool> {
    let folder = folder_beside(&to.path);
    let until = Instant::now() + COMING_LIMIT;
    while is_kept(&folder) {
        // Asked first: what comes between the two looks is seen by the second.
        let comes = coming_path(&folder, to.name).exists();
        if let Some((path, stamp)) = find_kept(&folder, to.name) {
            if Stamp::read(&path).is_ok_and(|now| now == stamp) && to.check_content(&path).is_ok() {
                let doing = || format!("put {} into its place", to.name);
                return fs::rename(&path, &to.path).doing(doing).map(|()| true);
            }
            // It was changed since: the repository has it whole.
            let _ = fs::remove_file(&path);
        }
        if !comes || Instant::now() > until {
            return Ok(false);
        }
        std::thread::sleep(POLL);
    }
    Ok(false)
}

/// Whether a process holds the lock of the folder, and so keeps it.
fn is_kept(folder: &Path) -> bool {
    folder.exists() && durable::Lock::take(&folder.join(LOCK), "get ahead").is_err()
}

/// What changes when a file is written to or replaced.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    /// Nanoseconds.
    written: i128,
}

impl Stamp {
    fn read(path: &Path) -> Result<Stamp> {
        let meta = fs::metadata(path).doing(|| format!("look at {}", path.display()))?;
        let written = i128::from(meta.mtime()) * 1_000_000_000 + i128::from(meta.mtime_nsec());
        Ok(Stamp { inode: meta.ino(), written })
    }

    fn parse(text: &str) -> Option<Stamp> {
        let (inode, written) = text.split_once('-')?;
        Some(Stamp { inode: inode.parse().ok()?, written: written.parse().ok()? })
    }
}

/// `<name>-<inode>-<written>`: complete and durable when it has this name.
fn find_kept(folder: &Path, name: WalName) -> Option<(PathBuf, Stamp)> {
    let begins = format!("{name}-");
    fs::read_dir(folder).ok()?.flatten().find_map(|e| {
        let file = e.file_name().into_string().ok()?;
        Some((e.path(), Stamp::parse(file.strip_prefix(&begins)?)?))
    })
}

fn kept_path(folder: &Path, name: WalName, stamp: Stamp) -> PathBuf {
    folder.join(format!("{name}-{}-{}", stamp.inode, stamp.written))
}

fn coming_path(folder: &Path, name: WalName) -> PathBuf {
    folder.join(format!("{name}.coming"))
}

/// Writes down that `name` was handed over, and starts the process that gets what comes next where none runs.
///
/// # Errors
/// None: a convenience that is missing is logged.
pub(super) fn ensure_started(args: &cli::Fetch, name: WalName) -> Result<()> {
    if args.ahead == 0 || !matches!(name, WalName::Segment(..)) {
        return Ok(());
    }
    if let Err(e) = note_and_start(args, name) {
        log::debug!("nothing is got ahead: {}", e.chain());
    }
    Ok(())
}

fn note_and_start(args: &cli::Fetch, name: WalName) -> Result<()> {
    let folder = folder_beside(&args.path);
    fs::create_dir_all(&folder).doing(|| format!("create {}", folder.display()))?;
    let size = data_dir::check_segment_file(&args.path, name, Some(system_identifier(args)?))?.segment_size;
    overwrite(&folder.join(HANDED), &format!("{name} {size}"))?;
    if durable::Lock::take(&folder.join(LOCK), "get ahead").is_err() {
        return Ok(());
    }
    let program = std::env::current_exe().doing(|| "find this program".into())?;
    let mut command = Command::new(program);
    command.args(std::env::args_os().skip(1).map(|a| if a == "fetch" { "get-ahead".into() } else { a }));
    // A process group of its own: the postmaster signals the whole group of the process that runs us (postmaster.c,
    // signal_child), and this one is to stay.
    command.process_group(0).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().map(drop).doing(|| "start a process that gets ahead".into())
}

/// Writes over what is there, which has the same length: ext4 brings a file that was emptied and closed to the disk at
/// once.
fn overwrite(path: &Path, text: &str) -> Result<()> {
    let doing = || format!("write {}", path.display());
    let mut file = OpenOptions::new().create(true).truncate(false).write(true).open(path).doing(doing)?;
    file.write_all(text.as_bytes()).doing(doing)
}
