//! The fence of the other side: triggers in PostgreSQL that refuse every write, while the application goes back to
//! SQLite.

use super::reverse_log::{ReverseTable, TRIGGER, relations_of};
use crate::model::Plan;
use crate::target::fence::{drop_fence, fence_function};
use migrate::session;
use postgres::Client;
use toban_core::{Context, Result};

/// Puts it up, in one transaction; up already, it stays.
///
/// # Errors
/// Retry when a transaction of the application's does not end within `seconds`; those of the server.
pub(super) fn raise_target_fence(
    client: &mut Client,
    plan: &Plan,
    tables: &[ReverseTable<'_>],
    seconds: u64,
) -> Result<()> {
    let doing = || "refuse writes to PostgreSQL".to_string();
    session::in_transaction(client, doing, |client| put_target_fence(client, plan, tables, seconds))
}

/// The same in the transaction that is open.
///
/// # Errors
/// Those of [`raise_target_fence`].
pub(super) fn put_target_fence(
    client: &mut Client,
    plan: &Plan,
    tables: &[ReverseTable<'_>],
    seconds: u64,
) -> Result<()> {
    let doing = || "refuse writes to PostgreSQL".to_string();
    client.batch_execute(&format!("set local lock_timeout = '{seconds}s'")).doing(doing)?;
    drop_fence(client, &plan.schema)?;
    let function = fence_function(&plan.schema);
    let make = format!(
        "create function {function}() returns trigger language plpgsql as \
         'begin raise exception ''moved back to SQLite: this database takes no more writes''; end'"
    );
    client.batch_execute(&make).doing(doing)?;
    for table in tables {
        for relation in relations_of(client, plan, table)? {
            // CREATE TRIGGER waits for every transaction that has written to the table (SHARE ROW EXCLUSIVE), so that
            // none is committed after the last changes were read.
            let make = format!(
                "create trigger {TRIGGER}_fence before insert or update or delete or truncate on {relation} \
                 for each statement execute function {function}()"
            );
            client.batch_execute(&make).doing(|| format!("refuse writes to {relation}"))?;
        }
    }
    Ok(())
}
