//! `--step`: the moment of the rescue before this one, a little later or earlier.

use crate::cli::{MomentArgs, Step};
use jiff::{SignedDuration, Timestamp};
use std::path::Path;
use toban_core::{Context, Error, Result, durable};

/// Where the time of the last rescue is kept, below the folder that is worked in.
const LAST: &str = "last-moment";

/// The moment that the flags name; for a step it is counted from the time that `work` remembers.
///
/// # Errors
/// Usage for a step without a rescue by time before it.
pub(super) fn find_moment(args: &MomentArgs, work: &Path) -> Result<MomentArgs> {
    let Some(step) = args.step else { return Ok(args.clone()) };
    let text = std::fs::read_to_string(work.join(LAST)).unwrap_or_default();
    let last = text.trim().parse::<Timestamp>();
    let last = last.map_err(|_| Error::usage("no rescue by --target-time came before this --step"))?;
    let at = take_step(last, step)?;
    log::info!("{at}");
    Ok(MomentArgs { target_time: Some(at.to_string()), step: None, ..args.clone() })
}

fn take_step(from: Timestamp, step: Step) -> Result<Timestamp> {
    let length = SignedDuration::try_from(step.length).doing(|| "read --step".into())?;
    let moved = if step.forward { from.checked_add(length) } else { from.checked_sub(length) };
    moved.doing(|| "take the step".into())
}

/// Keeps the time for a later `--step`; of a position or a transaction there is none to keep.
pub(super) fn remember_moment(moment: &MomentArgs, work: &Path) -> Result<()> {
    let Some(time) = &moment.target_time else { return Ok(()) };
    let zone = if moment.utc && time.parse::<Timestamp>().is_err() { "Z" } else { "" };
    durable::replace(&work.join(LAST), 0o600, |w| {
        writeln!(w, "{time}{zone}").doing(|| "remember the moment".into())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_goes_both_ways() {
        let at: Timestamp = "2026-11-21T14:04:00Z".parse().expect("a time");
        let step = |text: &str| take_step(at, text.parse().expect("a step")).map(|at| at.to_string()).ok();
        assert_eq!(step("+30s").as_deref(), Some("2026-11-21T14:04:30Z"));
        assert_eq!(step("-2min").as_deref(), Some("2026-11-21T14:02:00Z"));
    }
}
