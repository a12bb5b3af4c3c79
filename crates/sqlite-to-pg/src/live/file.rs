//! The application's file: found once, then opened without being read besides.
//!
//! Closing any descriptor of the file drops every lock that the process has on it (fcntl(2)), SQLite's too
//! (<https://sqlite.org/howtocorrupt.html>): so the file is looked at before the first connection, and never after.

use crate::source::open;
use rusqlite::{Connection, OpenFlags};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use toban_core::{Context, Error, Result};

/// How long readers wait for a lock.
const PATIENCE: Duration = Duration::from_secs(60);

/// The file behind `path`, without links, and known to be a database.
///
/// # Errors
/// Those of `check_file`; Usage for a file of several names, whose users would have a write-ahead log for each.
pub(crate) fn find_file(path: &Path) -> Result<PathBuf> {
    roll_back_journal(path);
    open::check_file(path)?;
    let doing = || format!("look at {}", path.display());
    let real = path.canonicalize().doing(doing)?;
    let names = real.metadata().doing(doing)?.nlink();
    if names > 1 {
        return Err(Error::usage(format!("{} has {names} names (hard links)", real.display()))
            .hint("remove the others: each name has a write-ahead log of its own"));
    }
    Ok(real)
}

/// A transaction that was cut off, ours or the application's, is rolled back by whoever opens the file next. What
/// goes wrong here `check_file` tells.
fn roll_back_journal(path: &Path) {
    if open::path_beside(path, "-journal").exists()
        && let Ok(writer) = open_writer(path, PATIENCE)
    {
        let _told_later = writer.query_row("select count(*) from sqlite_schema", [], |_| Ok(()));
    }
}

/// Device and number of a file: what tells it from another of its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileNumber {
    device: u64,
    inode: u64,
}

/// The number of a file, which is not opened for that.
///
/// # Errors
/// When it is not there.
pub(crate) fn number_of(path: &Path) -> std::io::Result<FileNumber> {
    path.metadata().map(|meta| FileNumber { device: meta.dev(), inode: meta.ino() })
}

/// The same as text.
pub(crate) fn file_identity(path: &Path) -> Result<String> {
    let number = number_of(path).doing(|| format!("look at {}", path.display()))?;
    Ok(format!("{}:{}", number.device, number.inode))
}

/// Opens a file that was found before, to read.
///
/// # Errors
/// Those of SQLite.
pub(crate) fn open_reader(path: &Path) -> Result<Connection> {
    let connection = open_with(path, OpenFlags::SQLITE_OPEN_READ_ONLY, PATIENCE)?;
    let settings =
        "pragma query_only = on; pragma cache_size = -8192; pragma mmap_size = 0; pragma temp_store = 1";
    connection.execute_batch(settings).map_err(|e| open::explain_error(e, path))?;
    Ok(connection)
}

/// Opens it to write; another writer's lock is waited for as long as `wait`.
///
/// # Errors
/// Those of SQLite.
pub(crate) fn open_writer(path: &Path, wait: Duration) -> Result<Connection> {
    open_with(path, OpenFlags::SQLITE_OPEN_READ_WRITE, wait)
}

fn open_with(path: &Path, how: OpenFlags, wait: Duration) -> Result<Connection> {
    let explain = |e| open::explain_error(e, path);
    let connection =
        Connection::open_with_flags(path, how | OpenFlags::SQLITE_OPEN_NO_MUTEX).map_err(explain)?;
    connection.busy_timeout(wait).map_err(explain)?;
    connection.collation_needed(open::add_bytewise_collation).map_err(explain)?;
    Ok(connection)
}

/// Does `work` in one write transaction: all of it, or nothing.
///
/// # Errors
/// Retry when another writer keeps its lock for too long, and then nothing is done; those of `work`.
pub(crate) fn in_write<T>(
    connection: &Connection,
    path: &Path,
    work: impl FnOnce(&Connection) -> Result<T>,
) -> Result<T> {
    let explain = |e| open::explain_error(e, path);
    connection.execute_batch("begin immediate").map_err(explain)?;
    let done =
        work(connection).and_then(|done| connection.execute_batch("commit").map_err(explain).map(|()| done));
    if done.is_err() {
        // A transaction that SQLite ended by itself is gone already.
        let _gone = connection.execute_batch("rollback");
    }
    done
}

/// Begins to see one moment of the file.
///
/// # Errors
/// Those of SQLite.
pub(crate) fn begin_snapshot(connection: &Connection, path: &Path) -> Result<()> {
    // The first read takes the snapshot.
    connection
        .execute_batch("begin; select count(*) from sqlite_schema")
        .map_err(|e| open::explain_error(e, path))
}

/// Ends it.
///
/// # Errors
/// Those of SQLite.
pub(crate) fn end_snapshot(connection: &Connection, path: &Path) -> Result<()> {
    match connection.is_autocommit() {
        true => Ok(()),
        false => connection.execute_batch("rollback").map_err(|e| open::explain_error(e, path)),
    }
}
