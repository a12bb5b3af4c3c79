//! Finds a pool in transaction mode between us and the server: it hands each statement to whichever backend is free, so
//! that a session's settings and locks end up with other clients.

use crate::error::{Context, Error, Result};
use postgres::{Client, SimpleQueryMessage};

/// Whether two sessions that are open at once share their backends, or the first, which had the backend `before`, has
/// several.
///
/// # Errors
/// Those of the server.
pub fn pools_transactions(before: &str, first: &mut Client, second: &mut Client) -> Result<bool> {
    // More than once: by chance a pool may give each session the backend that it had.
    for _ in 0..3 {
        let (other, now) = (query_backend(second)?, query_backend(first)?);
        if other == before || now != before {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The process that serves the session; by the simple protocol, for such pools do not know our prepared statements.
///
/// # Errors
/// Those of the server.
pub fn query_backend(client: &mut Client) -> Result<String> {
    let rows = client.simple_query("select pg_backend_pid()").doing(|| "ask for the backend".into())?;
    let pid = rows.iter().find_map(|m| match m {
        SimpleQueryMessage::Row(row) => row.get(0).map(String::from),
        _ => None,
    });
    pid.ok_or_else(|| Error::failed("the server does not say which backend we have"))
}
