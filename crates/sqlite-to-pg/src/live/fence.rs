//! The fence: triggers in the file that refuse every write. A lock would end with the process that holds it, and the
//! application would go on writing to the old file.

use super::capture::remove_triggers;
use super::file;
use super::record::read_capture;
use super::triggers::{CAPTURE, PREFIX, fence_triggers};
use std::path::Path;
use std::time::Duration;
use toban_core::{Context, Result};

/// What the file's own record says behind the fence.
pub(super) const FENCED: &str = "fenced";
/// What it says after the point of no return.
pub(super) const FINISHED: &str = "finished";
/// And before the fence.
pub(super) const CAPTURING: &str = "capturing";

/// Puts the fence up, in one transaction; the answer is the schema's version behind it. Up already, it stays.
///
/// # Errors
/// Retry when a writer keeps its lock for longer than `wait`, and then nothing is done; those of SQLite.
pub(super) fn raise_fence(path: &Path, wait: Duration) -> Result<i64> {
    let writer = file::open_writer(path, wait)?;
    file::in_write(&writer, path, |db| {
        let record = read_capture(db)?;
        if record.state != FENCED {
            for trigger in record.tables.iter().flat_map(fence_triggers) {
                db.execute_batch(&trigger.sql).doing(|| format!("create the trigger {}", trigger.name))?;
            }
            set_state(db, FENCED)?;
        }
        super::record::schema_version(db)
    })
}

/// Takes the fence away: the application writes again.
///
/// # Errors
/// Those of SQLite.
pub(super) fn lift_fence(path: &Path, wait: Duration) -> Result<()> {
    let writer = file::open_writer(path, wait)?;
    file::in_write(&writer, path, |db| {
        let record = read_capture(db)?;
        for table in &record.tables {
            remove_triggers(db, &format!("{PREFIX}{}_fence_", table.number))?;
        }
        set_state(db, CAPTURING)
    })
}

/// Notes that nobody needs the file any more.
///
/// # Errors
/// Those of SQLite.
pub(super) fn set_finished(path: &Path) -> Result<()> {
    let writer = file::open_writer(path, super::capture::LOCK_WAIT)?;
    file::in_write(&writer, path, |db| set_state(db, FINISHED))
}

fn set_state(db: &rusqlite::Connection, state: &str) -> Result<()> {
    let sql = format!("update {CAPTURE} set state = ?1");
    db.execute(&sql, [state]).doing(|| "write the record of the capture".into()).map(drop)
}
