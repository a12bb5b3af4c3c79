//! Into tables that the application made, in one transaction: what is dropped on the way is made again as it was.

use super::{object, offending};
use crate::plan::{Action, Fate, Plan, Table};
use crate::target::existing::{missing_columns, without_counterpart};
use crate::target::{create, list, qualified, sequences, session, shape, undo};
use postgres::Client;
use toban_core::pg::{Ident, literal};
use toban_core::{Context, Error, Result, shutdown};

/// A foreign key of the application: table, name, definition.
type Key = (String, String, String);

/// Moves the rows from `stage` into the tables of the plan, and keeps them when `prove` finds what it looks for, in the
/// same transaction: nobody ever sees rows that differ.
///
/// # Errors
/// Usage when a table holds rows and nobody said what becomes of them; Findings for a row that the target does not take;
/// those of `prove` and of the server. Then the target is as it was.
pub(super) fn move_in(
    client: &mut Client,
    plan: &mut Plan,
    (stage, again): (&str, bool),
    prove: &mut dyn FnMut(&mut Client, &Plan) -> Result<()>,
) -> Result<()> {
    let doing = || format!("load into the tables of {}", plan.schema);
    let made = shape::read(client, &plan.schema)?;
    told_apart(plan, &made)?;
    let (mut at, mut unnumbered) = (None, Vec::new());
    let moved = session::atomically(client, doing, |client| {
        lock(client, plan)?;
        refuse(client, plan)?;
        let keys = drop_keys(client, plan)?;
        let mut back = Vec::new();
        for (place, table) in plan.tables.iter().enumerate() {
            shutdown::check()?;
            at = Some(place);
            back.extend(rows(client, plan, table, (&made, stage))?);
        }
        at = None;
        let orphaned = make_keys(client, &keys)?;
        unnumbered = sequences::advance(client, plan)?;
        prove(client, plan)?;
        undo::write(client, &plan.schema, &steps(&keys, back), false)?;
        mark(client, plan)?;
        match again {
            true => undo::amend_plan(client, plan)?,
            false => undo::keep_plan(client, plan)?,
        }
        Ok(orphaned)
    });
    let orphaned = moved.map_err(|e| match at {
        Some(place) => offending::name(client, plan, (place, &made, stage), e),
        None => e,
    })?;
    plan.objects.extend(unnumbered);
    for (name, why) in orphaned {
        plan.objects.push(object("foreign key", &name, Fate::NotValid, why));
    }
    Ok(())
}

/// Everything that would refuse the rows at the end and can be known at the beginning, before a value is read.
///
/// # Errors
/// Usage when a table holds rows and nobody said what becomes of them, or is no counterpart; Failed for a missing right,
/// row-level security that binds us, and a rule in the place of INSERT.
pub(super) fn ready(client: &mut Client, plan: &Plan) -> Result<()> {
    let made = shape::read(client, &plan.schema)?;
    counterparts(plan, &made)?;
    told_apart(plan, &made)?;
    for table in &plan.tables {
        let name = qualified(&plan.schema, &table.target);
        let sql = format!(
            "select pg_has_role(c.relowner, 'usage'), row_security_active(c.oid), \
             exists (select from pg_rewrite r where r.ev_class = c.oid and r.ev_type = '3' and r.ev_enabled <> 'D') \
             from pg_class c where c.oid = {}::regclass",
            literal(&name)
        );
        let row = client.query_one(&sql, &[]).doing(|| format!("look at {name}"))?;
        let (owner, hidden, rule): (bool, bool, bool) = (row.get(0), row.get(1), row.get(2));
        if !owner {
            return Err(Error::failed(format!(
                "the role does not own {name}, whose triggers and foreign keys stand aside for the load"
            ))
            .hint("connect as its owner, or grant that role to this one"));
        }
        if hidden {
            return Err(Error::failed(format!(
                "row-level security of {name} binds its owner too: rows could not be seen or written"
            ))
            .hint(format!("alter table {name} no force row level security, for the time of the load")));
        }
        if rule {
            return Err(Error::failed(format!(
                "a rule of {name} puts something else in the place of INSERT"
            ))
            .hint(format!("drop it or: alter table {name} disable rule …, for the time of the load")));
        }
        sets(client, table, &name)?;
    }
    refuse(client, plan)?;
    foreign_owners(client, plan)
}

/// Keys of other tables that point to ours are dropped and made again, which only their owner may.
fn foreign_owners(client: &mut Client, plan: &Plan) -> Result<()> {
    let names: Vec<&str> = plan.tables.iter().map(|t| t.target.as_str()).collect();
    let sql = "select c.oid::regclass::text, k.conname::text from pg_constraint k join pg_class c on c.oid = k.conrelid \
               join pg_class p on p.oid = k.confrelid join pg_namespace m on m.oid = p.relnamespace \
               where k.contype = 'f' and m.nspname = $1 and p.relname = any($2) and not pg_has_role(c.relowner, 'usage') limit 1";
    match client.query_opt(sql, &[&plan.schema, &names]).doing(|| "look at the foreign keys".into())? {
        None => Ok(()),
        Some(row) => {
            let (table, key): (String, String) = (row.get(0), row.get(1));
            Err(Error::failed(format!(
                "the role does not own {table}, whose foreign key {key} stands aside for the load"
            ))
            .hint("connect as its owner, or grant that role to this one"))
        }
    }
}

/// An expression of `--set` that the server does not understand.
fn sets(client: &mut Client, table: &Table, name: &str) -> Result<()> {
    for set in &table.sets {
        let sql = format!("select {} from {name} limit 0", set.expression);
        if let Err(e) = client.batch_execute(&sql) {
            let why = create::tolerable(e)?;
            return Err(Error::usage(format!(
                "--set {}.{}={}: {why}",
                table.source, set.column, set.expression
            )));
        }
    }
    Ok(())
}

/// Of a plan that was edited: whatever it names must be there.
fn counterparts(plan: &Plan, made: &[shape::Made]) -> Result<()> {
    let mut missing = Vec::new();
    for table in &plan.tables {
        match made.iter().find(|m| m.name == table.target) {
            None => missing.push(format!("the table {}", table.source)),
            Some(there) => missing.extend(missing_columns(table, there)),
        }
    }
    without_counterpart(&plan.schema, &missing)
}

fn lock(client: &mut Client, plan: &Plan) -> Result<()> {
    for table in &plan.tables {
        let name = qualified(&plan.schema, &table.target);
        client
            .batch_execute(&format!("lock table {name} in access exclusive mode"))
            .doing(|| format!("lock {name}"))?;
    }
    Ok(())
}

/// What the tables hold now, for the way back.
fn mark(client: &mut Client, plan: &Plan) -> Result<()> {
    let names: Vec<String> = plan.tables.iter().map(|t| qualified(&plan.schema, &t.target)).collect();
    let mut counts = Vec::new();
    for name in &names {
        let sql = format!("select count(*) from {}", undo::scanned(client, name)?);
        let n: i64 = client.query_one(&sql, &[]).doing(|| format!("count the rows of {name}"))?.get(0);
        counts.push(n.unsigned_abs());
    }
    undo::mark(client, &plan.schema, &names, &counts)
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

fn refuse(client: &mut Client, plan: &Plan) -> Result<()> {
    for table in plan.tables.iter().filter(|t| t.action == Action::Refuse) {
        let name = qualified(&plan.schema, &table.target);
        let sql = format!("select exists (select from {})", undo::scanned(client, &name)?);
        if client.query_one(&sql, &[]).doing(|| format!("look into {name}"))?.get(0) {
            return Err(Error::usage(format!("the target is not empty: {} holds rows", table.target))
                .hint("--existing truncate, append, upsert or skip-existing says what becomes of them"));
        }
    }
    Ok(())
}

/// Drops every foreign key from or to our tables; they are made again as pg_get_constraintdef() tells them.
pub(super) fn drop_keys(client: &mut Client, plan: &Plan) -> Result<Vec<Key>> {
    let doing = || "take the foreign keys away".to_string();
    let names: Vec<&str> = plan.tables.iter().map(|t| t.target.as_str()).collect();
    let sql = "select k.conrelid::regclass::text, k.conname::text, pg_get_constraintdef(k.oid) from pg_constraint k \
               join pg_class c on c.oid = k.conrelid join pg_class p on p.oid = k.confrelid \
               join pg_namespace n on n.oid = c.relnamespace join pg_namespace m on m.oid = p.relnamespace \
               where k.contype = 'f' and k.conparentid = 0 and ((n.nspname = $1 and c.relname = any($2)) \
               or (m.nspname = $1 and p.relname = any($2))) order by k.oid";
    let rows = client.query(sql, &[&plan.schema, &names]).doing(doing)?;
    let keys: Vec<Key> = rows.iter().map(|r| (r.get(0), r.get(1), r.get(2))).collect();
    for (table, name, _) in &keys {
        client
            .batch_execute(&format!("alter table {table} drop constraint {}", Ident::new(&**name)))
            .doing(doing)?;
    }
    Ok(keys)
}

/// Makes them again; one that rows break is NOT VALID, and told.
fn make_keys(client: &mut Client, keys: &[Key]) -> Result<Vec<(String, String)>> {
    let mut orphaned = Vec::new();
    for (table, name, definition) in keys {
        let doing = || format!("make the foreign key {name} again");
        let sql = format!("alter table {table} add constraint {} {definition}", Ident::new(&**name));
        client.batch_execute("savepoint key").doing(doing)?;
        match client.batch_execute(&sql) {
            Ok(()) => {}
            Err(e) => {
                let why = create::tolerable(e)?;
                client.batch_execute(&format!("rollback to savepoint key; {sql} not valid")).doing(doing)?;
                orphaned.push((format!("{table}.{name}"), format!("rows without a parent: {why}")));
            }
        }
        client.batch_execute("release savepoint key").doing(doing)?;
    }
    Ok(orphaned)
}

/// Moves one table's rows; the answer is how to bring back those that were there.
fn rows(
    client: &mut Client,
    plan: &Plan,
    table: &Table,
    (made, stage): (&[shape::Made], &str),
) -> Result<Vec<String>> {
    let doing = || format!("load {}", table.target);
    let name = qualified(&plan.schema, &table.target);
    let there = shape::matching(made, |m| &m.name, &table.target)
        .ok_or_else(|| Error::failed(format!("{name} is gone")))?;
    let all: Vec<String> =
        there.columns.iter().filter(|c| c.generated.is_none()).map(|c| c.name.clone()).collect();
    let back = undo::keep(client, &plan.schema, &table.target, &all)?;
    let triggers = switch_off(client, &plan.schema, &table.target)?;
    if table.action == Action::Truncate {
        let only = undo::scanned(client, &name)?;
        client.batch_execute(&format!("delete from {only}")).doing(doing)?;
    }
    client.batch_execute(&insert(plan, table, (there, stage), "")).doing(doing)?;
    for trigger in triggers {
        let word = match trigger.state {
            b'R' => "enable replica",
            b'A' => "enable always",
            b'D' => "disable",
            _ => "enable",
        };
        client
            .batch_execute(&format!(
                "alter table {} {word} trigger {}",
                trigger.relation,
                Ident::new(trigger.name)
            ))
            .doing(doing)?;
    }
    Ok(back)
}

/// The statement that moves the rows of a table that `filter` leaves.
pub(super) fn insert(
    plan: &Plan,
    table: &Table,
    (there, stage): (&shape::Made, &str),
    filter: &str,
) -> String {
    let columns: Vec<&str> = table.copied().map(|c| c.target.as_str()).collect();
    let values = table.copied().map(|c| format!("{}::{}", Ident::new(&*c.target), c.pg_type));
    let values: Vec<String> = values.chain(table.sets.iter().map(|s| s.expression.clone())).collect();
    let all: Vec<&str> =
        columns.iter().copied().chain(table.sets.iter().map(|s| s.column.as_str())).collect();
    format!(
        "insert into {} ({}) overriding system value select {} from {}{filter}{}",
        qualified(&plan.schema, &table.target),
        list(&all),
        values.join(", "),
        qualified(stage, &table.target),
        on_conflict(table.action, &there.key, &columns)
    )
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
        // A row that meets another one by some other unique key is not the same row, and would be lost.
        Action::Upsert | Action::SkipExisting if !key.is_empty() => {
            format!(" on conflict ({}) do nothing", list(key))
        }
        Action::Upsert | Action::SkipExisting => " on conflict do nothing".into(),
        _ => String::new(),
    }
}

/// A trigger of a table or of one of its partitions, and whether it fires.
pub(super) struct Trigger {
    name: String,
    state: u8,
    relation: String,
}

/// The application's triggers would change what they see; each is set back to what it was.
pub(super) fn switch_off(client: &mut Client, schema: &str, table: &str) -> Result<Vec<Trigger>> {
    let doing = || format!("switch the triggers of {table} off");
    let sql = format!(
        "select t.tgname::text, t.tgenabled::text, t.tgrelid::regclass::text from pg_trigger t join \
         (select {0}::regclass as oid union select relid from pg_partition_tree({0}::regclass)) r on r.oid = t.tgrelid \
         where not t.tgisinternal and t.tgparentid = 0",
        literal(&qualified(schema, table))
    );
    let rows = client.query(&sql, &[]).doing(doing)?;
    let state = |r: &postgres::Row| r.get::<_, String>(1).bytes().next().unwrap_or(b'O');
    let triggers: Vec<Trigger> =
        rows.iter().map(|r| Trigger { name: r.get(0), state: state(r), relation: r.get(2) }).collect();
    for trigger in &triggers {
        let off = format!("alter table {} disable trigger {}", trigger.relation, Ident::new(&*trigger.name));
        client.batch_execute(&off).doing(doing)?;
    }
    Ok(triggers)
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
