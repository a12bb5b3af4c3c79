//! Opening the file, and telling what is wrong with one that is no database of ours to read.

use super::damage;
use rusqlite::{Connection, ErrorCode, OpenFlags};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;
use toban_core::{Context, Error, Kind, Result};

/// How long a lock of another process is waited for.
const PATIENCE: Duration = Duration::from_secs(60);
const MAGIC: &[u8; 16] = b"SQLite format 3\0";

/// Opens `path` to read; a writer is not kept waiting, nor the file touched.
///
/// # Errors
/// Usage when it is not there; Failed when it is no database, is encrypted, or its schema is damaged.
pub(crate) fn open_reader(path: &Path) -> Result<Connection> {
    check_file(path)?;
    // Not `immutable=1`, which would ignore the WAL and the locks of living writers.
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(|e| explain_error(e, path))?;
    connection.busy_timeout(PATIENCE).map_err(|e| explain_error(e, path))?;
    // No mmap: a file that is cut off while it is read would be a SIGBUS instead of an error. A small cache: each page
    // is read once, and several readers share the machine.
    let settings = "pragma query_only = on; pragma cell_size_check = on; pragma cache_size = -2048; pragma mmap_size = 0; pragma temp_store = 1";
    // A schema with an entry that does not parse (a view of an older program) is read without that entry.
    connection
        .execute_batch(settings)
        .or_else(|_| connection.execute_batch(&format!("pragma writable_schema = on; {settings}")))
        .map_err(|e| explain_error(e, path))?;
    connection.collation_needed(add_bytewise_collation).map_err(|e| explain_error(e, path))?;
    Ok(connection)
}

/// An application's own collation, without which SQLite would not even open such an index: nothing that we read asks
/// for its order.
pub(crate) fn add_bytewise_collation(connection: &Connection, name: &str) -> rusqlite::Result<()> {
    connection.create_collation(name, |a: &str, b: &str| a.as_bytes().cmp(b.as_bytes()))
}

/// Opens `path` as a writer does, to hold others off for a moment; none when the file may not be written.
pub(crate) fn open_holder(path: &Path) -> Option<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).ok()?;
    connection.busy_timeout(PATIENCE).ok()?;
    // Closing the last connection would otherwise move the WAL into the file.
    let keep = rusqlite::config::DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE;
    connection.set_db_config(keep, true).ok()?;
    Some(connection)
}

/// Says what is wrong before SQLite would, and what helps.
pub(crate) fn check_file(path: &Path) -> Result<()> {
    let shown = path.display();
    let mut head = [0; 16];
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Err(missing_file(path)),
        Err(e) => return Err(e).doing(|| format!("open {shown}")),
    };
    let metadata = file.metadata().doing(|| format!("look at {shown}"))?;
    if metadata.is_dir() {
        return Err(Error::usage(format!("{shown} is a folder")).hint("name the SQLite file"));
    }
    let read = file.read_exact(&mut head);
    let begun = MAGIC.starts_with(&head[..metadata.len().min(16) as usize]);
    if (1..damage::LEAST).contains(&metadata.len()) && begun {
        return damage::compare_size(path);
    }
    match read {
        Ok(()) if &head == MAGIC => hot_journal(path),
        Ok(()) if is_wal(&head) => Err(Error::usage(format!("{shown} is a write-ahead log, not a database"))
            .hint("name the file without -wal; without that file its content is lost")),
        Ok(()) => Err(Error::failed(format!("{shown} is not a SQLite database, or it is encrypted"))
            .hint("decrypt it first, as with SQLCipher's sqlcipher_export()")),
        Err(_) => Err(Error::failed(format!("{shown} is empty or too short for a SQLite database"))
            .hint("was it copied while it was being written?")),
    }
}

fn is_wal(head: &[u8; 16]) -> bool {
    matches!(head[..4], [0x37, 0x7f, 0x06, 0x82 | 0x83])
}

fn missing_file(path: &Path) -> Error {
    let error = Error::usage(format!("{} is not there", path.display()));
    match path_beside(path, "-wal").exists() {
        true => error.hint(
            "its -wal file is there: a write-ahead log is useless without its database; copy both together",
        ),
        false => error.hint("name the SQLite file"),
    }
}

/// The name of what SQLite keeps beside a file.
pub(crate) fn path_beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// A journal whose header is not zeroed belongs to a transaction that was cut off: whoever opens the file to write
/// rolls it back, and that would be a write of ours.
fn hot_journal(path: &Path) -> Result<()> {
    let mut head = [0; 8];
    let journal = path_beside(path, "-journal");
    let begun = File::open(&journal).and_then(|mut f| f.read_exact(&mut head)).is_ok();
    let locked = || {
        let Ok(probe) = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY) else {
            return true;
        };
        probe.query_row("select count(*) from sqlite_schema", [], |_| Ok(())).is_ok()
    };
    // A living writer's journal looks the same, but then readers are let in.
    // The magic of a rollback journal (<https://sqlite.org/fileformat.html#the_rollback_journal>).
    if begun && head == [0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7] && !locked() {
        return Err(Error::failed(format!("{} has a transaction that was interrupted", path.display())).hint(
            "its -journal must be rolled back first, which writes to the file: open it once with the sqlite3 shell",
        ));
    }
    Ok(())
}

/// SQLite's errors with what one can do about them.
pub(crate) fn explain_error(e: rusqlite::Error, path: &Path) -> Error {
    let code = e.sqlite_error_code();
    let error = Error::caused_by(format!("read {}", path.display()), e);
    match code {
        // It begins as a database does: that was looked at before SQLite was asked.
        Some(ErrorCode::NotADatabase) => {
            error.kind_as(Kind::Corrupt).hint("the header is damaged, or everything after it is encrypted")
        }
        Some(ErrorCode::DatabaseCorrupt) => error
            .kind_as(Kind::Corrupt)
            .hint("the file is damaged: sqlite3's .recover saves what can be read"),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            error.kind_as(Kind::Retry).hint("another program is writing to it: try again")
        }
        Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly) => {
            error.hint("a database in WAL mode needs a folder that may be written to: copy it with its -wal")
        }
        Some(ErrorCode::SystemIoFailure) => {
            error.kind_as(Kind::Failed).hint("look into the kernel's log: the disk may be damaged")
        }
        _ => error,
    }
}
