//! What the target says of a cutover, in the schema `toban_live`: how far it is, up to where the log is applied,
//! which tables are to be copied again. The position is committed with the rows that it stands for.

use super::record::LogEntries;
use crate::model::{Action, Mode, Plan};
pub(crate) use crate::target::fence::LIVE_SCHEMA as SCHEMA;
use postgres::Client;
use toban_core::pg::quote_literal;
use toban_core::{Context, Error, Kind, Result};

/// How far a cutover is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LivePhase {
    /// The application writes to SQLite; its changes are applied.
    Following,
    /// Everything is applied and compared; the application writes to neither.
    Proven,
    /// The application writes to PostgreSQL, and the changes are logged for the way back.
    Switched,
    /// The application writes to SQLite again.
    FellBack,
}

impl LivePhase {
    const ALL: [LivePhase; 4] =
        [LivePhase::Following, LivePhase::Proven, LivePhase::Switched, LivePhase::FellBack];

    /// Its name in records, and in the table.
    pub(crate) fn name(self) -> &'static str {
        match self {
            LivePhase::Following => "following",
            LivePhase::Proven => "proven",
            LivePhase::Switched => "switched",
            LivePhase::FellBack => "fell back",
        }
    }
}

/// A cutover into one schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LiveState {
    pub(crate) uuid: String,
    /// Device and number of the file.
    pub(crate) identity: String,
    pub(crate) phase: LivePhase,
    /// The newest entry of the log that is applied.
    pub(crate) position: i64,
    /// The entry up to which everything was compared before the fence.
    pub(crate) proven: Option<i64>,
}

/// The tables of this schema of ours.
const TABLES: &str = "create schema if not exists toban_live; \
    create table if not exists toban_live.cutover (target text primary key, uuid text not null, identity text not null, \
      phase text not null, position bigint not null, proven bigint, changed timestamptz not null default now()); \
    create table if not exists toban_live.recopied (target text, source text, why text not null, changed boolean not null, \
      primary key (target, source)); \
    create table if not exists toban_live.restored (target text, at bigint generated always as identity, statement text, \
      afterwards text)";

/// The plan of the run whose copy is followed.
///
/// # Errors
/// Usage when no run made a copy in the schema, or it added rows to others, or left out rows by what other rows say; those of the server.
pub(crate) fn read_plan(client: &mut Client, schema: &str) -> Result<Plan> {
    let doing = || "read the plan of the copy".to_string();
    let none = || {
        Error::usage(format!("no copy of this file is recorded in the schema {schema}"))
            .hint("copy it first: sqlite-to-pg run DB --to CONNINFO")
    };
    let there = "select to_regclass('toban_undo.plan') is not null";
    if !client.query_one(there, &[]).doing(doing)?.get::<_, bool>(0) {
        return Err(none());
    }
    let row =
        client.query_opt("select plan from toban_undo.plan where target = $1", &[&schema]).doing(doing)?;
    let text: String = row.ok_or_else(none)?.get(0);
    let plan: Plan = toml::from_str(&text).doing(doing)?;
    // Whether a row has a parent changes with the parent, and the log names the parent's key alone.
    if let Some(table) = plan.tables.iter().find(|t| !t.orphans.is_empty()) {
        let what = format!("rows of {} without a parent were changed or left out by the copy", table.source);
        return Err(Error::usage(format!("{what}: which these are is not followed")).hint(
            "correct them in the file before the capture, or copy with --orphans keep: run --undo --even-if-changed, run",
        ));
    }
    let mixed = |a: Action| matches!(a, Action::Append | Action::Upsert | Action::SkipExisting);
    match plan.tables.iter().find(|t| plan.mode == Mode::Existing && mixed(t.action)) {
        None => Ok(plan),
        Some(table) => Err(Error::usage(format!(
            "the copy of {} stands among rows of another origin, and which are whose cannot be told",
            table.source
        ))
        .hint("copy into empty tables, with --existing refuse or truncate")),
    }
}

/// The state; none before the first sync.
///
/// # Errors
/// Those of the server.
pub(crate) fn find_state(client: &mut Client, schema: &str) -> Result<Option<LiveState>> {
    let doing = || "read the state of the cutover".to_string();
    let there = "select to_regclass('toban_live.cutover') is not null";
    if !client.query_one(there, &[]).doing(doing)?.get::<_, bool>(0) {
        return Ok(None);
    }
    let sql = "select uuid, identity, phase, position, proven from toban_live.cutover where target = $1";
    let Some(row) = client.query_opt(sql, &[&schema]).doing(doing)? else { return Ok(None) };
    let name: String = row.get(2);
    let phase = LivePhase::ALL.into_iter().find(|p| p.name() == name);
    let phase =
        phase.ok_or_else(|| Error::failed(format!("toban_live.cutover has an unknown phase: {name}")))?;
    Ok(Some(LiveState {
        uuid: row.get(0),
        identity: row.get(1),
        phase,
        position: row.get(3),
        proven: row.get(4),
    }))
}

/// Makes the tables of ours, where they are not there yet.
///
/// # Errors
/// Those of the server.
pub(crate) fn make_tables(client: &mut Client) -> Result<()> {
    client.batch_execute(TABLES).doing(|| format!("make the schema {SCHEMA}"))
}

/// Writes the state, in the transaction that is open.
///
/// # Errors
/// Those of the server.
pub(crate) fn write_state(client: &mut Client, schema: &str, state: &LiveState) -> Result<()> {
    let sql = "insert into toban_live.cutover (target, uuid, identity, phase, position, proven) \
               values ($1, $2, $3, $4, $5, $6) on conflict (target) do update set uuid = excluded.uuid, \
               identity = excluded.identity, phase = excluded.phase, position = excluded.position, \
               proven = excluded.proven, changed = now()";
    let LiveState { uuid, identity, phase, position, proven } = state;
    client
        .execute(sql, &[&schema, uuid, identity, &phase.name(), position, proven])
        .doing(|| "write the state of the cutover".into())
        .map(drop)
}

/// A table that is copied again at the fence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RecopiedTable {
    /// Its name in SQLite.
    pub(crate) source: String,
    pub(crate) why: String,
    /// It may have changed since the copy.
    pub(crate) changed: bool,
}

/// Notes that a table is copied again; what has changed stays changed, and the first reason is kept.
///
/// # Errors
/// Those of the server.
pub(crate) fn note_recopied(client: &mut Client, schema: &str, table: &RecopiedTable) -> Result<()> {
    let sql = "insert into toban_live.recopied as r (target, source, why, changed) values ($1, $2, $3, $4) \
               on conflict (target, source) do update set changed = r.changed or excluded.changed";
    client
        .execute(sql, &[&schema, &table.source, &table.why, &table.changed])
        .doing(|| "note a table to be copied again".into())
        .map(drop)
}

/// All of them.
///
/// # Errors
/// Those of the server.
pub(crate) fn read_recopied(client: &mut Client, schema: &str) -> Result<Vec<RecopiedTable>> {
    let sql = "select source, why, changed from toban_live.recopied where target = $1 order by source";
    let rows = client.query(sql, &[&schema]).doing(|| "read which tables are copied again".into())?;
    Ok(rows.iter().map(|r| RecopiedTable { source: r.get(0), why: r.get(1), changed: r.get(2) }).collect())
}

/// Forgets everything about a schema.
///
/// # Errors
/// Those of the server.
pub(crate) fn forget_tables(client: &mut Client, schema: &str) -> Result<()> {
    let quoted = quote_literal(schema);
    let tables = ["cutover", "recopied", "restored"];
    let sql: String =
        tables.iter().map(|t| format!("delete from {SCHEMA}.{t} where target = {quoted}; ")).collect();
    client.batch_execute(&sql).doing(|| "forget the cutover".into())
}

/// The same, and our own schema goes with the last.
///
/// # Errors
/// Those of the server.
pub(crate) fn forget_cutover(client: &mut Client, schema: &str) -> Result<()> {
    let doing = || "forget the cutover".to_string();
    forget_tables(client, schema)?;
    let others = "select exists (select from toban_live.cutover)";
    if !client.query_one(others, &[]).doing(doing)?.get::<_, bool>(0) {
        client.batch_execute(&format!("drop schema {SCHEMA} cascade")).doing(doing)?;
    }
    Ok(())
}

/// That the file and the copy belong together.
///
/// # Errors
/// Findings for another file of the name, an older copy of it, or entries that are gone: then what is applied is not
/// known.
pub(crate) fn check_same(state: &LiveState, identity: &str, entries: LogEntries) -> Result<()> {
    let refuse = |what: String| {
        Err(Error::new(Kind::Findings, what)
            .hint("begin again: capture --stop, capture, run --undo --even-if-changed, run, sync"))
    };
    if state.identity != identity {
        return refuse("the file is another one than before: it was moved, restored or replaced".into());
    }
    let LogEntries { oldest, newest } = entries;
    if newest < state.position {
        return refuse(format!(
            "the file's log ends at {newest}, and {} is applied already: an older copy was restored",
            state.position
        ));
    }
    // What is applied is deleted but for its newest entry: another copy has applied these, or this one was restored.
    if state.position > 0 && oldest > state.position + 1 {
        return refuse(format!(
            "the file's log begins at {oldest}, and only up to {} is applied: the entries between were applied to another copy",
            state.position
        ));
    }
    Ok(())
}
