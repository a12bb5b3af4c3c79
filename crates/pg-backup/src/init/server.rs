//! What the plan must know of the server, asked by psql as the user that the jobs run as.

use super::Owner;
use super::clusters::FoundCluster;
use std::path::{Path, PathBuf};
use std::process::Command;
use toban_core::pg::programs;
use toban_core::{Context, Error, Result};

/// The server, as its own user sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct InitServer {
    pub(super) db: String,
    pub(super) owner: Owner,
    pub(super) psql: PathBuf,
    /// PostgreSQL's programs, where they are not in the usual places.
    pub(super) bin_dir: Option<PathBuf>,
    pub(super) identifier: u64,
    pub(super) data_dir: String,
    pub(super) archive_mode: String,
    pub(super) archive_command: String,
    pub(super) wal_level: String,
    /// max_slot_wal_keep_size has no limit.
    pub(super) slots_unlimited: bool,
    /// wal-shipper streams from it now: a slot is there also when its stream has failed.
    pub(super) streamed: bool,
    pub(super) bytes: u64,
}

const QUESTION: &str = "select (select system_identifier from pg_control_system()), \
    current_setting('data_directory'), current_setting('archive_mode'), current_setting('wal_level'), \
    (select setting from pg_settings where name = 'max_slot_wal_keep_size') = '-1', \
    exists (select from pg_replication_slots where slot_name = 'toban' and active), \
    (select sum(pg_database_size(oid))::bigint from pg_database), current_setting('archive_command')";

impl InitServer {
    /// Asks it.
    ///
    /// # Errors
    /// When psql is not there, or the server does not answer its owner.
    pub(super) fn read(found: &FoundCluster, bin_dir: Option<&Path>) -> Result<InitServer> {
        let psql = programs::find_program("psql", 14, bin_dir)?;
        let FoundCluster { db, owner } = found.clone();
        let program = psql.display().to_string();
        let words =
            // -X: no psqlrc adds to the answer. The command stands last, as it alone may hold a tab.
            owner.words(&[&program, "-XAtq", "-v", "ON_ERROR_STOP=1", "-F", "\t", "-d", &db, "-c", QUESTION]);
        let said = Command::new(&words[0])
            .args(&words[1..])
            .current_dir("/")
            .output()
            .doing(|| format!("start {}", words[0]))?;
        if !said.status.success() {
            let why = String::from_utf8_lossy(&said.stderr).trim().replace('\n', " ");
            let e = Error::failed(format!("ask the server as {}: {why}", owner.name));
            return Err(e.hint("run init on the server's machine as root or as the owner of its data directory, or give --db"));
        }
        let text = String::from_utf8_lossy(&said.stdout).into_owned();
        let fields: Vec<&str> = text.trim_end_matches('\n').splitn(8, '\t').collect();
        let doing = || "read the server's answer".to_string();
        let [identifier, data_dir, archive_mode, wal_level, unlimited, streamed, bytes, command] = fields[..]
        else {
            return Err(Error::failed("the server's answer has another form than was asked for"));
        };
        Ok(InitServer {
            identifier: identifier.parse().doing(doing)?,
            data_dir: data_dir.into(),
            archive_mode: archive_mode.into(),
            archive_command: command.into(),
            wal_level: wal_level.into(),
            slots_unlimited: unlimited == "t",
            streamed: streamed == "t",
            bytes: bytes.parse().doing(doing)?,
            bin_dir: bin_dir.map(Path::to_path_buf),
            db,
            owner,
            psql,
        })
    }

    /// Whether its WAL comes into our repositories already.
    pub(super) fn is_shipped(&self) -> bool {
        let archived = self.archive_mode != "off" && self.archive_command.contains("wal-shipper");
        archived || self.streamed
    }
}
