//! Who has not been seen for long: what logs, sessions and a table of logins know together.

use super::advice::{Advisor, Change, quote_name};
use super::graph::Graph;
use super::seen::{Connections, Last};
use super::{Needs, ask_or_skip, read};
use crate::audit::Ledger;
use crate::finding::AuditFinding;
use crate::mapping::Name;
use crate::rulebook::roles;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use postgres::Transaction;
use std::path::PathBuf;
use toban_core::{Context, Result, Severity};

/// What a pooler calls itself. Behind one a role stands for many people.
const POOLERS: [&str; 6] = ["pgbouncer", "pgcat", "odyssey", "pgpool", "supavisor", "rds proxy"];
const BY_TABLE: &str = "the table of logins to this database";

/// Where to look, and since when nobody is missed.
#[derive(Debug)]
pub(super) struct Sources<'a> {
    pub(super) logs: &'a [PathBuf],
    pub(super) table: Option<&'a str>,
    pub(super) unused: SignedDuration,
    pub(super) now: Timestamp,
    pub(super) advisor: Advisor,
}

/// Tells of each role that can log in when it was seen, by which source; and which of them nobody uses.
pub(super) fn judge_last_use(
    transaction: &mut Transaction<'_>,
    sources: &mut Sources<'_>,
    graph: &Graph,
    ledger: &mut Ledger<'_>,
) -> Result<()> {
    let row = transaction
        .query_one("select current_setting('log_timezone')", &[])
        .doing(|| "ask for log_timezone".into())?;
    let zone = TimeZone::get(row.get(0)).unwrap_or(TimeZone::UTC);
    let mut seen = Connections::read_logs(sources.logs, &zone)?;
    read::read_sessions(transaction, &mut seen)?;
    if let Some(table) = sources.table {
        let seen_by_table = read_login_table(transaction, table, graph.major, ledger)?;
        for (role, at) in seen_by_table {
            seen.add(&role, at, BY_TABLE, None);
        }
    }
    // A table of logins knows one database alone: only a server's log can say that somebody was nowhere.
    let reach = seen.since.is_some_and(|since| sources.now.duration_since(since) >= sources.unused);
    for (oid, role) in graph.roles.iter().filter(|(_, r)| r.login) {
        let mut finding = judge_role(&role.name, seen.last(&role.name), reach, sources);
        if finding.base.rule == &roles::ROLE_UNUSED {
            let advice = format!("alter role {} nologin", quote_name(&role.name));
            finding = finding.advise(sources.advisor.advise_change(Change::NoLogin(*oid), advice));
        }
        ledger.add(finding)?;
    }
    Ok(())
}

/// When each role logged in last, by the table that a login event trigger fills.
fn read_login_table(
    transaction: &mut Transaction<'_>,
    table: &str,
    major: u32,
    ledger: &mut Ledger<'_>,
) -> Result<Vec<(String, Timestamp)>> {
    let sql = "select count(*) from pg_event_trigger where evtevent = 'login' and evtenabled in ('O', 'A')";
    let row = transaction.query_one(sql, &[]).doing(|| "look for a login trigger".into())?;
    // A table that no trigger fills is as it was one day: taken for the truth, it would call roles unused that log in
    // daily.
    if row.get::<_, i64>(0) == 0 {
        let why = if major < 17 { "PostgreSQL has them from 17 on" } else { "the table grows no more" };
        let finding = AuditFinding::new(&roles::SKIPPED, "login-table", table, Severity::Unknown);
        ledger.add(
            finding
                .says(format!("not read: this database has no login trigger that is enabled; {why}"))
                .advise("docs/guide/audit.md has the trigger; or leave --login-table out"),
        )?;
        return Ok(Vec::new());
    }
    let name = Name::Dotted(if table.contains('.') { table.into() } else { format!("public.{table}") });
    let sql = format!("select role::text, (extract(epoch from last_at) * 1000000)::int8 from {name}");
    let needs = format!("grant select on {name} to it");
    let rows = ask_or_skip(transaction, Needs { check: "login-table", grants: &needs }, ledger, |t| {
        t.query(sql.as_str(), &[])
    })
    .map_err(|e| e.hint("--login-table [SCHEMA.]TABLE names a table with the columns role and last_at"))?;
    let at = |micros| Timestamp::from_microsecond(micros).unwrap_or_default();
    Ok(rows.unwrap_or_default().iter().map(|row| (row.get(0), at(row.get(1)))).collect())
}

fn judge_role(role: &str, last: Option<&Last>, reach: bool, sources: &Sources<'_>) -> AuditFinding {
    let finding = |rule, severity| AuditFinding::new(rule, role, role, severity).since(last.map(|l| l.at));
    let days = sources.unused.as_secs() / 86400;
    match last {
        Some(last) if sources.now.duration_since(last.at) <= sources.unused => finding(
            &roles::ROLE_SEEN,
            Severity::Ok,
        )
        .says(format!("last seen by {}{}", last.source, list_programs(last))),
        // Silence counts only where the log reaches back as far as the span that is asked for.
        last if !reach => {
            let seen = last.map_or("not seen".to_string(), |l| format!("seen long ago by {}", l.source));
            finding(&roles::ROLE_SEEN, Severity::Ok).says(format!(
                "{seen}; no log given with --log reaches back {days} days, so that says nothing"
            ))
        }
        _ => finding(&roles::ROLE_UNUSED, Severity::Warning)
            .says(format!("the logs have not seen it for {days} days"))
            .cis(&["4.4"]),
    }
}

fn list_programs(last: &Last) -> String {
    let names: Vec<&str> = last.programs.iter().map(String::as_str).collect();
    let pooled = |name: &&str| POOLERS.iter().any(|p| name.to_lowercase().contains(p));
    match names.iter().find(|n| pooled(n)) {
        _ if names.is_empty() => String::new(),
        Some(pooler) => format!(", by {}; behind {pooler} one role stands for many people", names.join(", ")),
        None => format!(", by {}", names.join(", ")),
    }
}
