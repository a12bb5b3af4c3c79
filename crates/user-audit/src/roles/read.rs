//! What the catalogs say of roles, memberships and sessions.

use super::graph::{Grant, Graph, Role};
use super::seen::Connections;
use jiff::Timestamp;
use postgres::Transaction;
use toban_core::{Context, Result};

/// Roles and memberships; every role may read them.
///
/// # Errors
/// Those of the server.
pub(crate) fn read_graph(transaction: &mut Transaction<'_>) -> Result<Graph> {
    let doing = || "read the roles".to_string();
    let sql = "select current_setting('server_version_num')::int4 / 10000, datdba from pg_database \
               where datname = current_database()";
    let row = transaction.query_one(sql, &[]).doing(doing)?;
    let major = u32::try_from(row.get::<_, i32>(0)).unwrap_or_default();
    let mut graph = Graph { major, database_owner: Some(row.get(1)), ..Graph::default() };
    let sql = "select oid, rolname::text, rolsuper, rolinherit, rolcreaterole, rolcreatedb, rolcanlogin, rolreplication, \
               rolbypassrls from pg_roles";
    for row in transaction.query(sql, &[]).doing(doing)? {
        let role = Role {
            name: row.get(1),
            superuser: row.get(2),
            inherit: row.get(3),
            createrole: row.get(4),
            createdb: row.get(5),
            login: row.get(6),
            replication: row.get(7),
            bypassrls: row.get(8),
        };
        graph.roles.insert(row.get(0), role);
    }
    let options = if major >= 16 { "inherit_option, set_option" } else { "true, true" };
    let sql = format!("select member, roleid, admin_option, {options} from pg_auth_members");
    for row in transaction.query(sql.as_str(), &[]).doing(doing)? {
        graph.grant(
            row.get(0),
            row.get(1),
            Grant { admin: row.get(2), inherit: row.get(3), set: row.get(4) },
        );
    }
    Ok(graph)
}

/// Adds the sessions that are there, but ours; another's role is seen by everybody.
///
/// # Errors
/// Those of the server.
pub(crate) fn read_sessions(transaction: &mut Transaction<'_>, seen: &mut Connections) -> Result<()> {
    // When a session began only pg_read_all_stats sees; that it is there, and what it calls itself, everybody does.
    let sql = "select usename::text, (extract(epoch from coalesce(backend_start, now())) * 1000000)::int8, application_name \
               from pg_stat_activity where usename is not null and pid <> pg_backend_pid() \
               and coalesce(backend_type, 'client backend') in ('client backend', 'walsender')";
    for row in transaction.query(sql, &[]).doing(|| "read the sessions".into())? {
        let at = Timestamp::from_microsecond(row.get(1)).unwrap_or_default();
        let program: Option<String> = row.get(2);
        seen.add(row.get(0), at, "a session that is there now", program.as_deref());
    }
    Ok(())
}
