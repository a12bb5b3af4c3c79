//! Accounts of the system: who there is, who may log in, by which keys, and in which powerful groups.

use crate::fact::{HostFact, SubjectReport};
use crate::finding::HostFinding;
use crate::host::{HostView, Sight, Unseen};
use crate::rules;
use crate::subject::HostSubject;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use std::collections::BTreeMap;
use toban_core::Severity;
use toban_core::check::Rule;
use toban_core::sum::sha256;

/// Groups whose members come to root, or read what only root may.
pub(crate) const POWERFUL: [&str; 14] = [
    "adm",
    "admin",
    "backup",
    "disk",
    "docker",
    "incus",
    "incus-admin",
    "kvm",
    "libvirt",
    "lxd",
    "root",
    "shadow",
    "sudo",
    "wheel",
];
/// Numbers below this one are of services (adduser.conf(5), FIRST_UID).
const FIRST_PERSON: u32 = 1000;
const KEY_FILES: [&str; 2] = [".ssh/authorized_keys", ".ssh/authorized_keys2"];

/// One line of passwd, with what shadow says.
#[derive(Clone, Debug)]
pub(crate) struct HostAccount {
    pub(crate) name: String,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) home: String,
    pub(crate) shell: String,
    pub(crate) password: PasswordState,
}

/// What shadow(5) says of a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PasswordState {
    Locked,
    Empty,
    Old,
    Set,
    Unseen,
}

impl PasswordState {
    fn name(self) -> &'static str {
        ["locked", "empty", "old hash", "set", "not seen"][self as usize]
    }

    /// crypt(5): `$y$`, `$7$`, `$2b$`, `$5$` and `$6$` are slow to guess; MD5's `$1$` and DES without a mark are not.
    fn of(field: &str) -> PasswordState {
        match field {
            "" => PasswordState::Empty,
            f if f.starts_with(['!', '*']) => PasswordState::Locked,
            f if f.starts_with("$1$") || !f.starts_with('$') => PasswordState::Old,
            _ => PasswordState::Set,
        }
    }

    fn opens(self) -> bool {
        !matches!(self, PasswordState::Locked)
    }
}

/// A public key that logs in.
#[derive(Clone, Debug)]
pub(crate) struct LoginKey {
    pub(crate) user: String,
    pub(crate) fingerprint: String,
    pub(crate) comment: String,
    pub(crate) options: String,
}

/// Everything that /etc says of accounts.
#[derive(Clone, Debug, Default)]
pub(crate) struct AccountTable {
    pub(crate) accounts: Vec<HostAccount>,
    /// Members of each group, with those whose first group it is.
    pub(crate) groups: BTreeMap<String, Vec<String>>,
    pub(crate) group_numbers: BTreeMap<u32, String>,
    pub(crate) keys: Vec<LoginKey>,
    pub(crate) gaps: Vec<Unseen>,
}

impl AccountTable {
    /// The account of a number.
    pub(crate) fn find_uid(&self, uid: u32) -> Option<&HostAccount> {
        self.accounts.iter().find(|a| a.uid == uid)
    }

    /// Its name, or the number.
    pub(crate) fn name_of(&self, uid: u32) -> String {
        self.find_uid(uid).map_or_else(|| uid.to_string(), |a| a.name.clone())
    }

    /// The name of a group, or the number.
    pub(crate) fn group_name(&self, gid: u32) -> String {
        self.group_numbers.get(&gid).cloned().unwrap_or_else(|| gid.to_string())
    }

    /// Whether every account is in it: one that is missing may then be called unknown.
    pub(crate) fn is_whole(&self) -> bool {
        !self.accounts.is_empty() && !self.gaps.iter().any(|g| g.what == "accounts of a directory service")
    }
}

/// Reads passwd, group, shadow, and the keys in each home.
pub(crate) fn read_accounts(host: &HostView) -> Sight<AccountTable> {
    let passwd = host.read_text("/etc/passwd")?;
    let mut table = AccountTable::default();
    let shadow = host.read_text("/etc/shadow").map(|text| read_shadow(&text));
    table.gaps.extend(shadow.as_ref().err().cloned());
    for line in passwd.lines() {
        let passwords = shadow.as_ref().ok();
        table.accounts.extend(parse_account(line, passwords));
    }
    let group = host.read_text("/etc/group")?;
    group.lines().for_each(|line| add_group(line, &mut table));
    let nss = host.read_some("/etc/nsswitch.conf").ok().flatten().unwrap_or_default();
    let services = nss.lines().find_map(|l| l.strip_prefix("passwd:")).unwrap_or_default();
    if let Some(other) = services.split_whitespace().find(|s| ["sss", "ldap", "winbind", "nis"].contains(s)) {
        let why = format!("{other} does not list them all");
        table.gaps.push(
            Unseen::new("accounts of a directory service", why).cure("review them where they are kept"),
        );
    }
    for account in table.accounts.clone() {
        for file in KEY_FILES {
            match host.read_some(&format!("{}/{file}", account.home)) {
                Ok(text) => table
                    .keys
                    .extend(text.iter().flat_map(|t| t.lines()).filter_map(|l| parse_key(l, &account.name))),
                Err(unseen) => table.gaps.push(unseen),
            }
        }
    }
    // Two services with one home have one file of keys, and one gap.
    table.gaps.dedup();
    Ok(table)
}

fn read_shadow(text: &str) -> BTreeMap<String, PasswordState> {
    let entry = |line: &str| {
        let mut fields = line.split(':');
        Some((fields.next()?.to_string(), PasswordState::of(fields.next()?)))
    };
    text.lines().filter_map(entry).collect()
}

fn parse_account(line: &str, passwords: Option<&BTreeMap<String, PasswordState>>) -> Option<HostAccount> {
    let fields: Vec<&str> = line.split(':').collect();
    let [name, word, uid, gid, _, home, shell] = fields[..] else { return None };
    let password = match (word, passwords) {
        // An `x` sends to shadow; anything else is the password itself (passwd(5)).
        ("x", Some(passwords)) => passwords.get(name).copied().unwrap_or(PasswordState::Locked),
        ("x", None) => PasswordState::Unseen,
        (word, _) => PasswordState::of(word),
    };
    Some(HostAccount {
        name: name.into(),
        uid: uid.parse().ok()?,
        gid: gid.parse().ok()?,
        home: home.into(),
        shell: shell.into(),
        password,
    })
}

fn add_group(line: &str, table: &mut AccountTable) {
    let fields: Vec<&str> = line.split(':').collect();
    let [name, _, gid, members] = fields[..] else { return };
    let Ok(gid) = gid.parse::<u32>() else { return };
    let first = table.accounts.iter().filter(|a| a.gid == gid && a.name != name).map(|a| a.name.clone());
    let mut all: Vec<String> = members.split(',').filter(|m| !m.is_empty()).map(String::from).collect();
    all.extend(first);
    all.sort();
    all.dedup();
    table.groups.insert(name.into(), all);
    table.group_numbers.entry(gid).or_insert_with(|| name.into());
}

/// sshd(8): options, type, key, comment; the type is the first word that a key's blob says of itself.
fn parse_key(line: &str, user: &str) -> Option<LoginKey> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return None;
    }
    // As sshd does it: a key, else options and a key. A word inside of an option that looks like a key, as in
    // command="echo AAAA", must not hide the one that logs in.
    let (options, rest) = match read_blob(line).is_some() {
        true => ("", line),
        false => line.split_at(find_options_end(line)),
    };
    let (blob, comment) = read_blob(rest)?;
    Some(LoginKey {
        user: user.into(),
        fingerprint: format!("SHA256:{}", STANDARD_NO_PAD.encode(sha256(&blob))),
        comment,
        options: options.into(),
    })
}

/// The key and the comment of `TYPE KEY COMMENT`. Every key begins with the length of its type, three zero bytes first.
fn read_blob(text: &str) -> Option<(Vec<u8>, String)> {
    let mut words = text.split_whitespace();
    words.next().filter(|kind| !kind.contains(['"', '=']))?;
    let blob = STANDARD.decode(words.next()?).ok().filter(|blob| blob.starts_with(&[0, 0, 0]))?;
    Some((blob, words.collect::<Vec<_>>().join(" ")))
}

/// The first blank outside of quotes; `\"` is no quote.
fn find_options_end(line: &str) -> usize {
    let (mut quoted, mut escaped) = (false, false);
    let end = line.find(|c: char| {
        quoted ^= c == '"' && !escaped;
        escaped = c == '\\';
        !quoted && c.is_ascii_whitespace()
    });
    end.unwrap_or(line.len())
}

/// Facts of each account, key and membership; and what is wrong with them.
pub(crate) fn judge_accounts(table: &AccountTable, report: &mut SubjectReport) {
    report.gaps.extend(table.gaps.iter().cloned());
    report.looked_at = format!("{} accounts, {} keys", table.accounts.len(), table.keys.len());
    report.facts.extend(table.accounts.iter().map(account_fact));
    for group in POWERFUL {
        let members = table.groups.get(group).into_iter().flatten();
        report.facts.extend(members.map(|member| {
            HostFact::new(format!("group/{group}/{member}"), "")
                .says(format!("{member} is in the group {group}"))
                .weighs(Severity::Critical)
                .when_gone(Severity::Ok)
        }));
    }
    report.facts.extend(table.keys.iter().map(|key| {
        let options = if key.options.is_empty() { String::new() } else { format!(", {}", key.options) };
        HostFact::new(format!("key/{}/{}", key.user, key.fingerprint), key.options.clone())
            .says(format!("key {} ({}) logs in as {}{options}", key.fingerprint, key.comment, key.user))
            .weighs(Severity::Critical)
            .when_gone(Severity::Ok)
    }));
    report.findings.extend(table.accounts.iter().flat_map(|account| find_faults(account, table)));
}

fn account_fact(a: &HostAccount) -> HostFact {
    let value = format!(
        "uid {} gid {} home {} shell {} password {}",
        a.uid,
        a.gid,
        a.home,
        a.shell,
        a.password.name()
    );
    let weight = if a.uid == 0 || a.uid >= FIRST_PERSON { Severity::Critical } else { Severity::Warning };
    HostFact::new(format!("account/{}", a.name), &value)
        .says(format!("account {}: {value}", a.name))
        .weighs(weight)
}

fn find_faults(a: &HostAccount, table: &AccountTable) -> Vec<HostFinding> {
    let finding = |rule: &'static Rule, severity, said: String| {
        HostFinding::new(HostSubject::Accounts, rule, &format!("account/{}", a.name), severity).says(said)
    };
    let shell = !["nologin", "false", "sync"].iter().any(|s| a.shell.ends_with(s)) && !a.shell.is_empty();
    let mut found = Vec::new();
    if a.uid == 0 && a.name != "root" {
        found.push(finding(&rules::SECOND_ROOT, Severity::Critical, format!("{} has the number 0", a.name)));
    } else if let Some(other) = table.accounts.iter().find(|b| b.uid == a.uid).filter(|b| b.name != a.name) {
        let said = format!("{} and {} are both {}", other.name, a.name, a.uid);
        found.push(finding(&rules::DUPLICATE_UID, Severity::Warning, said));
    }
    match a.password {
        PasswordState::Empty => {
            found.push(finding(
                &rules::EMPTY_PASSWORD,
                Severity::Critical,
                "opens without a password".into(),
            ));
        }
        PasswordState::Old => {
            found.push(finding(&rules::OLD_HASH, Severity::Warning, "its hash is MD5 or DES".into()));
        }
        _ => {}
    }
    let service = a.uid != 0 && a.uid < FIRST_PERSON;
    if service && shell && a.password.opens() && a.password != PasswordState::Unseen {
        let said = format!("a service with a password and the shell {}", a.shell);
        found.push(finding(&rules::SERVICE_LOGIN, Severity::Warning, said));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_judged_by_their_marks() {
        for (field, state) in [
            ("", PasswordState::Empty),
            ("!", PasswordState::Locked),
            ("!$y$j9T$x", PasswordState::Locked),
            ("*", PasswordState::Locked),
            ("$1$salt$hash", PasswordState::Old),
            ("aaJlOmV7yGv2U", PasswordState::Old),
            ("$y$j9T$x", PasswordState::Set),
            ("$6$x", PasswordState::Set),
        ] {
            assert_eq!(PasswordState::of(field), state, "{field:?}");
        }
    }

    #[test]
    fn a_key_is_found_behind_its_options() {
        let blob = "AAAAC3NzaC1lZDI1NTE5AAAAIJiZ5vlQBv5l8Rxn0d4WmYb1m0YxYd4wq2G0qK2l0hVn";
        let hiding = format!("command=\"echo AAAA {blob}\"");
        for (line, options) in [
            (format!("ssh-ed25519 {blob} anna@x"), ""),
            (
                format!("from=\"10.0.0.0/8\",command=\"echo hi\" ssh-ed25519 {blob} anna@x"),
                "from=\"10.0.0.0/8\",command=\"echo hi\"",
            ),
            (format!("command=\"echo AAAA {blob}\" ssh-ed25519 {blob} anna@x"), hiding.as_str()),
        ] {
            let key = parse_key(&line, "anna").expect("a key");
            assert_eq!((key.options.as_str(), key.comment.as_str()), (options, "anna@x"));
            assert!(
                key.fingerprint.starts_with("SHA256:") && key.fingerprint.len() == 50,
                "{}",
                key.fingerprint
            );
        }
        assert!(parse_key("# comment", "anna").is_none() && parse_key("", "anna").is_none());
    }
}
