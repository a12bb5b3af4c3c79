//! What the server knows of its WAL.

use postgres::Client;
use std::collections::BTreeSet;
use toban_core::pg::ConnInfo;
use toban_core::wal::{Lsn, Timeline};
use toban_core::{Context, Error, Result};

/// A server's facts.
pub(super) struct Server {
    pub(super) system: u64,
    pub(super) timeline: Timeline,
    /// It is in recovery.
    pub(super) standby: bool,
    /// Up to here it has written WAL; of a standby, received.
    pub(super) written: Lsn,
    /// Bytes of a segment.
    pub(super) segment_size: u64,
    /// `off`, `on` or `always`.
    pub(super) archive_mode: String,
    /// The archiver's last try failed.
    pub(super) failing: Option<Failing>,
    /// Files that wait for the archiver; look-ahead stores them in any order.
    pub(super) waiting: BTreeSet<String>,
    pub(super) slots: Vec<Slot>,
}

/// What could not be archived.
pub(super) struct Failing {
    pub(super) name: String,
    pub(super) at: String,
}

/// A physical slot.
pub(super) struct Slot {
    pub(super) name: String,
    /// `reserved`, `extended`, `unreserved` or `lost`.
    pub(super) status: String,
    pub(super) behind: i64,
    /// Somebody streams from it.
    pub(super) active: bool,
}

const FACTS: &str = "select s.system_identifier::text, \
    case when pg_is_in_recovery() then c.timeline_id \
         else ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int end, \
    case when pg_is_in_recovery() then pg_last_wal_replay_lsn() else pg_current_wal_lsn() end::text, \
    (select setting::bigint * case unit when '8kB' then 8192 when 'kB' then 1024 when 'MB' then 1048576 else 1 end \
     from pg_settings where name = 'wal_segment_size'), \
    current_setting('archive_mode'), \
    array(select left(name, -6) from pg_ls_archive_statusdir() where name like '%.ready'), pg_is_in_recovery() \
    from pg_control_system() s, pg_control_checkpoint() c";

const ARCHIVER: &str = "select last_failed_wal, to_char(last_failed_time at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') \
    from pg_stat_archiver where last_failed_time > coalesce(last_archived_time, '-infinity')";

const SLOTS: &str = "select slot_name::text, coalesce(wal_status, 'lost'), \
    coalesce(pg_wal_lsn_diff(case when pg_is_in_recovery() then pg_last_wal_replay_lsn() else pg_current_wal_lsn() end, \
    restart_lsn), 0)::bigint, active from pg_replication_slots where slot_type = 'physical' and not temporary order by 1";

impl Server {
    /// Asks it.
    ///
    /// # Errors
    /// When it cannot be reached, or the role may not know.
    pub(super) fn ask(db: Option<&str>) -> Result<Server> {
        let mut client = ConnInfo::resolve(db, "wal-shipper")?.connect()?;
        let facts = client.query_one(FACTS, &[]).doing(|| "ask how far the WAL is".into());
        let facts = facts.map_err(|e| e.hint("grant pg_monitor to the role"))?;
        let number = |text: String| text.parse().doing(|| format!("read the system identifier {text}"));
        Ok(Server {
            system: number(facts.get(0))?,
            timeline: Timeline(u32::try_from(facts.get::<_, i32>(1)).unwrap_or_default()),
            written: facts.get::<_, Option<String>>(2).ok_or_else(nothing)?.parse()?,
            segment_size: u64::try_from(facts.get::<_, i64>(3)).unwrap_or_default(),
            archive_mode: facts.get(4),
            waiting: facts.get::<_, Vec<String>>(5).into_iter().collect(),
            standby: facts.get(6),
            failing: failing(&mut client)?,
            slots: slots(&mut client)?,
        })
    }
}

fn nothing() -> Error {
    Error::retry("the standby has replayed nothing yet")
}

fn failing(client: &mut Client) -> Result<Option<Failing>> {
    let row = client.query_opt(ARCHIVER, &[]).doing(|| "ask the archiver".into())?;
    Ok(row.map(|r| Failing { name: r.get(0), at: r.get(1) }))
}

fn slots(client: &mut Client) -> Result<Vec<Slot>> {
    let rows = client.query(SLOTS, &[]).doing(|| "ask for the slots".into())?;
    Ok(rows
        .iter()
        .map(|r| Slot { name: r.get(0), status: r.get(1), behind: r.get(2), active: r.get(3) })
        .collect())
}
