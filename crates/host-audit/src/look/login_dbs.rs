//! lastlog2 and wtmpdb: SQLite files in the place of lastlog and wtmp, from Debian 13 on.

use crate::host::{HostView, Unseen};
use crate::look::auth_history::AuthHistory;
use jiff::Timestamp;
use rusqlite::{Connection, OpenFlags};
use std::path::Path;

/// A database, how it is asked for user, place and time in seconds, and its name as a source.
struct LoginDb {
    path: &'static str,
    query: &'static str,
    source: &'static str,
}

const DBS: [LoginDb; 2] = [
    LoginDb {
        path: "/var/lib/lastlog/lastlog2.db",
        query: "select Name, coalesce(RemoteHost, ''), Time from Lastlog2 where Time > 0",
        source: "lastlog2",
    },
    LoginDb {
        // Type 3 is a person; times are microseconds.
        path: "/var/lib/wtmpdb/wtmp.db",
        query: "select User, coalesce(RemoteHost, ''), Login / 1000000 from wtmp where Type = 3",
        source: "wtmpdb",
    },
];

/// Adds what they know.
pub(crate) fn read_login_dbs(host: &HostView, now: Timestamp, history: &mut AuthHistory) {
    for db in &DBS {
        if !host.path(db.path).is_file() {
            continue;
        }
        match read_db(host, db, now, history) {
            Ok(()) => {
                history.sources.insert(db.source.into());
            }
            Err(why) => history.gaps.push(Unseen::new(db.path, why)),
        }
    }
}

/// From a copy, with the log of what was not yet written into the file: opening the file itself would make a lock file of
/// ours beside it.
fn read_db(host: &HostView, db: &LoginDb, now: Timestamp, history: &mut AuthHistory) -> Result<(), String> {
    let said = |e: &dyn std::fmt::Display| e.to_string();
    let folder = tempfile::tempdir().map_err(|e| said(&e))?;
    let copy = folder.path().join("db");
    std::fs::copy(host.path(db.path), &copy).map_err(|e| said(&e))?;
    let wal = host.path(&format!("{}-wal", db.path));
    if wal.is_file() {
        std::fs::copy(wal, folder.path().join("db-wal")).map_err(|e| said(&e))?;
    }
    query_db(&copy, db, now, history).map_err(|e| said(&e))
}

fn query_db(copy: &Path, db: &LoginDb, now: Timestamp, history: &mut AuthHistory) -> rusqlite::Result<()> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(copy, flags)?;
    let mut query = connection.prepare(db.query)?;
    let mut rows = query.query([])?;
    while let Some(row) = rows.next()? {
        let (user, from, seconds): (String, String, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let at = Timestamp::from_second(seconds)
            .ok()
            .filter(|at| seconds > 0 && *at <= now + jiff::SignedDuration::from_hours(24));
        history.implausible += u64::from(at.is_none());
        history.add_login(&user, &from, at);
        history.note_source(&user, &from, db.source);
    }
    Ok(())
}
