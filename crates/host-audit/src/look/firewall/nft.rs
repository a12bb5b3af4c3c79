//! `nft -j list ruleset` (libnftables-json(5)) as chains.

use super::{IpFamily, NetAction, NetChain, NetHook, NetMatch, NetRule};
use crate::host::{Sight, Unseen};
use serde_json::Value;
use std::collections::BTreeSet;

/// The form that is read here.
const VERSION: u64 = 1;

/// The chains, without the tables of iptables-nft, whose families are named apart.
pub(super) fn parse_ruleset(text: &str) -> Sight<(Vec<NetChain>, Vec<String>)> {
    let bad = |why: String| Unseen::new("nftables", why).cure("nft -j list ruleset must work for root");
    let value: Value =
        serde_json::from_str(text).map_err(|e| bad(format!("nft's answer is no JSON: {e}")))?;
    let objects = value
        .get("nftables")
        .and_then(Value::as_array)
        .ok_or_else(|| bad("nft's answer has no list".into()))?;
    let version = objects.iter().find_map(|o| o.get("metainfo")?.get("json_schema_version")?.as_u64());
    if version != Some(VERSION) {
        return Err(bad(format!("nft's answer has the schema {version:?}, not {VERSION}")));
    }
    let mut chains: Vec<NetChain> = objects.iter().filter_map(|o| parse_chain(o.get("chain")?)).collect();
    let mut foreign = BTreeSet::new();
    for rule in objects.iter().filter_map(|o| o.get("rule")) {
        let Some((family, table, chain)) = names_of(rule, "chain") else { continue };
        let expressions = rule.get("expr").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        if expressions.iter().any(|e| e.get("xt").is_some()) {
            foreign.insert((family.clone(), table.clone()));
        }
        if let Some(chain) =
            chains.iter_mut().find(|c| (&c.family, &c.table, &c.name) == (&family, &table, &chain))
        {
            chain.rules.push(parse_rule(expressions));
        }
    }
    // What iptables-nft made is whole in its own words alone: of one of its tables, all of the family.
    let classic = ["filter", "nat", "mangle", "raw", "security"];
    let families: BTreeSet<String> =
        foreign.into_iter().filter(|f| classic.contains(&f.1.as_str())).map(|f| f.0).collect();
    chains.retain(|c| !(families.contains(&c.family) && classic.contains(&c.table.as_str())));
    Ok((chains, families.into_iter().collect()))
}

fn names_of(value: &Value, name: &str) -> Option<(String, String, String)> {
    let text = |key: &str| value.get(key)?.as_str().map(String::from);
    Some((text("family")?, text("table")?, text(name)?))
}

fn parse_chain(value: &Value) -> Option<NetChain> {
    let (family, table, name) = names_of(value, "name")?;
    let text = |key: &str| value.get(key).and_then(Value::as_str).map(String::from);
    let hook = text("hook").map(|hook| NetHook {
        name: hook,
        kind: text("type").unwrap_or_default(),
        priority: value.get("prio").and_then(Value::as_i64).unwrap_or_default(),
        drops: text("policy").as_deref() == Some("drop"),
    });
    Some(NetChain { family, table, name, hook, rules: Vec::new(), stack: "nftables" })
}

fn parse_rule(expressions: &[Value]) -> NetRule {
    let mut rule = NetRule { text: String::new(), matches: Vec::new(), action: NetAction::Nothing };
    let mut words = Vec::new();
    for expression in expressions {
        let Some((kind, body)) = expression.as_object().and_then(|o| o.iter().next()) else { continue };
        match kind.as_str() {
            "match" => rule.matches.extend(parse_match(body)),
            "limit" => rule.matches.push(NetMatch::Some),
            kind => {
                let action = parse_action(kind, body);
                // The first that decides has decided: what comes after a map is for what is not in it.
                rule.action = if rule.action == NetAction::Nothing { action } else { rule.action };
            }
        }
        words.extend(describe_expression(kind, body));
    }
    rule.text = words.join(" ");
    rule
}

fn parse_action(kind: &str, body: &Value) -> NetAction {
    match kind {
        "accept" => NetAction::Accept,
        "drop" | "reject" => NetAction::Drop,
        "return" => NetAction::Return,
        "jump" => NetAction::Jump(target_of(body)),
        "goto" => NetAction::Goto(target_of(body)),
        "dnat" => NetAction::Forward(address_of(body)),
        "redirect" => NetAction::Forward(format!(":{}", plain(body.get("port").unwrap_or(&Value::Null)))),
        // These count, mark or rewrite, and do not decide.
        "counter" | "log" | "mangle" | "masquerade" | "snat" | "notrack" | "quota" | "set" | "ct helper" => {
            NetAction::Nothing
        }
        "vmap" => parse_map(body),
        _ => NetAction::Other,
    }
}

/// `ct state vmap { established : accept, … }` is how Debian's own examples begin; other maps are not read.
fn parse_map(body: &Value) -> NetAction {
    let state = body.pointer("/key/ct/key").and_then(Value::as_str) == Some("state");
    let Some(entries) = body.pointer("/data/set").and_then(Value::as_array).filter(|_| state) else {
        return NetAction::Other;
    };
    let new = entries.iter().find(|e| e.get(0).and_then(Value::as_str) == Some("new"));
    match new.and_then(|e| e.get(1)?.as_object()?.keys().next().map(String::as_str)) {
        Some("accept") => NetAction::Accept,
        Some("drop" | "reject") => NetAction::Drop,
        None | Some("continue") => NetAction::Nothing,
        Some(_) => NetAction::Other,
    }
}

fn target_of(body: &Value) -> String {
    body.get("target").and_then(Value::as_str).unwrap_or_default().into()
}

fn address_of(body: &Value) -> String {
    let part = |key: &str| body.get(key).map(plain).unwrap_or_default();
    match (part("addr"), part("port")) {
        (address, port) if port.is_empty() => address,
        (address, port) => format!("{address}:{port}"),
    }
}

/// A match of an address is of its family alone, also in a table of both.
fn parse_match(body: &Value) -> Vec<NetMatch> {
    let family = match body.pointer("/left/payload/protocol").and_then(Value::as_str) {
        Some("ip") => Some(NetMatch::Family(IpFamily::V4)),
        Some("ip6") => Some(NetMatch::Family(IpFamily::V6)),
        _ => None,
    };
    family.into_iter().chain(parse_condition(body)).collect()
}

fn parse_condition(body: &Value) -> Vec<NetMatch> {
    let negated = body.get("op").and_then(Value::as_str) == Some("!=");
    let right = body.get("right").unwrap_or(&Value::Null);
    let left =
        |path: &str| body.pointer(&format!("/left/{path}")).and_then(Value::as_str).unwrap_or_default();
    match (left("payload/protocol"), left("payload/field"), left("meta/key"), left("ct/key")) {
        (protocol @ ("tcp" | "udp" | "th" | "sctp"), "dport", ..) => {
            let ports = parse_ports(right).map_or(NetMatch::Other, |p| {
                if negated { NetMatch::NotPorts(p) } else { NetMatch::Ports(p) }
            });
            let own = (protocol != "th").then(|| NetMatch::Protocol(vec![protocol.into()]));
            own.into_iter().chain([ports]).collect()
        }
        (_, "sport" | "saddr", ..) | (_, _, "skuid" | "iifgroup", _) => vec![NetMatch::Some],
        (_, "daddr", ..) if !negated => vec![NetMatch::ToAddress(plain(right)), NetMatch::Some],
        (_, "daddr", ..) => vec![NetMatch::Some],
        ("ip", "protocol", ..) | ("ip6", "nexthdr", ..) | (_, _, "l4proto", _) if !negated => {
            vec![NetMatch::Protocol(names_in(right))]
        }
        (_, _, "iif" | "iifname", _) => vec![parse_interface(&names_in(right), negated)],
        (_, _, "nfproto", _) if !negated => match plain(right).as_str() {
            "ipv4" => vec![NetMatch::Family(IpFamily::V4)],
            "ipv6" => vec![NetMatch::Family(IpFamily::V6)],
            _ => vec![NetMatch::Other],
        },
        (_, _, _, "state") => vec![NetMatch::NewState(names_in(right).iter().any(|s| s == "new") != negated)],
        ("icmp" | "icmpv6", ..) => vec![NetMatch::Protocol(vec!["icmp".into()])],
        _ => vec![NetMatch::Other],
    }
}

/// From outside nothing comes over `lo`; another interface is some of the outside.
pub(super) fn parse_interface(names: &[String], negated: bool) -> NetMatch {
    match (names.iter().all(|n| n == "lo"), negated) {
        (true, negated) => NetMatch::Loopback(!negated),
        (false, _) => NetMatch::Some,
    }
}

fn parse_ports(right: &Value) -> Option<Vec<(u16, u16)>> {
    let number = |v: &Value| u16::try_from(v.as_u64()?).ok();
    let one = |v: &Value| match v.get("range").and_then(Value::as_array) {
        Some(range) => Some((number(range.first()?)?, number(range.get(1)?)?)),
        None => number(v).map(|n| (n, n)),
    };
    match right.get("set").and_then(Value::as_array) {
        Some(set) => set.iter().map(one).collect(),
        None => one(right).map(|p| vec![p]),
    }
}

fn names_in(right: &Value) -> Vec<String> {
    match right.get("set").or(Some(right)).and_then(Value::as_array) {
        Some(all) => all.iter().map(plain).collect(),
        None => vec![plain(right)],
    }
}

/// Any value in one line, as nft's own text nearly has it.
fn plain(value: &Value) -> String {
    let list = |all: &[Value]| all.iter().map(plain).collect::<Vec<_>>().join(", ");
    match value {
        Value::String(text) => text.clone(),
        Value::Array(all) => list(all),
        Value::Object(object) => match object.iter().next() {
            Some((key, body)) if key == "set" => {
                format!("{{ {} }}", body.as_array().map(|a| list(a)).unwrap_or_default())
            }
            Some((key, body)) if key == "range" => {
                body.as_array().map(|r| r.iter().map(plain).collect::<Vec<_>>().join("-")).unwrap_or_default()
            }
            Some((key, body)) if key == "prefix" => {
                format!("{}/{}", plain(&body["addr"]), plain(&body["len"]))
            }
            Some((key, body)) if key == "payload" => {
                format!("{} {}", plain(&body["protocol"]), plain(&body["field"]))
            }
            Some((key, body)) if key == "meta" || key == "ct" => format!("{key} {}", plain(&body["key"])),
            _ => value.to_string(),
        },
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// Without what changes by itself: counters, and how much of a quota is used.
fn describe_expression(kind: &str, body: &Value) -> Option<String> {
    match kind {
        "counter" => None,
        "match" => {
            let (left, right) = (plain(&body["left"]), plain(&body["right"]));
            let not = if body["op"] == "!=" { "!= " } else { "" };
            Some(format!("{left} {not}{right}"))
        }
        "quota" => Some("quota".into()),
        kind if body.is_null() => Some(kind.into()),
        kind => Some(format!(
            "{kind} {}",
            if kind == "jump" || kind == "goto" { target_of(body) } else { plain(body) }
        )),
    }
}
