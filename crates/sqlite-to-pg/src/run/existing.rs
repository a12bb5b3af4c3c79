//! Into tables that the application made, in one transaction: what is dropped on the way is made again as it was.

use super::object;
use crate::plan::{Action, Fate, Plan, Table};
use crate::target::{create, list, qualified, shape, undo};
use postgres::{Client, Transaction};
use toban_core::pg::{Ident, literal};
use toban_core::{Context, Error, Result, stop};

/// A foreign key of the application: table, name, definition.
type Key = (String, String, String);

/// Moves the rows from `stage` into the tables of the plan.
///
/// # Errors
/// Usage when a table holds rows and nobody said what becomes of them; those of the server, a broken constraint
/// among them. Then the target is as it was.
pub(super) fn move_in(client: &mut Client, plan: &mut Plan, stage: &str, again: bool) -> Result<()> {
    let doing = || format!("load into the tables of {}", plan.schema);
    let made = shape::read(client, &plan.schema)?;
    told_apart(plan, &made)?;
    let mut transaction = client.transaction().doing(doing)?;
    transaction.batch_execute("set local synchronous_commit = on").doing(doing)?;
    for table in &plan.tables {
        let name = qualified(&plan.schema, &table.target);
        transaction
            .batch_execute(&format!("lock table {name} in access exclusive mode"))
            .doing(|| format!("lock {name}"))
            .map_err(
                |e| if e.chain().contains("denied") { e.hint("the role must own the tables") } else { e },
            )?;
    }
    refuse(&mut transaction, plan)?;
    let keys = drop_keys(&mut transaction, plan)?;
    let mut back = Vec::new();
    for table in &plan.tables {
        stop::check()?;
        back.extend(rows(&mut transaction, plan, table, &made, stage)?);
    }
    let orphaned = make_keys(&mut transaction, &keys)?;
    number(&mut transaction, plan)?;
    undo::write(&mut transaction, &plan.schema, &steps(&keys, back), false)?;
    match again {
        true => undo::amend_plan(&mut transaction, plan)?,
        false => undo::keep_plan(&mut transaction, plan)?,
    }
    transaction.commit().doing(doing)?;
    for (name, why) in orphaned {
        plan.objects.push(object("foreign key", &name, Fate::NotValid, why));
    }
    Ok(())
}

/// Without a primary key nobody knows which row is which, and every one would be there twice.
fn told_apart(plan: &Plan, made: &[shape::Made]) -> Result<()> {
    let keyless = |t: &&Table| {
        t.action == Action::Upsert && made.iter().any(|m| m.name == t.target && m.key.is_empty())
    };
    let names: Vec<&str> = plan.tables.iter().filter(keyless).map(|t| t.target.as_str()).collect();
    if names.is_empty() {
        return Ok(());
    }
    Err(Error::usage(format!(
        "no primary key tells the rows of {} apart, so they cannot be replaced",
        names.join(", ")
    ))
    .hint("--include and --existing truncate load such a table anew; --existing append adds to it"))
}

fn refuse(transaction: &mut Transaction<'_>, plan: &Plan) -> Result<()> {
    for table in plan.tables.iter().filter(|t| t.action == Action::Refuse) {
        let name = qualified(&plan.schema, &table.target);
        let sql = format!("select exists (select from {name})");
        if transaction.query_one(&sql, &[]).doing(|| format!("look into {name}"))?.get(0) {
            return Err(Error::usage(format!("the target is not empty: {} holds rows", table.target))
                .hint("--existing truncate, append, upsert or skip-existing says what becomes of them"));
        }
    }
    Ok(())
}

/// Drops every foreign key from or to our tables; they are made again as pg_get_constraintdef() tells them.
fn drop_keys(transaction: &mut Transaction<'_>, plan: &Plan) -> Result<Vec<Key>> {
    let doing = || "take the foreign keys away".to_string();
    let names: Vec<&str> = plan.tables.iter().map(|t| t.target.as_str()).collect();
    let sql = "select k.conrelid::regclass::text, k.conname::text, pg_get_constraintdef(k.oid) from pg_constraint k \
               join pg_class c on c.oid = k.conrelid join pg_class p on p.oid = k.confrelid \
               join pg_namespace n on n.oid = c.relnamespace join pg_namespace m on m.oid = p.relnamespace \
               where k.contype = 'f' and k.conparentid = 0 and ((n.nspname = $1 and c.relname = any($2)) \
               or (m.nspname = $1 and p.relname = any($2))) order by k.oid";
    let rows = transaction.query(sql, &[&plan.schema, &names]).doing(doing)?;
    let keys: Vec<Key> = rows.iter().map(|r| (r.get(0), r.get(1), r.get(2))).collect();
    for (table, name, _) in &keys {
        transaction
            .batch_execute(&format!("alter table {table} drop constraint {}", Ident::new(&**name)))
            .doing(doing)?;
    }
    Ok(keys)
}

/// Makes them again; one that rows break is NOT VALID, and told.
fn make_keys(transaction: &mut Transaction<'_>, keys: &[Key]) -> Result<Vec<(String, String)>> {
    let mut orphaned = Vec::new();
    for (table, name, definition) in keys {
        let doing = || format!("make the foreign key {name} again");
        let sql = format!("alter table {table} add constraint {} {definition}", Ident::new(&**name));
        let mut inner = transaction.transaction().doing(doing)?;
        match inner.batch_execute(&sql) {
            Ok(()) => inner.commit().doing(doing)?,
            Err(e) => {
                let why = create::tolerable(e)?;
                inner.rollback().doing(doing)?;
                transaction.batch_execute(&format!("{sql} not valid")).doing(doing)?;
                orphaned.push((format!("{table}.{name}"), format!("orphans in the source: {why}")));
            }
        }
    }
    Ok(orphaned)
}

/// Moves one table's rows; the answer is how to bring back those that were there.
fn rows(
    transaction: &mut Transaction<'_>,
    plan: &Plan,
    table: &Table,
    made: &[shape::Made],
    stage: &str,
) -> Result<Vec<String>> {
    let doing = || format!("load {}", table.target);
    let name = qualified(&plan.schema, &table.target);
    let there = shape::matching(made, |m| &m.name, &table.target)
        .ok_or_else(|| Error::failed(format!("{name} is gone")))?;
    let all: Vec<String> =
        there.columns.iter().filter(|c| c.generated.is_none()).map(|c| c.name.clone()).collect();
    let back = undo::keep(transaction, &plan.schema, &table.target, &all)?;
    let triggers = switch_off(transaction, &plan.schema, &table.target)?;
    if table.action == Action::Truncate {
        transaction.batch_execute(&format!("delete from {name}")).doing(doing)?;
    }
    let columns: Vec<&str> = table.copied().map(|c| c.target.as_str()).collect();
    let values: Vec<String> =
        table.copied().map(|c| format!("{}::{}", Ident::new(&*c.target), c.pg_type)).collect();
    let conflict = on_conflict(table.action, &there.key, &columns);
    let sql = format!(
        "insert into {name} ({}) overriding system value select {} from {}{conflict}",
        list(&columns),
        values.join(", "),
        qualified(stage, &table.target)
    );
    transaction.batch_execute(&sql).doing(doing)?;
    for (trigger, state) in triggers {
        let word = match state {
            b'R' => "enable replica",
            b'A' => "enable always",
            b'D' => "disable",
            _ => "enable",
        };
        transaction
            .batch_execute(&format!("alter table {name} {word} trigger {}", Ident::new(trigger)))
            .doing(doing)?;
    }
    Ok(back)
}

fn on_conflict(action: Action, key: &[String], columns: &[&str]) -> String {
    let others: Vec<String> = columns
        .iter()
        .filter(|c| !key.iter().any(|k| k == *c))
        .map(|c| format!("{0} = excluded.{0}", Ident::new(*c)))
        .collect();
    match action {
        Action::Upsert if !key.is_empty() && !others.is_empty() => {
            format!(" on conflict ({}) do update set {}", list(key), others.join(", "))
        }
        Action::Upsert | Action::SkipExisting => " on conflict do nothing".into(),
        _ => String::new(),
    }
}

/// The application's triggers would change what they see; each is set back to what it was.
fn switch_off(transaction: &mut Transaction<'_>, schema: &str, table: &str) -> Result<Vec<(String, u8)>> {
    let doing = || format!("switch the triggers of {table} off");
    let sql = format!(
        "select tgname::text, tgenabled::text from pg_trigger where tgrelid = {}::regclass and not tgisinternal",
        literal(&qualified(schema, table))
    );
    let rows = transaction.query(&sql, &[]).doing(doing)?;
    let triggers: Vec<(String, u8)> =
        rows.iter().map(|r| (r.get(0), r.get::<_, String>(1).bytes().next().unwrap_or(b'O'))).collect();
    if !triggers.is_empty() {
        transaction
            .batch_execute(&format!("alter table {} disable trigger user", qualified(schema, table)))
            .doing(doing)?;
    }
    Ok(triggers)
}

/// Every sequence of our tables goes on after the greatest value.
fn number(transaction: &mut Transaction<'_>, plan: &Plan) -> Result<()> {
    let doing = || "number the rows".to_string();
    let sql = "select a.attname::text, pg_get_serial_sequence($1, a.attname) from pg_attribute a \
               where a.attrelid = $1::text::regclass and a.attnum > 0 and not a.attisdropped \
               and pg_get_serial_sequence($1, a.attname) is not null";
    for table in &plan.tables {
        let name = qualified(&plan.schema, &table.target);
        for row in transaction.query(sql, &[&name]).doing(doing)? {
            let (column, sequence): (String, String) = (row.get(0), row.get(1));
            let least = table.sequence.unwrap_or(0);
            let next = format!(
                "select setval({}, greatest(m, 1), m >= 1) from (select greatest(coalesce(max({}), 0), {least}) as m from {name}) x",
                literal(&sequence),
                Ident::new(column)
            );
            transaction.batch_execute(&next).doing(doing)?;
        }
    }
    Ok(())
}

/// The way back: the rows as they were, with the foreign keys out of the way meanwhile.
fn steps(keys: &[Key], back: Vec<String>) -> Vec<String> {
    let name = |(table, name, _): &Key| (table.clone(), Ident::new(&**name).to_string());
    let mut steps = Vec::new();
    for key in keys {
        let (table, name) = name(key);
        steps.push(format!("alter table {table} drop constraint if exists {name}"));
    }
    steps.extend(back);
    for key in keys {
        let (table, name) = name(key);
        steps.push(format!("alter table {table} add constraint {name} {}", key.2));
    }
    steps
}
