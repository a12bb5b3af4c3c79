//! The live server: what it is at the drill's begin, and what of it must be in the restored one.

use crate::compare::{self, Object, Objects, older};
use crate::findings::DrillFindings;
use crate::recovered::{Recovered, seconds};
use crate::rulebook;
use crate::server::{Server, TEMPLATE};
use jiff::Timestamp;
use postgres::Client;
use std::collections::BTreeMap;
use toban_core::pg::{ConnInfo, Ident};
use toban_core::wal::Lsn;
use toban_core::{Context, Error, Kind, Result, shutdown};

/// No query holds up a busy server, nor waits for one.
const PATIENCE: &str =
    "set statement_timeout = '60s'; set lock_timeout = '2s'; set default_transaction_read_only = on";

/// The live server as it was when the drill began.
pub(crate) struct Live {
    conn: ConnInfo,
    pub(crate) system: u64,
    pub(crate) now: Timestamp,
    pub(crate) lsn: Lsn,
    next_xid: u64,
    tracks: bool,
    /// The bootstrap superuser, whose name the restored server shares.
    pub(crate) superuser: String,
}

/// Asks the live server.
///
/// # Errors
/// When it cannot be reached or asked.
pub(crate) fn query_live_server(conninfo: &str) -> Result<Live> {
    let conn = ConnInfo::resolve(Some(conninfo), "pg-drill")?;
    let mut client = conn.connect()?;
    client.batch_execute(PATIENCE).doing(|| "ask the live server".into())?;
    let sql = "select (select system_identifier from pg_control_system())::text, \
               extract(epoch from clock_timestamp())::float8, \
               case when pg_is_in_recovery() then pg_last_wal_replay_lsn() else pg_current_wal_lsn() end::text, \
               pg_snapshot_xmax(pg_current_snapshot())::text, \
               current_setting('track_commit_timestamp') = 'on', \
               (select rolname::text from pg_roles where oid = 10)";
    let row = client.query_one(sql, &[]).doing(|| "ask the live server".into())?;
    let text = |i: usize| row.get::<_, String>(i);
    let number = |i: usize| text(i).parse::<u64>().doing(|| "read the live server's numbers".into());
    Ok(Live {
        system: number(0)?,
        now: seconds(row.get(1)).unwrap_or_else(Timestamp::now),
        lsn: text(2).parse()?,
        next_xid: number(3)?,
        tracks: row.get(4),
        superuser: text(5),
        conn,
    })
}

/// What would have been lost had the live server gone at the drill's begin.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Loss {
    Nothing,
    /// The time since the first commit that is not in the restored server.
    Exactly(f64),
    /// No more than the time since the last moment that is known to be in it.
    AtMost(f64),
}

impl Live {
    /// The loss; exact where the server keeps the times of commits.
    ///
    /// # Errors
    /// None: what cannot be asked makes it less exact.
    pub(crate) fn loss(&self, recovered: &Recovered) -> Option<Loss> {
        if recovered.next_xid >= self.next_xid || recovered.lsn >= self.lsn {
            return Some(Loss::Nothing);
        }
        let since = |at: Timestamp| self.now.duration_since(at).as_secs_f64().max(0.0);
        if let Some(first) = self.first_lost(recovered.next_xid) {
            return Some(Loss::Exactly(since(first)));
        }
        recovered.point.map(|at| Loss::AtMost(since(at)))
    }

    fn first_lost(&self, from: u64) -> Option<Timestamp> {
        if !self.tracks {
            return None;
        }
        let sql = "select extract(epoch from min(t))::float8 from \
                   (select pg_xact_commit_timestamp((n % 4294967296)::text::xid) t \
                    from generate_series($1::int8, least($2::int8 - 1, $1::int8 + 100000)) n) x";
        let (from, to) = (i64::try_from(from).ok()?, i64::try_from(self.next_xid).ok()?);
        let row = self.conn.connect().ok()?.query_one(sql, &[&from, &to]).ok()?;
        row.get::<_, Option<f64>>(0).and_then(seconds)
    }

    fn session(&self, database: &str) -> Result<Client> {
        let mut client = self.conn.with_dbname(database).connect()?;
        client.batch_execute(PATIENCE).doing(|| format!("ask the live server's {database}"))?;
        Ok(client)
    }

    /// Compares databases, relations and rows.
    ///
    /// # Errors
    /// When one of the two servers cannot be asked.
    pub(crate) fn compare(
        &self,
        server: &Server,
        (below, count_up_to): (u64, u64),
        findings: &mut DrillFindings,
    ) -> Result<()> {
        let mut tally = Tally::default();
        let restored = server.connect(TEMPLATE).and_then(|mut c| databases(&mut c, below)).map_err(broken)?;
        let live = databases(&mut self.session(self.conn.dbname())?, below)?;
        for (number, (name, _)) in live.iter().filter(|(_, (_, is_older))| *is_older) {
            shutdown::check()?;
            tally.objects += 1;
            match restored.get(number) {
                None if self.still(self.conn.dbname(), "pg_database", *number)? => {
                    tally.missing.push(format!("database {name}"));
                }
                None => {}
                Some((own, _)) => self.database(server, (name, own), (below, count_up_to), &mut tally)?,
            }
        }
        tally.tell(findings);
        Ok(())
    }

    fn database(
        &self,
        server: &Server,
        (name, restored): (&str, &str),
        (below, count_up_to): (u64, u64),
        tally: &mut Tally,
    ) -> Result<()> {
        let mut own = server.connect(restored).map_err(broken)?;
        let mut client = match self.session(name) {
            Ok(client) => client,
            Err(e) => {
                tally.uncounted.push(format!("database {name}: {}", e.chain()));
                return Ok(());
            }
        };
        let there = objects(&mut own, below).map_err(broken)?;
        let live = objects(&mut client, below)?;
        let missing = compare::missing(&live, &there);
        tally.objects += live.values().filter(|o| o.older).count();
        tally.newer += live.values().filter(|o| !o.older).count();
        for number in &missing {
            if self.still(name, "pg_class", *number)? {
                tally.missing.push(compare::shown(name, &live[number]));
            }
        }
        let countable = live.iter().filter(|(n, o)| o.older && o.countable && !missing.contains(n));
        for (number, object) in countable {
            shutdown::check()?;
            let how = Count { below, whole: object.bytes <= count_up_to };
            let pair = how.of(&mut client, object).map(|live| (live, how.of(&mut own, &there[number])));
            tally.count(compare::shown(name, object), pair)?;
        }
        Ok(())
    }

    /// What is missing may have been dropped meanwhile.
    fn still(&self, database: &str, catalog: &str, number: i64) -> Result<bool> {
        let sql = format!("select exists (select from {catalog} where oid = {number}::oid)");
        let row =
            self.session(database)?.query_one(&sql, &[]).doing(|| "ask the live server again".into())?;
        Ok(row.get(0))
    }
}

/// What the restored server cannot say is what drills are for.
fn broken(e: Error) -> Error {
    e.kind_as(Kind::Findings)
}

/// How a table is counted: whole, or whether it has any row.
struct Count {
    below: u64,
    whole: bool,
}

impl Count {
    fn of(&self, client: &mut Client, object: &Object) -> Result<i64> {
        let table = format!("{}.{}", Ident::new(&object.schema), Ident::new(&object.name));
        let from = format!("from only {table} where {}", older("xmin", self.below));
        let sql = match self.whole {
            true => format!("select count(*) {from}"),
            false => format!("select count(*) from (select {from} limit 1) x"),
        };
        client.query_one(&sql, &[]).map(|row| row.get(0)).doing(|| format!("count {table}"))
    }
}

#[derive(Default)]
struct Tally {
    objects: usize,
    newer: usize,
    missing: Vec<String>,
    counted: usize,
    rows: i64,
    fewer: Vec<String>,
    uncounted: Vec<String>,
}

impl Tally {
    /// Takes the live server's count and, if that could be made, the restored one's.
    fn count(&mut self, name: String, pair: Result<(i64, Result<i64>)>) -> Result<()> {
        match pair {
            Ok((live, Ok(restored))) => {
                self.counted += 1;
                self.rows += live;
                if restored < live {
                    self.fewer.push(format!("{name} has {restored} of {live} rows"));
                }
            }
            // The restored server's table does not read: that is what drills are for.
            Ok((_, Err(e))) => {
                shutdown::check()?;
                self.fewer.push(format!("{name} does not read: {}", e.chain()));
            }
            Err(e) => self.uncounted.push(e.chain()),
        }
        Ok(())
    }

    fn tell(&self, findings: &mut DrillFindings) {
        findings.compared += self.objects + self.counted;
        let first = |all: &[String]| all.iter().take(5).cloned().collect::<Vec<_>>().join("; ");
        match self.missing.len() {
            0 => findings.passed(
                &rulebook::RELATIONS,
                format!(
                    "{} databases and relations are there; {} newer ones are left out",
                    self.objects, self.newer
                ),
            ),
            n => findings.failed(&rulebook::RELATIONS, format!("{n} are missing: {}", first(&self.missing))),
        }
        let uncounted = match self.uncounted.len() {
            0 => String::new(),
            n => format!("; {n} could not be counted: {}", first(&self.uncounted)),
        };
        match (self.fewer.len(), self.counted) {
            (0, 0) if !self.uncounted.is_empty() => {
                findings.unknown(&rulebook::ROWS, format!("nothing could be counted{uncounted}"));
            }
            (0, _) => findings.passed(
                &rulebook::ROWS,
                format!(
                    "{} rows of {} tables from before the backup are there{uncounted}",
                    self.rows, self.counted
                ),
            ),
            (n, _) => {
                findings.failed(
                    &rulebook::ROWS,
                    format!("{n} tables lack rows: {}{uncounted}", first(&self.fewer)),
                );
            }
        }
    }
}

fn databases(client: &mut Client, below: u64) -> Result<BTreeMap<i64, (String, bool)>> {
    let sql = format!(
        "select oid::int8, datname::text, {} from pg_database where datallowconn and not datistemplate",
        older("xmin", below)
    );
    let rows = client.query(&sql, &[]).doing(|| "ask for the databases".into())?;
    Ok(rows.iter().map(|r| (r.get(0), (r.get(1), r.get(2)))).collect())
}

fn objects(client: &mut Client, below: u64) -> Result<Objects> {
    let sql = format!(
        "select c.oid::int8, n.nspname::text, c.relname::text, c.relkind::text, {}, \
         c.relkind in ('r', 'm') and c.relpersistence = 'p', c.relpages::int8 * current_setting('block_size')::int8 \
         from pg_class c join pg_namespace n on n.oid = c.relnamespace \
         where c.relpersistence <> 't' and n.nspname not in ('pg_catalog', 'information_schema', 'pg_toast') \
         and n.nspname !~ '^pg_(toast_)?temp_'",
        older("c.xmin", below)
    );
    let rows = client.query(&sql, &[]).doing(|| "ask for the relations".into())?;
    let object = |r: &postgres::Row| Object {
        schema: r.get(1),
        name: r.get(2),
        kind: r.get(3),
        older: r.get(4),
        countable: r.get(5),
        bytes: u64::try_from(r.get::<_, i64>(6)).unwrap_or(0),
    };
    Ok(rows.iter().map(|r| (r.get(0), object(r))).collect())
}
