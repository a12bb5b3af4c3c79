//! One file into its tables, inside the transaction of a run.

use super::encode::Zones;
use super::lookup::Lookups;
use super::repeats::RepeatFilter;
use super::rows::{LinkWriter, RowSpool, RowWriter};
use crate::census::scan::holds_sample;
use crate::census::secrets::is_secret;
use crate::model::compiled::{field_of, quote_table};
use crate::model::{FieldForm, FilePlan, FilledTable, OnConflict};
use crate::source::file::Identity;
use crate::source::stream::RecordFile;
use crate::target::lock_table;
use migrate::copy::{SIGNATURE, TRAILER};
use migrate::sql::name_list;
use postgres::Client;
use postgres::error::SqlState;
use std::io::{Read, Seek, Write};
use toban_core::pg::Ident;
use toban_core::{Context, Error, Kind, Result};

/// Bytes that are sent at a time.
const CHUNK: usize = 256 << 10;
/// Values and keys that are named.
const NAMED: usize = 20;

/// A file on its way.
pub(crate) struct FileLoad<'a> {
    pub(crate) file: RecordFile<'a>,
    pub(crate) plan: &'a FilePlan,
    pub(crate) table: &'a FilledTable,
    pub(crate) zones: &'a Zones,
    /// Its number in the run, for names of temporary tables.
    pub(crate) number: usize,
}

/// What became of a file's records.
#[derive(Clone, Debug, Default)]
pub(crate) struct LoadedFile {
    pub(crate) identity: Identity,
    pub(crate) records: u64,
    pub(crate) samples: u64,
    pub(crate) repeated: u64,
    /// Records that were left out, each with its reason.
    pub(crate) rejects: Vec<String>,
    pub(crate) tables: Vec<LoadedTable>,
}

/// What became of a table's rows.
#[derive(Clone, Debug, Default)]
pub(crate) struct LoadedTable {
    pub(crate) name: String,
    pub(crate) inserted: u64,
    /// Rows that were there already, equal.
    pub(crate) skipped: u64,
    pub(crate) updated: u64,
    /// Keys of rows that differ and stayed.
    pub(crate) kept: Vec<String>,
    /// The temporary table with all rows of the file, where there is one.
    pub(crate) stage: Option<String>,
    /// Our table with the old versions of rows that were updated.
    pub(crate) old_rows: Option<String>,
}

/// Columns of a target, and the temporary table before it where one is needed.
struct LoadTarget<'a> {
    name: &'a str,
    columns: Vec<(&'a str, &'a str)>,
    key: Vec<&'a str>,
    stage: Option<String>,
}

impl FileLoad<'_> {
    /// Reads the file, copies its rows and those below them.
    ///
    /// # Errors
    /// Findings for values that do not fit and rows that are there and differ, all named; those of either side.
    pub(crate) fn load_file(&self, client: &mut Client) -> Result<LoadedFile> {
        if self.table.columns.is_empty() {
            // Of an empty list no column is known; a record would be a difference to the plan.
            let identity = self.file.for_each_record(|_| Ok(()))?;
            let table = LoadedTable { name: self.table.name.clone(), ..LoadedTable::default() };
            return Ok(LoadedFile { identity, tables: vec![table], ..LoadedFile::default() });
        }
        // Before the COPY begins: as long as it lasts the session answers no query.
        let lookups = Lookups::read_tables(client, self.table, self.zones)?;
        let mut writer = RowWriter::new(self.table, self.zones)?;
        let target = self.prepare_target(client, 0)?;
        let mut loaded = LoadedFile::default();
        let mut bad = BadValues::default();
        let mut repeats = RepeatFilter::new(self.plan, self.table);
        let doing = || format!("copy into {}", target.name);
        let mut copy = client.copy_in(&target.copy_sql()).doing(doing)?;
        copy.write_all(SIGNATURE).doing(doing)?;
        // Whatever ends this early drops the writer before its finish(): the driver then sends CopyFail, and the
        // server ends the COPY with an error (manual, "Message Flow", "COPY Operations"). Half a file is never taken
        // for a whole one.
        loaded.identity = self.file.for_each_record(|record| {
            loaded.records += 1;
            if self.plan.leave_out_samples && holds_sample(record.value) {
                loaded.samples += 1;
                return Ok(());
            }
            if repeats.is_repeat(record.value) {
                loaded.repeated += 1;
                return Ok(());
            }
            if let Err(value) = writer.put_record(record.value, record.place.record, &lookups) {
                let byte = record.place.byte + value.offset as u64;
                let shown = if value.shown.is_empty() { String::new() } else { format!(": {}", value.shown) };
                let (number, label, why) = (record.place.record, &value.label, value.why.text());
                let line = format!("record {number}, byte {byte}, {label}: {why}{shown}");
                if self.plan.accept_rejects { loaded.rejects.push(line) } else { bad.add_line(line) }
            }
            // Once it is known that nothing will be kept, the rest is only looked at.
            if bad.count > 0 {
                writer.clear_rows();
            } else if writer.buf.len() >= CHUNK {
                copy.write_all(&writer.buf).doing(doing)?;
                writer.buf.clear();
                writer.spill_rows()?;
            }
            Ok(())
        })?;
        bad.refuse(&self.plan.name)?;
        copy.write_all(&writer.buf).doing(doing)?;
        copy.write_all(&TRAILER).doing(doing)?;
        copy.finish().map_err(|e| explain_refusal(&self.plan.name, e))?;
        loaded.tables.push(self.settle_rows(client, target, writer.rows)?);
        let mut number = 0;
        self.copy_below(client, &mut writer, &mut number, &mut loaded)?;
        Ok(loaded)
    }

    /// The rows below, the upper ones first.
    fn copy_below(
        &self,
        client: &mut Client,
        writer: &mut RowWriter<'_>,
        number: &mut usize,
        loaded: &mut LoadedFile,
    ) -> Result<()> {
        for link in &mut writer.links {
            *number += 1;
            let target = self.link_target(client, link, *number)?;
            copy_spool(client, &target, &mut link.spool, &link.buf)?;
            loaded.repeated += link.repeated;
            loaded.tables.push(self.settle_rows(client, target, link.rows)?);
        }
        for (_, child) in &mut writer.children {
            *number += 1;
            let target = choose_target(client, child.table, stage_name(self.number, *number))?;
            let (buf, rows) = (std::mem::take(&mut child.buf), child.rows);
            copy_spool(client, &target, &mut child.spool, &buf)?;
            loaded.tables.push(self.settle_rows(client, target, rows)?);
            self.copy_below(client, child, number, loaded)?;
        }
        Ok(())
    }

    fn prepare_target(&self, client: &mut Client, number: usize) -> Result<LoadTarget<'_>> {
        choose_target(client, self.table, stage_name(self.number, number))
    }

    fn link_target<'l>(
        &self,
        client: &mut Client,
        writer: &LinkWriter<'l>,
        number: usize,
    ) -> Result<LoadTarget<'l>> {
        let link = writer.link;
        let (own, other) = (link.own.as_str(), link.other.as_str());
        let target = LoadTarget {
            name: &link.table,
            columns: vec![(own, &link.own_type), (other, &link.lookup.key_type)],
            key: vec![own, other],
            stage: None,
        };
        target.stage_if_needed(client, stage_name(self.number, number))
    }

    /// From the temporary table to its place, where there is one.
    fn settle_rows(&self, client: &mut Client, target: LoadTarget<'_>, rows: u64) -> Result<LoadedTable> {
        let mut settled = LoadedTable { name: target.name.into(), inserted: rows, ..LoadedTable::default() };
        if target.stage.is_none() {
            return Ok(settled);
        }
        let doing = || format!("move rows into {}", target.name);
        if !target.key.is_empty() {
            let differing = target.list_differing(client)?;
            if !differing.is_empty() {
                match self.plan.on_conflict {
                    OnConflict::Refuse => {
                        let named: Vec<&str> = differing.iter().take(NAMED).map(String::as_str).collect();
                        return Err(Error::new(
                            Kind::Findings,
                            format!(
                                "{}: {} holds other rows under the keys {}",
                                self.plan.name,
                                target.name,
                                named.join("; ")
                            ),
                        )
                        .hint(
                            "say in the plan what is right: on_conflict = \"take-file\" or \"keep-database\"",
                        ));
                    }
                    OnConflict::TakeFile => {
                        // A version that another session writes between the two statements would be replaced and not
                        // kept, and `undo` could not give it back.
                        lock_table(client, target.name, "share row exclusive")?;
                        settled.old_rows = Some(target.keep_old_rows(client)?);
                        settled.updated = client.execute(&target.update_sql(), &[]).doing(doing)?;
                    }
                    OnConflict::KeepDatabase => settled.kept = differing,
                }
            }
        }
        settled.inserted =
            client.execute(&target.insert_sql(), &[]).map_err(|e| explain_refusal(&self.plan.name, e))?;
        settled.skipped = rows - settled.inserted - settled.updated - settled.kept.len() as u64;
        settled.stage = target.stage;
        Ok(settled)
    }
}

/// Values that do not fit: the first ones, and how many there are.
#[derive(Debug, Default)]
pub(crate) struct BadValues {
    lines: Vec<String>,
    pub(crate) count: u64,
}

impl BadValues {
    pub(crate) fn add_line(&mut self, line: String) {
        self.count += 1;
        if self.lines.len() < NAMED {
            self.lines.push(line);
        }
    }

    fn refuse(&self, name: &str) -> Result<()> {
        if self.count == 0 {
            return Ok(());
        }
        let message = format!(
            "{name}: {} records do not fit, and nothing was loaded: {}",
            self.count,
            self.lines.join("; ")
        );
        Err(Error::new(Kind::Findings, message)
            .hint("correct the file, or say in the plan what becomes of them: convert, drop, accept_rejects"))
    }
}

/// The detail of these names the key alone; that of others shows the whole row, password hashes and all.
const KEY_ALONE: [SqlState; 3] =
    [SqlState::UNIQUE_VIOLATION, SqlState::FOREIGN_KEY_VIOLATION, SqlState::EXCLUSION_VIOLATION];

/// The error for rows that a constraint refuses, with the keys of the constraint where they may be shown.
pub(crate) fn explain_refusal(file: &str, e: postgres::Error) -> Error {
    let is_shown = |detail: &&str| {
        let columns = detail.split_once(")=(").map_or(*detail, |(columns, _)| columns);
        let mut names = columns.split(['(', ',', ' ', '"']).filter(|n| !n.is_empty());
        e.code().is_some_and(|code| KEY_ALONE.contains(code)) && !names.any(is_secret)
    };
    let detail = e.as_db_error().and_then(|d| d.detail()).filter(is_shown);
    let detail = detail.map(|d| format!(": {d}")).unwrap_or_default();
    let refused = e.code().is_some_and(|c| c.code().starts_with("23"));
    let error = Error::caused_by(format!("load {file}{detail}"), e);
    // A constraint of the application's is a finding about the data, not a failure of the run.
    match refused {
        true => error.kind_as(Kind::Findings).hint(
            "correct these records in the file, or drop them or the path in the plan; nothing was loaded",
        ),
        false => error,
    }
}

fn stage_name(file: usize, number: usize) -> String {
    format!("toban_stage_{file}_{number}")
}

fn choose_target<'t>(client: &mut Client, table: &'t FilledTable, stage: String) -> Result<LoadTarget<'t>> {
    let columns = table.columns.iter().map(|c| (c.name.as_str(), c.pg_type.as_str())).collect();
    let key = table.key.iter().map(|at| table.columns[*at].name.as_str()).collect();
    LoadTarget { name: &table.name, columns, key, stage: None }.stage_if_needed(client, stage)
}

impl<'a> LoadTarget<'a> {
    /// With a temporary table before it when the table holds rows, or a type's text must be read by the server.
    fn stage_if_needed(mut self, client: &mut Client, stage: String) -> Result<LoadTarget<'a>> {
        let doing = || format!("look into {}", self.name);
        let sql = format!("select exists (select from {})", quote_table(self.name));
        // COPY ends at the first key that is taken. Which rows are equal, differ or are new only a join tells, and
        // for that the rows must be on the server, but not in their table yet.
        let has_rows: bool = client.query_one(&sql, &[]).doing(doing)?.get(0);
        let has_casts = self.columns.iter().any(|(_, pg_type)| field_of(pg_type) == FieldForm::Cast);
        if !has_rows && !has_casts {
            return Ok(self);
        }
        if has_rows && self.key.is_empty() {
            return Err(Error::usage(format!(
                "{} holds rows, and without a key none can be told from another",
                self.name
            ))
            .hint("empty the table, or give it a primary key"));
        }
        let staged = |pg_type: &str| match field_of(pg_type) {
            FieldForm::Cast => "text".to_string(),
            _ => pg_type.to_string(),
        };
        let columns =
            self.columns.iter().map(|(name, pg_type)| format!("{} {}", Ident::new(*name), staged(pg_type)));
        let columns: Vec<String> = columns.collect();
        let create =
            // ON COMMIT DROP: it goes with the transaction, however that ends, and a session that a pool hands on has
            // nothing of it.
            format!("create temp table {} ({}) on commit drop", Ident::new(&*stage), columns.join(", "));
        client.batch_execute(&create).doing(doing)?;
        self.stage = Some(stage);
        Ok(self)
    }

    fn staged_name(&self) -> Option<String> {
        self.stage.as_ref().map(|stage| migrate::sql::qualified_name("pg_temp", stage))
    }

    fn copy_sql(&self) -> String {
        let names: Vec<&str> = self.columns.iter().map(|(name, _)| *name).collect();
        let into = self.staged_name().unwrap_or_else(|| quote_table(self.name));
        format!("copy {into} ({}) from stdin (format binary)", name_list(&names))
    }

    fn join_sql(&self) -> String {
        let type_of = |name: &str| self.columns.iter().find(|(n, _)| *n == name).map_or("text", |(_, t)| t);
        let pairs: Vec<String> =
            self.key.iter().map(|k| format!("t.{0} = s.{0}::{1}", Ident::new(*k), type_of(k))).collect();
        pairs.join(" and ")
    }

    /// That a row of the target and one of the file differ.
    fn differs_sql(&self) -> String {
        let differs: Vec<String> = self
            .columns
            .iter()
            .map(|(name, pg_type)| {
                // json has no equality; jsonb's is by value.
                // IS DISTINCT FROM, since <> is never true where one side is NULL.
                let compared = if *pg_type == "json" { "jsonb" } else { pg_type };
                format!("s.{0}::{pg_type}::{compared} is distinct from t.{0}::{compared}", Ident::new(*name))
            })
            .collect();
        differs.join(" or ")
    }

    fn joined_sql(&self) -> String {
        let stage = self.staged_name().unwrap_or_default();
        format!("{stage} s join {} t on {}", quote_table(self.name), self.join_sql())
    }

    fn list_differing(&self, client: &mut Client) -> Result<Vec<String>> {
        let key: Vec<String> = self.key.iter().map(|k| format!("t.{}::text", Ident::new(*k))).collect();
        let sql = format!(
            "select {} from {} where {}",
            key.join(" || ', ' || "),
            self.joined_sql(),
            self.differs_sql()
        );
        let rows = client.query(&sql, &[]).doing(|| format!("compare with the rows of {}", self.name))?;
        Ok(rows.iter().map(|r| r.get(0)).collect())
    }

    /// The rows as they are, before they change; the answer is the table that keeps them.
    fn keep_old_rows(&self, client: &mut Client) -> Result<String> {
        let doing = || format!("keep the rows of {}", self.name);
        let name = crate::ledger::free_table(client, "old")?;
        let sql = format!(
            "create table {name} as select t.* from {} where {}",
            self.joined_sql(),
            self.differs_sql()
        );
        client.batch_execute(&sql).doing(doing)?;
        Ok(name)
    }

    fn update_sql(&self) -> String {
        let sets: Vec<String> = self
            .columns
            .iter()
            .filter(|(name, _)| !self.key.contains(name))
            .map(|(name, pg_type)| format!("{0} = s.{0}::{pg_type}", Ident::new(*name)))
            .collect();
        let stage = self.staged_name().unwrap_or_default();
        format!(
            // Only rows that differ: each new version has the transaction of this run as its xmin, and `undo` and
            // `verify` would take an equal row of the application's for one that the run wrote.
            "update {} t set {} from {stage} s where {} and ({})",
            quote_table(self.name),
            sets.join(", "),
            self.join_sql(),
            self.differs_sql()
        )
    }

    fn insert_sql(&self) -> String {
        let names: Vec<&str> = self.columns.iter().map(|(name, _)| *name).collect();
        let values: Vec<String> = self
            .columns
            .iter()
            .map(|(name, pg_type)| format!("s.{}::{pg_type}", Ident::new(*name)))
            .collect();
        let free = match self.key.is_empty() {
            true => String::new(),
            false => format!(
                " where not exists (select from {} t where {})",
                quote_table(self.name),
                self.join_sql()
            ),
        };
        format!(
            // The rows keep the numbers that they had, also where the column is GENERATED ALWAYS (manual, "INSERT").
            "insert into {} ({}) overriding system value select {} from {} s{free}",
            quote_table(self.name),
            name_list(&names),
            values.join(", "),
            self.staged_name().unwrap_or_default()
        )
    }
}

/// Copies rows that waited.
fn copy_spool(client: &mut Client, target: &LoadTarget<'_>, spool: &mut RowSpool, rest: &[u8]) -> Result<()> {
    let doing = || format!("copy into {}", target.name);
    let mut copy = client.copy_in(&target.copy_sql()).doing(doing)?;
    copy.write_all(SIGNATURE).doing(doing)?;
    if let Some(file) = &mut spool.file {
        file.rewind().doing(doing)?;
        let mut chunk = vec![0; CHUNK];
        loop {
            match file.read(&mut chunk).doing(doing)? {
                0 => break,
                n => copy.write_all(&chunk[..n]).doing(doing)?,
            }
        }
    }
    copy.write_all(rest).doing(doing)?;
    copy.write_all(&TRAILER).doing(doing)?;
    copy.finish().map_err(|e| explain_refusal(target.name, e))?;
    Ok(())
}
