//! A restore of some databases alone, to a recovery target, for a server that this process starts itself: those of the
//! others become zeros of the same size, which replay passes over.

use super::display_path;
use super::plan::{self, Reachable, RecoveryPlan};
use super::recovery_target::RecoveryTarget;
use super::restore_command::ServerEnvironment;
use super::target::{Known, Target};
use super::{MovedBytes, RestoreWork};
use crate::cli;
use jiff::Timestamp;
use std::collections::BTreeSet;
use std::ops::ControlFlow;
use toban_core::config::Config;
use toban_core::repo::Repos;
use toban_core::wal::{Lsn, Record, Records, What};
use toban_core::{Error, Result, shutdown};

/// A restore that was planned, and checked as far as that goes without writing.
pub(crate) struct PartialRestore {
    args: cli::Restore,
    repos: Repos,
    plan: RecoveryPlan,
    target: Target,
}

impl PartialRestore {
    /// Plans it; `left_out` chooses among the databases of the backup those that are not wanted, by their OIDs.
    ///
    /// # Errors
    /// Failed for a target that cannot be reached, and where there is no space; those of the repositories.
    pub(crate) fn plan(
        args: cli::Restore,
        config: &Config,
        left_out: impl Fn(&BTreeSet<u32>) -> BTreeSet<u32>,
    ) -> Result<PartialRestore> {
        let repos = args.repos.open_to_read(config, &args.identity)?;
        let target = RecoveryTarget::from_args(&args.to)?;
        let target = target.ok_or_else(|| {
            Error::usage("no moment is named").hint("--target-time, --target-lsn or --target-xid")
        })?;
        let mut plan = plan::plan_recovery(&args, config, &repos, target)?;
        plan.end_with_last_transaction()?;
        let left_out = left_out(&plan.outline.databases.keys().copied().collect());
        let known = Known {
            backup: &plan.stored.manifest,
            outline: &plan.outline,
            effects: &plan.effects,
            left_out: &left_out,
        };
        let mut target = Target::check_all(&args, &known)?;
        if !target.changes.is_empty() {
            target.version_folder = plan.outline.version_folder(&plan.stored)?;
        }
        plan.try_command(&ServerEnvironment::of_child(&target))?;
        plan.tell_locks();
        Ok(PartialRestore { args, repos, plan, target })
    }

    /// Which moments can be reached, and which one is meant.
    pub(crate) fn reachable(&self) -> &Reachable {
        self.plan.reachable()
    }

    /// Databases, by their OIDs, that are not restored.
    pub(crate) fn left_out(&self) -> &BTreeSet<u32> {
        &self.target.left_out
    }

    /// Bytes that will be written.
    pub(crate) fn wanted_bytes(&self) -> u64 {
        let (outline, left_out) = (&self.plan.outline, &self.target.left_out);
        let (backup, effects) = (&self.plan.stored.manifest, &self.plan.effects);
        Known { backup, outline, effects, left_out }.wanted_bytes()
    }

    /// Restores.
    ///
    /// # Errors
    /// Corrupt for damage, with the object and the file; those of the file system.
    pub(crate) fn restore_files(&self) -> Result<MovedBytes> {
        log::info!("restoring into {}", display_path(&self.target.dir));
        let (repos, stored, plan) = (&self.repos, &self.plan.stored, Some(&self.plan));
        RestoreWork { args: &self.args, repos, stored, target: &self.target, plan }.restore_files()
    }

    /// Gives `each` the records of the WAL from a little before `from` on, until the first transaction that ended after `to`,
    /// or as far as the WAL leads from the backup.
    ///
    /// # Errors
    /// Those of the repositories.
    pub(crate) fn read_records(
        &self,
        from: Timestamp,
        to: Timestamp,
        each: &mut dyn FnMut(Record),
    ) -> Result<()> {
        let (archives, history) = (&self.plan.archives, &self.plan.history);
        let (begin, end) = (self.plan.stored.manifest.stop_lsn, self.plan.reach.to);
        let size = archives.path.size;
        let first = archives.find_since(history, begin, end, from)?;
        let mut records = Records::default();
        let mut take = |record: Record| match record.what {
            What::End { at, .. } if at > to => ControlFlow::Break(()),
            _ => {
                each(record);
                ControlFlow::Continue(())
            }
        };
        for number in first.0 / size..end.0.div_ceil(size) {
            shutdown::check()?;
            let Some((segment, bytes)) = archives.read_segment(history, Lsn(number * size))? else {
                records = Records::default();
                continue;
            };
            if records.read_records(&segment, &bytes, &mut take).is_break() {
                break;
            }
        }
        Ok(())
    }
}
