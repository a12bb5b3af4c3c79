//! The second proof, by other means: counts and sums, added up by PostgreSQL on one side and from the numbers' texts on the
//! other.

use crate::json::Shape;
use crate::load::copy::LoadedFile;
use crate::load::rows::find_first;
use crate::load::whole::parse_whole;
use crate::model::compiled::quote_table;
use crate::model::{ColumnSource, FieldForm, FilledColumn};
use crate::proof::compare::FileComparison;
use migrate::types::WireType;
use postgres::Client;
use toban_core::pg::Ident;
use toban_core::{Context, Error, Kind, Result};

/// What is counted of a column.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct ColumnCount {
    filled: u64,
    sum: i128,
}

/// Compares the counts of a file with those of its table.
///
/// # Errors
/// Findings, naming what differs; those of either side.
pub(crate) fn check_counts(
    client: &mut Client,
    comparison: &FileComparison<'_>,
    loaded: &LoadedFile,
) -> Result<()> {
    let clean = loaded.rejects.is_empty() && loaded.samples == 0 && loaded.repeated == 0;
    // Rows that were kept or merged are not the file's alone.
    let whole = loaded.tables.first().is_some_and(|t| t.stage.is_none());
    if !(clean && whole) {
        return Ok(());
    }
    let columns: Vec<&FilledColumn> = comparison
        .table
        .columns
        .iter()
        .filter(|c| matches!(c.source, ColumnSource::Members(_)) && c.lookup.is_none())
        .collect();
    let (records, expected) = count_file(comparison, &columns)?;
    let (rows, actual) = count_table(client, &comparison.table.name, &columns)?;
    let mut wrong: Vec<String> = Vec::new();
    if records != rows {
        wrong.push(format!("{records} records, {rows} rows"));
    }
    for (column, (expected, actual)) in columns.iter().zip(expected.iter().zip(&actual)) {
        if expected != actual {
            wrong.push(format!(
                "{}: {} values with the sum {} in the file, {} with {} in the table",
                column.label, expected.filled, expected.sum, actual.filled, actual.sum
            ));
        }
    }
    match wrong.is_empty() {
        true => Ok(()),
        false => Err(Error::new(Kind::Findings, format!("{}: {}", comparison.plan.name, wrong.join("; ")))),
    }
}

fn count_file(comparison: &FileComparison<'_>, columns: &[&FilledColumn]) -> Result<(u64, Vec<ColumnCount>)> {
    let mut counts = vec![ColumnCount::default(); columns.len()];
    let mut records = 0;
    comparison.file.for_each_record(|record| {
        records += 1;
        for (column, count) in columns.iter().zip(&mut counts) {
            let ColumnSource::Members(members) = &column.source else { continue };
            let value = find_first(record.value, members).ok().flatten().filter(|v| v.shape() != Shape::Null);
            count.filled += u64::from(value.is_some());
            if is_summed(column) {
                count.sum += value.and_then(|v| parse_whole(v.raw(), false).ok()).map_or(0, i128::from);
            }
        }
        Ok(())
    })?;
    Ok((records, counts))
}

/// A whole number without conversion: its text is its value.
fn is_summed(column: &FilledColumn) -> bool {
    let whole = matches!(column.field, FieldForm::Plain(WireType::Int2 | WireType::Int4 | WireType::Int8, _));
    whole && column.convert.is_none()
}

fn count_table(
    client: &mut Client,
    name: &str,
    columns: &[&FilledColumn],
) -> Result<(u64, Vec<ColumnCount>)> {
    let doing = || format!("count {name}");
    let mut counts = Vec::new();
    let mut rows = 0;
    // A query has at most 1664 columns.
    for some in columns.chunks(400) {
        let parts = some.iter().map(|column| {
            let quoted = Ident::new(&*column.name);
            let sum =
                // sum() of bigint is numeric, which does not overflow (manual, "Aggregate Functions"); that of
                // smallint and integer is a bigint, which 2^32 rows do not fill.
                if is_summed(column) { format!("coalesce(sum({quoted}), 0)::text") } else { "'0'".into() };
            format!("count({quoted}), {sum}")
        });
        let sql =
            format!("select count(*), {} from {}", parts.collect::<Vec<_>>().join(", "), quote_table(name));
        let row = client.query_one(&sql, &[]).doing(doing)?;
        rows = row.get::<_, i64>(0).unsigned_abs();
        for at in 0..some.len() {
            let sum: String = row.get(2 + at * 2);
            counts.push(ColumnCount {
                filled: row.get::<_, i64>(1 + at * 2).unsigned_abs(),
                sum: sum.parse().unwrap_or_default(),
            });
        }
    }
    Ok((rows, counts))
}
