//! Comparing the restored server with the live one: databases, relations, rows.

use crate::findings::DrillFindings;
use crate::live_server::LiveServer;
use crate::recovered::RecoveredServer;
use crate::relations::{Relation, Relations, describe, find_missing, older_than};
use crate::rulebook;
use postgres::Client;
use std::collections::BTreeMap;
use toban_core::pg::Ident;
use toban_core::private_server::{PrivateServer, TEMPLATE};
use toban_core::{Context, Error, Kind, Result, shutdown};

/// Compares databases, relations and rows; rows of tables up to `count_up_to` bytes.
///
/// # Errors
/// When one of the two servers cannot be asked.
pub(crate) fn compare_servers(
    live: &LiveServer,
    restored: &RecoveredServer,
    count_up_to: u64,
    findings: &mut DrillFindings,
) -> Result<()> {
    let below = restored.control.all_ended_below;
    let server = &restored.server;
    let mut comparison = Comparison { live, server, below, count_up_to, counts: Counts::default() };
    // By OID and not by name: a physical restore keeps OIDs, and a rename since the backup is not a loss.
    comparison.compare_databases()?;
    comparison.counts.judge(findings);
    Ok(())
}

/// A comparison in progress.
struct Comparison<'a> {
    live: &'a LiveServer,
    server: &'a PrivateServer,
    /// Every transaction below had ended at the backup's checkpoint.
    below: u64,
    count_up_to: u64,
    counts: Counts,
}

impl Comparison<'_> {
    fn compare_databases(&mut self) -> Result<()> {
        let restored = self.server.connect(TEMPLATE).and_then(|mut c| query_databases(&mut c, self.below));
        let restored = restored.map_err(unreadable)?;
        let live = query_databases(&mut self.live.session(self.live.dbname())?, self.below)?;
        for (number, database) in live.iter().filter(|(_, d)| d.older) {
            shutdown::check()?;
            self.counts.objects += 1;
            match restored.get(number) {
                None if self.still_exists(self.live.dbname(), "pg_database", *number)? => {
                    self.counts.missing.push(format!("database {}", database.name));
                }
                None => {}
                Some(own) => self.compare_database(&database.name, &own.name)?,
            }
        }
        Ok(())
    }

    /// `name` of the live server with `restored`: it may have been renamed since.
    fn compare_database(&mut self, name: &str, restored: &str) -> Result<()> {
        let mut own = self.server.connect(restored).map_err(unreadable)?;
        let mut client = match self.live.session(name) {
            Ok(client) => client,
            Err(e) => {
                self.counts.uncounted.push(format!("database {name}: {}", e.chain()));
                return Ok(());
            }
        };
        let there = query_relations(&mut own, self.below).map_err(unreadable)?;
        let live = query_relations(&mut client, self.below)?;
        let missing = find_missing(&live, &there);
        self.counts.objects += live.values().filter(|o| o.older).count();
        self.counts.newer += live.values().filter(|o| !o.older).count();
        for number in &missing {
            if self.still_exists(name, "pg_class", *number)? {
                self.counts.missing.push(describe(name, &live[number]));
            }
        }
        let countable = live.iter().filter(|(n, o)| o.older && o.countable && !missing.contains(n));
        for (number, relation) in countable {
            shutdown::check()?;
            let count = RowCount { below: self.below, whole: relation.bytes <= self.count_up_to };
            let lived = count.query(&mut client, relation);
            // Not asked where the live server does not answer: then there is nothing to compare it with.
            let restored = lived.is_ok().then(|| count.query(&mut own, &there[number]));
            self.counts.add_table(describe(name, relation), lived, restored)?;
        }
        Ok(())
    }

    /// What is missing may have been dropped meanwhile.
    fn still_exists(&self, database: &str, catalog: &str, number: i64) -> Result<bool> {
        let sql = format!("select exists (select from {catalog} where oid = {number}::oid)");
        let mut session = self.live.session(database)?;
        Ok(session.query_one(&sql, &[]).doing(|| "ask the live server again".into())?.get(0))
    }
}

/// What the restored server cannot answer speaks against the backup.
fn unreadable(e: Error) -> Error {
    e.kind_as(Kind::Findings)
}

/// How a table is counted: whole, or whether it has any row.
struct RowCount {
    below: u64,
    whole: bool,
}

impl RowCount {
    fn query(&self, client: &mut Client, relation: &Relation) -> Result<i64> {
        let table = format!("{}.{}", Ident::new(&relation.schema), Ident::new(&relation.name));
        // ONLY: rows of partitions, and of tables that inherit, are counted with their own table, and not twice.
        let from = format!("from only {table} where {}", older_than("xmin", self.below));
        let sql = match self.whole {
            true => format!("select count(*) {from}"),
            // Of a large table whether it has any row: a count would read all of it on the live server, in working
            // hours.
            false => format!("select count(*) from (select {from} limit 1) x"),
        };
        client.query_one(&sql, &[]).map(|row| row.get(0)).doing(|| format!("count {table}"))
    }
}

/// What was compared.
#[derive(Default)]
struct Counts {
    objects: usize,
    newer: usize,
    missing: Vec<String>,
    counted: usize,
    rows: i64,
    fewer: Vec<String>,
    uncounted: Vec<String>,
}

impl Counts {
    /// Takes the live server's count of a table and, if that could be made, the restored one's.
    fn add_table(&mut self, name: String, live: Result<i64>, restored: Option<Result<i64>>) -> Result<()> {
        match (live, restored) {
            (Ok(live), Some(Ok(restored))) => {
                self.counted += 1;
                self.rows += live;
                if restored < live {
                    self.fewer.push(format!("{name} has {restored} of {live} rows"));
                }
            }
            // The restored server's table does not read: that speaks against the backup.
            (Ok(_), Some(Err(e))) => {
                shutdown::check()?;
                self.fewer.push(format!("{name} does not read: {}", e.chain()));
            }
            (Err(e), _) => self.uncounted.push(e.chain()),
            (Ok(_), None) => {}
        }
        Ok(())
    }

    fn judge(&self, findings: &mut DrillFindings) {
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

/// A database.
struct Database {
    name: String,
    /// Made before the backup's checkpoint.
    older: bool,
}

fn query_databases(client: &mut Client, below: u64) -> Result<BTreeMap<i64, Database>> {
    let sql = format!(
        "select oid::int8, datname::text, {} from pg_database where datallowconn and not datistemplate",
        older_than("xmin", below)
    );
    let rows = client.query(&sql, &[]).doing(|| "ask for the databases".into())?;
    Ok(rows.iter().map(|r| (r.get(0), Database { name: r.get(1), older: r.get(2) })).collect())
}

fn query_relations(client: &mut Client, below: u64) -> Result<Relations> {
    let sql = format!(
        "select c.oid::int8, n.nspname::text, c.relname::text, c.relkind::text, {}, \
         c.relkind in ('r', 'm') and c.relpersistence = 'p', c.relpages::int8 * current_setting('block_size')::int8 \
         from pg_class c join pg_namespace n on n.oid = c.relnamespace \
         where c.relpersistence <> 't' and n.nspname not in ('pg_catalog', 'information_schema', 'pg_toast') \
         and n.nspname !~ '^pg_(toast_)?temp_'",
        older_than("c.xmin", below)
    );
    let rows = client.query(&sql, &[]).doing(|| "ask for the relations".into())?;
    let relation = |r: &postgres::Row| Relation {
        schema: r.get(1),
        name: r.get(2),
        kind: r.get(3),
        older: r.get(4),
        countable: r.get(5),
        bytes: u64::try_from(r.get::<_, i64>(6)).unwrap_or(0),
    };
    Ok(rows.iter().map(|r| (r.get(0), relation(r))).collect())
}
