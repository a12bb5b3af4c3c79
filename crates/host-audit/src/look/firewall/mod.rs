//! The firewall: which rules there are, and what they let through from outside.

mod iptables;
mod nft;
mod reach;

pub(crate) use reach::{PortQuestion, PortVerdict, ask_port};

use crate::fact::{HostFact, SubjectReport};
use crate::finding::HostFinding;
use crate::host::{HostView, ProgramQuestion, Sight, Unseen, find_own_namespace};
use crate::look::sockets::SocketTable;
use crate::rules;
use crate::subject::HostSubject;
use std::collections::{BTreeMap, BTreeSet};
use toban_core::Severity;

/// IPv4 or IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum IpFamily {
    V4,
    V6,
}

/// A chain of rules, wherever it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NetChain {
    /// `ip`, `ip6`, `inet` or another of nft's.
    pub(crate) family: String,
    pub(crate) table: String,
    pub(crate) name: String,
    /// Where packets enter it, and in which order; none for a chain that others jump to.
    pub(crate) hook: Option<NetHook>,
    pub(crate) rules: Vec<NetRule>,
    /// Which program's it is: chains of two programs never jump to each other.
    pub(crate) stack: &'static str,
}

/// The hook of a base chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NetHook {
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) priority: i64,
    pub(crate) drops: bool,
}

/// One rule: what it looks at, and what it does then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NetRule {
    /// As it is compared and told, without counters, handles and comments.
    pub(crate) text: String,
    pub(crate) matches: Vec<NetMatch>,
    pub(crate) action: NetAction,
}

/// One condition of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NetMatch {
    Protocol(Vec<String>),
    Ports(Vec<(u16, u16)>),
    NotPorts(Vec<(u16, u16)>),
    /// Whether a packet that begins a connection fits.
    NewState(bool),
    /// Packets of the loopback interface alone, or all but them.
    Loopback(bool),
    Family(IpFamily),
    /// Only some of what comes from outside: an address, an interface, a rate.
    Some,
    ToAddress(String),
    /// Nothing that is read here.
    Other,
}

/// What a rule does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NetAction {
    Accept,
    Drop,
    Return,
    Jump(String),
    /// A jump that does not come back.
    Goto(String),
    /// To another address or port.
    Forward(String),
    /// It counts, logs or marks, and the next rule decides.
    Nothing,
    /// Something else decides: a queue, a map.
    Other,
}

/// Everything that the kernel's filters hold.
#[derive(Debug, Default)]
pub(crate) struct FirewallFacts {
    pub(crate) chains: Vec<NetChain>,
    pub(crate) gaps: Vec<Unseen>,
    /// ufw.conf's word; None where ufw is not installed.
    pub(crate) ufw: Option<bool>,
    pub(crate) no_ipv6: bool,
}

/// Reads nftables, iptables beside it, and what ufw is meant to be.
pub(crate) fn read_firewall(host: &HostView) -> Sight<FirewallFacts> {
    if let Some(unseen) = find_own_namespace(host, "net") {
        return Err(unseen);
    }
    let question =
        ProgramQuestion { label: "nft-ruleset.json", command: &["nft", "-j", "list", "ruleset"], also: &[] };
    let (mut chains, foreign) = nft::parse_ruleset(&host.ask(&question)?)?;
    let mut facts = FirewallFacts::default();
    // Tables of iptables-nft: nft shows their xt matches as names only, its own -save has them whole.
    for (family, label) in [("ip", "iptables-nft-save"), ("ip6", "ip6tables-nft-save")] {
        if foreign.iter().any(|f| f == family) {
            take_saved(
                host,
                &IptablesSource { family, label, stack: "iptables-nft" },
                &mut chains,
                &mut facts.gaps,
            );
        }
    }
    // The names first: asking iptables-legacy would load its modules and make its tables.
    for (family, label, names) in [
        ("ip", "iptables-legacy-save", "/proc/net/ip_tables_names"),
        ("ip6", "ip6tables-legacy-save", "/proc/net/ip6_tables_names"),
    ] {
        match host.read_some(names) {
            Ok(Some(text)) if !text.trim().is_empty() => {
                take_saved(
                    host,
                    &IptablesSource { family, label, stack: "iptables-legacy" },
                    &mut chains,
                    &mut facts.gaps,
                );
            }
            Ok(_) => {}
            Err(unseen) => facts.gaps.push(unseen),
        }
    }
    facts.chains = chains;
    let ufw = host.read_some("/etc/ufw/ufw.conf").ok().flatten();
    facts.ufw = ufw.map(|text| text.lines().any(|l| l.trim().eq_ignore_ascii_case("ENABLED=yes")));
    facts.no_ipv6 = host
        .read_some("/proc/sys/net/ipv6/conf/all/disable_ipv6")
        .is_ok_and(|t| t.is_none_or(|t| t.trim() == "1"));
    Ok(facts)
}

/// Where chains of iptables come from.
struct IptablesSource {
    family: &'static str,
    label: &'static str,
    stack: &'static str,
}

fn take_saved(host: &HostView, source: &IptablesSource, chains: &mut Vec<NetChain>, gaps: &mut Vec<Unseen>) {
    match host.ask(&ProgramQuestion { label: source.label, command: &[source.label], also: &[] }) {
        Ok(text) => chains.extend(iptables::parse_saved(&text, source.family, source.stack)),
        Err(unseen) => gaps.push(unseen),
    }
}

/// Facts of chains, ports and forwarded ports; findings of what is missing.
pub(crate) fn judge_firewall(
    facts: &FirewallFacts,
    sockets: &Sight<SocketTable>,
    report: &mut SubjectReport,
) {
    report.gaps.extend(facts.gaps.iter().cloned());
    let rules: usize = facts.chains.iter().map(|c| c.rules.len()).sum();
    report.looked_at = format!(
        "{} chains with {rules} rules; filters outside of this host are not seen",
        facts.chains.len()
    );
    report
        .facts
        .extend(facts.chains.iter().filter(|c| !c.rules.is_empty() || c.hook.is_some()).map(chain_fact));
    let published = find_published(&facts.chains);
    for (key, rule) in &published {
        report.facts.push(
            HostFact::new(format!("published/{key}"), &rule.to)
                .says(format!("{key} is forwarded to {}", rule.to))
                .weighs(Severity::Critical),
        );
        report.findings.extend(published_finding(key, rule, &facts.chains));
    }
    if report.gaps.is_empty() {
        judge_filter(facts, report);
    }
    judge_ufw(facts, report);
    let stacks: BTreeSet<&str> =
        facts.chains.iter().filter(|c| !c.rules.is_empty()).map(|c| c.stack).collect();
    if stacks.contains("iptables-legacy") && stacks.len() > 1 {
        let all: Vec<&str> = stacks.into_iter().collect();
        report.findings.push(firewall_finding(
            &rules::TWO_STACKS,
            "stacks",
            Severity::Warning,
            format!("rules in {}", all.join(" and ")),
        ));
    }
    match sockets {
        Ok(table) => table
            .open_ports()
            .into_iter()
            .for_each(|(protocol, port)| judge_port(facts, protocol, port, report)),
        Err(unseen) => report.gaps.push(Unseen { what: "ports to ask about".into(), ..unseen.clone() }),
    }
}

fn firewall_finding(
    rule: &'static toban_core::check::Rule,
    key: &str,
    severity: Severity,
    said: String,
) -> HostFinding {
    HostFinding::new(HostSubject::Firewall, rule, key, severity).says(said)
}

/// The order of rules counts, that of chains does not; chains of fail2ban change with every attack.
fn chain_fact(chain: &NetChain) -> HostFact {
    let policy =
        chain.hook.as_ref().map(|h| format!("{} policy {}", h.name, if h.drops { "drop" } else { "accept" }));
    let passing = chain.name.starts_with("f2b-")
        || chain.table.starts_with("f2b")
        || chain.table.starts_with("crowdsec");
    let rules: Vec<&str> = chain.rules.iter().map(|r| r.text.as_str()).collect();
    let head = policy.clone().unwrap_or_else(|| "no hook".into());
    let value = if passing { head } else { format!("{head}\n{}", rules.join("\n")) };
    let key = format!("chain/{}/{}/{}", chain.family, chain.table, chain.name);
    let key = if chain.stack == "iptables-legacy" { format!("legacy-{key}") } else { key };
    let told = format!(
        "chain {} {} {}: {} rules{}",
        chain.family,
        chain.table,
        chain.name,
        chain.rules.len(),
        policy.map_or(String::new(), |p| format!(", {p}"))
    );
    HostFact::new(key, value).says(told).when_gone(Severity::Critical)
}

/// A port that nobody was told to open: if it gets through, every port does.
const PROBE: u16 = 1;

fn judge_filter(facts: &FirewallFacts, report: &mut SubjectReport) {
    let probe = |family| ask_port(&facts.chains, &PortQuestion { family, protocol: "tcp", port: PROBE });
    let (v4, v6) = (probe(IpFamily::V4), probe(IpFamily::V6));
    if v4 == PortVerdict::Open {
        let said = if facts.chains.is_empty() {
            "there are no rules at all"
        } else {
            "packets that no rule asks for are let in"
        };
        report.findings.push(firewall_finding(&rules::NO_FILTER, "input", Severity::Critical, said.into()));
    } else if v6 == PortVerdict::Open && !facts.no_ipv6 {
        report.findings.push(firewall_finding(
            &rules::IPV6_UNFILTERED,
            "input",
            Severity::Critical,
            "IPv6 is let in where IPv4 is not".into(),
        ));
    }
}

fn judge_ufw(facts: &FirewallFacts, report: &mut SubjectReport) {
    let loaded = facts.chains.iter().any(|c| c.name.starts_with("ufw"));
    let found = match (facts.ufw, loaded) {
        (Some(true), false) => {
            Some((&rules::UFW_NOT_LOADED, Severity::Critical, "ENABLED=yes, and no chain of ufw's"))
        }
        (Some(false), true) => {
            Some((&rules::UFW_LEFTOVER, Severity::Warning, "ENABLED=no, and chains of ufw's"))
        }
        _ => None,
    };
    report
        .findings
        .extend(found.map(|(rule, severity, said)| firewall_finding(rule, "ufw", severity, said.into())));
}

fn judge_port(facts: &FirewallFacts, protocol: &'static str, port: u16, report: &mut SubjectReport) {
    let families: &[(IpFamily, &str)] = match facts.no_ipv6 {
        true => &[(IpFamily::V4, "IPv4")],
        false => &[(IpFamily::V4, "IPv4"), (IpFamily::V6, "IPv6")],
    };
    let mut told = Vec::new();
    let mut weight = Severity::Warning;
    for (family, name) in families {
        let verdict = ask_port(&facts.chains, &PortQuestion { family: *family, protocol, port });
        if let PortVerdict::NotJudged(rule) = &verdict {
            let said = format!("over {name} this decides: {rule}");
            report.findings.push(firewall_finding(
                &rules::PORT_NOT_JUDGED,
                &format!("port/{protocol}/{port}"),
                Severity::Unknown,
                said,
            ));
        }
        weight = if verdict == PortVerdict::Open { Severity::Critical } else { weight };
        told.push(format!("{name} {}", verdict.describe()));
    }
    let value = told.join(", ");
    let said = format!("{protocol}/{port} from outside: {value}");
    report.facts.push(
        HostFact::new(format!("port/{protocol}/{port}"), value)
            .says(said)
            .weighs(weight)
            .when_gone(Severity::Ok),
    );
}

/// A port that is forwarded elsewhere.
struct PublishedPort {
    to: String,
    local: bool,
}

/// Forwarded ports, by protocol and port: no socket of this host listens there.
fn find_published(chains: &[NetChain]) -> BTreeMap<String, PublishedPort> {
    let mut found = BTreeMap::new();
    for rule in chains.iter().flat_map(|c| &c.rules) {
        let NetAction::Forward(to) = &rule.action else { continue };
        let protocols = rule
            .matches
            .iter()
            .find_map(|m| if let NetMatch::Protocol(p) = m { Some(p.join(",")) } else { None });
        let local = rule
            .matches
            .iter()
            .any(|m| matches!(m, NetMatch::ToAddress(a) if a.starts_with("127.") || a.starts_with("::1")));
        for port in
            rule.matches.iter().flat_map(|m| if let NetMatch::Ports(p) = m { p.clone() } else { vec![] })
        {
            let range = if port.0 == port.1 { port.0.to_string() } else { format!("{}-{}", port.0, port.1) };
            let key = format!("{}/{range}", protocols.clone().unwrap_or_else(|| "tcp".into()));
            found.insert(key, PublishedPort { to: to.clone(), local });
        }
    }
    found
}

fn published_finding(key: &str, rule: &PublishedPort, chains: &[NetChain]) -> Option<HostFinding> {
    // A packet for another address is forwarded, and never meets the rules for incoming ones.
    let guarded =
        chains.iter().any(|c| c.name == "DOCKER-USER" && c.rules.iter().any(|r| r.action == NetAction::Drop));
    let own = rule.to.starts_with("127.") || rule.to.starts_with(':');
    (!rule.local && !guarded && !own).then(|| {
        let said = format!("everybody reaches {} by this port, whatever ufw or INPUT says", rule.to);
        firewall_finding(
            &rules::PUBLISHED_PAST_FIREWALL,
            &format!("published/{key}"),
            Severity::Warning,
            said,
        )
    })
}
