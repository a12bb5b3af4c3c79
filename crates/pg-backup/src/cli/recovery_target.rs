//! Flags that name the recovery target of a restored server; the doc comments are the help.

use clap::{Args as Group, ValueEnum};
use std::str::FromStr;
use toban_core::Error;
use toban_core::wal::{Lsn, Timeline};

/// What the server does at the recovery target.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetAction {
    /// It is promoted, and takes writes
    Promote,
    /// It waits, to be looked at; `select pg_wal_replay_resume()` promotes it
    Pause,
    /// It shuts down, and stays in recovery
    Shutdown,
}

impl TargetAction {
    /// PostgreSQL's word.
    pub(crate) fn word(self) -> &'static str {
        match self {
            TargetAction::Promote => "promote",
            TargetAction::Pause => "pause",
            TargetAction::Shutdown => "shutdown",
        }
    }
}

/// A recovery target that has a name of its own.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetKeyword {
    /// The end of the WAL that the repositories have
    Latest,
    /// The end of the backup and no further, from the WAL inside it
    Immediate,
}

/// Which timeline recovery follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetTimeline {
    /// The newest that goes on from a backup.
    Latest,
    /// The backup's own.
    Current,
    /// This one.
    Number(Timeline),
}

impl FromStr for TargetTimeline {
    type Err = Error;

    fn from_str(text: &str) -> Result<TargetTimeline, Error> {
        match (text, text.parse()) {
            ("latest", _) => Ok(TargetTimeline::Latest),
            ("current", _) => Ok(TargetTimeline::Current),
            (_, Ok(number)) if number > 0 => Ok(TargetTimeline::Number(Timeline(number))),
            _ => Err(Error::usage("latest, current, or a number as `pg-backup list` shows it")),
        }
    }
}

#[derive(Group, Debug)]
#[command(next_help_heading = "Recovery target")]
pub struct RecoveryTargetArgs {
    /// Where recovery stops: at the end of the WAL that the repositories have, or of the backup itself [default:
    /// immediate]
    #[arg(long, value_enum, group = "recovery_target")]
    pub target: Option<TargetKeyword>,
    /// Recover to this time, e.g. 2026-11-21T03:00:00+01:00: what was committed later is not there
    #[arg(long, value_name = "TIME", group = "recovery_target")]
    pub target_time: Option<String>,
    /// Recover to this position of the WAL
    #[arg(long, value_name = "LSN", group = "recovery_target")]
    pub target_lsn: Option<Lsn>,
    /// Recover to this restore point, made by pg_create_restore_point
    #[arg(long, value_name = "NAME", group = "recovery_target")]
    pub target_name: Option<String>,
    /// Recover to the end of this transaction
    #[arg(long, value_name = "XID", group = "recovery_target")]
    pub target_xid: Option<u64>,
    /// A time without a zone is UTC
    #[arg(long, requires = "target_time")]
    pub utc: bool,
    /// Stop just before the target: without the transaction, or what was committed at that very time
    #[arg(long, conflicts_with_all = ["target", "target_name"])]
    pub target_exclusive: bool,
    /// Timeline to follow: latest, current (the backup's own), or its number
    #[arg(long, value_name = "N", default_value = "latest", requires = "recovery_target")]
    pub target_timeline: TargetTimeline,
    /// What the server does at the target
    #[arg(long, value_enum, default_value_t = TargetAction::Promote, requires = "recovery_target")]
    pub target_action: TargetAction,
}

impl RecoveryTargetArgs {
    /// Whether recovery ends with the backup, as was asked for.
    pub(crate) fn is_immediate(&self) -> bool {
        self.target == Some(TargetKeyword::Immediate)
    }
}
