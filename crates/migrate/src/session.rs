//! Sessions of the target: settings, the lock of one run, what the role may do.

use crate::pool;
use postgres::Client;
use postgres::error::SqlState;
use std::sync::mpsc::channel;
use std::time::Duration;
use toban_core::pg::pooler::{pools_transactions, query_backend};
use toban_core::pg::{ConnInfo, Ident, quote_literal};
use toban_core::{Context, Error, Result};

/// Settings of every session of ours. A lost commit costs nothing here: the last one of a run is durable again.
// A role or a database may have settings of its own. Times, intervals, floats and bytes are read back as text and
// must have one form; a statement_timeout would end a COPY of hours; with row_security off a policy that hides rows
// is an error and no smaller table (manual, "Row Security Policies").
const SETTINGS: &str = "set synchronous_commit = off; set timezone = 'UTC'; set datestyle = 'ISO, MDY'; \
    set intervalstyle = 'postgres'; set extra_float_digits = 1; set bytea_output = 'hex'; \
    set statement_timeout = 0; set lock_timeout = 0; set idle_in_transaction_session_timeout = 0; \
    set client_min_messages = error; set maintenance_work_mem = '192MB'; set work_mem = '32MB'; \
    set row_security = off; set jit = off; set search_path = pg_catalog";

/// A session that is ready for work. A table that is called like one of the catalogue's must not stand before it.
pub fn open_session(to: &ConnInfo) -> Result<Client> {
    prepare_session(to.connect()?)
}

fn prepare_session(mut client: Client) -> Result<Client> {
    client.batch_execute(SETTINGS).doing(|| "prepare the session".into())?;
    Ok(client)
}

/// How long a pool may take to give one more session.
const PATIENCE: Duration = Duration::from_secs(10);

/// `n` of them, or as many as the server gives: behind a pool of few sessions one more is never refused, it waits.
///
/// # Errors
/// Those of the server; Retry when there is not one.
pub fn open_sessions(to: &ConnInfo, n: usize) -> Result<Vec<Client>> {
    let mut clients = Vec::new();
    while clients.len() < n {
        match connect_within(to, open_session)? {
            Some(client) => clients.push(client),
            None if clients.is_empty() => return Err(no_second_session()),
            None => {
                log::warn!(
                    "the target gives no more than {} sessions: is a connection pool in between? --jobs {} asks for no more",
                    clients.len() + 1,
                    clients.len()
                );
                break;
            }
        }
    }
    Ok(clients)
}

fn no_second_session() -> Error {
    Error::retry("the target gives no second session: is a connection pool of one in between?")
        .hint("connect to PostgreSQL itself, or to a pool of at least three sessions")
}

/// What `connect` gives, or none when it takes too long. Its thread stays: nothing can wake it, and it ends with
/// the process.
pub fn connect_within(to: &ConnInfo, connect: fn(&ConnInfo) -> Result<Client>) -> Result<Option<Client>> {
    let (sender, receiver) = channel();
    let own = to.clone();
    std::thread::spawn(move || drop(sender.send(connect(&own))));
    receiver.recv_timeout(PATIENCE).ok().transpose()
}

/// The session that leads a run. Nothing is set or locked before it is sure that it is one: a pool in transaction mode
/// would leave both to whoever gets the server's session next.
///
/// # Errors
/// Those of the server; Failed behind such a pool.
pub fn open_lead(to: &ConnInfo) -> Result<Client> {
    let mut first = to.connect()?;
    // Two sessions at once, asked in turn: behind a pool in transaction mode the first one answers from another server process
    // than before as soon as the second one has taken its place.
    let before = query_backend(&mut first)?;
    let asked = |to: &ConnInfo| {
        let mut second = to.connect()?;
        query_backend(&mut second).map(|_| second)
    };
    let mut second = connect_within(to, asked)?.ok_or_else(no_second_session)?;
    // Settings and session locks need a session (PgBouncer, "Features": SET and session-level advisory locks do not
    // work with transaction pooling).
    if pools_transactions(&before, &mut first, &mut second)? {
        return Err(Error::failed(
            "this connection goes through a pool in transaction mode, and a run needs sessions of its own",
        )
        .hint(pool::suggest_session(&to.host(), to.port())));
    }
    prepare_session(first)
}

/// Does `work` in one transaction: all of it, or nothing.
pub fn in_transaction<T>(
    client: &mut Client,
    doing: impl Fn() -> String,
    work: impl FnOnce(&mut Client) -> Result<T>,
) -> Result<T> {
    // What a run promises to keep must be on disk; the settings of the session say otherwise.
    client.batch_execute("begin; set local synchronous_commit = on").doing(&doing)?;
    match work(client) {
        Ok(done) => client.batch_execute("commit").doing(&doing).map(|()| done),
        Err(e) => {
            // A connection that broke has taken the transaction with it.
            let _gone = client.batch_execute("rollback");
            Err(e)
        }
    }
}

/// Keeps two runs of a tool into one schema apart, as long as the session lasts.
///
/// # Errors
/// Retry, when another run has it.
pub fn lock_schema(client: &mut Client, tool: &str, schema: &str) -> Result<()> {
    // The session of a run that was killed a moment ago may still be ending.
    let sql = format!(
        // A lock of the session, not of a transaction: a run has many transactions, and the server gives it back
        // whenever the session ends, however that is (manual, "Advisory Locks").
        "set lock_timeout = '10s'; select pg_advisory_lock(hashtext({}), hashtext({})); set lock_timeout = 0",
        quote_literal(tool),
        quote_literal(schema)
    );
    client.batch_execute(&sql).map_err(|e| match e.code() {
        Some(&SqlState::LOCK_NOT_AVAILABLE) => {
            Error::retry(format!("another run of {tool} into the schema {schema} is under way"))
                .hint("wait for it to end")
        }
        _ => Error::caused_by("take the lock", e),
    })
}

/// That the target can be written to at all, before the source is read.
///
/// # Errors
/// Failed, with the statement that grants what is missing.
pub fn check_server(client: &mut Client, to: &ConnInfo) -> Result<()> {
    let sql = "select has_database_privilege(current_database(), 'CREATE'), current_setting('server_version_num')::int, \
               pg_is_in_recovery(), current_setting('server_encoding'), current_setting('transaction_read_only') = 'on'";
    let row = client.query_one(sql, &[]).doing(|| "look at the target".into())?;
    let (may, version, standby): (bool, i32, bool) = (row.get(0), row.get(1), row.get(2));
    let (encoding, read_only): (String, bool) = (row.get(3), row.get(4));
    if version < 140_000 {
        return Err(Error::failed("the target is older than PostgreSQL 14"));
    }
    if standby {
        return Err(
            Error::failed("the target is a standby, which takes no writes").hint("connect to the primary")
        );
    }
    if read_only {
        return Err(Error::failed("the target takes no writes: default_transaction_read_only is on").hint(
            "set it off for the database or the role: alter role … set default_transaction_read_only = off",
        ));
    }
    // SQLite and JSON hold Unicode: what another encoding lacks would be refused in the middle of the load.
    if encoding != "UTF8" {
        return Err(Error::failed(format!("the target's encoding is {encoding}, not UTF8"))
            .hint("create the database with: createdb --encoding=UTF8 --template=template0"));
    }
    if !may {
        let grant =
            format!("grant create on database {} to {}", Ident::new(to.dbname()), Ident::new(to.user()));
        return Err(Error::failed(
            "the role may not create a schema, and the copy is prepared in one of its own",
        )
        .hint(grant));
    }
    Ok(())
}
