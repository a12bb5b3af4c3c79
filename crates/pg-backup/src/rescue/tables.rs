//! Tables: their rows at the moment go into a schema beside the live tables, in one transaction.

use super::compare::{ComparedTable, Differences, compare_rows};
use super::moment::Moment;
use super::order::order_by_references;
use super::structure::{Structure, list_tables};
use super::{Rescue, put_back};
use postgres::{Client, GenericClient, Transaction};
use serde::Serialize;
use std::fmt;
use std::io::{Read, Write};
use toban_core::pg::Ident;
use toban_core::{Context, Error, Out, Record, Result, shutdown};

/// A table, by its schema and its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TableName {
    pub(super) schema: String,
    pub(super) name: String,
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", Ident::new(&self.schema), Ident::new(&self.name))
    }
}

impl TableName {
    /// As SQL reads it: folded to lower case where it is not quoted, of `public` without a schema.
    ///
    /// # Errors
    /// Usage for what is no name.
    pub(super) fn parse_name(client: &mut Client, text: &str) -> Result<TableName> {
        let row = client.query_one("select parse_ident($1)", &[&text]);
        let bad = || Error::usage(format!("{text:?} is not the name of a table, as app.incidents"));
        let mut words: Vec<String> = row.map_err(|e| bad().because(e))?.get(0);
        let name = words.pop().ok_or_else(bad)?;
        let schema = words.pop().unwrap_or_else(|| "public".into());
        if words.is_empty() { Ok(TableName { schema, name }) } else { Err(bad()) }
    }

    /// The table of the same name in another schema.
    pub(super) fn in_schema(&self, schema: &str) -> TableName {
        TableName { schema: schema.into(), name: self.name.clone() }
    }

    /// Its OID, where it is there.
    ///
    /// # Errors
    /// When the server cannot be asked.
    pub(super) fn find_oid(&self, client: &mut impl GenericClient) -> Result<Option<u32>> {
        let row = client.query_one("select pg_catalog.to_regclass($1)::oid", &[&self.to_string()]);
        Ok(row.doing(|| format!("look for {self}"))?.get(0))
    }
}

/// A table that was brought back.
#[derive(Serialize)]
struct RescuedTable {
    table: String,
    /// Where its rows are; its own name where it was gone and is whole again.
    into: String,
    rows: u64,
    /// Rows that the live table has now; none where it is gone, or cannot be read so.
    live_rows: Option<u64>,
    #[serde(flatten)]
    differences: Option<Differences>,
    /// The copy of the live table as it was, where something was put back.
    safety_copy: Option<String>,
    /// Rows of the live table that are again as they were.
    put_back: u64,
    /// Bytes that the run read of the backup.
    read_bytes: u64,
    seconds: f64,
}

impl Record for RescuedTable {
    const SCHEMA: &'static str = "pg-backup.rescue/1";
    const HEAD: &'static [&'static str] =
        &["rescued", "into", "rows", "live now", "gone", "changed", "added", "put back", "copy", "seconds"];
    fn cells(&self) -> Vec<String> {
        let number = |n: Option<u64>| n.map_or("-".into(), |n| n.to_string());
        let differences = self.differences.as_ref();
        vec![
            self.table.clone(),
            self.into.clone(),
            self.rows.to_string(),
            number(self.live_rows),
            number(differences.map(|d| d.gone)),
            number(differences.map(|d| d.changed)),
            number(differences.map(|d| d.added)),
            self.put_back.to_string(),
            self.safety_copy.clone().unwrap_or("-".into()),
            format!("{:.1}", self.seconds),
        ]
    }
}

/// Brings back the tables that the flags name; `read` is what the restore read.
///
/// # Errors
/// Failed when something is in the way; the live database is then as it was.
pub(super) fn bring_back(rescue: &Rescue<'_>, at: &mut Moment, read: u64, out: &mut Out<'_>) -> Result<()> {
    let args = rescue.args;
    let mut source = at.open_session()?;
    let names = match &args.schema {
        Some(schema) => list_tables(&mut source, schema)?,
        None => rescue.tables.clone(),
    };
    let mut live = rescue.live.open_session()?;
    let names = order_by_references(&mut live, names)?;
    let mut there = Vec::new();
    for name in &names {
        there.push(name.find_oid(&mut live)?.is_some());
    }
    let beside: Vec<TableName> = names
        .iter()
        .zip(&there)
        .filter(|(_, there)| **there || !args.replace)
        .map(|(n, _)| n.clone())
        .collect();
    rescue.live.refuse_taken(args, &beside)?;
    let mut records = Vec::new();
    // One transaction for all: killed at any instant, the live database is as it was.
    let mut transaction = live.transaction().doing(|| "begin a transaction".into())?;
    for name in &beside {
        log::info!("copying {name}");
        let table = Structure::read(&mut source, name)?;
        let mut copy = TableCopy { rescue, table: &table, source: &mut source };
        let record = copy.bring_beside(&mut transaction)?;
        records.push(RescuedTable { read_bytes: read, ..record });
    }
    transaction.commit().doing(|| "commit what was brought back".into())?;
    let gone: Vec<TableName> = names.into_iter().filter(|n| !beside.contains(n)).collect();
    // By pg_restore, in a transaction of its own: killed between the two, what came beside is whole, and a table that
    // was gone is gone still.
    if !gone.is_empty() {
        put_back::restore_definitions(rescue, at, &gone)?;
    }
    for name in &gone {
        let rows = count_rows(&mut live, &format!("select count(*) from {name}"))?;
        let then = count_rows(&mut source, &format!("select count(*) from {name}"))?;
        if rows < then {
            let e = Error::failed(format!("{name} came back with {rows} of its {then} rows"));
            return Err(e.hint("what inherits from it is a table of its own: name it too"));
        }
        let text = name.to_string();
        records.push(RescuedTable {
            table: text.clone(),
            into: text,
            rows,
            live_rows: Some(rows),
            differences: None,
            safety_copy: None,
            put_back: rows,
            read_bytes: read,
            seconds: rescue.begun.elapsed().as_secs_f64(),
        });
    }
    records.iter().try_for_each(|record| out.emit(record))
}

/// One table on its way.
struct TableCopy<'a> {
    rescue: &'a Rescue<'a>,
    table: &'a Structure,
    source: &'a mut Client,
}

impl TableCopy<'_> {
    fn bring_beside(&mut self, live: &mut Transaction<'_>) -> Result<RescuedTable> {
        let (args, table) = (self.rescue.args, self.table);
        let schema = Ident::new(&args.into_schema);
        live.batch_execute(&format!("create schema if not exists {schema}"))
            .doing(|| format!("create schema {}", args.into_schema))?;
        let place = table.name.in_schema(&args.into_schema);
        table.create_as(live, &place)?;
        let rows = self.copy_rows(live, &place)?;
        live.batch_execute(&format!("analyze {place}")).doing(|| format!("analyze {place}"))?;
        let mut record = RescuedTable {
            table: table.name.to_string(),
            into: place.to_string(),
            rows,
            live_rows: None,
            differences: None,
            safety_copy: None,
            put_back: 0,
            read_bytes: 0,
            seconds: 0.0,
        };
        if table.name.find_oid(live)?.is_some() {
            let now = Structure::read(live, &table.name)?;
            let selected = select_rows(&now, "*", args.condition.as_deref());
            (record.live_rows, record.differences) = compare_rows(
                live,
                &ComparedTable { then: table, now: &now, place: &place, selected: &selected },
            )?;
            if args.replace {
                let (copy, rows) = put_back::put_rows_back(live, table, &now, &place)?;
                (record.safety_copy, record.put_back) = (Some(copy.to_string()), rows);
            }
        }
        record.seconds = self.rescue.begun.elapsed().as_secs_f64();
        Ok(record)
    }

    /// By COPY, through this process: how many rows.
    fn copy_rows(&mut self, live: &mut Transaction<'_>, place: &TableName) -> Result<u64> {
        let table = self.table;
        let doing = || format!("copy {}", table.name);
        // The condition is written as it would be in psql: with functions and types of the table's own schema.
        let path = format!("set search_path = {}, public", Ident::new(&table.name.schema));
        self.source.batch_execute(&path).doing(doing)?;
        let selected = select_rows(table, &table.column_list(), self.rescue.args.condition.as_deref());
        // In COPY's text form, which both servers read whatever their releases are; a type's binary form may change
        // between them (manual, "COPY", "Binary Format").
        let mut rows = self.source.copy_out(&format!("copy ({selected}) to stdout")).doing(doing)?;
        let into = format!("copy {place} ({}) from stdin", table.column_list());
        let mut writer = live.copy_in(&into).doing(doing)?;
        let mut buffer = vec![0; 256 << 10];
        loop {
            shutdown::check()?;
            let n = rows.read(&mut buffer).doing(doing)?;
            if n == 0 {
                break;
            }
            writer.write_all(&buffer[..n]).doing(doing)?;
        }
        drop(rows);
        // Only this ends the COPY well: a writer that is dropped on the way sends CopyFail, and the transaction ends
        // with it.
        let copied = writer.finish().doing(doing)?;
        self.source.batch_execute("set search_path = ''").doing(doing)?;
        Ok(copied)
    }
}

/// Rows of the table for which `condition` holds.
fn select_rows(table: &Structure, columns: &str, condition: Option<&str>) -> String {
    let condition = condition.map(|sql| format!(" where ({sql}\n)")).unwrap_or_default();
    format!("select {columns} from {}{}{condition}", table.only(), table.name)
}

fn count_rows(client: &mut impl GenericClient, sql: &str) -> Result<u64> {
    let row = client.query_one(sql, &[]).doing(|| "count rows".into())?;
    Ok(row.get::<_, i64>(0).unsigned_abs())
}
