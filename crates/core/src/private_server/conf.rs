//! The settings of the server: its own, so that nothing of the restored configuration takes effect but how to recover.

use super::control::Control;
use super::{Purpose, Runner, Scratch};
use crate::pg::quote_setting;
use crate::{Context, Result, durable};
use std::fmt::Write;
use std::path::Path;

/// The settings of the restored configuration that say how to recover; the others could reach production.
const RECOVERY: [&str; 8] = [
    "restore_command",
    "recovery_target",
    "recovery_target_time",
    "recovery_target_xid",
    "recovery_target_lsn",
    "recovery_target_name",
    "recovery_target_inclusive",
    "recovery_target_timeline",
];

/// One setting: its name and its value.
pub type Setting = (&'static str, String);

/// What the restored configuration says of recovery.
#[derive(Clone, Debug, Default)]
pub struct RecoverySettings(Vec<Setting>);

impl RecoverySettings {
    /// Asks the server's own program for each setting, of postgresql.conf with what it includes and of
    /// postgresql.auto.conf; where the former does not read here, of the latter alone, and what the program says of it.
    ///
    /// # Errors
    /// When the program cannot be started.
    pub fn read(
        runner: &Runner,
        postgres: &Path,
        data: &Path,
        empty: &Path,
    ) -> Result<(RecoverySettings, Option<String>)> {
        let own = data.join("postgresql.conf");
        let mut refused = None;
        for file in [own.as_path(), empty].into_iter().filter(|f| f.exists()) {
            match ask_settings(runner, postgres, data, file)? {
                Ok(settings) => return Ok((RecoverySettings(settings), refused)),
                Err(complaint) => refused = refused.or(Some(complaint)),
            }
        }
        Ok((RecoverySettings::default(), refused))
    }

    /// The value of one of them; empty where it is not set.
    pub fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(n, _)| *n == name).map_or("", |(_, value)| value)
    }

    /// Whether recovery goes to the end of what there is.
    pub fn goes_to_the_end(&self) -> bool {
        ["", "_time", "_xid", "_lsn", "_name"]
            .iter()
            .all(|t| self.get(&format!("recovery_target{t}")).is_empty())
    }

    /// In recovery a server needs a command; a standby's configuration has none when it was to stream from its primary.
    pub fn ensure_command(&mut self) {
        if self.get("restore_command").is_empty() {
            self.0.retain(|(name, _)| *name != "restore_command");
            self.0.push(("restore_command", "false".into()));
        }
    }
}

fn ask_settings(
    runner: &Runner,
    postgres: &Path,
    data: &Path,
    file: &Path,
) -> Result<Result<Vec<Setting>, String>> {
    let mut settings = Vec::new();
    for name in RECOVERY {
        let mut ask = runner.command(postgres);
        ask.current_dir(&runner.scratch).arg("-D").arg(data);
        // `-C` prints one setting and starts nothing (manual, "postgres"): includes and quoting are PostgreSQL's own.
        ask.arg("-c").arg(format!("config_file={}", file.display()));
        // Else a restored `data_directory` leads to the live server's settings.
        ask.arg("-c").arg(format!("data_directory={}", data.display())).args(["-C", name]);
        let done = ask.output().doing(|| "ask for the restored settings".into())?;
        if !done.status.success() {
            let complaint = String::from_utf8_lossy(&done.stderr).into_owned();
            return Ok(Err(complaint.lines().map(str::trim).collect::<Vec<_>>().join("; ")));
        }
        settings.push((name, String::from_utf8_lossy(&done.stdout).trim_end_matches('\n').to_string()));
    }
    Ok(Ok(settings))
}

/// Writes the server's files.
///
/// # Errors
/// Those of the file system.
pub fn write_files(scratch: &Scratch, text: &str, runner: &Runner) -> Result<()> {
    let files = [("postgresql.conf", text), ("pg_hba.conf", "local all all trust\n"), ("pg_ident.conf", "")];
    for (name, text) in files {
        let path = scratch.path(name);
        durable::replace(&path, 0o600, |w| w.write_all(text.as_bytes()).doing(|| "write".into()))?;
        runner.give(&path)?;
    }
    Ok(())
}

/// What the server is like besides.
pub struct ServerOptions<'a> {
    /// What it is for.
    pub purpose: &'static Purpose,
    /// Its major.
    pub major: u32,
    /// Libraries that it loads at its start, separated by commas.
    pub preload: &'a str,
    /// There are tablespaces inside the data directory.
    pub in_place_tablespaces: bool,
    /// How it recovers; none for a server that was initialized.
    pub recovery: Option<&'a RecoverySettings>,
    /// It waits at the recovery target and can be read there; else it is promoted.
    pub pauses: bool,
    /// Further settings.
    pub more: &'a [Setting],
}

/// The text of postgresql.conf. Sizes that recovery needs are those of the server that was backed up, by pg_control;
/// nothing listens but a socket, nothing archives, replicates, or runs by itself.
pub fn postgresql_conf(control: Option<&Control>, scratch: &Path, options: &ServerOptions<'_>) -> String {
    let mut text = format!("# The server of a {}.\n", options.purpose.what);
    let mut set = |name: &str, value: &str| _ = writeln!(text, "{name} = {}", quote_setting(value));
    let path = |name: &str| scratch.join(name).display().to_string();
    // Every path in the folder: each of these settings could name a file or a socket of the live server.
    for (name, file) in [
        ("data_directory", "data"),
        ("hba_file", "pg_hba.conf"),
        ("ident_file", "pg_ident.conf"),
        ("unix_socket_directories", "run"),
    ] {
        set(name, &path(file));
    }
    OWN.iter().for_each(|(name, value)| set(name, value));
    set("cluster_name", options.purpose.tool);
    // Without reading while it recovers no setting of the live server can make recovery wait.
    set("hot_standby", if options.pauses { "on" } else { "off" });
    set("recovery_target_action", if options.pauses { "pause" } else { "promote" });
    options.more.iter().for_each(|(name, value)| set(name, value));
    set("shared_preload_libraries", options.preload);
    if options.major >= 15 {
        set("archive_library", "");
    }
    if options.major >= 17 {
        // Triggers at login and of DDL are the application's, and could reach out.
        set("event_triggers", "off");
    }
    if options.in_place_tablespaces {
        set("allow_in_place_tablespaces", "on");
    }
    control.into_iter().for_each(|c| set_sizes(c, &mut set));
    let recovery = options.recovery.map(|r| r.0.as_slice()).unwrap_or_default();
    recovery.iter().filter(|(_, value)| !value.is_empty()).for_each(|(name, value)| set(name, value));
    text
}

/// At least what the server had: with less, prepared transactions that come back in recovery find no room (manual,
/// max_prepared_transactions).
fn set_sizes(control: &Control, set: &mut impl FnMut(&str, &str)) {
    let all = [
        ("max_connections", control.max_connections.max(20)),
        ("max_worker_processes", control.max_worker_processes.max(8)),
        ("max_wal_senders", control.max_wal_senders),
        // The WAL after the backup may ask for more.
        ("max_prepared_transactions", control.max_prepared_transactions.saturating_mul(2).max(16)),
        ("max_locks_per_transaction", control.max_locks_per_transaction.max(64)),
    ];
    all.iter().for_each(|(name, value)| set(name, &value.to_string()));
    set("track_commit_timestamp", if control.track_commit_timestamp { "on" } else { "off" });
}

const OWN: [(&str, &str); 23] = [
    ("listen_addresses", ""),
    ("port", "5432"),
    ("unix_socket_permissions", "0700"),
    ("ssl", "off"),
    // Not even a standby of the live server, and no worker that would consume its replication slots.
    ("archive_mode", "off"),
    ("archive_command", ""),
    ("archive_cleanup_command", ""),
    ("recovery_end_command", ""),
    ("recovery_min_apply_delay", "0"),
    ("primary_conninfo", ""),
    ("primary_slot_name", ""),
    ("synchronous_standby_names", ""),
    ("max_logical_replication_workers", "0"),
    ("wal_level", "replica"),
    ("autovacuum", "off"),
    ("restart_after_crash", "off"),
    ("huge_pages", "off"),
    ("shared_buffers", "128MB"),
    ("jit", "off"),
    ("logging_collector", "off"),
    ("log_destination", "stderr"),
    ("log_line_prefix", ""),
    ("lc_messages", "C"),
];

#[cfg(test)]
mod tests {
    use super::*;

    const PURPOSE: Purpose = Purpose { tool: "t", what: "test", variable: "T", mark: "m" };

    #[test]
    fn values_stay_one_value() {
        assert_eq!(quote_setting(r"cp '/a\b' %p"), r"'cp ''/a\\b'' %p'");
    }

    #[test]
    fn nothing_of_production_is_in_it() {
        let recovery =
            RecoverySettings(vec![("restore_command", "cp x".into()), ("recovery_target", String::new())]);
        let options = ServerOptions {
            purpose: &PURPOSE,
            major: 18,
            preload: "",
            in_place_tablespaces: false,
            recovery: Some(&recovery),
            pauses: false,
            more: &[],
        };
        let text = postgresql_conf(None, Path::new("/w/scratch"), &options);
        for line in [
            "archive_mode = 'off'",
            "listen_addresses = ''",
            "max_logical_replication_workers = '0'",
            "restore_command = 'cp x'",
            "event_triggers = 'off'",
            "shared_preload_libraries = ''",
        ] {
            assert!(text.lines().any(|l| l == line), "{line}\n{text}");
        }
        assert!(!text.contains("recovery_target ="), "an empty target is left out");
    }
}
