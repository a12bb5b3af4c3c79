//! Who can log in, from where, to which databases, by which proof: what all lines together say of one role.

use super::Line;
use super::reach::Known;
use crate::finding::Finding;
use crate::roles::graph::Oid;
use std::collections::BTreeSet;
use std::net::IpAddr;
use toban_core::Severity;

/// In place of a database, as the lines say it.
const REPLICATION: &str = "replication";
/// Databases that are named; of more only the number is told.
const NAMED: usize = 5;

/// A way in: the line that a connection comes to first, and what it opens.
#[derive(Debug)]
pub(super) struct Way<'a> {
    pub(super) line: &'a Line,
    pub(super) databases: BTreeSet<String>,
}

/// One finding for each role that can log in; with `from`, of what a client with that address comes to alone.
pub(super) fn who(lines: &[Line], known: &Known, from: Option<IpAddr>) -> Vec<Finding> {
    let roles = known.graph.roles.iter().filter(|(_, r)| r.login);
    roles
        .map(|(oid, role)| finding(&role.name, &ways(lines, *oid, known, from), known.databases, from))
        .collect()
}

/// Every line that opens something to the role, in the order the server tries them. Each connection is taken by the
/// first line that it fits, also when that one rejects it.
pub(super) fn ways<'a>(lines: &'a [Line], role: Oid, known: &Known, from: Option<IpAddr>) -> Vec<Way<'a>> {
    let mut ways: Vec<Way<'_>> = Vec::new();
    let comes = |l: &&Line| {
        l.error.is_none()
            && l.users.iter().any(|u| known.is_user(u, role))
            && from.is_none_or(|ip| l.is_from(ip) != Some(false))
    };
    for line in lines.iter().filter(comes) {
        let taken = ways.iter().filter(|w| w.line.takes_kind(&line.kind) && reaches(w.line, line, from));
        let taken: BTreeSet<&String> = taken.flat_map(|w| &w.databases).collect();
        let databases = opened(line, role, known).into_iter().filter(|d| !taken.contains(d)).collect();
        ways.push(Way { line, databases });
    }
    ways.retain(|w| !w.databases.is_empty() && w.line.method != "reject" && !is_useless(w.line, role, known));
    ways
}

/// Whether `above` takes every address of `below`, or the one that is asked for.
fn reaches(above: &Line, below: &Line, from: Option<IpAddr>) -> bool {
    above.spans(below) || from.is_some_and(|ip| above.is_from(ip) == Some(true))
}

/// The databases of the line that the role may connect to.
fn opened(line: &Line, role: Oid, known: &Known) -> BTreeSet<String> {
    let means = |d: &&String| line.databases.iter().any(|w| known.is_database(w, d, role));
    let mut opened: BTreeSet<String> =
        known.connects.get(&role).into_iter().flatten().filter(means).cloned().collect();
    let copies = known.superusers.contains(&role) || known.graph.roles[&role].replication;
    if copies && line.databases.iter().any(|d| d == REPLICATION) {
        opened.insert(REPLICATION.into());
    }
    opened
}

/// Whether the proof that the line wants cannot be given: there is no password, or none of that kind.
fn is_useless(line: &Line, role: Oid, known: &Known) -> bool {
    let kept = known.passwords.get(&known.graph.roles[&role].name).map_or("", String::as_str);
    match line.method.as_str() {
        "password" | "md5" => ["none", "ended"].contains(&kept),
        "scram-sha-256" => ["none", "ended", "md5"].contains(&kept),
        _ => false,
    }
}

fn finding(role: &str, ways: &[Way<'_>], every: usize, from: Option<IpAddr>) -> Finding {
    let said: Vec<String> = ways.iter().map(|w| w.text(every)).collect();
    let said = match (said.is_empty(), from) {
        (true, Some(ip)) => format!("nothing lets it in from {ip}"),
        (true, None) => "nothing lets it in: no line, no password, or no database".into(),
        (false, _) => said.join("; "),
    };
    Finding::new("can-log-in", role, role, Severity::Ok).says(said).cis(&["5.3", "5.4"])
}

impl Way<'_> {
    fn text(&self, every: usize) -> String {
        let of_all = self.databases.len() == every && !self.databases.contains(REPLICATION);
        let databases = match self.databases.len() {
            n if of_all && n > 1 => "every database".to_string(),
            n if n > NAMED => format!("{n} databases"),
            _ => self.databases.iter().cloned().collect::<Vec<_>>().join(", "),
        };
        let from = match self.line.address() {
            address if address.is_empty() => "by the socket".to_string(),
            address => format!("from {address}"),
        };
        let tls = match self.line.kind.as_str() {
            "hostssl" => ", TLS only",
            "hostnossl" => ", without TLS",
            _ => "",
        };
        format!("{from}{tls}: {databases} by {} ({})", self.line.method, self.line.place)
    }
}
