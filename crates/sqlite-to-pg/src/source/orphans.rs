//! Rows whose foreign key has no parent: found once in the snapshot, and kept in temporary tables of each reader, where a query
//! of rows asks for them.

use super::quote_name;
use crate::model::{OrphanRule, Table};
use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};
use toban_core::{Context, Result, shutdown};

/// Whether a row of `table` is one of those that its rule number `at` is about: an expression for a query of that table.
pub(crate) fn orphan_sql(table: &Table, at: usize) -> String {
    is_listed(table, at, &quote_name(&table.source))
}

/// Finds the rows of every rule of `tables` by the first of `readers`, and lists them for all of them. With rows that are left
/// out go those that refer to them, as the rules of their own keys say.
///
/// # Errors
/// Those of SQLite; Retry when told to stop.
pub(crate) fn list_orphans(readers: &mut [Connection], tables: &[Table]) -> Result<()> {
    let rules: Vec<Search<'_>> = tables
        .iter()
        .flat_map(|table| (0..table.orphans.len()).map(move |at| Search { table, at }))
        .collect();
    let ([first, others @ ..], false) = (readers, rules.is_empty()) else { return Ok(()) };
    let all = || std::iter::once(&*first).chain(others.iter());
    for db in all() {
        // Nothing is written to the file: it was opened read-only, and what is temporary lies elsewhere.
        db.execute_batch("pragma query_only = off").doing(|| "list orphans".into())?;
        rules.iter().try_for_each(|rule| rule.create_list(db))?;
    }
    // A row that goes leaves its children without a parent: again, until no row more is found.
    let cascades = rules.iter().any(|r| r.rule().leaves_out());
    loop {
        let mut found = 0;
        for rule in &rules {
            shutdown::check()?;
            found += rule.add_orphans(first, tables)?;
        }
        if found == 0 || !cascades {
            break;
        }
    }
    for db in &*others {
        rules.iter().try_for_each(|rule| rule.copy_list(first, db))?;
    }
    all().try_for_each(|db| db.execute_batch("pragma query_only = on").doing(|| "list orphans".into()))
}

/// One rule of a table.
struct Search<'a> {
    table: &'a Table,
    at: usize,
}

impl Search<'_> {
    fn rule(&self) -> &OrphanRule {
        &self.table.orphans[self.at]
    }

    fn doing(&self) -> String {
        format!("look for orphans of {} ({})", self.table.source, self.rule().columns.join(", "))
    }

    fn create_list(&self, db: &Connection) -> Result<()> {
        let (list, parts) = (list_name(self.table, self.at), self.table.row_identity().len());
        let columns: Vec<String> = (0..parts).map(|n| format!("i{n}")).collect();
        let columns = columns.join(", ");
        let sql = format!(
            "drop table if exists {list}; create table {list} ({columns}, primary key ({columns})) without rowid"
        );
        db.execute_batch(&sql).doing(|| self.doing())
    }

    /// Lists the rows without a parent that stays; says how many are new.
    fn add_orphans(&self, db: &Connection, tables: &[Table]) -> Result<usize> {
        let rule = self.rule();
        let quoted = |of: &str, names: &[String]| -> Vec<String> {
            names.iter().map(|n| format!("{of}.{}", quote_name(n))).collect()
        };
        let columns = quoted("c", &rule.columns);
        let set: Vec<String> = columns.iter().map(|c| format!("{c} is not null")).collect();
        // The parent's column comes first: its collation decides, as in SQLite's own enforcement.
        let parents = quoted("p", &rule.parent_columns);
        let mut same: Vec<String> = parents.iter().zip(&columns).map(|(p, c)| format!("{p} = {c}")).collect();
        if let Some(parent) = tables.iter().find(|t| t.source == rule.parent) {
            let left_out = (0..parent.orphans.len()).filter(|at| parent.orphans[*at].leaves_out());
            same.extend(left_out.map(|at| format!("not {}", is_listed(parent, at, "p"))));
        }
        let sql = format!(
            "insert or ignore into {} select {} from {} c where {} and not exists (select 1 from {} p where {})",
            list_name(self.table, self.at),
            quoted("c", self.table.row_identity()).join(", "),
            quote_name(&self.table.source),
            set.join(" and "),
            quote_name(&rule.parent),
            same.join(" and ")
        );
        db.execute(&sql, []).doing(|| self.doing())
    }

    fn copy_list(&self, from: &Connection, to: &Connection) -> Result<()> {
        let (list, parts) = (list_name(self.table, self.at), self.table.row_identity().len());
        let copy = || -> rusqlite::Result<()> {
            let mut read = from.prepare(&format!("select * from {list}"))?;
            let holes = vec!["?"; parts].join(", ");
            let mut write = to.prepare(&format!("insert into {list} values ({holes})"))?;
            let mut rows = read.query([])?;
            while let Some(row) = rows.next()? {
                let values = (0..parts).map(|at| row.get(at)).collect::<rusqlite::Result<Vec<Value>>>()?;
                write.execute(params_from_iter(values))?;
            }
            Ok(())
        };
        copy().doing(|| self.doing())
    }
}

fn list_name(table: &Table, at: usize) -> String {
    format!("temp.{}", quote_name(&format!("orphans {at} of {}", table.source)))
}

/// Whether the row of `table` that a query calls `row` is in a list.
fn is_listed(table: &Table, at: usize, row: &str) -> String {
    let same = |(n, name): (usize, &String)| format!("o.i{n} = {row}.{}", quote_name(name));
    let same: Vec<String> = table.row_identity().iter().enumerate().map(same).collect();
    format!("exists (select 1 from {} o where {})", list_name(table, at), same.join(" and "))
}
