//! What a damaged file still gives, as a database of its own, and what it does not.

use super::catalog::lossy_text;
use super::{display_value, log, open, quote_name};
use rusqlite::types::ToSqlOutput;
use rusqlite::{Connection, OpenFlags, Row, params_from_iter};
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use toban_core::{Context, Error, Result, shutdown};

/// Rowids that are stepped over at a time in a damaged part, at most, where the table has no more than [`PROBES`] such steps: rows
/// that can be read between two damages are found when they are at least so many.
const STEP: i128 = 256;
const PROBES: i128 = 1 << 16;
/// Messages of SQLite's integrity_check that are told.
const MESSAGES: u32 = 100;

/// The rows that could be read; gone when dropped.
pub(crate) struct SalvagedFile {
    folder: TempDir,
    /// What could not be read.
    pub(crate) losses: Vec<SalvageLoss>,
}

/// What a damaged file does not give.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SalvageLoss {
    /// The table, or another object of the schema, or the file.
    pub(crate) name: String,
    pub(crate) what: String,
}

impl SalvagedFile {
    /// The database of them.
    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("salvaged.sqlite3")
    }
}

/// Reads what can be read of `db`, which is not written to.
///
/// # Errors
/// Corrupt when not even the schema can be read; those of writing a file as large as what is read.
pub(crate) fn salvage_file(db: &Path) -> Result<SalvagedFile> {
    let from = open_damaged(db)?;
    let folder = tempfile::tempdir().doing(|| "make a folder for what is salvaged".into())?;
    let mut salvaged = SalvagedFile { folder, losses: Vec::new() };
    let to = Connection::open(salvaged.path()).doing(|| "make a database of what is salvaged".into())?;
    let settings = "pragma journal_mode = off; pragma synchronous = off; pragma foreign_keys = off; \
        pragma ignore_check_constraints = on; begin";
    to.execute_batch(settings).doing(|| "make a database of what is salvaged".into())?;
    to.collation_needed(open::add_bytewise_collation)
        .doing(|| "make a database of what is salvaged".into())?;
    let losses = &mut salvaged.losses;
    losses.extend(
        log::check_log(db).err().map(|e| SalvageLoss { name: db.display().to_string(), what: e.chain() }),
    );
    losses.extend(list_messages(&from, db));
    let schema = read_schema(&from).map_err(|e| {
        let e = open::explain_error(e, db);
        Error::corrupt(format!("not even the schema of {} can be read", db.display())).because(e)
    })?;
    let (tables, others): (Vec<_>, Vec<_>) = schema.iter().partition(|e| e.kind == "table");
    for entry in tables {
        let made = if entry.is_virtual() {
            Err("a virtual table is not salvaged".into())
        } else {
            entry.make_in(&to)
        };
        match made {
            Ok(()) => losses.extend(SalvagedTable::for_table(&from, &to, &entry.name)?.copy_rows()?),
            Err(what) => losses.push(SalvageLoss { name: entry.name.clone(), what }),
        }
    }
    copy_sequences(&from, &to);
    for entry in others {
        losses.extend(entry.make_in(&to).err().map(|what| SalvageLoss { name: entry.name.clone(), what }));
    }
    to.execute_batch("commit").doing(|| "make a database of what is salvaged".into())?;
    Ok(salvaged)
}

fn open_damaged(db: &Path) -> Result<Connection> {
    open::check_file(db).or_else(|e| if e.kind() == toban_core::Kind::Corrupt { Ok(()) } else { Err(e) })?;
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let from = Connection::open_with_flags(db, flags).map_err(|e| open::explain_error(e, db))?;
    // cell_size_check finds more of what is damaged; writable_schema lets SQLite pass over a damaged statement.
    let settings = "pragma query_only = on; pragma cell_size_check = on; pragma mmap_size = 0; pragma writable_schema = on; begin";
    from.execute_batch(settings).map_err(|e| open::explain_error(e, db))?;
    from.collation_needed(open::add_bytewise_collation).map_err(|e| open::explain_error(e, db))?;
    Ok(from)
}

/// What SQLite itself says of the damage.
fn list_messages(from: &Connection, db: &Path) -> Vec<SalvageLoss> {
    let loss = |what: String| SalvageLoss { name: db.display().to_string(), what };
    let ask = || -> rusqlite::Result<Vec<String>> {
        let mut statement = from.prepare(&format!("pragma integrity_check({MESSAGES})"))?;
        let texts = statement.query_map([], |r| Ok(lossy_text(r.get_ref(0)?).unwrap_or_default()))?;
        texts.collect()
    };
    match ask() {
        Ok(texts) => {
            let lines = texts.iter().flat_map(|t| t.lines()).map(str::trim);
            lines
                .filter(|l| !l.is_empty() && *l != "ok" && !l.starts_with("***"))
                .map(|l| loss(l.into()))
                .collect()
        }
        Err(e) => vec![loss(e.to_string())],
    }
}

/// An entry of the schema.
struct SchemaEntry {
    kind: String,
    name: String,
    sql: String,
}

impl SchemaEntry {
    fn is_virtual(&self) -> bool {
        self.sql.trim_start().to_ascii_lowercase().starts_with("create virtual")
    }

    fn make_in(&self, to: &Connection) -> std::result::Result<(), String> {
        to.execute_batch(&self.sql).map_err(|e| format!("cannot be made: {e}"))
    }
}

/// All entries but SQLite's own, and the tables in which virtual ones keep what they hold.
fn read_schema(from: &Connection) -> rusqlite::Result<Vec<SchemaEntry>> {
    let sql = "select type, name, sql from sqlite_schema where sql is not null and name not like 'sqlite\\_%' escape '\\' \
        and name not in (select name from pragma_table_list where schema = 'main' and type = 'shadow') order by rowid";
    let mut statement = from.prepare(sql)?;
    let entry = |r: &Row<'_>| {
        let text = |at| Ok::<_, rusqlite::Error>(lossy_text(r.get_ref(at)?).unwrap_or_default());
        Ok(SchemaEntry { kind: text(0)?, name: text(1)?, sql: text(2)? })
    };
    statement.query_map([], entry)?.collect()
}

/// AUTOINCREMENT's memory, where it can be read; the rows themselves tell the least that it can be.
fn copy_sequences(from: &Connection, to: &Connection) {
    let read = || -> rusqlite::Result<Vec<(String, i64)>> {
        from.prepare("select name, seq from sqlite_sequence")?
            .query_map([], |r| Ok((r.get(0)?, r.get(1)?)))?
            .collect()
    };
    for (name, seq) in read().unwrap_or_default() {
        let sql = "update sqlite_sequence set seq = max(seq, ?2) where name = ?1";
        let _kept = to.execute(sql, (&name, seq));
    }
}

/// One table, whose rows are copied as far as they can be read.
struct SalvagedTable<'a> {
    from: &'a Connection,
    to: &'a Connection,
    table: &'a str,
    /// How the rowid is called; none in a table WITHOUT ROWID.
    rowid: Option<&'static str>,
    columns: Vec<String>,
    /// Quoted columns of the primary key.
    key: Vec<String>,
}

/// Where reading came to.
enum ReadEnd {
    /// The last row.
    Whole,
    /// A damaged part: after this row, for this reason.
    Broken(Option<i64>, String),
}

impl<'a> SalvagedTable<'a> {
    fn for_table(from: &'a Connection, to: &'a Connection, table: &'a str) -> Result<SalvagedTable<'a>> {
        // The new database knows the columns; the damaged one may not be asked for them.
        let ask = || -> rusqlite::Result<(Vec<(String, i64)>, bool)> {
            let sql = "select name, pk from pragma_table_xinfo(?1) where hidden = 0 order by cid";
            let mut listed = to.prepare(sql)?;
            let columns = listed.query_map([table], |r| Ok((r.get(0)?, r.get(1)?)))?;
            let columns = columns.collect::<rusqlite::Result<_>>()?;
            let sql = "select wr from pragma_table_list where schema = 'main' and name = ?1";
            Ok((columns, to.query_row(sql, [table], |r| r.get(0))?))
        };
        let (columns, without_rowid) = ask().doing(|| format!("salvage {table}"))?;
        let free = |n: &&&str| !columns.iter().any(|(c, _)| c.eq_ignore_ascii_case(n));
        let rowid = ["rowid", "_rowid_", "oid"].iter().find(free).copied().filter(|_| !without_rowid);
        let mut key: Vec<&(String, i64)> = columns.iter().filter(|(_, pk)| *pk > 0).collect();
        key.sort_by_key(|(_, pk)| *pk);
        let key = key.into_iter().map(|(name, _)| quote_name(name)).collect();
        let columns = columns.iter().map(|(name, _)| quote_name(name)).collect();
        Ok(SalvagedTable { from, to, table, rowid, columns, key })
    }

    fn copy_rows(&self) -> Result<Vec<SalvageLoss>> {
        match self.rowid {
            Some(rowid) => self.copy_by_rowid(rowid),
            None => self.copy_from_both_ends(),
        }
    }

    fn loss(&self, what: String) -> SalvageLoss {
        SalvageLoss { name: self.table.into(), what }
    }

    /// The columns as they are read and written, the rowid first.
    fn listed(&self) -> String {
        let rowid = self.rowid.map(|r| format!("{r}, ")).unwrap_or_default();
        rowid + &self.columns.join(", ")
    }

    fn insert_sql(&self, words: &str) -> String {
        let width = self.columns.len() + usize::from(self.rowid.is_some());
        let list = self.listed();
        format!(
            "insert {words} into {} ({list}) values ({})",
            quote_name(self.table),
            vec!["?"; width].join(", ")
        )
    }

    fn copy_by_rowid(&self, rowid: &str) -> Result<Vec<SalvageLoss>> {
        let mut losses = Vec::new();
        let max = format!("select max({rowid}) from {} not indexed", quote_name(self.table));
        let end =
            self.from.query_row(&max, [], |r| r.get::<_, Option<i64>>(0)).ok().flatten().unwrap_or(i64::MAX);
        let mut next = i64::MIN;
        loop {
            let ReadEnd::Broken(last, why) = self.copy_from(rowid, next, &mut losses)? else {
                return Ok(losses);
            };
            // Where even the first rows are damaged, those of the usual numbers are looked for: the least one is not known.
            let first = if next == i64::MIN { 0_i64.min(end) } else { next };
            let Some(begin) = last.map_or(Some(first), |last| last.checked_add(1)) else { return Ok(losses) };
            let from = last.map_or("from the first row on".into(), |last| format!("after {rowid} {last}"));
            match self.find_readable(rowid, begin, end)? {
                Some(found) => {
                    losses.push(
                        self.loss(format!("rows {from} and before {rowid} {found} cannot be read: {why}")),
                    );
                    next = found;
                }
                None => {
                    losses.push(self.loss(format!("rows {from} cannot be read: {why}")));
                    return Ok(losses);
                }
            }
        }
    }

    /// Copies rows from this rowid on, until one cannot be read.
    fn copy_from(&self, rowid: &str, begin: i64, losses: &mut Vec<SalvageLoss>) -> Result<ReadEnd> {
        let doing = || format!("salvage {}", self.table);
        let mut insert = self.to.prepare(&self.insert_sql("")).doing(doing)?;
        let table = quote_name(self.table);
        let sql =
            format!("select {} from {table} not indexed where {rowid} >= ?1 order by {rowid}", self.listed());
        let mut last: Option<i64> = None;
        let broken = |last, e: rusqlite::Error| Ok(ReadEnd::Broken(last, e.to_string()));
        let mut select = match self.from.prepare(&sql) {
            Ok(select) => select,
            Err(e) => return broken(None, e),
        };
        let mut rows = select.query([begin]).doing(doing)?;
        loop {
            shutdown::check()?;
            let row = match rows.next() {
                Ok(Some(row)) => row,
                Ok(None) => return Ok(ReadEnd::Whole),
                Err(e) => return broken(last, e),
            };
            let now: i64 = row.get(0).doing(doing)?;
            // A damaged tree may lead back to rows that were read.
            if last.is_some_and(|last| now <= last) {
                return Ok(ReadEnd::Broken(last, "rows are out of order".into()));
            }
            last = Some(now);
            if let Err(e) = insert.execute(params_from_iter(values_of(row, self.columns.len() + 1))) {
                losses.push(self.loss(format!("the row with {rowid} {now} is left out: {e}")));
            }
        }
    }

    /// The first row after a damaged part that begins at `begin`; none when nothing after it can be read.
    fn find_readable(&self, rowid: &str, begin: i64, end: i64) -> Result<Option<i64>> {
        let table = quote_name(self.table);
        // The values too: what leads to a row may be whole, and the row not.
        let sql = format!(
            "select {} from {table} not indexed where {rowid} >= ?1 order by {rowid} limit 1",
            self.listed()
        );
        let probe = |at: i64| -> Option<Option<i64>> {
            let mut select = self.from.prepare(&sql).ok()?;
            let mut rows = select.query([at]).ok()?;
            rows.next().ok()?.map(|row| row.get(0)).transpose().ok()
        };
        let most = STEP.max((i128::from(end) - i128::from(begin)) / PROBES);
        let (mut low, mut step) = (i128::from(begin), 1);
        let mut high = loop {
            shutdown::check()?;
            let Ok(at) = i64::try_from(low + step) else { return Ok(None) };
            // Between the damage and its end nothing more may come.
            match probe(at) {
                Some(Some(_)) => break low + step,
                Some(None) => return Ok(None),
                None if at > end => return Ok(None),
                None => low += step,
            }
            step = (step * 2).min(most);
        };
        let mut found = None;
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            match i64::try_from(middle).ok().and_then(probe) {
                Some(Some(row)) => (high, found) = (middle, Some(row)),
                _ => low = middle,
            }
        }
        Ok(found.or_else(|| i64::try_from(high).ok().and_then(probe).flatten()))
    }

    /// Rows in the order of the key, from the first up to the damage, and from the last down to it.
    fn copy_from_both_ends(&self) -> Result<Vec<SalvageLoss>> {
        let mut losses = Vec::new();
        let Some((first, why)) = self.copy_in_order("asc")? else { return Ok(losses) };
        if let Some((last, _)) = self.copy_in_order("desc")? {
            let name = |row: Option<String>| row.unwrap_or_else(|| "none".into());
            losses.push(self.loss(format!(
                "rows between the keys {} and {} cannot be read: {why}",
                name(first),
                name(last)
            )));
        }
        Ok(losses)
    }

    /// The key of the last row that could be read, and why none could after it; nothing when the end was reached, or a row that
    /// is there.
    fn copy_in_order(&self, order: &str) -> Result<Option<(Option<String>, String)>> {
        let doing = || format!("salvage {}", self.table);
        let by: Vec<String> = self.key.iter().map(|k| format!("{k} {order}")).collect();
        let places: Vec<usize> =
            self.key.iter().filter_map(|k| self.columns.iter().position(|c| c == k)).collect();
        let sql =
            format!("select {} from {} order by {}", self.listed(), quote_name(self.table), by.join(", "));
        let mut insert = self.to.prepare(&self.insert_sql("or ignore")).doing(doing)?;
        let mut last = None;
        let mut select = match self.from.prepare(&sql) {
            Ok(select) => select,
            Err(e) => return Ok(Some((last, e.to_string()))),
        };
        let mut rows = select.query([]).doing(doing)?;
        loop {
            shutdown::check()?;
            let row = match rows.next() {
                Ok(Some(row)) => row,
                Ok(None) => return Ok(None),
                Err(e) => return Ok(Some((last, e.to_string()))),
            };
            if insert.execute(params_from_iter(values_of(row, self.columns.len()))).doing(doing)? == 0 {
                return Ok(None);
            }
            let shown = |at: &usize| row.get_ref(*at).map_or_else(|_| "?".into(), display_value);
            last = Some(places.iter().map(shown).collect::<Vec<_>>().join(", "));
        }
    }
}

/// The values of a row, as they are.
fn values_of<'r>(row: &'r Row<'_>, width: usize) -> Vec<ToSqlOutput<'r>> {
    (0..width).filter_map(|at| row.get_ref(at).ok()).map(ToSqlOutput::Borrowed).collect()
}
