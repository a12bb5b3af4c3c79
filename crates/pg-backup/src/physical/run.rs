//! `run`: the whole cluster into one or more repositories.

use super::backup::Backup;
use super::fleet::Fleet;
use super::job::Job;
use super::source::{self, Source};
use super::{owner, plan, pooler};
use crate::manifest::Id;
use crate::outcome::Tally;
use crate::server::Server;
use crate::{cli, lock};
use jiff::Timestamp;
use postgres::Client;
use toban_core::config::Config;
use toban_core::repo::Repo;
use toban_core::repo::archive::Archive;
use toban_core::repo::keys::System;
use toban_core::run::{self, Report};
use toban_core::wal::WalName;
use toban_core::{Context, Error, Kind, Out, Result, out};

/// Runs the verb as a job.
pub(crate) fn run(args: &cli::Run, config: &Config, out: &mut Out<'_>) -> Result<()> {
    let repos = args.repos.open(config)?;
    if args.dry.dry_run {
        let (mut client, _, source) = reach(args, config)?;
        return plan::emit(&source, &repos, &mut client, out);
    }
    let cluster = &args.repos.cluster;
    run::job(config, "pg-backup", "run", cluster, |report| {
        let _lock = lock::take("run", cluster)?;
        act(args, config, &repos, report, out)
    })
}

/// The session that begins and ends the backup, a second one, and what the server is.
fn reach(args: &cli::Run, config: &Config) -> Result<(Client, Client, Source)> {
    let section = config.cluster.get(&args.repos.cluster);
    let (server, _) = Server::reach(&args.server(), section).map_err(pooler::seen)?;
    let mut client = server.session(server.conn.dbname())?;
    let mut second = server.session(server.conn.dbname())?;
    pooler::refuse(&mut client, &mut second)?;
    let data_dir = args.data_dir.as_deref().or(section.and_then(|s| s.data_dir.as_deref()));
    let source = source::read(&mut client, &server, data_dir).map_err(pooler::seen)?;
    Ok((client, second, source))
}

fn act(
    args: &cli::Run,
    config: &Config,
    repos: &[Repo],
    report: &mut Report,
    out: &mut Out<'_>,
) -> Result<()> {
    let (mut client, second, source) = reach(args, config)?;
    let started = Timestamp::now();
    let id = Id::new(started);
    let system = System { cluster: args.repos.cluster.clone(), identifier: source.identifier };
    let fleet = Fleet::new(repos);
    let job = Job {
        args,
        source: &source,
        id,
        system,
        started,
        owner: owner::of(&source.data_dir)?,
        fleet: &fleet,
    };
    let made = job.make(&mut client, second);
    let mut tally = Tally::default();
    // Where no repository is left, theirs are the errors to tell.
    if made.is_err() && fleet.afloat().is_empty() {
        fleet.land(&mut tally, |_| Ok(()))?;
        return tally.verdict("repositories");
    }
    let backup = made?;
    let mut lacking = Ok(());
    fleet.land(&mut tally, |repo| {
        measure(report, &backup, repo);
        match histories(&source, &backup, repo) {
            Err(e) if repo.required => lacking = Err(e),
            Err(e) => log::warn!("repository {}: {}", repo.name, e.chain()),
            Ok(()) => {}
        }
        out.emit(&plan::Made::of(&backup, repo))
    })?;
    tally.verdict("repositories")?;
    lacking.doing(|| "store the histories of the server's timelines".into())?;
    verdict(&backup)
}

/// Sees to it that the repository has the histories of the server's timelines. PostgreSQL archives each once, and never
/// where archive_mode was off when the server was promoted; without them no WAL of the timeline can be recovered.
///
/// # Errors
/// Those of the store; Failed when another timeline has this number there.
fn histories(source: &Source, backup: &Backup, repo: &Repo) -> Result<()> {
    let path = source.data_dir.join("pg_wal").join(WalName::History(backup.timeline).to_string());
    if backup.timeline.0 <= 1 || !path.exists() {
        return Ok(());
    }
    let text = std::fs::read_to_string(&path).doing(|| format!("read {}", path.display()))?;
    Archive::new(&*repo.store, backup.system()?).put_histories(backup.timeline, &text)
}

fn measure(report: &mut Report, backup: &Backup, repo: &Repo) {
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
fn verdict(backup: &Backup) -> Result<()> {
    if backup.damage.pages == 0 {
        return Ok(());
    }
    backup.damage.first.iter().for_each(|line| log::error!("damaged in the source: {line}"));
    let e = Error::new(
        Kind::Partial,
        format!("{} pages of the source are damaged; the backup is kept and marked", backup.damage.pages),
    );
    Err(e.hint("pg_amcheck and the server's log tell more; keep an older backup until this is mended"))
}
