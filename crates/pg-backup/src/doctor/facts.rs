//! What `doctor` judges: everything that was read, and of what could not be read why.

use crate::format::backup::Host;
use crate::units::Unit;
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use toban_core::config::Keep;
use toban_core::notify::Undelivered;
use toban_core::run_record::RunRecord;
use toban_core::store::RemovalRules;

/// What was learned; else why not, with the right that is missing.
pub(super) type Learned<T> = Result<T, String>;

/// Everything about one cluster, its server, its machine and its repositories.
pub(super) struct Facts {
    pub(super) cluster: String,
    pub(super) server: Learned<ServerFacts>,
    /// The connection goes through a pool in transaction mode.
    pub(super) pooled: bool,
    pub(super) machine: MachineFacts,
    pub(super) units: Learned<Vec<Unit>>,
    pub(super) repos: Vec<RepoFacts>,
    /// How much of the past `[objectives]` promises.
    pub(super) window: Option<toban_core::config::Span>,
}

/// The server, by one connection.
#[derive(Clone)]
pub(super) struct ServerFacts {
    pub(super) major: u32,
    /// `17.11`.
    pub(super) version: String,
    pub(super) identifier: u64,
    pub(super) role: String,
    pub(super) standby: bool,
    /// By name, as `pg_settings.setting` has them; what the role may not see is missing.
    pub(super) settings: BTreeMap<String, String>,
    pub(super) pending_restart: Vec<String>,
    pub(super) monitor: bool,
    /// Statements that give the rights that a backup lacks.
    pub(super) missing_rights: Vec<String>,
    /// `FILE:LINE: what is wrong`.
    pub(super) invalid_settings: Learned<Vec<String>>,
    pub(super) hba: Learned<HbaFacts>,
    pub(super) slots: Vec<SlotFacts>,
    /// Connections that send WAL, and whether one of them is wal-shipper's.
    pub(super) senders: usize,
    pub(super) streamed: bool,
    /// By how many transactions the standbys hold back vacuum.
    pub(super) feedback_age: i64,
    pub(super) databases: Vec<DatabaseFacts>,
    /// Bytes of all databases.
    pub(super) bytes: Learned<u64>,
    /// Seconds that its clock is ahead of ours.
    pub(super) ahead: f64,
    /// The data directory, where it is on this machine.
    pub(super) here: Learned<Option<DataFacts>>,
}

impl ServerFacts {
    /// The data directory, where it is on this machine and may be looked at.
    pub(super) fn data(&self) -> Option<&DataFacts> {
        self.here.as_ref().ok()?.as_ref()
    }
}

/// The data directory on this machine.
#[derive(Clone)]
pub(super) struct DataFacts {
    pub(super) path: PathBuf,
    pub(super) device: u64,
    /// Whether the program of archive_command may be run; none where there is no command that names one by its path.
    pub(super) archive_program: Option<bool>,
}

/// What pg_hba.conf says.
#[derive(Clone, Default)]
pub(super) struct HbaFacts {
    pub(super) invalid: Vec<String>,
    /// Whether any line lets the role in for replication.
    pub(super) replication: bool,
}

/// A replication slot.
#[derive(Clone)]
pub(super) struct SlotFacts {
    pub(super) name: String,
    pub(super) active: bool,
    pub(super) lost: bool,
    /// Bytes of WAL that it holds.
    pub(super) holds: i64,
    /// By how many transactions it holds back vacuum.
    pub(super) age: i64,
}

/// A database.
#[derive(Clone)]
pub(super) struct DatabaseFacts {
    pub(super) name: String,
    /// Version of its collation when it was made, and now.
    pub(super) collation: Option<(String, String)>,
}

/// A file or folder: who may do what with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Access {
    pub(super) path: PathBuf,
    pub(super) owner: u32,
    pub(super) group: u32,
    pub(super) mode: u32,
}

/// This machine.
pub(super) struct MachineFacts {
    /// Who the jobs run as: who owns the data directory, else who asks.
    pub(super) user: JobUser,
    /// Why there is no pg_dump that fits.
    pub(super) pg_dump: Learned<()>,
    pub(super) synchronised: Learned<bool>,
    /// Hours of the local clock that daylight saving takes or doubles in the next year.
    pub(super) changed_hours: BTreeSet<i8>,
    pub(super) configuration: Option<Access>,
    /// The configuration file holds a password of PostgreSQL.
    pub(super) password: bool,
    pub(super) open_secrets: Vec<PathBuf>,
    pub(super) identities: Vec<PathBuf>,
    pub(super) state: Option<Access>,
    /// None: metrics are not wanted. An error: the folder is not there.
    pub(super) textfile: Option<Result<Access, PathBuf>>,
    /// Where a drill works, and the bytes that are free there.
    pub(super) work: Learned<(PathBuf, u64)>,
    /// Databases that the configuration names.
    pub(super) databases: Vec<String>,
    /// The last run of each job of the cluster.
    pub(super) runs: Vec<RunRecord>,
    /// Channels of notifications that are set up, and what keeps one from working.
    pub(super) channels: Vec<(String, Option<String>)>,
    pub(super) undelivered: Vec<Undelivered>,
}

/// Who the jobs run as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct JobUser {
    pub(super) name: String,
    pub(super) uid: u32,
    pub(super) groups: Vec<u32>,
}

impl JobUser {
    /// Whether the permissions let the user do what `bits` (4 read, 2 write) say.
    pub(super) fn may(&self, access: &Access, bits: u32) -> bool {
        let shift = match access {
            _ if self.uid == 0 => return true,
            a if a.owner == self.uid => 6,
            a if self.groups.contains(&a.group) => 3,
            _ => 0,
        };
        (access.mode >> shift) & bits == bits
    }
}

/// A repository: its section, where it lies, and what it holds.
pub(super) struct RepoFacts {
    pub(super) name: String,
    pub(super) keep: Keep,
    pub(super) locks: bool,
    pub(super) folder: Option<FolderFacts>,
    pub(super) content: Learned<RepoContent>,
    pub(super) removal: Learned<RemovalRules>,
}

/// A repository in a folder of this machine.
pub(super) struct FolderFacts {
    pub(super) path: PathBuf,
    /// None: it is not there yet.
    pub(super) access: Option<Access>,
    /// The device of the folder, or of the nearest that is there.
    pub(super) device: Option<u64>,
    /// The mount point of /etc/fstab that it lies below, and whether that is mounted; none for the root.
    pub(super) mount: Option<(PathBuf, bool)>,
}

/// What a repository holds of the cluster.
#[derive(Default)]
pub(super) struct RepoContent {
    pub(super) systems: Vec<SystemFacts>,
    pub(super) dumps: usize,
    /// The machine that the newest backup is of differs from this one in so much.
    pub(super) differences: Vec<String>,
    pub(super) drilled: bool,
}

/// Backups of one system.
pub(super) struct SystemFacts {
    pub(super) identifier: u64,
    pub(super) backups: usize,
    pub(super) oldest: Timestamp,
    pub(super) newest: Timestamp,
    pub(super) host: Host,
    pub(super) bytes: u64,
}
