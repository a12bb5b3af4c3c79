//! Flags that name the moment to which a restored server recovers; the doc comments are the help.

use clap::{Args as Group, ValueEnum};
use std::str::FromStr;
use toban_core::Error;
use toban_core::wal::{Lsn, Timeline};

/// What the server does at the moment that was asked for.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// It is promoted, and takes writes
    Promote,
    /// It waits, to be looked at; `select pg_wal_replay_resume()` promotes it
    Pause,
    /// It shuts down, and stays in recovery
    Shutdown,
}

impl Action {
    /// PostgreSQL's word.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Action::Promote => "promote",
            Action::Pause => "pause",
            Action::Shutdown => "shutdown",
        }
    }
}

/// Which timeline recovery follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Follow {
    /// The newest that goes on from a backup.
    Latest,
    /// The backup's own.
    Current,
    /// This one.
    Number(Timeline),
}

impl FromStr for Follow {
    type Err = Error;

    fn from_str(text: &str) -> Result<Follow, Error> {
        match (text, text.parse()) {
            ("latest", _) => Ok(Follow::Latest),
            ("current", _) => Ok(Follow::Current),
            (_, Ok(number)) if number > 0 => Ok(Follow::Number(Timeline(number))),
            _ => Err(Error::usage("latest, current, or a number as `pg-backup list` shows it")),
        }
    }
}

#[derive(Group, Debug)]
#[command(next_help_heading = "Moment")]
pub struct To {
    /// Recover to the end of the WAL that the repositories have
    #[arg(long, value_name = "latest", value_parser = ["latest"], group = "moment")]
    pub to: Option<String>,
    /// Recover to this time, as 2026-11-21T03:00:00+01:00: what was committed later is not there
    #[arg(long, value_name = "TIME", group = "moment")]
    pub to_time: Option<String>,
    /// Recover to this position of the WAL
    #[arg(long, value_name = "LSN", group = "moment")]
    pub to_lsn: Option<Lsn>,
    /// Recover to this restore point, made by pg_create_restore_point
    #[arg(long, value_name = "NAME", group = "moment")]
    pub to_name: Option<String>,
    /// Recover to the end of this transaction
    #[arg(long, value_name = "XID", group = "moment")]
    pub to_xid: Option<u64>,
    /// Recover to the end of the backup and no further, from the WAL inside it [the default]
    #[arg(long, group = "moment")]
    pub immediate: bool,
    /// A time without a zone is UTC
    #[arg(long, requires = "to_time")]
    pub utc: bool,
    /// Stop just before the moment: without the transaction, or what was committed at that very time
    #[arg(long, conflicts_with_all = ["to", "to_name", "immediate"])]
    pub exclusive: bool,
    /// Timeline to follow: latest, current (the backup's own), or its number
    #[arg(long, value_name = "N", default_value = "latest", requires = "moment")]
    pub timeline: Follow,
    /// What the server does at that moment
    #[arg(long, value_enum, default_value_t = Action::Promote, requires = "moment")]
    pub action: Action,
}
