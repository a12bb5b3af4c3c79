//! How a run of a tool ended, and what a test expects of it.

use serde_json::Value;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

/// How a run of the tool ended.
#[derive(Debug)]
pub struct Ran {
    /// None: by a signal.
    pub status: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    /// Ended with 0 and said nothing on stderr; gives stdout.
    #[track_caller]
    pub fn fine(self) -> String {
        assert_eq!((self.status, self.stderr.as_str()), (Some(0), ""), "stdout: {}", self.stdout);
        self.stdout
    }

    /// Ended with `status` and a line on stderr that holds `words`; gives stderr.
    #[track_caller]
    pub fn refused(&self, status: i32, words: &str) -> String {
        assert_eq!(self.status, Some(status), "{self:?}");
        assert!(self.stderr.contains(words), "{words:?} is not in: {}", self.stderr);
        self.stderr.clone()
    }

    /// Ended with `status`, and `words` are on stdout or on stderr.
    #[track_caller]
    pub fn ended_with(&self, status: i32, words: &str) {
        let said = self.said();
        assert_eq!(self.status, Some(status), "{said}");
        assert!(said.contains(words), "{words:?} is not in: {said}");
    }

    /// All that it wrote: stdout, then stderr.
    pub fn said(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }

    /// Ended with `status` and one line on stderr beside its hints, which holds `words`.
    #[track_caller]
    pub fn refused_in_a_line(&self, status: i32, words: &str) {
        self.refused(status, words);
        let lines = self.stderr.lines().filter(|l| !l.starts_with("hint: ")).count();
        assert_eq!(lines, 1, "one line: {}", self.stderr);
    }

    /// Ended with `status`; gives the JSON records on stdout.
    #[track_caller]
    pub fn ended(&self, status: i32) -> Vec<Value> {
        assert_eq!(self.status, Some(status), "{self:?}");
        self.records()
    }

    /// The JSON records on stdout, however it ended.
    #[track_caller]
    pub fn records(&self) -> Vec<Value> {
        records(&self.stdout)
    }

    /// The JSON records on stdout of a run that was [`Ran::fine`].
    #[track_caller]
    pub fn json(self) -> Vec<Value> {
        records(&self.fine())
    }

    /// The JSON records on stdout of a check: it ended with 0, or with 4 for findings.
    #[track_caller]
    pub fn findings(self) -> Vec<Value> {
        assert!(matches!(self.status, Some(0 | 4)), "{self:?}");
        records(&self.stdout)
    }
}

impl From<Output> for Ran {
    fn from(done: Output) -> Ran {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ran { status: done.status.code(), stdout: text(&done.stdout), stderr: text(&done.stderr) }
    }
}

/// Runs a tool in `folder`, without input, to its end.
///
/// # Panics
/// When it does not start.
pub fn run_in(folder: &Path, mut tool: Command) -> Ran {
    Ran::from(tool.current_dir(folder).stdin(Stdio::null()).output().expect("run the tool"))
}

/// Waits for a started tool.
///
/// # Panics
/// When it cannot be waited for.
pub fn ended(child: Child) -> Ran {
    Ran::from(child.wait_with_output().expect("wait for the tool"))
}

fn records(lines: &str) -> Vec<Value> {
    lines.lines().map(|l| serde_json::from_str(l).expect("a JSON record")).collect()
}
