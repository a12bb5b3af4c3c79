//! Parts of a table that are read side by side.

use super::{open, quote_name};
use rusqlite::{Connection, Row};
use std::path::Path;
use toban_core::{Context, Result};

/// Rows between these rowids, both included; all rows of a table that has none.
pub(crate) type RowidRange = Option<(i64, i64)>;

/// About as many rowids as one part spans; a smaller table is one part.
const SPAN: i128 = 100_000;
/// Parts of one table at most.
const PARTS: i128 = 256;

/// The parts of `table`, in order; together they hold each row once. `rowid` is the rowid's name, if there is one.
pub(crate) fn ranges_of(reader: &Connection, table: &str, rowid: Option<&str>) -> Result<Vec<RowidRange>> {
    let Some(rowid) = rowid else { return Ok(vec![None]) };
    // Two statements: SQLite finds min and max without a scan only when each is alone.
    let end = |which: &str| {
        let sql = format!("select {which}({}) from {}", quote_name(rowid), quote_name(table));
        reader.query_row(&sql, [], |r| r.get::<_, Option<i64>>(0)).doing(|| format!("look at {table}"))
    };
    Ok(match (end("min")?, end("max")?) {
        (Some(min), Some(max)) => split_range(min, max).into_iter().map(Some).collect(),
        _ => vec![None],
    })
}

/// Even parts of `min..=max`: i128, because the ends may be those of i64.
fn split_range(min: i64, max: i64) -> Vec<(i64, i64)> {
    let (low, high) = (i128::from(min), i128::from(max));
    // By the numbers, not by the rows: to find rows at even distances would take a scan. Where numbers are missing
    // parts are of different size, and whoever is free takes the next.
    let width = ((high - low + 1) / PARTS).max(SPAN);
    let narrow = |n: i128| i64::try_from(n.min(high)).expect("between min and max");
    let mut parts = Vec::new();
    let mut at = low;
    while at <= high {
        // The last part takes a short rest along.
        let end = if high - at < width * 3 / 2 { high } else { at + width - 1 };
        parts.push((narrow(at), narrow(end)));
        at = end + 1;
    }
    parts
}

/// The rows of a part of a table.
pub(crate) struct Query<'a> {
    pub(crate) table: &'a str,
    pub(crate) columns: &'a [String],
    /// What is asked of each row beside its columns.
    pub(crate) expressions: &'a [String],
    pub(crate) rowid: Option<&'a str>,
    pub(crate) range: RowidRange,
    /// At most so many rows.
    pub(crate) limit: Option<usize>,
}

impl Query<'_> {
    /// Gives each row to `each`, in rowid order where there is one. `path` is named in errors.
    pub(crate) fn for_each(
        &self,
        reader: &Connection,
        path: &Path,
        mut each: impl FnMut(&Row<'_>) -> Result<()>,
    ) -> Result<()> {
        let explain = |e| open::explain_error(e, path);
        let mut statement = reader.prepare(&self.select_sql()).map_err(explain)?;
        if let Some((low, high)) = self.range {
            statement.raw_bind_parameter(1, low).map_err(explain)?;
            statement.raw_bind_parameter(2, high).map_err(explain)?;
        }
        let mut rows = statement.raw_query();
        while let Some(row) = rows.next().map_err(explain)? {
            each(row)?;
        }
        Ok(())
    }

    /// No index helps: it may be damaged, and what the table itself holds is copied.
    fn select_sql(&self) -> String {
        let mut list: Vec<String> = self.columns.iter().map(|c| quote_name(c)).collect();
        list.extend_from_slice(self.expressions);
        let list = if list.is_empty() { "1".into() } else { list.join(", ") };
        let from = format!("select {list} from {} not indexed", quote_name(self.table));
        let limit = self.limit.map(|n| format!(" limit {n}")).unwrap_or_default();
        match self.rowid.filter(|_| self.range.is_some()) {
            Some(rowid) => format!("{from} where {} between ?1 and ?2{limit}", quote_name(rowid)),
            None => from + &limit,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_join_without_gap_or_overlap() {
        let edges = [0, 1, 122_879, 122_880, 122_881, 99_999, 100_000, 100_001, 1 << 62, i64::MAX];
        let starts = [i64::MIN, -5, 0, 1, 122_880];
        for (min, max) in
            starts.iter().flat_map(|s| edges.iter().map(move |e| (*s, *e))).filter(|(a, b)| a <= b)
        {
            let parts = split_range(min, max);
            assert_eq!((parts[0].0, parts[parts.len() - 1].1), (min, max));
            assert!(parts.iter().all(|(a, b)| a <= b));
            assert!(parts.windows(2).all(|w| w[0].1 + 1 == w[1].0), "{min}..{max}: {parts:?}");
            assert!(parts.len() <= 257);
        }
    }
}
