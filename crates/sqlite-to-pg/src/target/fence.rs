//! What keeps the application from writing to tables that it left for SQLite again.

use migrate::sql::qualified_name;
use postgres::Client;
use toban_core::{Context, Result};

/// The schema in which a live move keeps what it must know.
pub(crate) const LIVE_SCHEMA: &str = "toban_live";

/// The function of the fence's triggers, for the tables of `schema`.
pub(crate) fn fence_function(schema: &str) -> String {
    qualified_name(LIVE_SCHEMA, &migrate::names::short_name(&format!("fence_{schema}")))
}

/// Takes the fence of `schema` away with all its triggers; where there is none it does nothing.
///
/// # Errors
/// Those of the server.
pub(crate) fn drop_fence(client: &mut Client, schema: &str) -> Result<()> {
    let drop = format!("drop function if exists {}() cascade", fence_function(schema));
    client.batch_execute(&drop).doing(|| "let PostgreSQL take writes".into())
}
