//! Sessions: how many of what ordinary roles may have, and those that keep others waiting.

use super::{Memory, PgServer, number, query_rows, text};
use crate::damping::{AT_ONCE, SESSIONS};
use crate::reading::{Limits, Measure, Reading, percent, seconds};
use crate::rules;
use postgres::Transaction;
use toban_core::config::Span;
use toban_core::{Result, Severity};

/// Sessions that are named.
const NAMED: usize = 3;

fn limit(span: Option<Span>, default: f64) -> f64 {
    span.map_or(default, |span| span.0.as_secs_f64())
}

/// What is reserved is not for those who would be refused; and walsenders, workers and autovacuum have slots of their own.
const CAPACITY: &str = "\
    select (current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int \
            - coalesce(current_setting('reserved_connections', true), '0')::int)::float8, \
           (select count(*) from pg_stat_activity where backend_type = 'client backend')::float8";

/// Sessions of the capacity of ordinary roles. `numbackends` of one database would miss the others.
pub(super) fn check_connections(
    server: &PgServer<'_>,
    transaction: &mut Transaction<'_>,
    _: &mut Memory<'_>,
) -> Result<Vec<Reading>> {
    let rows = query_rows(transaction, CAPACITY)?;
    let cell = |at| rows.first().and_then(|row| number(row, at)).unwrap_or(0.0);
    Ok(vec![judge_connections(cell(1), cell(0), server.check.settings.connections.limits(80.0, 90.0))])
}

fn judge_connections(used: f64, capacity: f64, limits: Limits) -> Reading {
    let part = if capacity > 0.0 { used / capacity } else { 1.0 };
    let measure = Measure::new(part, "ratio").judged_by(limits).seen_by("server");
    let text = format!("{used} of {capacity} sessions of ordinary roles ({})", percent(part));
    Reading::of_measure(&rules::PG_CONNECTIONS, measure, text).damped_by(&SESSIONS)
}

const LIMITED: &str = "\
    select 'role ' || r.rolname, r.rolconnlimit::float8, count(a.pid)::float8 \
      from pg_roles r join pg_stat_activity a on a.usesysid = r.oid and a.backend_type = 'client backend' \
     where r.rolconnlimit > 0 and not r.rolsuper group by r.rolname, r.rolconnlimit \
    union all \
    select 'database ' || d.datname, d.datconnlimit::float8, count(a.pid)::float8 \
      from pg_database d join pg_stat_activity a on a.datid = d.oid and a.backend_type = 'client backend' \
     where d.datconnlimit > 0 group by d.datname, d.datconnlimit";

/// Limits of their own of roles and databases.
pub(super) fn check_limits(
    _: &PgServer<'_>,
    transaction: &mut Transaction<'_>,
    _: &mut Memory<'_>,
) -> Result<Vec<Reading>> {
    let rows = query_rows(transaction, LIMITED)?;
    let judge = |row: &postgres::Row| {
        let (limit, used) = (number(row, 1)?, number(row, 2)?);
        let limits = Limits::of_percent(80.0, 100.0);
        let measure = Measure::new(used / limit, "ratio").judged_by(limits).seen_by("server");
        let said = format!("{used} of its own limit of {limit} sessions");
        let reading = Reading::of_measure(&rules::PG_LIMIT, measure, said).damped_by(&SESSIONS);
        Some(reading.about(text(row, 0)))
    };
    Ok(rows.iter().filter_map(judge).collect())
}

/// Only what somebody at a client left open: walsenders of a base backup are in a transaction for hours.
const OPEN: &str = "\
    select format('pid %s, %s in %s', pid, usename, datname), state like 'idle in transaction%', \
           extract(epoch from clock_timestamp() - state_change)::float8, \
           extract(epoch from clock_timestamp() - xact_start)::float8 \
      from pg_stat_activity where backend_type = 'client backend' and xact_start is not null and pid <> pg_backend_pid() \
     order by xact_start";

/// Transactions that are open for long, and those in which nothing happens.
pub(super) fn check_transactions(
    server: &PgServer<'_>,
    transaction: &mut Transaction<'_>,
    _: &mut Memory<'_>,
) -> Result<Vec<Reading>> {
    let rows = query_rows(transaction, OPEN)?;
    let settings = server.check.settings;
    let (idle, long) = (limit(settings.idle_in_transaction, 300.0), limit(settings.transaction, 3600.0));
    let is_idle = |row: &&postgres::Row| row.try_get::<_, Option<bool>>(1).ok().flatten() == Some(true);
    let ages = |column: usize, only_idle: bool| -> Vec<(String, f64)> {
        let rows = rows.iter().filter(|row| !only_idle || is_idle(row));
        rows.filter_map(|row| Some((text(row, 0), number(row, column)?))).collect()
    };
    Ok(vec![
        judge_oldest(&rules::PG_IDLE, ages(2, true), idle),
        judge_oldest(&rules::PG_LONG, ages(3, false), long),
    ])
}

/// A warning with the oldest ones, when they are older than the limit.
fn judge_oldest(rule: &'static toban_core::check::Rule, mut ages: Vec<(String, f64)>, limit: f64) -> Reading {
    ages.sort_by(|a, b| b.1.total_cmp(&a.1));
    let oldest = ages.first().map_or(0.0, |(_, age)| *age);
    let measure = Measure { warning: Some(limit), ..Measure::new(oldest, "s").seen_by("server") };
    let over: Vec<String> = ages
        .iter()
        .filter(|(_, age)| *age >= limit)
        .map(|(who, age)| format!("{who}: {}", seconds(*age)))
        .collect();
    let more = over.len().saturating_sub(NAMED);
    let rest = if more > 0 { format!("; and {more} more") } else { String::new() };
    let text = match over.is_empty() {
        true => format!("the oldest of {}", seconds(oldest)),
        false => format!("{}{rest}", over[..over.len().min(NAMED)].join("; ")),
    };
    Reading::of_measure(rule, measure, text).damped_by(&AT_ONCE)
}

/// `waitstart` is there since 14, and tells since when a lock is waited for, not since when a query runs.
const BLOCKED: &str = "\
    select format('pid %s waits for pid %s', l.pid, array_to_string(pg_blocking_pids(l.pid), ', ')), \
           extract(epoch from clock_timestamp() - min(l.waitstart))::float8 \
      from pg_locks l where not l.granted and l.waitstart is not null group by l.pid";

/// Sessions that wait for a lock.
pub(super) fn check_blocked(
    server: &PgServer<'_>,
    transaction: &mut Transaction<'_>,
    _: &mut Memory<'_>,
) -> Result<Vec<Reading>> {
    let rows = query_rows(transaction, BLOCKED)?;
    let waits = rows.iter().filter_map(|row| Some((text(row, 0), number(row, 1)?))).collect();
    let mut reading = judge_oldest(&rules::PG_BLOCKED, waits, limit(server.check.settings.blocked, 60.0));
    if rows.is_empty() && reading.severity == Severity::Ok {
        reading.text = "no session waits for a lock".into();
    }
    Ok(vec![reading])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_are_counted_against_what_ordinary_roles_may_have() {
        let limits = Limits::of_percent(80.0, 90.0);
        for (used, capacity, severity) in [
            (0.0, 100.0, Severity::Ok),
            (79.0, 100.0, Severity::Ok),
            (80.0, 100.0, Severity::Warning),
            (89.0, 100.0, Severity::Warning),
            (90.0, 100.0, Severity::Critical),
            (27.0, 27.0, Severity::Critical),
            (1.0, 0.0, Severity::Critical),
        ] {
            assert_eq!(judge_connections(used, capacity, limits).severity, severity, "{used}/{capacity}");
        }
    }

    #[test]
    fn the_oldest_are_named_and_the_others_counted() {
        let ages = (0..5).map(|n| (format!("pid {n}"), 100.0 * f64::from(n))).collect::<Vec<_>>();
        let reading = judge_oldest(&rules::PG_LONG, ages.clone(), 100.0);
        assert_eq!(reading.severity, Severity::Warning);
        assert_eq!(reading.text, "pid 4: 6min; pid 3: 5min; pid 2: 3min; and 1 more");
        assert_eq!(judge_oldest(&rules::PG_LONG, ages, 500.0).severity, Severity::Ok);
        assert_eq!(judge_oldest(&rules::PG_LONG, Vec::new(), 500.0).severity, Severity::Ok);
    }
}
