//! pg_hba.conf, line by line as the server reads it: what is weak, and what no connection ever comes to.

use super::graph::{Graph, Walk};
use crate::finding::Finding;
use std::net::IpAddr;
use toban_core::Severity;

/// One rule of `pg_hba_file_rules`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Line {
    /// Its number, after the file's name where there are several.
    pub(crate) place: String,
    pub(crate) kind: String,
    pub(crate) databases: Vec<String>,
    pub(crate) users: Vec<String>,
    pub(crate) address: Option<String>,
    pub(crate) netmask: Option<String>,
    pub(crate) method: String,
    pub(crate) options: Vec<String>,
    pub(crate) error: Option<String>,
}

/// Every finding of the file. Pure.
pub(crate) fn judge(lines: &[Line], graph: &Graph) -> Vec<Finding> {
    let mut found = Vec::new();
    for (n, line) in lines.iter().enumerate() {
        if let Some(error) = &line.error {
            found.push(finding(
                "hba-error",
                line,
                Severity::Critical,
                format!("not read: {error}"),
                "correct the line, then reload",
            ));
            continue;
        }
        let above = lines[..n].iter().find(|a| a.error.is_none() && a.covers(line));
        if let Some(above) = above {
            let said =
                format!("no connection comes to it: {} takes them all ({})", above.place, above.method);
            found.push(finding("hba-unreachable", line, Severity::Warning, said, "delete it, or move it up"));
            continue;
        }
        found.extend(weak(line, graph));
    }
    found
}

fn finding(rule: &'static str, line: &Line, severity: Severity, said: String, advice: &str) -> Finding {
    Finding::new(rule, &line.place.replace(' ', "/"), &format!("{}: {}", line.place, line.text()), severity)
        .says(said)
        .advise(advice)
        .cis(if line.kind == "local" { &["5.3"] } else { &["5.4"] })
}

fn weak(line: &Line, graph: &Graph) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut add =
        |rule, severity, said: String, advice| found.push(finding(rule, line, severity, said, advice));
    let plain = line.kind != "local" && line.kind != "hostssl" && line.kind != "hostgssenc";
    let who = line.who(graph);
    match line.method.as_str() {
        "trust" => add(
            "hba-trust",
            Severity::Critical,
            format!("lets in without any proof: {who}"),
            "scram-sha-256, peer or cert",
        ),
        "password" => {
            let severity = if plain { Severity::Critical } else { Severity::Warning };
            add("hba-password", severity, "the password travels as it is".into(), "scram-sha-256");
        }
        "md5" => add(
            "hba-md5",
            Severity::Warning,
            "md5 hashes can be replayed and are going away".into(),
            "scram-sha-256",
        ),
        "ident" => add(
            "hba-ident",
            Severity::Warning,
            "believes what the other machine says".into(),
            "scram-sha-256 or cert",
        ),
        "ldap" if !line.ldap_is_safe() => {
            add(
                "hba-cleartext",
                Severity::Warning,
                "the password goes to LDAP without TLS".into(),
                "ldaptls=1 or ldaps",
            );
        }
        "radius" => add(
            "hba-cleartext",
            Severity::Warning,
            "RADIUS hides the password by MD5 alone".into(),
            "scram-sha-256 or gss",
        ),
        "pam" | "bsd" | "ldap" if plain => {
            add("hba-cleartext", Severity::Warning, "the password travels without TLS".into(), "hostssl");
        }
        "reject" => return found,
        _ if line.kind == "hostnossl" => {
            add("hba-cleartext", Severity::Warning, "keeps clients from using TLS".into(), "hostssl");
        }
        _ => {}
    }
    if line.is_everywhere() {
        add("hba-wide", Severity::Warning, "lets every address in the world ask".into(), "name the networks");
    }
    if line.is_remote() && line.lets_superusers(graph) {
        found.push(
            finding(
                "hba-superuser-remote",
                line,
                Severity::Warning,
                "superusers may come over the network".into(),
                "reject them above, by name",
            )
            .cis(&["5.11"]),
        );
    }
    found
}

impl Line {
    /// The rule as one would write it.
    fn text(&self) -> String {
        let address = match (&self.address, &self.netmask) {
            (Some(a), Some(m)) => {
                prefix(a, m).map_or_else(|| format!("{a} {m}"), |(a, n)| format!("{a}/{n}"))
            }
            (Some(a), None) => a.clone(),
            _ => String::new(),
        };
        let parts = [&self.kind, &self.databases.join(","), &self.users.join(","), &address, &self.method];
        parts.iter().filter(|p| !p.is_empty()).map(|p| p.as_str()).collect::<Vec<_>>().join(" ")
    }

    /// Every connection that `other` fits, this one fits too.
    fn covers(&self, other: &Line) -> bool {
        let kind = self.kind == other.kind || (self.kind == "host" && other.kind.starts_with("host"));
        kind && names(&self.databases, &other.databases, true)
            && names(&self.users, &other.users, false)
            && self.spans(other)
    }

    fn spans(&self, other: &Line) -> bool {
        if self.kind == "local" || self.address.as_deref() == Some("all") {
            return true;
        }
        match (self.network(), other.network()) {
            (Some((a, n)), Some((b, m))) => a.is_ipv4() == b.is_ipv4() && n <= m && same_bits(a, b, n),
            _ => self.address == other.address && self.netmask == other.netmask,
        }
    }

    fn network(&self) -> Option<(IpAddr, u32)> {
        prefix(self.address.as_deref()?, self.netmask.as_deref()?)
    }

    fn is_everywhere(&self) -> bool {
        self.address.as_deref() == Some("all") || self.network().is_some_and(|(_, n)| n == 0)
    }

    fn is_remote(&self) -> bool {
        let loopback = self.network().is_some_and(|(a, n)| a.is_loopback() && n >= 8);
        self.kind != "local" && !loopback && self.address.as_deref() != Some("samehost")
    }

    fn ldap_is_safe(&self) -> bool {
        self.options.iter().any(|o| {
            ["ldaptls=1", "ldapscheme=ldaps"].contains(&o.as_str()) || o.starts_with("ldapurl=ldaps:")
        })
    }

    fn lets_superusers(&self, graph: &Graph) -> bool {
        if self.databases.iter().all(|d| d == "replication") {
            return false;
        }
        graph
            .roles
            .iter()
            .any(|(oid, r)| r.superuser && r.login && self.users.iter().any(|u| fits(u, *oid, graph)))
    }

    /// The roles it lets in, for people.
    fn who(&self, graph: &Graph) -> String {
        let lets = |oid: &u32| self.users.iter().any(|u| fits(u, *oid, graph));
        let roles: Vec<_> = graph.roles.iter().filter(|(o, r)| r.login && lets(o)).map(|(_, r)| r).collect();
        let names: Vec<&str> = roles.iter().take(5).map(|r| r.name.as_str()).collect();
        match (roles.len(), roles.iter().filter(|r| r.superuser).count()) {
            (0, _) => format!("whoever {} fits", self.users.join(", ")),
            (n, supers) if n > 5 => format!("{n} roles, {supers} of them superusers"),
            (_, 0) => names.join(", "),
            (_, supers) => format!("{}; {supers} of them superusers", names.join(", ")),
        }
    }
}

/// Whether the word of a user column means this role; a regular expression's reach is not known here.
fn fits(word: &str, oid: u32, graph: &Graph) -> bool {
    let group = word.strip_prefix('+').and_then(|g| graph.oid(g));
    // The server asks for plain membership here, of which a superuser has only what was granted.
    let plain = || Graph {
        roles: graph
            .roles
            .iter()
            .map(|(o, r)| (*o, super::graph::Role { superuser: false, ..r.clone() }))
            .collect(),
        ..graph.clone()
    };
    match group {
        Some(group) => plain().reaches(oid, group, Walk::Member),
        None => word == "all" || graph.roles.get(&oid).is_some_and(|r| r.name == word),
    }
}

/// `all` databases does not mean `replication`.
fn names(wide: &[String], narrow: &[String], databases: bool) -> bool {
    let all = |n: &String| wide.iter().any(|w| w == "all") && !(databases && n == "replication");
    narrow.iter().all(|n| all(n) || wide.contains(n))
}

fn prefix(address: &str, netmask: &str) -> Option<(IpAddr, u32)> {
    let (address, mask): (IpAddr, IpAddr) = (address.parse().ok()?, netmask.parse().ok()?);
    let bits = match mask {
        IpAddr::V4(m) => u32::from(m).leading_ones(),
        IpAddr::V6(m) => u128::from(m).leading_ones(),
    };
    Some((address, bits))
}

fn same_bits(a: IpAddr, b: IpAddr, n: u32) -> bool {
    let number = |ip: IpAddr| match ip {
        IpAddr::V4(ip) => u128::from(u32::from(ip)) << 96,
        IpAddr::V6(ip) => u128::from(ip),
    };
    n == 0 || (number(a) ^ number(b)).leading_zeros() >= n
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> Line {
        let words: Vec<&str> = text.split(' ').collect();
        let local = words[0] == "local";
        let (address, netmask) = match (local, words[3].split_once('/')) {
            (true, _) => (None, None),
            (false, Some((a, m))) => (Some(a.to_string()), Some(m.to_string())),
            (false, None) => (Some(words[3].to_string()), None),
        };
        let list = |w: &str| w.split(',').map(String::from).collect();
        Line {
            place: "line 1".into(),
            kind: words[0].into(),
            databases: list(words[1]),
            users: list(words[2]),
            address,
            netmask,
            method: words[if local { 3 } else { 4 }].into(),
            ..Line::default()
        }
    }

    fn rules(lines: &[&str]) -> Vec<&'static str> {
        let lines: Vec<Line> = lines.iter().map(|l| line(l)).collect();
        judge(&lines, &Graph::default()).iter().map(|f| f.rule).collect()
    }

    #[test]
    fn each_weakness_by_itself() {
        let net = "10.0.0.0/255.0.0.0";
        for (text, rule) in [
            ("local all all trust".to_string(), "hba-trust"),
            (format!("host all all {net} trust"), "hba-trust"),
            (format!("host all all {net} password"), "hba-password"),
            (format!("host all all {net} md5"), "hba-md5"),
            (format!("host all all {net} ident"), "hba-ident"),
            (format!("host all all {net} ldap"), "hba-cleartext"),
            (format!("hostssl all all {net} radius"), "hba-cleartext"),
            (format!("hostnossl all all {net} scram-sha-256"), "hba-cleartext"),
            ("host all all 0.0.0.0/0.0.0.0 scram-sha-256".into(), "hba-wide"),
            ("host all all ::/:: scram-sha-256".into(), "hba-wide"),
            ("hostssl all all all cert".into(), "hba-wide"),
        ] {
            assert_eq!(rules(&[&text]), [rule], "{text}");
        }
        for text in [
            "local all all peer",
            "hostssl all all 10.0.0.0/255.0.0.0 scram-sha-256",
            "host all all all reject",
        ] {
            assert_eq!(rules(&[text]), [""; 0], "{text}");
        }
    }

    #[test]
    fn a_rule_below_one_that_takes_everything() {
        let shadowed = |above: &str, below: &str| rules(&[above, below]).contains(&"hba-unreachable");
        for (above, below) in [
            ("host all all 10.0.0.0/255.0.0.0 reject", "host all all 10.1.0.0/255.255.0.0 trust"),
            ("host all all all reject", "hostssl app alice 10.1.0.0/255.255.0.0 trust"),
            ("local all all peer", "local app all trust"),
            ("host app alice,bert ::/:: reject", "hostnossl app bert fe80::/ffff:: trust"),
        ] {
            assert!(shadowed(above, below), "{above} / {below}");
        }
        for (above, below) in [
            ("host all all 10.1.0.0/255.255.0.0 reject", "host all all 10.0.0.0/255.0.0.0 trust"),
            ("hostssl all all all reject", "host all all all trust"),
            ("local all all peer", "local replication all trust"),
            ("host app all all reject", "host all all all trust"),
            ("host all all 0.0.0.0/0.0.0.0 reject", "host all all ::/:: trust"),
            ("host all +ops all reject", "host all alice all trust"),
        ] {
            assert!(!shadowed(above, below), "{above} / {below}");
        }
    }
}
