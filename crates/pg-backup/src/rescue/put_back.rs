//! `--replace`: what is gone or was changed goes back to its own place, after a copy of what is there now.

use super::Rescue;
use super::compare::{differs, join_key, shared_columns};
use super::moment::Moment;
use super::structure::{Structure, join_names};
use super::tables::TableName;
use crate::child::run_child;
use postgres::Transaction;
use std::collections::BTreeSet;
use toban_core::pg::Ident;
use toban_core::{Context, Error, Result};

/// Puts rows of `place` into the live table, in the transaction that brought them: rows that are gone, and values that were
/// changed. Rows that were added since stay. Gives the copy of the live table that is made first, and how many rows.
///
/// # Errors
/// Failed where a row does not fit any more, with what the server says; where it is not known which row is which.
pub(super) fn put_rows_back(
    live: &mut Transaction<'_>,
    then: &Structure,
    now: &Structure,
    place: &TableName,
) -> Result<(TableName, u64)> {
    let name = &now.name;
    let doing = || format!("put rows back into {name}");
    // Against writers only: a row that is written between copy and change would be in neither.
    live.batch_execute(&format!("lock table {}{name} in share row exclusive mode", now.only()))
        .doing(doing)?;
    let copy = TableName { schema: place.schema.clone(), name: copy_name(&name.name) };
    live.batch_execute(&format!("create table {copy} as select * from {}{name}", now.only()))
        .doing(|| format!("copy {name} as it is now into {copy}"))?;
    // Counted in the copy, which the lock keeps equal to the table: what is decided by it is still true when rows are
    // written.
    let rows_now: i64 = live.query_one(&format!("select count(*) from {copy}"), &[]).doing(doing)?.get(0);
    if then.key.is_empty() && rows_now > 0 {
        let e = Error::failed(format!(
            "{name} has no primary key and is not empty: which rows to put back is not known"
        ));
        return Err(e.hint(format!("leave --replace out, and take what is missing from {place} by hand")));
    }
    // A trigger of the application would change the rows on their way, or act a second time. Those of foreign keys stay.
    let triggers = read_triggers(live, now)?;
    triggers.iter().try_for_each(|t| live.batch_execute(&t.disable)).doing(doing)?;
    let written: Vec<&String> = shared_columns(then, now)
        .filter(|name| !now.columns.iter().any(|c| c.name == **name && c.generated))
        .collect();
    let mut rows = 0;
    let set: Vec<String> = written
        .iter()
        .filter(|name| !then.key.contains(**name))
        .map(|name| format!("{0} = r.{0}", Ident::new(name.as_str())))
        .collect();
    let same = join_key(then, "r", "l");
    if !then.key.is_empty() && !set.is_empty() {
        let (set, differ) = (set.join(", "), differs(then, now, "r", "l"));
        let sql = format!("update {}{name} l set {set} from {place} r where {same} and {differ}", now.only());
        rows += live.execute(&sql, &[]).doing(doing)?;
    }
    let columns = join_names(written);
    let missing = match then.key.is_empty() {
        true => String::new(),
        false => format!(" where not exists (select from {name} l where {same})"),
    };
    let sql = format!(
        "insert into {name} ({columns}) overriding system value select {columns} from {place} r{missing}"
    );
    rows += live.execute(&sql, &[]).doing(doing)?;
    // Foreign keys that wait for the commit are checked now: a table with events that wait cannot be altered.
    live.batch_execute("set constraints all immediate").doing(doing)?;
    triggers.iter().try_for_each(|t| live.batch_execute(&t.enable)).doing(doing)?;
    Ok((copy, rows))
}

/// Switches a trigger off and on again as it was.
struct TriggerSwitch {
    disable: String,
    enable: String,
}

fn read_triggers(live: &mut Transaction<'_>, table: &Structure) -> Result<Vec<TriggerSwitch>> {
    let sql = "select tgname::text, case tgenabled when 'R' then 'replica ' when 'A' then 'always ' else '' end \
               from pg_catalog.pg_trigger where tgrelid = $1 and not tgisinternal and tgenabled <> 'D'";
    let rows = live.query(sql, &[&table.oid]).doing(|| format!("list the triggers of {}", table.name))?;
    let switch = |row: &postgres::Row| {
        let (name, how): (String, String) = (row.get(0), row.get(1));
        let trigger = Ident::new(name);
        TriggerSwitch {
            disable: format!("alter table {} disable trigger {trigger}", table.name),
            enable: format!("alter table {} enable {how}trigger {trigger}", table.name),
        }
    };
    Ok(rows.iter().map(switch).collect())
}

/// Within PostgreSQL's 63 bytes.
fn copy_name(table: &str) -> String {
    const SUFFIX: &str = "_before_rescue";
    let mut end = table.len().min(63 - SUFFIX.len());
    while !table.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{SUFFIX}", &table[..end])
}

/// Makes tables that are gone whole again, with indexes, constraints, grants and rows, as pg_dump takes them from the
/// private server.
///
/// # Errors
/// Failed with what the server says; nothing of them is there then.
pub(super) fn restore_definitions(rescue: &Rescue<'_>, at: &Moment, gone: &[TableName]) -> Result<()> {
    let (source, live) = (at.server()?, rescue.live.server());
    let file = at.runner.scratch.join("gone.dump");
    let mut dump = source.command_for("pg_dump", &at.database)?;
    dump.args(["--format=custom", "--file"]).arg(&file);
    let mut session = rescue.live.open_session()?;
    for schema in gone.iter().map(|name| &name.schema).collect::<BTreeSet<_>>() {
        let sql = "select 1 from pg_catalog.pg_namespace where nspname = $1";
        let there = session.query_opt(sql, &[schema]).doing(|| "look for a schema".into())?.is_some();
        // A schema that is gone comes back with all that was in it: types and functions that the tables need.
        match there {
            false => dump.arg(format!("--schema={}", Ident::new(schema))),
            true => dump.args(gone.iter().filter(|n| n.schema == *schema).map(|n| format!("--table={n}"))),
        };
        if !there {
            log::info!("schema {schema} is gone: all of it comes back");
        }
    }
    run_child(dump, "pg_dump")?;
    let mut load = live.command_for("pg_restore", &rescue.live.database)?;
    // All or nothing, so that a run that is killed leaves no half of a table.
    load.args(["--single-transaction", "--exit-on-error", "--dbname", &rescue.live.database]).arg(&file);
    run_child(load, "pg_restore")
}

#[cfg(test)]
mod tests {
    use super::copy_name;

    #[test]
    fn the_name_of_the_copy_fits() {
        assert_eq!(copy_name("incidents"), "incidents_before_rescue");
        assert_eq!(copy_name(&"x".repeat(63)).len(), 63);
        assert!(copy_name(&"デ".repeat(21)).ends_with("デ_before_rescue"));
    }
}
