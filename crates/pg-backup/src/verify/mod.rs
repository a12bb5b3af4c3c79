//! `verify`: reads back what is stored and compares it with the sums that were taken when it was written.

mod backups;
mod cold;
mod due;
mod dumps;
mod readings;
mod wal;

use crate::cli;
use crate::format::backup::BackupCatalog;
use crate::format::dump::DumpCatalog;
use crate::format::id::Id;
use crate::format::verdict::VerifyMode;
use due::{DueRule, DueSet, HeldItems, TimeLimit};
use dumps::ChosenDumps;
use jiff::Timestamp;
use toban_core::config::Config;
use toban_core::repo::{Repo, RepoResults};
use toban_core::run::{self, Report};
use toban_core::{Error, Kind, Out, Record, Result};
use wal::{HeldWal, WalReading, WalWanted};

/// Runs the verb as a job.
pub(crate) fn run(args: &cli::Verify, config: &Config, out: &mut Out<'_>) -> Result<()> {
    let repos = args.repos.open_to_read(config, &args.identity)?;
    let signer = args.sign.find_signer(config, "pg-backup")?;
    run::job(config, "pg-backup", "verify", &args.repos.cluster, |report| {
        let scratch = if args.deep { Some(dumps::ScratchServer::connect(args, config)?) } else { None };
        let mut verification = Verification {
            args,
            mode: VerifyMode { fast: args.fast, signer: signer.as_ref() },
            limit: TimeLimit::begin(args.limit_time.map(|span| span.0)),
            left: 0,
            results: RepoResults::default(),
            seen: Vec::new(),
            report,
            out,
        };
        for repo in &repos {
            verification.verify_repo(repo, scratch.as_ref())?;
        }
        verification.finish()
    })
}

/// With `--within`: what is due.
fn due_rule(args: &cli::Verify) -> Option<DueRule> {
    args.within.map(|span| DueRule { within: span.0, limit_bytes: args.limit_bytes })
}

/// What one repository holds of the cluster.
struct HeldRepo {
    backups: BackupCatalog,
    dumps: DumpCatalog,
    wal: Vec<HeldWal>,
}

/// What all repositories of a run share.
struct Verification<'a, 'o> {
    args: &'a cli::Verify,
    mode: VerifyMode<'a>,
    limit: TimeLimit,
    /// How many of the present repository are due and must wait for a later run.
    left: usize,
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
        let Some(held) = self.results.start_item(self.read_held(repo)) else { return Ok(()) };
        let HeldRepo { mut backups, dumps, wal } = held;
        if self.mode.fast {
            self.name_cold_objects(repo, &backups, &dumps, &wal)?;
            self.name_short_locks(repo, &backups, &dumps)?;
        }
        let due = due_rule(self.args).map(|rule| {
            let held = HeldItems { backups: &backups, dumps: &dumps, wal: &wal };
            DueSet::choose_due(&held, rule, Timestamp::now())
        });
        let due = due.transpose()?;
        self.left = due.as_ref().map_or(0, |due| due.left);
        self.verify_backups(repo, &mut backups, due.as_ref())?;
        let wanted = match &due {
            Some(due) => WalWanted::Due(due),
            None if self.args.newest => WalWanted::Newest(&backups),
            None => WalWanted::All,
        };
        // Whoever names a backup asks for that one alone.
        if self.args.ids.is_empty() {
            // What is not due was meant all the same.
            let held = wal.iter().filter(|w| due.is_some() && !w.files.is_empty());
            self.seen.extend(held.map(|w| format!("WAL of system {}", w.system.identifier)));
            let reading = WalReading { repo, wanted: &wanted, mode: self.mode, limit: self.limit };
            self.verify_wal(&wal, &reading)?;
        }
        self.verify_dumps(repo, dumps, ChosenDumps { scratch, due: due.as_ref() })?;
        if self.left > 0 {
            let text = format!("{} more are due in {}: a later run reads them", self.left, repo.name);
            log::info!("{text}");
            self.report.note(text);
        }
        Ok(())
    }

    /// Whether what is due waits for a later run, since the time of this one is over.
    fn leaves_for_later(&mut self) -> bool {
        let is_over = self.limit.is_over();
        self.left += usize::from(is_over);
        is_over
    }

    fn read_held(&self, repo: &Repo) -> Result<HeldRepo> {
        let (cluster, now) = (&self.args.repos.cluster, Timestamp::now());
        let wal = if self.args.ids.is_empty() { HeldWal::list_systems(repo, cluster)? } else { Vec::new() };
        let backups = BackupCatalog::read(repo, cluster, now)?;
        Ok(HeldRepo { backups, dumps: DumpCatalog::read(repo, cluster, now)?, wal })
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
