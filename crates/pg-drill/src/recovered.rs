//! What a recovered server says of how far it came.

use jiff::Timestamp;
use postgres::Client;
use std::path::Path;
use toban_core::private_server::control::Control;
use toban_core::private_server::sandbox::Inspected;
use toban_core::private_server::{PrivateServer, Programs};
use toban_core::wal::{History, Lsn, Timeline};
use toban_core::{Context, Error, Result};

/// A server that recovered, and what is known of it.
pub(crate) struct RecoveredServer {
    pub(crate) programs: Programs,
    pub(crate) server: PrivateServer,
    pub(crate) control: Control,
    pub(crate) inspected: Inspected,
    pub(crate) recovered: Recovered,
    /// Whether recovery was to go to the end of what there is.
    pub(crate) to_the_end: bool,
}

/// How far recovery came.
#[derive(Clone, Debug)]
pub(crate) struct Recovered {
    pub(crate) lsn: Lsn,
    /// The timeline that was followed, before the promotion to a new one.
    pub(crate) timeline: u32,
    /// The first transaction that is not in it.
    pub(crate) next_xid: u64,
    /// Transactions before it that had not ended when the backup began and are not committed in it; none where they are
    /// too many to be looked at.
    pub(crate) uncommitted: Option<Vec<i64>>,
    /// A time up to which every commit is in it.
    pub(crate) point: Option<Timestamp>,
}

/// Transactions that are looked at, one by one.
pub(crate) const MOST_XIDS: u64 = 1_000_000;

/// Asks right after the promotion, before anything is written.
///
/// # Errors
/// When the server cannot be asked.
pub(crate) fn read_recovered(client: &mut Client, control: &Control, data: &Path) -> Result<Recovered> {
    // Where replay ended is kept in shared memory until the server is restarted; a promoted server's own position would
    // already count the WAL of its new timeline.
    let sql = "select coalesce(pg_last_wal_replay_lsn(), pg_current_wal_lsn())::text, \
               pg_snapshot_xmax(pg_current_snapshot())::text, \
               extract(epoch from pg_last_xact_replay_timestamp())::float8, \
               substring(pg_walfile_name(pg_current_wal_lsn()) for 8)";
    let row = client.query_one(sql, &[]).doing(|| "ask how far recovery came".into())?;
    let lsn: String = row.get(0);
    let xid: String = row.get(1);
    let commit: Option<f64> = row.get(2);
    let file: String = row.get(3);
    let next_xid = xid.parse().doing(|| "read the next transaction".into())?;
    let now = u32::from_str_radix(&file, 16).unwrap_or(control.timeline);
    let commit = commit.and_then(from_epoch);
    Ok(Recovered {
        lsn: lsn.parse()?,
        timeline: followed_timeline(data, now)?,
        next_xid,
        uncommitted: list_uncommitted(client, control.all_ended_below, next_xid)?,
        // Without a commit in the WAL that was replayed, what was committed before the checkpoint is there at least.
        point: commit.max(control.checkpoint),
    })
}

pub(crate) fn from_epoch(epoch: f64) -> Option<Timestamp> {
    Timestamp::from_microsecond((epoch * 1e6) as i64).ok()
}

/// Transactions from `from` on, before `next`, that did not commit in what was recovered.
fn list_uncommitted(client: &mut Client, from: u64, next: u64) -> Result<Option<Vec<i64>>> {
    let doing = || "ask which transactions were committed".to_string();
    if next.saturating_sub(from) > MOST_XIDS {
        return Ok(None);
    }
    let (from, next) = (i64::try_from(from).doing(doing)?, i64::try_from(next).doing(doing)?);
    let sql = "select coalesce(array_agg(n), '{}') from generate_series($1::int8, $2::int8 - 1) n \
               where pg_xact_status(n::text::xid8) is distinct from 'committed'";
    Ok(Some(client.query_one(sql, &[&from, &next]).doing(doing)?.get(0)))
}

/// The timeline that `now` branched off, by its history; `now` itself where it has none.
fn followed_timeline(data: &Path, now: u32) -> Result<u32> {
    let path = data.join(format!("pg_wal/{now:08X}.history"));
    let Ok(text) = std::fs::read_to_string(&path) else { return Ok(now) };
    let history = History::parse_history(Timeline(now), &text)
        .map_err(|e| Error::failed("read the history").because(e))?;
    Ok(history.switches.last().map_or(now, |s| s.timeline.0))
}
