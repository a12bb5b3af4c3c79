//! `copy`: what one repository lacks of a cluster and another has. Missing objects only, and manifests last.

mod intent;
mod item;
mod object;
mod pairs;
mod plan;
mod records;
mod system;
mod turns;
mod wal;

pub(crate) use pairs::{RepoPair, open_copies};

use crate::format::backup::BackupManifest;
use crate::format::catalog::Catalog;
use crate::format::dump::DumpManifest;
use crate::format::id::Id;
use crate::{cli, machine};
use intent::CopyIntent;
use jiff::Timestamp;
use plan::{Choice, Copied, CopySurvey, PlannedItem};
use records::{CopiedItem, CopyTotals, PlannedCopyItem};
use std::collections::{BTreeMap, BTreeSet};
use toban_core::config::Config;
use toban_core::progress::Progress;
use toban_core::repo::keys::System;
use toban_core::repo::{Repo, RepoResults};
use toban_core::run::{self, Report};
use toban_core::store::Key;
use toban_core::{Error, Out, Result, shutdown};
use wal::{WalListing, WalPlan, WalStart, plan_wal};

/// Runs the verb as a job.
pub(crate) fn run(args: &cli::CopyArgs, config: &Config, out: &mut Out<'_>) -> Result<()> {
    let pairs = pairs::open_pairs(args, config)?;
    let copy = |report: &mut Report, out: &mut Out<'_>| {
        let mut results = RepoResults::default();
        let mut sink = CopySink::new(&mut results, report, out);
        for pair in &pairs {
            let job = CopyJob {
                pair,
                cluster: &args.cluster,
                ids: &args.ids,
                scope: CopyScope::Everything,
                new_system: args.new_system,
                jobs: usize::try_from(args.jobs()).unwrap_or(1),
                dry_run: args.dry.dry_run,
            };
            job.copy_cluster(&mut sink)?;
        }
        sink.check_seen(&args.ids);
        results.verdict("copies")
    };
    if args.dry.dry_run {
        return copy(&mut Report::default(), out);
    }
    run::job(config, "pg-backup", "copy", &args.cluster, |report| {
        // Two copies would read and send the same objects, and the second of each would be refused at its end.
        let _lock = machine::take_lock("copy", &args.cluster)?;
        copy(report, out)
    })
}

/// What of a cluster is copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CopyScope {
    Everything,
    /// Physical backups, the WAL and its records.
    Backups,
    Dumps,
}

/// What follows a run or a dump: all of its kind that the repositories in `copies` lack.
pub(crate) struct CopyAfter<'a> {
    pub(crate) pairs: Vec<RepoPair>,
    pub(crate) cluster: &'a str,
    pub(crate) scope: CopyScope,
    pub(crate) new_system: bool,
}

impl CopyAfter<'_> {
    /// Copies, whatever `done` came to, which is the run's own end: of two repositories one may have all of it. What fails
    /// here is as in a repository that is not required: the run is partial, and its record says so.
    ///
    /// # Errors
    /// That of `done`; Partial when a copy failed, Corrupt when that is for damage.
    pub(crate) fn copy_after(&self, done: Result<()>, report: &mut Report, out: &mut Out<'_>) -> Result<()> {
        if self.pairs.is_empty() || shutdown::due() {
            return done;
        }
        let mut all = RepoResults::default();
        all.add_item(done);
        for pair in &self.pairs {
            let mut results = RepoResults::default();
            let job = CopyJob {
                pair,
                cluster: self.cluster,
                ids: &[],
                scope: self.scope,
                new_system: self.new_system,
                jobs: usize::try_from(machine::worker_count(None)).unwrap_or(1),
                dry_run: false,
            };
            let copied = job.copy_cluster(&mut CopySink::new(&mut results, report, out));
            let verdict = copied.and_then(|()| results.verdict("copies"));
            if let Err(e) = &verdict {
                report.note(format!("not all was copied to {}: {}", pair.to.name, e.chain()));
            }
            all.add_copy(&Repo { required: false, ..pair.to.clone() }, verdict);
        }
        all.verdict("repositories")
    }
}

/// What a copy writes to.
struct CopySink<'a, 'o> {
    results: &'a mut RepoResults,
    /// IDs of what was there and was meant.
    seen: BTreeSet<String>,
    totals: CopyTotals,
    report: &'a mut Report,
    out: &'a mut Out<'o>,
}

impl<'a, 'o> CopySink<'a, 'o> {
    fn new(results: &'a mut RepoResults, report: &'a mut Report, out: &'a mut Out<'o>) -> Self {
        CopySink { results, seen: BTreeSet::new(), totals: CopyTotals::default(), report, out }
    }

    /// What went over; nothing is printed of what needed nothing.
    fn add_item(&mut self, item: CopiedItem) -> Result<()> {
        self.results.add_item(Ok(()));
        if item.objects == 0 {
            return Ok(());
        }
        self.totals.add_item(&item);
        self.report.note(item.describe());
        self.out.emit(&item)
    }

    fn add_failure(&mut self, e: Error) {
        self.totals.failed += 1;
        self.results.add_item::<()>(Err(e));
    }

    fn check_seen(&mut self, ids: &[String]) {
        for id in ids.iter().filter(|id| !self.seen.contains(*id)) {
            let e = Error::usage(format!("no dump or backup {id}"));
            self.results.start_item::<()>(Err(e.hint("`pg-backup list` shows the IDs")));
        }
    }
}

/// The copy from one repository to another.
struct CopyJob<'a> {
    pair: &'a RepoPair,
    cluster: &'a str,
    /// These alone, and no WAL; none: all.
    ids: &'a [String],
    scope: CopyScope,
    new_system: bool,
    /// Objects at the same time.
    jobs: usize,
    dry_run: bool,
}

impl CopyJob<'_> {
    /// Copies it all. What fails is in the results, and the rest goes on where it can.
    ///
    /// # Errors
    /// When a record cannot be written, or the process is told to stop.
    fn copy_cluster(&self, sink: &mut CopySink<'_, '_>) -> Result<()> {
        sink.totals = CopyTotals::default();
        let done = self.copy_all(sink);
        sink.totals.report_totals(self.pair, sink.report);
        match done {
            Err(e) if !shutdown::due() => {
                sink.totals.failed += 1;
                let RepoPair { from, to } = self.pair;
                let e = Error::caused_by(format!("copy {} to {}", from.name, to.name), e);
                sink.results.start_item::<()>(Err(e));
                Ok(())
            }
            done => done,
        }
    }

    fn copy_all(&self, sink: &mut CopySink<'_, '_>) -> Result<()> {
        self.pair.from.check_holds(self.cluster)?;
        if self.scope != CopyScope::Dumps {
            let systems = self.claim_systems()?;
            let survey = self.read_survey::<BackupManifest>(sink)?;
            let starts = self.copy_backups(survey, sink)?;
            // Whoever names a backup or a dump asks for that one alone.
            if self.ids.is_empty() {
                for system in &systems {
                    self.copy_system_wal(system, &starts, sink)?;
                }
            }
        }
        if self.scope != CopyScope::Backups {
            let survey = self.read_survey::<DumpManifest>(sink)?;
            let items = survey.plan_items(&self.choice())?;
            self.copy_items(&items, survey.sizes_there(), sink)?;
        }
        // At the end: what the source has from before it was encrypted has gone over by then.
        match self.pair.to.store.encryption().filter(|_| !self.dry_run) {
            Some(encryption) => encryption.take_rules(&*self.pair.from.store, self.cluster),
            None => Ok(()),
        }
    }

    fn choice(&self) -> Choice<'_> {
        Choice { ids: self.ids, keep: &self.pair.to.keep, now: Timestamp::now() }
    }

    /// What both have; manifests of the source that do not read are failures.
    fn read_survey<M: Copied>(&self, sink: &mut CopySink<'_, '_>) -> Result<CopySurvey<M>> {
        let now = Timestamp::now();
        let mut source = Catalog::<M>::read(&self.pair.from, self.cluster, now)?;
        source.damaged.drain(..).for_each(|e| sink.add_failure(self.name_source(e)));
        Ok(CopySurvey { source, target: Catalog::read(&self.pair.to, self.cluster, now)? })
    }

    fn name_source(&self, e: Error) -> Error {
        Error::caused_by(format!("repository {}", self.pair.from.name), e)
    }

    /// Copies the backups; the answer is from where on the WAL is wanted over there.
    fn copy_backups(
        &self,
        mut survey: CopySurvey<BackupManifest>,
        sink: &mut CopySink<'_, '_>,
    ) -> Result<BTreeMap<u64, WalStart>> {
        let mut items = survey.plan_items(&self.choice())?;
        let starts = plan::wal_starts(&survey, &items, &self.choice());
        let intents = if self.dry_run { Vec::new() } else { self.announce_intents(&survey, &items)? };
        if !intents.is_empty() {
            // Only what is listed after the intent is sure to stay: a prune over there that came before it may have
            // removed what was there when it was first listed.
            let announced: BTreeSet<Id> = items.into_iter().map(|item| item.id).collect();
            survey.target = Catalog::read(&self.pair.to, self.cluster, Timestamp::now())?;
            items = survey.plan_items(&self.choice())?;
            items.retain(|item| announced.contains(&item.id));
        }
        self.copy_items(&items, survey.sizes_there(), sink)?;
        // The intents are dropped here, when the last manifest is over there. Until then they keep a prune
        // there from removing packs that no manifest of that repository names yet.
        Ok(starts)
    }

    /// One intent for each system of which something is missing.
    fn announce_intents(
        &self,
        survey: &CopySurvey<BackupManifest>,
        items: &[PlannedItem],
    ) -> Result<Vec<CopyIntent<'_>>> {
        let there = survey.sizes_there();
        let mut fills: BTreeMap<System, BTreeSet<Id>> = BTreeMap::new();
        for item in items.iter().filter(|item| !item.listed || !item.find_missing(&there).is_empty()) {
            let Some((system, _)) = System::parse(self.cluster, &item.manifest) else { continue };
            fills.entry(system).or_default().extend(item.folders(self.cluster));
        }
        let id = Id::new(Timestamp::now());
        fills.iter().map(|(system, ids)| CopyIntent::put_intent(&self.pair.to, system, &id, ids)).collect()
    }

    /// Copies dumps or backups, one after the other, the objects of each in parallel.
    fn copy_items(
        &self,
        items: &[PlannedItem],
        mut there: BTreeMap<Key, u64>,
        sink: &mut CopySink<'_, '_>,
    ) -> Result<()> {
        sink.seen.extend(items.iter().map(|item| item.id.to_string()));
        if self.dry_run {
            return self.emit_plan(items, there, sink);
        }
        let missing: BTreeMap<Key, u64> =
            items.iter().flat_map(|i| i.find_missing(&there)).map(|(key, sum)| (key, sum.bytes)).collect();
        let title = format!("copy {} to {}", self.pair.from.name, self.pair.to.name);
        let progress = Progress::bytes(&title, Some(missing.values().sum()), false);
        for (item, compared) in items.iter().zip(self.compare_manifests(items)?) {
            shutdown::check()?;
            let done = match compared {
                Ok(()) => self.copy_item(item, &mut there, &progress)?,
                Err(e) => Err(e),
            };
            match done {
                Ok(Some(end)) => sink.add_item(CopiedItem::of_item(self.pair, item, end))?,
                Ok(None) => log::info!("{} was pruned meanwhile", item.title()),
                Err(e) => sink.add_failure(Error::caused_by(format!("{} was not copied", item.title()), e)),
            }
        }
        Ok(())
    }

    /// Prints what a copy would do.
    fn emit_plan(
        &self,
        items: &[PlannedItem],
        mut there: BTreeMap<Key, u64>,
        sink: &mut CopySink<'_, '_>,
    ) -> Result<()> {
        for (item, compared) in items.iter().zip(self.compare_manifests(items)?) {
            if let Err(e) = compared {
                sink.add_failure(e);
                continue;
            }
            let missing = item.find_missing(&there);
            let end = item::ItemEnd {
                objects: missing.len() + item.records.len() + usize::from(!item.listed),
                bytes: missing.iter().map(|(_, sum)| sum.bytes).sum(),
            };
            there.extend(missing.into_iter().map(|(key, sum)| (key, sum.bytes)));
            sink.results.add_item(Ok(()));
            if end.objects > 0 {
                sink.out.emit(&PlannedCopyItem(CopiedItem::of_item(self.pair, item, end)))?;
            }
        }
        Ok(())
    }

    fn copy_system_wal(
        &self,
        system: &System,
        starts: &BTreeMap<u64, WalStart>,
        sink: &mut CopySink<'_, '_>,
    ) -> Result<()> {
        let (from, to) = (&*self.pair.from.store, &*self.pair.to.store);
        let source = WalListing::list_wal(from, system)?;
        let target = WalListing::list_wal(to, system)?;
        let plan = plan_wal(&source, &target, starts.get(&system.identifier).copied());
        if self.dry_run {
            return self.emit_wal_plan(system, &plan, sink);
        }
        let title = format!("copy WAL from {} to {}", self.pair.from.name, self.pair.to.name);
        let progress = Progress::bytes(&title, Some(plan.bytes()), false);
        let end = self.copy_wal(&plan, &progress)?;
        for (timeline, copied) in &end.copied {
            sink.add_item(CopiedItem::of_wal(self.pair, *timeline, &copied.iter().collect::<Vec<_>>()))?;
        }
        if end.records > 0 {
            sink.add_item(CopiedItem::of_records(self.pair, system.identifier, end.records))?;
        }
        end.failed.into_iter().for_each(|e| sink.add_failure(e));
        Ok(())
    }

    fn emit_wal_plan(&self, system: &System, plan: &WalPlan, sink: &mut CopySink<'_, '_>) -> Result<()> {
        for (timeline, objects) in plan.ranges() {
            sink.out.emit(&PlannedCopyItem(CopiedItem::of_wal(self.pair, timeline, &objects)))?;
        }
        let records = plan.records.len() + plan.verdicts.len();
        if records > 0 {
            let item = CopiedItem::of_records(self.pair, system.identifier, records);
            sink.out.emit(&PlannedCopyItem(item))?;
        }
        Ok(())
    }
}
