//! Rejects loaded again: the rows that a list names, as a small database of their own, which then moves like any other.

use crate::load::rejects::{KeyValue, Reject};
use crate::source::{open, quote_name};
use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use toban_core::{Context, Error, Result};

/// The database of the rows; gone when dropped.
pub(super) struct RejectedRows {
    folder: TempDir,
}

/// Rows of each table.
type Rows = BTreeMap<String, BTreeSet<Vec<KeyValue>>>;

impl RejectedRows {
    pub(super) fn path(&self) -> PathBuf {
        self.folder.path().join("rejects.sqlite3")
    }
}

/// Copies the rows that `list` names out of `db`, which is only read.
///
/// # Errors
/// Usage for a list that is none, or whose tables and rows are not in `db`; those of SQLite.
pub(super) fn gather_rows(db: &Path, list: &Path) -> Result<RejectedRows> {
    let rows = read_list(list)?;
    if rows.is_empty() {
        return Err(Error::usage(format!("{} lists no rows", list.display())));
    }
    drop(open::open_reader(db)?);
    let again = RejectedRows { folder: tempfile::tempdir().doing(|| "make a folder for rejects".into())? };
    let explain = |e| open::explain_error(e, db);
    let small = Connection::open(again.path()).map_err(explain)?;
    small.collation_needed(open::add_bytewise_collation).map_err(explain)?;
    small
        .execute_batch(
            // A file of our own that is thrown away: no journal is needed, and the rows must be taken as they are,
            // also those that their own constraints would refuse today.
            "pragma journal_mode = off; pragma foreign_keys = off; pragma ignore_check_constraints = on",
        )
        .map_err(explain)?;
    let source = format!("file:{}?mode=ro", sqlite_uri(db));
    // mode=ro: an attached database would otherwise be opened for writing, and a journal rolled back.
    small.execute("attach ?1 as source", [&source]).map_err(explain)?;
    small.execute_batch("begin").map_err(explain)?;
    for (table, places) in &rows {
        copy_table(&small, table, places).map_err(explain)??;
    }
    small.execute_batch("commit").map_err(explain)?;
    Ok(again)
}

/// A path as SQLite's URIs have it.
fn sqlite_uri(path: &Path) -> String {
    path.display().to_string().replace('%', "%25").replace('?', "%3f").replace('#', "%23")
}

fn read_list(list: &Path) -> Result<Rows> {
    let doing = || format!("read {}", list.display());
    let file = std::fs::File::open(list).doing(doing)?;
    let mut rows = Rows::new();
    for line in BufReader::new(file).lines() {
        let reject: Reject = serde_json::from_str(&line.doing(doing)?).map_err(|e| {
            Error::usage(format!("{}: {e}", doing())).hint("give the rejects.jsonl of an earlier run")
        })?;
        rows.entry(reject.table).or_default().insert(reject.place);
    }
    Ok(rows)
}

type Sql<T> = rusqlite::Result<T>;

fn copy_table(small: &Connection, table: &str, places: &BTreeSet<Vec<KeyValue>>) -> Sql<Result<()>> {
    let sql = "select sql from source.sqlite_schema where type = 'table' and name = ?1";
    let statement: Option<String> = small.query_row(sql, [table], |r| r.get(0)).or_else(no_row)?;
    let Some(statement) = statement else {
        return Ok(Err(Error::usage(format!(
            "the list names the table {table}, which is not in the SQLite file"
        ))));
    };
    small.execute_batch(&statement)?;
    let columns = stored_columns(small, table)?;
    let list = columns.join(", ");
    let mut missing = 0;
    for place in places {
        let test: Vec<String> =
            (1..).zip(place).map(|(at, p)| format!("{} is ?{at}", quote_name(&p.column))).collect();
        let name = quote_name(table);
        let sql = format!(
            "insert into main.{name} ({list}) select {list} from source.{name} where {}",
            test.join(" and ")
        );
        let values: Vec<Value> = place.iter().map(KeyValue::value).collect();
        missing += usize::from(small.execute(&sql, params_from_iter(values))? == 0);
    }
    match missing {
        0 => Ok(Ok(())),
        n => Ok(Err(Error::usage(format!(
            "{n} rows of {table} that the list names are not in the SQLite file"
        ))
        .hint("is it the same SQLite file that run copied?"))),
    }
}

fn no_row<T>(e: rusqlite::Error) -> Sql<Option<T>> {
    match e {
        rusqlite::Error::QueryReturnedNoRows => Ok(None),
        e => Err(e),
    }
}

/// The columns that hold values of their own.
fn stored_columns(small: &Connection, table: &str) -> Sql<Vec<String>> {
    let mut statement =
        small.prepare("select name from pragma_table_xinfo(?1) where hidden = 0 order by cid")?;
    statement.query_map([table], |r| r.get::<_, String>(0).map(|name| quote_name(&name)))?.collect()
}
