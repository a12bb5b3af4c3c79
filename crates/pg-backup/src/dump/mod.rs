//! `dump`: databases, with roles and tablespaces, into one or more repositories.

mod choose;
mod gzip;
mod job;

pub(crate) use job::DumpJob;

use crate::child::{Output, no_skipped_objects};
use crate::copy::{CopyAfter, CopyScope, open_copies};
use crate::format::catalog::Manifest;
use crate::format::dump::{DumpForm, DumpManifest};
use crate::format::id::Id;
use crate::server::Server;
use crate::{cli, machine};
use choose::choose_databases;
use gzip::Gzip;
use job::database_size;
use serde::Serialize;
use std::io::Read;
use toban_core::config::Config;
use toban_core::repo::{Repo, RepoResults, Repos};
use toban_core::run::{self, Report};
use toban_core::{Context, Out, Record, Result, out, shutdown};

/// One database that would be dumped.
#[derive(Serialize)]
struct PlannedDump {
    database: String,
    database_bytes: u64,
    form: DumpForm,
    repos: Vec<String>,
}

impl Record for PlannedDump {
    const SCHEMA: &'static str = "pg-backup.dump-plan/1";
    const HEAD: &'static [&'static str] = &["would dump", "size", "as", "to"];
    fn cells(&self) -> Vec<String> {
        let form = self.form.suffix().into();
        vec![self.database.clone(), out::bytes(self.database_bytes), form, self.repos.join(" ")]
    }
}

/// A dump in a repository.
#[derive(Serialize)]
struct DumpedDatabase {
    repo: String,
    database: String,
    id: Id,
    stored_bytes: u64,
    tables: u64,
    rows: u64,
    seconds: f64,
}

impl Record for DumpedDatabase {
    const SCHEMA: &'static str = "pg-backup.dump/1";
    const HEAD: &'static [&'static str] = &["dumped", "id", "to", "stored", "tables", "rows", "seconds"];
    fn cells(&self) -> Vec<String> {
        vec![
            self.database.clone(),
            self.id.to_string(),
            self.repo.clone(),
            out::bytes(self.stored_bytes),
            self.tables.to_string(),
            self.rows.to_string(),
            format!("{:.1}", self.seconds),
        ]
    }
}

impl DumpedDatabase {
    fn from_manifest(manifest: &DumpManifest, repo: &Repo) -> DumpedDatabase {
        DumpedDatabase {
            repo: repo.name.clone(),
            database: manifest.database.name.clone(),
            id: manifest.id.clone(),
            stored_bytes: manifest.stored_bytes(),
            tables: manifest.tables,
            rows: manifest.rows,
            seconds: manifest.seconds(),
        }
    }
}

/// Runs the verb as a job.
pub(crate) fn run(args: &cli::Dump, config: &Config, out: &mut Out<'_>) -> Result<()> {
    let repos = args.repos.open(config)?;
    if args.dry.dry_run {
        return emit_plan(args, config, &repos, out);
    }
    let cluster = &args.repos.cluster;
    let pairs = open_copies(config, &args.repos, &repos)?;
    let after = CopyAfter { pairs, cluster, scope: CopyScope::Dumps, new_system: false };
    run::job(config, "pg-backup", "dump", cluster, |report| {
        let _lock = machine::take_lock("dump", cluster)?;
        let done = dump_all(args, config, &repos, report, out);
        after.copy_after(done, report, out)
    })
}

fn dump_form(args: &cli::Dump) -> DumpForm {
    match args.format {
        cli::Form::Custom => DumpForm::Custom,
        cli::Form::Sql => DumpForm::Sql,
    }
}

/// Prints what a run would do.
fn emit_plan(args: &cli::Dump, config: &Config, repos: &Repos, out: &mut Out<'_>) -> Result<()> {
    let (server, chosen) = choose_databases(args, config)?;
    let mut results = RepoResults::default();
    chosen.refused.into_iter().for_each(|e| _ = results.start_item::<()>(Err(e)));
    // The programs must be there, or the night's run fails for what the dry run could have shown.
    server.command_for("pg_dump", "")?;
    for database in chosen.names {
        let mut session = server.open_session(&database)?;
        let database_bytes = database_size(&mut session.transaction().doing(|| "begin".into())?)?;
        let repos = repos.iter().map(|r| r.name.clone()).collect();
        out.emit(&PlannedDump { database, database_bytes, form: dump_form(args), repos })?;
        results.add_item(Ok(()));
    }
    results.verdict("dumps")
}

fn dump_all(
    args: &cli::Dump,
    config: &Config,
    repos: &Repos,
    report: &mut Report,
    out: &mut Out<'_>,
) -> Result<()> {
    let (server, chosen) = choose_databases(args, config)?;
    let job = DumpJob {
        server: &server,
        cluster: &args.repos.cluster,
        form: dump_form(args),
        level: args.level,
        label: args.label.as_deref(),
        globals: dump_globals(&server, args.globals)?,
    };
    let mut results = RepoResults::default();
    chosen.refused.into_iter().for_each(|e| _ = results.start_item::<()>(Err(e)));
    for name in &chosen.names {
        shutdown::check()?;
        let made = job.dump_database(name, repos).doing(|| format!("dump {name}"));
        let Some(copies) = results.start_item(made) else { continue };
        for (repo, stored) in copies.stored {
            if let (Some(()), Some(manifest)) = (results.add_copy(repo, stored), &copies.made) {
                report_dump(report, manifest, &repo.name);
                out.emit(&DumpedDatabase::from_manifest(manifest, repo))?;
            }
        }
    }
    results.verdict("dumps")
}

fn report_dump(report: &mut Report, manifest: &DumpManifest, repo: &str) {
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
fn dump_globals(server: &Server, which: cli::Globals) -> Result<Option<Vec<u8>>> {
    let mut command = server.command_for("pg_dumpall", server.conn.dbname())?;
    command.args(["--globals-only", "--database", server.conn.dbname()]);
    match which {
        cli::Globals::None => return Ok(None),
        cli::Globals::NoPasswords => _ = command.arg("--no-role-passwords"),
        cli::Globals::Full => {}
    }
    // Once for all databases of a run, and before the first: a role that lacks the right to read them learns it at once,
    // not after hours of dumping.
    let sql = Output::start(command, "pg_dumpall", no_skipped_objects)?;
    let mut packed = Vec::new();
    Gzip::new(sql, 6).read_to_end(&mut packed).doing(|| "dump roles and tablespaces".into())?;
    Ok(Some(packed))
}
