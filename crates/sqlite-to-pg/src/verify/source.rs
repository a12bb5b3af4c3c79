//! The SQLite side: its connections, and what its schema says of the tables.

use super::expected::WantedExpression;
use crate::source::catalog::lossy_text;
use crate::source::{self, ddl};
use rusqlite::{Connection, ErrorCode, OpenFlags};
use std::path::Path;
use toban_core::pg::Ident;
use toban_core::{Context, Error, Kind, Result};

/// A table of the source.
#[derive(Clone, Debug, Default)]
pub(crate) struct SourceTable {
    pub(crate) name: String,
    pub(crate) columns: Vec<String>,
    /// NOT NULL is declared of these.
    pub(crate) not_null: Vec<String>,
    /// The primary key, in its order.
    pub(crate) key: Vec<String>,
    /// How the rowid is called; none in a table WITHOUT ROWID.
    pub(crate) rowid: Option<String>,
    /// The primary key is the rowid.
    pub(crate) numbered: bool,
    /// UNIQUE constraints and indexes over plain columns, of all rows.
    pub(crate) uniques: Vec<Vec<String>>,
    /// Other indexes.
    pub(crate) indexes: Vec<WantedExpression>,
    /// Expressions of checks.
    pub(crate) checks: Vec<String>,
    /// Columns with a default other than NULL.
    pub(crate) defaults: Vec<String>,
    pub(crate) foreign_keys: Vec<SourceForeignKey>,
    /// `sqlite_sequence.seq`.
    pub(crate) sequence: Option<i64>,
}

/// A foreign key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SourceForeignKey {
    pub(crate) columns: Vec<String>,
    pub(crate) parent: String,
    pub(crate) parent_columns: Vec<String>,
    /// ON DELETE and ON UPDATE, in lower case.
    pub(crate) actions: [String; 2],
}

/// What the file holds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Schema {
    pub(crate) tables: Vec<SourceTable>,
    /// Tables that hold no rows of their own, and what they are.
    pub(crate) others: Vec<(String, String)>,
    /// Views that SQLite can run.
    pub(crate) views: Vec<String>,
    /// Triggers: name and table.
    pub(crate) triggers: Vec<(String, String)>,
    /// Virtual tables whose rows SQLite alone cannot read.
    pub(crate) unread: Vec<String>,
}

/// Opens `count` connections, all in read transactions that see one moment of the file. Nothing is written, not even
/// a lock: when somebody committed in between, which `data_version` tells, it is tried again.
///
/// # Errors
/// Failed: no file, no SQLite database, or one that is encrypted. Corrupt: damaged. Retry: others write without pause.
pub(crate) fn open_readers(path: &Path, count: usize) -> Result<Vec<Connection>> {
    source::open::check_file(path)?;
    at_one_moment(path, count).map_err(|e| source::damage::or_cut(path, e))
}

fn at_one_moment(path: &Path, count: usize) -> Result<Vec<Connection>> {
    // data_version changes on a connection whenever another one commits <https://sqlite.org/pragma.html#pragma_data_version>. No lock
    // is taken, so that a read-only file or folder can be compared too.
    let watch = open_connection(path)?;
    for _ in 0..1000 {
        let before = data_version(&watch, path)?;
        let readers = (0..count).map(|_| begin_read(path)).collect::<Result<Vec<_>>>()?;
        if data_version(&watch, path)? == before {
            source::damage::check_header(path)?;
            return Ok(readers);
        }
    }
    Err(Error::retry(format!("{} is being written to without a pause", path.display())))
}

fn open_connection(path: &Path) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let doing = || format!("open {}", path.display());
    std::fs::metadata(path).doing(doing)?;
    let connection = Connection::open_with_flags(path, flags).doing(doing)?;
    connection.busy_timeout(std::time::Duration::from_secs(5)).doing(doing)?;
    connection.execute_batch("pragma query_only = on; pragma cell_size_check = on").doing(doing)?;
    connection.collation_needed(source::open::add_bytewise_collation).doing(doing)?;
    Ok(connection)
}

fn begin_read(path: &Path) -> Result<Connection> {
    let connection = open_connection(path)?;
    let doing = || format!("open {}", path.display());
    connection.execute_batch("begin").map_err(|e| explain_error(e, doing))?;
    let read = || connection.execute_batch("select count(*) from sqlite_schema");
    // An entry that does not parse (a view of an older program) must not hide the tables.
    if read().is_err() {
        connection.execute_batch("pragma writable_schema = on").map_err(|e| explain_error(e, doing))?;
        read().map_err(|e| explain_error(e, doing))?;
    }
    Ok(connection)
}

fn data_version(watch: &Connection, path: &Path) -> Result<i64> {
    watch
        .query_row("pragma data_version", [], |r| r.get(0))
        .map_err(|e| explain_error(e, || format!("open {}", path.display())))
}

/// SQLite's error with its kind and what helps.
pub(crate) fn explain_error(e: rusqlite::Error, doing: impl FnOnce() -> String) -> Error {
    let code = e.sqlite_error_code();
    let error = Error::caused_by(doing(), e);
    match code {
        Some(ErrorCode::DatabaseCorrupt) => error.kind_as(Kind::Corrupt),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => error.kind_as(Kind::Retry),
        Some(ErrorCode::NotADatabase) => {
            error.kind_as(Kind::Corrupt).hint("the header is damaged, or everything after it is encrypted")
        }
        _ => error,
    }
}

/// Reads the schema.
pub(crate) fn read_schema(connection: &Connection) -> Result<Schema> {
    read_all(connection).map_err(|e| explain_error(e, || "read the SQLite schema".into()))
}

type Sql<T> = rusqlite::Result<T>;

fn read_all(connection: &Connection) -> Sql<Schema> {
    let sql = "select name, type, wr from pragma_table_list where schema = 'main' order by name";
    let mut statement = connection.prepare(sql)?;
    let rows = statement.query_map([], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?)))?;
    let mut schema = Schema::default();
    for row in rows {
        let (name, kind, without_rowid): (String, String, bool) = row?;
        match kind.as_str() {
            // SQLite's own tables: sqlite_schema, sqlite_sequence, sqlite_stat1 …
            _ if name.starts_with("sqlite_") => {}
            // Those of `capture`, which are no part of the application.
            _ if matches!(&*name, "_toban_log" | "_toban_capture") => {}
            "table" => schema.tables.push(read_table(connection, name, without_rowid)?),
            "view" if is_runnable(connection, &name) => schema.views.push(name),
            "virtual" if is_movable(connection, &name) => schema.tables.push(plain_table(connection, name)?),
            "virtual" if !is_index_of_another(connection, &name) => schema.unread.push(name),
            _ => schema.others.push((name, kind)),
        }
    }
    let application = source::catalog::APPLICATION;
    let sql = format!(
        "select name, tbl_name from sqlite_schema where type = 'trigger' and {application} order by name"
    );
    let mut statement = connection.prepare(&sql)?;
    schema.triggers = statement.query_map([], |r| Ok((r.get(0)?, r.get(1)?)))?.collect::<Sql<_>>()?;
    Ok(schema)
}

fn is_movable(connection: &Connection, name: &str) -> bool {
    source::virtual_table::is_movable(connection, name).unwrap_or(false)
}

/// A full-text index over the texts of a table that is compared itself.
fn is_index_of_another(connection: &Connection, name: &str) -> bool {
    let sql = "select lower(replace(sql, ' ', '')) from sqlite_schema where type = 'table' and name = ?1";
    let text: String = connection.query_row(sql, [name], |r| r.get(0)).unwrap_or_default();
    text.contains("usingfts")
        && text.contains("content=")
        && !text.contains("content='',")
        && !text.contains("content='')")
}

/// A virtual table as a plain one: its columns are all that is asked for.
fn plain_table(connection: &Connection, name: String) -> Sql<SourceTable> {
    let mut table = SourceTable { name, rowid: Some("rowid".into()), ..SourceTable::default() };
    let sql = "select name from pragma_table_xinfo(?) where hidden = 0 order by cid";
    table.columns = query_strings(connection, sql, &table.name)?.into_iter().flatten().collect();
    Ok(table)
}

fn is_runnable(connection: &Connection, view: &str) -> bool {
    connection.prepare(&format!("select * from {}", Ident::new(view))).is_ok()
}

fn read_table(connection: &Connection, name: String, without_rowid: bool) -> Sql<SourceTable> {
    let mut table = SourceTable { name, ..SourceTable::default() };
    let sql =
        "select name, \"notnull\", pk, type, hidden, dflt_value from pragma_table_xinfo(?) order by cid";
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.query([&table.name])?;
    let (mut key, mut integer) = (Vec::new(), false);
    while let Some(row) = rows.next()? {
        let (name, not_null, pk): (String, bool, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        if pk > 0 {
            integer = row.get::<_, String>(3)?.eq_ignore_ascii_case("integer");
            key.push((pk, name.clone()));
        }
        if not_null {
            table.not_null.push(name.clone());
        }
        let default: Option<String> = row.get(5)?;
        match default.filter(|d| !d.trim_matches(['(', ')', ' ']).eq_ignore_ascii_case("null")) {
            Some(_) if row.get::<_, i64>(4)? <= 1 => table.defaults.push(name.clone()),
            _ => {}
        }
        table.columns.push(name);
    }
    key.sort();
    table.key = key.into_iter().map(|(_, name)| name).collect();
    table.rowid = free_alias(&table.columns).filter(|_| !without_rowid);
    let own_index = read_indexes(connection, &mut table)?;
    table.checks = read_checks(connection, &table.name)?;
    table.numbered = table.key.len() == 1 && integer && !own_index && !without_rowid;
    table.foreign_keys = read_foreign_keys(connection, &table.name)?;
    table.sequence = read_sequence(connection, &table.name)?;
    Ok(table)
}

fn read_checks(connection: &Connection, table: &str) -> Sql<Vec<String>> {
    let sql = "select sql from sqlite_schema where type = 'table' and name = ?";
    let statement =
        connection.query_row(sql, [table], |r| Ok(lossy_text(r.get_ref(0)?)))?.unwrap_or_default();
    Ok(ddl::parse_table(&statement).checks.into_iter().map(|(_, text)| text).collect())
}

/// The name of the rowid that no column takes.
fn free_alias(columns: &[String]) -> Option<String> {
    let taken = |alias: &str| columns.iter().any(|c| c.eq_ignore_ascii_case(alias));
    ["rowid", "_rowid_", "oid"].into_iter().find(|a| !taken(a)).map(String::from)
}

/// Notes them all, and says whether the primary key has an index of its own (then it is not the rowid).
fn read_indexes(connection: &Connection, table: &mut SourceTable) -> Sql<bool> {
    let sql = "select l.name, l.origin, l.\"unique\", l.partial, s.sql from pragma_index_list(?) l \
               left join sqlite_schema s on s.type = 'index' and s.name = l.name";
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.query([&table.name])?;
    let mut own = false;
    while let Some(row) = rows.next()? {
        let (name, origin): (String, String) = (row.get(0)?, row.get(1)?);
        own |= origin == "pk";
        let (unique, partial): (bool, bool) = (row.get(2)?, row.get(3)?);
        let parts = query_strings(connection, "select name from pragma_index_info(?) order by seqno", &name)?;
        match parts.iter().cloned().collect::<Option<Vec<String>>>() {
            _ if origin == "pk" => {}
            Some(columns) if unique && !partial => table.uniques.push(columns),
            _ => {
                let sql = lossy_text(row.get_ref(4)?).unwrap_or_default();
                table.indexes.push(WantedExpression {
                    name,
                    unique,
                    ..wanted_index(&table.columns, &parts, &sql)
                });
            }
        }
    }
    Ok(own)
}

fn wanted_index(columns: &[String], parts: &[Option<String>], sql: &str) -> WantedExpression {
    let (text, partial) = ddl::index_expressions(sql);
    let mut named = ddl::named_columns(&text, columns);
    named.extend(parts.iter().flatten().cloned());
    let order = parts.iter().cloned().collect::<Option<_>>().unwrap_or_default();
    WantedExpression { columns: named, order, partial, ..WantedExpression::default() }
}

fn query_strings(connection: &Connection, sql: &str, of: &str) -> Sql<Vec<Option<String>>> {
    connection.prepare(sql)?.query_map([of], |r| r.get(0))?.collect()
}

fn read_foreign_keys(connection: &Connection, table: &str) -> Sql<Vec<SourceForeignKey>> {
    let sql = "select id, \"table\", \"from\", \"to\", lower(on_delete), lower(on_update) \
               from pragma_foreign_key_list(?) order by id, seq";
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.query([table])?;
    let mut found: Vec<(i64, SourceForeignKey)> = Vec::new();
    while let Some(row) = rows.next()? {
        let (id, parent, from, to): (i64, String, String, Option<String>) =
            (row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?);
        if found.last().is_none_or(|(last, _)| *last != id) {
            let actions = [row.get(4)?, row.get(5)?];
            found.push((id, SourceForeignKey { columns: vec![], parent, parent_columns: vec![], actions }));
        }
        if let Some((_, key)) = found.last_mut() {
            key.columns.push(from);
            key.parent_columns.extend(to);
        }
    }
    Ok(found.into_iter().map(|(_, key)| key).collect())
}

fn read_sequence(connection: &Connection, table: &str) -> Sql<Option<i64>> {
    let there = "select count(*) from sqlite_schema where name = 'sqlite_sequence'";
    if connection.query_row(there, [], |r| r.get::<_, i64>(0))? == 0 {
        return Ok(None);
    }
    connection.query_row("select max(seq) from sqlite_sequence where name = ?", [table], |r| r.get(0))
}

/// The least and the greatest rowid.
pub(crate) fn rowid_bounds(connection: &Connection, table: &str, rowid: &str) -> Result<Option<(i64, i64)>> {
    let (name, rowid) = (Ident::new(table), Ident::new(rowid));
    // One aggregate in each: only then SQLite looks at one end of the tree.
    let sql = format!(
        "select (select min({rowid}) from {name} not indexed), (select max({rowid}) from {name} not indexed)"
    );
    let read = |r: &rusqlite::Row<'_>| Ok((r.get::<_, Option<i64>>(0)?, r.get::<_, Option<i64>>(1)?));
    let (first, last) =
        connection.query_row(&sql, [], read).map_err(|e| explain_error(e, || format!("read {table}")))?;
    Ok(first.zip(last))
}
