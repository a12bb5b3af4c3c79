//! `roles`: PostgreSQL's own roles.

mod checks;
pub mod graph;
mod hba;
mod passwords;
mod read;
mod seen;

use crate::audit::{self, Ledger};
use crate::cli;
use crate::finding::{Access, Finding};
use crate::rulebook;
use crate::settings::{self, Settings};
use crate::source::{Pg, Place, Rows};
use checks::{CHECKS, Check};
use graph::Graph;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use postgres::Transaction;
use seen::Seen;
use toban_core::config::Config;
use toban_core::{Context, Out, Result, Severity};

/// Rules that no query of [`CHECKS`] makes.
const RULES: [&str; 17] = [
    "skipped",
    "password-md5",
    "password-low-iterations",
    "password-unknown-kind",
    "password-none",
    "password-expired",
    "password-expires",
    "role-seen",
    "role-unused",
    "hba-trust",
    "hba-password",
    "hba-md5",
    "hba-ident",
    "hba-cleartext",
    "hba-wide",
    "hba-superuser-remote",
    "hba-error",
];
const MORE_RULES: [&str; 2] = ["hba-unreachable", "hba-not-loaded"];

/// Every rule of this verb but the rights themselves.
pub(crate) fn rules() -> impl Iterator<Item = &'static str> {
    RULES.into_iter().chain(MORE_RULES).chain(CHECKS.iter().map(|c| c.rule))
}

/// Runs the verb.
pub(crate) fn run(args: &cli::Roles, config: &Config, out: &mut Out<'_>) -> Result<()> {
    let settings = settings::read(config)?;
    let places = audit::places(&args.scope, config, false)?;
    let allow = settings.allow.clone();
    audit::run("roles", &args.scope, config, allow, out, places, |place, ledger| match place {
        Place::Pg(to) => {
            one(&mut Pg::begin(&mut to.connect()?, args.scope.timeout)?, args, &settings, ledger)
        }
        Place::Sqlite(_) => unreachable!("places() takes none for this verb"),
    })
}

fn one(pg: &mut Pg<'_>, args: &cli::Roles, settings: &Settings, ledger: &mut Ledger<'_, '_>) -> Result<()> {
    pg.transaction()
        .batch_execute("set local search_path = pg_catalog")
        .doing(|| "prepare the session".into())?;
    let identity = pg.identity().to_string();
    let now = args.scope.at.now();
    let transaction = pg.transaction();
    let graph = read::graph(transaction)?;
    ledger.compare(&identity, access(&graph))?;
    let span = |s: toban_core::config::Span| SignedDuration::try_from(s.0).unwrap_or(SignedDuration::MAX);
    passwords::judge(transaction, now, span(args.expiry_warning), ledger)?;
    hba_rules(transaction, &graph, ledger)?;
    for check in &CHECKS {
        query(transaction, check, ledger)?;
    }
    let unused = args.unused.or(settings.unused).map_or(SignedDuration::from_hours(90 * 24), span);
    last_seen(transaction, (&args.log, unused, now), &graph, ledger)
}

/// Every right that a role which can log in comes to, and what other roles hold themselves.
fn access(graph: &Graph) -> Vec<Access> {
    let mut held = Vec::new();
    for (oid, role) in &graph.roles {
        let own = role.superuser || role.bypassrls || role.replication || role.createrole || role.createdb;
        if !role.login && !own {
            continue;
        }
        let acts = graph.acts(*oid);
        let mut all = false;
        for right in rulebook::rights() {
            let Some(path) = acts.path(right) else { continue };
            // What a role without login comes to by others is told of whoever logs in; and whoever comes to
            // superuser may do the rest, of which only his own is told.
            if path != role.name && (!role.login || all) {
                continue;
            }
            all |= right == "superuser";
            held.push(Access {
                subject: format!("role/{oid}"),
                name: role.name.clone(),
                right: right.into(),
                path,
            });
            if role.superuser {
                break;
            }
        }
    }
    held
}

/// Runs `ask` so that a refusal ends this check alone: None, and a finding that names the missing grant.
fn asked<T>(
    transaction: &mut Transaction<'_>,
    (check, needs): (&str, &str),
    ledger: &mut Ledger<'_, '_>,
    ask: impl FnOnce(&mut Transaction<'_>) -> Result<T, postgres::Error>,
) -> Result<Option<T>> {
    let mut inner = transaction.transaction().doing(|| "set a savepoint".into())?;
    let refused = match ask(&mut inner) {
        Ok(answer) => return Ok(Some(answer)),
        Err(e) if e.code().is_some_and(|c| c.code() == "42501") => e,
        Err(e) => return Err(e).doing(|| format!("check {check}")),
    };
    inner.rollback().doing(|| "roll back to the savepoint".into())?;
    let why = refused.as_db_error().map(|d| d.message().to_string()).unwrap_or_default();
    let finding = Finding::new("skipped", check, check, Severity::Unknown)
        .says(format!("not checked: {why}"))
        .advise(format!("the auditor's role needs: {needs}"));
    ledger.add(finding)?;
    Ok(None)
}

fn query(transaction: &mut Transaction<'_>, check: &Check, ledger: &mut Ledger<'_, '_>) -> Result<()> {
    let rows = asked(transaction, (check.rule, check.needs), ledger, |t| t.query(check.sql, &[]))?;
    for row in rows.unwrap_or_default() {
        let (object, said): (String, String) = (row.get(0), row.get(1));
        let key = object.replace(' ', "/");
        let finding = Finding::new(check.rule, &key, &object, check.severity);
        ledger.add(finding.says(said).advise(check.advice).cis(check.cis))?;
    }
    Ok(())
}

fn hba_rules(transaction: &mut Transaction<'_>, graph: &Graph, ledger: &mut Ledger<'_, '_>) -> Result<()> {
    let needs = "grant select on pg_hba_file_rules and execute on function pg_hba_file_rules() to it";
    let lines = asked(transaction, ("pg_hba.conf", needs), ledger, |t| read::hba(t, graph.major))?;
    hba::judge(&lines.unwrap_or_default(), graph).into_iter().try_for_each(|f| ledger.add(f))?;
    let needs = "pg_read_all_settings, and execute on function pg_stat_file(text)";
    let newer = asked(transaction, ("pg_hba.conf loaded", needs), ledger, |t| {
        t.query_one(
            "select (pg_stat_file(current_setting('hba_file'))).modification > pg_conf_load_time()",
            &[],
        )
    })?;
    if newer.is_some_and(|row| row.get(0)) {
        let finding = Finding::new("hba-not-loaded", "file", "pg_hba.conf", Severity::Warning);
        ledger.add(
            finding.says("it was changed after the server last read it").advise("select pg_reload_conf()"),
        )?;
    }
    Ok(())
}

/// Tells of each role that can log in when it was seen, by which source; and which of them nobody uses.
fn last_seen(
    transaction: &mut Transaction<'_>,
    (logs, unused, now): (&[std::path::PathBuf], SignedDuration, Timestamp),
    graph: &Graph,
    ledger: &mut Ledger<'_, '_>,
) -> Result<()> {
    let row = transaction
        .query_one("select current_setting('log_timezone')", &[])
        .doing(|| "ask for log_timezone".into())?;
    let zone = TimeZone::get(row.get(0)).unwrap_or(TimeZone::UTC);
    let mut seen = Seen::read(logs, &zone)?;
    read::sessions(transaction, &mut seen)?;
    let reach = seen.since.filter(|since| now.duration_since(*since) >= unused);
    for role in graph.roles.values().filter(|r| r.login) {
        ledger.add(seen_or_not(&role.name, &seen, reach.is_some(), unused, now))?;
    }
    Ok(())
}

fn seen_or_not(role: &str, seen: &Seen, logs_reach: bool, unused: SignedDuration, now: Timestamp) -> Finding {
    let finding = |rule, severity| Finding::new(rule, role, role, severity);
    let days = unused.as_secs() / 86400;
    match seen.last(role) {
        Some((at, source)) if now.duration_since(at) <= unused => {
            let certain = if source == "log" { "log_connections" } else { "a session that is there now" };
            finding("role-seen", Severity::Ok).since(Some(at)).says(format!("last seen by {certain}"))
        }
        _ if !logs_reach => finding("role-seen", Severity::Ok).says(format!(
            "not seen; no log given with --log reaches back {days} days, so that says nothing"
        )),
        last => finding("role-unused", Severity::Warning)
            .since(last.map(|(at, _)| at))
            .says(format!("the logs have not seen it for {days} days"))
            .advise("alter role … nologin")
            .cis(&["4.4"]),
    }
}
