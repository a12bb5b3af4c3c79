//! The host that is looked at: its files, from a root folder on, and what its own programs say.
//!
//! Of a copy (`--root DIR`) no program is asked, as it would tell of this machine: what was captured there lies in
//! `DIR/programs`, under the names that an evidence pack gives it.

use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;
use toban_core::shutdown::Guarded;

/// How long a child program may take.
const DEADLINE: Duration = Duration::from_secs(10);
/// What is read of a file or of a program's output at most.
const MOST: u64 = 64 << 20;
/// Where programs are looked for, whatever the caller's environment says: we run as root.
const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";
/// Captured output in a copy.
const PROGRAMS: &str = "programs";

/// Something that could not be seen, why, and what would let us see it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Unseen {
    pub(crate) what: String,
    pub(crate) why: String,
    pub(crate) cure: String,
}

impl Unseen {
    /// `what` was not seen, because `why`.
    pub(crate) fn new(what: impl Into<String>, why: impl Into<String>) -> Unseen {
        Unseen { what: what.into(), why: why.into(), cure: "run it as root, or see the guide".into() }
    }

    /// The same with what would let us see it.
    pub(crate) fn cure(self, cure: &str) -> Unseen {
        Unseen { cure: cure.into(), ..self }
    }
}

/// What was looked at, or why not.
pub(crate) type Sight<T> = Result<T, Unseen>;

/// One question to a program of the host.
pub(crate) struct ProgramQuestion<'a> {
    /// Its name in packs and copies, as `nft-ruleset.json`.
    pub(crate) label: &'a str,
    pub(crate) command: &'a [&'a str],
    /// Exit statuses beside 0 that are an answer.
    pub(crate) also: &'a [i32],
}

/// A host, or a copy of one.
pub(crate) struct HostView {
    root: PathBuf,
    /// What programs said, for the evidence pack.
    raw: RefCell<BTreeMap<String, String>>,
}

impl HostView {
    /// The host whose files lie below `root`.
    pub(crate) fn new(root: &Path) -> HostView {
        HostView { root: root.into(), raw: RefCell::default() }
    }

    /// Whether it is the machine that we run on.
    pub(crate) fn is_live(&self) -> bool {
        self.root == Path::new("/")
    }

    /// Where a file of the host lies for us.
    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// What programs said in this run, by label.
    pub(crate) fn take_raw(&self) -> BTreeMap<String, String> {
        self.raw.take()
    }

    /// Leaves an answer out of the pack: it may hold secrets.
    pub(crate) fn forget_raw(&self, label: &str) {
        self.raw.borrow_mut().remove(label);
    }

    /// A file as text; bytes that are no UTF-8 become marks.
    pub(crate) fn read_text(&self, path: &str) -> Sight<String> {
        self.read_bytes(path).map(|b| String::from_utf8_lossy(&b).into_owned())
    }

    /// A file, if it is there.
    pub(crate) fn read_some(&self, path: &str) -> Sight<Option<String>> {
        match std::fs::symlink_metadata(self.path(path)) {
            Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
            _ => self.read_text(path).map(Some),
        }
    }

    /// A file as it is.
    pub(crate) fn read_bytes(&self, path: &str) -> Sight<Vec<u8>> {
        let mut bytes = Vec::new();
        let file = self.open_file(path)?;
        match file.take(MOST).read_to_end(&mut bytes) {
            Ok(_) => Ok(bytes),
            Err(e) => Err(Unseen::new(path, e.to_string())),
        }
    }

    /// A file, opened; never waits, as a pipe in the place of a file would have us do.
    pub(crate) fn open_file(&self, path: &str) -> Sight<File> {
        let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or(0);
        // A link that a user made in a home may lead to a device, and to open one as root may do something: /dev/watchdog
        // resets the machine, a tape is wound back.
        if self.is_live() && std::fs::metadata(self.path(path)).is_ok_and(|meta| !meta.is_file()) {
            return Err(Unseen::new(path, "it is no file"));
        }
        let opened = match self.is_live() {
            true => File::options().read(true).custom_flags(flags).open(self.path(path)),
            false => self.open_inside(path),
        };
        opened.map_err(|e| Unseen::new(path, e.to_string()))
    }

    /// Of a copy a link leads to the copy's own file, and never to one of this machine (openat2(2), RESOLVE_IN_ROOT).
    fn open_inside(&self, path: &str) -> std::io::Result<File> {
        let root = File::open(&self.root)?;
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let path = path.trim_start_matches('/');
        Ok(openat2(&root, path, flags, Mode::empty(), ResolveFlags::IN_ROOT)?.into())
    }

    /// The names in a folder, sorted; none when it is not there.
    pub(crate) fn list_names(&self, path: &str) -> Sight<Vec<String>> {
        let entries = match std::fs::read_dir(self.path(path)) {
            Ok(entries) => entries,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(Unseen::new(path, e.to_string())),
        };
        let mut names: Vec<String> =
            entries.filter_map(|e| Some(e.ok()?.file_name().to_string_lossy().into_owned())).collect();
        names.sort();
        Ok(names)
    }

    /// What a program of the host answers: standard output, and standard error after it.
    pub(crate) fn ask(&self, question: &ProgramQuestion<'_>) -> Sight<String> {
        let answer = match self.is_live() {
            true => run_program(question),
            false => self.read_text(&format!("{PROGRAMS}/{}", question.label)).map_err(|u| {
                Unseen::new(question.label, format!("not captured in this copy: {}", u.why))
                    .cure("capture it on the host, as a pack's raw folder has it")
            }),
        }?;
        self.raw.borrow_mut().insert(question.label.into(), answer.clone());
        Ok(answer)
    }
}

/// Runs it with a clean environment and a deadline; a child that hangs is killed.
fn run_program(question: &ProgramQuestion<'_>) -> Sight<String> {
    let (program, args) = question.command.split_first().unwrap_or((&"", &[]));
    let line = question.command.join(" ");
    let mut command = Command::new("/usr/bin/env");
    // By env(1), which looks along our PATH and not along the caller's.
    command.arg("-i").arg(format!("PATH={PATH}")).args(["LC_ALL=C", program]).args(args);
    let spawned = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = Guarded::new(spawned.map_err(|e| Unseen::new(&line, e.to_string()))?);
    let (sender, receiver) = mpsc::channel();
    let pipes = (child.child().stdout.take(), child.child().stderr.take());
    std::thread::spawn(move || {
        let errors = std::thread::spawn(move || read_pipe(pipes.1));
        let text = read_pipe(pipes.0);
        let _ = sender.send((text, errors.join().unwrap_or_default()));
    });
    let Ok((text, errors)) = receiver.recv_timeout(DEADLINE) else {
        return Err(Unseen::new(&line, format!("no answer within {} s", DEADLINE.as_secs())));
    };
    let status = child.child().wait().map_err(|e| Unseen::new(&line, e.to_string()))?;
    let said = errors.lines().next().unwrap_or("it did not say why").trim().to_string();
    match status.code() {
        Some(0) => Ok(text),
        Some(code) if question.also.contains(&code) => Ok(text + &errors),
        Some(127) => Err(Unseen::new(&line, format!("{program} is not installed"))),
        code => Err(Unseen::new(&line, format!("it ended with {}: {said}", code.unwrap_or(-1)))),
    }
}

fn read_pipe(pipe: Option<impl Read>) -> String {
    let mut bytes = Vec::new();
    let _ = pipe.map(|p| p.take(MOST).read_to_end(&mut bytes));
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Whether this process has the network and the files of the host itself and not of a namespace of its own.
pub(crate) fn find_own_namespace(host: &HostView, name: &str) -> Option<Unseen> {
    if !host.is_live() {
        return None;
    }
    let what = format!("the host's {name} namespace");
    let link = |pid: &str| std::fs::read_link(format!("/proc/{pid}/ns/{name}"));
    match (link("self"), link("1")) {
        (Ok(own), Ok(first)) if own == first => None,
        (Ok(_), Ok(_)) => Some(
            Unseen::new(what, "we run in a namespace of our own")
                .cure("run it on the host itself; a unit must not set PrivateNetwork="),
        ),
        (_, Err(e)) | (Err(e), _) => Some(
            Unseen::new(what, format!("whether it is ours is not known: {e}"))
                .cure("run it as root with CAP_SYS_PTRACE, outside of a container"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(command: &[&str], also: &[i32]) -> Sight<String> {
        HostView::new(Path::new("/")).ask(&ProgramQuestion { label: "x", command, also })
    }

    #[test]
    fn a_program_answers_or_says_why_not() {
        assert_eq!(ask(&["sh", "-c", "echo $LC_ALL$HOME"], &[]).as_deref(), Ok("C\n"));
        assert_eq!(ask(&["sh", "-c", "echo a; echo b >&2; exit 3"], &[3]).as_deref(), Ok("a\nb\n"));
        assert!(ask(&["sh", "-c", "echo no >&2; exit 3"], &[]).expect_err("3").why.ends_with("with 3: no"));
        assert!(ask(&["no-such-program"], &[]).expect_err("none").why.contains("not installed"));
    }

    #[test]
    fn a_copy_is_asked_nothing() {
        let dir = tempfile::tempdir().expect("tempdir");
        let host = HostView::new(dir.path());
        let question =
            ProgramQuestion { label: "nft-ruleset.json", command: &["sh", "-c", "echo live"], also: &[] };
        assert!(host.ask(&question).expect_err("nothing captured").why.starts_with("not captured"));
        std::fs::create_dir(dir.path().join(PROGRAMS)).expect("mkdir");
        std::fs::write(dir.path().join("programs/nft-ruleset.json"), "{}").expect("write");
        assert_eq!(host.ask(&question).as_deref(), Ok("{}"));
        assert_eq!(host.take_raw().len(), 1);
    }
}
