//! Parts of a table that are read side by side.

use super::quoted;
use rusqlite::Connection;
use toban_core::{Context, Result};

/// Rows between these rowids, both included; all rows of a table that has none.
pub(crate) type Range = Option<(i64, i64)>;

/// About as many rowids as one part spans; a smaller table is one part.
const SPAN: i128 = 100_000;
/// Parts of one table at most.
const PARTS: i128 = 256;

/// The parts of `table`, in order; together they hold each row once. `rowid` is the rowid's name, if there is one.
///
/// # Errors
/// Those of SQLite.
pub(crate) fn of(reader: &Connection, table: &str, rowid: Option<&str>) -> Result<Vec<Range>> {
    let Some(rowid) = rowid else { return Ok(vec![None]) };
    // Two statements: SQLite finds min and max without a scan only when each is alone.
    let end = |which: &str| {
        let sql = format!("select {which}({}) from {}", quoted(rowid), quoted(table));
        reader.query_row(&sql, [], |r| r.get::<_, Option<i64>>(0)).doing(|| format!("look at {table}"))
    };
    Ok(match (end("min")?, end("max")?) {
        (Some(min), Some(max)) => split(min, max).into_iter().map(Some).collect(),
        _ => vec![None],
    })
}

/// Even parts of `min..=max`: i128, because the ends may be those of i64.
fn split(min: i64, max: i64) -> Vec<(i64, i64)> {
    let (low, high) = (i128::from(min), i128::from(max));
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
            let parts = split(min, max);
            assert_eq!((parts[0].0, parts[parts.len() - 1].1), (min, max));
            assert!(parts.iter().all(|(a, b)| a <= b));
            assert!(parts.windows(2).all(|w| w[0].1 + 1 == w[1].0), "{min}..{max}: {parts:?}");
            assert!(parts.len() <= 257);
        }
    }
}
