//! `prune`: deletes dumps, backups and WAL that no rule keeps, and what broken runs have left.

mod backups;
mod dumps;
mod wal;

use crate::{cli, machine};
use jiff::Timestamp;
use serde::Serialize;
use std::fmt;
use std::time::Duration;
use toban_core::config::{Config, Keep};
use toban_core::repo::{Repo, RepoResults};
use toban_core::run;
use toban_core::store::{Attrs, Key};
use toban_core::{Error, Out, Record, Result, shutdown};

/// Longer than any dump or run takes: S3 dates an object by the beginning of its upload.
const GARBAGE_AGE: Duration = Duration::from_secs(7 * 86400);

/// Runs the verb as a job.
pub(crate) fn run(args: &cli::Prune, config: &Config, out: &mut Out<'_>) -> Result<()> {
    let repos = args.repos.open(config)?;
    let rules = repos.iter().map(|repo| choose_rules(args, repo)).collect::<Result<Vec<Keep>>>()?;
    let prune = |out: &mut Out<'_>| {
        let mut results = RepoResults::default();
        for (repo, keep) in repos.iter().zip(&rules) {
            results.add_item(prune_repo(args, repo, keep, out));
        }
        results.verdict("repositories")
    };
    if args.dry.dry_run {
        return prune(out);
    }
    run::job(config, "pg-backup", "prune", &args.repos.cluster, |_| {
        let _lock = machine::take_lock("prune", &args.repos.cluster)?;
        prune(out)
    })
}

/// The flags, if any is given; else the repository's section.
fn choose_rules(args: &cli::Prune, repo: &Repo) -> Result<Keep> {
    let k = &args.keep;
    let flags = Keep {
        last: k.keep_last,
        within: k.keep_within,
        hourly: k.keep_hourly,
        daily: k.keep_daily,
        weekly: k.keep_weekly,
        monthly: k.keep_monthly,
        yearly: k.keep_yearly,
        min: k.keep_min,
        wal: k.keep_wal,
    };
    let rules = if flags == Keep::default() { repo.keep.clone() } else { flags };
    if (Keep { min: None, wal: None, ..rules.clone() }) == Keep::default() {
        let e = Error::usage(format!("nothing says what to keep in {}", repo.name));
        return Err(e.hint("give --keep-within 30d or the like, or `keep` in its [repo.NAME] section"));
    }
    Ok(rules)
}

fn prune_repo(args: &cli::Prune, repo: &Repo, keep: &Keep, out: &mut Out<'_>) -> Result<()> {
    repo.check_holds(&args.repos.cluster)?;
    let pruning = Pruning {
        repo,
        cluster: &args.repos.cluster,
        keep,
        as_of: args.at.now(),
        clock: Timestamp::now(),
        dry_run: args.dry.dry_run,
    };
    let damaged = dumps::prune_dumps(&pruning, out)? + backups::prune_backups(&pruning, out)?;
    if !args.dry.dry_run {
        let swept = repo.store.sweep(GARBAGE_AGE)?;
        log::info!("{}: {swept} unfinished uploads removed", repo.name);
    }
    match damaged {
        0 => Ok(()),
        n => Err(Error::corrupt(format!("{}: {n} manifests are damaged and were left alone", repo.name))),
    }
}

/// The pruning of one repository.
struct Pruning<'a> {
    repo: &'a Repo,
    cluster: &'a str,
    keep: &'a Keep,
    /// The rules are applied as of this time.
    as_of: Timestamp,
    /// What this machine's clock says.
    clock: Timestamp,
    dry_run: bool,
}

/// What becomes of something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Action {
    Keep,
    /// A rule no longer keeps it.
    Delete,
    /// No manifest needs it; a later prune removes it.
    Mark,
    /// It is left over, or nothing needs it any more.
    Remove,
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Action::Keep => "keep",
            Action::Delete => "delete",
            Action::Mark => "mark",
            Action::Remove => "remove",
        })
    }
}

/// A record of what becomes of something, and what is done for it.
struct PruneStep<R> {
    record: R,
    /// The mark to set before anything is removed.
    mark: Option<Key>,
    /// In the order to remove them.
    keys: Vec<Key>,
}

impl Pruning<'_> {
    /// Whether what was last touched at this time cannot be of a run that is under way. Never by a day to come: what is
    /// being written now would be garbage then.
    fn is_garbage(&self, touched: Timestamp) -> bool {
        let age = self.as_of.min(self.clock).as_second().saturating_sub(touched.as_second());
        age > GARBAGE_AGE.as_secs().cast_signed()
    }

    fn carry_out<R: Record>(&self, steps: Vec<PruneStep<R>>, out: &mut Out<'_>) -> Result<()> {
        for step in steps {
            shutdown::check()?;
            if !self.dry_run {
                self.remove_objects(step.mark.as_ref(), &step.keys)?;
            }
            out.emit(&step.record)?;
        }
        Ok(())
    }

    fn remove_objects(&self, mark: Option<&Key>, keys: &[Key]) -> Result<()> {
        if let Some(mark) = mark {
            // The mark comes first: a manifest that is gone without it would leave its packs for a week.
            self.repo.store.put(mark, &mut &b"{\"format\":1}\n"[..], &Attrs::new())?;
        }
        keys.iter().try_for_each(|key| {
            shutdown::check()?;
            self.repo.store.remove(key)
        })
    }
}
