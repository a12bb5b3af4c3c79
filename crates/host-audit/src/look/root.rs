//! Becoming root: the rules of sudo, and who used them and the other ways.

use crate::fact::{HostFact, SubjectReport};
use crate::finding::HostFinding;
use crate::host::{HostView, Sight, Unseen};
use crate::look::auth_history::{AuthHistory, Occurrence, RootUse};
use crate::rules;
use crate::subject::HostSubject;
use std::collections::BTreeSet;
use toban_core::Severity;

/// Includes of includes, so that a circle ends.
const DEPTH: usize = 8;
const SHELLS: [&str; 14] = [
    "sh", "bash", "dash", "zsh", "ksh", "fish", "su", "vi", "vim", "nano", "emacs", "less", "python3", "perl",
];

/// The rules of sudo, each on one line of its own, with the file it is in.
#[derive(Debug, Default)]
pub(crate) struct SudoRules {
    pub(crate) lines: Vec<SudoLine>,
    pub(crate) gaps: Vec<Unseen>,
}

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SudoLine {
    pub(crate) file: String,
    pub(crate) text: String,
}

/// Reads sudoers with all that it includes; nothing where sudo is not installed.
pub(crate) fn read_sudoers(host: &HostView) -> SudoRules {
    let mut rules = SudoRules::default();
    let mut seen = BTreeSet::new();
    read_file(&mut SudoReader { host, rules: &mut rules, seen: &mut seen }, "/etc/sudoers", DEPTH);
    rules
}

struct SudoReader<'a> {
    host: &'a HostView,
    rules: &'a mut SudoRules,
    seen: &'a mut BTreeSet<String>,
}

fn read_file(reader: &mut SudoReader<'_>, path: &str, depth: usize) {
    if depth == 0 || !reader.seen.insert(path.into()) {
        return;
    }
    let text = match reader.host.read_some(path) {
        Ok(Some(text)) => text,
        Ok(None) => return,
        Err(unseen) => return reader.rules.gaps.push(unseen),
    };
    // A line that ends in a backslash goes on (sudoers(5)).
    for line in text.replace("\\\n", " ").lines() {
        let line = line.split_whitespace().collect::<Vec<_>>().join(" ");
        match parse_include(&line) {
            Some(SudoInclude::File(file)) => read_file(reader, &beside(path, &file), depth - 1),
            Some(SudoInclude::Folder(folder)) => read_folder(reader, &beside(path, &folder), depth - 1),
            None if line.is_empty() || line.starts_with('#') && !is_number(&line) => {}
            None => reader.rules.lines.push(SudoLine { file: path.into(), text: line }),
        }
    }
}

/// `#1000` is a user by number; every other `#` begins a comment, but those of includes.
fn is_number(line: &str) -> bool {
    line[1..].starts_with(|c: char| c.is_ascii_digit())
}

enum SudoInclude {
    File(String),
    Folder(String),
}

/// `#include` is no comment: old files have it so.
fn parse_include(line: &str) -> Option<SudoInclude> {
    let (word, rest) = line.strip_prefix(['#', '@'])?.split_once(' ')?;
    let path = rest.trim().trim_matches('"').to_string();
    match word {
        "include" => Some(SudoInclude::File(path)),
        "includedir" => Some(SudoInclude::Folder(path)),
        _ => None,
    }
}

fn beside(file: &str, path: &str) -> String {
    let folder = file.rsplit_once('/').map_or("/etc", |f| f.0);
    if path.starts_with('/') { path.into() } else { format!("{folder}/{path}") }
}

/// sudoers(5): names that end in `~` or hold a dot are passed over, so that packages' leftovers give nobody rights.
fn read_folder(reader: &mut SudoReader<'_>, folder: &str, depth: usize) {
    match reader.host.list_names(folder) {
        Ok(names) => {
            let taken = names.iter().filter(|n| !n.ends_with('~') && !n.contains('.'));
            taken.for_each(|n| read_file(reader, &format!("{folder}/{n}"), depth));
        }
        Err(unseen) => reader.rules.gaps.push(unseen),
    }
}

/// Facts of rules and uses; findings of rules that ask for nothing.
pub(crate) fn judge_root(rules: &SudoRules, history: &Sight<AuthHistory>, report: &mut SubjectReport) {
    report.gaps.extend(rules.gaps.iter().cloned());
    report.looked_at = format!("{} rules of sudo", rules.lines.len());
    report.facts.extend(rules.lines.iter().map(|line| {
        HostFact::new(format!("rule/{}", line.text), "")
            .says(format!("sudo's rule in {}: {}", line.file, line.text))
            .weighs(if line.text.starts_with("Defaults") { Severity::Warning } else { Severity::Critical })
    }));
    // Other tags may stand between: `NOPASSWD: SETENV: ALL` (sudoers(5)).
    let is_all =
        |c: &str| !c.trim().starts_with("PASSWD:") && c.rsplit(':').next().unwrap_or(c).trim() == "ALL";
    let open = |l: &&SudoLine| l.text.split("NOPASSWD:").skip(1).any(|rest| rest.split(',').any(is_all));
    report.findings.extend(rules.lines.iter().filter(open).map(|line| {
        HostFinding::new(
            HostSubject::Root,
            &rules::SUDO_WITHOUT_PASSWORD,
            &format!("rule/{}", line.text),
            Severity::Warning,
        )
        .says(format!("in {}: {}", line.file, line.text))
    }));
    match history {
        Ok(history) => add_uses(history, report),
        Err(unseen) => report.gaps.push(Unseen { what: "uses of sudo and su".into(), ..unseen.clone() }),
    }
}

fn add_uses(history: &AuthHistory, report: &mut SubjectReport) {
    if !history.has_log() {
        let why = "there is no auth.log, secure or journal";
        report
            .gaps
            .push(Unseen::new("uses of sudo and su", why).cure("install rsyslog, or make /var/log/journal"));
    }
    report.gaps.extend(
        history.gaps.iter().filter(|g| !g.what.contains("wtmp") && !g.what.contains("lastlog")).cloned(),
    );
    report.looked_at += &format!("; {} uses, {} refused", history.uses.len(), history.refusals.len());
    report.facts.extend(history.uses.iter().map(|(used, seen)| use_fact(used, seen)));
    report.facts.extend(history.refusals.iter().map(|(actor, seen)| {
        let why: Vec<&str> = seen.methods.iter().map(String::as_str).collect();
        HostFact::new(format!("refused/{actor}"), "")
            .says(format!("{actor} was refused {} times: {}", seen.times, why.join("; ")))
            .happened(seen.last)
    }));
}

fn use_fact(used: &RootUse, seen: &Occurrence) -> HostFact {
    let name = used.program.rsplit('/').next().unwrap_or(&used.program);
    let open = if SHELLS.contains(&name) { ", from where anything can be run" } else { "" };
    let methods: Vec<&str> = seen.methods.iter().map(String::as_str).collect();
    HostFact::new(format!("use/{}/{}/{}", used.actor, used.target, used.program.trim_start_matches('/')), "")
        .says(format!(
            "{} ran {} as {} by {}{open}",
            used.actor,
            used.program,
            used.target,
            methods.join(", ")
        ))
        .happened(seen.last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn includes_are_followed_as_sudo_does() {
        let dir = tempfile::tempdir().expect("tempdir");
        let write = |path: &str, text: &str| {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("mkdir");
            std::fs::write(path, text).expect("write");
        };
        write(
            "etc/sudoers",
            "# a comment\nroot ALL=(ALL) ALL\n#includedir /etc/sudoers.d\n@include more\nanna ALL = \\\n  NOPASSWD: ALL\n#1000 ALL=ALL\n",
        );
        write("etc/sudoers.d/ops", "%ops ALL=(ALL) /usr/bin/systemctl\n");
        write("etc/sudoers.d/x.conf", "evil ALL=ALL\n");
        write("etc/sudoers.d/y~", "evil ALL=ALL\n");
        write("etc/more", "@include /etc/sudoers\nbert ALL=ALL\n");
        let rules = read_sudoers(&HostView::new(dir.path()));
        let lines: Vec<&str> = rules.lines.iter().map(|l| l.text.as_str()).collect();
        assert_eq!(
            lines,
            [
                "root ALL=(ALL) ALL",
                "%ops ALL=(ALL) /usr/bin/systemctl",
                "bert ALL=ALL",
                "anna ALL = NOPASSWD: ALL",
                "#1000 ALL=ALL"
            ]
        );
        let mut report = SubjectReport::new(HostSubject::Root);
        judge_root(&rules, &Ok(AuthHistory::default()), &mut report);
        assert_eq!(report.findings.len(), 1, "{:?}", report.findings);
    }
}
