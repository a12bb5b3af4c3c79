//! Databases made, filled unseen, and put in place in one transaction.
//!
//! A dump is loaded into a database under a name of ours. Only when it is whole and checked do the names change, in
//! one transaction: at every instant the old or the new database is in service, whenever this process dies.

use super::replication;
use crate::database::{self, Properties};
use crate::server::Server;
use postgres::Client;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use toban_core::pg::Ident;
use toban_core::{Context, Error, Kind, Result, shutdown, sum};

/// How long sessions may take to end before the swap is given up.
const PATIENCE: Duration = Duration::from_secs(30);

/// The place of one database on the server, which only one restore at a time may work on.
pub(crate) struct TargetDatabase<'a> {
    pub(super) server: &'a Server,
    /// A session in another database; holds the lock.
    admin: Client,
    pub(crate) maintenance: String,
    pub(crate) target: String,
}

impl<'a> TargetDatabase<'a> {
    /// Takes the lock on `target`: one of the server's, so that it holds for all machines and ends with the session.
    ///
    /// # Errors
    /// Retry when another restore into `target` is running; names it.
    pub(crate) fn take_lock(
        server: &'a Server,
        maintenance: &str,
        target: &str,
    ) -> Result<TargetDatabase<'a>> {
        let mut admin = server.open_session(maintenance)?;
        // A lock of the server's, not a file: restores may run on several machines, and one that dies gives it back with
        // its session ("Explicit Locking", "Advisory Locks").
        let sql = "select pg_try_advisory_lock(hashtextextended($1, 0))";
        let lock = format!("toban restore-dump {target}");
        let taken: bool = admin.query_one(sql, &[&lock]).doing(|| format!("lock {target}"))?.get(0);
        if !taken {
            return Err(find_holder(&mut admin, &lock, target)?);
        }
        Ok(TargetDatabase { server, admin, maintenance: maintenance.into(), target: target.into() })
    }

    /// The session in the maintenance database.
    pub(crate) fn admin(&mut self) -> &mut Client {
        &mut self.admin
    }

    /// The name of the database that is being filled; the same for each run, so that a rerun finds what a killed one
    /// left.
    pub(crate) fn filling_name(&self) -> String {
        format!("toban_restoring_{}", &sum::hex(&sum::sha256(self.target.as_bytes()))[..12])
    }

    /// Makes the empty database to fill, after removing what a killed run left of it.
    pub(crate) fn make_filling(&mut self, properties: &Properties) -> Result<Filling<'a>> {
        let name = self.filling_name();
        // Safe under the lock: no other restore fills a database of this name, and it was never in service.
        drop_filling(self.server, &mut self.admin, &name)?;
        let sql = properties.create_sql(&name, self.server.major);
        let made = self.admin.batch_execute(&sql).doing(|| format!("create database {name}"));
        made.map_err(|e| explain_privilege(e, self.server.conn.user()))?;
        Ok(Filling { server: self.server, maintenance: self.maintenance.clone(), name: Some(name) })
    }

    /// Gives the filled database the properties and the name of the target; an old database of that name is called
    /// `aside` from then on. All in one transaction.
    ///
    /// # Errors
    /// Then nothing has changed. Retry when sessions of the old database would not end.
    pub(crate) fn swap_names(
        &mut self,
        filled: &mut Filling<'_>,
        properties: &Properties,
        aside: Option<&str>,
    ) -> Result<()> {
        let name = filled.name.clone().expect("a filled database is put in place once");
        // CREATE and DROP DATABASE cannot run in a transaction, ALTER DATABASE … RENAME can. Both renames, the grants and
        // the settings commit together: a crash leaves the old database under its name or the new one, and never none.
        let mut sql = vec!["begin".to_string()];
        if let Some(aside) = aside {
            let replication = replication::read_replication(&mut self.admin, &self.target)?;
            sql.extend(replication.stop_sql(&mut self.admin, &self.target)?);
            sql.push(rename_sql(&self.target, aside));
            if properties.is_template {
                sql.push(format!("alter database {} is_template false", Ident::new(aside)));
            }
        }
        sql.push(rename_sql(&name, &self.target));
        sql.extend(properties.dress_sql(&self.target));
        sql.push("commit".into());
        self.without_sessions(&sql.join(";\n"), &name)?;
        // It is in service from here on: the destructor of Filling drops what still has a name in it, and
        // must not find this one.
        filled.name = None;
        Ok(())
    }

    /// ALTER DATABASE … RENAME takes a lock that makes new sessions wait, then gives present ones five seconds to
    /// end. Another session ends them meanwhile. New ones that waited find the new database, or are told to come
    /// again.
    fn without_sessions(&mut self, sql: &str, name: &str) -> Result<()> {
        let until = Instant::now() + PATIENCE;
        loop {
            shutdown::check()?;
            // By a session of its own: the one that renames waits inside ALTER DATABASE, up to five seconds
            // for others to leave (CountOtherDBBackends in procarray.c), and cannot end them meanwhile.
            let ended = end_sessions(self.server, &self.maintenance, &[self.target.as_str(), name])?;
            let swapped = ended.end_during(|| self.admin.batch_execute(sql));
            let Err(e) = swapped else { return Ok(()) };
            let in_use = e.code() == Some(&postgres::error::SqlState::OBJECT_IN_USE);
            let detail = e.as_db_error().and_then(|d| d.detail()).unwrap_or_default().to_string();
            self.admin.batch_execute("rollback").doing(|| "roll back the swap".into())?;
            // A prepared transaction has no session that could be ended: it stays until somebody commits it
            // or rolls it back, so another attempt cannot succeed.
            if !in_use || Instant::now() > until || detail.contains("prepared transaction") {
                let doing = || format!("put the restored database in the place of {}", self.target);
                return Err(e).doing(doing).map_err(|e| if detail.is_empty() { e } else { e.hint(detail) });
            }
        }
    }

    /// Gives the target its security labels: apart from the swap, since a server without their provider refuses them,
    /// and the data are worth more.
    pub(crate) fn set_labels(&mut self, properties: &Properties) {
        for (provider, sql) in properties.label_sql(&self.target) {
            if let Err(e) = self.admin.batch_execute(&sql).doing(|| sql.clone()) {
                log::warn!("{} lacks its security label of {provider}: {}", self.target, e.chain());
            }
        }
    }

    /// Drops `name`, which is not the target.
    pub(crate) fn drop(&mut self, name: &str) -> Result<()> {
        drop_database(&mut self.admin, name)
    }
}

/// A database that is being filled: dropped when its owner gives up.
pub(crate) struct Filling<'a> {
    server: &'a Server,
    maintenance: String,
    name: Option<String>,
}

impl Filling<'_> {
    /// Its name; empty once it is in place.
    pub(crate) fn name(&self) -> &str {
        self.name.as_deref().unwrap_or_default()
    }
}

impl Drop for Filling<'_> {
    fn drop(&mut self) {
        let Some(name) = self.name.take() else { return };
        let dropped = self
            .server
            .open_session(&self.maintenance)
            .and_then(|mut admin| drop_filling(self.server, &mut admin, &name));
        if let Err(e) = dropped {
            log::warn!("database {name} is left over and is removed by the next restore: {}", e.chain());
        }
    }
}

fn rename_sql(from: &str, to: &str) -> String {
    format!("alter database {} rename to {}", Ident::new(from), Ident::new(to))
}

/// Drops a database of ours, with the subscriptions that a dump brought into it.
fn drop_filling(server: &Server, admin: &mut Client, name: &str) -> Result<()> {
    replication::remove_subscriptions(server, admin, name)?;
    drop_database(admin, name)
}

fn drop_database(admin: &mut Client, name: &str) -> Result<()> {
    // FORCE ends the sessions there, but the server still refuses for prepared transactions, logical slots in
    // use and subscriptions (DROP DATABASE). Then the database stays, and the error says why.
    let sql = format!("drop database if exists {} with (force)", Ident::new(name));
    admin.batch_execute(&sql).doing(|| format!("drop database {name}")).map_err(|e| explain_privilege(e, ""))
}

/// What `role` lacks, where the server's words tell it.
fn explain_privilege(e: Error, role: &str) -> Error {
    match e.chain() {
        c if c.contains("permission denied to create database") => {
            e.hint(format!("alter role {} createdb, or use a superuser", Ident::new(role)))
        }
        c if c.contains("must be owner")
            || c.contains("must be able to SET ROLE")
            || c.contains("must be member") =>
        {
            e.hint("use the owner of the database, or a superuser")
        }
        c if c.contains("tablespace") && c.contains("does not exist") => e.hint(
            "restore-dump --globals creates those that went with the dump; their folders must be there",
        ),
        _ => e,
    }
}

/// Who holds the lock: `pid 123 from 10.0.0.7, since …`.
fn find_holder(admin: &mut Client, lock: &str, target: &str) -> Result<Error> {
    let sql = "select format('pid %s from %s, since %s', a.pid, coalesce(host(a.client_addr), 'this machine'), \
                      to_char(a.backend_start at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')) \
               from pg_locks l join pg_stat_activity a using (pid), hashtextextended($1, 0) h \
               where l.locktype = 'advisory' and l.granted and l.objsubid = 1 \
               and (l.classid::bigint << 32 | l.objid::bigint) = h limit 1";
    let row = admin.query_opt(sql, &[&lock]).doing(|| "look who holds the lock".into())?;
    let who = row.map_or("it has just ended".into(), |r| r.get::<_, String>(0));
    Ok(Error::retry(format!("a restore into {target} is already running: server process {who}")))
}

struct SessionEnder<'a> {
    server: &'a Server,
    client: Client,
    names: Vec<String>,
}

fn end_sessions<'a>(server: &'a Server, maintenance: &str, names: &[&str]) -> Result<SessionEnder<'a>> {
    let client = server.open_session(maintenance)?;
    Ok(SessionEnder { server, client, names: names.iter().map(ToString::to_string).collect() })
}

impl SessionEnder<'_> {
    /// Ends the sessions of the databases, again and again, as long as `work` takes.
    fn end_during<T>(mut self, work: impl FnOnce() -> T) -> T {
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) && self.end_once().is_ok() {
                    thread::sleep(Duration::from_millis(50));
                }
            });
            let result = work();
            done.store(true, Ordering::Relaxed);
            result
        })
    }

    fn end_once(&mut self) -> Result<()> {
        let sql = "select count(pg_terminate_backend(pid)) from pg_stat_activity where datname = any($1)";
        let ended = self.client.query(sql, &[&self.names]).doing(|| "end the sessions".into());
        ended.map(|_| ()).map_err(|e| {
            let hint = format!("grant pg_signal_backend to {}", self.server.conn.user());
            let e = if e.kind() == Kind::Failed { e.hint(hint) } else { e };
            log::warn!("{}", e.chain());
            e
        })
    }
}

/// What changes when a database is written to: counters of rows written, the files of its relations, its sequences.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Activity(i64, String, String);

/// Reads the counters of `name`, its catalogs' too: large objects, functions, grants and comments live there. What
/// `analyze` writes by itself is left out. A difference proves a write; where counters are off, or arrive late as
/// before PostgreSQL 15, equality proves nothing and `None` is returned.
pub(crate) fn read_activity(server: &Server, name: &str) -> Result<Option<Activity>> {
    if server.major < 15 {
        return Ok(None);
    }
    let sql = "select (select coalesce(sum(n_tup_ins + n_tup_upd + n_tup_del), 0)::bigint \
                from pg_stat_all_tables s join pg_class c on c.oid = s.relid \
                where not c.relisshared and s.schemaname <> 'pg_toast' and c.oid not in \
                ('pg_catalog.pg_statistic'::regclass, 'pg_catalog.pg_statistic_ext_data'::regclass)), \
               (select md5(coalesce(string_agg(format('%s/%s', oid, relfilenode), ',' order by oid), '')) from pg_class \
                where oid >= 16384), \
               (select md5(coalesce(string_agg(format('%I.%I %s', schemaname, sequencename, last_value), ',' \
                order by schemaname, sequencename), '')) from pg_sequences), \
               current_setting('track_counts')::boolean";
    let row =
        server.open_session(name)?.query_one(sql, &[]).doing(|| format!("read the activity of {name}"))?;
    let counting: bool = row.get(3);
    Ok(counting.then(|| Activity(row.get(0), row.get(1), row.get(2))))
}

/// Whether a database holds nothing of anybody's.
pub(crate) fn is_empty(server: &Server, name: &str) -> Result<bool> {
    // Only in these can a statement leave something that does not bring an entry in another of them.
    const CATALOGS: [&str; 13] = [
        "pg_class",
        "pg_proc",
        "pg_type",
        "pg_namespace",
        "pg_extension",
        "pg_publication",
        "pg_default_acl",
        "pg_collation",
        "pg_cast",
        "pg_conversion",
        "pg_operator",
        "pg_ts_config",
        "pg_ts_dict",
    ];
    let none = CATALOGS.map(|c| format!("not exists (select from {c} where oid >= 16384)")).join(" and ");
    let sql = format!(
        "select {none} and not exists (select from pg_largeobject_metadata) and not exists (select from pg_subscription \
         where subdbid = (select oid from pg_database where datname = current_database())) \
         and not exists (select from pg_replication_slots where database = current_database() and not temporary)"
    );
    let row = server.open_session(name)?.query_one(&sql, &[]).doing(|| format!("look into {name}"))?;
    Ok(row.get(0))
}

/// The properties of a database on this server.
pub(crate) fn read_properties(place: &mut TargetDatabase<'_>, name: &str) -> Result<Option<Properties>> {
    let major = place.server.major;
    database::read_properties(&mut place.admin, name, major)
}
