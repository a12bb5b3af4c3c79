//! sshd's effective settings, as sshd itself tells them: for everybody, and inside of every Match.

use crate::fact::{HostFact, SubjectReport};
use crate::finding::HostFinding;
use crate::host::{HostView, ProgramQuestion, Sight, Unseen};
use crate::look::accounts::AccountTable;
use crate::rules;
use crate::subject::HostSubject;
use std::collections::BTreeMap;
use toban_core::Severity;
use toban_core::check::{Rule, matches_pattern};

const DEPTH: usize = 8;
/// Settings that decide who gets in, and what he may do then.
const TOLD: [&str; 32] = [
    "allowgroups",
    "allowtcpforwarding",
    "allowusers",
    "authenticationmethods",
    "authorizedkeyscommand",
    "authorizedkeysfile",
    "chrootdirectory",
    "ciphers",
    "denygroups",
    "denyusers",
    "forcecommand",
    "gatewayports",
    "hostbasedauthentication",
    "ignorerhosts",
    "kbdinteractiveauthentication",
    "kexalgorithms",
    "listenaddress",
    "logingracetime",
    "macs",
    "maxauthtries",
    "passwordauthentication",
    "permitemptypasswords",
    "permitrootlogin",
    "permittunnel",
    "permituserenvironment",
    "port",
    "pubkeyauthentication",
    "strictmodes",
    "subsystem",
    "trustedusercakeys",
    "usepam",
    "x11forwarding",
];
/// RFC 9142 and OpenSSH's own list of what it leaves off.
const WEAK: [&str; 12] = [
    "3des-cbc",
    "aes128-cbc",
    "aes192-cbc",
    "aes256-cbc",
    "arcfour*",
    "blowfish-cbc",
    "cast128-cbc",
    "*-md5*",
    "*-sha1-96*",
    "diffie-hellman-group1-sha1",
    "diffie-hellman-group-exchange-sha1",
    "rsa1024*",
];

/// The settings of one circumstance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SshdContext {
    /// `all`, or what a Match says.
    pub(crate) name: String,
    pub(crate) settings: BTreeMap<String, String>,
}

/// What one configuration says.
#[derive(Clone, Debug)]
pub(crate) enum SshdAnswer {
    Settings(Vec<SshdContext>),
    /// It would not start any more.
    Faulty(String),
}

/// The configurations that were looked at.
#[derive(Debug, Default)]
pub(crate) struct SshdFacts {
    pub(crate) configs: Vec<(String, Sight<SshdAnswer>)>,
    pub(crate) installed: bool,
    /// Another SSH server, whose settings are flags that nobody tells.
    pub(crate) dropbear: bool,
}

/// Asks sshd, once for everybody and once for each Match.
pub(crate) fn read_sshd(host: &HostView, configs: &[String], accounts: &AccountTable) -> SshdFacts {
    let there = |path: &str| host.path(path).exists();
    let installed = if host.is_live() {
        there("/usr/sbin/sshd")
    } else {
        there("/programs/sshd-T") || there("/etc/ssh/sshd_config")
    };
    let dropbear = there("/usr/sbin/dropbear");
    if !installed {
        return SshdFacts { dropbear, ..SshdFacts::default() };
    }
    let answers = configs.iter().map(|config| (config.clone(), read_config(host, config, accounts)));
    SshdFacts { configs: answers.collect(), installed, dropbear }
}

fn read_config(host: &HostView, config: &str, accounts: &AccountTable) -> Sight<SshdAnswer> {
    let mut contexts = Vec::new();
    let first = match ask_sshd(host, config, "")? {
        Ok(settings) => settings,
        Err(fault) => return Ok(SshdAnswer::Faulty(fault)),
    };
    contexts.push(SshdContext { name: "all".into(), settings: first });
    let mut matches = Vec::new();
    collect_matches(host, config, DEPTH, &mut matches)?;
    matches.dedup();
    for criteria in matches {
        // A group without members, or no criterion that limits anything, has nobody to ask for.
        let Some(connection) = sample_connection(&criteria, accounts) else { continue };
        if let Ok(settings) = ask_sshd(host, config, &connection)? {
            contexts.push(SshdContext { name: criteria, settings });
        }
    }
    Ok(SshdAnswer::Settings(contexts))
}

/// The settings, or why sshd would not start.
fn ask_sshd(
    host: &HostView,
    config: &str,
    connection: &str,
) -> Sight<Result<BTreeMap<String, String>, String>> {
    let mut command = vec!["sshd", "-T", "-f", config];
    command.extend(if connection.is_empty() { vec![] } else { vec!["-C", connection] });
    let file = if config == "/etc/ssh/sshd_config" { "" } else { config };
    let label =
        format!("sshd-T{file}{}{connection}", if connection.is_empty() { "" } else { "_" }).replace('/', "_");
    let text = host.ask(&ProgramQuestion { label: &label, command: &command, also: &[255] })?;
    let settings = parse_settings(&text);
    let fault = text.lines().find(|l| {
        l.contains("Bad configuration option")
            || l.contains("bad configuration option")
            || l.contains(" line ") && l.contains("rror")
    });
    match (settings.contains_key("port"), fault) {
        (true, _) => Ok(Ok(settings)),
        (false, Some(fault)) => Ok(Err(fault.trim().into())),
        (false, None) => {
            Err(Unseen::new("sshd's settings", text.lines().next().unwrap_or("sshd said nothing"))
                .cure("sshd -T must work for root: host keys, the user sshd and /run/sshd"))
        }
    }
}

/// `keyword value`; what may be given several times has a line for each.
fn parse_settings(text: &str) -> BTreeMap<String, String> {
    let mut settings: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in text.lines().filter_map(|l| l.split_once(' ')).filter(|(n, _)| TOLD.contains(n)) {
        // The same thing in the words of two versions.
        let value = value.replace("without-password", "prohibit-password");
        settings.entry(name.into()).and_modify(|all| *all = format!("{all}, {value}")).or_insert(value);
    }
    settings
}

/// Every Match of a configuration and what it includes, in the order in which sshd reads them.
fn collect_matches(host: &HostView, path: &str, depth: usize, found: &mut Vec<String>) -> Sight<()> {
    let Some(text) = host.read_some(path)?.filter(|_| depth > 0) else { return Ok(()) };
    for line in text.lines() {
        // `Keyword=value` is allowed as well (sshd_config(5)).
        let line = line.trim().replacen('=', " ", usize::from(!line.contains(' ')));
        let Some((word, rest)) = line.split_once([' ', '\t']) else { continue };
        match word.to_lowercase().as_str() {
            "match" => found.push(rest.split_whitespace().collect::<Vec<_>>().join(" ")),
            "include" => {
                for pattern in rest.split_whitespace() {
                    for file in expand_include(host, pattern)? {
                        collect_matches(host, &file, depth - 1, found)?;
                    }
                }
            }
            _ => {}
        }
    }
    Ok(())
}

fn expand_include(host: &HostView, pattern: &str) -> Sight<Vec<String>> {
    let pattern = pattern.trim_matches('"');
    let whole = if pattern.starts_with('/') { pattern.to_string() } else { format!("/etc/ssh/{pattern}") };
    let (folder, name) = whole.rsplit_once('/').unwrap_or(("", &whole));
    if !name.contains('*') {
        return Ok(vec![whole.clone()]);
    }
    let names = host.list_names(folder)?;
    Ok(names
        .iter()
        .filter(|n| !n.starts_with('.') && matches_pattern(name, n))
        .map(|n| format!("{folder}/{n}"))
        .collect())
}

/// A connection that a Match is about, for `-C`; None where nobody can make one.
fn sample_connection(criteria: &str, accounts: &AccountTable) -> Option<String> {
    let words: Vec<&str> = criteria.split_whitespace().collect();
    let mut parts = BTreeMap::from([
        ("user", "nobody".to_string()),
        ("host", "client.invalid".into()),
        ("addr", "192.0.2.1".into()),
    ]);
    let mut limited = false;
    for pair in words.chunks(2) {
        let [name, patterns] = pair else { return None };
        let sample = patterns
            .trim_matches('"')
            .split(',')
            .find(|p| !p.starts_with('!'))
            .map(|p| p.replace(['*', '?'], "x"));
        let key = match name.to_lowercase().as_str() {
            "user" => "user",
            "group" => {
                let group = patterns.trim_matches('"').split(',').find(|p| !p.starts_with('!'))?;
                let member =
                    accounts.groups.iter().filter(|g| matches_pattern(group, g.0)).find_map(|g| g.1.first());
                let own = accounts
                    .accounts
                    .iter()
                    .find(|a| matches_pattern(group, &accounts.group_name(a.gid)))
                    .map(|a| &a.name);
                parts.insert("user", member.or(own)?.clone());
                limited = true;
                continue;
            }
            "host" => "host",
            "address" => "addr",
            "localaddress" => "laddr",
            "localport" => "lport",
            "rdomain" => "rdomain",
            _ => return None,
        };
        // Of a network its first address: that is in it.
        parts.insert(key, sample?.split('/').next()?.to_string());
        limited = true;
    }
    limited.then(|| parts.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>().join(","))
}

/// Facts of what is so for everybody and of what a Match changes; findings of what lets in too much.
pub(crate) fn judge_sshd(facts: &SshdFacts, report: &mut SubjectReport) {
    if facts.dropbear {
        let why = "its settings are the flags in /etc/default/dropbear, which are not judged here";
        report
            .gaps
            .push(Unseen::new("dropbear", why).cure("read them, or remove the package where OpenSSH serves"));
    } else if !facts.installed {
        report.not_applicable = Some("no SSH server is installed".into());
        return;
    }
    report.looked_at = format!("{} configurations", facts.configs.len());
    for (config, answer) in &facts.configs {
        let place = if config == "/etc/ssh/sshd_config" { String::new() } else { format!("{config}: ") };
        match answer {
            Err(unseen) => report.gaps.push(unseen.clone()),
            Ok(SshdAnswer::Faulty(why)) => report.findings.push(
                HostFinding::new(HostSubject::Sshd, &rules::SSHD_CANNOT_RESTART, config, Severity::Critical)
                    .says(why.as_str()),
            ),
            Ok(SshdAnswer::Settings(contexts)) => {
                let all = &contexts[0].settings;
                for context in contexts {
                    let differs = |(name, value): &(&String, &String)| {
                        context.name == "all" || all.get(*name) != Some(*value)
                    };
                    let told: BTreeMap<&String, &String> = context.settings.iter().filter(differs).collect();
                    let name = format!("{place}{}", context.name);
                    report.facts.extend(told.iter().map(|(k, v)| setting_fact(&name, k, v)));
                    report.findings.extend(told.iter().flat_map(|(k, v)| judge_setting(&name, k, v)));
                }
            }
        }
    }
}

fn setting_fact(context: &str, name: &str, value: &str) -> HostFact {
    let whom = if context == "all" { String::new() } else { format!(" for Match {context}") };
    HostFact::new(format!("{context}/{name}"), value).says(format!("{name} {value}{whom}"))
}

fn judge_setting(context: &str, name: &str, value: &str) -> Vec<HostFinding> {
    let finding = |rule: &'static Rule, severity, said: String| {
        HostFinding::new(HostSubject::Sshd, rule, &format!("{context}/{name}"), severity).says(said)
    };
    let said = format!(
        "{name} {value}{}",
        if context == "all" { String::new() } else { format!(" inside of Match {context}") }
    );
    match (name, value) {
        ("permitrootlogin", "yes") => vec![finding(&rules::SSHD_ROOT_LOGIN, Severity::Critical, said)],
        ("permitemptypasswords", "yes") => {
            vec![finding(&rules::SSHD_EMPTY_PASSWORDS, Severity::Critical, said)]
        }
        ("passwordauthentication", "yes") => vec![finding(&rules::SSHD_PASSWORDS, Severity::Warning, said)],
        ("hostbasedauthentication" | "permituserenvironment" | "permittunnel" | "gatewayports", "yes")
        | ("ignorerhosts" | "strictmodes", "no")
        | ("logingracetime", "0") => vec![finding(&rules::SSHD_LOOSE, Severity::Warning, said)],
        ("ciphers" | "macs" | "kexalgorithms", list) => {
            let weak: Vec<&str> = list
                .split(',')
                .map(str::trim)
                .filter(|a| WEAK.iter().any(|w| matches_pattern(w, a)))
                .collect();
            if weak.is_empty() {
                vec![]
            } else {
                vec![finding(
                    &rules::SSHD_WEAK_CRYPTO,
                    Severity::Warning,
                    format!("{name} offers {}", weak.join(", ")),
                )]
            }
        }
        _ => vec![],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_match_has_a_connection() {
        let mut accounts = AccountTable::default();
        accounts.groups.insert("ops".into(), vec!["anna".into()]);
        for (criteria, connection) in [
            ("User bob", Some("addr=192.0.2.1,host=client.invalid,user=bob")),
            ("user b*,!bert Address 10.0.0.0/8", Some("addr=10.0.0.0,host=client.invalid,user=bx")),
            ("Group ops", Some("addr=192.0.2.1,host=client.invalid,user=anna")),
            ("Group nobody-is-in-it", None),
            ("LocalPort 2222", Some("addr=192.0.2.1,host=client.invalid,lport=2222,user=nobody")),
            ("all", None),
        ] {
            assert_eq!(sample_connection(criteria, &accounts).as_deref(), connection, "{criteria}");
        }
    }

    #[test]
    fn words_of_two_versions_are_one_value() {
        let old = parse_settings("port 22\npermitrootlogin without-password\nport 2222\n");
        assert_eq!(old["permitrootlogin"], "prohibit-password");
        assert_eq!(old["port"], "22, 2222");
    }
}
