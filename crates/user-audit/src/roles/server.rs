//! Which server this is, and what of it cannot be seen from here: that is named, and never taken for well.

use super::graph::Graph;
use crate::audit::Ledger;
use crate::finding::AuditFinding;
use crate::rulebook::{self, roles};
use postgres::Transaction;
use toban_core::pg::ConnInfo;
use toban_core::{Context, Result, Severity};

/// Tells the version and whether it is a standby, and names what is hidden.
///
/// # Errors
/// Those of the server.
pub(super) fn judge_server(
    transaction: &mut Transaction<'_>,
    to: &ConnInfo,
    graph: &Graph,
    ledger: &mut Ledger<'_>,
) -> Result<()> {
    let sql = "select current_setting('server_version'), pg_is_in_recovery(), current_setting('port')::int4, \
               inet_server_addr() is null";
    let row = transaction.query_one(sql, &[]).doing(|| "ask which server it is".into())?;
    let (version, standby, port, socket): (String, bool, i32, bool) =
        (row.get(0), row.get(1), row.get(2), row.get(3));
    let kind = if standby { "a standby" } else { "a primary" };
    ledger.add(
        AuditFinding::new(&roles::SERVER, "version", "server", Severity::Ok)
            .says(format!("PostgreSQL {version}, {kind}")),
    )?;
    let hidden = [
        standby.then(|| hidden_finding("primary", PRIMARY, "audit the primary too: user-audit roles --db …")),
        find_pooler(to, port, socket),
        find_provider(graph),
    ];
    hidden.into_iter().flatten().try_for_each(|f| ledger.add(f))
}

const PRIMARY: &str = "this is a standby: roles and grants are the primary's, but its pg_hba.conf, settings and sessions are its own";

/// A check that cannot be made from here.
fn hidden_finding(what: &'static str, why: &str, advice: &str) -> AuditFinding {
    AuditFinding::new(&roles::SKIPPED, what, what, Severity::Unknown)
        .says(format!("not seen: {why}"))
        .advise(advice)
}

/// The server listens elsewhere than where we knocked.
fn find_pooler(to: &ConnInfo, port: i32, socket: bool) -> Option<AuditFinding> {
    // The server says its own port and whether we came by its socket (inet_server_addr() is NULL then): a pooler or a
    // forwarded port hands the session on, and has users of its own.
    let direct = i32::from(to.port()) == port && to.is_socket() == socket;
    let why = format!(
        "who may log in to the pooler, the proxy or the forwarded port that leads here; we asked for port {}, and the server listens on {port}",
        to.port()
    );
    let advice = "audit its own list of users, and connect to the server itself";
    (!direct).then(|| hidden_finding("pooler", &why, advice))
}

/// A provider's role is there: then there is a provider.
fn find_provider(graph: &Graph) -> Option<AuditFinding> {
    let role = rulebook::PROVIDERS.iter().find(|name| graph.oid(name).is_some())?;
    let why =
        format!("this is a managed service ({role}): the provider's own superusers, networks and copies");
    Some(hidden_finding(
        "provider",
        &why,
        "audit them in the provider's console, then accept this with an [[accept]] entry",
    ))
}
