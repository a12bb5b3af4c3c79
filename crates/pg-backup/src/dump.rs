//! `dump`: databases, with roles and tablespaces, into one or more repositories.

use crate::child::{Output, no_skipped_objects};
use crate::cli;
use crate::fanout::{Spread, spread};
use crate::gzip::Gzip;
use crate::manifest::{self, FORMAT, Form, GLOBALS, Id, Manifest, ROWS};
use crate::outcome::Tally;
use crate::rows::{self, Count};
use crate::server::{self, Chosen, Server};
use crate::{database, dump_plan, hidden, lock, order};
use jiff::Timestamp;
use postgres::{IsolationLevel, Transaction};
use std::collections::BTreeMap;
use std::io::Read;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use toban_core::config::Config;
use toban_core::progress::Progress;
use toban_core::repo::Repo;
use toban_core::run::{self, Report};
use toban_core::store::Key;
use toban_core::sum::Sum;
use toban_core::sync::joined;
use toban_core::{Context, Error, Kind, Out, Result, out, shutdown};

/// Runs the verb as a job.
pub(crate) fn run(args: &cli::Dump, config: &Config, out: &mut Out<'_>) -> Result<()> {
    let repos = args.repos.open(config)?;
    if args.dry.dry_run {
        return dump_plan::emit(args, config, &repos, out);
    }
    let cluster = &args.repos.cluster;
    run::job(config, "pg-backup", "dump", cluster, |report| {
        let _lock = lock::take("dump", cluster)?;
        act(args, config, &repos, report, out)
    })
}

pub(crate) fn form(args: &cli::Dump) -> Form {
    match args.format {
        cli::Form::Custom => Form::Custom,
        cli::Form::Sql => Form::Sql,
    }
}

pub(crate) fn chosen(args: &cli::Dump, config: &Config) -> Result<(Server, Chosen)> {
    let section = config.cluster.get(&args.repos.cluster);
    let (server, mut client) = Server::reach(&args.server, section)?;
    let listed = server::databases(&mut client)?;
    let configured = section.map(|s| s.databases.clone()).unwrap_or_default();
    // A cluster's section without names means all of it: a timer must not back up less than one believes.
    let all = args.all || (args.databases.is_empty() && section.is_some() && configured.is_empty());
    let named = match (args.databases.is_empty(), configured.is_empty()) {
        (false, _) => args.databases.clone(),
        (true, false) => configured,
        (true, true) => vec![server.conn.dbname().to_string()],
    };
    let chosen = if all { server::choose_all(&listed)? } else { server::choose(&listed, &named)? };
    if args.databases.is_empty() && !all {
        warn_of_others(&listed, &chosen.names);
    }
    Ok((server, chosen))
}

/// `pg-backup dump` by a connection to `postgres` dumps what nobody uses.
fn warn_of_others(listed: &[server::Listed], names: &[String]) {
    let others =
        || listed.iter().filter(|d| !d.is_stock_template() && d.name != "postgres").map(|d| d.name.as_str());
    if names == ["postgres"] && others().next().is_some() {
        let others: Vec<&str> = others().collect();
        log::warn!(
            "only the maintenance database postgres is dumped; there are also {}: name them, or --all",
            others.join(", ")
        );
    }
}

fn act(
    args: &cli::Dump,
    config: &Config,
    repos: &[Repo],
    report: &mut Report,
    out: &mut Out<'_>,
) -> Result<()> {
    let (server, chosen) = chosen(args, config)?;
    let job = Job {
        server: &server,
        cluster: &args.repos.cluster,
        form: form(args),
        level: args.level,
        label: args.label.as_deref(),
        globals: globals(&server, args.globals)?,
    };
    let mut tally = Tally::default();
    chosen.refused.into_iter().for_each(|e| _ = tally.item::<()>(Err(e)));
    for name in &chosen.names {
        shutdown::check()?;
        let done = job.dump(name, repos).doing(|| format!("dump {name}"));
        let Some(kept) = tally.item(done) else { continue };
        for (repo, stored) in repos.iter().zip(kept.stored) {
            if tally.copy(stored, repo.required).is_some() {
                let dumped = kept.manifest.dumped(&repo.name);
                measure(report, &kept.manifest, &repo.name);
                out.emit(&dumped)?;
            }
        }
    }
    tally.verdict("dumps")
}

fn measure(report: &mut Report, manifest: &Manifest, repo: &str) {
    let labels = [("database", manifest.database.name.as_str()), ("repo", repo)];
    let stored = manifest.stored_bytes();
    report.note(format!("{} {} in {repo}: {}", manifest.database.name, manifest.id, out::bytes(stored)));
    report.gauge(
        "dump_stored_bytes",
        "Bytes that the newest dump takes in the repository",
        &labels,
        stored as f64,
    );
    let size = manifest.database_bytes as f64;
    report.gauge("dump_database_bytes", "Size of the database when it was dumped", &labels, size);
    report.gauge("dump_duration_seconds", "Seconds that the newest dump took", &labels, manifest.seconds());
    let finished = manifest.finished.as_second() as f64;
    report.gauge("dump_finished_timestamp_seconds", "When the newest dump was complete", &labels, finished);
}

/// Roles and tablespaces of the whole server, as compressed SQL; `None` when they are not wanted.
///
/// # Errors
/// When pg_dumpall may not read them, with what would help.
pub(crate) fn globals(server: &Server, which: cli::Globals) -> Result<Option<Vec<u8>>> {
    let mut command = server.program("pg_dumpall", server.conn.dbname())?;
    command.args(["--globals-only", "--database", server.conn.dbname()]);
    match which {
        cli::Globals::None => return Ok(None),
        cli::Globals::NoPasswords => _ = command.arg("--no-role-passwords"),
        cli::Globals::Full => {}
    }
    let sql = Output::start(command, "pg_dumpall", no_skipped_objects)?;
    let mut packed = Vec::new();
    Gzip::new(sql, 6).read_to_end(&mut packed).doing(|| "dump roles and tablespaces".into())?;
    Ok(Some(packed))
}

/// What all dumps of a run share.
pub(crate) struct Job<'a> {
    pub(crate) server: &'a Server,
    pub(crate) cluster: &'a str,
    pub(crate) form: Form,
    pub(crate) level: u32,
    pub(crate) label: Option<&'a str>,
    pub(crate) globals: Option<Vec<u8>>,
}

/// A dump and, for each repository, whether it has it.
pub(crate) struct Kept {
    pub(crate) manifest: Manifest,
    pub(crate) stored: Vec<Result<()>>,
}

impl Job<'_> {
    /// Dumps one database into `repos`: the dump, its row counts from the same snapshot, the globals, and last the
    /// manifest, which makes it visible.
    ///
    /// # Errors
    /// When the database could not be dumped; a repository's trouble is in [`Kept::stored`].
    pub(crate) fn dump(&self, name: &str, repos: &[Repo]) -> Result<Kept> {
        let started = Timestamp::now();
        let id = Id::new(started);
        let mut session = self.server.session(name)?;
        let snapshot =
            session.build_transaction().isolation_level(IsolationLevel::RepeatableRead).read_only(true);
        let mut snapshot = snapshot.start().doing(|| "begin a snapshot".into())?;
        let properties = database::read(&mut snapshot, name, self.server.major)?;
        let properties = properties.ok_or_else(|| Error::failed(format!("database {name} is gone")))?;
        hidden::warn(&mut snapshot, name)?;
        let database_bytes = size(&mut snapshot)?;
        let source = order::source(&mut snapshot)?;
        let key = manifest::key(self.cluster, name, &id, self.form.suffix())?;
        let (spread, counts) = self.copy(name, &key, &mut snapshot, repos)?;

        let packed = rows::pack(&counts)?;
        let mut parts =
            BTreeMap::from([(self.form.suffix().to_string(), spread.sum), (ROWS.into(), sum(&packed))]);
        parts.extend(self.globals.as_ref().map(|g| (GLOBALS.to_string(), sum(g))));
        let manifest = Manifest {
            format: FORMAT,
            id,
            cluster: self.cluster.into(),
            label: self.label.map(Into::into),
            started,
            finished: Timestamp::now(),
            server_version: self.server.version.clone(),
            major: self.server.major,
            pg_dump: self.pg_dump_version()?,
            form: self.form,
            database_bytes,
            tables: counts.len() as u64,
            rows: counts.iter().map(|c| c.rows.unsigned_abs()).sum(),
            database: properties,
            parts,
            source: Some(source),
        };
        let rest = |(repo, stored): (&Repo, Result<()>)| {
            stored.and_then(|()| {
                self.commit(repo, &manifest, &packed).inspect_err(|e| discard(repo, &manifest, e))
            })
        };
        let stored = repos.iter().zip(spread.stored).map(rest).collect();
        Ok(Kept { manifest, stored })
    }

    /// Streams the dump while the rows are counted in the same snapshot.
    fn copy(
        &self,
        name: &str,
        key: &Key,
        at: &mut Transaction<'_>,
        repos: &[Repo],
    ) -> Result<(Spread, Vec<Count>)> {
        let sql = "select pg_export_snapshot(), pg_backend_pid()";
        let row = at.query_one(sql, &[]).doing(|| "export the snapshot".into())?;
        // What pg_dump compresses itself passes us in unknown length.
        let total = (self.form == Form::Sql).then(|| size(at)).transpose()?;
        let progress = Progress::bytes(&format!("dump {name}"), total, false);
        let body = self.body(name, row.get(0), progress)?;
        let lost = AtomicBool::new(false);
        thread::scope(|scope| {
            let copying = scope.spawn(|| {
                let spread = spread(body, key, repos);
                if spread.as_ref().map_or(true, |s| s.stored.iter().all(Result::is_err)) {
                    lost.store(true, Ordering::SeqCst);
                    self.cancel(name, row.get(1));
                }
                spread
            });
            let counts = rows::count_while(at, || !lost.load(Ordering::SeqCst));
            // Whoever failed first is the cause: a count that fails ends the snapshot, and with it pg_dump.
            let cancelled = lost.load(Ordering::SeqCst);
            let spread = joined(copying.join().map(Ok))?;
            match cancelled {
                true => Ok((spread?, Vec::new())),
                false => counts.and_then(|counts| Ok((spread?, counts))),
            }
        })
    }

    /// Ends a count that nobody needs any more; it may take hours.
    fn cancel(&self, name: &str, backend: i32) {
        let done = self.server.session(name).and_then(|mut session| {
            session.execute("select pg_cancel_backend($1)", &[&backend]).doing(|| "end the count".into())
        });
        if let Err(e) = done {
            log::debug!("{}", e.chain());
        }
    }

    fn body(&self, name: &str, snapshot: &str, progress: Progress) -> Result<Box<dyn Read + Send>> {
        let mut command = self.server.program("pg_dump", name)?;
        command.args(["--snapshot", snapshot]);
        if self.form == Form::Custom {
            command.args(["--format=custom", &format!("--compress={}", self.level)]);
            let dump = Output::start(command, "pg_dump", no_skipped_objects)?;
            return Ok(Box::new(progress.wrap(dump)));
        }
        let dump = Output::start(command, "pg_dump", no_skipped_objects)?;
        Ok(Box::new(Gzip::new(progress.wrap(dump), self.level)))
    }

    fn pg_dump_version(&self) -> Result<String> {
        let mut command = Command::new(self.server.program("pg_dump", "")?.get_program());
        command.arg("--version");
        let text = Output::start(command, "pg_dump", no_skipped_objects)?.text()?;
        // pg_dump (PostgreSQL) 15.18 (Debian …)
        Ok(text.split_whitespace().nth(2).unwrap_or_default().to_string())
    }

    /// Stores the small parts and then the manifest.
    fn commit(&self, repo: &Repo, manifest: &Manifest, rows: &[u8]) -> Result<()> {
        shutdown::check()?;
        if let Some(globals) = &self.globals {
            put(repo, manifest, GLOBALS, globals)?;
        }
        put(repo, manifest, ROWS, rows)?;
        put(repo, manifest, "json", &manifest.to_json()?)
    }
}

/// Takes back what a repository got of a dump that cannot be finished there: on a full disk it would hold the room that
/// the next one needs. Only where there is no manifest, and the store answers.
fn discard(repo: &Repo, manifest: &Manifest, why: &Error) {
    if why.kind() == Kind::Retry {
        return;
    }
    let done = || -> Result<()> {
        if repo.store.stat(&manifest.key("json")?)?.is_some() {
            return Ok(());
        }
        manifest.parts.keys().try_for_each(|suffix| repo.store.remove(&manifest.key(suffix)?))
    };
    if let Err(e) = done() {
        log::debug!("what was stored of {} stays in {}: {}", manifest.id, repo.name, e.chain());
    }
}

fn put(repo: &Repo, manifest: &Manifest, suffix: &str, bytes: &[u8]) -> Result<()> {
    let one = std::slice::from_ref(repo);
    spread(bytes, &manifest.key(suffix)?, one)?.stored.into_iter().collect()
}

fn sum(bytes: &[u8]) -> Sum {
    Sum { bytes: bytes.len() as u64, sha256: toban_core::sum::hex(&toban_core::sum::sha256(bytes)) }
}

pub(crate) fn size(at: &mut Transaction<'_>) -> Result<u64> {
    let row = at.query_one("select pg_database_size(current_database())", &[]);
    Ok(row.doing(|| "ask for the size of the database".into())?.get::<_, i64>(0).unsigned_abs())
}
