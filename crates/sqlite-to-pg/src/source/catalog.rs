//! SQLite's schema as its pragmas tell it, with what only the statements say.

use super::ddl::{self, Ddl};
use super::{quote_name, virtual_table};
use rusqlite::Connection;
use rusqlite::types::ValueRef;
use sha2::{Digest, Sha256};
use toban_core::{Context, Result};

/// All of it.
#[derive(Debug, Default)]
pub(crate) struct Catalog {
    pub(crate) tables: Vec<RawTable>,
    pub(crate) others: Vec<RawObject>,
    /// Generated columns that SQLite itself cannot compute, and why.
    pub(crate) unreadable: Vec<(String, String)>,
    /// Tables whose statement SQLite does not understand.
    pub(crate) lost: Vec<String>,
}

/// A table that holds rows.
#[derive(Debug, Default)]
pub(crate) struct RawTable {
    pub(crate) name: String,
    pub(crate) columns: Vec<RawColumn>,
    /// The name of the rowid; none WITHOUT ROWID.
    pub(crate) rowid: Option<String>,
    /// The column that is the rowid (INTEGER PRIMARY KEY).
    pub(crate) alias: Option<usize>,
    /// Columns of the primary key in its order.
    pub(crate) key: Vec<usize>,
    pub(crate) indexes: Vec<RawIndex>,
    pub(crate) foreign_keys: Vec<RawForeignKey>,
    pub(crate) sequence: Option<i64>,
    pub(crate) ddl: Ddl,
    /// Of a virtual table, what a plain one keeps of it.
    pub(crate) of_virtual: Option<&'static str>,
}

impl RawTable {
    /// Whether a column of it is computed.
    pub(crate) fn has_generated(&self) -> bool {
        self.columns.iter().any(|c| c.generated)
    }

    /// Adds the rowid as a column, unless one is it already or there is none.
    pub(crate) fn keep_rowid(&mut self) {
        let name = self.rowid.clone().filter(|_| self.alias.is_none());
        let declared = || "INTEGER".to_string();
        self.columns.extend(name.map(|name| RawColumn {
            name,
            declared: declared(),
            not_null: true,
            ..RawColumn::default()
        }));
    }
}

/// A column.
#[derive(Debug, Default)]
pub(crate) struct RawColumn {
    pub(crate) name: String,
    pub(crate) declared: String,
    pub(crate) not_null: bool,
    pub(crate) default: Option<String>,
    pub(crate) generated: bool,
}

/// An index, also one that a constraint made.
#[derive(Debug, Default)]
pub(crate) struct RawIndex {
    pub(crate) name: String,
    pub(crate) unique: bool,
    /// `c`: CREATE INDEX; `u`: UNIQUE; `pk`: PRIMARY KEY.
    pub(crate) origin: String,
    /// Column (none: an expression), descending, collation.
    pub(crate) parts: Vec<(Option<String>, bool, String)>,
    pub(crate) sql: Option<String>,
}

/// A foreign key.
#[derive(Debug, Default)]
pub(crate) struct RawForeignKey {
    pub(crate) name: Option<String>,
    pub(crate) parent: String,
    pub(crate) columns: Vec<String>,
    /// Empty: the parent's primary key.
    pub(crate) parent_columns: Vec<String>,
    pub(crate) on_update: String,
    pub(crate) on_delete: String,
    pub(crate) deferred: bool,
}

/// What an object without rows of its own is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum RawKind {
    #[default]
    View,
    /// A view whose statement SQLite does not understand.
    DamagedView,
    Trigger,
    VirtualTable,
    ShadowTable,
}

/// What holds no rows of its own.
#[derive(Debug, Default)]
pub(crate) struct RawObject {
    pub(crate) kind: RawKind,
    pub(crate) name: String,
    pub(crate) table: String,
    pub(crate) sql: String,
    /// Of a view that SQLite can run: what it calls the columns.
    pub(crate) columns: Vec<String>,
}

/// Reads the whole schema.
pub(crate) fn read_catalog(db: &Connection) -> Result<Catalog> {
    let mut catalog = Catalog::default();
    for (name, kind, without_rowid) in list_tables(db)? {
        match kind.as_str() {
            "table" if !name.to_ascii_lowercase().starts_with("sqlite_") => {
                let (table, unreadable) = read_table(db, &name, without_rowid)?;
                catalog.tables.push(table);
                catalog.unreadable.extend(unreadable);
            }
            "virtual" if virtual_table::is_full_text(db, &name)? => {
                catalog.tables.push(virtual_table::text_table(db, &name)?);
            }
            "virtual" if virtual_table::has_boxes(db, &name)? => {
                catalog.tables.push(virtual_table::box_table(db, &name)?);
            }
            "virtual" | "shadow" => catalog.others.push(RawObject {
                kind: if kind == "virtual" { RawKind::VirtualTable } else { RawKind::ShadowTable },
                sql: sql_of(db, &name)?.unwrap_or_default(),
                name,
                ..RawObject::default()
            }),
            _ => {}
        }
    }
    catalog.others.extend(read_others(db)?);
    catalog.lost = lost_tables(db)?;
    Ok(catalog)
}

/// Of sqlite_schema, what the application made: not what captures its changes for `sync`.
pub(crate) const APPLICATION: &str = "name not in ('_toban_log', '_toban_capture') \
    and not (type = 'trigger' and name like '\\_toban\\_%' escape '\\')";

/// Tables in the order in which they were made.
fn list_tables(db: &Connection) -> Result<Vec<(String, String, bool)>> {
    // pragma_table_list tells virtual and shadow tables from plain ones, which sqlite_schema does not
    // (<https://sqlite.org/pragma.html#pragma_table_list>).
    let sql = "select l.name, l.type, l.wr from pragma_table_list l left join sqlite_schema s \
               on s.name = l.name and s.type in ('table', 'view') where l.schema = 'main' \
               and l.name not in ('_toban_log', '_toban_capture') order by s.rowid";
    query_all(db, sql, &[], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?)))
}

/// Tables whose statement SQLite does not understand.
pub(crate) fn lost_tables(db: &Connection) -> Result<Vec<String>> {
    let sql = "select name from sqlite_schema where type = 'table' and rootpage > 0 and name not like 'sqlite\\_%' escape '\\' \
               and name not in (select name from pragma_table_list where schema = 'main')";
    query_all(db, sql, &[], |r| r.get(0))
}

fn read_others(db: &Connection) -> Result<Vec<RawObject>> {
    let sql = format!(
        "select type, name, tbl_name, sql, name in (select name from pragma_table_list where schema = 'main') \
         from sqlite_schema where type in ('view', 'trigger') and {APPLICATION} order by rowid"
    );
    let mut found = query_all(db, &sql, &[], |r| {
        let kind = match (r.get::<_, String>(0)?.as_str(), r.get(4)?) {
            ("trigger", _) => RawKind::Trigger,
            (_, true) => RawKind::View,
            (_, false) => RawKind::DamagedView,
        };
        let sql = lossy_text(r.get_ref(3)?).unwrap_or_default();
        Ok(RawObject { kind, name: r.get(1)?, table: r.get(2)?, sql, columns: Vec::new() })
    })?;
    for view in found.iter_mut().filter(|o| o.kind == RawKind::View) {
        view.columns =
            query_all(db, "select name from pragma_table_info(?1) order by cid", &[&view.name], |r| r.get(0))
                .unwrap_or_default();
    }
    Ok(found)
}

fn read_table(db: &Connection, name: &str, without_rowid: bool) -> Result<(RawTable, Vec<(String, String)>)> {
    let ddl = ddl::parse_table(&sql_of(db, name)?.unwrap_or_default());
    let (mut columns, mut key) = read_columns(db, name)?;
    let unreadable = unreadable_columns(db, name, &columns);
    for at in (0..columns.len()).rev() {
        if unreadable.iter().any(|(column, _)| *column == columns[at].name) {
            columns.remove(at);
            key.iter_mut().filter(|k| **k > at).for_each(|k| *k -= 1);
        }
    }
    let indexes = read_indexes(db, name)?;
    // `INTEGER PRIMARY KEY DESC` is no alias of the rowid, by an accident that was kept: then the key has an index of
    // its own (<https://sqlite.org/lang_createtable.html#rowid>).
    let own_key = indexes.iter().any(|i| i.origin == "pk");
    let is_alias = |k: &usize| columns[*k].declared.eq_ignore_ascii_case("integer");
    let alias = key.first().copied().filter(|k| key.len() == 1 && !without_rowid && !own_key && is_alias(k));
    let foreign_keys = read_foreign_keys(db, name, &ddl)?;
    let rowid = if without_rowid { None } else { free_rowid(&columns, alias) };
    let sequence = read_sequence(db, name)?;
    let shown = unreadable.into_iter().map(|(column, why)| (format!("{name}.{column}"), why)).collect();
    let name = name.to_string();
    Ok((
        RawTable { name, columns, rowid, alias, key, indexes, foreign_keys, sequence, ddl, of_virtual: None },
        shown,
    ))
}

/// Generated columns whose expression needs what only the application has; none of them is part of a key.
fn unreadable_columns(db: &Connection, table: &str, columns: &[RawColumn]) -> Vec<(String, String)> {
    let broken = |c: &RawColumn| {
        let e = db.prepare(&format!("select {} from {}", quote_name(&c.name), quote_name(table))).err()?;
        Some((c.name.clone(), format!("left out, for SQLite cannot compute it here: {e}")))
    };
    columns.iter().filter(|c| c.generated).filter_map(broken).collect()
}

/// A name of the rowid that no column takes.
pub(super) fn free_rowid(columns: &[RawColumn], alias: Option<usize>) -> Option<String> {
    if let Some(alias) = alias {
        return Some(columns[alias].name.clone());
    }
    let free = |name: &&str| !columns.iter().any(|c| c.name.eq_ignore_ascii_case(name));
    ["rowid", "_rowid_", "oid"].into_iter().find(free).map(String::from)
}

pub(super) fn read_columns(db: &Connection, table: &str) -> Result<(Vec<RawColumn>, Vec<usize>)> {
    // hidden: 2 and 3 are generated columns, 1 is a virtual table's own.
    let sql = "select name, type, \"notnull\", dflt_value, pk, hidden from pragma_table_xinfo(?1) where hidden <> 1 \
               order by cid";
    let rows = query_all(db, sql, &[table], |r| {
        let generated = r.get::<_, i64>(5)? > 1;
        // SQLite keeps these words in a generated column's type.
        let declared = strip_generated(r.get::<_, Option<String>>(1)?.unwrap_or_default(), generated);
        let column =
            RawColumn { name: r.get(0)?, declared, not_null: r.get(2)?, default: r.get(3)?, generated };
        Ok((column, r.get::<_, u32>(4)?))
    })?;
    let mut key: Vec<(u32, usize)> =
        rows.iter().enumerate().filter(|(_, (_, pk))| *pk > 0).map(|(at, (_, pk))| (*pk, at)).collect();
    // `pk` is the place in the key, counted from 1, whatever the place of the column is.
    key.sort_unstable();
    Ok((rows.into_iter().map(|(c, _)| c).collect(), key.into_iter().map(|(_, at)| at).collect()))
}

fn strip_generated(declared: String, generated: bool) -> String {
    let upper = declared.to_ascii_uppercase();
    match upper.find("GENERATED ALWAYS").filter(|_| generated) {
        Some(at) => declared[..at].trim().to_string(),
        None => declared,
    }
}

fn read_indexes(db: &Connection, table: &str) -> Result<Vec<RawIndex>> {
    let sql = "select name, \"unique\", origin from pragma_index_list(?1) order by seq desc";
    let mut found = query_all(db, sql, &[table], |r| {
        Ok(RawIndex { name: r.get(0)?, unique: r.get(1)?, origin: r.get(2)?, ..RawIndex::default() })
    })?;
    for index in &mut found {
        let sql = "select name, \"desc\", coll from pragma_index_xinfo(?1) where key = 1 order by seqno";
        index.parts = query_all(db, sql, &[&index.name], |r| {
            Ok((
                r.get(0)?,
                r.get(1)?,
                r.get::<_, Option<String>>(2)?.unwrap_or_default().to_ascii_uppercase(),
            ))
        })?;
        index.sql = sql_of(db, &index.name)?;
    }
    Ok(found)
}

/// SQLite numbers them from the last to the first; the statement tells their names, and which are deferred.
fn read_foreign_keys(db: &Connection, table: &str, ddl: &Ddl) -> Result<Vec<RawForeignKey>> {
    let sql = "select id, \"table\", \"from\", \"to\", on_update, on_delete from pragma_foreign_key_list(?1) \
               order by id desc, seq";
    let rows = query_all(db, sql, &[table], |r| {
        let key = RawForeignKey {
            parent: r.get(1)?,
            columns: vec![r.get(2)?],
            parent_columns: r.get::<_, Option<String>>(3)?.into_iter().collect(),
            on_update: r.get(4)?,
            on_delete: r.get(5)?,
            ..RawForeignKey::default()
        };
        Ok((r.get::<_, i64>(0)?, key))
    })?;
    let mut found: Vec<(i64, RawForeignKey)> = Vec::new();
    for (id, key) in rows {
        match found.last_mut().filter(|(last, _)| *last == id) {
            Some((_, whole)) => {
                whole.columns.extend(key.columns);
                whole.parent_columns.extend(key.parent_columns);
            }
            None => found.push((id, key)),
        }
    }
    let mut keys: Vec<RawForeignKey> = found.into_iter().map(|(_, k)| k).collect();
    // The two are matched by their order; where the parser sees another number of them, names are left out, not
    // guessed.
    if keys.len() == ddl.references.len() {
        for (key, reference) in keys.iter_mut().zip(&ddl.references) {
            key.name.clone_from(&reference.name);
            key.deferred = reference.deferred;
        }
    }
    Ok(keys)
}

fn read_sequence(db: &Connection, table: &str) -> Result<Option<i64>> {
    let there = "select name from sqlite_schema where name = 'sqlite_sequence'";
    if query_all(db, there, &[], |_| Ok(()))?.is_empty() {
        return Ok(None);
    }
    let found = query_all(db, "select seq from sqlite_sequence where name = ?1", &[table], |r| r.get(0))?;
    Ok(found.into_iter().next())
}

pub(super) fn sql_of(db: &Connection, name: &str) -> Result<Option<String>> {
    let sql = "select sql from sqlite_schema where name = ?1 and type in ('table', 'index', 'view')";
    Ok(query_all(db, sql, &[name], |r| Ok(lossy_text(r.get_ref(0)?)))?.into_iter().next().flatten())
}

/// A statement's text: comments in it may be of any encoding.
pub(crate) fn lossy_text(value: ValueRef<'_>) -> Option<String> {
    value.as_bytes_or_null().ok()?.map(|text| String::from_utf8_lossy(text).into_owned())
}

/// All rows of a small query.
pub(crate) fn query_all<T>(
    db: &Connection,
    sql: &str,
    parameters: &[&str],
    each: impl FnMut(&rusqlite::Row<'_>) -> rusqlite::Result<T>,
) -> Result<Vec<T>> {
    let doing = || "read the schema".to_string();
    let mut statement = db.prepare(sql).doing(doing)?;
    let rows = statement.query_map(rusqlite::params_from_iter(parameters), each).doing(doing)?;
    rows.collect::<rusqlite::Result<_>>().doing(doing)
}

/// A sum of all statements of the application's schema.
pub(crate) fn schema_sum(db: &Connection) -> Result<String> {
    let mut sum = Sha256::new();
    let sql = format!(
        "select cast(coalesce(sql, '') as blob) from sqlite_schema where {APPLICATION} order by type, name"
    );
    for text in query_all(db, &sql, &[], |r| r.get::<_, Vec<u8>>(0))? {
        sum.update(&text);
        // An end of each, so that two statements cannot change places with one that is both.
        sum.update([0]);
    }
    Ok(toban_core::sum::hex(&sum.finalize()))
}
