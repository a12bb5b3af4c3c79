//! Casts that the server does between what was prepared and the application's tables: one that changes a value says
//! nothing of it, as `'10101'::bit(4)`, and a cast into a domain or an array cuts and rounds like this too.

use crate::model::{Column, Plan, Table};
use postgres::Client;
use toban_core::pg::{Ident, quote_literal};
use toban_core::{Context, Error, Kind, Result};

/// Rows and values that are named.
const NAMED: usize = 5;

/// Fails when the length or precision of a target's type would change a value that the type itself takes as it is.
///
/// # Errors
/// Findings, naming column, rows and values; those of the server.
pub(crate) fn check_casts(client: &mut Client, plan: &Plan, staged: &Plan, stage: &str) -> Result<()> {
    for (table, prepared) in plan.tables.iter().zip(&staged.tables) {
        for (column, staged) in table.copied_columns().zip(&prepared.columns) {
            if column.pg_type != staged.pg_type {
                check_column(client, table, column, stage)?;
            }
        }
    }
    Ok(())
}

fn check_column(client: &mut Client, table: &Table, column: &Column, stage: &str) -> Result<()> {
    let place = format!("{}.{}", table.source, column.source);
    let Some(plain) = without_limits(client, &column.pg_type)? else { return Ok(()) };
    let name = Ident::new(&*column.target).to_string();
    let shown = |pg_type: &str| format!("pg_catalog.format('%s', {name}::{pg_type})");
    let key = row_key(table);
    let sql = format!(
        // An explicit cast cuts and rounds in silence where an assignment would be an error (manual, "Character
        // Types"): so the value with the type's limits is compared with the one without.
        "select count(*), (array_agg({key} || {name}::text || ' to ' || {full}))[1:{NAMED}] from {from} \
         where {name} is not null and {full} is distinct from {bare}",
        full = shown(&column.pg_type),
        bare = shown(&plain),
        from = migrate::sql::qualified_name(stage, &table.target),
    );
    // A value that the type does not take at all stops the load itself, and is told there.
    let Ok(row) = client.query_one(&sql, &[]) else { return Ok(()) };
    let (count, values): (i64, Option<Vec<String>>) = (row.get(0), row.get(1));
    if count == 0 {
        return Ok(());
    }
    let values = values.unwrap_or_default().join("; ");
    let more = if usize::try_from(count).is_ok_and(|n| n > NAMED) { " …" } else { "" };
    let message = format!(
        "{place}: {} would change {count} values, and nothing was loaded: {values}{more}",
        column.pg_type
    );
    Err(Error::new(Kind::Findings, message)
        .hint("widen the target's type, or change the values in the source"))
}

/// What names a row, before its value.
fn row_key(table: &Table) -> String {
    let target =
        |name: &String| table.columns.iter().find(|c| c.source == *name).map(|c| Ident::new(&*c.target));
    let parts: Vec<String> = table.key.iter().filter_map(target).map(|c| format!("{c}::text")).collect();
    match parts.is_empty() {
        true => "''".into(),
        false => format!("'row ' || {} || ': '", parts.join(" || ', ' || ")),
    }
}

/// The type without length and precision; of a domain the type below it, of an array that of its elements' array.
fn without_limits(client: &mut Client, pg_type: &str) -> Result<Option<String>> {
    let sql = format!(
        "with recursive base (oid) as (select {}::regtype::oid union all \
         select t.typbasetype from pg_type t join base b on b.oid = t.oid where t.typtype = 'd') \
         select format_type(b.oid, -1) from base b join pg_type t on t.oid = b.oid where t.typtype <> 'd'",
        quote_literal(pg_type)
    );
    let rows = client.query(&sql, &[]).doing(|| format!("look at the type {pg_type}"))?;
    Ok(rows.first().map(|row| row.get(0)))
}
