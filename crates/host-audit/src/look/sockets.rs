//! Listening sockets: the kernel's tables, joined with who holds each.

use crate::fact::{HostFact, SubjectReport};
use crate::finding::HostFinding;
use crate::host::{HostView, Sight, Unseen, find_own_namespace};
use crate::look::accounts::AccountTable;
use crate::look::processes::{HostProcess, ProcessTable};
use crate::rules;
use crate::subject::HostSubject;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use toban_core::Severity;

/// Services that must not face a network, whoever accepted it.
const INNER: [u16; 13] = [2375, 3306, 5000, 5432, 5672, 6379, 6432, 9200, 9300, 11211, 15672, 26379, 27017];

/// How far an address reaches, the least first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum AddressScope {
    Loopback,
    LinkLocal,
    Private,
    Public,
    Any,
}

impl AddressScope {
    fn name(self) -> &'static str {
        ["loopback", "link-local addresses", "private addresses", "public addresses", "every address"]
            [self as usize]
    }

    /// What an address means, not which it is: the next lease of DHCP is no change.
    fn of(address: IpAddr) -> AddressScope {
        match address.to_canonical() {
            a if a.is_unspecified() => AddressScope::Any,
            a if a.is_loopback() => AddressScope::Loopback,
            IpAddr::V4(a) if a.is_link_local() => AddressScope::LinkLocal,
            IpAddr::V4(a) if a.is_private() || (a.octets()[0] == 100 && a.octets()[1] & 0xc0 == 64) => {
                AddressScope::Private
            }
            IpAddr::V6(a) if a.segments()[0] & 0xffc0 == 0xfe80 => AddressScope::LinkLocal,
            IpAddr::V6(a) if a.segments()[0] & 0xfe00 == 0xfc00 => AddressScope::Private,
            _ => AddressScope::Public,
        }
    }
}

/// One socket that takes connections or datagrams.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listener {
    pub(crate) protocol: &'static str,
    pub(crate) address: IpAddr,
    pub(crate) port: u16,
    pub(crate) uid: u32,
    pub(crate) inode: u64,
}

/// Every listener of the host's own network namespace.
#[derive(Debug, Default)]
pub(crate) struct SocketTable {
    pub(crate) listeners: Vec<Listener>,
    /// Of each other namespace: who is in it, and what listens there.
    pub(crate) inside: Vec<(u32, Vec<Listener>)>,
    pub(crate) gaps: Vec<Unseen>,
    /// From here on ports are taken by chance.
    pub(crate) ephemeral: u16,
    /// Whether sockets of `::` take IPv4 as well.
    pub(crate) dual: bool,
}

/// Protocol, file, and the state in which a socket takes what comes: listening, or not connected.
const TABLES: [(&str, &str, &str); 6] = [
    ("tcp", "tcp", "0A"),
    ("tcp", "tcp6", "0A"),
    ("udp", "udp", "07"),
    ("udp", "udp6", "07"),
    ("raw", "raw", "07"),
    ("raw", "raw6", "07"),
];

/// Reads the tables of the host.
pub(crate) fn read_sockets(host: &HostView) -> Sight<SocketTable> {
    if let Some(unseen) = find_own_namespace(host, "net") {
        return Err(unseen);
    }
    let mut table = SocketTable { ephemeral: 32768, dual: true, ..SocketTable::default() };
    if let Ok(range) = host.read_text("/proc/sys/net/ipv4/ip_local_port_range") {
        table.ephemeral = range.split_whitespace().next().and_then(|n| n.parse().ok()).unwrap_or(32768);
    }
    table.dual = host.read_text("/proc/sys/net/ipv6/bindv6only").map_or(true, |t| t.trim() != "1");
    let (listeners, gaps) = read_tables(host, "/proc/net");
    (table.listeners, table.gaps) = (listeners, gaps);
    Ok(table)
}

/// Adds what listens in other network namespaces, one process of each standing for all.
pub(crate) fn read_inside(host: &HostView, processes: &ProcessTable, table: &mut SocketTable) {
    let own = processes.processes.iter().find(|p| p.pid == 1).and_then(|p| p.net.clone());
    let Some(own) = own else { return };
    let mut seen = BTreeSet::from([own]);
    for process in processes.processes.iter().filter(|p| !p.is_kernel) {
        if process.net.as_ref().is_some_and(|net| seen.insert(net.clone())) {
            let (listeners, gaps) = read_tables(host, &format!("/proc/{}/net", process.pid));
            table.gaps.extend(gaps);
            table.inside.push((process.pid, listeners));
        }
    }
}

fn read_tables(host: &HostView, folder: &str) -> (Vec<Listener>, Vec<Unseen>) {
    let (mut listeners, mut gaps) = (Vec::new(), Vec::new());
    for (protocol, file, state) in TABLES {
        let path = format!("{folder}/{file}");
        let parsed = match host.read_some(&path) {
            // A kernel without IPv6 has no tables of it; one without TCP there is not.
            Ok(None) if file != "tcp" && file != "udp" => continue,
            Ok(None) => Err("it is not there".to_string()),
            Ok(Some(text)) => parse_table(&text, protocol, state),
            Err(unseen) => Err(unseen.why),
        };
        match parsed {
            Ok(found) => listeners.extend(found),
            Err(why) => gaps.push(Unseen::new(path, why)),
        }
    }
    (listeners, gaps)
}

/// The listeners of one table: all of it, or none.
fn parse_table(text: &str, protocol: &'static str, state: &str) -> Result<Vec<Listener>, String> {
    let mut lines = text.lines();
    if !lines.next().is_some_and(|head| head.contains("local_address") && head.contains("inode")) {
        return Err("it has no head, or another one".into());
    }
    let mut found = Vec::new();
    for line in lines {
        // By white space: the widths of columns are not the same in every kernel.
        let fields: Vec<&str> = line.split_whitespace().collect();
        if fields.len() < 10 {
            return Err(format!("a line was cut: {line:?}"));
        }
        // Most of a hundred thousand sockets are connections: they are passed over before anything is parsed.
        if fields[3] == state {
            let parsed = parse_listener(&fields, protocol);
            found.push(parsed.ok_or_else(|| format!("a line cannot be read: {line:?}"))?);
        }
    }
    Ok(found)
}

fn parse_listener(fields: &[&str], protocol: &'static str) -> Option<Listener> {
    let (address, port) = fields[1].rsplit_once(':')?;
    Some(Listener {
        protocol,
        address: parse_address(address, cfg!(target_endian = "big"))?,
        port: u16::from_str_radix(port, 16).ok()?,
        uid: fields[7].parse().ok()?,
        inode: fields[9].parse().ok()?,
    })
}

/// Addresses are printed as 32-bit numbers in the byte order of the machine (net/ipv4/tcp_ipv4.c).
fn parse_address(text: &str, big: bool) -> Option<IpAddr> {
    let word = |at: usize| {
        let n = u32::from_str_radix(text.get(at * 8..at * 8 + 8)?, 16).ok()?;
        Some(if big { n.to_be_bytes() } else { n.to_le_bytes() })
    };
    match text.len() {
        8 => word(0).map(|b| IpAddr::V4(Ipv4Addr::from(b))),
        32 => {
            let bytes = [word(0)?, word(1)?, word(2)?, word(3)?].concat();
            Some(IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?)))
        }
        _ => None,
    }
}

impl SocketTable {
    /// The inodes of all, by which their holders are looked for.
    pub(crate) fn inodes(&self) -> HashSet<u64> {
        self.listeners.iter().map(|l| l.inode).filter(|inode| *inode != 0).collect()
    }

    /// Ports that listen for the network: what a firewall has to be asked about.
    pub(crate) fn open_ports(&self) -> BTreeSet<(&'static str, u16)> {
        let open =
            |l: &&Listener| l.protocol != "raw" && AddressScope::of(l.address) > AddressScope::LinkLocal;
        let fixed = |l: &&Listener| l.protocol == "tcp" || l.port < self.ephemeral;
        self.listeners.iter().filter(open).filter(fixed).map(|l| (l.protocol, l.port)).collect()
    }
}

/// Who holds a socket.
struct SocketOwner<'a> {
    process: Option<&'a HostProcess>,
    package: Option<String>,
}

/// Facts of each port: who has it, and how far it reaches.
pub(crate) fn judge_sockets(
    table: &SocketTable,
    processes: &Sight<ProcessTable>,
    accounts: &AccountTable,
    report: &mut SubjectReport,
) {
    report.gaps.extend(table.gaps.iter().cloned());
    let known = processes.as_ref().ok();
    if let Some(gap) =
        processes.as_ref().map_or_else(Some, |p| p.gaps.iter().find(|g| g.what.starts_with("open")))
    {
        report.gaps.push(Unseen { what: "owners of sockets".into(), ..gap.clone() });
    }
    let mut ports: BTreeMap<String, Vec<&Listener>> = BTreeMap::new();
    for listener in &table.listeners {
        ports.entry(port_key(table, known, listener)).or_default().push(listener);
    }
    report.looked_at = format!("{} listening sockets on {} ports", table.listeners.len(), ports.len());
    for (key, listeners) in &ports {
        report.facts.push(port_fact(key, listeners, &PortWorld { table, known, accounts }));
        report.findings.extend(exposed_finding(key, listeners));
    }
    for (pid, listeners) in &table.inside {
        let process = known.and_then(|k| k.processes.iter().find(|p| p.pid == *pid));
        report.facts.extend(listeners.iter().filter_map(|l| inside_fact(process?, l)));
    }
}

/// What a port is judged beside.
struct PortWorld<'a> {
    table: &'a SocketTable,
    known: Option<&'a ProcessTable>,
    accounts: &'a AccountTable,
}

fn find_owner<'a>(known: Option<&'a ProcessTable>, listener: &Listener) -> SocketOwner<'a> {
    let process = known.and_then(|k| k.processes.get(*k.holders.get(&listener.inode)?));
    let owners = known.and_then(|k| k.owners.as_ref());
    let package = process.and_then(|p| owners?.of(&p.main_path()));
    SocketOwner { process, package }
}

/// Ports by chance are known by the program: each start of it has another.
fn port_key(table: &SocketTable, known: Option<&ProcessTable>, l: &Listener) -> String {
    let owner = find_owner(known, l);
    let by_chance = l.port >= table.ephemeral && (l.protocol == "udp" || owner.package.is_some());
    match owner.process.filter(|_| by_chance) {
        Some(process) => format!("{}/ephemeral{}", l.protocol, process.main_path()),
        None => format!("{}/{}", l.protocol, l.port),
    }
}

fn port_fact(key: &str, listeners: &[&Listener], world: &PortWorld<'_>) -> HostFact {
    let reach = listeners.iter().map(|l| AddressScope::of(l.address)).max().unwrap_or(AddressScope::Any);
    let owners: BTreeSet<(String, String)> = listeners.iter().map(|l| describe_owner(l, world)).collect();
    let join = |items: BTreeSet<&str>, with: &str| items.into_iter().collect::<Vec<_>>().join(with);
    let value = join(owners.iter().map(|o| o.0.as_str()).collect(), ", ");
    let told = join(owners.iter().map(|o| o.1.as_str()).collect(), "; ");
    let families: BTreeSet<&str> = listeners.iter().flat_map(|l| families_of(l, world.table.dual)).collect();
    let families = join(families, " and ");
    let weight = if reach > AddressScope::LinkLocal { Severity::Critical } else { Severity::Warning };
    HostFact::new(key, value)
        .ranks(reach as u8)
        .says(format!("{key} on {} ({families}) by {told}", reach.name()))
        .weighs(weight)
}

fn families_of(l: &Listener, dual: bool) -> Vec<&'static str> {
    match l.address {
        IpAddr::V4(_) => vec!["IPv4"],
        IpAddr::V6(a) if a.to_ipv4_mapped().is_some() => vec!["IPv4"],
        IpAddr::V6(a) if a.is_unspecified() && dual => vec!["IPv4", "IPv6"],
        IpAddr::V6(_) => vec!["IPv6"],
    }
}

/// For the key's value, and for people.
fn describe_owner(l: &Listener, world: &PortWorld<'_>) -> (String, String) {
    let owner = find_owner(world.known, l);
    let user = world.accounts.name_of(l.uid);
    let Some(process) = owner.process else {
        // As root no process hides its files: what nobody holds is the kernel's (NFS, WireGuard), or of a process that
        // is not in our /proc.
        let who = if world.known.is_some_and(|k| k.gaps.is_empty()) {
            "kernel or other namespace"
        } else {
            "owner unknown"
        };
        return (format!("{who} uid {}", l.uid), format!("{who}, uid {} ({user})", l.uid));
    };
    let package = owner.package.map_or("no package".to_string(), |p| format!("package {p}"));
    let value = format!("{} uid {}", process.main_path(), l.uid);
    (value, format!("{}, {package}", process.describe(world.accounts)))
}

fn exposed_finding(key: &str, listeners: &[&Listener]) -> Option<HostFinding> {
    let l = listeners.iter().find(|l| {
        l.protocol == "tcp"
            && INNER.contains(&l.port)
            && AddressScope::of(l.address) > AddressScope::LinkLocal
    })?;
    let said = format!("listens on {}", l.address);
    Some(HostFinding::new(HostSubject::Sockets, &rules::EXPOSED_SERVICE, key, Severity::Warning).says(said))
}

fn inside_fact(process: &HostProcess, l: &Listener) -> Option<HostFact> {
    let open = AddressScope::of(l.address) > AddressScope::LinkLocal && l.protocol != "raw";
    open.then(|| {
        let port =
            if l.protocol == "udp" && l.port >= 32768 { "ephemeral".into() } else { l.port.to_string() };
        let key = format!("inside/{}/{}/{port}", process.comm, l.protocol);
        let said = format!(
            "{}/{port} in the network namespace of {}, pid {}",
            l.protocol, process.comm, process.pid
        );
        HostFact::new(key, "").says(said)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str =
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n";

    #[test]
    fn addresses_are_words_of_the_machine() {
        for (text, big, address) in [
            ("0100007F", false, "127.0.0.1"),
            ("7F000001", true, "127.0.0.1"),
            ("00000000000000000000000001000000", false, "::1"),
            ("00000000000000000000000000000001", true, "::1"),
            ("0000000000000000FFFF00000100007F", false, "::ffff:127.0.0.1"),
        ] {
            assert_eq!(parse_address(text, big).map(|a| a.to_string()).as_deref(), Some(address), "{text}");
        }
        assert_eq!(parse_address("0100", false), None);
    }

    #[test]
    fn a_table_is_read_whole_or_not_at_all() {
        let line = "   0: 0100007F:1538 00000000:0000 0A 00000000:00000000 00:00000000 00000000   106        0 23456 1 0 100 0 0 10 0\n";
        let found = parse_table(&format!("{HEAD}{line}"), "tcp", "0A").expect("a table");
        assert_eq!((found[0].port, found[0].uid, found[0].inode), (5432, 106, 23456));
        for bad in [
            "",
            "nonsense\n",
            &format!("{HEAD}{}", &line[..40]),
            &format!("{HEAD}{}", line.replace("1538", "xyz")),
        ] {
            assert!(parse_table(bad, "tcp", "0A").is_err(), "{bad:?}");
        }
        assert_eq!(parse_table(HEAD, "tcp", "0A"), Ok(vec![]));
    }

    #[test]
    fn addresses_are_known_by_what_they_mean() {
        for (address, reach) in [
            ("0.0.0.0", AddressScope::Any),
            ("::", AddressScope::Any),
            ("127.0.0.53", AddressScope::Loopback),
            ("::ffff:127.0.0.1", AddressScope::Loopback),
            ("10.1.2.3", AddressScope::Private),
            ("100.64.0.1", AddressScope::Private),
            ("fd00::1", AddressScope::Private),
            ("fe80::1", AddressScope::LinkLocal),
            ("203.0.113.7", AddressScope::Public),
        ] {
            assert_eq!(AddressScope::of(address.parse().expect("an address")), reach, "{address}");
        }
    }
}
