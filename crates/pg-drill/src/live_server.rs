//! The live server: what it is at the drill's begin, and what of it must be in the restored one.

use crate::recovered::{MOST_XIDS, Recovered, from_epoch};
use jiff::Timestamp;
use postgres::Client;
use toban_core::pg::ConnInfo;
use toban_core::wal::Lsn;
use toban_core::{Context, Result};

/// No query holds up a busy server, nor waits for one.
const SESSION_LIMITS: &str =
    "set statement_timeout = '60s'; set lock_timeout = '2s'; set default_transaction_read_only = on";

/// The live server as it was when the drill began.
pub(crate) struct LiveServer {
    conn: ConnInfo,
    pub(crate) system: u64,
    pub(crate) now: Timestamp,
    pub(crate) lsn: Lsn,
    next_xid: u64,
    /// Transactions that ran.
    running: Vec<i64>,
    tracks: bool,
    /// The bootstrap superuser, whose name the restored server shares.
    pub(crate) superuser: String,
}

/// Asks the live server.
///
/// # Errors
/// When it cannot be reached or asked.
pub(crate) fn query_live_server(conninfo: &str) -> Result<LiveServer> {
    let conn = ConnInfo::resolve(Some(conninfo), "pg-drill")?;
    let mut client = conn.connect()?;
    client.batch_execute(SESSION_LIMITS).doing(|| "ask the live server".into())?;
    // Asked before the restore begins: what is committed later cannot be in it. The superuser that initdb made has OID 10,
    // whatever its name.
    let sql = "select (select system_identifier from pg_control_system())::text, \
               extract(epoch from clock_timestamp())::float8, \
               case when pg_is_in_recovery() then pg_last_wal_replay_lsn() else pg_current_wal_lsn() end::text, \
               pg_snapshot_xmax(pg_current_snapshot())::text, \
               current_setting('track_commit_timestamp') = 'on', \
               (select rolname::text from pg_roles where oid = 10), \
               array(select x::text::int8 from pg_snapshot_xip(pg_current_snapshot()) x)";
    let row = client.query_one(sql, &[]).doing(|| "ask the live server".into())?;
    let text = |i: usize| row.get::<_, String>(i);
    let number = |i: usize| text(i).parse::<u64>().doing(|| "read the live server's numbers".into());
    Ok(LiveServer {
        system: number(0)?,
        now: from_epoch(row.get(1)).unwrap_or_else(Timestamp::now),
        lsn: text(2).parse()?,
        next_xid: number(3)?,
        tracks: row.get(4),
        superuser: text(5),
        running: row.get(6),
        conn,
    })
}

/// What would have been lost had the live server gone at the drill's begin.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Loss {
    Nothing,
    /// The time since the first commit that is not in the restored server.
    Exactly(f64),
    /// No more than the time since the latest time up to which all commits are in it.
    AtMost(f64),
}

/// Commits of the live server that are not in the restored one.
struct LostCommits {
    /// Whether there are any.
    some: bool,
    /// When the first was made, where the server keeps the times of commits.
    first: Option<Timestamp>,
}

impl LiveServer {
    /// The loss; exact where the server keeps the times of commits, and none where what can be asked does not bound it.
    pub(crate) fn measure_loss(&self, recovered: &Recovered) -> Option<Loss> {
        if recovered.lsn >= self.lsn {
            return Some(Loss::Nothing);
        }
        let since = |at: Timestamp| self.now.duration_since(at).as_secs_f64().max(0.0);
        match self.find_lost_commits(recovered) {
            Some(LostCommits { some: false, .. }) => Some(Loss::Nothing),
            Some(LostCommits { first: Some(first), .. }) => Some(Loss::Exactly(since(first))),
            _ => recovered.point.map(|at| Loss::AtMost(since(at))),
        }
    }

    /// None where they are too many to be looked at, or the server does not answer.
    fn find_lost_commits(&self, recovered: &Recovered) -> Option<LostCommits> {
        let uncommitted = recovered.uncommitted.as_ref()?;
        if self.next_xid.saturating_sub(recovered.next_xid) > MOST_XIDS {
            return None;
        }
        let (from, to) = (i64::try_from(recovered.next_xid).ok()?, i64::try_from(self.next_xid).ok()?);
        // A transaction may have a number that recovery came past, and its commit behind the end: one that was begun
        // early and took long. So each that is not committed over there is looked at, and no number alone proves anything.
        // What ran when the drill began was not lost then.
        let sql = "select n from (select unnest($1::int8[]) n union select generate_series($2::int8, $3::int8 - 1)) x \
                   where pg_xact_status(n::text::xid8) = 'committed' and n <> all ($4::int8[])";
        // By the 32 bits that a transaction is known by there; of one whose time is kept no longer the answer is NULL, and
        // min() passes over it (manual, "Committed Transaction Information Functions"). Parts of one that ran when the
        // drill began have its time of commit, which is later.
        let began = self.now.as_microsecond();
        let sql = match self.tracks {
            true => format!(
                "select count(*) filter (where t is null or t <= to_timestamp({began} / 1e6)) > 0, \
                 extract(epoch from min(t))::float8 from (select pg_xact_commit_timestamp((n % 4294967296)::text::xid) t from ({sql}) y) z"
            ),
            false => format!("select count(*) > 0, null::float8 from ({sql}) y"),
        };
        let mut client = self.conn.connect().ok()?;
        client.batch_execute(SESSION_LIMITS).ok()?;
        let row = client.query_one(&sql, &[uncommitted, &from, &to, &self.running]);
        let row = row.inspect_err(|e| log::debug!("ask for lost commits: {e}")).ok()?;
        Some(LostCommits { some: row.get(0), first: row.get::<_, Option<f64>>(1).and_then(from_epoch) })
    }

    /// The database that the connection string names.
    pub(crate) fn dbname(&self) -> &str {
        self.conn.dbname()
    }

    /// A session that does not get in the way of the live server's work.
    ///
    /// # Errors
    /// Those of the connection.
    pub(crate) fn session(&self, database: &str) -> Result<Client> {
        let mut client = self.conn.with_dbname(database).connect()?;
        client.batch_execute(SESSION_LIMITS).doing(|| format!("ask the live server's {database}"))?;
        Ok(client)
    }
}
