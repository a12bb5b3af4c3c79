//! The order in which tables are filled: those that others refer to first, so that each row finds what it refers to.

use super::tables::TableName;
use postgres::Client;
use toban_core::{Context, Result};

/// Orders tables of the live server by its foreign keys.
///
/// # Errors
/// When the server cannot be asked.
pub(super) fn order_by_references(live: &mut Client, tables: Vec<TableName>) -> Result<Vec<TableName>> {
    let sql = "select distinct a.n, b.n from unnest($1::text[]) with ordinality a(t, n) \
               join pg_catalog.pg_constraint k on k.conrelid = pg_catalog.to_regclass(a.t) and k.contype = 'f' \
               join unnest($1::text[]) with ordinality b(t, n) on k.confrelid = pg_catalog.to_regclass(b.t) and a.n <> b.n";
    let names: Vec<String> = tables.iter().map(TableName::to_string).collect();
    let rows = live.query(sql, &[&names]).doing(|| "read the foreign keys".into())?;
    let at = |row: &postgres::Row, column| usize::try_from(row.get::<_, i64>(column) - 1).unwrap_or_default();
    let references: Vec<(usize, usize)> = rows.iter().map(|row| (at(row, 0), at(row, 1))).collect();
    Ok(order_numbers(tables.len(), &references).into_iter().map(|n| tables[n].clone()).collect())
}

/// Pure: each number after those that it refers to; in a circle the smallest is first.
fn order_numbers(count: usize, references: &[(usize, usize)]) -> Vec<usize> {
    let mut left: Vec<usize> = (0..count).collect();
    let mut ordered = Vec::new();
    while !left.is_empty() {
        let waits = |n: usize| references.iter().any(|(from, to)| *from == n && left.contains(to));
        let at = left.iter().position(|n| !waits(*n)).unwrap_or(0);
        ordered.push(left.remove(at));
    }
    ordered
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_refer_to_is_first() {
        assert_eq!(order_numbers(3, &[]), [0, 1, 2]);
        assert_eq!(order_numbers(4, &[(0, 2), (2, 3), (1, 0)]), [3, 2, 0, 1]);
        assert_eq!(order_numbers(3, &[(0, 1), (1, 0), (2, 0)]), [0, 1, 2], "a circle has no order");
    }
}
