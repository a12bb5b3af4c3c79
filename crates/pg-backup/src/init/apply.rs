//! Carries a plan out, step by step.

use super::plan::{Action, Plan, StepState};
use std::process::{Command, Stdio};
use toban_core::{Context, Error, Out, Result, durable, shutdown};

/// Carries out what is needed; each step is printed when it is done.
///
/// # Errors
/// The first step that fails: those before it are done, and a later run goes on from there.
pub(super) fn carry_out(plan: &Plan, out: &mut Out<'_>) -> Result<()> {
    for (n, step) in plan.steps.iter().enumerate().filter(|(_, s)| s.state == StepState::Needed) {
        shutdown::check()?;
        let doing = || format!("step {}: {}", n + 1, step.what);
        let again = "correct that and run init again: it goes on from here";
        match &step.action {
            Action::ByHand(_) => {}
            Action::Write { path, content } => {
                write_new(path, content).doing(doing).map_err(|e| e.hint(again))?;
            }
            Action::Run(words) => run_words(words).doing(doing).map_err(|e| e.hint(again))?,
        }
        out.emit(&step.tell(n + 1, true))?;
    }
    Ok(())
}

/// Writes a file that was not there when the plan was made; one that came since stays.
fn write_new(path: &std::path::Path, content: &str) -> Result<()> {
    let folder = durable::folder_of(path);
    if !folder.is_dir() {
        durable::create_dirs(folder)?;
        durable::set_mode(folder, 0o755)?;
    }
    // Looked at once more: the plan may be minutes old, and a file that somebody wrote since is not ours to replace.
    if path.exists() {
        return Err(Error::failed(format!("{} is there now", path.display())));
    }
    durable::replace(path, 0o644, |w| w.write_all(content.as_bytes()).doing(|| "write".into()))
}

/// What it says goes to stderr: stdout is for records.
fn run_words(words: &[String]) -> Result<()> {
    let [program, rest @ ..] = words else { return Ok(()) };
    let mut command = Command::new(program);
    command.args(rest).current_dir("/").stdin(Stdio::null()).stdout(Stdio::null());
    let status = command.status().doing(|| format!("start {program}"))?;
    match status.success() {
        true => Ok(()),
        false => Err(explain_unit(words).unwrap_or_else(|| format!("{program} ended with {status}"))),
    }
    .map_err(Error::failed)
}

/// What a unit that was started said at its end, by its journal; systemctl tells only where to look.
fn explain_unit(words: &[String]) -> Option<String> {
    let unit = words.last().filter(|_| words.starts_with(&["systemctl", "start"].map(String::from)))?;
    let mut journal = Command::new("journalctl");
    journal.args(["--quiet", "--no-pager", "--output=cat", "--lines=50", "--unit", unit]);
    find_reason(&String::from_utf8_lossy(&journal.output().ok()?.stdout))
        .map(|said| format!("{unit}: {said}"))
}

/// The last line of one of our tools that is neither a warning nor a hint.
fn find_reason(journal: &str) -> Option<String> {
    let own = |line: &&str| ["pg-backup: ", "pg-drill: "].iter().any(|tool| line.starts_with(tool));
    journal.lines().rev().filter(own).find(|line| !line.contains(": warning: ")).map(str::to_string)
}

#[cfg(test)]
mod tests {
    use super::find_reason;

    #[test]
    fn the_reason_of_a_unit_is_in_its_journal() {
        let journal = "Starting pg-backup-run@main.service - Backup of PostgreSQL cluster main...\npg-backup: old\n\
                       pg-backup: store x: No space left on device (os error 28)\nhint: free some space there\n\
                       pg-backup: warning: write runs: No space left\npg-backup-run@main.service: Failed with result 'exit-code'.\n";
        let reason = find_reason(journal);
        assert_eq!(reason.as_deref(), Some("pg-backup: store x: No space left on device (os error 28)"));
        assert_eq!(find_reason("Starting x\n"), None);
    }
}
