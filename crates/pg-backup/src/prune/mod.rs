//! `prune`: deletes dumps, backups and WAL that no rule keeps, and what broken runs have left.

mod backups;
mod dumps;
mod leftovers;
#[cfg(test)]
pub(crate) mod model;
mod moments;
mod runs;
mod undo;
mod wal;
mod window;

use crate::format::mark::write_mark;
use crate::{cli, lock, machine};
use jiff::Timestamp;
use runs::Guard;
use serde::Serialize;
use std::fmt;
use std::time::Duration;
use toban_core::config::{Config, Keep, Span};
use toban_core::repo::keys::is_passing;
use toban_core::repo::{CLOCK_TOLERANCE, Repo, RepoResults};
use toban_core::run;
use toban_core::stamp::iso_seconds;
use toban_core::store::{Key, read_small};
use toban_core::{Error, Out, Record, Result, shutdown};

/// Longer than any dump or run takes: S3 dates an object by the beginning of its upload.
const GARBAGE_AGE: Duration = Duration::from_secs(7 * 86400);
/// How long what was deleted can be put back, where nothing else is said.
const UNDELETE: Duration = Duration::from_secs(3 * 86400);
/// How long a mark stands before what it marks is removed, whatever can be put back.
const MARK_AGE: Duration = Duration::from_secs(86400);
/// Bytes of the largest manifest.
const LARGEST_MANIFEST: u64 = 4 << 20;

/// Runs the verb as a job.
pub(crate) fn run(args: &cli::Prune, config: &Config, out: &mut Out<'_>) -> Result<()> {
    let repos = args.repos.open(config)?;
    if let Some(ids) = &args.undo {
        return undo::run(args, config, ids, out);
    }
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
        undelete: None,
    };
    let rules = if flags == Keep::default() { repo.keep.clone() } else { flags };
    // Not among the rules: given alone it replaces none of the configuration's.
    let rules = Keep { undelete: choose_undelete(args, repo), ..rules };
    if (Keep { min: None, wal: None, undelete: None, ..rules.clone() }) == Keep::default() {
        let e = Error::usage(format!("nothing says what to keep in {}", repo.name));
        return Err(e.hint("give --keep-within 30d or the like, or `keep` in its [repo.NAME] section"));
    }
    Ok(rules)
}

/// The flag, or what the repository's section says.
fn choose_undelete(args: &cli::Prune, repo: &Repo) -> Option<Span> {
    args.undelete.or(repo.keep.undelete)
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
        // An upload that was broken off is in no listing and takes room all the same. Only those go that are
        // older than any run may be, since a pack that is being uploaded now looks the same.
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
    /// It was deleted, and can be put back.
    Deleted,
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
            Action::Deleted => "deleted",
            Action::Mark => "mark",
            Action::Remove => "remove",
        })
    }
}

/// What is set before anything is removed.
#[derive(Clone, Debug)]
struct NewMark {
    key: Key,
    /// The manifest that it holds.
    of: Option<Key>,
}

/// A record of what becomes of something, and what is done for it.
#[derive(Clone)]
struct PruneStep<R> {
    record: R,
    /// The mark to set before anything is removed.
    mark: Option<NewMark>,
    /// In the order to remove them.
    keys: Vec<Key>,
    /// What must still be so right before the first is removed.
    guard: Option<Guard>,
}

impl<R> PruneStep<R> {
    /// Tells of something of which nothing is removed.
    fn report(record: R) -> PruneStep<R> {
        PruneStep { record, mark: None, keys: Vec::new(), guard: None }
    }
}

/// A record that tells what becomes of something.
trait PruneRecord: Record {
    /// It stays, for this reason.
    fn leave(&mut self, why: String);
}

impl Pruning<'_> {
    /// Seconds since `at`. Never by a day to come: what is being written now would be garbage then.
    fn age(&self, at: Timestamp) -> u64 {
        let now = self.as_of.min(self.clock);
        now.as_second().saturating_sub(at.as_second()).max(0).unsigned_abs()
    }

    /// Whether what was last touched at this time cannot be of a run that is under way.
    fn is_garbage(&self, touched: Timestamp) -> bool {
        self.age(touched) > GARBAGE_AGE.as_secs()
    }

    /// How long what is deleted can be put back.
    fn undelete(&self) -> Duration {
        self.keep.undelete.map_or(UNDELETE, |span| span.0)
    }

    /// Whether what was deleted at this time can be put back still. Some minutes longer than `prune --undo` takes it:
    /// their clocks may differ.
    fn is_undoable(&self, deleted: Timestamp) -> bool {
        let span = self.undelete();
        !span.is_zero() && self.age(deleted) <= span.saturating_add(CLOCK_TOLERANCE).as_secs()
    }

    /// When what was deleted at this time can be put back no longer.
    fn undo_ends(&self, deleted: Timestamp) -> Timestamp {
        add_span(deleted, self.undelete())
    }

    /// The moment so long before the time of the rules.
    fn before_now(&self, span: Duration) -> Timestamp {
        let back = i64::try_from(span.as_secs()).unwrap_or(i64::MAX);
        Timestamp::from_second(self.as_of.as_second().saturating_sub(back)).unwrap_or(Timestamp::MIN)
    }

    /// Leaves, whole, what holds an object that the store itself still locks: a later prune takes it. Half of a backup or dump
    /// would be damage.
    fn leave_locked<R: PruneRecord>(&self, steps: Vec<PruneStep<R>>) -> Result<Vec<PruneStep<R>>> {
        let mut left = 0;
        let leave = |mut step: PruneStep<R>| {
            let ends = self.list_lock_ends(&step.keys)?;
            let Some(until) = ends.into_iter().flatten().max() else { return Ok(step) };
            left += 1;
            step.record.leave(describe_lock(until));
            Ok(PruneStep::report(step.record))
        };
        let steps = steps.into_iter().map(leave).collect::<Result<Vec<_>>>()?;
        if left > 0 {
            log::info!("{}: {left} that would go are locked: a later prune takes them", self.repo.name);
        }
        Ok(steps)
    }

    /// For each of these when its lock ends, where it is locked still.
    fn list_lock_ends(&self, keys: &[Key]) -> Result<Vec<Option<Timestamp>>> {
        machine::in_parallel(keys, lock::THREADS, |key| {
            let end = if is_passing(key) { None } else { self.repo.store.locked_until(key)? };
            Ok(end.filter(|end| *end > self.clock))
        })
    }

    fn carry_out<R: Record>(&self, steps: Vec<PruneStep<R>>, out: &mut Out<'_>) -> Result<()> {
        for step in steps {
            shutdown::check()?;
            if !self.dry_run && !self.do_step(&step)? {
                continue;
            }
            out.emit(&step.record)?;
        }
        Ok(())
    }

    /// Does it; not where what it was planned upon has changed since.
    fn do_step<R>(&self, step: &PruneStep<R>) -> Result<bool> {
        // In this order: the mark, so that what goes can be put back; then the guard, as late as it can be,
        // since a run may have come after the plan was made; then the objects, in the order of the plan.
        if let Some(mark) = &step.mark
            && !self.set_mark(mark)?
        {
            return Ok(false);
        }
        if let Some(guard) = step.guard.as_ref().filter(|_| !step.keys.is_empty())
            && !guard.holds(self.repo)?
        {
            log::info!("{}: {} is being used again: it stays", self.repo.name, guard.name());
            return Ok(false);
        }
        step.keys.iter().try_for_each(|key| {
            shutdown::check()?;
            self.repo.store.remove(key)
        })?;
        Ok(true)
    }

    /// Whether it is set; not where the manifest that it is to hold is gone: another prune was faster.
    fn set_mark(&self, mark: &NewMark) -> Result<bool> {
        // The mark comes first, with all of the manifest: a prune that dies before the manifest is gone has deleted
        // nothing, and one that dies after it can be undone.
        let body = match &mark.of {
            None => crate::format::mark::BARE.to_vec(),
            Some(manifest) => match read_small(&*self.repo.store, manifest, LARGEST_MANIFEST)? {
                None => return Ok(false),
                Some(text) => write_mark(manifest, &text)?,
            },
        };
        self.repo.put_new(&mark.key, &mut &body[..])?;
        Ok(true)
    }
}

fn describe_lock(until: Timestamp) -> String {
    format!("it is locked until {}", iso_seconds(until))
}

/// The time so long after `at`.
fn add_span(at: Timestamp, span: Duration) -> Timestamp {
    let seconds = i64::try_from(span.as_secs()).unwrap_or(i64::MAX);
    Timestamp::from_second(at.as_second().saturating_add(seconds)).unwrap_or(Timestamp::MAX)
}

/// What a rule is about, for people: `14days`.
fn name_span(span: Duration) -> String {
    Span(span).to_string()
}
