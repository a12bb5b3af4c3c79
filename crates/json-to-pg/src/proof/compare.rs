//! The file on one side, PostgreSQL on the other: sums first, then the records of the buckets that differ.

use super::parts::{Parts, RecordForm};
use super::rebuild::{is_rebuilt, rebuild_sql};
use super::sums::{RecordSums, bucket_of, hash_record};
use crate::census::scan::holds_sample;
use crate::json::{Parser, Value};
use crate::load::encode::{Zones, find_member};
use crate::load::lookup::Lookups;
use crate::load::repeats::RepeatFilter;
use crate::load::rows::{RowWriter, find_first, show_value};
use crate::model::{ColumnSource, FilePlan, FilledTable};
use crate::source::file::Identity;
use crate::source::stream::RecordFile;
use postgres::Client;
use serde::Serialize;
use std::collections::{BTreeMap, HashSet};
use std::io::{BufRead, BufReader};
use toban_core::{Context, Error, Record, Result, shutdown};

/// Records of differing buckets that are looked at in one pass.
const HELD: u64 = 100_000;
/// Differences that are named.
const NAMED: usize = 1000;

/// One difference between a file and its table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct JsonDifference {
    pub(crate) file: String,
    /// The key.
    pub(crate) row: String,
    pub(crate) kind: RecordDifference,
    /// The path; empty when it is about a whole record.
    pub(crate) path: String,
    pub(crate) in_file: String,
    pub(crate) in_database: String,
}

/// What a difference is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum RecordDifference {
    /// The record is in no row.
    Missing,
    /// A row of the run's that no record gives.
    Extra,
    Value,
    /// The same, of a row that was written after the run.
    Changed,
}

impl RecordDifference {
    fn name(self) -> &'static str {
        match self {
            RecordDifference::Missing => "missing",
            RecordDifference::Extra => "extra",
            RecordDifference::Value => "value",
            RecordDifference::Changed => "changed since",
        }
    }
}

impl JsonDifference {
    /// One line for an error.
    pub(crate) fn describe(&self) -> String {
        let JsonDifference { file, row, path, in_file, in_database, .. } = self;
        format!(
            "{file} {row} {path}: {} ({in_file} in the file, {in_database} in the database)",
            self.kind.name()
        )
    }
}

impl Record for JsonDifference {
    const SCHEMA: &'static str = "json-to-pg.difference/1";
    const HEAD: &'static [&'static str] = &["file", "row", "difference", "path", "in file", "in database"];

    fn cells(&self) -> Vec<String> {
        let kind = self.kind.name().to_string();
        let [file, row, path] = [&self.file, &self.row, &self.path].map(Clone::clone);
        vec![file, row, kind, path, self.in_file.clone(), self.in_database.clone()]
    }
}

/// What was compared.
#[derive(Clone, Debug, Default)]
pub(crate) struct CompareOutcome {
    pub(crate) records: u64,
    pub(crate) rows: u64,
    /// Rows that neither the file nor the run knows: the application's own.
    pub(crate) foreign: u64,
    pub(crate) differences: Vec<JsonDifference>,
    /// More than are named.
    pub(crate) more: bool,
    pub(crate) identity: Identity,
}

/// A file and its table.
pub(crate) struct FileComparison<'a> {
    pub(crate) file: RecordFile<'a>,
    pub(crate) plan: &'a FilePlan,
    pub(crate) table: &'a FilledTable,
    pub(crate) zones: &'a Zones,
    /// Which rows are meant, as `where …` over `t0`.
    pub(crate) filter: &'a str,
    /// The transaction of the run, as `xmin` shows it.
    pub(crate) transaction: &'a str,
}

/// A record of one side that is held to be named.
struct HeldRecord {
    name: String,
    parts: Parts,
    shown: Vec<String>,
    own: bool,
}

impl FileComparison<'_> {
    /// Compares every record.
    ///
    /// # Errors
    /// Those of reading either side.
    pub(crate) fn compare_sides(&self, client: &mut Client) -> Result<CompareOutcome> {
        let form = RecordForm::new(self.table, self.zones);
        let key = self.key_parts();
        let (mut ours, mut theirs) = (RecordSums::new(), RecordSums::new());
        let identity = self
            .for_each_expected(client, &form, |_, parts, _| ours.add_record(bucket_of(&key, parts), parts))?;
        self.for_each_rebuilt(client, &form, |_, parts| theirs.add_record(bucket_of(&key, parts), parts))?;
        let mut outcome = CompareOutcome {
            records: ours.records(),
            rows: theirs.records(),
            identity,
            ..CompareOutcome::default()
        };
        // Sums need no memory for each record. Only the records of buckets that differ are read again and held, so
        // many at a time that memory does not grow with the file.
        let mut waiting = ours.differing(&theirs);
        while !waiting.is_empty() && !outcome.more {
            let mut held = 0;
            let fits = waiting.iter().take_while(|(_, records)| {
                held += records;
                held <= HELD
            });
            let some = fits.count().max(1).min(waiting.len());
            let buckets: HashSet<usize> = waiting.drain(..some).map(|(bucket, _)| bucket).collect();
            self.name_differences(client, &form, &buckets, &mut outcome)?;
        }
        Ok(outcome)
    }

    /// The parts that are the key.
    fn key_parts(&self) -> Vec<usize> {
        let rebuilt: Vec<usize> =
            (0..self.table.columns.len()).filter(|at| is_rebuilt(&self.table.columns[*at])).collect();
        self.table.key.iter().filter_map(|at| rebuilt.iter().position(|r| r == at)).collect()
    }

    /// Gives the records of the file that were to be loaded.
    fn for_each_expected(
        &self,
        client: &mut Client,
        form: &RecordForm<'_>,
        mut each: impl FnMut(Value<'_>, &Parts, u64),
    ) -> Result<Identity> {
        let mut repeats = RepeatFilter::new(self.plan, self.table);
        let mut rejects = match self.plan.accept_rejects {
            true => Some((
                RowWriter::new(self.table, self.zones)?,
                Lookups::read_tables(client, self.table, self.zones)?,
            )),
            false => None,
        };
        let mut parts = Parts::default();
        self.file.for_each_record(|record| {
            if (self.plan.leave_out_samples && holds_sample(record.value)) || repeats.is_repeat(record.value)
            {
                return Ok(());
            }
            // A record that did not fit is in no row, as the plan allows. Which these are only the writer tells that
            // left them out.
            if let Some((writer, lookups)) = &mut rejects {
                let fits = writer.put_record(record.value, record.place.record, lookups).is_ok();
                writer.clear_rows();
                if !fits {
                    return Ok(());
                }
            }
            parts.bytes.clear();
            parts.ends.clear();
            match form.put_file_record(record.value, record.place.record, &mut parts) {
                Ok(()) => each(record.value, &parts, record.place.record),
                Err(why) => {
                    return Err(Error::failed(format!(
                        "{} record {}: {}",
                        self.plan.name,
                        record.place.record,
                        why.text()
                    )));
                }
            }
            Ok(())
        })
    }

    fn for_each_rebuilt(
        &self,
        client: &mut Client,
        form: &RecordForm<'_>,
        mut each: impl FnMut(Value<'_>, &Parts),
    ) -> Result<()> {
        let mut parts = Parts::default();
        let sql = rebuild_sql(self.table, self.filter, "");
        for_each_object(client, &sql, &self.table.name, |object| {
            parts.bytes.clear();
            parts.ends.clear();
            form.put_rebuilt(object, &mut parts);
            each(object, &parts);
            Ok(())
        })
    }

    /// Names what differs in these buckets.
    fn name_differences(
        &self,
        client: &mut Client,
        form: &RecordForm<'_>,
        buckets: &HashSet<usize>,
        outcome: &mut CompareOutcome,
    ) -> Result<()> {
        let key = self.key_parts();
        let id = |parts: &Parts| -> Vec<u8> {
            match key.is_empty() {
                true => hash_record(parts).to_be_bytes().to_vec(),
                false => key.iter().flat_map(|at| parts.part(*at).to_vec()).collect(),
            }
        };
        let mut ours: BTreeMap<Vec<u8>, Vec<HeldRecord>> = BTreeMap::new();
        let mut theirs: BTreeMap<Vec<u8>, Vec<HeldRecord>> = BTreeMap::new();
        self.for_each_expected(client, form, |record, parts, number| {
            if buckets.contains(&bucket_of(&key, parts)) {
                let name = self.name_record(record, number);
                let held =
                    HeldRecord { name, parts: parts.clone(), shown: self.show_record(record), own: true };
                ours.entry(id(parts)).or_default().push(held);
            }
        })?;
        self.for_each_rebuilt(client, form, |object, parts| {
            if buckets.contains(&bucket_of(&key, parts)) {
                let text = |name: &str| object.get(name).map(|v| v.nearest_text_or_raw()).unwrap_or_default();
                let held = HeldRecord {
                    name: text("k"),
                    parts: parts.clone(),
                    shown: self.show_rebuilt(object),
                    own: text("x") == self.transaction,
                };
                theirs.entry(id(parts)).or_default().push(held);
            }
        })?;
        let ids: std::collections::BTreeSet<&Vec<u8>> = ours.keys().chain(theirs.keys()).collect();
        for id in ids {
            let (left, right) =
                (ours.get(id).map_or(&[][..], Vec::as_slice), theirs.get(id).map_or(&[][..], Vec::as_slice));
            self.compare_held(form, left, right, outcome);
        }
        Ok(())
    }

    fn compare_held(
        &self,
        form: &RecordForm<'_>,
        left: &[HeldRecord],
        right: &[HeldRecord],
        outcome: &mut CompareOutcome,
    ) {
        let difference = |row: &str, kind| JsonDifference {
            file: self.plan.name.clone(),
            row: row.into(),
            kind,
            path: String::new(),
            in_file: if kind == RecordDifference::Extra { "not there" } else { "there" }.into(),
            in_database: if kind == RecordDifference::Extra { "there" } else { "not there" }.into(),
        };
        for at in 0..left.len().max(right.len()) {
            if outcome.differences.len() >= NAMED {
                outcome.more = true;
                return;
            }
            match (left.get(at), right.get(at)) {
                (Some(ours), None) => {
                    outcome.differences.push(difference(&ours.name, RecordDifference::Missing));
                }
                (None, Some(theirs)) if theirs.own => {
                    outcome.differences.push(difference(&theirs.name, RecordDifference::Extra));
                }
                (None, Some(_)) => outcome.foreign += 1,
                (Some(ours), Some(theirs)) => {
                    let kind = if theirs.own { RecordDifference::Value } else { RecordDifference::Changed };
                    for (part, label) in form.labels().iter().enumerate() {
                        if ours.parts.part(part) != theirs.parts.part(part) {
                            let shown = |all: &[String]| match form.is_secret(part) {
                                true => "not shown".to_string(),
                                false => all.get(part).cloned().unwrap_or_default(),
                            };
                            outcome.differences.push(JsonDifference {
                                path: (*label).into(),
                                in_file: shown(&ours.shown),
                                in_database: shown(&theirs.shown),
                                ..difference(&theirs.name, kind)
                            });
                        }
                    }
                }
                (None, None) => {}
            }
        }
    }

    fn name_record(&self, record: Value<'_>, number: u64) -> String {
        let names: Vec<String> = self
            .table
            .key
            .iter()
            .filter_map(|at| match &self.table.columns[*at].source {
                ColumnSource::Members(members) => {
                    find_first(record, members).ok().flatten().map(|v| v.nearest_text_or_raw())
                }
                _ => None,
            })
            .collect();
        if names.is_empty() { format!("record {number}") } else { names.join(", ") }
    }

    fn show_record(&self, record: Value<'_>) -> Vec<String> {
        let member = |names: &[String]| find_member(record, names).map_or("absent".into(), show_value);
        let columns = self.table.columns.iter().filter(|c| is_rebuilt(c)).map(|c| match &c.source {
            ColumnSource::Members(members) => {
                find_first(record, members).ok().flatten().map_or("absent".into(), show_value)
            }
            ColumnSource::Constant(text) => text.clone(),
            _ => String::new(),
        });
        let children = self.table.children.iter().map(|c| member(&c.member));
        columns.chain(children).chain(self.table.links.iter().map(|l| member(&l.member))).collect()
    }

    fn show_rebuilt(&self, object: Value<'_>) -> Vec<String> {
        let shown = |name: String| object.get(&name).map_or("absent".into(), show_value);
        let columns = (0..self.table.columns.len()).filter(|at| is_rebuilt(&self.table.columns[*at]));
        let columns = columns.map(|at| shown(format!("c{at}")));
        let children = (0..self.table.children.len()).map(|at| shown(format!("r{at}")));
        columns.chain(children).chain((0..self.table.links.len()).map(|at| shown(format!("l{at}")))).collect()
    }
}

/// Gives each object that a query of one JSON column returns, streamed.
///
/// # Errors
/// Those of the server and of `each`.
pub(crate) fn for_each_object(
    client: &mut Client,
    sql: &str,
    what: &str,
    mut each: impl FnMut(Value<'_>) -> Result<()>,
) -> Result<()> {
    let doing = || format!("read {what} back");
    let mut reader = BufReader::with_capacity(
        256 << 10,
        client.copy_out(&format!("copy ({sql}) to stdout")).doing(doing)?,
    );
    // COPY streams, where a query would be collected as a whole. A line is a row: a line end inside of a json value
    // is written as \n (manual, "COPY", "Text Format").
    let (mut line, mut text, mut parser) = (Vec::new(), Vec::new(), Parser::default());
    let mut rows = 0_u64;
    loop {
        line.clear();
        if reader.read_until(b'\n', &mut line).doing(doing)? == 0 {
            return Ok(());
        }
        rows += 1;
        if rows.is_multiple_of(1024) {
            shutdown::check()?;
        }
        unescape_copy(line.strip_suffix(b"\n").unwrap_or(&line), &mut text);
        let object =
            parser.parse_text(&text).map_err(|e| Error::failed(format!("{}: {}", doing(), e.what)))?;
        each(object)?;
    }
}

/// COPY's text form writes a backslash before some characters (manual, "COPY", "Text Format").
fn unescape_copy(line: &[u8], out: &mut Vec<u8>) {
    out.clear();
    let mut rest = line;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        out.extend_from_slice(&rest[..at]);
        out.push(match rest.get(at + 1) {
            Some(b'n') => b'\n',
            Some(b't') => b'\t',
            Some(b'r') => b'\r',
            Some(b'b') => 8,
            Some(b'f') => 12,
            Some(b'v') => 11,
            Some(other) => *other,
            None => b'\\',
        });
        rest = rest.get(at + 2..).unwrap_or_default();
    }
    out.extend_from_slice(rest);
}
