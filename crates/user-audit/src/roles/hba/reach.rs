//! Which connections a line of pg_hba.conf takes, and whether one line takes all that another would.

use super::HbaLine;
use crate::roles::graph::{Graph, Oid, Role, Walk};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// What the server must be asked beside the lines.
#[derive(Clone, Debug, Default)]
pub(crate) struct HbaContext {
    /// Roles and plain memberships: here a superuser is a member of nothing that it was not granted, and nobody
    /// owns a database yet.
    pub(super) graph: Graph,
    /// Superusers that can log in.
    pub(super) superusers: BTreeSet<Oid>,
    /// A regular expression and a name that it fits, as the server says.
    pub(super) fits: BTreeSet<(String, String)>,
    /// The databases that each role which can log in may connect to.
    pub(super) connects: BTreeMap<Oid, BTreeSet<String>>,
    /// How many databases take connections at all.
    pub(super) databases: usize,
    /// Roles whose connection limit is 0, which holds for all but superusers.
    pub(super) limited: BTreeSet<Oid>,
    /// The server has no TLS: then no connection of a host line is under it.
    pub(super) without_tls: bool,
    /// A line of the socket lets a superuser in.
    pub(super) superusers_by_socket: bool,
    /// How each role's password is kept: `none`, `md5`, `scram`, `unknown`, `ended`; empty where we may not look.
    pub(super) passwords: BTreeMap<String, String>,
}

impl HbaContext {
    /// What the graph tells; the rest is empty.
    pub(crate) fn from_graph(graph: &Graph) -> HbaContext {
        let plain = |(oid, r): (&Oid, &Role)| (*oid, Role { superuser: false, ..r.clone() });
        let superusers =
            graph.roles.iter().filter(|(_, r)| r.superuser && r.login).map(|(o, _)| *o).collect();
        let roles = graph.roles.iter().map(plain).collect();
        let graph = Graph { roles, database_owner: None, ..graph.clone() };
        HbaContext { graph, superusers, ..HbaContext::default() }
    }

    /// Whether a word of the user column means this role.
    pub(super) fn is_user(&self, word: &str, role: Oid) -> bool {
        let name = self.graph.roles.get(&role).map_or("", |r| &r.name);
        if let Some(exact) = in_quotes(word) {
            return exact == name;
        }
        match word.strip_prefix('+') {
            Some(group) => self.is_member(role, group),
            // Unquoted words are keywords first: "all" in quotes is a role of that name (manual, 21.1).
            None => word == "all" || word == name || self.word_fits(word, name),
        }
    }

    /// Whether a word of the database column means this database, for this role.
    pub(super) fn is_database(&self, word: &str, database: &str, role: Oid) -> bool {
        if let Some(exact) = in_quotes(word) {
            return exact == database;
        }
        match word {
            // `all` does not mean replication connections, and `replication` means nothing else (manual, 21.1).
            "all" => true,
            "replication" => false,
            "sameuser" => self.graph.roles.get(&role).is_some_and(|r| r.name == database),
            "samerole" | "samegroup" => self.is_member(role, database),
            word => word == database || self.word_fits(word, database),
        }
    }

    fn is_member(&self, role: Oid, group: &str) -> bool {
        self.graph.oid(group).is_some_and(|group| self.graph.reaches(role, group, Walk::Member))
    }

    fn word_fits(&self, word: &str, name: &str) -> bool {
        self.fits.contains(&(word.to_string(), name.to_string()))
    }

    /// Every user that `narrow` means, `wide` means too.
    fn user_within(&self, narrow: &str, wide: &str) -> bool {
        let by_role = |role: Oid| self.is_user(wide, role);
        if let Some(exact) = in_quotes(narrow) {
            return wide == "all" || wide == narrow || self.graph.oid(exact).is_some_and(by_role);
        }
        match narrow.strip_prefix('+') {
            _ if wide == "all" || wide == narrow => true,
            Some(group) => wide.starts_with('+') && self.graph.oid(group).is_some_and(by_role),
            None if narrow == "all" => false,
            None => self.graph.oid(narrow).map_or_else(|| self.word_fits(wide, narrow), by_role),
        }
    }

    /// `all` databases does not mean `replication`.
    fn database_within(&self, narrow: &str, wide: &str) -> bool {
        const SAME: [&str; 2] = ["samerole", "samegroup"];
        match narrow {
            _ if wide == narrow => true,
            "replication" => false,
            _ if wide == "all" => true,
            // `samegroup` is the obsolete spelling of `samerole` (manual, 21.1).
            "sameuser" | "samerole" | "samegroup" => SAME.contains(&wide),
            name => name != "all" && self.word_fits(wide, name),
        }
    }

    /// The ways in which connections of a line of this kind can come.
    pub(super) fn classes(&self, kind: &str) -> BTreeSet<Class> {
        let mut classes: BTreeSet<Class> = match kind {
            "local" => [Class::Socket].into(),
            // host takes connections with and without TLS and with GSSAPI's encryption; hostnossl takes those of GSSAPI
            // too, as only TLS is what it excludes (manual, 21.1).
            "host" => [Class::Plain, Class::Tls, Class::Gss].into(),
            "hostssl" => [Class::Tls].into(),
            "hostnossl" => [Class::Plain, Class::Gss].into(),
            "hostgssenc" => [Class::Gss].into(),
            _ => [Class::Plain, Class::Tls].into(),
        };
        if self.without_tls {
            classes.remove(&Class::Tls);
        }
        classes
    }
}

/// How a connection comes: what GSSAPI encrypts is not under TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Class {
    Socket,
    Plain,
    Tls,
    Gss,
}

/// The name in a word that stood in quotes.
fn in_quotes(word: &str) -> Option<&str> {
    word.strip_prefix('"')?.strip_suffix('"')
}

impl HbaLine {
    /// What takes every connection of this line before it, where lines `above` do: one for each way of coming.
    pub(super) fn taken_by(&self, above: &[HbaLine], known: &HbaContext) -> Option<String> {
        let mut takers: Vec<&HbaLine> = Vec::new();
        for class in known.classes(&self.kind) {
            let takes = |a: &&HbaLine| {
                a.error.is_none() && known.classes(&a.kind).contains(&class) && a.covers(self, known)
            };
            let taker = above.iter().find(takes)?;
            if !takers.iter().any(|t| t.place == taker.place) {
                takers.push(taker);
            }
        }
        let named: Vec<String> = takers.iter().map(|t| format!("{} ({})", t.place, t.method)).collect();
        match named.len() {
            0 => Some("the server has no TLS".into()),
            1 => Some(format!("{} takes them all ({})", takers[0].place, takers[0].method)),
            _ => Some(format!("{} take them all", named.join(" and "))),
        }
    }

    /// Every connection of one way of coming that `other` fits, this one fits too.
    fn covers(&self, other: &HbaLine, known: &HbaContext) -> bool {
        let user = |n: &String| self.users.iter().any(|w| known.user_within(n, w));
        let database = |n: &String| self.databases.iter().any(|w| known.database_within(n, w));
        other.databases.iter().all(database) && other.users.iter().all(user) && self.spans_networks(other)
    }

    pub(super) fn spans_networks(&self, other: &HbaLine) -> bool {
        if self.kind == "local" || self.address.as_deref() == Some("all") {
            return true;
        }
        match (self.network(), other.network()) {
            (Some((a, n)), Some((b, m))) => a.is_ipv4() == b.is_ipv4() && n <= m && same_bits(a, b, n),
            _ => self.address == other.address && self.netmask == other.netmask,
        }
    }

    /// Whether a client with this address comes to the line; None where only the server's machine can tell.
    pub(super) fn is_from(&self, client: IpAddr) -> Option<bool> {
        match (self.kind.as_str(), self.address.as_deref(), self.network()) {
            ("local", ..) => Some(false),
            (_, Some("all"), _) => Some(true),
            (_, _, Some((a, n))) => Some(a.is_ipv4() == client.is_ipv4() && same_bits(a, client, n)),
            _ => None,
        }
    }

    pub(super) fn network(&self) -> Option<(IpAddr, u32)> {
        parse_prefix(self.address.as_deref()?, self.netmask.as_deref()?)
    }

    pub(super) fn is_everywhere(&self) -> bool {
        self.address.as_deref() == Some("all") || self.network().is_some_and(|(_, n)| n == 0)
    }

    pub(super) fn is_remote(&self) -> bool {
        let loopback = self.network().is_some_and(|(a, n)| a.is_loopback() && n >= 8);
        let here = ["samehost", "localhost"].iter().any(|h| self.address.as_deref() == Some(*h));
        self.kind != "local" && !loopback && !here
    }

    /// Roles that can log in, and that the user column means.
    pub(super) fn roles<'a>(&'a self, known: &'a HbaContext) -> impl Iterator<Item = (Oid, &'a Role)> {
        let means = |oid: Oid| self.users.iter().any(|u| known.is_user(u, oid));
        known.graph.roles.iter().map(|(o, r)| (*o, r)).filter(move |(o, r)| r.login && means(*o))
    }
}

/// An address and its netmask as `address/bits`.
pub(super) fn parse_prefix(address: &str, netmask: &str) -> Option<(IpAddr, u32)> {
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
