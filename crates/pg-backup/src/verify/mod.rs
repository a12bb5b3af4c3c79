//! `verify`: reads back what is stored and compares it with the sums that were taken when it was written.

mod backups;
mod dumps;
mod wal;

use crate::cli;
use crate::format::backup::BackupCatalog;
use crate::format::dump::DumpCatalog;
use crate::format::id::Id;
use jiff::Timestamp;
use toban_core::config::Config;
use toban_core::repo::{Repo, RepoResults};
use toban_core::run::{self, Report};
use toban_core::{Error, Kind, Out, Record, Result};

/// Runs the verb as a job.
pub(crate) fn run(args: &cli::Verify, config: &Config, out: &mut Out<'_>) -> Result<()> {
    let repos = args.repos.open(config)?;
    run::job(config, "pg-backup", "verify", &args.repos.cluster, |report| {
        let scratch = if args.deep { Some(dumps::ScratchServer::connect(args, config)?) } else { None };
        let mut verification =
            Verification { args, results: RepoResults::default(), seen: Vec::new(), report, out };
        for repo in &repos {
            verification.verify_repo(repo, scratch.as_ref())?;
        }
        verification.finish()
    })
}

/// What all repositories of a run share.
struct Verification<'a, 'o> {
    args: &'a cli::Verify,
    results: RepoResults,
    /// IDs and names of what was there and was meant.
    seen: Vec<String>,
    report: &'a mut Report,
    out: &'a mut Out<'o>,
}

impl Verification<'_, '_> {
    fn verify_repo(&mut self, repo: &Repo, scratch: Option<&dumps::ScratchServer>) -> Result<()> {
        // Nothing verified is not well.
        let holds = repo.check_holds(&self.args.repos.cluster).map_err(|e| match e.kind() {
            Kind::Usage => e.kind_as(Kind::Findings),
            _ => e,
        });
        if self.args.ids.is_empty() && self.results.start_item(holds).is_none() {
            return Ok(());
        }
        let (cluster, now) = (&self.args.repos.cluster, Timestamp::now());
        let catalogs = BackupCatalog::read(repo, cluster, now)
            .and_then(|b| Ok((b, DumpCatalog::read(repo, cluster, now)?)));
        let Some((backups, dumps)) = self.results.start_item(catalogs) else { return Ok(()) };
        self.verify_backups(repo, backups)?;
        self.verify_dumps(repo, dumps, scratch)
    }

    fn is_wanted(&self, id: &Id, is_newest: bool) -> bool {
        match self.args.newest {
            true => is_newest,
            false => self.args.ids.is_empty() || self.args.ids.contains(&id.to_string()),
        }
    }

    fn add_damaged(&mut self, e: Error) {
        self.results.add_item::<()>(Err(e));
    }

    /// Takes the record of what is whole; `None` for what a prune has taken away meanwhile.
    fn add(&mut self, verified: Result<Option<impl Record>>, note: String) -> Result<()> {
        if let Some(Some(record)) = self.results.add_item(verified) {
            self.report.note(note);
            self.out.emit(&record)?;
        }
        Ok(())
    }

    fn finish(mut self) -> Result<()> {
        for id in self.args.ids.iter().filter(|id| !self.seen.contains(id)) {
            let e = Error::usage(format!("no dump or backup {id}"));
            self.results.start_item::<()>(Err(e.hint("`pg-backup list` shows the IDs")));
        }
        if self.seen.is_empty() && self.args.ids.is_empty() && self.results.is_clean() {
            let e = format!("there is no dump or backup of cluster {}", self.args.repos.cluster);
            self.results.start_item::<()>(Err(Error::new(Kind::Findings, e)));
        }
        self.results.verdict("verifications")
    }
}
