//! What differs between a table at the moment and now, by its primary key.

use super::structure::Structure;
use super::tables::TableName;
use postgres::Transaction;
use serde::Serialize;
use toban_core::pg::Ident;
use toban_core::{Context, Result};

/// Rows since the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Differences {
    /// They were there and are not now.
    pub(super) gone: u64,
    /// They are there with other values.
    pub(super) changed: u64,
    /// They were not there.
    pub(super) added: u64,
}

/// A table at the moment and now.
pub(super) struct ComparedTable<'a> {
    pub(super) then: &'a Structure,
    pub(super) now: &'a Structure,
    /// Where the rows of the moment are.
    pub(super) place: &'a TableName,
    /// The query for those of the live table.
    pub(super) selected: &'a str,
}

/// Counts the rows of the live table, and what differs: none of either where they cannot be read so, and no differences
/// where the table has no key, or the columns of the key are others now.
///
/// # Errors
/// When the server cannot be asked.
pub(super) fn compare_rows(
    live: &mut Transaction<'_>,
    table: &ComparedTable<'_>,
) -> Result<(Option<u64>, Option<Differences>)> {
    let ComparedTable { then, now, place, selected } = table;
    let count = format!("select count(*) from ({selected}) l");
    let rows = try_counts(live, table, &count)?.and_then(|counts| counts.first().copied());
    if rows.is_none() {
        return Ok((None, None));
    }
    if then.key.is_empty() || !then.key.iter().all(|name| now.columns.iter().any(|c| c.name == *name)) {
        log::warn!("{} has no primary key that it had then: what differs is not known", then.name);
        return Ok((rows, None));
    }
    let same = join_key(then, "r", "l");
    let differ = differs(then, now, "r", "l");
    let sql = format!(
        "select (select count(*) from {place} r where not exists (select from ({selected}) l where {same})), \
         (select count(*) from {place} r join ({selected}) l on {same} where {differ}), \
         (select count(*) from ({selected}) l where not exists (select from {place} r where {same}))"
    );
    let differences = match try_counts(live, table, &sql)?.as_deref() {
        Some(&[gone, changed, added]) => Some(Differences { gone, changed, added }),
        _ => None,
    };
    Ok((rows, differences))
}

/// A row of counts; none where the live table is of another shape, which must not keep the rows from coming back.
fn try_counts(live: &mut Transaction<'_>, table: &ComparedTable<'_>, sql: &str) -> Result<Option<Vec<u64>>> {
    let mut trial = live.transaction().doing(|| "begin to compare".into())?;
    set_search_path(&mut trial, table.then)?;
    match trial.query_one(sql, &[]) {
        Ok(row) => {
            let counts = (0..row.len()).map(|at| row.get::<_, i64>(at).unsigned_abs()).collect();
            trial.batch_execute("set local search_path = ''").doing(|| "end to compare".into())?;
            trial.commit().doing(|| "end to compare".into())?;
            Ok(Some(counts))
        }
        Err(e) => {
            trial.rollback().doing(|| "end to compare".into())?;
            let e = toban_core::Error::failed(format!("compare {}", table.then.name)).because(e);
            log::warn!("what differs is not known: {}", e.chain());
            Ok(None)
        }
    }
}

/// Until the end of the transaction names are found in the table's own schema, as its users write them.
///
/// # Errors
/// When the server cannot be asked.
pub(super) fn set_search_path(live: &mut Transaction<'_>, table: &Structure) -> Result<()> {
    let path = format!("set local search_path = {}, public", Ident::new(&table.name.schema));
    live.batch_execute(&path).doing(|| "set the search path".into())
}

/// The condition that two rows have the same key.
pub(super) fn join_key(table: &Structure, a: &str, b: &str) -> String {
    let equal = |name: &String| format!("{a}.{0} = {b}.{0}", Ident::new(name));
    table.key.iter().map(equal).collect::<Vec<_>>().join(" and ")
}

/// The condition that two rows differ in a column that both have, by the text of its values, which every type has.
pub(super) fn differs(then: &Structure, now: &Structure, a: &str, b: &str) -> String {
    let texts = |alias: &str| {
        let columns = shared_columns(then, now).map(|name| format!("{alias}.{}::text", Ident::new(name)));
        columns.collect::<Vec<_>>().join(", ")
    };
    format!("row({}) is distinct from row({})", texts(a), texts(b))
}

/// Columns that the table had then and has now.
pub(super) fn shared_columns<'a>(
    then: &'a Structure,
    now: &'a Structure,
) -> impl Iterator<Item = &'a String> {
    then.columns.iter().map(|c| &c.name).filter(|name| now.columns.iter().any(|c| c.name == **name))
}
