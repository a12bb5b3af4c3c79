//! `run`: the whole cluster into one or more repositories.

mod base;
mod base_backup;
mod block_map;
mod compare;
mod conf;
mod copy;
mod digests;
mod exclude;
mod index_lines;
mod job;
mod pack;
mod page;
mod remote;
#[cfg(test)]
mod scale;
mod source;
mod state;
mod summaries;
mod wal;
mod walk;

use crate::copy::{CopyAfter, CopyScope, open_copies};
use crate::data_dir::owner;
use crate::format::backup::BackupManifest;
use crate::format::catalog::Manifest;
use crate::format::copies::Copies;
use crate::format::id::Id;
use crate::server::Server;
use crate::{cli, machine};
use base::{BaseSearch, Foundation};
use jiff::Timestamp;
use job::{BackupJob, FinishedBackup};
use postgres::Client;
use remote::RemoteSource;
use serde::Serialize;
use source::SourceServer;
pub(crate) use source::{SourcePlace, missing_rights, shows_pooler};
use std::sync::OnceLock;
use toban_core::config::{Config, Span};
use toban_core::repo::archive::Archive;
use toban_core::repo::keys::System;
use toban_core::repo::{Repo, RepoResults, RepoSet, Repos};
use toban_core::run::{self, Report};
use toban_core::wal::{Lsn, Timeline, WalName};
use toban_core::{Context, Error, Kind, Out, Record, Result, out};

/// What would be backed up.
#[derive(Serialize)]
struct PlannedBackup {
    data_dir: String,
    /// None of a server on another machine, which sends them without a list.
    files: Option<u64>,
    /// Of a server on another machine those of its databases; none where the role may not ask.
    bytes: Option<u64>,
    tablespaces: usize,
    checksums: bool,
    standby: bool,
    /// The backup that it would share unchanged blocks with.
    built_on: Option<Id>,
    /// Why it would store everything.
    full_because: Option<String>,
    repos: Vec<String>,
}

impl Record for PlannedBackup {
    const SCHEMA: &'static str = "pg-backup.run-plan/1";
    const HEAD: &'static [&'static str] =
        &["would back up", "files", "size", "tablespaces", "page checksums", "changes since", "to"];
    fn cells(&self) -> Vec<String> {
        vec![
            self.data_dir.clone(),
            self.files.map_or("-".into(), |files| files.to_string()),
            self.bytes.map_or("-".into(), out::bytes),
            self.tablespaces.to_string(),
            if self.checksums { "compared" } else { "none" }.into(),
            match &self.full_because {
                Some(why) => format!("{EVERYTHING}: {why}"),
                None => describe_base(self.built_on.as_ref()),
            },
            self.repos.join(" "),
        ]
    }
}

/// A backup in a repository.
#[derive(Serialize)]
struct MadeBackup {
    repo: String,
    id: Id,
    /// The backup that it shares unchanged blocks with; none where it stored everything.
    built_on: Option<Id>,
    files: u64,
    bytes: u64,
    /// Bytes of the cluster's files that were read.
    read_bytes: u64,
    /// Bytes that it added to the repository.
    stored_bytes: u64,
    start_lsn: Lsn,
    stop_lsn: Lsn,
    timeline: Timeline,
    damaged_pages: u64,
    seconds: f64,
}

impl MadeBackup {
    fn from_manifest(backup: &BackupManifest, repo: &Repo) -> MadeBackup {
        MadeBackup {
            repo: repo.name.clone(),
            id: backup.id.clone(),
            built_on: backup.built_on.as_ref().map(|b| b.id.clone()),
            files: backup.files,
            bytes: backup.bytes,
            read_bytes: 0,
            stored_bytes: backup.stored_bytes(),
            start_lsn: backup.start_lsn,
            stop_lsn: backup.stop_lsn,
            timeline: backup.timeline,
            damaged_pages: backup.damage.pages,
            seconds: backup.seconds(),
        }
    }
}

impl Record for MadeBackup {
    const SCHEMA: &'static str = "pg-backup.run/1";
    const HEAD: &'static [&'static str] =
        &["backed up", "to", "changes since", "files", "size", "read", "added", "from", "until", "seconds"];
    fn cells(&self) -> Vec<String> {
        vec![
            self.id.to_string(),
            self.repo.clone(),
            describe_base(self.built_on.as_ref()),
            self.files.to_string(),
            out::bytes(self.bytes),
            out::bytes(self.read_bytes),
            out::bytes(self.stored_bytes),
            self.start_lsn.to_string(),
            self.stop_lsn.to_string(),
            format!("{:.1}", self.seconds),
        ]
    }
}

/// A full backup each month bounds how many objects one restore depends on.
const FULL_EVERY: Span = Span(std::time::Duration::from_secs(30 * 86400));

/// Runs the verb as a job.
pub(crate) fn run(args: &cli::Run, config: &Config, out: &mut Out<'_>) -> Result<()> {
    let repos = args.repos.open(config)?;
    if args.dry.dry_run {
        let Sessions { mut client, source, .. } = connect_source(args, config)?;
        let system = System { cluster: args.repos.cluster.clone(), identifier: source.identifier };
        let search = search_base(args, config, &source, &repos, &system);
        return emit_plan(&search, &mut client, out);
    }
    let cluster = &args.repos.cluster;
    // Opened now: a misspelt name must not be found out after hours of work.
    let pairs = open_copies(config, &args.repos, &repos)?;
    let after = CopyAfter { pairs, cluster, scope: CopyScope::Backups, new_system: args.new_system };
    run::job(config, "pg-backup", "run", cluster, |report| {
        // A second run would remove the map of blocks that the first one is writing (MapWriter::create takes
        // it for what a run that died has left), and keep WAL back by another slot.
        let _lock = machine::take_lock("run", cluster)?;
        let done = back_up(args, config, &repos, report, out);
        after.copy_after(done, report, out)
    })
}

/// Prints what a run would do.
fn emit_plan(search: &BaseSearch<'_>, client: &mut Client, out: &mut Out<'_>) -> Result<()> {
    let source = search.source;
    let (built_on, full_because) = match search.foresee() {
        Ok(id) => (Some(id), None),
        Err(why) => (None, Some(why.chain())),
    };
    let (files, bytes) = if search.args.remote {
        (None, source::sum_databases(client)?)
    } else {
        let listed = walk::walk_data_dir(&source.data_dir, &source.version_folder)?;
        (Some(listed.len() as u64), Some(walk::total_bytes(&listed)))
    };
    out.emit(&PlannedBackup {
        data_dir: source.data_dir.display().to_string(),
        files,
        bytes,
        tablespaces: source::list_tablespaces(client)?.len(),
        checksums: source.checksums,
        standby: source.standby,
        built_on,
        full_because,
        repos: search.repos.iter().map(|r| r.name.clone()).collect(),
    })
}

/// What a full backup stores.
const EVERYTHING: &str = "everything";

/// What changed since which backup is stored, in a table.
fn describe_base(built_on: Option<&Id>) -> String {
    built_on.map_or(EVERYTHING.into(), Id::to_string)
}

/// Where to look for what a run builds on.
fn search_base<'a>(
    args: &'a cli::Run,
    config: &Config,
    source: &'a SourceServer,
    repos: &'a Repos,
    system: &'a System,
) -> BaseSearch<'a> {
    let section = config.cluster.get(&args.repos.cluster).and_then(|section| section.full_every);
    let full_every = args.full_every.or(section).unwrap_or(FULL_EVERY);
    BaseSearch { args, full_every, source, repos, system, now: Timestamp::now() }
}

/// The session that begins and ends the backup, a second one, and what the server is.
struct Sessions {
    client: Client,
    second: Client,
    source: SourceServer,
    /// Where the files come over the network.
    remote: Option<RemoteSource>,
}

/// Connects, and makes sure that the server can be backed up.
fn connect_source(args: &cli::Run, config: &Config) -> Result<Sessions> {
    let section = config.cluster.get(&args.repos.cluster);
    let (server, _) = Server::connect(&args.server(), section).map_err(source::name_pooler)?;
    let mut client = server.open_session(server.conn.dbname())?;
    // Two sessions: one holds the backup open, the other the slot. A server that runs out of room for WAL ends the
    // session of the slot, which must not end the backup.
    let mut second = server.open_session(server.conn.dbname())?;
    source::refuse_pooler(&mut client, &mut second)?;
    let data_dir = args.data_dir.as_deref().or(section.and_then(|s| s.data_dir.as_deref()));
    let place = if args.remote { SourcePlace::Remote } else { SourcePlace::Here(data_dir) };
    let source = source::read_source(&mut client, &server, place).map_err(source::name_pooler)?;
    let remote = args.remote.then(|| RemoteSource { conn: server.conn.clone() });
    Ok(Sessions { client, second, source, remote })
}

/// Backs up; again and reading everything where the WAL summaries turned out to be untrue, which is told as damage.
fn back_up(
    args: &cli::Run,
    config: &Config,
    repos: &Repos,
    report: &mut Report,
    out: &mut Out<'_>,
) -> Result<()> {
    let attempt = Attempt { args, config, repos, trusts_summaries: true, untrue: OnceLock::new() };
    let made = attempt.back_up(report, out);
    let Some(block) = attempt.untrue.get() else { return made };
    log::error!("{block} changed, and no WAL summary says so: everything is read");
    let again = Attempt { trusts_summaries: false, untrue: OnceLock::new(), ..attempt };
    again.back_up(report, out)?;
    let e = Error::corrupt(format!(
        "the server's WAL summaries are untrue: {block} changed; the backup is whole"
    ));
    Err(e.hint("set summarize_wal = off until the server is updated; every backup made with it since the last full one is suspect"))
}

/// One attempt to back up.
struct Attempt<'a> {
    args: &'a cli::Run,
    config: &'a Config,
    repos: &'a Repos,
    /// Whether the WAL summaries may say what need not be read.
    trusts_summaries: bool,
    /// Where a block is named that changed although no summary says so.
    untrue: OnceLock<String>,
}

impl Attempt<'_> {
    fn back_up(&self, report: &mut Report, out: &mut Out<'_>) -> Result<()> {
        let Attempt { args, config, repos, .. } = *self;
        let Sessions { mut client, second, source, remote } = connect_source(args, config)?;
        let started = Timestamp::now();
        let system = System { cluster: args.repos.cluster.clone(), identifier: source.identifier };
        let search = search_base(args, config, &source, repos, &system);
        let foundation = search.find();
        match &foundation {
            Foundation::Base(base) => log::info!("what changed since {} is stored", base.manifest.id),
            Foundation::Full(why) => log::info!("everything is stored: {why}"),
        }
        let set = RepoSet::new(repos)?;
        let job = BackupJob {
            args,
            source: &source,
            id: Id::new(started),
            system: system.clone(),
            started,
            owner: match &remote {
                None => owner::read_owner(&source.data_dir)?,
                Some(_) => RemoteSource::owner(&source),
            },
            repos: &set,
            remote: remote.as_ref(),
            foundation: &foundation,
            key: foundation.digest_key()?,
            map_path: search.map_path(),
            trusts_summaries: self.trusts_summaries,
            untrue: &self.untrue,
        };
        // Where a repository fails, the others go on: the backup is whole in each that took all of it.
        let made = job.back_up(&mut client, second);
        let copies = Copies::finish(set, made)?;
        let (mut results, mut lacking) = (RepoResults::default(), Ok(()));
        for (repo, stored) in copies.stored {
            let (Some(()), Some(finished)) = (results.add_copy(repo, stored), &copies.made) else {
                continue;
            };
            let FinishedBackup { manifest: backup, read_bytes } = finished;
            report_backup(report, backup, repo);
            match store_histories(&source, remote.as_ref(), backup, repo) {
                Err(e) if repo.required => lacking = Err(e),
                Err(e) => log::warn!("repository {}: {}", repo.name, e.chain()),
                Ok(()) => {}
            }
            out.emit(&MadeBackup { read_bytes: *read_bytes, ..MadeBackup::from_manifest(backup, repo) })?;
        }
        results.verdict("repositories")?;
        lacking.doing(|| "store the histories of the server's timelines".into())?;
        copies.made.map_or(Ok(()), |finished| refuse_damage(&finished.manifest))
    }
}

/// Sees to it that the repository has the histories of the server's timelines. PostgreSQL archives each once, and never
/// where archive_mode was off when the server was promoted; without them no WAL of the timeline can be recovered.
///
/// # Errors
/// Those of the store; Failed when another timeline has this number there.
fn store_histories(
    source: &SourceServer,
    remote: Option<&RemoteSource>,
    backup: &BackupManifest,
    repo: &Repo,
) -> Result<()> {
    let path = source.data_dir.join("pg_wal").join(WalName::History(backup.timeline).to_string());
    if backup.timeline.0 <= 1 || remote.is_none() && !path.exists() {
        return Ok(());
    }
    let text = match remote {
        Some(remote) => remote.read_history(backup.timeline)?,
        None => std::fs::read_to_string(&path).doing(|| format!("read {}", path.display()))?,
    };
    Archive::new(&*repo.store, backup.system()?).put_histories(backup.timeline, &text)
}

fn report_backup(report: &mut Report, backup: &BackupManifest, repo: &Repo) {
    let labels = [("repo", repo.name.as_str())];
    report.note(format!("{} in {}: {}", backup.id, repo.name, out::bytes(backup.stored_bytes())));
    let gauges = [
        (
            "backup_stored_bytes",
            "Bytes that the newest backup takes in the repository",
            backup.stored_bytes() as f64,
        ),
        ("backup_bytes", "Bytes of the cluster's files when it was backed up", backup.bytes as f64),
        ("backup_duration_seconds", "Seconds that the newest backup took", backup.seconds()),
        ("backup_damaged_pages", "Pages whose checksum is wrong in the source", backup.damage.pages as f64),
    ];
    gauges.iter().for_each(|(name, help, value)| report.gauge(name, help, &labels, *value));
}

/// A backup of a damaged cluster is kept, and is not a success.
fn refuse_damage(backup: &BackupManifest) -> Result<()> {
    if backup.damage.pages == 0 {
        return Ok(());
    }
    backup.damage.first.iter().for_each(|line| log::error!("damaged in the source: {line}"));
    let e = Error::new(
        Kind::Partial,
        format!("{} pages of the source are damaged; the backup is kept and marked", backup.damage.pages),
    );
    Err(e.hint("pg_amcheck and the server's log show more; keep an older backup until this is repaired"))
}
