//! Whether the WAL is shipped, and whether `archive_command` says so truly. Pure.

use super::facts::ServerFacts;
use super::{finding, rulebook, set_command};
use toban_core::Severity;
use toban_core::check::{Finding, Rule};

/// Programs that copy a file, and neither sync it nor keep what is there.
const COPIERS: [&str; 9] = ["cp", "mv", "scp", "rsync", "dd", "cat", "gzip", "tee", "install"];

/// How the WAL leaves the server. That of a standby its primary archives, unless archive_mode is `always`.
pub(super) fn judge_archiving(server: &ServerFacts, cluster: &str) -> Vec<Finding> {
    let push =
        set_command("archive_command", &format!("/usr/bin/wal-shipper push --cluster {cluster} %p"), false);
    let stream = format!("systemctl enable --now wal-shipper-stream@{cluster}.service");
    match server.setting("archive_mode") {
        "off" if server.streamed || server.standby => Vec::new(),
        "off" => vec![finding(&rulebook::ARCHIVE_OFF, Severity::Warning, "archive_mode").advise(format!(
            "{stream}, which needs no restart; or: {push}, and {}",
            set_command("archive_mode", "on", true)
        ))],
        "on" if server.standby => Vec::new(),
        "on" | "always" => {
            judge_archiver(server).into_iter().map(|f| advise_push(f, &push, &stream)).collect()
        }
        // Not visible to the role: role-rights has it.
        _ => Vec::new(),
    }
}

/// With the cluster's own name in it.
fn advise_push(f: Finding, push: &str, stream: &str) -> Finding {
    match f.rule.id {
        "archive-elsewhere" => f.advise(format!("{stream}; or: {push}")),
        "archive-timeout" | "archive-command-program" => f,
        _ => f.advise(push),
    }
}

fn judge_archiver(server: &ServerFacts) -> Vec<Finding> {
    let command = server.setting("archive_command");
    let of =
        |rule: &'static Rule, severity, text: String| finding(rule, severity, "archive_command").says(text);
    if !server.setting("archive_library").is_empty() {
        let text = format!("archive_library {} archives", server.setting("archive_library"));
        return (!server.streamed)
            .then(|| of(&rulebook::ARCHIVE_ELSEWHERE, Severity::Warning, text))
            .into_iter()
            .collect();
    }
    if command.is_empty() || command == "(disabled)" {
        return vec![finding(&rulebook::ARCHIVE_EMPTY, Severity::Critical, "archive_command")];
    }
    let mut findings = Vec::new();
    if let Some(how) = find_hidden_status(command) {
        findings.push(of(&rulebook::ARCHIVE_STATUS, Severity::Critical, format!("{how}: {command}")));
    }
    if !command.contains("%p") {
        findings.push(of(&rulebook::ARCHIVE_PATH, Severity::Critical, format!("it has no %p: {command}")));
    }
    if server.data().and_then(|data| data.archive_program) == Some(false) {
        let text = format!("the first word is no program that can be run: {command}");
        findings.push(of(&rulebook::ARCHIVE_PROGRAM, Severity::Critical, text));
    }
    // The command should refuse to overwrite a file that is there (manual, "Setting Up WAL Archiving"). And once it
    // has said yes the server removes its own: a copy that is not synced is then lost by a power cut.
    let copies = list_programs(command).into_iter().find(|program| COPIERS.contains(program));
    findings.extend(copies.map(|program| {
        let text = format!("{program} does not sync its copy, and may overwrite one of that name: {command}");
        of(&rulebook::ARCHIVE_UNSAFE, Severity::Warning, text)
    }));
    if !command.contains("wal-shipper") && !server.streamed {
        let text = format!("the repositories do not get what this stores: {command}");
        findings.push(of(&rulebook::ARCHIVE_ELSEWHERE, Severity::Warning, text));
    }
    if server.number("archive_timeout") == Some(0) && !server.streamed {
        findings.push(finding(&rulebook::ARCHIVE_TIMEOUT, Severity::Warning, "archive_timeout"));
    }
    findings
}

/// Words of a shell before the name of a program.
const BEFORE: [&str; 7] = ["if", "then", "else", "!", "exec", "nice", "sudo"];

/// The names of the programs that a shell starts for the command, as far as they stand in it.
fn list_programs(command: &str) -> Vec<&str> {
    let parts = command.split(['|', '&', ';', '(', ')', '{', '}', '\n']);
    let words = parts.filter_map(|part| part.split_whitespace().find(|word| !BEFORE.contains(word)));
    words.map(|word| word.rsplit('/').next().unwrap_or(word)).collect()
}

/// How a shell command ends with 0 though what it should do failed; PostgreSQL then removes the file.
fn find_hidden_status(command: &str) -> Option<&'static str> {
    let outside = blank_quoted(command);
    let branches = outside.trim_start().starts_with("if ");
    let chars: Vec<char> = outside.trim_end().chars().collect();
    for (at, c) in chars.iter().enumerate() {
        let before = at.checked_sub(1).map(|i| chars[i]);
        let rest: String = chars[at + 1..].iter().collect();
        let alternative = rest.trim_start_matches('|').trim_start();
        match c {
            '|' if before == Some('|') => {}
            '|' if rest.starts_with('|') && fails(alternative) => {}
            '|' if rest.starts_with('|') => return Some("what follows || decides its status"),
            '|' => return Some("a pipe has the status of its last part"),
            ';' if !branches && !rest.trim().is_empty() && !fails(rest.trim_start()) => {
                return Some("what follows the semicolon decides its status");
            }
            // `2>&1`, `>&2` and `&&` are other signs.
            '&' if before != Some('&')
                && before != Some('>')
                && !rest.starts_with('&')
                && !rest.starts_with('>') =>
            {
                return Some("it goes on in the background");
            }
            _ => {}
        }
    }
    None
}

/// Whether a command's first words end it with a failure, or hand on the status of the one before.
fn fails(command: &str) -> bool {
    let mut words = command.split([' ', ';']);
    match words.next() {
        Some("false") => true,
        Some("exit" | "return") => words.next().is_none_or(|status| status != "0"),
        _ => false,
    }
}

/// The command with blanks in the place of what stands in quotes, but for that of `sh -c '…'`, which is a command too.
fn blank_quoted(command: &str) -> String {
    let inner = command.split_once("sh -c ").map(|(_, script)| script.trim().trim_matches(['\'', '"']));
    let (mut quote, mut plain) = (None, String::new());
    for c in inner.unwrap_or(command).chars() {
        match (quote, c) {
            (None, '\'' | '"') => quote = Some(c),
            (Some(open), c) if c == open => quote = None,
            (None, c) => plain.push(c),
            (Some(_), _) => plain.push(' '),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_that_hide_their_status() {
        for (command, part) in [
            ("wal-shipper push %p || true", "||"),
            ("wal-shipper push %p || :", "||"),
            ("wal-shipper push %p || exit 0", "||"),
            ("wal-shipper push %p || logger failed", "||"),
            ("wal-shipper push %p; exit 0", "semicolon"),
            ("wal-shipper push %p ; true", "semicolon"),
            ("wal-shipper push %p 2>&1 | tee -a /tmp/log", "pipe"),
            ("gzip < %p | aws s3 cp - s3://b/%f", "pipe"),
            ("wal-shipper push %p &", "background"),
            ("sh -c 'wal-shipper push %p; true'", "semicolon"),
            ("/bin/sh -c \"cp %p /mnt/%f || true\"", "||"),
        ] {
            assert!(find_hidden_status(command).is_some_and(|how| how.contains(part)), "{command}");
        }
        for command in [
            "wal-shipper push %p",
            "wal-shipper push --cluster main \"%p\" 2>&1",
            "test ! -f /mnt/%f && cp %p /mnt/%f",
            "wal-shipper push %p || exit 1",
            "wal-shipper push %p || false",
            "wal-shipper push %p; exit $?",
            "if test -f /tmp/stop; then exit 1; else wal-shipper push %p; fi",
            "wal-shipper push --label 'a; b | c' %p",
        ] {
            assert_eq!(find_hidden_status(command), None, "{command}");
        }
    }

    #[test]
    fn programs_of_a_command() {
        assert_eq!(list_programs("test ! -f /mnt/%f && /bin/cp %p /mnt/%f"), ["test", "cp"]);
        assert_eq!(list_programs("exec nice wal-shipper push %p"), ["wal-shipper"]);
    }
}
