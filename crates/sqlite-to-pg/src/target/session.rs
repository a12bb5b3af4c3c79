//! Sessions of the target: settings, the lock of one run, what the role may do.

use crate::source::ranges::Range;
use postgres::Client;
use postgres::error::SqlState;
use toban_core::pg::{ConnInfo, Ident, literal};
use toban_core::{Context, Error, Result};

/// Settings of every session of ours. A lost commit costs nothing here: the last one of a run is durable again.
const SETTINGS: &str = "set synchronous_commit = off; set timezone = 'UTC'; set datestyle = 'ISO, MDY'; \
    set intervalstyle = 'postgres'; set extra_float_digits = 1; set bytea_output = 'hex'; \
    set statement_timeout = 0; set lock_timeout = 0; set idle_in_transaction_session_timeout = 0; \
    set client_min_messages = error; set maintenance_work_mem = '192MB'; set work_mem = '32MB'; \
    set row_security = off; set jit = off; set search_path = pg_catalog";

/// A session that is ready for work. A table that is called like one of the catalogue's must not stand before it.
///
/// # Errors
/// Those of the server.
pub(crate) fn open(to: &ConnInfo) -> Result<Client> {
    let mut client = to.connect()?;
    client.batch_execute(SETTINGS).doing(|| "prepare the session".into())?;
    Ok(client)
}

/// `n` of them.
///
/// # Errors
/// Those of the server.
pub(crate) fn several(to: &ConnInfo, n: usize) -> Result<Vec<Client>> {
    (0..n).map(|_| open(to)).collect()
}

/// Keeps two runs into one schema apart, as long as the session lasts.
///
/// # Errors
/// Retry, when another run has it.
pub(crate) fn lock(client: &mut Client, schema: &str) -> Result<()> {
    // The session of a run that was killed a moment ago may still be ending.
    let sql = format!(
        "set lock_timeout = '10s'; select pg_advisory_lock(hashtext('sqlite-to-pg'), hashtext({})); set lock_timeout = 0",
        literal(schema)
    );
    client.batch_execute(&sql).map_err(|e| match e.code() {
        Some(&SqlState::LOCK_NOT_AVAILABLE) => {
            Error::retry(format!("another run loads the schema {schema}")).hint("wait for it to end")
        }
        _ => Err::<(), _>(e).doing(|| "take the lock".into()).expect_err("it is an error"),
    })
}

/// That the target can be written to at all, before the source is read.
///
/// # Errors
/// Failed, with the statement that grants what is missing.
pub(crate) fn check(client: &mut Client, to: &ConnInfo) -> Result<()> {
    let sql = "select has_database_privilege(current_database(), 'CREATE'), current_setting('server_version_num')::int, \
               pg_is_in_recovery(), current_setting('server_encoding')";
    let row = client.query_one(sql, &[]).doing(|| "look at the target".into())?;
    let (may, version, standby): (bool, i32, bool) = (row.get(0), row.get(1), row.get(2));
    let encoding: String = row.get(3);
    if version < 140_000 {
        return Err(Error::failed("the target is older than PostgreSQL 14"));
    }
    if standby {
        return Err(
            Error::failed("the target is a standby, which nobody can write to").hint("name the primary")
        );
    }
    if encoding != "UTF8" {
        return Err(Error::failed(format!("the target's encoding is {encoding}, not UTF8"))
            .hint("create the database with: createdb --encoding=UTF8 --template=template0"));
    }
    if !may {
        let grant =
            format!("grant create on database {} to {}", Ident::new(to.dbname()), Ident::new(to.user()));
        return Err(
            Error::failed("the role may not create a schema, which the copy is prepared in").hint(grant)
        );
    }
    Ok(())
}

/// A part of a table in words, for errors.
pub(crate) fn part(table: &str, range: Range) -> String {
    match range {
        Some((low, high)) => format!("{table} ({low} to {high})"),
        None => table.to_string(),
    }
}
