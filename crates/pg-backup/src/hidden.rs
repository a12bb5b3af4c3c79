//! What the server does not show to the role that dumps, and pg_dump leaves out without a word.

use postgres::GenericClient;
use toban_core::{Context, Result};

/// Warns of user mappings whose options, passwords among them, this role cannot read.
///
/// # Errors
/// When the server cannot be asked.
pub(crate) fn warn(client: &mut impl GenericClient, database: &str) -> Result<()> {
    // Who sees options: pg_user_mappings in PostgreSQL's manual, "System Views".
    let sql = "select format('%s on %s', m.usename, m.srvname) from pg_user_mappings m \
               join pg_foreign_server s on s.oid = m.srvid where m.umoptions is null \
               and not (select rolsuper from pg_roles where rolname = current_user) \
               and not (m.usename = current_user and has_server_privilege(s.oid, 'usage')) \
               and not (m.umuser = 0 and pg_has_role(s.srvowner, 'usage')) order by 1";
    let rows = client.query(sql, &[]).doing(|| format!("list the user mappings of {database}"))?;
    let hidden: Vec<String> = rows.iter().map(|r| r.get(0)).collect();
    if !hidden.is_empty() {
        log::warn!(
            "the dump of {database} lacks the options, such as passwords, of user mapping {}: a superuser alone sees them",
            hidden.join(", ")
        );
    }
    Ok(())
}
