//! The servers of the connection string: which one streams, and the slot on each.

use postgres::Client;
use toban_core::pg::ConnInfo;
use toban_core::wal::{Lsn, Timeline};
use toban_core::{Context, Error, Kind, Result};

/// A server that answered.
pub(super) struct Source {
    pub(super) at: ConnInfo,
    pub(super) client: Client,
    pub(super) facts: Facts,
}

/// What it says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Facts {
    pub(super) system: u64,
    pub(super) major: u32,
    pub(super) segment_size: u64,
    pub(super) standby: bool,
    pub(super) timeline: Timeline,
    pub(super) written: Lsn,
    /// Its slots may hold any amount of WAL (`max_slot_wal_keep_size = -1`).
    pub(super) unlimited: bool,
    pub(super) slot: Option<Slot>,
    /// Commits wait for us.
    pub(super) synchronous: bool,
}

/// Our slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Slot {
    pub(super) restart: Option<Lsn>,
    /// `reserved`, `extended`, `unreserved` or `lost`.
    pub(super) status: String,
}

const FACTS: &str = "select s.system_identifier::text, current_setting('server_version_num')::int / 10000, \
    (select setting::bigint * case unit when '8kB' then 8192 when 'kB' then 1024 when 'MB' then 1048576 else 1 end \
     from pg_settings where name = 'wal_segment_size'), \
    pg_is_in_recovery(), \
    case when pg_is_in_recovery() then coalesce((select received_tli from pg_stat_wal_receiver), c.timeline_id) \
         else ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int end, \
    coalesce(case when pg_is_in_recovery() then pg_last_wal_replay_lsn() else pg_current_wal_lsn() end, '0/0')::text, \
    current_setting('max_slot_wal_keep_size') = '-1', \
    r.slot_name is not null, r.restart_lsn::text, coalesce(r.wal_status, 'lost'), r.slot_type, \
    exists (select from pg_stat_replication a where a.pid = r.active_pid and a.sync_state in ('sync', 'quorum', 'potential')) \
    from pg_control_system() s, pg_control_checkpoint() c left join pg_replication_slots r on r.slot_name = $1";

impl Source {
    /// Connects to `at` and asks.
    pub(super) fn ask(at: &ConnInfo, slot: &str) -> Result<Source> {
        let mut client = at.connect()?;
        let facts = facts(&mut client, slot)?;
        Ok(Source { at: at.clone(), client, facts })
    }

    /// Sees to it that the slot is there and holds WAL. True: it was lost, and this is a new one.
    pub(super) fn keep_slot(&mut self, name: &str) -> Result<bool> {
        let lost = match &self.facts.slot {
            Some(slot) if slot.status != "lost" && slot.restart.is_some() => return Ok(false),
            Some(_) => true,
            None => false,
        };
        let doing = || format!("make the slot {name} on {}", self.at.host());
        if lost {
            self.client.execute("select pg_drop_replication_slot($1)", &[&name]).doing(doing)?;
        }
        let made = self
            .client
            .execute("select pg_create_physical_replication_slot($1, true)", &[&name])
            .doing(doing);
        made.map_err(|e| match e.kind() {
            Kind::Retry => e,
            _ => e.hint("the role needs REPLICATION, and the server a free one of max_replication_slots"),
        })?;
        log::info!("made the slot {name} on {}", self.at.host());
        self.facts = facts(&mut self.client, name)?;
        Ok(lost)
    }

    /// Moves the slot of a server that does not stream to us, so that it does not hold WAL for ever.
    pub(super) fn advance_slot(&mut self, name: &str, stored: Lsn) -> Result<()> {
        let to = Lsn(stored.0.min(self.facts.written.0));
        if self.facts.slot.as_ref().and_then(|s| s.restart).is_none_or(|restart| restart >= to) {
            return Ok(());
        }
        let sql = "select pg_replication_slot_advance($1, $2::text::pg_lsn)";
        let moved = self.client.execute(sql, &[&name, &to.to_string()]);
        moved.map(drop).doing(|| format!("move the slot {name} on {}", self.at.host()))
    }
}

fn facts(client: &mut Client, slot: &str) -> Result<Facts> {
    let row = client.query_one(FACTS, &[&slot]).doing(|| "ask the server for its facts".into())?;
    let there: bool = row.get(7);
    let restart = row.get::<_, Option<String>>(8).map(|l| l.parse()).transpose()?;
    if there && row.get::<_, String>(10) != "physical" {
        return Err(
            Error::failed(format!("the slot {slot} is a logical one")).hint("name another with --slot")
        );
    }
    let system: String = row.get(0);
    Ok(Facts {
        system: system.parse().doing(|| format!("read the system identifier {system}"))?,
        major: u32::try_from(row.get::<_, i32>(1)).unwrap_or_default(),
        segment_size: u64::try_from(row.get::<_, i64>(2)).unwrap_or_default(),
        standby: row.get(3),
        timeline: Timeline(u32::try_from(row.get::<_, i32>(4)).unwrap_or_default()),
        written: row.get::<_, String>(5).parse()?,
        unlimited: row.get(6),
        slot: there.then(|| Slot { restart, status: row.get(9) }),
        synchronous: row.get(11),
    })
}

/// The server to stream from: the primary of the newest timeline, else the standby that is furthest.
///
/// # Errors
/// When none answers that target_session_attrs allows, or they are of different systems.
pub(super) fn choose(conninfo: &ConnInfo, slot: &str) -> Result<Source> {
    let (mut found, mut trouble) = (Vec::new(), Vec::new());
    for at in conninfo.each() {
        match Source::ask(&at, slot) {
            Ok(source) => found.push(source),
            Err(e) => trouble.push(e),
        }
    }
    let system = found.first().map(|s| s.facts.system);
    if found.iter().any(|s| Some(s.facts.system) != system) {
        let e = Error::failed(format!("{} are of different systems", conninfo.describe()));
        return Err(e.hint("name the servers of one cluster: a primary and its standbys"));
    }
    let (standbys, primaries) = conninfo.wants();
    found.retain(|s| if s.facts.standby { standbys } else { primaries });
    found.into_iter().max_by_key(|s| rank(&s.facts)).ok_or_else(|| nobody(trouble, conninfo))
}

/// The higher, the rather.
pub(super) fn rank(facts: &Facts) -> (bool, Timeline, Lsn) {
    (!facts.standby, facts.timeline, facts.written)
}

fn nobody(mut trouble: Vec<Error>, conninfo: &ConnInfo) -> Error {
    match trouble.len() {
        0 => Error::retry(format!("no server that target_session_attrs allows: {}", conninfo.describe())),
        1 => trouble.remove(0),
        _ => {
            let passing = trouble.iter().any(|e| e.kind() == Kind::Retry);
            let said: Vec<String> = trouble.iter().map(Error::chain).collect();
            Error::new(if passing { Kind::Retry } else { Kind::Failed }, said.join("; "))
        }
    }
}
