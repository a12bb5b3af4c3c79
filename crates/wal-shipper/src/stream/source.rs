//! The servers of the connection string: which one streams, and the slot on each.

use crate::server_id::{ID_COLUMNS, ID_WIDTH, ServerId};
use postgres::Client;
use toban_core::pg::ConnInfo;
use toban_core::wal::{Lsn, Timeline};
use toban_core::{Context, Error, Kind, Result};

/// A server that answered.
pub(super) struct SourceServer {
    pub(super) at: ConnInfo,
    pub(super) client: Client,
    pub(super) facts: ServerFacts,
}

/// What it answers about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ServerFacts {
    pub(super) id: ServerId,
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

/// What is asked after [`ID_COLUMNS`].
const FACT_COLUMNS: &str = "coalesce(case when pg_is_in_recovery() then pg_last_wal_replay_lsn() else pg_current_wal_lsn() end, '0/0')::text, \
    current_setting('max_slot_wal_keep_size') = '-1', \
    r.slot_name is not null, r.restart_lsn::text, coalesce(r.wal_status, 'lost'), r.slot_type, \
    exists (select from pg_stat_replication a where a.pid = r.active_pid and a.sync_state in ('sync', 'quorum', 'potential')) \
    from pg_control_system() s, pg_control_checkpoint() c left join pg_replication_slots r on r.slot_name = $1";

impl SourceServer {
    /// Connects to `at` and asks.
    pub(super) fn connect(at: &ConnInfo, slot: &str) -> Result<SourceServer> {
        let mut client = at.connect()?;
        let facts = read_facts(&mut client, slot)?;
        Ok(SourceServer { at: at.clone(), client, facts })
    }

    /// Makes the slot where it is missing or lost. True: it was lost, and this is a new one.
    pub(super) fn ensure_slot(&mut self, name: &str) -> Result<bool> {
        let lost = match &self.facts.slot {
            Some(slot) if slot.status != "lost" && slot.restart.is_some() => return Ok(false),
            Some(_) => true,
            None => false,
        };
        let doing = || format!("make the slot {name} on {}", self.at.host());
        // A lost slot (wal_status, manual, "pg_replication_slots") cannot be used again: what it held is removed.
        if lost {
            self.client.execute("select pg_drop_replication_slot($1)", &[&name]).doing(doing)?;
        }
        // `true`: it holds WAL from now on, not only from the first connection on. What the server removes between this call
        // and START_REPLICATION would be lost.
        let made = self.client.execute("select pg_create_physical_replication_slot($1, true)", &[&name]);
        made.doing(doing).map_err(|e| match e.kind() {
            Kind::Retry => e,
            _ => e.hint("the role needs REPLICATION, and the server a free one of max_replication_slots"),
        })?;
        log::info!("made the slot {name} on {}", self.at.host());
        self.facts = read_facts(&mut self.client, name)?;
        Ok(lost)
    }

    /// Moves the slot of a server that does not stream to us, so that it does not hold WAL for ever.
    pub(super) fn advance_slot(&mut self, name: &str, stored: Lsn) -> Result<()> {
        // Not beyond what this server has itself: of what comes later the slot must hold all.
        let to = Lsn(stored.0.min(self.facts.written.0));
        if self.facts.slot.as_ref().and_then(|s| s.restart).is_none_or(|restart| restart >= to) {
            return Ok(());
        }
        let sql = "select pg_replication_slot_advance($1, $2::text::pg_lsn)";
        let moved = self.client.execute(sql, &[&name, &to.to_string()]);
        moved.map(drop).doing(|| format!("move the slot {name} on {}", self.at.host()))
    }
}

fn read_facts(client: &mut Client, slot: &str) -> Result<ServerFacts> {
    let sql = format!("select {ID_COLUMNS}, {FACT_COLUMNS}");
    let row = client.query_one(&sql, &[&slot]).doing(|| "ask the server for its facts".into())?;
    let column = |n: usize| ID_WIDTH + n;
    let there: bool = row.get(column(2));
    let restart = row.get::<_, Option<String>>(column(3)).map(|l| l.parse()).transpose()?;
    if there && row.get::<_, String>(column(5)) != "physical" {
        return Err(
            Error::failed(format!("the slot {slot} is a logical one")).hint("name another with --slot")
        );
    }
    Ok(ServerFacts {
        id: ServerId::from_row(&row)?,
        written: row.get::<_, String>(column(0)).parse()?,
        unlimited: row.get(column(1)),
        slot: there.then(|| Slot { restart, status: row.get(column(4)) }),
        synchronous: row.get(column(6)),
    })
}

/// The server to stream from: the primary of the newest timeline, else the standby that is furthest.
///
/// # Errors
/// When none answers that target_session_attrs allows, or they are of different systems.
pub(super) fn choose_source(conninfo: &ConnInfo, slot: &str) -> Result<SourceServer> {
    let (mut found, mut errors) = (Vec::new(), Vec::new());
    for at in conninfo.split_hosts() {
        match SourceServer::connect(&at, slot) {
            Ok(source) => found.push(source),
            Err(e) => errors.push(e),
        }
    }
    // A connection string that mixes two clusters would mix their WAL: refused before anything is streamed.
    let system = found.first().map(|s| s.facts.id.system);
    if found.iter().any(|s| Some(s.facts.id.system) != system) {
        let e = Error::failed(format!("{} are of different systems", conninfo.describe()));
        return Err(e.hint("name the servers of one cluster: a primary and its standbys"));
    }
    let (standbys, primaries) = conninfo.wanted_roles();
    found.retain(|s| if s.facts.id.standby { standbys } else { primaries });
    found.into_iter().max_by_key(|s| rank_source(&s.facts)).ok_or_else(|| no_source(errors, conninfo))
}

/// The server with the greatest rank streams.
pub(super) fn rank_source(facts: &ServerFacts) -> (bool, Timeline, Lsn) {
    (!facts.id.standby, facts.id.timeline, facts.written)
}

fn no_source(mut errors: Vec<Error>, conninfo: &ConnInfo) -> Error {
    match errors.len() {
        0 => Error::retry(format!("no server that target_session_attrs allows: {}", conninfo.describe())),
        1 => errors.remove(0),
        _ => {
            let passing = errors.iter().any(|e| e.kind() == Kind::Retry);
            let texts: Vec<String> = errors.iter().map(Error::chain).collect();
            Error::new(if passing { Kind::Retry } else { Kind::Failed }, texts.join("; "))
        }
    }
}
