//! The plan's inverse in SQL: one JSON object for each record, made by PostgreSQL itself.

use crate::model::compiled::quote_table;
use crate::model::{ColumnSource, FilledColumn, FilledTable, Link};
use migrate::sql::qualified_name;
use toban_core::pg::Ident;

/// Whether a rebuilt record has this column: what is only taken from above stands there already.
pub(crate) fn is_rebuilt(column: &FilledColumn) -> bool {
    !matches!(column.source, ColumnSource::Above(_))
}

/// Gives for each row an object with the columns `c0`, `c1` …, lists of rows below as `r0` …, linked names as `l0` …,
/// the key's text as `k` and the transaction that wrote the row as `x`.
pub(crate) fn rebuild_sql(table: &FilledTable, filter: &str, order: &str) -> String {
    // row_to_json() writes times in ISO 8601 whatever DateStyle says (JsonEncodeDateTime() of json.c), and numbers
    // with all of their digits: what is compared does not hang on settings of the role or the database.
    let mut fields = row_fields(table, 0);
    let key: Vec<String> =
        table.key.iter().map(|at| format!("t0.{}::text", Ident::new(&*table.columns[*at].name))).collect();
    let key = if key.is_empty() { "''".to_string() } else { key.join(" || ', ' || ") };
    fields.push(format!("{key} as k"));
    fields.push("t0.xmin::text as x".into());
    let from = quote_table(&table.name);
    format!("select row_to_json(r) from (select {} from {from} t0 {filter} {order}) r", fields.join(", "))
}

fn row_fields(table: &FilledTable, level: usize) -> Vec<String> {
    let mut fields: Vec<String> = Vec::new();
    for (at, column) in table.columns.iter().enumerate().filter(|(_, c)| is_rebuilt(c)) {
        fields.push(format!("{} as c{at}", column_sql(column, level)));
    }
    for (at, child) in table.children.iter().enumerate() {
        fields.push(format!("({}) as r{at}", child_sql(table, &child.table, level)));
    }
    for (at, link) in table.links.iter().enumerate() {
        fields.push(format!("({}) as l{at}", link_sql(table, link, level)));
    }
    fields
}

fn column_sql(column: &FilledColumn, level: usize) -> String {
    let name = format!("t{level}.{}", Ident::new(&*column.name));
    match &column.lookup {
        // The name behind the key, so that what is compared is what the file says.
        Some(lookup) => format!(
            "(select n.{}::text from {} n where n.{} = {name})",
            Ident::new(&*lookup.name),
            quote_table(&lookup.table),
            Ident::new(&*lookup.key)
        ),
        None => name,
    }
}

fn child_sql(parent: &FilledTable, table: &FilledTable, level: usize) -> String {
    let below = level + 1;
    let joins: Vec<String> = table
        .columns
        .iter()
        .filter_map(|column| match column.source {
            ColumnSource::Above(at) => Some(format!(
                "t{below}.{} = t{level}.{}",
                Ident::new(&*column.name),
                Ident::new(&*parent.columns[at].name)
            )),
            _ => None,
        })
        .collect();
    let ordinal = table.columns.iter().find(|c| c.source == ColumnSource::Ordinal);
    let ordinal = ordinal.map_or("null".into(), |c| format!("t{below}.{}", Ident::new(&*c.name)));
    format!(
        // Ordered in the aggregate: the order of a subquery below it is not promised (manual, "Aggregate
        // Expressions").
        "select json_agg(row_to_json(x) order by x.o) from (select {ordinal} as o, {} from {} t{below} where {}) x",
        row_fields(table, below).join(", "),
        quote_table(&table.name),
        joins.join(" and ")
    )
}

fn link_sql(table: &FilledTable, link: &Link, level: usize) -> String {
    let key = table
        .key
        .first()
        .map_or("null".into(), |at| format!("t{level}.{}", Ident::new(&*table.columns[*at].name)));
    let name = format!("n.{}::text", Ident::new(&*link.lookup.name));
    format!(
        // By bytes, as the other side sorts them: the database's own collation may have another order.
        "select json_agg({name} order by {name} collate \"C\") from {} k join {} n on n.{} = k.{} where k.{} = {key}",
        quote_table(&link.table),
        quote_table(&link.lookup.table),
        Ident::new(&*link.lookup.key),
        Ident::new(&*link.other),
        Ident::new(&*link.own)
    )
}

/// A filter that leaves the rows whose key is in the temporary table `stage`.
pub(crate) fn staged_filter(table: &FilledTable, stage: &str) -> String {
    let keys: Vec<String> = table
        .key
        .iter()
        .map(|at| {
            let column = &table.columns[*at];
            let name = Ident::new(&*column.name);
            format!("s.{name}::{} = t0.{name}", column.pg_type)
        })
        .collect();
    format!("where exists (select from {} s where {})", qualified_name("pg_temp", stage), keys.join(" and "))
}
