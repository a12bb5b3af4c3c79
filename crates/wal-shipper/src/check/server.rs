//! What the server knows of its WAL.

use crate::server_id::{ID_COLUMNS, ID_WIDTH, ServerId};
use jiff::Timestamp;
use postgres::Client;
use std::collections::BTreeMap;
use toban_core::pg::ConnInfo;
use toban_core::wal::{Lsn, Segment, WalName};
use toban_core::{Context, Error, Result};

/// A server's facts. Ages are seconds by the server's own clock, at the moment when it was asked.
#[derive(Clone, Debug)]
pub(super) struct Server {
    pub(super) id: ServerId,
    /// Up to here it has written WAL; of a standby, received or replayed.
    pub(super) written: Lsn,
    pub(super) archiver: Archiver,
    /// The files of pg_wal, and how long ago each was last written.
    pub(super) files: BTreeMap<String, f64>,
    pub(super) slots: Vec<PhysicalSlot>,
    /// How long the server runs.
    pub(super) up: f64,
    /// Seconds that the server's clock is ahead of ours.
    pub(super) ahead: f64,
    /// A standby that should follow a primary, and is not connected to it.
    pub(super) cut_off: bool,
}

/// The archiver: its settings, its process, its statistics.
#[derive(Clone, Debug, Default)]
pub(super) struct Archiver {
    /// `off`, `on` or `always`.
    pub(super) mode: String,
    /// archive_command or archive_library is set.
    pub(super) is_set: bool,
    /// archive_timeout in seconds; 0 is none.
    pub(super) timeout: f64,
    /// How long its process runs; none where there is no process.
    pub(super) process: Option<f64>,
    /// Files that wait (look-ahead stores them in any order), and how long each does.
    pub(super) waiting: BTreeMap<String, f64>,
    /// The last try failed.
    pub(super) failing: Option<Failing>,
    /// What it archived last, and how long ago.
    pub(super) last: Option<(String, f64)>,
}

/// What could not be archived.
#[derive(Clone, Debug)]
pub(super) struct Failing {
    pub(super) name: String,
    pub(super) at: String,
}

/// A physical slot.
#[derive(Clone, Debug)]
pub(super) struct PhysicalSlot {
    pub(super) name: String,
    /// `reserved`, `extended`, `unreserved` or `lost`.
    pub(super) status: String,
    /// Bytes of WAL that it holds.
    pub(super) holds: i64,
    /// A client streams from it.
    pub(super) active: bool,
    /// How long ago that client last reported.
    pub(super) silent: Option<f64>,
}

/// What is asked after [`ID_COLUMNS`].
const FACT_COLUMNS: &str = "\
    case when pg_is_in_recovery() then greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()) \
         else pg_current_wal_lsn() end::text, \
    extract(epoch from clock_timestamp())::float8, \
    extract(epoch from clock_timestamp() - pg_postmaster_start_time())::float8, \
    pg_is_in_recovery() and coalesce(current_setting('primary_conninfo', true), '') <> '' \
      and not exists (select from pg_stat_wal_receiver where status = 'streaming') \
    from pg_control_system() s, pg_control_checkpoint() c";

const ARCHIVER: &str = "select current_setting('archive_mode'), \
    coalesce(nullif(current_setting('archive_command'), '(disabled)'), '') <> '' \
      or coalesce(current_setting('archive_library', true), '') <> '', \
    (select setting::float8 from pg_settings where name = 'archive_timeout'), \
    (select extract(epoch from clock_timestamp() - backend_start)::float8 from pg_stat_activity \
     where backend_type = 'archiver' limit 1), \
    last_failed_time > coalesce(last_archived_time, '-infinity'), last_failed_wal, \
    to_char(last_failed_time at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'), \
    last_archived_wal, extract(epoch from clock_timestamp() - last_archived_time)::float8 from pg_stat_archiver";

const WAITING: &str = "select left(name, -6), extract(epoch from clock_timestamp() - modification)::float8 \
    from pg_ls_archive_statusdir() where name like '%.ready'";

const FILES: &str =
    "select name, extract(epoch from clock_timestamp() - modification)::float8 from pg_ls_waldir()";

const SLOTS: &str = "select slot_name::text, coalesce(wal_status, ''), \
    coalesce(pg_wal_lsn_diff(case when pg_is_in_recovery() then pg_last_wal_replay_lsn() else pg_current_wal_lsn() end, \
    s.restart_lsn), 0)::bigint, active, extract(epoch from clock_timestamp() - r.reply_time)::float8 \
    from pg_replication_slots s left join pg_stat_replication r on r.pid = s.active_pid \
    where slot_type = 'physical' and not temporary order by 1";

impl Server {
    /// Asks the servers that `db` names: the primary of the newest timeline among them, else the standby that is
    /// furthest; and the errors of the others.
    ///
    /// # Errors
    /// When none can be reached, or the role may not know.
    pub(super) fn query(db: Option<&str>) -> Result<(Server, Vec<Error>)> {
        let conn = ConnInfo::resolve(db, "wal-shipper")?;
        let (standby, primary) = conn.wanted_roles();
        let (mut servers, mut errors) = (Vec::new(), Vec::new());
        for one in conn.split_hosts() {
            match Server::query_one(&one) {
                Ok(server) if if server.id.standby { standby } else { primary } => servers.push(server),
                Ok(_) => {}
                Err(e) => errors.push(e),
            }
        }
        match servers.into_iter().max_by_key(|s| (!s.id.standby, s.id.timeline, s.written)) {
            Some(server) => Ok((server, errors)),
            None => Err(errors
                .into_iter()
                .next()
                .unwrap_or_else(|| Error::retry("no server fits target_session_attrs"))),
        }
    }

    fn query_one(conn: &ConnInfo) -> Result<Server> {
        let mut client = conn.connect()?;
        // The server's clock is read between two looks at ours: half of the round trip is the error of the difference.
        let before = Timestamp::now();
        let sql = format!("select {ID_COLUMNS}, {FACT_COLUMNS}");
        let facts = client.query_one(&sql, &[]).doing(|| "ask how far the WAL is".into());
        let facts = facts.map_err(|e| e.hint("grant pg_monitor to the role"))?;
        let ours =
            before.as_microsecond() + (Timestamp::now().as_microsecond() - before.as_microsecond()) / 2;
        let column = |n: usize| ID_WIDTH + n;
        Ok(Server {
            id: ServerId::from_row(&facts)?,
            written: facts.get::<_, Option<String>>(column(0)).ok_or_else(nothing_replayed)?.parse()?,
            ahead: facts.get::<_, f64>(column(1)) - ours as f64 / 1e6,
            up: facts.get(column(2)),
            cut_off: facts.get(column(3)),
            archiver: query_archiver(&mut client)?,
            files: query_ages(&mut client, FILES, "list pg_wal")?,
            slots: query_slots(&mut client)?,
        })
    }

    /// How long the segment is whole, by its file's time or by that of the note for the archiver; none where neither
    /// is there any more, or the server still writes into it.
    pub(super) fn whole_since(&self, segment: &Segment) -> Option<f64> {
        let name = segment.name();
        let noted = self.archiver.waiting.get(&name).or_else(|| self.files.get(&name));
        noted.copied().filter(|_| segment.end() <= self.written)
    }

    /// Whether a client stores its WAL by streaming.
    pub(super) fn is_streamed(&self) -> bool {
        self.slots.iter().any(|s| s.active)
    }

    /// How long ago the server began its timeline; none for the first, or where its history is gone.
    pub(super) fn timeline_age(&self) -> Option<f64> {
        self.files.get(&WalName::History(self.id.timeline).to_string()).copied()
    }
}

fn nothing_replayed() -> Error {
    Error::retry("the standby has replayed nothing yet")
}

fn query_archiver(client: &mut Client) -> Result<Archiver> {
    let row = client.query_one(ARCHIVER, &[]).doing(|| "ask the archiver".into())?;
    let failing = row.get::<_, Option<bool>>(4).unwrap_or(false);
    let last: Option<String> = row.get(7);
    Ok(Archiver {
        mode: row.get(0),
        is_set: row.get(1),
        timeout: row.get::<_, Option<f64>>(2).unwrap_or(0.0),
        process: row.get(3),
        waiting: query_ages(client, WAITING, "list what waits for the archiver")?,
        failing: failing.then(|| Failing { name: row.get(5), at: row.get(6) }),
        last: last.zip(row.get(8)),
    })
}

fn query_ages(client: &mut Client, sql: &str, doing: &str) -> Result<BTreeMap<String, f64>> {
    let rows = client.query(sql, &[]).doing(|| doing.to_string())?;
    Ok(rows.iter().map(|r| (r.get(0), r.get::<_, Option<f64>>(1).unwrap_or(0.0))).collect())
}

fn query_slots(client: &mut Client) -> Result<Vec<PhysicalSlot>> {
    let rows = client.query(SLOTS, &[]).doing(|| "ask for the slots".into())?;
    let slot = |r: &postgres::Row| PhysicalSlot {
        name: r.get(0),
        status: r.get(1),
        holds: r.get(2),
        active: r.get(3),
        silent: r.get(4),
    };
    Ok(rows.iter().map(slot).collect())
}
