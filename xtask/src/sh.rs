//! Running programs, and saying what went wrong.

use std::fmt::{self, Display};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Any result of a task.
pub type Result<T, E = Failure> = std::result::Result<T, E>;

/// Why a task ended: one or more lines for a person.
#[derive(Debug)]
pub struct Failure(String);

impl Failure {
    /// `message` says all.
    pub fn new(message: impl Into<String>) -> Failure {
        Failure(message.into())
    }
}

impl Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Says what was being done when a call failed.
pub(crate) trait Context<T> {
    fn doing(self, doing: impl FnOnce() -> String) -> Result<T>;
}

impl<T, E: Display> Context<T> for std::result::Result<T, E> {
    fn doing(self, doing: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|e| Failure(format!("{}: {e}", doing())))
    }
}

/// The repository's folder.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the repository").to_path_buf()
}

/// The cargo that runs us, in the repository.
pub(crate) fn cargo(args: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(args).current_dir(root());
    command
}

/// Where cargo puts what it builds.
pub(crate) fn target_dir() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), |d| root().join(d))
}

/// Runs to the end with our terminal, after showing the command.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    println!("$ {}", shown(command));
    quietly(command)
}

/// Runs to the end with our terminal.
pub(crate) fn quietly(command: &mut Command) -> Result<()> {
    let status = command.status().doing(|| format!("run {}", shown(command)))?;
    if status.success() {
        return Ok(());
    }
    Err(Failure(format!("{}: {status}", shown(command))))
}

/// What the program wrote to stdout; its stderr is part of the failure.
pub(crate) fn read(command: &mut Command) -> Result<String> {
    let out = command.stdin(Stdio::null()).output().doing(|| format!("run {}", shown(command)))?;
    if out.status.success() {
        return String::from_utf8(out.stdout).doing(|| format!("read the output of {}", shown(command)));
    }
    let said = String::from_utf8_lossy(&out.stderr);
    Err(Failure(format!("{}: {}\n{}", shown(command), out.status, said.trim_end())))
}

/// Whether the program runs and ends with 0.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|s| s.success())
}

/// The command as one would type it.
pub(crate) fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let name = program.file_name().unwrap_or(program.as_os_str()).to_string_lossy().into_owned();
    let args = command.get_args().map(|a| quoted(&a.to_string_lossy()));
    std::iter::once(name).chain(args).collect::<Vec<_>>().join(" ")
}

fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+".contains(c);
    match !word.is_empty() && word.chars().all(plain) {
        true => word.to_string(),
        false => format!("'{}'", word.replace('\'', "'\\''")),
    }
}

/// The program of this name in a folder of PATH.
pub(crate) fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(name)).find(|p| p.is_file())
}

/// Our user id is root's.
pub(crate) fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").is_ok_and(|m| m.uid() == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_shown_as_one_would_type_it() {
        let mut command = Command::new("/usr/bin/psql");
        command.args(["-c", "select 'a'", "-X"]);
        assert_eq!(shown(&command), r"psql -c 'select '\''a'\''' -X");
    }

    #[test]
    fn a_failure_names_the_command_and_what_it_said() {
        let e = read(Command::new("sh").args(["-c", "echo no such thing >&2; exit 3"]))
            .expect_err("it ends with 3");
        let text = e.to_string();
        assert!(text.contains("exit status: 3") && text.contains("no such thing"), "{text}");
    }
}
