//! Refuses a proxy that hands our session's statements to whichever backend is free: a backup begins and ends in one
//! session.

use postgres::Client;
use toban_core::pg::pooler::{backend, pools_transactions};
use toban_core::{Error, Result};

/// Errors of a statement that was prepared in another backend, or is there from another client.
const SIGNS: [&str; 2] = ["26000", "42P05"];

/// Compares the backends of two sessions that are open at once.
///
/// # Errors
/// Failed when they have the same one, or one session has two.
pub(crate) fn refuse(first: &mut Client, second: &mut Client) -> Result<()> {
    let before = backend(first)?;
    match pools_transactions(&before, first, second)? {
        true => Err(refusal()),
        false => Ok(()),
    }
}

/// The same refusal in the place of an error that only such a proxy makes; any other as it is.
pub(crate) fn seen(e: Error) -> Error {
    let mut cause = std::error::Error::source(&e);
    while let Some(link) = cause {
        let code = link.downcast_ref::<postgres::Error>().and_then(postgres::Error::code);
        if code.is_some_and(|c| SIGNS.contains(&c.code())) {
            return refusal();
        }
        cause = link.source();
    }
    e
}

fn refusal() -> Error {
    let e = Error::failed("this connection goes through a proxy that pools transactions");
    e.hint("connect to the server itself, by its socket or its own port (--db)")
}
