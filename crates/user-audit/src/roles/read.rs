//! What the catalogs say of roles, memberships, pg_hba.conf and sessions.

use super::graph::{Grant, Graph, Role};
use super::hba::Line;
use super::seen::Seen;
use jiff::Timestamp;
use postgres::Transaction;
use toban_core::{Context, Result};

/// Roles and memberships; every role may read them.
///
/// # Errors
/// Those of the server.
pub(crate) fn graph(transaction: &mut Transaction<'_>) -> Result<Graph> {
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

/// The rules in the order the server tries them.
///
/// # Errors
/// The server's own, so that a missing grant can be told.
pub(crate) fn hba(transaction: &mut Transaction<'_>, major: u32) -> Result<Vec<Line>, postgres::Error> {
    // From 16 on a file may include others.
    let place = match major >= 16 {
        true => "case when file_name = current_setting('hba_file', true) then '' else file_name || ' ' end",
        false => "''",
    };
    let sql = format!(
        "select {place} || 'line ' || line_number, type, database, user_name, address, netmask, auth_method, options, error \
         from pg_hba_file_rules"
    );
    let list = |cell: Option<Vec<String>>| cell.unwrap_or_default();
    let text = |cell: Option<String>| cell.unwrap_or_default();
    let line = |row: postgres::Row| Line {
        place: text(row.get(0)),
        kind: text(row.get(1)),
        databases: list(row.get(2)),
        users: list(row.get(3)),
        address: row.get(4),
        netmask: row.get(5),
        method: text(row.get(6)),
        options: list(row.get(7)),
        error: row.get(8),
    };
    Ok(transaction.query(sql.as_str(), &[])?.into_iter().map(line).collect())
}

/// Adds the sessions that are there, but ours; another's role is seen by everybody.
///
/// # Errors
/// Those of the server.
pub(crate) fn sessions(transaction: &mut Transaction<'_>, seen: &mut Seen) -> Result<()> {
    // When a session began only pg_read_all_stats sees; that it is there everybody does.
    let sql = "select usename::text, (extract(epoch from coalesce(max(backend_start), now())) * 1000000)::int8 \
               from pg_stat_activity where usename is not null and pid <> pg_backend_pid() \
               and coalesce(backend_type, 'client backend') in ('client backend', 'walsender') group by 1";
    for row in transaction.query(sql, &[]).doing(|| "read the sessions".into())? {
        let at = Timestamp::from_microsecond(row.get(1)).unwrap_or_default();
        seen.add(row.get(0), at, "pg_stat_activity");
    }
    Ok(())
}
