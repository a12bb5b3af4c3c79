//! How many rows each table holds, in the very snapshot that is dumped; a restore is compared with them.

use crate::child;
use flate2::Compression;
use flate2::read::{GzEncoder, MultiGzDecoder};
use postgres::GenericClient;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::Read;
use toban_core::pg::Ident;
use toban_core::{Context, Error, Result, shutdown};

/// A table and its rows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Count {
    pub(crate) schema: String,
    pub(crate) table: String,
    pub(crate) rows: i64,
}

/// Counts the rows of every table whose data a dump carries: ordinary tables and partitions that belong to no
/// extension. Row security must hide nothing: a count that it would shorten is an error.
pub(crate) fn count_rows(client: &mut impl GenericClient) -> Result<Vec<Count>> {
    count_rows_while(client, || true)
}

/// The same while `wanted`.
///
/// # Errors
/// Those of [`count_rows`]; Failed when the counts are not wanted any more.
pub(crate) fn count_rows_while(
    client: &mut impl GenericClient,
    wanted: impl Fn() -> bool,
) -> Result<Vec<Count>> {
    client.batch_execute("set local row_security = off").doing(|| "turn row security off".into())?;
    let sql = "select n.nspname::text, c.relname::text from pg_class c join pg_namespace n on n.oid = c.relnamespace \
               where c.relkind = 'r' and n.nspname !~ '^pg_' and n.nspname <> 'information_schema' \
               and not exists (select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid \
                               and d.deptype = 'e') \
               order by 1, 2";
    let tables = client.query(sql, &[]).doing(|| "list the tables".into())?;
    let role = client.query_one("select current_user::text", &[]).doing(|| "ask who we are".into())?;
    let role: String = role.get(0);
    let mut counts = Vec::new();
    for table in &tables {
        if !wanted() {
            return Err(Error::failed("the rows need not be counted"));
        }
        counts.push(count_table(client, &role, table.get(0), table.get(1))?);
    }
    Ok(counts)
}

fn count_table(client: &mut impl GenericClient, role: &str, schema: String, table: String) -> Result<Count> {
    shutdown::check()?;
    let name = format!("{}.{}", Ident::new(&schema), Ident::new(&table));
    let row = client.query_one(&format!("select count(*) from only {name}"), &[]);
    let row = row.doing(|| format!("count the rows of {name}")).map_err(|e| {
        match child::find_cure(&e.chain(), role) {
            Some(cure) => e.hint(cure),
            None => e,
        }
    })?;
    Ok(Count { schema, table, rows: row.get(0) })
}

/// The counts as they are stored: one JSON object per line, gzip.
pub(crate) fn pack_counts(counts: &[Count]) -> Result<Vec<u8>> {
    let doing = || "write the row counts".into();
    let mut lines = Vec::new();
    for count in counts {
        serde_json::to_writer(&mut lines, count).doing(doing)?;
        lines.push(b'\n');
    }
    let mut packed = Vec::new();
    GzEncoder::new(&lines[..], Compression::new(6)).read_to_end(&mut packed).doing(doing)?;
    Ok(packed)
}

/// Undoes [`pack_counts`].
///
/// # Errors
/// Those of the reader, and Corrupt when it is not what `pack_counts` wrote.
pub(crate) fn unpack_counts(packed: impl Read) -> Result<Vec<Count>> {
    let mut lines = String::new();
    MultiGzDecoder::new(packed).read_to_string(&mut lines).doing(|| "read the row counts".into())?;
    let parse = |line| {
        serde_json::from_str(line).map_err(|e| Error::corrupt("the row counts are damaged").because(e))
    };
    lines.lines().map(parse).collect()
}

/// What differs, one line for each table: `public.users has 10 rows, 12 were dumped`.
pub(crate) fn find_differences(dumped: &[Count], found: &[Count]) -> Vec<String> {
    let found: BTreeMap<_, _> = found.iter().map(|c| ((&c.schema, &c.table), c.rows)).collect();
    let differs = |c: &Count| match found.get(&(&c.schema, &c.table)) {
        Some(rows) if *rows == c.rows => None,
        Some(rows) => Some(format!("{}.{} has {rows} rows, {} were dumped", c.schema, c.table, c.rows)),
        None => Some(format!("{}.{} is missing, {} rows were dumped", c.schema, c.table, c.rows)),
    };
    dumped.iter().filter_map(differs).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(table: &str, rows: i64) -> Count {
        Count { schema: "public".into(), table: table.into(), rows }
    }

    #[test]
    fn counts_survive_the_trip() {
        let counts = vec![count("a\nb \"c\"", 7), count("データ", 0)];
        assert_eq!(unpack_counts(&pack_counts(&counts).expect("pack")[..]).expect("unpack"), counts);
    }

    #[test]
    fn every_difference_is_named() {
        let dumped = [count("same", 1), count("less", 3), count("gone", 2)];
        let found = [count("same", 1), count("less", 2), count("extra", 9)];
        assert_eq!(
            find_differences(&dumped, &found),
            ["public.less has 2 rows, 3 were dumped", "public.gone is missing, 2 rows were dumped"]
        );
    }
}
