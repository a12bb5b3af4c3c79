//! `iptables-save` as chains: of iptables-nft, whose matches nft cannot show, and of iptables-legacy, which nft does not see.

use super::nft::parse_interface;
use super::{NetAction, NetChain, NetHook, NetMatch, NetRule};

/// The chains of one family.
pub(super) fn parse_saved(text: &str, family: &str, stack: &'static str) -> Vec<NetChain> {
    let mut chains: Vec<NetChain> = Vec::new();
    let mut table = String::new();
    for line in text.lines() {
        if let Some(name) = line.strip_prefix('*') {
            table = name.trim().into();
        } else if let Some(rest) = line.strip_prefix(':') {
            let words: Vec<&str> = rest.split(' ').collect();
            let (name, policy) = (words[0].to_string(), words.get(1).copied().unwrap_or("-"));
            let hook = hook_of(&table, &name, policy);
            chains.push(NetChain {
                family: family.into(),
                table: table.clone(),
                name,
                hook,
                rules: Vec::new(),
                stack,
            });
        } else if let Some(rest) = line.strip_prefix("-A ") {
            let words = split_words(rest);
            let Some((name, words)) = words.split_first() else { continue };
            if let Some(chain) = chains.iter_mut().find(|c| c.table == table && c.name == *name) {
                chain.rules.push(parse_rule(words));
            }
        }
    }
    chains
}

/// Built-in chains alone have a policy; the tables' order is the kernel's (NF_IP_PRI_* in linux/netfilter_ipv4.h).
fn hook_of(table: &str, name: &str, policy: &str) -> Option<NetHook> {
    let priority = match table {
        "raw" => -300,
        "mangle" => -150,
        "nat" => -100,
        "security" => 50,
        _ => 0,
    };
    let kind = if table == "nat" { "nat" } else { "filter" };
    (policy != "-").then(|| NetHook {
        name: name.to_lowercase(),
        kind: kind.into(),
        priority,
        drops: policy == "DROP",
    })
}

/// Words, of which those in double quotes may hold blanks.
fn split_words(text: &str) -> Vec<String> {
    let (mut words, mut word, mut quoted) = (Vec::new(), String::new(), false);
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => quoted = !quoted,
            '\\' if quoted => word.extend(chars.next()),
            ' ' if !quoted => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
            }
            c => word.push(c),
        }
    }
    words.extend((!word.is_empty()).then_some(word));
    words
}

fn parse_rule(words: &[String]) -> NetRule {
    let mut rule = NetRule { text: String::new(), matches: Vec::new(), action: NetAction::Nothing };
    let mut told = Vec::new();
    let mut at = 0;
    while at < words.len() {
        let negated = words[at] == "!";
        at += usize::from(negated);
        let Some(word) = words.get(at) else { break };
        // An option's values are what follows up to the next option.
        let values: Vec<&str> =
            words[at + 1..].iter().take_while(|w| *w != "!" && !is_option(w)).map(String::as_str).collect();
        at += 1 + values.len();
        if word == "--comment" || (word == "-m" && values == ["comment"]) || word == "-c" {
            continue;
        }
        told.push(
            format!("{}{word} {}", if negated { "! " } else { "" }, values.join(" ")).trim_end().to_string(),
        );
        take_option(&mut rule, word, &values, negated);
    }
    rule.text = told.join(" ");
    rule
}

fn is_option(word: &str) -> bool {
    word.starts_with("--")
        || (word.len() == 2 && word.starts_with('-') && !word[1..].starts_with(|c: char| c.is_ascii_digit()))
}

fn take_option(rule: &mut NetRule, option: &str, values: &[&str], negated: bool) {
    let value = values.first().copied().unwrap_or_default();
    let list = || value.split(',').map(str::to_lowercase).collect::<Vec<String>>();
    let matched = match option {
        "-p" if negated => NetMatch::Other,
        "-p" => NetMatch::Protocol(list().into_iter().filter(|p| p != "all").collect()),
        "--dport" | "--dports" => match parse_ports(value) {
            Some(ports) if negated => NetMatch::NotPorts(ports),
            Some(ports) => NetMatch::Ports(ports),
            None => NetMatch::Other,
        },
        "--ctstate" | "--state" => NetMatch::NewState(list().iter().any(|s| s == "new") != negated),
        "-i" => parse_interface(&[value.to_string()], negated),
        "-d" if !negated => {
            rule.matches.push(NetMatch::ToAddress(value.into()));
            NetMatch::Some
        }
        "-d" | "-s" | "--sport" | "--sports" | "--limit" | "--match-set" | "--src-range" | "--src-type"
        | "--hashlimit-upto" => NetMatch::Some,
        // To this host itself: that is what is asked about. --syn is what begins a connection.
        "--dst-type" if value == "LOCAL" && !negated => return,
        "--syn" if !negated => return,
        "--icmp-type" | "--icmpv6-type" => NetMatch::Protocol(vec!["icmp".into()]),
        "-m" | "--reject-with" | "--limit-burst" | "--log-prefix" | "--log-level" | "--to-ports"
        | "--set-mark" | "--set-xmark" => {
            return take_ports(rule, option, value);
        }
        "-j" => return rule.action = action_of(value),
        "-g" => return rule.action = NetAction::Goto(value.into()),
        "--to-destination" => return rule.action = NetAction::Forward(value.into()),
        _ => NetMatch::Other,
    };
    rule.matches.push(matched);
}

/// A redirection's port is part of what the rule does.
fn take_ports(rule: &mut NetRule, option: &str, value: &str) {
    if option == "--to-ports" && matches!(rule.action, NetAction::Forward(_)) {
        rule.action = NetAction::Forward(format!(":{value}"));
    }
}

fn action_of(target: &str) -> NetAction {
    match target {
        "ACCEPT" => NetAction::Accept,
        "DROP" | "REJECT" => NetAction::Drop,
        "RETURN" => NetAction::Return,
        "DNAT" | "REDIRECT" => NetAction::Forward(String::new()),
        "NFQUEUE" | "QUEUE" | "TPROXY" => NetAction::Other,
        "LOG" | "NFLOG" | "MARK" | "CONNMARK" | "TCPMSS" | "MASQUERADE" | "SNAT" | "CT" | "TRACE"
        | "CLASSIFY" | "DSCP" => NetAction::Nothing,
        chain => NetAction::Jump(chain.into()),
    }
}

fn parse_ports(text: &str) -> Option<Vec<(u16, u16)>> {
    let one = |part: &str| match part.split_once(':') {
        Some((from, to)) => Some((from.parse().ok()?, to.parse().ok()?)),
        None => part.parse().ok().map(|p| (p, p)),
    };
    text.split(',').map(one).collect()
}
