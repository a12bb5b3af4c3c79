//! Reads the server's facts, by one connection and a second that shows a pool.

use super::facts::{DataFacts, DatabaseFacts, HbaFacts, Learned, ServerFacts, SlotFacts};
use crate::cli::ServerArgs;
use crate::run::{SourcePlace, missing_rights, shows_pooler};
use crate::server::Server;
use jiff::Timestamp;
use postgres::{Client, Row};
use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use toban_core::config::Cluster;
use toban_core::pg::pooler::{pools_transactions, query_backend};
use toban_core::pg::postmaster_pid;
use toban_core::{Context, Result};

/// What is asked of every server that doctor supports.
const FACTS: &str = "select current_user::text, pg_is_in_recovery(), \
    (select system_identifier::text from pg_control_system()), \
    (select rolsuper or pg_has_role('pg_monitor', 'usage') from pg_roles where rolname = current_user), \
    extract(epoch from clock_timestamp())::float8, \
    (select count(*) from pg_stat_replication), \
    exists (select from pg_stat_replication r left join pg_replication_slots s on s.active_pid = r.pid \
            where r.application_name = 'wal-shipper' or s.slot_name = 'toban'), \
    (select coalesce(max(age(backend_xmin)), 0)::bigint from pg_stat_replication)";

const SLOTS: &str = "select slot_name::text, active, coalesce(wal_status, '') = 'lost', \
    coalesce(pg_wal_lsn_diff(case when pg_is_in_recovery() then pg_last_wal_replay_lsn() else pg_current_wal_lsn() end, \
    restart_lsn), 0)::bigint, coalesce(greatest(age(xmin), age(catalog_xmin)), 0)::bigint \
    from pg_replication_slots where not temporary order by 1";

/// Asks the server; none where the connection goes through a pool in transaction mode.
///
/// # Errors
/// When it cannot be reached; what the role may not see is in the answer.
pub(super) fn read_server(args: &ServerArgs, section: Option<&Cluster>) -> Result<Option<ServerFacts>> {
    let (server, mut client) = match Server::connect(args, section) {
        Err(e) if shows_pooler(&e) => return Ok(None),
        connected => connected?,
    };
    // Prepared statements do not go through it, and what it answers is of whichever backend is free.
    if find_pooler(&server, &mut client)? {
        return Ok(None);
    }
    let before = Timestamp::now();
    let row = client.query_one(FACTS, &[]).doing(|| "ask the server for its state".into())?;
    // The middle of both: how long the question was on its way must not look like a clock that is wrong.
    let ours = (before.as_microsecond() + Timestamp::now().as_microsecond()) as f64 / 2e6;
    let (settings, pending_restart) = read_settings(&mut client)?;
    let identifier: String = row.get(2);
    let configured = section.and_then(|s| s.data_dir.clone());
    let data_dir = configured.or_else(|| settings.get("data_directory").map(PathBuf::from));
    let here = read_data_dir(data_dir.as_deref(), server.conn.is_socket(), &settings);
    Ok(Some(ServerFacts {
        major: server.major,
        version: server.version.clone(),
        identifier: identifier.parse().doing(|| "read the system identifier".into())?,
        role: row.get(0),
        standby: row.get(1),
        pending_restart,
        monitor: row.get(3),
        missing_rights: missing_rights(&mut client, &server, SourcePlace::Here(None))?,
        invalid_settings: read_invalid_settings(&mut client),
        hba: read_hba(&mut client),
        slots: read_slots(&mut client)?,
        senders: usize::try_from(row.get::<_, i64>(5)).unwrap_or_default(),
        streamed: row.get(6),
        feedback_age: row.get(7),
        databases: read_databases(&mut client, server.major)?,
        bytes: read_bytes(&mut client),
        ahead: row.get::<_, f64>(4) - ours,
        here,
        settings,
    }))
}

/// Whether the connection goes through a pool in transaction mode; a server without room for a second session is not asked.
fn find_pooler(server: &Server, client: &mut Client) -> Result<bool> {
    let Ok(mut second) = server.conn.connect() else { return Ok(false) };
    let before = query_backend(client)?;
    pools_transactions(&before, client, &mut second)
}

fn read_settings(client: &mut Client) -> Result<(BTreeMap<String, String>, Vec<String>)> {
    let sql = "select name, setting, pending_restart from pg_settings where setting is not null";
    let rows = client.query(sql, &[]).doing(|| "ask for the settings".into())?;
    let pending = rows.iter().filter(|r| r.get(2)).map(|r| r.get(0)).collect();
    Ok((rows.iter().map(|r| (r.get(0), r.get(1))).collect(), pending))
}

/// Why a question was refused, as a finding says it.
fn explain(e: &postgres::Error) -> String {
    e.as_db_error().map_or_else(|| e.to_string(), |db| db.message().to_string())
}

fn read_invalid_settings(client: &mut Client) -> Learned<Vec<String>> {
    // What only waits for a restart is another finding.
    let sql = "select coalesce(f.sourcefile, '') || ':' || coalesce(f.sourceline, 0) || ': ' || coalesce(f.name || ': ', '') || f.error \
               from pg_file_settings f where f.error is not null \
               and not exists (select from pg_settings s where s.name = f.name and s.pending_restart) order by f.seqno";
    let rows = client.query(sql, &[]).map_err(|e| {
        format!(
            "{}; grant select on pg_file_settings and execute on function pg_show_all_file_settings",
            explain(&e)
        )
    })?;
    Ok(rows.iter().map(|r| r.get(0)).collect())
}

/// A line counts that has `replication` among its databases, `all` or the role among its users, and does not reject.
fn read_hba(client: &mut Client) -> Learned<HbaFacts> {
    let sql = "select coalesce(line_number, 0)::int, error, \
               coalesce('replication' = any(database) and auth_method <> 'reject' and \
               exists (select from unnest(user_name) u where u in ('all', current_user) or u ~ '^[+/]'), false) \
               from pg_hba_file_rules order by 1";
    let rows = client.query(sql, &[]).map_err(|e| {
        format!(
            "{}; grant select on pg_hba_file_rules and execute on function pg_hba_file_rules",
            explain(&e)
        )
    })?;
    let invalid = |r: &Row| Some(format!("line {}: {}", r.get::<_, i32>(0), r.get::<_, Option<String>>(1)?));
    Ok(HbaFacts {
        invalid: rows.iter().filter_map(invalid).collect(),
        replication: rows.iter().any(|r| r.get(2)),
    })
}

fn read_slots(client: &mut Client) -> Result<Vec<SlotFacts>> {
    let rows = client.query(SLOTS, &[]).doing(|| "ask for the slots".into())?;
    let slot = |r: &Row| SlotFacts {
        name: r.get(0),
        active: r.get(1),
        lost: r.get(2),
        holds: r.get(3),
        age: r.get(4),
    };
    Ok(rows.iter().map(slot).collect())
}

fn read_databases(client: &mut Client, major: u32) -> Result<Vec<DatabaseFacts>> {
    // pg_database has the version since 15; template0 has none, as no session uses its indexes.
    let versions = match major {
        15.. => {
            "datcollversion, case when datcollversion is not null then pg_database_collation_actual_version(oid) end"
        }
        _ => "null::text, null::text",
    };
    let sql = format!("select datname::text, {versions} from pg_database order by 1");
    let rows = client.query(&sql, &[]).doing(|| "ask for the databases".into())?;
    let database = |r: &Row| DatabaseFacts {
        name: r.get(0),
        collation: r.get::<_, Option<String>>(1).zip(r.get::<_, Option<String>>(2)),
    };
    Ok(rows.iter().map(database).collect())
}

fn read_bytes(client: &mut Client) -> Learned<u64> {
    let sql = "select coalesce(sum(pg_database_size(oid)), 0)::bigint from pg_database";
    let row = client.query_one(sql, &[]);
    let row = row.map_err(|e| format!("{}; grant pg_monitor to the role", explain(&e)))?;
    Ok(row.get::<_, i64>(0).unsigned_abs())
}

/// The data directory, where it is on this machine and a server runs in it. A socket is on this machine: then it must be.
fn read_data_dir(
    dir: Option<&Path>,
    socket: bool,
    settings: &BTreeMap<String, String>,
) -> Learned<Option<DataFacts>> {
    let unseen = |why: String| if socket { Err(why) } else { Ok(None) };
    let Some(dir) = dir else {
        return unseen("data_directory is not shown to the role; grant pg_monitor to it".into());
    };
    let (Some(_), Ok(meta)) = (postmaster_pid(dir), std::fs::metadata(dir)) else {
        return unseen(format!("{} cannot be read; run doctor as its owner or as root", dir.display()));
    };
    let command = settings.get("archive_command").map(String::as_str).unwrap_or_default();
    Ok(Some(DataFacts { path: dir.into(), device: meta.dev(), archive_program: is_runnable(command) }))
}

/// Whether the first word of a command, where that is a path, is a program that anybody may run.
fn is_runnable(command: &str) -> Option<bool> {
    let program = command.split_whitespace().next().filter(|word| word.starts_with('/'))?;
    let meta = std::fs::metadata(program);
    Some(meta.is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0))
}
