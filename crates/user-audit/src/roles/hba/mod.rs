//! pg_hba.conf, line by line as the server reads it: what is weak, what no connection ever comes to, who gets in.

mod login;
mod quotes;
mod reach;
mod read;
mod weak;

pub(super) use read::{HbaInput, judge_hba};

use super::graph::{Oid, Role};
use crate::finding::AuditFinding;
use crate::rulebook::roles;
use reach::{HbaContext, parse_prefix};
use toban_core::Severity;
use toban_core::check::Rule;

/// One rule of `pg_hba_file_rules`.
#[derive(Clone, Debug, Default)]
pub(crate) struct HbaLine {
    /// Its number, after the file's name where there are several.
    pub(crate) place: String,
    /// The file that it stands in, and its number there.
    pub(crate) file: String,
    pub(crate) number: i32,
    pub(crate) kind: String,
    pub(crate) databases: Vec<String>,
    pub(crate) users: Vec<String>,
    pub(crate) address: Option<String>,
    pub(crate) netmask: Option<String>,
    pub(crate) method: String,
    pub(crate) options: Vec<String>,
    pub(crate) error: Option<String>,
}

/// Every finding of the lines by themselves. Pure.
fn judge_lines(lines: &[HbaLine], known: &HbaContext) -> Vec<AuditFinding> {
    let mut found = Vec::new();
    for (n, line) in lines.iter().enumerate() {
        match &line.error {
            // The server takes the line and says why it is idle (hostssl without TLS).
            Some(idle) if !line.is_broken() => found.push(unreachable_finding(line, idle)),
            Some(error) => found.push(broken_finding(line, error)),
            None => match line.taken_by(&lines[..n], known) {
                Some(above) => found.push(unreachable_finding(line, &above)),
                None => found.extend(weak::judge_weakness(line, known)),
            },
        }
    }
    found
}

fn broken_finding(line: &HbaLine, error: &str) -> AuditFinding {
    AuditFinding::new(&roles::HBA_ERROR, &line.place.replace(' ', "/"), &line.place, Severity::Critical)
        .says(format!("not read: {error}; a reload keeps the old rules, and a restart fails"))
        .cis(&["5.4"])
}

fn unreachable_finding(line: &HbaLine, why: &str) -> AuditFinding {
    let said = format!("no connection comes to it: {why}");
    let advice = match line.method.as_str() {
        "reject" => {
            "it rejects nobody; moved up it would reject whatever the lines below it let in: decide which is meant"
        }
        _ => "delete it, or move it up",
    };
    line.new_finding(&roles::HBA_UNREACHABLE, Severity::Warning, &said, advice)
}

impl HbaLine {
    /// Whether the server could not read it: then it keeps the rules that it has, all of them.
    fn is_broken(&self) -> bool {
        self.kind.is_empty()
    }

    /// About this line. Its id is made of its words: a number changes with every line that is put above.
    fn new_finding(&self, rule: &'static Rule, severity: Severity, said: &str, advice: &str) -> AuditFinding {
        let text = self.text();
        AuditFinding::new(rule, &text.replace(' ', "/"), &text, severity)
            .says(format!("{}: {said}", self.place))
            .advise(advice)
            .cis(if self.kind == "local" { &["5.3"] } else { &["5.4"] })
    }

    /// The rule as one would write it.
    fn text(&self) -> String {
        let address = self.address();
        let parts = [&self.kind, &self.databases.join(","), &self.users.join(","), &address, &self.method];
        parts.iter().filter(|p| !p.is_empty()).map(|p| p.as_str()).collect::<Vec<_>>().join(" ")
    }

    /// Where it lets connections come from; empty for the socket.
    fn address(&self) -> String {
        match (&self.address, &self.netmask) {
            (Some(a), Some(m)) => {
                parse_prefix(a, m).map_or_else(|| format!("{a} {m}"), |(a, n)| format!("{a}/{n}"))
            }
            (Some(a), None) => a.clone(),
            _ => String::new(),
        }
    }

    fn ldap_is_safe(&self) -> bool {
        self.options.iter().any(|o| {
            ["ldaptls=1", "ldaptls=true", "ldapscheme=ldaps"].contains(&o.as_str())
                || o.starts_with("ldapurl=ldaps:")
        })
    }

    fn option_value(&self, name: &str) -> Option<&str> {
        self.options.iter().find_map(|o| o.strip_prefix(name)?.strip_prefix('='))
    }

    fn lets_superusers(&self, known: &HbaContext) -> bool {
        let copies_alone = self.databases.iter().all(|d| d == "replication");
        !copies_alone && self.roles(known).any(|(oid, _)| known.superusers.contains(&oid))
    }

    /// The roles it lets in, for people.
    fn name_roles(&self, known: &HbaContext) -> String {
        let roles: Vec<_> = self.roles(known).collect();
        let supers = roles.iter().filter(|(o, _)| known.superusers.contains(o)).count();
        let name = |(oid, r): &(Oid, &Role)| match known.superusers.contains(oid) {
            true => format!("{} (superuser)", r.name),
            false => r.name.clone(),
        };
        match roles.len() {
            0 => format!("whoever {} fits", self.users.join(", ")),
            n if n > 5 => format!("{n} roles, {supers} of them superusers"),
            _ => roles.iter().map(name).collect::<Vec<_>>().join(", "),
        }
    }

    /// Roles that could not come in any more if it asked for SCRAM: without a password, or with one kept as md5.
    fn without_scram(&self, known: &HbaContext) -> Vec<String> {
        let kept = |r: &Role| known.passwords.get(&r.name).map_or("", String::as_str);
        let lacking = |r: &Role| ["none", "md5", "unknown", "ended"].contains(&kept(r));
        self.roles(known).filter(|(_, r)| lacking(r)).map(|(_, r)| r.name.clone()).collect()
    }

    /// Whether every password it may ask for is kept as SCRAM, so that the server asks by SCRAM already.
    fn is_scram_already(&self, known: &HbaContext) -> bool {
        let mut kept = self.roles(known).filter_map(|(_, r)| known.passwords.get(&r.name)).peekable();
        kept.peek().is_some() && kept.all(|k| k != "md5" && k != "unknown")
    }
}

#[cfg(test)]
mod tests;
