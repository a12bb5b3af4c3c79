//! Whether a packet that begins a connection comes from outside to a port of this host. Pure.
//!
//! Netfilter is not simulated: what is not read here is never taken for closed.

use super::{IpFamily, NetAction, NetChain, NetMatch, NetRule};

/// Jumps of jumps: the kernel's own limit (NFT_JUMP_STACK_SIZE).
const DEPTH: usize = 16;

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PortQuestion {
    pub(crate) family: IpFamily,
    pub(crate) protocol: &'static str,
    pub(crate) port: u16,
}

/// What becomes of such a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PortVerdict {
    Open,
    /// From some addresses or interfaces, by this rule.
    Partly(String),
    Closed,
    /// A rule decides that is not read here.
    NotJudged(String),
}

impl PortVerdict {
    /// For people.
    pub(crate) fn describe(&self) -> String {
        match self {
            PortVerdict::Open => "open".into(),
            PortVerdict::Partly(rule) => format!("open for some ({rule})"),
            PortVerdict::Closed => "closed".into(),
            PortVerdict::NotJudged(_) => "not judged".into(),
        }
    }

    /// The worse of two filters that a packet must both pass.
    fn and(self, next: PortVerdict) -> PortVerdict {
        let weight = |v: &PortVerdict| match v {
            PortVerdict::Closed => 3,
            PortVerdict::NotJudged(_) => 2,
            PortVerdict::Partly(_) => 1,
            PortVerdict::Open => 0,
        };
        if weight(&next) > weight(&self) { next } else { self }
    }
}

/// Asks every base chain that such a packet comes through; it must pass all.
pub(crate) fn ask_port(chains: &[NetChain], question: &PortQuestion) -> PortVerdict {
    let mut bases: Vec<&NetChain> = chains.iter().filter(|c| is_on_the_way(c, question.family)).collect();
    bases.sort_by_key(|c| c.hook.as_ref().map_or(0, |h| h.priority));
    bases.iter().fold(PortVerdict::Open, |verdict, base| verdict.and(ask_base(chains, base, question)))
}

fn is_on_the_way(chain: &NetChain, family: IpFamily) -> bool {
    let of = match family {
        IpFamily::V4 => "ip",
        IpFamily::V6 => "ip6",
    };
    let hooks = ["input", "prerouting"];
    chain.hook.as_ref().is_some_and(|h| h.kind == "filter" && hooks.contains(&h.name.as_str()))
        && (chain.family == of || chain.family == "inet")
}

/// What was met on the way through one base chain.
#[derive(Default)]
struct ChainWalk {
    partly: Option<String>,
    unread: Option<String>,
}

fn ask_base(chains: &[NetChain], base: &NetChain, question: &PortQuestion) -> PortVerdict {
    let mut walk = ChainWalk::default();
    let passes = match follow_chain(chains, base, question, &mut walk) {
        ChainEnd::Accept => true,
        ChainEnd::Drop => false,
        ChainEnd::Through => !base.hook.as_ref().is_some_and(|h| h.drops),
        ChainEnd::TooDeep => return PortVerdict::NotJudged("jumps go too deep".into()),
    };
    match (passes, walk.unread, walk.partly) {
        (true, ..) => PortVerdict::Open,
        (false, Some(rule), _) => PortVerdict::NotJudged(rule),
        (false, None, Some(rule)) => PortVerdict::Partly(rule),
        (false, None, None) => PortVerdict::Closed,
    }
}

/// How the walk through a chain ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ChainEnd {
    Accept,
    Drop,
    Through,
    TooDeep,
}

fn follow_chain(
    chains: &[NetChain],
    chain: &NetChain,
    question: &PortQuestion,
    walk: &mut ChainWalk,
) -> ChainEnd {
    follow_rules(&ChainPlace { chains, chain, depth: DEPTH }, question, walk)
}

#[derive(Clone, Copy)]
struct ChainPlace<'a> {
    chains: &'a [NetChain],
    chain: &'a NetChain,
    depth: usize,
}

fn follow_rules(place: &ChainPlace<'_>, question: &PortQuestion, walk: &mut ChainWalk) -> ChainEnd {
    if place.depth == 0 {
        return ChainEnd::TooDeep;
    }
    for rule in &place.chain.rules {
        let fit = fit_rule(rule, question);
        if fit == RuleFit::Never {
            continue;
        }
        let end = match &rule.action {
            NetAction::Accept => ChainEnd::Accept,
            NetAction::Drop => ChainEnd::Drop,
            NetAction::Jump(name) | NetAction::Goto(name) => match find_chain(place, name) {
                Some(chain) => {
                    follow_rules(&ChainPlace { chain, depth: place.depth - 1, ..*place }, question, walk)
                }
                None => ChainEnd::Through,
            },
            NetAction::Return if fit == RuleFit::Always => return ChainEnd::Through,
            NetAction::Other => {
                walk.unread.get_or_insert_with(|| rule.text.clone());
                continue;
            }
            NetAction::Return | NetAction::Forward(_) | NetAction::Nothing => continue,
        };
        let goes = matches!(rule.action, NetAction::Goto(_));
        match (fit, end) {
            (_, ChainEnd::TooDeep) => return end,
            (RuleFit::Always, ChainEnd::Through) if !goes => {}
            (RuleFit::Always, end) => return end,
            (RuleFit::Sometimes, ChainEnd::Accept) => {
                walk.partly.get_or_insert_with(|| rule.text.clone());
            }
            // It may be let in here, and nobody knows whether: whatever comes after, it is not known to be closed.
            (RuleFit::Unknown, ChainEnd::Accept) => {
                walk.unread.get_or_insert_with(|| rule.text.clone());
            }
            // What is dropped for some, or perhaps, is still open for the others.
            (RuleFit::Sometimes | RuleFit::Unknown, _) | (RuleFit::Never, _) => {}
        }
    }
    ChainEnd::Through
}

fn find_chain<'a>(place: &ChainPlace<'a>, name: &str) -> Option<&'a NetChain> {
    let own = place.chain;
    let same = |c: &&NetChain| {
        (c.stack, &c.family, &c.table, c.name.as_str()) == (own.stack, &own.family, &own.table, name)
    };
    place.chains.iter().find(same)
}

/// Whether a rule is about the packet that is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RuleFit {
    Never,
    Always,
    Sometimes,
    Unknown,
}

fn fit_rule(rule: &NetRule, question: &PortQuestion) -> RuleFit {
    let fits: Vec<RuleFit> = rule.matches.iter().map(|m| fit_match(m, question)).collect();
    // One condition that never holds is enough, however little is known of the others.
    [RuleFit::Never, RuleFit::Unknown, RuleFit::Sometimes]
        .into_iter()
        .find(|f| fits.contains(f))
        .unwrap_or(RuleFit::Always)
}

fn fit_match(m: &NetMatch, question: &PortQuestion) -> RuleFit {
    let within = |ports: &[(u16, u16)]| ports.iter().any(|(from, to)| (*from..=*to).contains(&question.port));
    let always = |fits: bool| if fits { RuleFit::Always } else { RuleFit::Never };
    match m {
        NetMatch::Protocol(all) => always(all.is_empty() || all.iter().any(|p| p == question.protocol)),
        NetMatch::Ports(ports) => always(within(ports)),
        NetMatch::NotPorts(ports) => always(!within(ports)),
        NetMatch::NewState(fits) => always(*fits),
        NetMatch::Loopback(only) => always(!only),
        NetMatch::Family(family) => always(*family == question.family),
        NetMatch::ToAddress(_) | NetMatch::Some => RuleFit::Sometimes,
        NetMatch::Other => RuleFit::Unknown,
    }
}
