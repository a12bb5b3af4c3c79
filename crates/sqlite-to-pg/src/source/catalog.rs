//! SQLite's schema as its pragmas tell it, with what only the statements say.

use super::ddl::{self, Ddl};
use super::quoted;
use rusqlite::Connection;
use rusqlite::types::ValueRef;
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

/// What a plain table keeps of a full-text index, and of an index of boxes.
const WORDS: &str = "a plain table with its texts; to search them, index to_tsvector(…) with GIN";
const BOXES: &str = "a plain table with its boxes; to search them, index box(…) with GiST, or use PostGIS";

impl RawTable {
    /// Takes a column away, with the indexes, foreign keys and checks that need it; the answer is these, by kind and
    /// name.
    pub(crate) fn leave_out(&mut self, at: usize) -> Vec<(&'static str, String)> {
        let column = self.columns.remove(at).name;
        self.key.iter_mut().chain(&mut self.alias).filter(|k| **k > at).for_each(|k| *k -= 1);
        let is = |name: &str| name.eq_ignore_ascii_case(&column);
        let own = |name: &str| format!("{}.{name}", self.name);
        let names = |text: &str| !crate::verify::named(text, std::slice::from_ref(&column)).is_empty();
        let in_index = |i: &RawIndex| {
            let by_part = i.parts.iter().any(|(name, ..)| name.as_deref().is_some_and(is));
            by_part || i.sql.as_deref().is_some_and(|sql| names(&crate::verify::of_index(sql).0))
        };
        let mut gone: Vec<(&'static str, String)> = Vec::new();
        self.indexes.retain(|i| {
            let goes = in_index(i);
            gone.extend(goes.then(|| ("index", i.name.clone())));
            !goes
        });
        self.foreign_keys.retain(|f| {
            let goes = f.columns.iter().any(|c| is(c));
            gone.extend(goes.then(|| ("foreign key", own(&f.columns.join(", ")))));
            !goes
        });
        self.ddl.checks.retain(|(name, text)| {
            let goes = names(text);
            gone.extend(goes.then(|| ("check", own(name.as_deref().unwrap_or(text)))));
            !goes
        });
        gone.insert(0, ("column", own(&column)));
        gone
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

/// What holds no rows of its own.
#[derive(Debug, Default)]
pub(crate) struct RawObject {
    pub(crate) kind: String,
    pub(crate) name: String,
    pub(crate) table: String,
    pub(crate) sql: String,
    /// Of a view that SQLite can run: what it calls the columns.
    pub(crate) columns: Vec<String>,
}

/// Reads the whole schema.
///
/// # Errors
/// Those of SQLite.
pub(crate) fn read(db: &Connection) -> Result<Catalog> {
    let mut catalog = Catalog::default();
    for (name, kind, without_rowid) in list(db)? {
        match kind.as_str() {
            "table" if !name.to_ascii_lowercase().starts_with("sqlite_") => {
                let (table, unreadable) = table(db, &name, without_rowid)?;
                catalog.tables.push(table);
                catalog.unreadable.extend(unreadable);
            }
            "virtual" if full_text(db, &name)? => catalog.tables.push(words(db, &name)?),
            "virtual" if has_boxes(db, &name)? => catalog.tables.push(boxes(db, &name)?),
            "virtual" | "shadow" => catalog.others.push(RawObject {
                kind: format!("{kind} table"),
                sql: sql_of(db, &name)?.unwrap_or_default(),
                name,
                ..RawObject::default()
            }),
            _ => {}
        }
    }
    catalog.others.extend(others(db)?);
    catalog.lost = lost(db)?;
    Ok(catalog)
}

/// Tables in the order in which they were made.
fn list(db: &Connection) -> Result<Vec<(String, String, bool)>> {
    let sql = "select l.name, l.type, l.wr from pragma_table_list l left join sqlite_schema s \
               on s.name = l.name and s.type in ('table', 'view') where l.schema = 'main' order by s.rowid";
    all(db, sql, &[], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?)))
}

/// Tables whose statement SQLite does not understand.
///
/// # Errors
/// Those of SQLite.
pub(crate) fn lost(db: &Connection) -> Result<Vec<String>> {
    let sql = "select name from sqlite_schema where type = 'table' and rootpage > 0 and name not like 'sqlite\\_%' escape '\\' \
               and name not in (select name from pragma_table_list where schema = 'main')";
    all(db, sql, &[], |r| r.get(0))
}

fn others(db: &Connection) -> Result<Vec<RawObject>> {
    let sql = "select iif(type = 'view' and name not in (select name from pragma_table_list where schema = 'main'), \
               'damaged view', type), name, tbl_name, sql from sqlite_schema where type in ('view', 'trigger') order by rowid";
    let mut found = all(db, sql, &[], |r| {
        let sql = lossy(r.get_ref(3)?).unwrap_or_default();
        Ok(RawObject { kind: r.get(0)?, name: r.get(1)?, table: r.get(2)?, sql, columns: Vec::new() })
    })?;
    for view in found.iter_mut().filter(|o| o.kind == "view") {
        view.columns =
            all(db, "select name from pragma_table_info(?1) order by cid", &[&view.name], |r| r.get(0))
                .unwrap_or_default();
    }
    Ok(found)
}

fn table(db: &Connection, name: &str, without_rowid: bool) -> Result<(RawTable, Vec<(String, String)>)> {
    let ddl = ddl::parse(&sql_of(db, name)?.unwrap_or_default());
    let (mut columns, mut key) = columns(db, name)?;
    let unreadable = unreadable(db, name, &columns);
    for at in (0..columns.len()).rev() {
        if unreadable.iter().any(|(column, _)| *column == columns[at].name) {
            columns.remove(at);
            key.iter_mut().filter(|k| **k > at).for_each(|k| *k -= 1);
        }
    }
    let indexes = indexes(db, name)?;
    let own_key = indexes.iter().any(|i| i.origin == "pk");
    let is_alias = |k: &usize| columns[*k].declared.eq_ignore_ascii_case("integer");
    let alias = key.first().copied().filter(|k| key.len() == 1 && !without_rowid && !own_key && is_alias(k));
    let foreign_keys = foreign_keys(db, name, &ddl)?;
    let rowid = if without_rowid { None } else { free_rowid(&columns, alias) };
    let sequence = sequence(db, name)?;
    let shown = unreadable.into_iter().map(|(column, why)| (format!("{name}.{column}"), why)).collect();
    let name = name.to_string();
    Ok((
        RawTable { name, columns, rowid, alias, key, indexes, foreign_keys, sequence, ddl, of_virtual: None },
        shown,
    ))
}

/// Generated columns whose expression needs what only the application has; none of them is part of a key.
fn unreadable(db: &Connection, table: &str, columns: &[RawColumn]) -> Vec<(String, String)> {
    let broken = |c: &RawColumn| {
        let e = db.prepare(&format!("select {} from {}", quoted(&c.name), quoted(table))).err()?;
        Some((c.name.clone(), format!("left out, for SQLite cannot compute it here: {e}")))
    };
    columns.iter().filter(|c| c.generated).filter_map(broken).collect()
}

/// Whether the rows of a virtual table move as those of a plain one.
///
/// # Errors
/// Those of SQLite.
pub(crate) fn moves(db: &Connection, name: &str) -> Result<bool> {
    Ok(full_text(db, name)? || has_boxes(db, name)?)
}

/// Whether a table is a full-text index that holds its texts itself, and this SQLite can read it.
fn full_text(db: &Connection, name: &str) -> Result<bool> {
    let module = module(db, name)?;
    Ok(module.starts_with("fts") && !module.contains("content=") && is_readable(db, name))
}

/// Whether a table is an index of boxes, which holds them itself, and this SQLite can read it.
fn has_boxes(db: &Connection, name: &str) -> Result<bool> {
    Ok(module(db, name)?.starts_with("rtree") && is_readable(db, name))
}

/// The module of a virtual table with what it is given, without blanks and in lower case.
fn module(db: &Connection, name: &str) -> Result<String> {
    let mut sql = sql_of(db, name)?.unwrap_or_default().to_ascii_lowercase();
    sql.retain(|c| !c.is_whitespace() && !"\"'`[".contains(c));
    // The table's own name may hold the word too.
    let own: String = name.to_ascii_lowercase().chars().filter(|c| !c.is_whitespace()).collect();
    let rest = sql.split_once(&own).map_or(&*sql, |(_, rest)| rest);
    Ok(rest.split_once("using").map_or(String::new(), |(_, module)| module.to_string()))
}

fn is_readable(db: &Connection, name: &str) -> bool {
    db.prepare(&format!("select rowid, * from {}", quoted(name))).is_ok()
}

/// Boxes as rows of a plain table; their first column is the number of each.
fn boxes(db: &Connection, name: &str) -> Result<RawTable> {
    let (mut columns, _) = columns(db, name)?;
    columns.iter_mut().for_each(|c| c.declared.clear());
    let number = columns.first_mut().map(|first| {
        first.declared = "INTEGER".into();
        first.name.clone()
    });
    Ok(RawTable {
        name: name.into(),
        columns,
        alias: number.is_some().then_some(0),
        key: number.iter().map(|_| 0).collect(),
        rowid: number,
        ddl: Ddl { understood: true, ..Ddl::default() },
        of_virtual: Some(BOXES),
        ..RawTable::default()
    })
}

/// Such a table as a plain one, with the number by which applications refer to its rows.
fn words(db: &Connection, name: &str) -> Result<RawTable> {
    let (mut columns, _) = columns(db, name)?;
    columns.iter_mut().for_each(|c| c.declared.clear());
    let Some(rowid) = free_rowid(&columns, None) else {
        return Ok(RawTable { name: name.into(), columns, of_virtual: Some(WORDS), ..RawTable::default() });
    };
    let number = RawColumn { name: rowid.clone(), declared: "INTEGER".into(), ..RawColumn::default() };
    columns.insert(0, number);
    let ddl = Ddl { understood: true, ..Ddl::default() };
    let (name, alias, key) = (name.into(), Some(0), vec![0]);
    Ok(RawTable {
        name,
        columns,
        rowid: Some(rowid),
        alias,
        key,
        ddl,
        of_virtual: Some(WORDS),
        ..RawTable::default()
    })
}

/// A name of the rowid that no column takes.
fn free_rowid(columns: &[RawColumn], alias: Option<usize>) -> Option<String> {
    if let Some(alias) = alias {
        return Some(columns[alias].name.clone());
    }
    let free = |name: &&str| !columns.iter().any(|c| c.name.eq_ignore_ascii_case(name));
    ["rowid", "_rowid_", "oid"].into_iter().find(free).map(String::from)
}

fn columns(db: &Connection, table: &str) -> Result<(Vec<RawColumn>, Vec<usize>)> {
    // hidden: 2 and 3 are generated columns, 1 is a virtual table's own.
    let sql = "select name, type, \"notnull\", dflt_value, pk, hidden from pragma_table_xinfo(?1) where hidden <> 1 \
               order by cid";
    let rows = all(db, sql, &[table], |r| {
        let generated = r.get::<_, i64>(5)? > 1;
        // SQLite keeps these words in a generated column's type.
        let declared = strip_generated(r.get::<_, Option<String>>(1)?.unwrap_or_default(), generated);
        let column =
            RawColumn { name: r.get(0)?, declared, not_null: r.get(2)?, default: r.get(3)?, generated };
        Ok((column, r.get::<_, u32>(4)?))
    })?;
    let mut key: Vec<(u32, usize)> =
        rows.iter().enumerate().filter(|(_, (_, pk))| *pk > 0).map(|(at, (_, pk))| (*pk, at)).collect();
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

fn indexes(db: &Connection, table: &str) -> Result<Vec<RawIndex>> {
    let sql = "select name, \"unique\", origin from pragma_index_list(?1) order by seq desc";
    let mut found = all(db, sql, &[table], |r| {
        Ok(RawIndex { name: r.get(0)?, unique: r.get(1)?, origin: r.get(2)?, ..RawIndex::default() })
    })?;
    for index in &mut found {
        let sql = "select name, \"desc\", coll from pragma_index_xinfo(?1) where key = 1 order by seqno";
        index.parts = all(db, sql, &[&index.name], |r| {
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
fn foreign_keys(db: &Connection, table: &str, ddl: &Ddl) -> Result<Vec<RawForeignKey>> {
    let sql = "select id, \"table\", \"from\", \"to\", on_update, on_delete from pragma_foreign_key_list(?1) \
               order by id desc, seq";
    let rows = all(db, sql, &[table], |r| {
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
    if keys.len() == ddl.references.len() {
        for (key, reference) in keys.iter_mut().zip(&ddl.references) {
            key.name.clone_from(&reference.name);
            key.deferred = reference.deferred;
        }
    }
    Ok(keys)
}

fn sequence(db: &Connection, table: &str) -> Result<Option<i64>> {
    let there = "select name from sqlite_schema where name = 'sqlite_sequence'";
    if all(db, there, &[], |_| Ok(()))?.is_empty() {
        return Ok(None);
    }
    let found = all(db, "select seq from sqlite_sequence where name = ?1", &[table], |r| r.get(0))?;
    Ok(found.into_iter().next())
}

fn sql_of(db: &Connection, name: &str) -> Result<Option<String>> {
    let sql = "select sql from sqlite_schema where name = ?1 and type in ('table', 'index', 'view')";
    Ok(all(db, sql, &[name], |r| Ok(lossy(r.get_ref(0)?)))?.into_iter().next().flatten())
}

/// A statement's text: comments in it may be of any encoding.
pub(crate) fn lossy(value: ValueRef<'_>) -> Option<String> {
    value.as_bytes_or_null().ok()?.map(|text| String::from_utf8_lossy(text).into_owned())
}

/// All rows of a small query.
pub(crate) fn all<T>(
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

/// `select` of these columns from the table, without help of an index, in rowid order where there is one.
pub(crate) fn select(table: &str, columns: &[String], rowid: Option<&str>, ranged: bool) -> String {
    let list: Vec<String> = columns.iter().map(|c| quoted(c)).collect();
    let list = if list.is_empty() { "1".into() } else { list.join(", ") };
    let from = format!("select {list} from {} not indexed", quoted(table));
    match rowid.filter(|_| ranged) {
        Some(rowid) => format!("{from} where {0} between ?1 and ?2", quoted(rowid)),
        None => from,
    }
}
