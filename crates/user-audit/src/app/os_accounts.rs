//! Accounts of the system beside the application's: whose application account is disabled, and who still gets in there.

use super::names::fold_name;
use super::rules::User;
use crate::finding::AuditFinding;
use crate::rulebook::app;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use toban_core::{Context, Error, Result, Severity};

const SCHEMA: &str = "host-audit.fact/1";
/// Numbers of people, as adduser gives them; 65534 is nobody.
const PEOPLE: std::ops::Range<u32> = 1000..65534;

/// A line of `host-audit list accounts --json`.
#[derive(Deserialize)]
struct HostLine {
    schema: String,
    key: String,
    value: String,
}

/// One account of the system.
#[derive(Clone, Debug, Default)]
struct OsAccount {
    uid: u32,
    shell: bool,
    password: bool,
    keys: u64,
    groups: Vec<String>,
}

impl OsAccount {
    /// Whether somebody can log in as it.
    fn is_open(&self) -> bool {
        self.shell && (self.password || self.keys > 0)
    }

    fn describe(&self) -> String {
        let password = self.password.then(|| "a password".to_string());
        let keys = (self.keys > 0).then(|| format!("{} keys", self.keys));
        let groups = (!self.groups.is_empty()).then(|| format!("the groups {}", self.groups.join(", ")));
        password.into_iter().chain(keys).chain(groups).collect::<Vec<_>>().join(", ")
    }
}

/// All of a host, and whose they are.
#[derive(Clone, Debug, Default)]
pub(super) struct OsAccounts {
    accounts: BTreeMap<String, OsAccount>,
    /// Names of system accounts by the folded address of the person.
    mapping: BTreeMap<String, String>,
    claimed: BTreeSet<String>,
}

impl OsAccounts {
    /// Reads the file; `mapping` names the account of an address where it is not the address's first part.
    ///
    /// # Errors
    /// Usage when it is no such list, or lists no account.
    pub(super) fn read_file(path: &Path, mapping: &BTreeMap<String, String>) -> Result<OsAccounts> {
        let doing = || format!("read {}", path.display());
        let text = std::fs::read_to_string(path).doing(doing)?;
        let bad = || Error::usage(format!("{} is no list of a host's accounts", path.display()));
        let hint = "host-audit list accounts --json > FILE";
        let mut all = OsAccounts {
            mapping: mapping.iter().map(|(address, name)| (fold_name(address), name.clone())).collect(),
            ..OsAccounts::default()
        };
        for line in text.lines() {
            let line: HostLine = serde_json::from_str(line).map_err(|e| bad().because(e).hint(hint))?;
            if line.schema != SCHEMA {
                return Err(bad().hint(hint));
            }
            all.add_line(&line);
        }
        if all.accounts.is_empty() { Err(bad().hint(hint)) } else { Ok(all) }
    }

    /// `account/NAME`, `key/NAME/FINGERPRINT` and `group/GROUP/NAME`.
    fn add_line(&mut self, line: &HostLine) {
        let mut parts = line.key.splitn(3, '/');
        match (parts.next(), parts.next(), parts.next()) {
            (Some("account"), Some(name), None) => {
                let account = self.accounts.entry(name.into()).or_default();
                let after = |word: &str| line.value.split_once(&format!("{word} ")).map(|(_, rest)| rest);
                account.uid =
                    after("uid").and_then(|v| v.split(' ').next()?.parse().ok()).unwrap_or_default();
                let shell = after(" shell").and_then(|v| v.split(' ').next()).unwrap_or_default();
                account.shell = !["nologin", "false", "sync"].iter().any(|s| shell.ends_with(s));
                account.password = line.value.rsplit_once(" password ").is_some_and(|(_, p)| p != "locked");
            }
            (Some("key"), Some(name), Some(_)) => self.accounts.entry(name.into()).or_default().keys += 1,
            (Some("group"), Some(group), Some(name)) => {
                self.accounts.entry(name.into()).or_default().groups.push(group.into());
            }
            _ => {}
        }
    }

    /// Whether the person of this account still gets into the system when the application is closed to him.
    pub(super) fn judge_user(&mut self, user: &User<'_>, disabled: bool) -> Option<AuditFinding> {
        let address = user.email.or(user.login)?;
        let first = address.split('@').next().unwrap_or(address);
        let name = self.mapping.get(&fold_name(address)).map_or(first, String::as_str).to_string();
        let account = self.accounts.get(&name)?;
        self.claimed.insert(name.clone());
        (disabled && account.is_open()).then(|| {
            let severity = if account.groups.is_empty() { Severity::Warning } else { Severity::Critical };
            let said = format!("disabled here, and the system account {name} opens: {}", account.describe());
            AuditFinding::new(&app::OS_ACCOUNT_OPEN, &format!("user/{}", user.id), &user.name(), severity)
                .says(said)
        })
    }

    /// Accounts of people that no person of the application has.
    pub(super) fn list_unclaimed(&self) -> Vec<AuditFinding> {
        let open = self
            .accounts
            .iter()
            .filter(|(name, a)| PEOPLE.contains(&a.uid) && a.is_open() && !self.claimed.contains(*name));
        open.map(|(name, account)| {
            let said = format!("nobody in the application has it, and it opens: {}", account.describe());
            AuditFinding::new(&app::OS_ACCOUNT_UNCLAIMED, &format!("os/{name}"), name, Severity::Warning)
                .says(said)
        })
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_opens_is_a_shell_with_a_password_or_a_key() {
        let dir = tempfile::tempdir().expect("tempdir");
        let path = dir.path().join("os.json");
        let line = |key: &str, value: &str| {
            serde_json::json!({"schema": SCHEMA, "subject": "accounts", "key": key, "value": value})
                .to_string()
        };
        let account = |name: &str, shell: &str, password: &str| {
            line(
                &format!("account/{name}"),
                &format!("uid 1001 gid 1001 home /home/{name} shell {shell} password {password}"),
            )
        };
        let lines = [
            account("anna", "/bin/bash", "set"),
            account("bert", "/bin/bash", "locked"),
            account("carl", "/usr/sbin/nologin", "set"),
            account("dora", "/bin/sh", "locked"),
            line("key/dora/SHA256:x", ""),
            line("group/sudo/dora", ""),
        ];
        std::fs::write(&path, lines.join("\n")).expect("write");
        let all = OsAccounts::read_file(&path, &BTreeMap::new()).expect("a list");
        let told: Vec<String> = all.list_unclaimed().iter().map(|f| f.base.object.clone()).collect();
        assert_eq!(told, ["anna", "dora"]);
        std::fs::write(&path, "{}").expect("write");
        assert_eq!(
            OsAccounts::read_file(&path, &BTreeMap::new()).expect_err("no list").kind(),
            toban_core::Kind::Usage
        );
    }
}
