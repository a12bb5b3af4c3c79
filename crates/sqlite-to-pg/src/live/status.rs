//! The verb `status`: how far a live move is, from what both sides say. It changes nothing.

use super::fence::FINISHED;
use super::file;
use super::held::limits_of;
use super::openers::{HIDDEN, find_openers};
use super::record::{find_capture, find_changes, newest_entry};
use super::state::{find_state, read_plan, read_recopied};
use crate::live_args::LiveStatusArgs;
use migrate::session;
use serde::Serialize;
use toban_core::pg::ConnInfo;
use toban_core::{Out, Record, Result};

/// One fact.
#[derive(Debug, Serialize)]
struct StatusLine {
    what: &'static str,
    value: String,
}

impl Record for StatusLine {
    const SCHEMA: &'static str = "sqlite-to-pg.status/1";
    const HEAD: &'static [&'static str] = &["what", "value"];

    fn cells(&self) -> Vec<String> {
        vec![self.what.into(), self.value.clone()]
    }
}

/// Prints the facts.
///
/// # Errors
/// Those of either side.
pub(crate) fn run(args: &LiveStatusArgs, out: &mut Out<'_>) -> Result<()> {
    let path = file::find_file(&args.sides.db)?;
    let reader = file::open_reader(&path)?;
    let openers = find_openers(&path);
    let mut tell = |what, value: String| out.emit(&StatusLine { what, value });
    let Some(record) = find_capture(&reader)? else { return tell("capture", "not begun".into()) };
    tell("capture", format!("since {}", record.started))?;
    tell("file", record.state.clone())?;
    openers.seen.iter().try_for_each(|opener| tell("open in", opener.to_string()))?;
    if openers.hidden {
        tell("open in", HIDDEN.into())?;
    }
    let newest = newest_entry(&reader)?;
    tell("newest entry", newest.to_string())?;
    let change = find_changes(&reader, &record)?;
    for what in change.unplanned {
        tell("schema changed", what)?;
    }
    for (table, _) in change.uncaptured {
        tell("not captured", table)?;
    }
    let to = ConnInfo::resolve(args.sides.to.as_deref(), "sqlite-to-pg")?;
    let mut client = session::open_session(&to)?;
    let Some(state) = find_state(&mut client, &args.sides.schema)? else {
        let finished = record.state == FINISHED;
        return tell("copy", if finished { "finished" } else { "not followed yet" }.into());
    };
    tell("copy", state.phase.name().into())?;
    tell("applied", state.position.to_string())?;
    tell("lag", format!("{} entries", newest - state.position))?;
    // A plan that cannot be followed any more has no way back either.
    if let Ok(plan) = read_plan(&mut client, &args.sides.schema) {
        limits_of(&plan).iter().try_for_each(|limit| tell("may not go back", limit.describe()))?;
    }
    for table in read_recopied(&mut client, &args.sides.schema)? {
        let changed = if table.changed { "changed" } else { "unchanged" };
        tell("copied again at the fence", format!("{} ({changed}): {}", table.source, table.why))?;
    }
    Ok(())
}
