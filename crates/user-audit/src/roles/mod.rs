//! `roles`: PostgreSQL's own roles.

mod advice;
mod checks;
pub mod graph;
mod hba;
mod last;
mod passwords;
mod read;
mod seen;
mod server;
mod twins;

use crate::audit::{self, Ledger};
use crate::cli;
use crate::finding::{Access, AuditFinding};
use crate::population::Row;
use crate::rulebook::{self, roles};
use crate::settings::{self, Settings};
use crate::source::{AuditTarget, Pg, RowSource};
use advice::Advisor;
use checks::{CHECKS, CatalogCheck};
use graph::Graph;
use jiff::SignedDuration;
use last::Sources;
use postgres::Transaction;
use std::collections::BTreeMap;
use toban_core::config::Config;
use toban_core::pg::ConnInfo;
use toban_core::{Context, Out, Result, Severity};

/// Runs the verb.
pub(crate) fn audit_roles(args: &cli::Roles, config: &Config, out: &mut Out<'_>) -> Result<()> {
    let settings = settings::read_settings(config)?;
    let places = audit::list_places(&args.scope, config, false)?;
    seen::check_readable(&args.log)?;
    let parameters = serde_json::json!({
        "unused": unused_after(args, &settings).to_string(),
        "expiry_warning": args.expiry_warning.to_string(),
        "review_every": settings.review_every(&args.scope).to_string(),
        "logs": args.log,
        "login_table": args.login_table,
        "from": args.from,
    });
    let audit =
        audit::Audit { verb: "roles", scope: &args.scope, config, settings: &settings, places, parameters };
    audit.run(out, &mut |place, ledger| match place {
        AuditTarget::Pg(to) => {
            let (mut client, to) = to.connect_here()?;
            audit_cluster(&mut Pg::begin_read(&mut client, args.scope.timeout)?, &to, args, &settings, ledger)
        }
        AuditTarget::Sqlite(_) => unreachable!("places() takes none for this verb"),
    })
}

fn unused_after(args: &cli::Roles, settings: &Settings) -> SignedDuration {
    args.unused.or(settings.unused).map_or(SignedDuration::from_hours(90 * 24), to_signed)
}

fn to_signed(s: toban_core::config::Span) -> SignedDuration {
    SignedDuration::try_from(s.0).unwrap_or(SignedDuration::MAX)
}

fn audit_cluster(
    pg: &mut Pg<'_>,
    to: &ConnInfo,
    args: &cli::Roles,
    settings: &Settings,
    ledger: &mut Ledger<'_>,
) -> Result<()> {
    // What search_path finds first must be PostgreSQL's own: the audited database may hold functions of the same names.
    pg.transaction()
        .batch_execute("set local search_path = pg_catalog")
        .doing(|| "prepare the session".into())?;
    let identity = pg.identity().to_string();
    let now = args.scope.at.now();
    ledger.set_facts(&pg.read_facts()?);
    // Roles belong to the cluster: what was told of them for one database of it need not be told for the next.
    ledger.of_cluster(match identity.split_once('/') {
        Some(("unknown", _)) | None => format!("{}:{}", to.host(), to.port()),
        Some((cluster, _)) => cluster.into(),
    });
    let transaction = pg.transaction();
    let graph = read::read_graph(transaction)?;
    let mut advisor = Advisor::new(&graph);
    list_roles(&graph).iter().try_for_each(|row| ledger.add_account(row))?;
    ledger.compare_with_review(&identity, now, list_access(&graph, &mut advisor))?;
    server::judge_server(transaction, to, &graph, ledger)?;
    let ends =
        passwords::Ends { now, warning: to_signed(args.expiry_warning), graph: &graph, advisor: &advisor };
    let passwords = passwords::judge_passwords(transaction, &ends, ledger)?;
    let input = hba::HbaInput { graph: &graph, passwords, from: args.from };
    hba::judge_hba(transaction, input, ledger)?;
    twins::judge_names(&graph, &advisor).into_iter().try_for_each(|f| ledger.add(f))?;
    for check in CHECKS.iter().filter(|c| c.since <= graph.major) {
        run_check(transaction, check, ledger)?;
    }
    let (unused, table) = (unused_after(args, settings), args.login_table.as_deref());
    let mut sources = Sources { logs: &args.log, table, unused, now, advisor };
    last::judge_last_use(transaction, &mut sources, &graph, ledger)
}

/// Every role with the memberships it has: what a review answers for. Rights are told by themselves.
fn list_roles(graph: &Graph) -> Vec<Row> {
    let name = |oid: &u32| graph.roles.get(oid).map_or_else(|| oid.to_string(), |r| r.name.clone());
    let own = graph.roles.iter().filter(|(_, r)| r.login || !r.name.starts_with("pg_"));
    let row = |(oid, role): (&u32, &graph::Role)| Row {
        subject: format!("role/{oid}"),
        name: role.name.clone(),
        state: if role.login { "login" } else { "no login" }.into(),
        administrator: role.superuser,
        roles: graph.grants.get(oid).into_iter().flat_map(BTreeMap::keys).map(name).collect(),
        ..Row::default()
    };
    own.map(row).collect()
}

/// Every right that a role which can log in comes to, and what other roles hold themselves.
fn list_access(graph: &Graph, advisor: &mut Advisor) -> Vec<Access> {
    let mut held = Vec::new();
    for (oid, role) in &graph.roles {
        let own = role.superuser || role.bypassrls || role.replication || role.createrole || role.createdb;
        if !role.login && !own {
            continue;
        }
        let acts = graph.acts(*oid);
        let mut all = false;
        for right in rulebook::names_of_rights() {
            let Some(path) = acts.path(&right) else { continue };
            // What a role without login comes to by others is told of whoever logs in; and whoever comes to
            // superuser may do the rest, of which only his own is told.
            if path != role.name && (!role.login || all) {
                continue;
            }
            all |= right == "superuser";
            held.push(Access {
                subject: format!("role/{oid}"),
                name: role.name.clone(),
                advice: advisor.advise_against(graph, *oid, &right),
                right,
                path,
            });
            if role.superuser {
                break;
            }
        }
    }
    held
}

/// A check, and what a role that is no superuser must be granted for it.
#[derive(Clone, Copy, Debug)]
struct Needs<'a> {
    check: &'a str,
    grants: &'a str,
}

/// Runs `ask` so that a refusal ends this check alone: None, and a finding that names the missing grant.
fn ask_or_skip<T>(
    transaction: &mut Transaction<'_>,
    Needs { check, grants }: Needs<'_>,
    ledger: &mut Ledger<'_>,
    ask: impl FnOnce(&mut Transaction<'_>) -> Result<T, postgres::Error>,
) -> Result<Option<T>> {
    // A refused query aborts the transaction; the savepoint keeps what the other checks have left of it. Only 42501
    // (insufficient_privilege) is an answer: any other error is one.
    let mut inner = transaction.transaction().doing(|| "set a savepoint".into())?;
    let refused = match ask(&mut inner) {
        Ok(answer) => return Ok(Some(answer)),
        Err(e) if e.code().is_some_and(|c| c.code() == "42501") => e,
        Err(e) => return Err(e).doing(|| format!("check {check}")),
    };
    inner.rollback().doing(|| "roll back to the savepoint".into())?;
    let why = refused.as_db_error().map(|d| d.message().to_string()).unwrap_or_default();
    let finding = AuditFinding::new(&roles::SKIPPED, check, check, Severity::Unknown)
        .says(format!("not checked: {why}"))
        .advise(format!("the auditor's role needs: {grants}"));
    ledger.add(finding)?;
    Ok(None)
}

fn run_check(transaction: &mut Transaction<'_>, check: &CatalogCheck, ledger: &mut Ledger<'_>) -> Result<()> {
    let rows = ask_or_skip(transaction, Needs { check: check.rule.id, grants: check.needs }, ledger, |t| {
        t.query(check.sql, &[])
    })?;
    for row in rows.unwrap_or_default() {
        let (object, said): (String, String) = (row.get(0), row.get(1));
        let key = object.replace(' ', "/");
        let finding = AuditFinding::new(check.rule, &key, &object, check.severity);
        ledger.add(finding.says(said).cis(check.cis))?;
    }
    Ok(())
}
