//! What a rehearsal needs: a copy of the file without a capture, the plan for another schema, and nothing left at the
//! end.

use super::capture::remove_triggers;
use super::file;
use super::state::{self, SCHEMA};
use super::triggers::{CAPTURE, LOG, PREFIX};
use crate::model::{Mode, Plan};
use crate::plan;
use crate::source::open;
use crate::target::create;
use migrate::session;
use rusqlite::{Connection, OpenFlags};
use std::path::Path;
use std::time::Duration;
use toban_core::pg::{ConnInfo, quote_literal};
use toban_core::{Context, Error, Result};

/// Copies one moment of the file to `copy`, in the same journal mode and without a capture.
///
/// # Errors
/// Those of SQLite, as for a disk that is full.
pub(crate) fn copy_file(path: &Path, copy: &Path) -> Result<()> {
    let path = file::find_file(path)?;
    let explain = |e| open::explain_error(e, &path);
    let reader = Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_ONLY).map_err(explain)?;
    reader.busy_timeout(Duration::from_secs(60)).map_err(explain)?;
    reader.collation_needed(open::add_bytewise_collation).map_err(explain)?;
    let mode: String = reader.pragma_query_value(None, "journal_mode", |r| r.get(0)).map_err(explain)?;
    reader.execute("vacuum into ?1", [copy.display().to_string()]).map_err(explain)?;
    drop(reader);
    let writer = file::open_writer(copy, Duration::from_secs(5))?;
    file::in_write(&writer, copy, |db| {
        remove_triggers(db, PREFIX)?;
        let clear = format!("drop table if exists {LOG}; drop table if exists {CAPTURE}");
        db.execute_batch(&clear).doing(|| "prepare the copy of the file".into())
    })?;
    let set = format!("pragma journal_mode = {mode}");
    writer.query_row(&set, [], |_| Ok(())).doing(|| "prepare the copy of the file".into())
}

/// Writes the plan of the copy in `schema` for another schema.
///
/// # Errors
/// Usage when there is no copy, or it is one in tables of the application's.
pub(crate) fn write_plan(to: &ConnInfo, schema: &str, other: &str, path: &Path) -> Result<()> {
    let mut client = session::open_lead(to)?;
    let plan = state::read_plan(&mut client, schema)?;
    if plan.mode == Mode::Existing {
        return Err(Error::usage("a copy in tables of the application's cannot be rehearsed beside them")
            .hint("rehearse it in another database that its migrations made"));
    }
    plan::file::write_plan(&Plan { schema: other.into(), ..plan }, path)
}

/// Drops everything of a rehearsal, also of one that was killed.
///
/// # Errors
/// Those of the server.
pub(crate) fn forget_rehearsal(to: &ConnInfo, schema: &str) -> Result<()> {
    let doing = || "take the rehearsal away".to_string();
    let mut client = session::open_lead(to)?;
    session::lock_schema(&mut client, "sqlite-to-pg", schema)?;
    create::drop_schema(&mut client, schema)?;
    let quoted = quote_literal(schema);
    for table in ["toban_undo.step", "toban_undo.mark", "toban_undo.plan"] {
        let there = format!("select to_regclass('{table}') is not null");
        if client.query_one(&there, &[]).doing(doing)?.get(0) {
            client.batch_execute(&format!("delete from {table} where target = {quoted}")).doing(doing)?;
        }
    }
    let there = format!("select to_regclass('{SCHEMA}.cutover') is not null");
    match client.query_one(&there, &[]).doing(doing)?.get(0) {
        true => state::forget_cutover(&mut client, schema),
        false => Ok(()),
    }
}
