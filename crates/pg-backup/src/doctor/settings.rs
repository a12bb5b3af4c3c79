//! What the server's settings and databases have wrong. Pure.

use super::facts::ServerFacts;
use super::{finding, judge_learned, rulebook, set_command};
use toban_core::Severity;
use toban_core::check::{Finding, Rule};
use toban_core::pg::Ident;

impl ServerFacts {
    /// A setting; empty where it is not set, not known to this major, or the role may not see it.
    pub(super) fn setting(&self, name: &str) -> &str {
        self.settings.get(name).map_or("", String::as_str)
    }

    /// A setting that is a number.
    pub(super) fn number(&self, name: &str) -> Option<i64> {
        self.setting(name).parse().ok()
    }
}

/// Settings that a backup, a recovery or their proof depends on.
pub(super) fn judge_settings(server: &ServerFacts) -> Vec<Finding> {
    let mut findings = judge_switches(server);
    findings.extend(judge_release(server));
    findings.extend(server.pending_restart.iter().map(|name| {
        let text = "it was changed in the configuration files and waits for a restart of the server";
        finding(&rulebook::RESTART_PENDING, Severity::Warning, name).says(text)
    }));
    findings.extend(judge_learned("configuration files", &server.invalid_settings, |invalid| {
        let of = |line: &String| {
            finding(&rulebook::SETTING_INVALID, Severity::Critical, "configuration files").says(line)
        };
        invalid.iter().map(of).collect()
    }));
    findings.extend(judge_leftovers(server));
    findings
}

fn judge_switches(server: &ServerFacts) -> Vec<Finding> {
    let bad: [(&str, &str, &'static Rule, Severity); 5] = [
        ("wal_level", "minimal", &rulebook::WAL_LEVEL, Severity::Critical),
        ("fsync", "off", &rulebook::FSYNC_OFF, Severity::Critical),
        ("full_page_writes", "off", &rulebook::FULL_PAGE_WRITES_OFF, Severity::Critical),
        ("data_checksums", "off", &rulebook::CHECKSUMS_OFF, Severity::Warning),
        ("summarize_wal", "off", &rulebook::SUMMARIZE_WAL, Severity::Warning),
    ];
    let wrong = bad.into_iter().filter(|(name, value, ..)| server.setting(name) == *value);
    wrong.map(|(name, _, rule, severity)| finding(rule, severity, name)).collect()
}

/// Before these releases changes that only clear bits of a visibility map were missing in summaries (release notes of
/// 17.11 and 18.6).
fn judge_release(server: &ServerFacts) -> Option<Finding> {
    let least = match server.major {
        17 => 11,
        18 => 6,
        _ => return None,
    };
    let minor: u32 = server.version.split('.').nth(1)?.parse().ok()?;
    let wrong = minor < least && server.setting("summarize_wal") == "on";
    let text = format!("{} writes WAL summaries that lack changes, and summarize_wal is on", server.version);
    wrong.then(|| finding(&rulebook::MINOR_RELEASE, Severity::Critical, "PostgreSQL").says(text))
}

/// What a restore or another set-up left behind.
fn judge_leftovers(server: &ServerFacts) -> Vec<Finding> {
    let mut findings = Vec::new();
    let restore = server.setting("restore_command");
    if !server.standby && !restore.is_empty() {
        let text = format!("the server is not in recovery, and restore_command is {restore}");
        findings
            .push(finding(&rulebook::RESTORE_COMMAND_LEFT, Severity::Warning, "restore_command").says(text));
    }
    let targets = [
        "recovery_target",
        "recovery_target_time",
        "recovery_target_lsn",
        "recovery_target_name",
        "recovery_target_xid",
    ];
    for name in targets.into_iter().filter(|name| !server.setting(name).is_empty()) {
        let text = format!("it is {}, and the server is up", server.setting(name));
        let advice = format!(
            "psql -c 'alter system reset {name}', and remove it from postgresql.conf; then systemctl restart postgresql"
        );
        findings.push(
            finding(&rulebook::RECOVERY_TARGET_LEFT, Severity::Warning, name).says(text).advise(advice),
        );
    }
    let cleanup = server.setting("archive_cleanup_command");
    if !cleanup.is_empty() {
        let text = format!("archive_cleanup_command is {cleanup}: what backups need of the archive goes too");
        findings.push(
            finding(&rulebook::ARCHIVE_CLEANUP, Severity::Critical, "archive_cleanup_command").says(text),
        );
    }
    findings
}

/// Databases: their collations, and those that the configuration names.
pub(super) fn judge_databases(server: &ServerFacts, named: &[String]) -> Vec<Finding> {
    let differs =
        |d: &&super::facts::DatabaseFacts| d.collation.as_ref().is_some_and(|(made, now)| made != now);
    let mut findings: Vec<Finding> = Vec::new();
    for database in server.databases.iter().filter(differs) {
        let (made, now) = database.collation.clone().unwrap_or_default();
        let name = &database.name;
        let text = format!("it was made with version {made} of its collation, and the system has {now}");
        // In this order: REFRESH alone only takes the warning away, and the indexes stay wrong ("ALTER COLLATION", Notes).
        let advice = format!(
            "1. psql -d {name} -c 'reindex database' 2. pg_amcheck --heapallindexed -d {name} 3. only then psql -c 'alter \
             database {} refresh collation version'",
            Ident::new(name)
        );
        findings
            .push(finding(&rulebook::COLLATION_VERSION, Severity::Critical, name).says(text).advise(advice));
    }
    let there = |name: &&String| !server.databases.iter().any(|d| d.name == **name);
    findings.extend(
        named.iter().filter(there).map(|name| finding(&rulebook::DATABASE_GONE, Severity::Critical, name)),
    );
    findings
}

/// A command that raises a limit which needs a restart.
pub(super) fn raise_command(name: &str, value: i64) -> String {
    set_command(name, &value.to_string(), true)
}
