//! Why a server ended, by its log. Pure.

/// What begins a line of the server itself; any other is of a program that it ran (restore_command).
const OURS: [&str; 10] = [
    "LOG:",
    "HINT:",
    "DETAIL:",
    "WARNING:",
    "CONTEXT:",
    "STATEMENT:",
    "NOTICE:",
    "INFO:",
    "QUERY:",
    "LOCATION:",
];
const FAILURES: [&str; 3] = ["PANIC:", "FATAL:", "ERROR:"];
/// Of lines that answer our own question whether it takes connections.
const WAITING: [&str; 2] = ["the database system is", "terminating connection due to administrator command"];

/// Why the server ended, in one line: the last line of a program that it ran, then its own first error.
pub(super) fn failure_reason(log: &str) -> String {
    let lines: Vec<&str> = log.lines().map(str::trim_end).filter(|l| !l.is_empty()).collect();
    let begins = |line: &str, words: &[&str]| words.iter().any(|w| line.starts_with(w));
    let at = lines.iter().position(|l| begins(l, &FAILURES) && !WAITING.iter().any(|w| l.contains(w)));
    let text = |line: &str| line.split_once(':').map_or(line, |(_, text)| text).trim().to_string();
    let own = at.map(|at| match lines.get(at + 1) {
        Some(detail) if detail.starts_with("DETAIL:") => format!("{}: {}", text(lines[at]), text(detail)),
        _ => text(lines[at]),
    });
    let foreign = |l: &&&str| !begins(l, &OURS) && !begins(l, &FAILURES) && !l.starts_with('\t');
    let foreign = lines.iter().filter(foreign).rfind(|l| !l.contains("hint:") && !l.contains("<6>"));
    match (foreign, own) {
        (Some(program), Some(own)) => format!("{program}; {own}"),
        (Some(one), None) => (*one).to_string(),
        (None, Some(own)) => own,
        (None, None) => lines.last().map_or("it wrote nothing".into(), |l| (*l).to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::failure_reason;

    #[test]
    fn the_reason_and_not_its_consequences() {
        let log = "\
LOG:  starting archive recovery
FATAL:  the database system is not accepting connections
DETAIL:  Hot standby mode is disabled.
wal-shipper: 000000010000000000000004 is missing: there is WAL after it, from 5 on
hint: a hole in the archive
FATAL:  could not restore file \"000000010000000000000004\" from archive: child process exited with exit code 255
LOG:  startup process (PID 7) exited with exit code 1
";
        let said = failure_reason(log);
        assert!(said.starts_with("wal-shipper: 000000010000000000000004 is missing"), "{said}");
        assert!(said.ends_with("child process exited with exit code 255"), "{said}");
        assert_eq!(
            failure_reason("LOG:  x\nPANIC:  could not locate a valid checkpoint record\n"),
            "could not locate a valid checkpoint record"
        );
        assert_eq!(failure_reason(""), "it wrote nothing");
    }
}
