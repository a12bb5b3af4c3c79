//! The server that is backed up: what it is, whether we may, and the session that begins and ends the backup.

use crate::data_dir::control;
use crate::format::backup::Tablespace;
use crate::server::Server;
use postgres::{Client, Row};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use toban_core::pg::pooler::{pools_transactions, query_backend};
use toban_core::wal::{Lsn, Timeline};
use toban_core::{Context, Error, Result};

/// The server's facts and settings.
#[derive(Clone, Debug)]
pub(super) struct SourceServer {
    pub(super) major: u32,
    pub(super) version: String,
    pub(super) identifier: u64,
    pub(super) standby: bool,
    pub(super) checksums: bool,
    pub(super) segment_size: u64,
    pub(super) data_dir: PathBuf,
    /// Its folder in each tablespace: `PG_15_202209061`.
    pub(super) version_folder: String,
    /// postgresql.conf, pg_hba.conf, pg_ident.conf.
    pub(super) conf: Vec<PathBuf>,
    /// When the server was started, to the microsecond: while it is the same, nobody has changed its files but itself.
    pub(super) server_started: String,
    /// Permissions of its data directory.
    pub(super) folder_mode: u32,
    /// Whether it summarizes its WAL; none where it cannot.
    pub(super) summarizes: Option<bool>,
}

/// Where the server's files are read.
#[derive(Clone, Copy)]
pub(crate) enum SourcePlace<'a> {
    /// On this machine; in this folder, where that is not what the server says.
    Here(Option<&'a Path>),
    /// By the replication protocol.
    Remote,
}

/// The first major with options of BASE_BACKUP in parentheses, and one stream for all tablespaces.
const FIRST_REMOTE: u32 = 15;

/// Asks the server, after making sure that it will answer.
///
/// # Errors
/// Failed with the grant that is missing, for wal_level=minimal, and for a data directory that is not here.
pub(super) fn read_source(
    client: &mut Client,
    server: &Server,
    place: SourcePlace<'_>,
) -> Result<SourceServer> {
    check_rights(client, server, place)?;
    let sql = "select s.system_identifier::text, pg_is_in_recovery(), current_setting('data_checksums') = 'on', \
               pg_size_bytes(current_setting('wal_segment_size')), current_setting('wal_level'), \
               current_setting('data_directory'), current_setting('config_file'), \
               current_setting('hba_file'), current_setting('ident_file'), current_setting('block_size'), current_setting('port'), \
               extract(epoch from pg_postmaster_start_time())::bigint, \
               trim(split_part(current_setting('unix_socket_directories'), ',', 1)), s.catalog_version_no::bigint, \
               pg_postmaster_start_time()::timestamptz at time zone 'UTC' || '', \
               current_setting('summarize_wal', true) = 'on', current_setting('data_directory_mode')::int \
               from pg_control_system() s";
    let row = client.query_one(sql, &[]).doing(|| "ask the server for its settings".into())?;
    let text = |i: usize| row.get::<_, String>(i);
    // At this level a transaction that creates or rewrites a table writes no WAL of its rows ("Write Ahead
    // Log", wal_level). pg_backup_start refuses it too; here the message names the setting to change.
    if text(4) == "minimal" {
        let e = Error::failed("the server has wal_level=minimal: a backup of it could not be recovered");
        return Err(e.hint("set wal_level=replica in postgresql.conf and restart the server"));
    }
    // Pages and blocks are compared in units of 8 KiB. A server that was built with another --with-blocksize
    // would have every page taken for a damaged one.
    if text(9) != "8192" {
        return Err(Error::failed(format!("the server has pages of {} bytes, not 8192", text(9))));
    }
    let source = SourceServer {
        major: server.major,
        version: server.version.clone(),
        identifier: text(0).parse().doing(|| "read the system identifier".into())?,
        standby: row.get(1),
        checksums: row.get(2),
        segment_size: row.get::<_, i64>(3).unsigned_abs(),
        data_dir: match place {
            SourcePlace::Here(Some(dir)) => dir.to_path_buf(),
            SourcePlace::Here(None) | SourcePlace::Remote => PathBuf::from(text(5)),
        },
        // Octal digits.
        folder_mode: if row.get::<_, i32>(16) == 750 { 0o750 } else { 0o700 },
        version_folder: format!("PG_{}_{}", server.major, row.get::<_, i64>(13)),
        conf: [6, 7, 8].map(|i| PathBuf::from(text(i))).to_vec(),
        server_started: text(14),
        summarizes: row.get(15),
    };
    match place {
        SourcePlace::Remote if source.major < FIRST_REMOTE => {
            let e =
                Error::failed(format!("--remote needs PostgreSQL {FIRST_REMOTE}; this is {}", source.major));
            Err(e.hint("run pg-backup on the server's machine"))
        }
        SourcePlace::Remote => Ok(source),
        SourcePlace::Here(_) => {
            check_same_machine(&source, [&text(10), &text(12)], row.get(11)).map(|()| source)
        }
    }
}

/// The functions a backup calls, by major.
fn backup_functions(major: u32) -> [&'static str; 2] {
    match major {
        ..15 => ["pg_start_backup(text, boolean, boolean)", "pg_stop_backup(boolean, boolean)"],
        _ => ["pg_backup_start(text, boolean)", "pg_backup_stop(boolean)"],
    }
}

/// Every right that is needed, so that one run names all that are missing.
fn check_rights(client: &mut Client, server: &Server, place: SourcePlace<'_>) -> Result<()> {
    let missing = missing_rights(client, server, place)?;
    if missing.is_empty() {
        return Ok(());
    }
    let role = toban_core::pg::Ident::new(server.conn.user());
    let e = Error::failed(format!("role {role} lacks rights that a backup needs"));
    Err(e.hint(format!("as a superuser: {}", missing.join(" "))))
}

/// The statements that give the role what a backup needs and it lacks.
///
/// # Errors
/// Those of the server.
pub(crate) fn missing_rights(
    client: &mut Client,
    server: &Server,
    place: SourcePlace<'_>,
) -> Result<Vec<String>> {
    let role = toban_core::pg::Ident::new(server.conn.user()).to_string();
    let mut missing = Vec::new();
    // By default only superusers may execute them ("Backup Control Functions"). Asked for before the backup
    // begins, so that the administrator gets all the grants at once and not one at each attempt.
    let functions = backup_functions(server.major);
    let called = if let SourcePlace::Remote = place { &[] } else { &functions[..] };
    for function in called {
        let sql = "select has_function_privilege($1, 'execute')";
        let row = client.query_one(sql, &[function]).doing(|| format!("ask for the right to {function}"))?;
        if !row.get::<_, bool>(0) {
            missing.push(format!("grant execute on function {function} to {role};"));
        }
    }
    let sql = "select rolsuper or rolreplication, rolsuper or pg_has_role('pg_read_all_settings', 'usage') \
               from pg_roles where rolname = current_user";
    let row = client.query_one(sql, &[]).doing(|| "ask for the role's rights".into())?;
    if !row.get::<_, bool>(0) {
        missing.push(format!("alter role {role} replication;"));
    }
    if !row.get::<_, bool>(1) {
        missing.push(format!("grant pg_read_all_settings to {role};"));
    }
    Ok(missing)
}

/// The directory must be this very server's, and readable.
fn check_same_machine(source: &SourceServer, listens: [&str; 2], started: i64) -> Result<()> {
    let dir = &source.data_dir;
    let hint = "pg-backup run copies the files itself: run it on the server's machine as the user that owns them \
                (postgres), and name another path of the same directory with --data-dir; --remote takes them over the \
                replication protocol";
    let bytes = control::read_control(dir).map_err(|e| e.hint(hint))?;
    let pid = std::fs::read_to_string(dir.join("postmaster.pid")).unwrap_or_default();
    let same = control::system_identifier(&bytes) == Some(source.identifier);
    if same && is_started_by(&pid, listens, started) {
        return Ok(());
    }
    Err(Error::failed(format!("{} is the data directory of another server", dir.display())).hint(hint))
}

/// A standby or a copy has the same identifier, but not the same start, port and socket's folder: postmaster.pid has
/// them in its third to fifth line.
fn is_started_by(pid: &str, listens: [&str; 2], started: i64) -> bool {
    let lines: Vec<&str> = pid.lines().map(str::trim).collect();
    let at = lines.get(2).and_then(|l| l.parse::<i64>().ok());
    // The file has MyStartTime (CreateLockFile in miscinit.c) and the function gives PgStartTime, which the
    // postmaster takes later in its start: some time may lie between the two.
    at.is_some_and(|at| at.abs_diff(started) <= 2) && lines.get(3..5) == Some(&listens)
}

/// Where a backup began.
#[derive(Clone, Copy, Debug)]
pub(super) struct BackupStart {
    pub(super) lsn: Lsn,
    pub(super) timeline: Timeline,
}

/// What the server gave at the end; the texts go into the backup as they are.
#[derive(Clone, Debug)]
pub(super) struct BackupStop {
    pub(super) lsn: Lsn,
    pub(super) label: String,
    pub(super) tablespace_map: String,
}

/// Begins the backup in this session; `fast` asks for the checkpoint at once.
pub(super) fn start_backup(
    client: &mut Client,
    source: &SourceServer,
    label: &str,
    fast: bool,
) -> Result<BackupStart> {
    // Never the exclusive form that majors before 15 offer: it leaves a backup_label in the data directory, with which a
    // server that crashes meanwhile does not start.
    let sql = match source.major {
        ..15 => "select pg_start_backup($1, $2, false)::text",
        _ => "select pg_backup_start($1, $2)::text",
    };
    let doing = || "begin the backup".to_string();
    let row = client.query_one(sql, &[&label, &fast]).doing(doing)?;
    let lsn = row.get::<_, String>(0).parse().doing(doing)?;
    // The checkpoint, on a standby the restartpoint, from which the backup begins is in pg_control. Its
    // timeline is the one that do_pg_backup_start (xlog.c) writes into backup_label.
    let sql = "select timeline_id from pg_control_checkpoint()";
    let row = client.query_one(sql, &[]).doing(|| "ask for the timeline".into())?;
    Ok(BackupStart { lsn, timeline: Timeline(row.get::<_, i32>(0).unsigned_abs()) })
}

/// Ends the backup.
///
/// # Errors
/// When the session was lost or a standby was promoted meanwhile: then there is no backup.
pub(super) fn stop_backup(client: &mut Client, source: &SourceServer) -> Result<BackupStop> {
    // Without waiting for the archiver: the WAL is in the backup itself, and where archive_command fails the wait would
    // have no end.
    let sql = match source.major {
        ..15 => "select lsn::text, labelfile, spcmapfile from pg_stop_backup(false, false)",
        _ => "select lsn::text, labelfile, spcmapfile from pg_backup_stop(false)",
    };
    let doing = || "end the backup".to_string();
    let row = client.query_one(sql, &[]).doing(doing)?;
    let text = |i| row.get::<_, Option<String>>(i).unwrap_or_default();
    Ok(BackupStop { lsn: text(0).parse().doing(doing)?, label: text(1), tablespace_map: text(2) })
}

/// Tablespaces outside the data directory, with those that were made while it was copied.
pub(super) fn list_tablespaces(client: &mut Client) -> Result<Vec<Tablespace>> {
    let sql = "select oid, pg_tablespace_location(oid) from pg_tablespace order by oid";
    let rows = client.query(sql, &[]).doing(|| "list the tablespaces".into())?;
    let of = |r: &Row| Tablespace { oid: r.get(0), location: r.get(1), late: false };
    // pg_default and pg_global have an empty location, and a tablespace that was made with
    // allow_in_place_tablespaces has a relative one: their files lie in the data directory and need no place
    // of their own.
    Ok(rows.iter().map(of).filter(|t| t.location.starts_with('/')).collect())
}

/// Bytes of all databases; none where the role may not ask for each.
///
/// # Errors
/// Those of the server.
pub(super) fn sum_databases(client: &mut Client) -> Result<Option<u64>> {
    let doing = || "ask for the sizes of the databases".to_string();
    let all = "select pg_has_role('pg_read_all_stats', 'usage') or bool_and(has_database_privilege(oid, 'connect')) \
               from pg_database";
    if !client.query_one(all, &[]).doing(doing)?.get::<_, bool>(0) {
        return Ok(None);
    }
    let sum = "select sum(pg_database_size(oid))::bigint from pg_database";
    Ok(Some(client.query_one(sum, &[]).doing(doing)?.get::<_, i64>(0).unsigned_abs()))
}

/// Errors of a statement that was prepared in another backend, or is there from another client.
const POOLER_SIGNS: [&str; 2] = ["26000", "42P05"];

/// Refuses a proxy that hands our session's statements to whichever backend is free: a backup begins and ends in one
/// session. Compares the backends of two sessions that are open at once.
///
/// # Errors
/// Failed when they have the same one, or one session has two.
pub(super) fn refuse_pooler(first: &mut Client, second: &mut Client) -> Result<()> {
    let before = query_backend(first)?;
    match pools_transactions(&before, first, second)? {
        true => Err(pooler_error()),
        false => Ok(()),
    }
}

/// The same refusal in the place of an error that only such a proxy makes; any other as it is.
pub(super) fn name_pooler(e: Error) -> Error {
    if shows_pooler(&e) { pooler_error() } else { e }
}

/// Whether only such a proxy makes this error.
pub(crate) fn shows_pooler(e: &Error) -> bool {
    let mut cause = std::error::Error::source(e);
    while let Some(link) = cause {
        let code = link.downcast_ref::<postgres::Error>().and_then(postgres::Error::code);
        if code.is_some_and(|c| POOLER_SIGNS.contains(&c.code())) {
            return true;
        }
        cause = link.source();
    }
    false
}

fn pooler_error() -> Error {
    let e = Error::failed("this connection goes through a proxy that pools transactions");
    e.hint("connect to the server itself, by its socket or its own port (--db)")
}

/// By OID: some were dropped, some made while the files were copied, and recovery goes through all of them. Those
/// that were there at the start are in the map.
pub(super) fn each_once(all: Vec<Tablespace>, map: &str) -> Vec<Tablespace> {
    let early: BTreeSet<u32> = map.lines().filter_map(|l| l.split_once(' ')?.0.parse().ok()).collect();
    let late = |t: Tablespace| (t.oid, Tablespace { late: !early.contains(&t.oid), ..t });
    let by_oid: BTreeMap<u32, Tablespace> = all.into_iter().map(late).collect();
    by_oid.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_known_by_its_port_and_start() {
        let pid = "4711\n/srv/data\n1795311412\n5432\n/run\n\n 1 2\nready\n";
        assert!(is_started_by(pid, ["5432", "/run"], 1_795_311_413));
        assert!(!is_started_by(pid, ["5433", "/run"], 1_795_311_413));
        assert!(!is_started_by(pid, ["5432", "/run"], 1_795_311_423));
        assert!(!is_started_by("", ["5432", "/run"], 1_795_311_413));
    }
}
