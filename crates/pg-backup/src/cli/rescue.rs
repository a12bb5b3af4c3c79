//! Flags of `rescue`; the doc comments are the help.

use super::{RecoveryTargetArgs, ServerArgs, TargetAction, TargetTimeline};
use clap::Args as Group;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;
use toban_core::config::Span;
use toban_core::repo::{IdentityArgs, RepoArgs};
use toban_core::wal::Lsn;
use toban_core::{DryRun, Error};

const RESCUE_HELP: &str = "\
Examples:
  Rows of a table as they were at 14:04, beside the live ones, in the schema rescued; with what differs:
    pg-backup rescue --database app --table app.incidents --target-time '2026-11-21T14:04+01:00' --repo local
  Which transactions deleted from it around that time, and when exactly they committed:
    pg-backup rescue --database app --find 'deleted from app.incidents' --target-time 2026-11-21T14:04+01:00
  Put back what that one deleted or changed; a copy of the table as it is now is made first:
    pg-backup rescue --database app --table app.incidents --target-xid 48151623 --target-exclusive --replace
  Look around at that moment; then half a minute earlier:
    pg-backup rescue --database app --shell --target-time 2026-11-21T14:04+01:00
    pg-backup rescue --database app --shell --step -30s
  A database that was dropped, under its name:
    pg-backup rescue --database app --target-time 2026-11-21T14:04+01:00 --replace

The files of the wanted database and what all databases share are restored into a folder of its own (--work-dir),
those of other databases as zeros that take no space. A private server recovers there to the moment and stays
read-only; nothing of it listens, archives or reaches out. Without --table and --schema the whole database is
brought back, as DATABASE_rescued. The live server is not stopped, and nothing in it is changed but what --replace
names: in one transaction, after a copy of what is there. The folder is cleared at the end, and by the next run
when this one was killed. wal-shipper must be installed beside pg-backup or on PATH.";

#[derive(Group, Debug)]
#[command(after_long_help = RESCUE_HELP)]
#[command(group(clap::ArgGroup::new("moment").required(true).args(["target_time", "target_lsn", "target_xid", "step"])))]
pub struct Rescue {
    /// Database in which something was lost [default: that of --db]
    #[arg(long, value_name = "NAME")]
    pub database: Option<String>,
    /// Table to bring back, as app.incidents; may be given several times
    #[arg(long, value_name = "SCHEMA.TABLE", conflicts_with = "schema")]
    pub table: Vec<String>,
    /// Bring back every table of this schema
    #[arg(long, value_name = "NAME")]
    pub schema: Option<String>,
    /// Only rows for which this condition holds, e.g. "customer = 7"
    #[arg(long = "where", value_name = "SQL", requires = "table")]
    pub condition: Option<String>,
    /// Schema of the live database that the tables go into; it is created where it is missing
    #[arg(long, value_name = "NAME", default_value = "rescued")]
    pub into_schema: String,
    /// Put back in its own place what is gone or was changed since, after a copy of what is there now; what was added
    /// since stays
    #[arg(long)]
    pub replace: bool,
    /// Bring nothing back: open psql there
    #[arg(long, conflicts_with_all = ["table", "schema", "replace", "find"])]
    pub shell: bool,
    /// Bring nothing back: list the transactions around the moment that changed a table, as "deleted from app.incidents"
    #[arg(long, value_name = "WHAT", conflicts_with_all = ["table", "schema", "replace"])]
    pub find: Option<RowSearch>,
    /// With --find: how far around the moment
    #[arg(long, value_name = "TIME", default_value = "10min", requires = "find")]
    pub within: Span,
    #[command(flatten)]
    pub moment: MomentArgs,
    #[command(flatten)]
    pub server: ServerArgs,
    /// Folder that is worked in and cleared afterwards; as root it must be given [default: rescue/CLUSTER in the state
    /// directory]
    #[arg(long, value_name = "DIR")]
    pub work_dir: Option<PathBuf>,
    /// Operating system user that runs the private server, when started as root
    #[arg(long, value_name = "NAME", default_value = "postgres")]
    pub user: String,
    /// Give up after this time
    #[arg(long, value_name = "TIME", default_value = "6h")]
    pub timeout: Span,
    /// Parallel workers [default: all cores]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64))]
    pub jobs: Option<u32>,
    #[command(flatten)]
    pub repos: RepoArgs,
    #[command(flatten)]
    pub identity: IdentityArgs,
    #[command(flatten)]
    pub dry: DryRun,
}

/// The moment before the mistake.
#[derive(Group, Clone, Debug)]
#[command(next_help_heading = "Moment")]
pub struct MomentArgs {
    /// As it was at this time, e.g. 2026-11-21T14:04:00+01:00
    #[arg(long, value_name = "TIME")]
    pub target_time: Option<String>,
    /// As it was at this position of the WAL
    #[arg(long, value_name = "LSN")]
    pub target_lsn: Option<Lsn>,
    /// As it was after this transaction
    #[arg(long, value_name = "XID")]
    pub target_xid: Option<u64>,
    /// So much later or earlier than the time of the rescue before this one, e.g. +30s or -2min
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub step: Option<Step>,
    /// A time without a zone is UTC
    #[arg(long, requires = "target_time")]
    pub utc: bool,
    /// Just before the moment: without the transaction, or what was committed at that very time
    #[arg(long)]
    pub target_exclusive: bool,
}

impl MomentArgs {
    /// As `restore` takes them: recovery pauses there.
    pub(crate) fn to_recovery_target(&self) -> RecoveryTargetArgs {
        RecoveryTargetArgs {
            target: None,
            target_time: self.target_time.clone(),
            target_lsn: self.target_lsn,
            target_name: None,
            target_xid: self.target_xid,
            utc: self.utc,
            target_exclusive: self.target_exclusive,
            target_timeline: TargetTimeline::Latest,
            target_action: TargetAction::Pause,
        }
    }
}

/// A step in time, in either direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Towards now.
    pub forward: bool,
    /// How far.
    pub length: Duration,
}

impl FromStr for Step {
    type Err = Error;

    fn from_str(text: &str) -> Result<Step, Error> {
        let wrong = || Error::usage("a sign and a time, as +30s or -2min");
        let forward = text.starts_with('+');
        let length = text.strip_prefix(['+', '-']).ok_or_else(wrong)?;
        let length = length.parse::<Span>().map_err(|_| wrong())?;
        Ok(Step { forward, length: length.0 })
    }
}

/// What changed the rows that are looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SearchedChange {
    /// Anything.
    Any,
    /// INSERT, COPY.
    Inserted,
    /// UPDATE.
    Updated,
    /// DELETE.
    Deleted,
    /// What locks the whole table: TRUNCATE, DROP, ALTER.
    Locked,
}

/// A change of a table's rows that is looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowSearch {
    /// Which.
    pub change: SearchedChange,
    /// As SQL names it.
    pub table: String,
}

impl FromStr for RowSearch {
    type Err = Error;

    fn from_str(text: &str) -> Result<RowSearch, Error> {
        let (change, rest) = match text.trim().split_once(char::is_whitespace) {
            None => (SearchedChange::Any, text.trim()),
            Some((word, rest)) => {
                let change = match word.to_lowercase().as_str() {
                    "changed" => SearchedChange::Any,
                    "inserted" => SearchedChange::Inserted,
                    "updated" => SearchedChange::Updated,
                    "deleted" => SearchedChange::Deleted,
                    "truncated" | "dropped" | "altered" => SearchedChange::Locked,
                    _ => {
                        return Err(Error::usage(
                            "deleted from, updated, inserted into, truncated or dropped, and a table",
                        ));
                    }
                };
                (change, rest.trim())
            }
        };
        let (word, after) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
        let small = ["from", "into", "in"].contains(&word.to_lowercase().as_str()) && !after.is_empty();
        let table = if small { after } else { rest };
        Ok(RowSearch { change, table: table.trim().into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_looked_for() {
        let search = |text: &str| text.parse::<RowSearch>().map(|s| (s.change, s.table)).ok();
        let table = || "app.incidents".to_string();
        for (text, change) in [
            ("deleted from app.incidents", SearchedChange::Deleted),
            ("Updated app.incidents", SearchedChange::Updated),
            ("DELETED FROM app.incidents", SearchedChange::Deleted),
            ("inserted into  app.incidents", SearchedChange::Inserted),
            ("truncated app.incidents", SearchedChange::Locked),
            ("changed in app.incidents", SearchedChange::Any),
            ("app.incidents", SearchedChange::Any),
        ] {
            assert_eq!(search(text), Some((change, table())), "{text}");
        }
        assert_eq!(search("lost app.incidents"), None);
    }

    #[test]
    fn a_step_has_a_direction() {
        let step = |text: &str| text.parse::<Step>().map(|s| (s.forward, s.length.as_secs())).ok();
        assert_eq!((step("+30s"), step("-2min")), (Some((true, 30)), Some((false, 120))));
        assert_eq!((step("30s"), step("+"), step("")), (None, None, None));
    }
}
