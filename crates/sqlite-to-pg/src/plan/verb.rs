//! The verb `plan`.

use super::{Action, build, file, show};
use crate::cli::PlanArgs;
use crate::source::Snapshot;
use crate::target::{existing, session};
use toban_core::pg::ConnInfo;
use toban_core::{Out, Result};

/// Threads when nobody says how many: as many as there are cores, up to four.
pub(crate) fn jobs(given: Option<u16>) -> usize {
    let cores = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    given.map_or(cores.clamp(1, 4), usize::from)
}

/// Scans, decides, prints, and writes the file when one is named.
///
/// # Errors
/// Those of the source, the target's schema, and the file.
pub(crate) fn run(args: &PlanArgs, quiet: bool, out: &mut Out<'_>) -> Result<()> {
    let mut snapshot = Snapshot::take(&args.db, jobs(args.jobs))?;
    let mut built = build::build(&mut snapshot, &args.rules, quiet)?;
    if let Some(target) = &args.target {
        let to = ConnInfo::resolve(Some(target), "sqlite-to-pg")?;
        let mut client = session::open(&to)?;
        existing::adapt(&mut built, &mut client, Action::Refuse, args.rules.on_misfit)?;
    }
    show::print(&built, out)?;
    match &args.output {
        Some(path) => file::write(&built.plan, path),
        None => Ok(()),
    }
}
