//! The private server, read-only at the moment that was asked for.

use super::live::LiveServer;
use crate::format::outline::database_of;
use crate::restore::PartialRestore;
use crate::server::Server;
use postgres::Client;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead, BufReader};
use toban_core::private_server::conf::{self, RecoverySettings, ServerOptions};
use toban_core::private_server::{LOG, PrivateServer, Programs, Runner, Scratch, control, sandbox};
use toban_core::{Context, Error, Result, systemd};

/// It ends when dropped.
pub(super) struct Moment {
    private: PrivateServer,
    pub(super) runner: Runner,
    pub(super) programs: Programs,
    /// The wanted database's name at that moment.
    pub(super) database: String,
    pub(super) oid: u32,
}

impl Moment {
    /// Starts it in what was restored and waits until it can be read.
    ///
    /// # Errors
    /// Findings when it does not recover; Failed when the wanted database was not there at that moment.
    pub(super) fn open(
        scratch: &Scratch,
        runner: &Runner,
        live: &LiveServer,
        restore: &PartialRestore,
    ) -> Result<Moment> {
        systemd::show_status("recovering");
        log::info!("recovering to the moment");
        let data = scratch.path("data");
        let programs = Programs::find(sandbox::read_major(&data)?, live.server().bin_dir.as_deref())?;
        PrivateFolder { scratch, runner, programs: &programs }.write_settings(live, restore)?;
        let mut private = PrivateServer::start(runner, &programs, &live.superuser)?;
        let mut client = private.wait_until_readable()?;
        let log = File::open(scratch.path(LOG)).doing(|| "read the private server's log".into())?;
        check_replay(BufReader::new(log), restore.left_out())?;
        let (oid, database) = find_database(&mut client, live, restore.left_out())?;
        Ok(Moment { private, runner: runner.clone(), programs, database, oid })
    }

    /// A session in the wanted database, in which all names must be qualified.
    ///
    /// # Errors
    /// Those of the connection.
    pub(super) fn open_session(&self) -> Result<Client> {
        let mut client = self.private.connect(&self.database)?;
        // What a transaction that is open at the moment has locked stays locked while recovery pauses.
        let limits = "set lock_timeout = '10s'; set default_transaction_read_only = on; ";
        let sql = format!("{limits}{}", super::structure::SESSION);
        client.batch_execute(&sql).doing(|| "prepare a session".into())?;
        Ok(client)
    }

    /// The server as the other verbs take one.
    ///
    /// # Errors
    /// When its programs do not say their version.
    pub(super) fn server(&self) -> Result<Server> {
        let bin_dir = self.programs.path("postgres").parent().map(Into::into);
        let mut client = self.private.connect(&self.database)?;
        let row = client.query_one("select split_part(current_setting('server_version'), ' ', 1)", &[]);
        let version = row.doing(|| "ask for the version".into())?.get(0);
        let conn = self.private.conninfo(&self.database)?;
        Ok(Server { conn, bin_dir, version, major: self.programs.major })
    }

    /// Fails with the reason when the server has ended.
    ///
    /// # Errors
    /// Findings, with the log's reason.
    pub(super) fn check_running(&mut self) -> Result<()> {
        self.private.check_running()
    }
}

/// What was restored, before its server starts.
struct PrivateFolder<'a> {
    scratch: &'a Scratch,
    runner: &'a Runner,
    programs: &'a Programs,
}

impl PrivateFolder<'_> {
    /// The server's settings, and nothing in the restored folder that reaches out.
    fn write_settings(&self, live: &LiveServer, restore: &PartialRestore) -> Result<()> {
        let PrivateFolder { scratch, runner, programs } = *self;
        let data = scratch.path("data");
        let mut control = control::read_control(runner.command(programs.path("pg_controldata")), &data)?;
        live.raise_sizes(&mut control);
        let mut inspected = sandbox::inspect(runner, &data)?;
        conf::write_files(scratch, "", runner)?;
        let empty = scratch.path("postgresql.conf");
        let (mut recovery, refused) =
            RecoverySettings::read(runner, &programs.path("postgres"), &data, &empty)?;
        refused.iter().for_each(|e| log::debug!("the restored configuration does not read here: {e}"));
        // Before the server's first start: what is not disarmed now takes effect.
        sandbox::disarm(runner, &data, &mut inspected, &mut recovery)?;
        // The folder is cleared at the end: nothing in it has to outlast a crash of the machine.
        let mut more = vec![("fsync", "off".to_string())];
        if !restore.left_out().is_empty() {
            // A page of zeros that the WAL changes, and does not hold whole, would be a PANIC (xlogutils.c, log_invalid_page).
            // With this it is a warning, and `check_replay` takes it for well in a database that is left out alone.
            more.push(("ignore_invalid_pages", "on".into()));
        }
        if programs.major >= 15 {
            // It asks for the segment after the target, and where that is missing it would end recovery before the target.
            more.push(("recovery_prefetch", "off".into()));
        }
        let options = ServerOptions {
            purpose: &super::PURPOSE,
            major: programs.major,
            preload: "",
            in_place_tablespaces: inspected.in_place_tablespaces,
            recovery: Some(&recovery),
            pauses: true,
            more: &more,
        };
        conf::write_files(scratch, &conf::postgresql_conf(Some(&control), &scratch.dir, &options), runner)
    }
}

/// Whether replay found every page of what is wanted: `page 3 of relation base/5/16384 is uninitialized`.
///
/// # Errors
/// Corrupt with the first line about a page of another database than those that are left out.
fn check_replay(log: impl BufRead, left_out: &BTreeSet<u32>) -> Result<()> {
    for line in log.lines() {
        let line = line.doing(|| "read the private server's log".into())?;
        let Some((_, rest)) = line.split_once(" of relation ") else { continue };
        let path = rest.split(' ').next().unwrap_or_default();
        let missing = rest.ends_with("is uninitialized") || rest.ends_with("does not exist");
        if missing && database_of(path).is_none_or(|oid| !left_out.contains(&oid)) {
            let e = Error::corrupt(format!("replay misses what the backup should have: {}", line.trim()));
            return Err(e.hint(
                "pg-backup verify tells whether the backup is damaged; an earlier moment is read from an earlier backup",
            ));
        }
    }
    Ok(())
}

/// The wanted database at that moment: the one that has the live one's OID, whatever its name was, else that of the name.
fn find_database(client: &mut Client, live: &LiveServer, left_out: &BTreeSet<u32>) -> Result<(u32, String)> {
    let sql = "select oid, datname::text from pg_database where oid = $1 or datname = $2 \
               order by (oid = $1) desc nulls last limit 1";
    let row = client.query_opt(sql, &[&live.oid, &live.database]).doing(|| "find the database".into())?;
    let Some(row) = row else {
        let e = Error::failed(format!("there was no database {} at that moment", live.database));
        return Err(e.hint("another moment? --step goes back or forward"));
    };
    let (oid, name): (u32, String) = (row.get(0), row.get(1));
    match live.name_of(oid).filter(|_| left_out.contains(&oid)) {
        None => Ok((oid, name)),
        Some(now) => {
            let e = Error::failed(format!("the database that was {name} at that moment is {now} by now"));
            Err(e.hint(format!("give --database {now}")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pages_of_what_is_left_out_may_be_missing() {
        let left_out = BTreeSet::from([5]);
        let check = |log: &str| check_replay(log.as_bytes(), &left_out).is_ok();
        let missing = |path: &str| format!("LOG:  x\nWARNING:  page 3 of relation {path} is uninitialized\n");
        assert!(check(&missing("base/5/16384")) && check(&missing("pg_tblspc/9/PG_15_202209061/5/7_vm")));
        assert!(!check(&missing("base/6/16384")) && !check(&missing("global/1262")));
        assert!(check("ERROR:  a row of relation base/6/7 is wrong\n"));
        assert!(!check("WARNING:  page 0 of relation base/6/7 does not exist\n"));
    }
}
