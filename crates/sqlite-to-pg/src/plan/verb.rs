//! The verb `plan`.

use super::{build, existing, file, show};
use crate::cli::{PlanArgs, Rules};
use crate::model::Action;
use crate::source::Snapshot;
use migrate::session;
use toban_core::pg::ConnInfo;
use toban_core::{Error, Out, Result};

/// Threads when no number is given: as many as there are cores, up to four.
pub(crate) fn job_count(given: Option<u16>) -> usize {
    let cores = toban_core::machine::cores();
    given.map_or(cores.clamp(1, 4), usize::from)
}

/// Scans, decides, prints, and writes the file when one is named.
///
/// # Errors
/// Those of the source, the target's schema, and the file; Usage, after all is written, for what has no counterpart.
pub(crate) fn run(args: &PlanArgs, quiet: bool, out: &mut Out<'_>) -> Result<()> {
    let mut snapshot = Snapshot::take_snapshot(&args.db, job_count(args.jobs))?;
    let check = snapshot.begin_check()?;
    // What is damaged may read as empty, and a plan for half of the rows must not be made.
    let (mut built, remarks) = check.settle(build::build_plan(&mut snapshot, &args.rules, quiet))?;
    built.plan.objects.extend(build::remark_objects(&remarks));
    let mut missing = Vec::new();
    match &args.target {
        Some(target) => {
            let to = ConnInfo::resolve(Some(target), "sqlite-to-pg")?;
            let mut client = session::open_lead(&to)?;
            missing = existing::adapt_plan(&mut built, &mut client, Action::Refuse, &args.rules)?;
        }
        None => refuse_sets(&args.rules)?,
    }
    show::print_plan(&built, out)?;
    if let Some(path) = &args.output {
        file::write_plan(&built.plan, path)?;
    }
    // Told last, for the file can be edited: a [[table.column]] taken out, its target changed, a [[table.set]] added.
    existing::check_counterparts(&built.plan.schema, &missing)
}

/// `--set` fills columns of tables that are there.
///
/// # Errors
/// Usage when there are none.
pub(crate) fn refuse_sets(rules: &Rules) -> Result<()> {
    match rules.set.first() {
        Some(rule) => Err(Error::usage(format!("--set {rule}: the tables are made from the source's columns"))
            .hint("--existing (or plan --for) loads into tables of the application, which may have columns of their own")),
        None => Ok(()),
    }
}
