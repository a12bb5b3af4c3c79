//! Fills the schema where the copy is prepared: tables, rows, indexes, keys, defaults, checks, views.

use super::{Job, Summary, object};
use crate::load::copy;
use crate::plan::{Fate, ForeignKey, Mode, Plan, REFUSED, Table};
use crate::source::{Snapshot, quoted};
use crate::target::constraints::Orphans;
use crate::target::{casts, checks, constraints, create, expressions, indexes, place, session, wire};
use postgres::Client;
use rusqlite::Connection;
use std::collections::BTreeMap;
use std::time::Instant;
use toban_core::{Context, Error, Kind, Result, shutdown};

/// All of it.
///
/// # Errors
/// Those of either side.
pub(super) fn everything(
    job: &Job<'_>,
    snapshot: &mut Snapshot,
    control: &mut Client,
    plan: &mut Plan,
    summary: &mut Summary,
) -> Result<()> {
    create::begin(control, job.stage)?;
    if plan.mode == Mode::Existing {
        return rows_only(job, snapshot, control, plan, summary);
    }
    for (name, why) in create::tables(control, plan, job.stage)? {
        plain_again(plan, &name, &why);
    }
    let mut clients = session::several(job.to, snapshot.readers().len())?;
    let began = Instant::now();
    summary.loaded = match copy::load(snapshot, &mut clients, plan, job.stage, (job.rejects, job.quiet)) {
        Err(e) if e.kind() == Kind::Failed && plain(plan, &e) => {
            job.rejects.clear()?;
            create::begin(control, job.stage)?;
            create::tables(control, plan, job.stage)?;
            copy::load(snapshot, &mut clients, plan, job.stage, (job.rejects, job.quiet))?
        }
        loaded => loaded?,
    };
    too_wide(control, plan, summary, job.stage)?;
    summary.phase("copy", began);
    regenerate(job, snapshot, &mut clients, plan, summary)?;
    // Indexes are built by as many sessions as were asked for, however few may read.
    if clients.len() < job.jobs && clients.len() >= snapshot.readers().len() {
        clients.extend(session::several(job.to, job.jobs - clients.len())?);
    }
    keys(job, snapshot, &mut clients, plan, summary)?;
    let began = Instant::now();
    let checks = checks::add(snapshot.readers(), &mut clients, plan, job.stage)?;
    plan.objects.extend(checks);
    summary.phase("checks", began);
    words(job, snapshot, control, plan, summary)
}

/// The tables of the application get their rows from here later: no key, no constraint, and text where the type is
/// one that only the server can read.
fn rows_only(
    job: &Job<'_>,
    snapshot: &mut Snapshot,
    control: &mut Client,
    plan: &Plan,
    summary: &mut Summary,
) -> Result<()> {
    let mut staged = staged(plan);
    create::tables(control, &mut staged, job.stage)?;
    let mut clients = session::several(job.to, snapshot.readers().len())?;
    let began = Instant::now();
    summary.loaded = copy::load(snapshot, &mut clients, &staged, job.stage, (job.rejects, job.quiet))?;
    summary.phase("copy", began);
    casts::check(control, plan, &staged, job.stage)
}

/// The plan of what is prepared for tables that the application made.
pub(super) fn staged(plan: &Plan) -> Plan {
    let mut staged = plan.clone();
    for table in &mut staged.tables {
        table.columns.retain(|c| c.generated.is_none());
        for column in &mut table.columns {
            column.not_null = false;
            column.pg_type = wire::staged_type(column);
        }
    }
    staged
}

/// Generated columns on whose values the two sides disagree become plain ones, and their tables are filled again.
fn regenerate(
    job: &Job<'_>,
    snapshot: &mut Snapshot,
    clients: &mut [Client],
    plan: &mut Plan,
    summary: &mut Summary,
) -> Result<()> {
    let differ = expressions::generated(&mut clients[0], snapshot.first(), plan, job.stage)?;
    let mut again: Vec<usize> = differ.iter().map(|(table, _)| *table).collect();
    again.dedup();
    for (table, column) in differ {
        let name = format!("{}.{}", plan.tables[table].source, plan.tables[table].columns[column].source);
        plain_again(plan, &name, "the two sides disagree on the data");
        plan.tables[table].columns[column].generated = None;
    }
    for at in again {
        let table = plan.tables[at].clone();
        let drop = format!("drop table {}", crate::target::qualified(job.stage, &table.target));
        clients[0].batch_execute(&drop).doing(|| format!("make {} anew", table.source))?;
        let mut one = Plan { tables: vec![table], objects: Vec::new(), ..plan.clone() };
        create::tables(&mut clients[0], &mut one, job.stage)?;
        let loaded = copy::load(snapshot, clients, &one, job.stage, (job.rejects, true))?;
        summary.loaded[at] = loaded[0];
    }
    Ok(())
}

/// A table of which PostgreSQL does not take a row stays behind, and does not keep the others away.
fn too_wide(control: &mut Client, plan: &mut Plan, summary: &mut Summary, stage: &str) -> Result<()> {
    for at in (0..plan.tables.len()).rev().filter(|at| summary.loaded[*at].too_wide).collect::<Vec<_>>() {
        let table = plan.tables.remove(at);
        summary.loaded.remove(at);
        let drop = format!("drop table {}", crate::target::qualified(stage, &table.target));
        control.batch_execute(&drop).doing(|| format!("leave {} out", table.source))?;
        let why = "a row of it is too wide: PostgreSQL's rows fit into a page of 8 kB, long texts apart";
        plan.objects.push(object("table", &table.source, Fate::Skipped, why.into()));
        for child in &mut plan.tables {
            child.foreign_keys.retain(|key| key.parent != table.target);
        }
    }
    Ok(())
}

/// Makes every generated column a plain one, for one may have failed on a value; false when there is none.
fn plain(plan: &mut Plan, e: &Error) -> bool {
    let mut names = Vec::new();
    for table in &mut plan.tables {
        for column in table.columns.iter_mut().filter(|c| c.generated.is_some()) {
            column.generated = None;
            names.push(format!("{}.{}", table.source, column.source));
        }
    }
    names.iter().for_each(|name| plain_again(plan, name, &e.chain()));
    !names.is_empty()
}

fn plain_again(plan: &mut Plan, name: &str, why: &str) {
    let why = format!("a plain column with its values: {why}");
    match plan.objects.iter_mut().find(|o| o.kind == "generated column" && o.name == name) {
        Some(object) => (object.fate, object.why) = (Fate::Skipped, why),
        None => plan.objects.push(object("generated column", name, Fate::Skipped, why)),
    }
}

fn keys(
    job: &Job<'_>,
    snapshot: &Snapshot,
    clients: &mut [Client],
    plan: &mut Plan,
    summary: &mut Summary,
) -> Result<()> {
    let began = Instant::now();
    shutdown::check()?;
    for (kind, name, why) in indexes::build(clients, plan, job.stage)? {
        plan.objects.push(object(&kind, &name, Fate::Skipped, format!("{REFUSED}: {why}")));
    }
    summary.phase("indexes", began);
    let began = Instant::now();
    let outcome = constraints::foreign_keys(clients, plan, job.stage)?;
    for orphans in &outcome.orphans {
        let why = orphaned(snapshot.first(), plan, orphans, &job.rejects.counts());
        plan.objects.push(object("foreign key", &orphans.name, Fate::NotValid, why));
    }
    for (name, why) in outcome.refused {
        plan.objects.push(object("foreign key", &name, Fate::Skipped, format!("{REFUSED}: {why}")));
    }
    summary.phase("foreign keys, statistics", began);
    Ok(())
}

/// How many rows are without a parent, whose doing that is, and the first of them.
fn orphaned(db: &Connection, plan: &Plan, orphans: &Orphans, rejects: &BTreeMap<String, u64>) -> String {
    let more = if orphans.count > 10 { " …" } else { "" };
    let rows = format!("{}{more}", orphans.first.join("; "));
    let keys = plan.tables.iter().flat_map(|t| t.foreign_keys.iter().map(move |k| (t, k)));
    let found = keys.into_iter().find(|(t, k)| constraints::shown(t, k) == orphans.name);
    let parent = found.and_then(|(_, key)| plan.tables.iter().find(|t| t.target == key.parent));
    let there = found.zip(parent).and_then(|((child, key), parent)| without_parent(db, child, key, parent));
    match there {
        Some(n) if n < orphans.count => {
            let rejected = parent.is_some_and(|p| rejects.contains_key(&p.source));
            let why = if rejected {
                "the parents of the others are among the rejects"
            } else {
                "PostgreSQL compares the others otherwise"
            };
            format!("{} rows without a parent, {n} of them in the source, {why}: {rows}", orphans.count)
        }
        _ => format!("{} orphans in the source: {rows}", orphans.count),
    }
}

/// Rows of the source without a parent there; none where SQLite cannot say.
fn without_parent(db: &Connection, child: &Table, key: &ForeignKey, parent: &Table) -> Option<i64> {
    let of = |table: &Table, target: &String| {
        table.columns.iter().find(|c| c.target == *target).map(|c| quoted(&c.source))
    };
    let pairs: Vec<(String, String)> = key
        .columns
        .iter()
        .zip(&key.parent_columns)
        .map(|(c, p)| Some((of(child, c)?, of(parent, p)?)))
        .collect::<Option<_>>()?;
    let set: Vec<String> = pairs.iter().map(|(c, _)| format!("c.{c} is not null")).collect();
    let same: Vec<String> = pairs.iter().map(|(c, p)| format!("p.{p} = c.{c}")).collect();
    let sql = format!(
        "select count(*) from {} c where {} and not exists (select 1 from {} p where {})",
        quoted(&child.source),
        set.join(" and "),
        quoted(&parent.source),
        same.join(" and ")
    );
    db.query_row(&sql, [], |r| r.get(0)).ok()
}

/// What is said in SQL: checks, defaults, views; and what numbers the rows.
fn words(
    job: &Job<'_>,
    snapshot: &Snapshot,
    control: &mut Client,
    plan: &mut Plan,
    summary: &mut Summary,
) -> Result<()> {
    let began = Instant::now();
    let db = snapshot.first();
    expressions::indexes(control, db, plan, job.stage)?;
    for (name, why) in create::defaults(control, plan, job.stage)? {
        plan.objects.push(object("default", &name, Fate::Skipped, format!("{REFUSED}: {why}")));
    }
    create::sequences(control, plan, job.stage)?;
    place::views(control, plan, job.stage)?;
    expressions::views(control, db, plan, job.stage)?;
    summary.phase("defaults, views", began);
    Ok(())
}
