//! Applies the log of the way back to the fenced file: the rows that it names are deleted there, and those that are
//! still in PostgreSQL are inserted as they are now.

use super::capture::LOCK_WAIT;
use super::file;
use super::inverse::{InverseColumn, column_name};
use super::link::LiveLink;
use super::reverse_log::{ReverseTable, log_name, reverse_tables};
use crate::model::{Column, Plan, Table};
use crate::source::catalog::query_all;
use crate::source::{open, quote_name};
use migrate::sql::qualified_name;
use postgres::Client;
use postgres::fallible_iterator::FallibleIterator;
use rusqlite::config::DbConfig;
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, params_from_iter};
use std::cell::Cell;
use toban_core::pg::{Ident, quote_literal};
use toban_core::{Context, Error, Result, shutdown};

/// Values are shown up to here, and so many rows are named.
const LONGEST: usize = 200;
const MOST_NAMED: u64 = 100;

/// Rows in which a column's form is looked for.
const LOOKED_AT: u64 = 10_000;

/// Keys that the log names, of the transaction that is open.
const KEYS: &str = "pg_temp.toban_back";

/// Applies what the log holds, in one transaction of each side; the answer is how many keys, and tables without one,
/// it named.
///
/// # Errors
/// Failed for a value that SQLite cannot hold, naming table and column; Retry when the file is locked; those of
/// either side.
pub(super) fn apply_back(link: &mut LiveLink) -> Result<u64> {
    let writer = open_unhindered(link)?;
    let LiveLink { client, plan, record, path, .. } = link;
    let tables = reverse_tables(plan, &record.tables);
    let doing = || "apply the changes of PostgreSQL".to_string();
    // One moment of PostgreSQL for the log and all rows.
    client.batch_execute("begin isolation level repeatable read").doing(doing)?;
    let applied = take_entries(client, plan).and_then(|entries| {
        if entries > 0 {
            file::in_write(&writer, path, |db| {
                let back = BackWriter { db, plan, refused: Cell::new(0) };
                tables.iter().try_for_each(|table| back.apply_table(client, table))?;
                back.check_refused()
            })?;
        }
        Ok(entries)
    });
    match applied {
        // The file first: after a crash in between the entries are still there, and are applied once more.
        Ok(entries) => client.batch_execute("commit").doing(doing).map(|()| entries),
        Err(e) => {
            let _gone = client.batch_execute("rollback");
            Err(e)
        }
    }
}

/// No trigger fires in this session, neither the fence nor the application's own, which fired in PostgreSQL's place
/// already.
fn open_unhindered(link: &LiveLink) -> Result<Connection> {
    let writer = file::open_writer(&link.path, LOCK_WAIT)?;
    let explain = |e| open::explain_error(e, &link.path);
    writer.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false).map_err(explain)?;
    writer.execute_batch("pragma foreign_keys = off").map_err(explain)?;
    Ok(writer)
}

/// Takes the entries out of the log into a list of their own: of an earlier number one may be committed later, so no
/// position tells which were seen.
fn take_entries(client: &mut Client, plan: &Plan) -> Result<u64> {
    let doing = || "read the log of the way back".to_string();
    let sql = format!(
        "create temporary table if not exists toban_back (t bigint, key text[]) on commit delete rows; \
         with taken as (delete from {} returning t, key) insert into {KEYS} select distinct t, key from taken; \
         analyze {KEYS}",
        log_name(&plan.schema)
    );
    client.batch_execute(&sql).doing(doing)?;
    let count: i64 = client.query_one(&format!("select count(*) from {KEYS}"), &[]).doing(doing)?.get(0);
    Ok(count.unsigned_abs())
}

/// Writes into the file, in the transaction that is open.
struct BackWriter<'a> {
    db: &'a Connection,
    plan: &'a Plan,
    /// Rows that SQLite cannot hold; each is named when it is met.
    refused: Cell<u64>,
}

/// One table on the way back.
struct BackTable<'a> {
    table: &'a Table,
    /// The columns that SQLite stores.
    columns: Vec<&'a Column>,
    inverses: Vec<InverseColumn>,
    /// Which of them are the key.
    key: Vec<usize>,
    /// SQLite has columns that the copy does not: their values stay as they are.
    keeps_columns: bool,
}

impl BackWriter<'_> {
    fn check_refused(&self) -> Result<()> {
        match self.refused.get() {
            0 => Ok(()),
            n => {
                Err(Error::failed(format!("{n} rows cannot go back: SQLite cannot hold all of their values"))
                    .hint("set other values in PostgreSQL, and run it again"))
            }
        }
    }

    fn apply_table(&self, client: &mut Client, reverse: &ReverseTable<'_>) -> Result<()> {
        shutdown::check()?;
        let number = reverse.captured.number;
        let sql =
            format!("select count(*), count(*) filter (where key is null) from {KEYS} where t = {number}");
        let row = client.query_one(&sql, &[]).doing(|| "read the log of the way back".into())?;
        let (all, whole): (i64, i64) = (row.get(0), row.get(1));
        if all == 0 {
            return Ok(());
        }
        let back = self.read_table(reverse)?;
        let name = quote_name(&back.table.source);
        if whole > 0 {
            if back.keeps_columns {
                return Err(Error::failed(format!(
                    "{} cannot go back as a whole: it has columns that were not copied",
                    back.table.source
                )));
            }
            let doing = || format!("write {} back", back.table.source);
            self.db.execute(&format!("delete from {name}"), []).doing(doing)?;
            return self.insert_rows(client, &back, "");
        }
        let keys = back.key_join(reverse);
        if !back.keeps_columns {
            self.delete_keys(client, &back, number, &keys)?;
            return self.insert_rows(client, &back, &keys.join_sql(number));
        }
        self.delete_gone(client, &back, number, &keys)?;
        self.insert_rows(client, &back, &keys.join_sql(number))
    }

    fn read_table<'t>(&self, reverse: &ReverseTable<'t>) -> Result<BackTable<'t>> {
        let table = reverse.table;
        let sql = "select name from pragma_table_xinfo(?1) where hidden in (0, 1)";
        let stored: Vec<String> = query_all(self.db, sql, &[&table.source], |r| r.get(0))?;
        let is_stored = |c: &&Column| stored.contains(&c.source) || table.rowid.as_ref() == Some(&c.source);
        let columns: Vec<&Column> = table.columns.iter().filter(is_stored).collect();
        let inverses = columns.iter().map(|c| self.inverse_of(table, c)).collect::<Result<_>>()?;
        let place = |name: &String| columns.iter().position(|c| c.source == *name);
        let key = match reverse.key.is_empty() {
            true => Vec::new(),
            false => reverse.captured.key.iter().filter_map(place).collect(),
        };
        let keeps_columns = stored.iter().any(|name| !columns.iter().any(|c| c.source == *name));
        Ok(BackTable { table, columns, inverses, key, keeps_columns })
    }

    fn inverse_of(&self, table: &Table, column: &Column) -> Result<InverseColumn> {
        let (name, column_name) = (quote_name(&table.source), quote_name(&column.source));
        // Not all of a table whose column is empty: that would be read at every round.
        let first = format!("select {column_name} as v from {name} limit {LOOKED_AT}");
        let sql = format!("select v from ({first}) where v is not null limit 1");
        let sample: Option<Value> = self
            .db
            .query_row(&sql, [], |r| r.get(0))
            .optional()
            // A text that is no UTF-8 says nothing about its form.
            .unwrap_or_default();
        Ok(InverseColumn::new(column, sample.as_ref()))
    }

    /// Deletes every row that the log names.
    fn delete_keys(
        &self,
        client: &mut Client,
        back: &BackTable<'_>,
        number: i64,
        keys: &KeyJoin,
    ) -> Result<()> {
        let sql = format!("select {} from {KEYS} k where k.t = {number}", keys.values.join(", "));
        self.delete_selected(client, back, &sql)
    }

    /// Deletes the rows that the log names and PostgreSQL does not have any more.
    fn delete_gone(
        &self,
        client: &mut Client,
        back: &BackTable<'_>,
        number: i64,
        keys: &KeyJoin,
    ) -> Result<()> {
        let name = qualified_name(&self.plan.schema, &back.table.target);
        let sql = format!(
            "select {} from {KEYS} k where k.t = {number} and not exists (select from {name} t where {})",
            keys.values.join(", "),
            keys.same
        );
        self.delete_selected(client, back, &sql)
    }

    fn delete_selected(&self, client: &mut Client, back: &BackTable<'_>, sql: &str) -> Result<()> {
        let inverses: Vec<&InverseColumn> = back.key.iter().map(|at| &back.inverses[*at]).collect();
        let columns: Vec<&Column> = back.key.iter().map(|at| back.columns[*at]).collect();
        let test: Vec<String> =
            (1..).zip(&columns).map(|(at, c)| format!("{} is ?{at}", quote_name(&c.source))).collect();
        let delete = format!("delete from {} where {}", quote_name(&back.table.source), test.join(" and "));
        self.write_each(
            client,
            sql,
            &WrittenRow { back, columns: &columns, inverses: &inverses, sql: &delete, deletes: true },
        )
    }

    /// Writes the rows of the table that `join` leaves.
    fn insert_rows(&self, client: &mut Client, back: &BackTable<'_>, join: &str) -> Result<()> {
        let inverses: Vec<&InverseColumn> = back.inverses.iter().collect();
        let list: Vec<String> = back
            .columns
            .iter()
            .zip(&back.inverses)
            .map(|(c, inverse)| inverse.select_sql(&column_name(c, "t")))
            .collect();
        let name = qualified_name(&self.plan.schema, &back.table.target);
        let sql = format!("select {} from {name} t{join}", list.join(", "));
        let write = back.write_sql();
        let row =
            WrittenRow { back, columns: &back.columns, inverses: &inverses, sql: &write, deletes: false };
        self.write_each(client, &sql, &row)
    }

    /// Does a statement of SQLite's with each row of a query of PostgreSQL's.
    fn write_each(&self, client: &mut Client, sql: &str, row: &WrittenRow<'_>) -> Result<()> {
        let doing = || format!("write {} back", row.back.table.source);
        let mut statement = self.db.prepare(row.sql).doing(doing)?;
        let no_parameters: [&str; 0] = [];
        let mut rows = client.query_raw(sql, no_parameters).doing(doing)?;
        while let Some(found) = rows.next().doing(doing)? {
            match row.values_of(&found)? {
                Ok(values) => {
                    let doing =
                        || format!("write row {} of {} back", row.name_of(&found), row.back.table.source);
                    statement.execute(params_from_iter(values)).doing(doing)?;
                }
                // Such a key was never in the file.
                Err(_) if row.deletes => {}
                Err(why) => {
                    self.refused.set(self.refused.get() + 1);
                    if self.refused.get() <= MOST_NAMED {
                        log::error!("{why}");
                    }
                }
            }
        }
        Ok(())
    }
}

/// How a row of PostgreSQL becomes the parameters of a statement.
struct WrittenRow<'a> {
    back: &'a BackTable<'a>,
    columns: &'a [&'a Column],
    inverses: &'a [&'a InverseColumn],
    sql: &'a str,
    /// The statement deletes, and the row is only its key.
    deletes: bool,
}

impl WrittenRow<'_> {
    /// The values, or which of them SQLite cannot hold.
    fn values_of(&self, row: &postgres::Row) -> Result<std::result::Result<Vec<Value>, String>> {
        let mut values = Vec::with_capacity(self.columns.len());
        for (at, inverse) in self.inverses.iter().enumerate() {
            let text: Option<&str> = row.try_get(at).doing(|| "read the changed rows".into())?;
            let Some(value) = inverse.value_of(text) else {
                let name = format!("{}.{}", self.back.table.source, self.columns[at].source);
                let text: String = text.unwrap_or_default().chars().take(LONGEST).collect();
                return Ok(Err(format!("{name} of row {}: SQLite cannot hold {text}", self.name_of(row))));
            };
            values.push(value);
        }
        Ok(Ok(values))
    }

    /// The key as messages name it.
    fn name_of(&self, row: &postgres::Row) -> String {
        let text = |at: usize| row.try_get::<_, Option<&str>>(at).ok().flatten().unwrap_or("NULL");
        let whole = self.deletes || self.back.key.is_empty();
        let key = if whole { (0..self.columns.len()).collect() } else { self.back.key.clone() };
        let parts: Vec<&str> = key.into_iter().map(text).collect();
        parts.join(", ").chars().take(LONGEST).collect()
    }
}

/// How the log's keys are compared with the table's, and asked for.
struct KeyJoin {
    /// The condition.
    same: String,
    /// Each part as its column's inverse wants it.
    values: Vec<String>,
}

impl KeyJoin {
    fn join_sql(&self, number: i64) -> String {
        format!(" join {KEYS} k on k.t = {number} and {}", self.same)
    }
}

impl BackTable<'_> {
    fn key_join(&self, reverse: &ReverseTable<'_>) -> KeyJoin {
        let cast = |at: usize, c: &Column| format!("(k.key[{}])::{}", at + 1, c.pg_type);
        let same: Vec<String> = self
            .key
            .iter()
            .zip(&reverse.key)
            .enumerate()
            .map(|(at, (column, target))| {
                format!("t.{} = {}", Ident::new(*target), cast(at, self.columns[*column]))
            })
            .collect();
        let values = self
            .key
            .iter()
            .enumerate()
            .map(|(at, column)| self.inverses[*column].select_sql(&cast(at, self.columns[*column])))
            .collect();
        KeyJoin { same: same.join(" and "), values }
    }

    /// INSERT; where SQLite has columns of its own, the row that is there keeps them.
    fn write_sql(&self) -> String {
        let names: Vec<String> = self.columns.iter().map(|c| quote_name(&c.source)).collect();
        let marks: Vec<String> = (1..=names.len()).map(|at| format!("?{at}")).collect();
        let insert = format!(
            "insert into {} ({}) values ({})",
            quote_name(&self.table.source),
            names.join(", "),
            marks.join(", ")
        );
        if !self.keeps_columns {
            return insert;
        }
        let key: Vec<&str> = self.key.iter().map(|at| names[*at].as_str()).collect();
        let set: Vec<String> = names.iter().map(|n| format!("{n} = excluded.{n}")).collect();
        format!("{insert} on conflict ({}) do update set {}", key.join(", "), set.join(", "))
    }
}

/// Lets SQLite number rows on from where PostgreSQL would.
///
/// # Errors
/// Those of either side.
pub(super) fn set_numbers_back(link: &mut LiveLink) -> Result<()> {
    let writer = open_unhindered(link)?;
    let LiveLink { client, plan, path, .. } = link;
    let there = "select name from sqlite_schema where name = 'sqlite_sequence'";
    if query_all(&writer, there, &[], |_| Ok(()))?.is_empty() {
        return Ok(());
    }
    let mut last = Vec::new();
    for table in &plan.tables {
        let name = quote_literal(&qualified_name(&plan.schema, &table.target));
        for column in table.columns.iter().filter(|c| c.identity) {
            let sql = format!("select pg_get_serial_sequence({name}, {})", quote_literal(&column.target));
            let doing = || format!("look at the numbers of {}", table.source);
            let sequence: Option<String> = client.query_one(&sql, &[]).doing(doing)?.get(0);
            let Some(sequence) = sequence else { continue };
            let sql = format!("select case when is_called then last_value else 0 end from {sequence}");
            last.push((table.source.as_str(), client.query_one(&sql, &[]).doing(doing)?.get::<_, i64>(0)));
        }
    }
    file::in_write(&writer, path, |db| {
        // A table whose rows were all made and deleted in PostgreSQL has no entry there yet.
        let first = "insert into sqlite_sequence (name, seq) select name, ?2 from sqlite_schema where ?2 > 0 and type = 'table' \
                     and name = ?1 and sql like '%autoincrement%' and name not in (select name from sqlite_sequence)";
        let sql = "update sqlite_sequence set seq = ?2 where name = ?1 and seq < ?2";
        let doing = |number: &(&str, i64)| format!("number the rows of {}", number.0);
        last.iter().try_for_each(|number| {
            db.execute(first, *number).doing(|| doing(number))?;
            db.execute(sql, *number).doing(|| doing(number)).map(drop)
        })
    })
}
