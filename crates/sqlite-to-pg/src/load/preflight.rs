//! A load into nothing: every value is encoded, and only those that do not fit are kept in mind.

use super::encode::{Encoder, Remedy};
use super::stream::TableStream;
use crate::model::{Plan, Policy, Table};
use crate::source::Snapshot;
use crate::source::ranges::{self, RowidRange};
use crate::threads;
use migrate::invalid::Invalid;
use rusqlite::Connection;
use rusqlite::types::ValueRef;
use std::collections::{BTreeMap, HashSet};
use toban_core::Result;

/// Rows that are named of one kind.
const NAMED: usize = 10;

/// Values of one column that do not fit for one reason.
#[derive(Clone, Debug, Default)]
pub(crate) struct Violation {
    pub(crate) table: String,
    pub(crate) column: String,
    pub(crate) why: &'static str,
    pub(crate) count: u64,
    /// The first rows, by their keys.
    pub(crate) rows: Vec<String>,
}

/// A table whose values are tried, and the labels of each of its columns that is an enum in the target.
struct Trial<'p> {
    stream: TableStream<'p>,
    labels: Vec<HashSet<Vec<u8>>>,
}

/// By column and reason.
type Violations = BTreeMap<(usize, &'static str), Violation>;

/// Encodes every value of the plan's tables; `labels` are those of a target column that is an enum.
pub(crate) fn find_violations(
    snapshot: &mut Snapshot,
    plan: &Plan,
    labels: &dyn Fn(&str, &str) -> Vec<String>,
) -> Result<Vec<Violation>> {
    let path = snapshot.path().to_path_buf();
    // By the types in which they are staged: what only the server can read is text there, and is judged by its cast
    // later.
    let staged: Vec<Table> = plan.tables.iter().map(Table::staged).collect();
    let labels_of = |table: &Table| {
        let bytes = |list: Vec<String>| list.into_iter().map(String::into_bytes).collect();
        table.copied_columns().map(|column| bytes(labels(&table.target, &column.target))).collect()
    };
    let trials: Vec<Trial<'_>> = staged
        .iter()
        .map(|table| Ok(Trial { stream: TableStream::new(table, &path)?, labels: labels_of(table) }))
        .collect::<Result<_>>()?;
    let mut parts: Vec<(usize, RowidRange)> = Vec::new();
    for (at, table) in staged.iter().enumerate() {
        let ranges = ranges::ranges_of(snapshot.first_reader(), &table.source, table.rowid.as_deref())?;
        parts.extend(ranges.into_iter().map(|range| (at, range)));
    }
    let found = threads::share(snapshot.readers(), &parts, |reader, (at, range)| {
        trials[*at].try_part(reader, *range)
    })?;
    let mut all: BTreeMap<(String, String, &'static str), Violation> = BTreeMap::new();
    for more in found.into_iter().flat_map(Violations::into_values) {
        let place = (more.table.clone(), more.column.clone(), more.why);
        let none_yet = || Violation { count: 0, rows: Vec::new(), ..more.clone() };
        let whole = all.entry(place).or_insert_with(none_yet);
        whole.count += more.count;
        whole.rows.extend(more.rows);
        whole.rows.truncate(NAMED);
    }
    Ok(all.into_values().collect())
}

impl Trial<'_> {
    fn try_part(&self, reader: &Connection, range: RowidRange) -> Result<Violations> {
        let table = self.stream.table;
        let mut found = Violations::new();
        let mut scratch = Vec::new();
        self.stream.for_each_row(reader, range, |row| {
            if self.stream.is_left_out(row)? {
                return Ok(());
            }
            for (at, (column, labels)) in table.copied_columns().zip(&self.labels).enumerate() {
                scratch.clear();
                if self.stream.orphan_remedy(row, at)?.is_some() {
                    continue;
                }
                let value = self.stream.value(row, at)?;
                let Some(why) = why_invalid(&self.stream.encoders[at], labels, value, &mut scratch) else {
                    continue;
                };
                let entry = found.entry((at, why)).or_insert_with(|| Violation {
                    table: table.source.clone(),
                    column: column.source.clone(),
                    why,
                    ..Violation::default()
                });
                entry.count += 1;
                if entry.rows.len() < NAMED {
                    entry.rows.push(self.stream.row_name(row));
                }
            }
            Ok(())
        })?;
        Ok(found)
    }
}

/// Why a value would stop the load; a policy that says what becomes of it makes it none.
fn why_invalid(
    encoder: &Encoder,
    labels: &HashSet<Vec<u8>>,
    value: ValueRef<'_>,
    scratch: &mut Vec<u8>,
) -> Option<&'static str> {
    match encoder.put(value, scratch) {
        Ok(()) if !labels.is_empty() && !matches!(value, ValueRef::Null) => {
            (!labels.contains(&scratch[4..])).then_some("no label of the enum")
        }
        Ok(()) => None,
        Err(Invalid::Null) if encoder.policy != Policy::Reject => Some(Invalid::Null.text()),
        Err(invalid) if encoder.remedy(invalid, value) == Remedy::Stop => Some(invalid.text()),
        Err(_) if encoder.policy == Policy::Null && encoder.not_null => Some(Invalid::Null.text()),
        Err(_) => None,
    }
}
