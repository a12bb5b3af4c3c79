//! PostgreSQL's programs as readers and writers: a child that fails is an error of the pipe, never a short end.

use std::io::{self, BufReader, Read, Write};
use std::process::{ChildStderr, ChildStdout, Command, ExitStatus, Stdio};
use std::thread::JoinHandle;
use toban_core::pg::Ident;
use toban_core::shutdown::{self, Guarded};
use toban_core::{Context, Error, Result};

/// What a child wrote to stderr decides, beside its status, whether its output can be trusted.
pub(crate) type Judge = fn(stderr: &str) -> Result<()>;

/// The stdout of a child. Its end is reached only when the child ended well; else the last read is an error.
pub(crate) struct Output {
    child: Guarded,
    stdout: ChildStdout,
    stderr: Option<JoinHandle<String>>,
    what: String,
    role: String,
    judge: Judge,
}

impl Output {
    /// Starts `command`, called `what` in errors.
    pub(crate) fn start(mut command: Command, what: &str, judge: Judge) -> Result<Output> {
        let role = role_of(&command);
        let mut child = spawn_child(command.stdin(Stdio::null()).stdout(Stdio::piped()), what)?;
        let stdout = child.child().stdout.take().expect("stdout is piped");
        let stderr = Some(read_stderr(&mut child));
        Ok(Output { child, stdout, stderr, what: what.to_string(), role, judge })
    }

    /// Reads to the end what must be short, as text.
    pub(crate) fn text(mut self) -> Result<String> {
        let mut text = String::new();
        let what = self.what.clone();
        self.read_to_string(&mut text).doing(|| format!("read from {what}"))?;
        Ok(text)
    }
}

impl Read for Output {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.stdout.read(buf)?;
        // The end of stdout proves nothing: the kernel closes it for a child that was killed, too. Only the child's own
        // status makes an end of it, and what it wrote to stderr.
        if n == 0 && !buf.is_empty() && self.stderr.is_some() {
            let stderr = self.stderr.take().map(join_stderr).unwrap_or_default();
            let status = self.child.child().wait()?;
            check_status(&self.what, status, &stderr, &self.role)?;
            (self.judge)(&stderr)?;
        }
        Ok(n)
    }
}

/// Runs `command` with `body` as its stdin, to the end.
///
/// # Errors
/// The body's own error first (the child is then killed); else what the child writes.
pub(crate) fn feed_child(mut command: Command, what: &str, mut body: impl Read) -> Result<()> {
    let role = role_of(&command);
    let mut child = spawn_child(command.stdin(Stdio::piped()).stdout(Stdio::null()), what)?;
    let stderr = read_stderr(&mut child);
    let mut stdin = child.child().stdin.take().expect("stdin is piped");
    let mut buf = vec![0; 256 * 1024];
    loop {
        shutdown::check()?;
        let n = body.read(&mut buf).doing(|| format!("read what goes to {what}"))?;
        // A child that went away says why on stderr.
        if n == 0 || stdin.write_all(&buf[..n]).is_err() {
            break;
        }
    }
    drop(stdin);
    let status = child.child().wait().doing(|| format!("wait for {what}"))?;
    check_status(what, status, &join_stderr(stderr), &role)
}

/// Runs `command` to the end; its stdout is not wanted.
pub(crate) fn run_child(command: Command, what: &str) -> Result<()> {
    feed_child(command, what, io::empty())
}

/// The role that the child connects as.
fn role_of(command: &Command) -> String {
    let user = command.get_envs().find(|(name, _)| *name == "PGUSER").and_then(|(_, value)| value);
    user.map(|u| u.to_string_lossy().into_owned()).unwrap_or_default()
}

fn spawn_child(command: &mut Command, what: &str) -> Result<Guarded> {
    shutdown::check()?;
    // Messages are read by us and by people who search for them: English.
    command.env_remove("LC_ALL").env_remove("LANGUAGE").env("LC_MESSAGES", "C").stderr(Stdio::piped());
    command.spawn().map(Guarded::new).doing(|| format!("start {what}"))
}

fn read_stderr(child: &mut Guarded) -> JoinHandle<String> {
    let stderr = child.child().stderr.take().expect("stderr is piped");
    // By a thread of its own: a child that fills the pipe of its stderr (64 KiB, pipe(7)) while we read its stdout would
    // wait for us, and we for it.
    std::thread::spawn(move || keep_ends(stderr))
}

/// The first and the last of what was written, however much that was.
fn keep_ends(stderr: ChildStderr) -> String {
    const MOST: usize = 64 * 1024;
    let mut reader = BufReader::new(stderr);
    let mut text = Vec::new();
    let mut buf = [0; 8192];
    while let Ok(n @ 1..) = reader.read(&mut buf) {
        text.extend_from_slice(&buf[..n]);
        if text.len() > 2 * MOST {
            text.drain(MOST..text.len() - MOST);
        }
    }
    String::from_utf8_lossy(&text).into_owned()
}

fn join_stderr(stderr: JoinHandle<String>) -> String {
    let text = stderr.join().unwrap_or_default();
    text.lines().for_each(|line| log::debug!("{line}"));
    text
}

fn check_status(what: &str, status: ExitStatus, stderr: &str, role: &str) -> Result<()> {
    if status.success() {
        return Ok(());
    }
    shutdown::check()?;
    let complaint = find_complaint(stderr);
    let text = if complaint.is_empty() {
        format!("{what} ended with {status}")
    } else {
        format!("{what}: {complaint}")
    };
    let e = Error::failed(text);
    Err(match find_cure(stderr, role) {
        Some(hint) => e.hint(hint),
        None => e,
    })
}

/// The line that says why: the first error, without the program's name before it.
fn find_complaint(stderr: &str) -> String {
    let is_error = |l: &&str| l.contains("error:") || l.contains("ERROR:") || l.contains("FATAL:");
    let any = |l: &&str| !l.contains("hint:") && !l.trim().is_empty();
    let line = stderr.lines().find(is_error).or_else(|| stderr.lines().find(any)).unwrap_or_default();
    let after = |marks: &[&str]| marks.iter().find_map(|m| line.split_once(m).map(|(_, rest)| rest.trim()));
    after(&["ERROR:", "FATAL:", "error:"]).unwrap_or(line.trim()).to_string()
}

/// What usually helps the role that was at work, by the server's own words.
pub(crate) fn find_cure(stderr: &str, role: &str) -> Option<String> {
    let cures = [
        (
            "pg_authid",
            "password hashes need a superuser or pg_read_all_data; --globals no-passwords leaves them out",
        ),
        (
            "permission denied for table",
            "a role that dumps must read everything: grant pg_read_all_data to ROLE",
        ),
        (
            "permission denied for",
            "the role lacks a privilege: grant pg_read_all_data to ROLE, or use the owner",
        ),
        ("row-level security", "give the dumping role BYPASSRLS, or dump as the owner or a superuser"),
        (
            "role \"",
            "the server lacks a role that the dump has: restore-dump --globals creates those that went with it",
        ),
        (
            "schema \"public\" already exists",
            "it was made with --schema=public: take plain SQL, or all schemas, or pg_restore by hand",
        ),
        ("extension \"", "install the package of that extension on this server first"),
        ("No space left on device", "free some space where the server keeps its data, then run this again"),
        ("invalid snapshot", "connect to the server itself, not through a pooler in transaction mode"),
    ];
    let (_, cure) = cures.iter().find(|(words, _)| stderr.contains(words))?;
    Some(cure.replace("ROLE", &Ident::new(role).to_string()))
}

/// A dump is trusted only when pg_dump had nothing to warn of but what is harmless to a restore into an empty
/// database: circular foreign keys.
pub(crate) fn no_skipped_objects(stderr: &str) -> Result<()> {
    let warns = |l: &&str| l.contains(": warning:") && !l.contains("circular foreign-key");
    match stderr.lines().find(warns) {
        Some(line) => {
            let e = Error::failed(format!("not everything was dumped: {}", line.trim()));
            Err(e.hint("repair what it names, then dump again"))
        }
        None => Ok(()),
    }
}

/// For children whose warnings do no harm.
pub(crate) fn any_warning(_stderr: &str) -> Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str) -> Command {
        let mut c = Command::new("sh");
        c.args(["-c", script]).env("PGUSER", "weak one");
        c
    }

    fn read(script: &str) -> Result<String> {
        Output::start(sh(script), "pg_dump", no_skipped_objects)?.text()
    }

    #[test]
    fn the_end_is_reached_only_by_a_child_that_ended_well() {
        assert_eq!(read("printf abc").expect("well"), "abc");
        let e = read(
            "printf abc; echo 'pg_dump: error: query failed: ERROR:  permission denied for table t' >&2; exit 1",
        );
        let e = e.unwrap_err();
        assert_eq!(e.chain(), "read from pg_dump: pg_dump: permission denied for table t");
        assert!(e.find_hint().is_some_and(|c| c.contains("grant pg_read_all_data to \"weak one\"")));
        assert!(read("printf abc; kill -9 $$").unwrap_err().chain().contains("signal: 9"));
    }

    #[test]
    fn a_warning_of_skipped_objects_is_a_failure() {
        let harmless =
            "echo 'pg_dump: warning: there are circular foreign-key constraints on this table:' >&2";
        read(harmless).expect("harmless");
        let e = read("echo 'pg_dump: warning: aggregate function f could not be dumped; ignored' >&2")
            .unwrap_err();
        assert!(e.chain().contains("not everything was dumped"), "{e:?}");
    }

    #[test]
    fn feeding_tells_the_childs_reason_or_the_bodys() {
        feed_child(sh("cat >/dev/null"), "psql", &b"x"[..]).expect("fed");
        let big = io::repeat(b'x').take(10 << 20);
        let e = feed_child(sh("echo 'ERROR:  no such table' >&2; exit 3"), "psql", big).unwrap_err();
        assert_eq!(e.chain(), "psql: no such table");
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(Error::corrupt("sum differs").into())
            }
        }
        let e = feed_child(sh("cat >/dev/null"), "psql", Broken).unwrap_err();
        assert_eq!(e.kind(), toban_core::Kind::Corrupt);
    }
}
