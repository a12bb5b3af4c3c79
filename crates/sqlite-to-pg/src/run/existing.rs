//! Into tables that the application made, in one transaction: what is dropped on the way is made again as it was.

use crate::model::{Action, Object, ObjectKind, Outcome, Plan, Table};
use crate::plan::existing::{check_counterparts, missing_columns};
use crate::target::{create, sequences, undo};
use migrate::sql::{name_list, qualified_name};
use migrate::{catalog, session};
use postgres::{Client, Row};
use toban_core::pg::{Ident, quote_literal};
use toban_core::{Context, Error, Result, shutdown};

/// A foreign key of the application.
pub(super) struct ForeignKeyCopy {
    table: String,
    name: String,
    definition: String,
}

/// Rows on their way from `stage` into the tables of the plan.
pub(super) struct Transfer<'a> {
    pub(super) plan: &'a Plan,
    pub(super) stage: &'a str,
    /// Only rows of an earlier run's list of rejects.
    pub(super) retries: bool,
}

impl Transfer<'_> {
    /// Moves the rows, and keeps them when `compare` finds them equal, in the same transaction: rows that differ are never
    /// visible. The answer is what became otherwise than it was.
    ///
    /// # Errors
    /// Usage when a table holds rows and it was not said what becomes of them; Findings for a row that the target does not take;
    /// those of `compare` and of the server. Then the target is as it was.
    pub(super) fn move_in(
        &self,
        client: &mut Client,
        compare: &mut dyn FnMut(&mut Client) -> Result<()>,
    ) -> Result<Vec<Object>> {
        let plan = self.plan;
        let doing = || format!("load into the tables of {}", plan.schema);
        let made = catalog::read_tables(client, &plan.schema)?;
        check_keys(plan, &made)?;
        let mut loading = None;
        let moved = session::in_transaction(client, doing, |client| {
            // All locks before the first row: a writer that came in between would see or miss half of the load, and two runs would wait for
            // each other.
            lock_tables(client, plan)?;
            refuse_rows(client, plan)?;
            // While rows are moved table by table a child may come before its parent; the keys are made again at the
            // end, and check everything once.
            let keys = drop_keys(client, plan)?;
            let mut back = Vec::new();
            for table in &plan.tables {
                shutdown::check()?;
                loading = Some(table);
                let there = catalog::find_matching(&made, |m| &m.name, &table.target)
                    .ok_or_else(|| Error::failed(format!("{} is gone", table.target)))?;
                back.extend(self.move_rows(client, table, there)?);
            }
            loading = None;
            let mut outcomes = make_keys(client, &keys)?;
            outcomes.extend(sequences::advance_sequences(client, plan)?);
            compare(client)?;
            undo::write_steps(client, &plan.schema, &undo_steps(&keys, back), false)?;
            mark_rows(client, plan)?;
            match self.retries {
                true => undo::amend_plan(client, plan)?,
                false => undo::keep_plan(client, &plan.with_outcomes(&outcomes))?,
            }
            Ok(outcomes)
        });
        moved.map_err(|e| match loading {
            Some(table) => self.name_offending_row(client, table, &made, e),
            None => e,
        })
    }

    /// Moves one table's rows; the answer is how to bring back those that were there.
    fn move_rows(
        &self,
        client: &mut Client,
        table: &Table,
        there: &catalog::ExistingTable,
    ) -> Result<Vec<String>> {
        let doing = || format!("load {}", table.target);
        let schema = &self.plan.schema;
        let name = qualified_name(schema, &table.target);
        let stored = there.columns.iter().filter(|c| c.generated.is_none());
        let all: Vec<String> = stored.map(|c| c.name.clone()).collect();
        // The copy of the old rows is made under the lock and in the transaction that changes them: --undo restores exactly these.
        let back = undo::keep_rows(client, schema, &table.target, &all)?;
        let triggers = switch_off(client, schema, &table.target)?;
        if table.action == Action::Truncate {
            let only = undo::scan_name(client, &name)?;
            // Not TRUNCATE, which would refuse a table that others refer to or take their rows along, and gives a new
            // file that readers of an older snapshot see empty (manual, "TRUNCATE"); and not its heirs' rows, which
            // are not ours.
            client.batch_execute(&format!("delete from {only}")).doing(doing)?;
        }
        client.batch_execute(&self.insert_sql(table, there, "")).doing(doing)?;
        // DDL is transactional: also a crash in between leaves them as they were, since nothing of this is committed
        // yet.
        triggers.iter().try_for_each(|trigger| trigger.restore_state(client).doing(doing))?;
        Ok(back)
    }

    /// The statement that moves the rows of a table that `filter` leaves.
    pub(super) fn insert_sql(&self, table: &Table, there: &catalog::ExistingTable, filter: &str) -> String {
        let columns: Vec<&str> = table.copied_columns().map(|c| c.target.as_str()).collect();
        let values = table.copied_columns().map(|c| format!("{}::{}", Ident::new(&*c.target), c.pg_type));
        let values: Vec<String> = values.chain(table.sets.iter().map(|s| s.expression.clone())).collect();
        let all: Vec<&str> =
            columns.iter().copied().chain(table.sets.iter().map(|s| s.column.as_str())).collect();
        format!(
            // The rows keep the numbers that they had, also where the column is GENERATED ALWAYS (manual, "INSERT").
            "insert into {} ({}) overriding system value select {} from {}{filter}{}",
            qualified_name(&self.plan.schema, &table.target),
            name_list(&all),
            values.join(", "),
            qualified_name(self.stage, &table.target),
            on_conflict(table.action, &there.key, &columns)
        )
    }
}

/// Everything that would refuse the rows at the end and can be known at the beginning, before a value is read.
///
/// # Errors
/// Usage when a table holds rows and it was not said what becomes of them, or is no counterpart; Failed for a missing right,
/// row-level security that binds us, and a rule in the place of INSERT.
pub(super) fn check_ready(client: &mut Client, plan: &Plan) -> Result<()> {
    let made = catalog::read_tables(client, &plan.schema)?;
    check_columns(plan, &made)?;
    check_keys(plan, &made)?;
    for table in &plan.tables {
        let name = qualified_name(&plan.schema, &table.target);
        let sql = format!(
            "select pg_has_role(c.relowner, 'usage'), row_security_active(c.oid), \
             exists (select from pg_rewrite r where r.ev_class = c.oid and r.ev_type = '3' and r.ev_enabled <> 'D') \
             from pg_class c where c.oid = {}::regclass",
            quote_literal(&name)
        );
        let row = client.query_one(&sql, &[]).doing(|| format!("look at {name}"))?;
        let (owner, hidden, rule): (bool, bool, bool) = (row.get(0), row.get(1), row.get(2));
        if !owner {
            return Err(Error::failed(format!(
                "the role does not own {name}, and only the owner can disable its triggers and drop its foreign keys for the load"
            ))
            .hint("connect as its owner, or grant that role to this one"));
        }
        if hidden {
            return Err(Error::failed(format!(
                "row-level security of {name} is forced on its owner too: rows could not be read or written"
            ))
            .hint(format!("for the time of the load: alter table {name} no force row level security")));
        }
        if rule {
            return Err(Error::failed(format!("a rule of {name} replaces INSERT by something else")).hint(
                format!("drop it for the time of the load, or: alter table {name} disable rule NAME"),
            ));
        }
        check_sets(client, table, &name)?;
    }
    refuse_rows(client, plan)?;
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
                "the role does not own {table}, and only the owner can drop its foreign key {key} for the load"
            ))
            .hint("connect as its owner, or grant that role to this one"))
        }
    }
}

/// An expression of `--set` that the server does not understand.
fn check_sets(client: &mut Client, table: &Table, name: &str) -> Result<()> {
    for set in &table.sets {
        let sql = format!("select {} from {name} limit 0", set.expression);
        if let Err(e) = client.batch_execute(&sql) {
            let why = create::tolerate(e)?;
            return Err(Error::usage(format!(
                "--set {}.{}={}: {why}",
                table.source, set.column, set.expression
            )));
        }
    }
    Ok(())
}

/// Of a plan that was edited: whatever it names must be there.
fn check_columns(plan: &Plan, made: &[catalog::ExistingTable]) -> Result<()> {
    let mut missing = Vec::new();
    for table in &plan.tables {
        match made.iter().find(|m| m.name == table.target) {
            None => missing.push(format!("the table {}", table.source)),
            Some(there) => missing.extend(missing_columns(table, there)),
        }
    }
    check_counterparts(&plan.schema, &missing)
}

fn lock_tables(client: &mut Client, plan: &Plan) -> Result<()> {
    for table in &plan.tables {
        let name = qualified_name(&plan.schema, &table.target);
        client
            .batch_execute(&format!("lock table {name} in access exclusive mode"))
            .doing(|| format!("lock {name}"))?;
    }
    Ok(())
}

/// What the tables hold now, for the way back.
fn mark_rows(client: &mut Client, plan: &Plan) -> Result<()> {
    let names: Vec<String> = plan.tables.iter().map(|t| qualified_name(&plan.schema, &t.target)).collect();
    let mut counts = Vec::new();
    for name in &names {
        let sql = format!("select count(*) from {}", undo::scan_name(client, name)?);
        let n: i64 = client.query_one(&sql, &[]).doing(|| format!("count the rows of {name}"))?.get(0);
        counts.push(n.unsigned_abs());
    }
    undo::mark_rows(client, &plan.schema, &names, &counts)
}

/// Without a primary key it is not known which row is which, and every one would be there twice.
fn check_keys(plan: &Plan, made: &[catalog::ExistingTable]) -> Result<()> {
    let keyless = |t: &&Table| {
        t.action == Action::Upsert && made.iter().any(|m| m.name == t.target && m.key.is_empty())
    };
    let names: Vec<&str> = plan.tables.iter().filter(keyless).map(|t| t.target.as_str()).collect();
    if names.is_empty() {
        return Ok(());
    }
    Err(Error::usage(format!(
        "{} has no primary key, so its rows cannot be matched and replaced",
        names.join(", ")
    ))
    .hint("load such a table by itself with --include and --existing truncate, or add to it with --existing append"))
}

fn refuse_rows(client: &mut Client, plan: &Plan) -> Result<()> {
    for table in plan.tables.iter().filter(|t| t.action == Action::Refuse) {
        let name = qualified_name(&plan.schema, &table.target);
        let sql = format!("select exists (select from {})", undo::scan_name(client, &name)?);
        if client.query_one(&sql, &[]).doing(|| format!("look into {name}"))?.get(0) {
            return Err(Error::usage(format!("the target is not empty: {} holds rows", table.target))
                .hint("say what happens to them with --existing truncate, append, upsert or skip-existing"));
        }
    }
    Ok(())
}

/// Drops every foreign key from or to our tables; they are made again as pg_get_constraintdef() prints them.
pub(super) fn drop_keys(client: &mut Client, plan: &Plan) -> Result<Vec<ForeignKeyCopy>> {
    let doing = || "take the foreign keys away".to_string();
    let names: Vec<&str> = plan.tables.iter().map(|t| t.target.as_str()).collect();
    let sql = "select k.conrelid::regclass::text, k.conname::text, pg_get_constraintdef(k.oid) from pg_constraint k \
               join pg_class c on c.oid = k.conrelid join pg_class p on p.oid = k.confrelid \
               join pg_namespace n on n.oid = c.relnamespace join pg_namespace m on m.oid = p.relnamespace \
               where k.contype = 'f' and k.conparentid = 0 and ((n.nspname = $1 and c.relname = any($2)) \
               or (m.nspname = $1 and p.relname = any($2))) order by k.oid";
    let rows = client.query(sql, &[&plan.schema, &names]).doing(doing)?;
    let copy = |r: &Row| ForeignKeyCopy { table: r.get(0), name: r.get(1), definition: r.get(2) };
    let keys: Vec<ForeignKeyCopy> = rows.iter().map(copy).collect();
    for key in &keys {
        client.batch_execute(&key.drop_sql("")).doing(doing)?;
    }
    Ok(keys)
}

impl ForeignKeyCopy {
    fn drop_sql(&self, if_exists: &str) -> String {
        format!("alter table {} drop constraint {if_exists}{}", self.table, Ident::new(&*self.name))
    }

    fn add_sql(&self) -> String {
        format!("alter table {} add constraint {} {}", self.table, Ident::new(&*self.name), self.definition)
    }
}

/// Makes them again; one that rows break is NOT VALID, and in the answer.
fn make_keys(client: &mut Client, keys: &[ForeignKeyCopy]) -> Result<Vec<Object>> {
    let mut orphaned = Vec::new();
    for key in keys {
        let doing = || format!("make the foreign key {} again", key.name);
        let sql = key.add_sql();
        // An error ends a transaction of PostgreSQL's; the savepoint keeps everything before this key.
        client.batch_execute("savepoint key").doing(doing)?;
        if let Err(e) = client.batch_execute(&sql) {
            let why = format!("rows without a parent: {}", create::tolerate(e)?);
            client.batch_execute(&format!("rollback to savepoint key; {sql} not valid")).doing(doing)?;
            let object = Object::skipped(ObjectKind::ForeignKey, &format!("{}.{}", key.table, key.name), why);
            orphaned.push(Object { outcome: Outcome::NotValid, ..object });
        }
        client.batch_execute("release savepoint key").doing(doing)?;
    }
    Ok(orphaned)
}

fn on_conflict(action: Action, key: &[String], columns: &[&str]) -> String {
    let others: Vec<String> = columns
        .iter()
        .filter(|c| !key.iter().any(|k| k == *c))
        .map(|c| format!("{0} = excluded.{0}", Ident::new(*c)))
        .collect();
    match action {
        Action::Upsert if !key.is_empty() && !others.is_empty() => {
            format!(" on conflict ({}) do update set {}", name_list(key), others.join(", "))
        }
        // A row that meets another one by some other unique key is not the same row, and would be lost.
        Action::Upsert | Action::SkipExisting if !key.is_empty() => {
            format!(" on conflict ({}) do nothing", name_list(key))
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

impl Trigger {
    /// Lets it fire as it did before.
    fn restore_state(&self, client: &mut Client) -> std::result::Result<(), postgres::Error> {
        let state = match self.state {
            b'R' => "enable replica",
            b'A' => "enable always",
            b'D' => "disable",
            _ => "enable",
        };
        let (table, name) = (&self.relation, Ident::new(&*self.name));
        client.batch_execute(&format!("alter table {table} {state} trigger {name}"))
    }
}

/// The application's triggers would change what they see; each is set back to what it was.
pub(super) fn switch_off(client: &mut Client, schema: &str, table: &str) -> Result<Vec<Trigger>> {
    let doing = || format!("switch the triggers of {table} off");
    let sql = format!(
        "select t.tgname::text, t.tgenabled::text, t.tgrelid::regclass::text from pg_trigger t join \
         (select {0}::regclass as oid union select relid from pg_partition_tree({0}::regclass)) r on r.oid = t.tgrelid \
         where not t.tgisinternal and t.tgparentid = 0",
        quote_literal(&qualified_name(schema, table))
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
fn undo_steps(keys: &[ForeignKeyCopy], back: Vec<String>) -> Vec<String> {
    let drop = keys.iter().map(|key| key.drop_sql("if exists "));
    drop.chain(back).chain(keys.iter().map(ForeignKeyCopy::add_sql)).collect()
}
