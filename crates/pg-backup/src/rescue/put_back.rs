//! `--replace`: what is gone or was changed goes back to its own place, after a copy of what is there now.

use super::Rescue;
use super::compare::{differs, join_key, set_search_path, shared_columns};
use super::moment::Moment;
use super::structure::{Structure, join_names, list_tree};
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
    let copy = name_copy(place);
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
    let switches = read_switches(live, then, now)?;
    switches.iter().try_for_each(|s| live.batch_execute(&s.off)).doing(doing)?;
    // Keys of a type of an extension's are equal by an operator of its schema.
    set_search_path(live, now)?;
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
    live.batch_execute("set constraints all immediate; set local search_path = ''").doing(doing)?;
    switches.iter().try_for_each(|s| live.batch_execute(&s.on)).doing(doing)?;
    Ok((copy, rows))
}

/// Switches off what changes rows on their way, and on again as it was.
struct Switch {
    off: String,
    on: String,
}

impl Switch {
    /// Of a trigger or a rule; `how` it is on: `O`rigin, `R`eplica, `A`lways, `D`isabled.
    fn of(table: &TableName, what: &str, how: &str) -> Switch {
        let on = match how {
            "D" => "disable ",
            "R" => "enable replica ",
            "A" => "enable always ",
            _ => "enable ",
        };
        let alter = |state: &str| format!("alter table {table} {state}{what}");
        Switch { off: alter("disable "), on: alter(on) }
    }
}

/// Triggers of the application, also of partitions, would change the rows or act a second time, and rules would write
/// something else; those of foreign keys stay. An identity may be written when it is one by default.
fn read_switches(live: &mut Transaction<'_>, then: &Structure, now: &Structure) -> Result<Vec<Switch>> {
    let doing = || format!("list the triggers and rules of {}", now.name);
    // Clones in partitions are internal before 15. A table is before its partitions, which take its state over: so each
    // has its own state at the end. What is off everywhere is left alone.
    let triggers = "select t.tgname::text, t.tgenabled::text from pg_catalog.pg_trigger t where t.tgrelid = $1 \
                    and (not t.tgisinternal or t.tgparentid <> 0 and not exists (select from pg_catalog.pg_constraint k \
                    where k.oid = t.tgconstraint and k.contype = 'f')) order by 1";
    let rules = "select rulename::text, ev_enabled::text from pg_catalog.pg_rewrite \
                 where ev_class = $1 and ev_type in ('2', '3') and ev_enabled <> 'D' order by 1";
    let mut switches = Vec::new();
    for part in list_tree(live, now)?.into_iter().filter(|part| part.partition) {
        for row in live.query(triggers, &[&part.oid]).doing(doing)? {
            let what = format!("trigger {}", Ident::new(row.get::<_, String>(0)));
            switches.push(Switch::of(&part.name, &what, row.get(1)));
        }
    }
    for row in live.query(rules, &[&now.oid]).doing(doing)? {
        let what = format!("rule {}", Ident::new(row.get::<_, String>(0)));
        switches.push(Switch::of(&now.name, &what, row.get(1)));
    }
    let identities = now.columns.iter().filter(|c| c.identity && !then.key.contains(&c.name));
    switches.extend(identities.map(|column| {
        let set =
            |how| format!("alter table {} alter {} set generated {how}", now.name, Ident::new(&column.name));
        Switch { off: set("by default"), on: set("always") }
    }));
    Ok(switches)
}

/// The copy of a live table beside `place`, whose name is the table's.
pub(super) fn name_copy(place: &TableName) -> TableName {
    TableName { schema: place.schema.clone(), name: copy_name(&place.name) }
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
    // pg_dump takes a table without its partitions, and without them it has no rows.
    let mut then = at.open_session()?;
    let mut parts = Vec::new();
    for name in gone {
        let table = Structure::read(&mut then, name)?;
        let tree = list_tree(&mut then, &table)?;
        parts.extend(tree.into_iter().filter(|part| part.partition).map(|part| part.name));
    }
    drop(then);
    let gone = &parts;
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
