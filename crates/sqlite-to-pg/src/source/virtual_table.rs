//! Virtual tables: those whose rows move as the rows of a plain table, and why others do not.

use super::catalog::{RawColumn, RawTable, free_rowid, read_columns, sql_of};
use super::ddl::Ddl;
use super::quote_name;
use rusqlite::Connection;
use toban_core::Result;

/// What a plain table keeps of a full-text index, and of an index of boxes.
const TEXTS: &str = "a plain table with its texts; to search them, index to_tsvector(…) with GIN";
const BOXES: &str = "a plain table with its boxes; to search them, index box(…) with GiST, or use PostGIS";

/// Whether the rows of a virtual table move as those of a plain one.
pub(crate) fn is_movable(db: &Connection, name: &str) -> Result<bool> {
    Ok(is_full_text(db, name)? || has_boxes(db, name)?)
}

/// Whether a table is a full-text index that holds its texts itself, and this SQLite can read it.
pub(super) fn is_full_text(db: &Connection, name: &str) -> Result<bool> {
    let module = module_of(db, name)?;
    // With `content=` the words are another table's, or nowhere (<https://sqlite.org/fts5.html>, "External Content
    // Tables").
    Ok(module.starts_with("fts") && !module.contains("content=") && is_readable(db, name))
}

/// Whether a table is an index of boxes, which holds them itself, and this SQLite can read it.
pub(super) fn has_boxes(db: &Connection, name: &str) -> Result<bool> {
    Ok(module_of(db, name)?.starts_with("rtree") && is_readable(db, name))
}

/// The module of a virtual table with what it is given, without blanks and in lower case.
fn module_of(db: &Connection, name: &str) -> Result<String> {
    let mut sql = sql_of(db, name)?.unwrap_or_default().to_ascii_lowercase();
    sql.retain(|c| !c.is_whitespace() && !"\"'`[".contains(c));
    // The table's own name may hold the word too.
    let own: String = name.to_ascii_lowercase().chars().filter(|c| !c.is_whitespace()).collect();
    let rest = sql.split_once(&own).map_or(&*sql, |(_, rest)| rest);
    Ok(rest.split_once("using").map_or(String::new(), |(_, module)| module.to_string()))
}

fn is_readable(db: &Connection, name: &str) -> bool {
    // The module may not be compiled into this SQLite: then only its own program can read the table.
    db.prepare(&format!("select rowid, * from {}", quote_name(name))).is_ok()
}

/// Boxes as rows of a plain table; their first column is the number of each.
pub(super) fn box_table(db: &Connection, name: &str) -> Result<RawTable> {
    let (mut columns, _) = read_columns(db, name)?;
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

/// A full-text table as a plain one, with the number by which applications refer to its rows.
pub(super) fn text_table(db: &Connection, name: &str) -> Result<RawTable> {
    let (mut columns, _) = read_columns(db, name)?;
    columns.iter_mut().for_each(|c| c.declared.clear());
    let Some(rowid) = free_rowid(&columns, None) else {
        return Ok(RawTable { name: name.into(), columns, of_virtual: Some(TEXTS), ..RawTable::default() });
    };
    // The rowid is how other tables refer to a text, and no column of a full-text table holds it.
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
        of_virtual: Some(TEXTS),
        ..RawTable::default()
    })
}

/// Why a virtual table of this statement does not move.
pub(crate) fn why_left_out(sql: &str) -> &'static str {
    let mut sql = sql.to_ascii_lowercase();
    sql.retain(|c| !c.is_whitespace() && c != '"' && c != '\'');
    match sql.split_once("using").map_or("", |(_, module)| module) {
        m if m.starts_with("rtree") => {
            "an index of boxes, which PostgreSQL has in GiST and PostGIS: it does not move"
        }
        m if m.starts_with("fts") && m.contains("content=,") || m.ends_with("content=)") => {
            "an index of words without the words: nothing of it could be read"
        }
        m if m.starts_with("fts") && m.contains("content=") => {
            "an index of words, which move with the table that holds them"
        }
        _ => "a module that PostgreSQL has not: it holds no rows that SQLite alone could read",
    }
}
