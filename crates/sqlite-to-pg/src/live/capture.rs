//! The verb `capture`: triggers into the file, or out of it again.

use super::fence::FENCED;
use super::file;
use super::keys::{CapturedTable, plan_capture};
use super::openers::{find_openers, refuse_replaced};
use super::record::{self, CaptureRecord, find_capture, schema_version};
use super::triggers::{CAPTURE, LOG, PREFIX, capture_triggers, tables_sql};
use crate::live_args::CaptureArgs;
use crate::source::catalog::{query_all, read_catalog};
use crate::source::quote_name;
use rusqlite::Connection;
use serde::Serialize;
use std::path::Path;
use std::time::Duration;
use toban_core::stamp::iso_seconds;
use toban_core::{Context, Error, Out, Record, Result, random};

/// How long the application's lock is waited for.
pub(super) const LOCK_WAIT: Duration = Duration::from_secs(5);

/// How one table is captured.
#[derive(Debug, Serialize)]
struct CaptureLine {
    table: String,
    /// `by key`, or `copied again`.
    how: &'static str,
    key: Vec<String>,
    why: String,
}

impl Record for CaptureLine {
    const SCHEMA: &'static str = "sqlite-to-pg.capture/1";
    const HEAD: &'static [&'static str] = &["table", "how", "key", "why"];

    fn cells(&self) -> Vec<String> {
        vec![self.table.clone(), self.how.into(), self.key.join(", "), self.why.clone()]
    }
}

impl CaptureLine {
    fn new(table: &CapturedTable) -> CaptureLine {
        CaptureLine {
            table: table.name.clone(),
            how: if table.recopied.is_some() { "copied again" } else { "by key" },
            key: table.key.clone(),
            why: table.recopied.clone().unwrap_or_default(),
        }
    }
}

/// Begins the capture, or ends it. Begun twice it stays the same.
///
/// # Errors
/// Retry when another program keeps its lock, and then nothing is done; Usage when a name of ours is taken, or there
/// is nothing to end; those of SQLite.
pub(crate) fn run(args: &CaptureArgs, out: &mut Out<'_>) -> Result<()> {
    let path = file::find_file(&args.db)?;
    if args.stop {
        return stop_capture(&path);
    }
    refuse_replaced(&find_openers(&path))?;
    let tables = match args.dry_run {
        true => plan_capture(&read_catalog(&file::open_reader(&path)?)?),
        false => start_capture(&path)?.tables,
    };
    tables.iter().try_for_each(|table| out.emit(&CaptureLine::new(table)))
}

/// Installs everything in one transaction: the application sees none of it or all.
fn start_capture(path: &Path) -> Result<CaptureRecord> {
    let writer = file::open_writer(path, LOCK_WAIT)?;
    file::in_write(&writer, path, |db| {
        if let Some(record) = find_capture(db)? {
            log::info!("the changes are captured already, since {}", record.started);
            return Ok(record);
        }
        refuse_names(db)?;
        let tables = plan_capture(&read_catalog(db)?);
        let doing = || "install the capture".to_string();
        db.execute_batch(&tables_sql(&tables)).doing(doing)?;
        for trigger in tables.iter().flat_map(capture_triggers) {
            db.execute_batch(&trigger.sql).doing(|| format!("create the trigger {}", trigger.name))?;
        }
        // The first entry, of no table: the number of the newest entry is never that of an empty log.
        db.execute(&format!("insert into {LOG} (t) values (0)"), []).doing(doing)?;
        let record = CaptureRecord {
            uuid: random::mark(),
            started: iso_seconds(jiff::Timestamp::now()),
            state: "capturing".into(),
            schema_version: schema_version(db)?,
            tables,
        };
        write_record(db, &record)?;
        Ok(record)
    })
}

fn write_record(db: &Connection, record: &CaptureRecord) -> Result<()> {
    let doing = || "write the record of the capture".to_string();
    let tables = serde_json::to_string(&record.tables).doing(doing)?;
    let sql = format!("insert into {CAPTURE} values (?1, ?2, ?3, ?4, ?5)");
    let CaptureRecord { uuid, started, state, schema_version, .. } = record;
    db.execute(&sql, (uuid, started, state, schema_version, tables)).doing(doing).map(drop)
}

/// Names of ours that the application uses.
fn refuse_names(db: &Connection) -> Result<()> {
    let sql =
        format!("select name from sqlite_schema where lower(substr(name, 1, {})) = '{PREFIX}'", PREFIX.len());
    match query_all(db, &sql, &[], |r| r.get::<_, String>(0))?.first() {
        None => Ok(()),
        Some(name) => Err(Error::usage(format!("the file has {name}, a name that the capture needs"))
            .hint(format!("rename it; names that begin with {PREFIX} are taken"))),
    }
}

fn stop_capture(path: &Path) -> Result<()> {
    let writer = file::open_writer(path, LOCK_WAIT)?;
    file::in_write(&writer, path, |db| {
        if record::read_capture(db)?.state == FENCED {
            return Err(Error::usage("a cutover stands behind the fence of this file")
                .hint("`cutover --abort` takes it back, `cutover --finish` ends it for good"));
        }
        remove_triggers(db, PREFIX)?;
        let drop_tables = format!("drop table {LOG}; drop table {CAPTURE}");
        db.execute_batch(&drop_tables).doing(|| "remove the capture".into())
    })
}

/// Drops the triggers of ours whose names begin so.
///
/// # Errors
/// Those of SQLite.
pub(super) fn remove_triggers(db: &Connection, prefix: &str) -> Result<()> {
    let sql = format!(
        "select name from sqlite_schema where type = 'trigger' and substr(name, 1, {}) = '{prefix}'",
        prefix.len()
    );
    for name in query_all(db, &sql, &[], |r| r.get::<_, String>(0))? {
        let drop = format!("drop trigger {}", quote_name(&name));
        db.execute_batch(&drop).doing(|| format!("drop the trigger {name}"))?;
    }
    Ok(())
}
