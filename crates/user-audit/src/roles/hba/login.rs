//! Who can log in, from where, to which databases, by which proof: what all lines together say of one role.

use super::HbaLine;
use super::reach::{Class, HbaContext};
use crate::finding::AuditFinding;
use crate::roles::graph::Oid;
use crate::rulebook::roles;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use toban_core::Severity;

/// In place of a database, as the lines say it.
const REPLICATION: &str = "replication";
/// Databases that are named; of more only the number is told.
const NAMED: usize = 5;

/// A way in: the line that a connection comes to first, and what it opens.
#[derive(Debug)]
pub(super) struct WayIn<'a> {
    pub(super) line: &'a HbaLine,
    /// What is opened to each way of coming.
    pub(super) opened: BTreeMap<Class, BTreeSet<String>>,
}

/// One finding for each role that can log in; with `from`, of what a client with that address comes to alone.
pub(super) fn judge_logins(lines: &[HbaLine], known: &HbaContext, from: Option<IpAddr>) -> Vec<AuditFinding> {
    let roles = known.graph.roles.iter().filter(|(_, r)| r.login);
    roles.map(|(oid, _)| login_finding(*oid, &find_ways(lines, *oid, known, from), known, from)).collect()
}

/// Every line that opens something to the role, in the order the server tries them. Each connection is taken by the
/// first line that it fits, also when that one rejects it.
pub(super) fn find_ways<'a>(
    lines: &'a [HbaLine],
    role: Oid,
    known: &HbaContext,
    from: Option<IpAddr>,
) -> Vec<WayIn<'a>> {
    let mut ways: Vec<WayIn<'_>> = Vec::new();
    let comes = |l: &&HbaLine| {
        l.error.is_none()
            && l.users.iter().any(|u| known.is_user(u, role))
            && from.is_none_or(|ip| l.is_from(ip) != Some(false))
    };
    // The server tries the lines from the top, takes the first that fits kind, address, database and user, and tries no
    // other when that one refuses (manual, 21.1: "there is no fall-through or backup"). So each line opens what no line
    // above it takes, whatever the method above is.
    for line in lines.iter().filter(comes) {
        let all = opened_databases(line, role, known);
        let mut left = BTreeMap::new();
        for class in known.classes(&line.kind) {
            let above = ways.iter().filter(|w| known.classes(&w.line.kind).contains(&class));
            let taken: BTreeSet<&String> = above
                .filter(|w| takes_address(w.line, line, from))
                .filter_map(|w| w.opened.get(&class))
                .flatten()
                .collect();
            left.insert(class, all.iter().filter(|d| !taken.contains(d)).cloned().collect::<BTreeSet<_>>());
        }
        ways.push(WayIn { line, opened: left });
    }
    ways.retain(|w| {
        !w.databases().is_empty() && w.line.method != "reject" && !is_useless(w.line, role, known)
    });
    ways
}

/// Whether `above` takes every address of `below`, or the one that is asked for.
fn takes_address(above: &HbaLine, below: &HbaLine, from: Option<IpAddr>) -> bool {
    above.spans_networks(below) || from.is_some_and(|ip| above.is_from(ip) == Some(true))
}

/// The databases of the line that the role may connect to.
fn opened_databases(line: &HbaLine, role: Oid, known: &HbaContext) -> BTreeSet<String> {
    let means = |d: &&String| line.databases.iter().any(|w| known.is_database(w, d, role));
    let mut opened: BTreeSet<String> =
        known.connects.get(&role).into_iter().flatten().filter(means).cloned().collect();
    // A physical replication connection names no database: `replication` in the line is what means it (manual, 21.1).
    let copies = known.superusers.contains(&role) || known.graph.roles[&role].replication;
    if copies && line.databases.iter().any(|d| d == REPLICATION) {
        opened.insert(REPLICATION.into());
    }
    opened
}

/// Whether the proof that the line wants cannot be given: there is no password, or none of that kind.
fn is_useless(line: &HbaLine, role: Oid, known: &HbaContext) -> bool {
    let kept = known.passwords.get(&known.graph.roles[&role].name).map_or("", String::as_str);
    match line.method.as_str() {
        // The method md5 takes a SCRAM password too; scram-sha-256 takes no md5 hash (manual, 21.5).
        "password" | "md5" => ["none", "ended"].contains(&kept),
        "scram-sha-256" => ["none", "ended", "md5"].contains(&kept),
        _ => false,
    }
}

fn login_finding(oid: Oid, ways: &[WayIn<'_>], known: &HbaContext, from: Option<IpAddr>) -> AuditFinding {
    let role = known.graph.roles[&oid].name.as_str();
    let said: Vec<String> = ways.iter().map(|w| w.describe_way(known.databases)).collect();
    let said = match (said.is_empty(), from) {
        _ if known.limited.contains(&oid) => "nothing lets it in: its connection limit is 0".into(),
        (true, Some(ip)) => format!("nothing lets it in from {ip}"),
        (true, None) => "nothing lets it in: no line, no password, or no database".into(),
        (false, _) => said.join("; "),
    };
    AuditFinding::new(&roles::CAN_LOG_IN, role, role, Severity::Ok).says(said).cis(&["5.3", "5.4"])
}

impl WayIn<'_> {
    fn databases(&self) -> BTreeSet<&String> {
        self.opened.values().flatten().collect()
    }

    fn opens_class(&self, class: Class) -> bool {
        self.opened.get(&class).is_some_and(|d| !d.is_empty())
    }

    fn describe_way(&self, every: usize) -> String {
        let all = self.databases();
        let of_all = all.len() == every && !all.iter().any(|d| *d == REPLICATION);
        let databases = match all.len() {
            n if of_all && n > 1 => "every database".to_string(),
            n if n > NAMED => format!("{n} databases"),
            _ => all.into_iter().cloned().collect::<Vec<_>>().join(", "),
        };
        let from = match self.line.address() {
            address if address.is_empty() => "by the socket".to_string(),
            address => format!("from {address}"),
        };
        let tls =
            match (self.opens_class(Class::Plain), self.opens_class(Class::Tls), self.line.kind.as_str()) {
                (_, _, "local") => "",
                (false, true, _) => ", TLS only",
                (false, false, _) => ", GSSAPI's encryption only",
                (true, false, "hostnossl") => ", without TLS",
                (true, ..) => "",
            };
        format!("{from}{tls}: {databases} by {} ({})", self.line.method, self.line.place)
    }
}
