//! The verb `sync`: the log of the file applied to its copy, once or for as long as it is left running.

use super::fence::FENCED;
use super::link::LiveLink;
use crate::live_args::SyncArgs;
use serde::Serialize;
use std::time::{Duration, Instant};
use toban_core::{Context, Error, Out, Record, Result, shutdown};

/// How often a file that is followed is asked whether it changed.
const POLL: Duration = Duration::from_millis(200);

/// What one round applied.
#[derive(Debug, Serialize)]
struct SyncLine {
    /// The newest entry that is applied.
    position: i64,
    keys: u64,
    rows: u64,
    /// Values that did not fit, by table.
    rejects: u64,
    seconds: f64,
}

impl Record for SyncLine {
    const SCHEMA: &'static str = "sqlite-to-pg.sync/1";
    const HEAD: &'static [&'static str] = &["position", "keys", "rows", "rejects", "seconds"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.position.to_string(),
            self.keys.to_string(),
            self.rows.to_string(),
            self.rejects.to_string(),
            format!("{:.3}", self.seconds),
        ]
    }
}

/// Applies what is there, or follows.
///
/// # Errors
/// Those of [`LiveLink::open_sides`] and [`LiveLink::apply_newest`]; Usage after the cutover.
pub(crate) fn run(args: &SyncArgs, out: &mut Out<'_>) -> Result<()> {
    let mut link = LiveLink::open_sides(&args.sides)?;
    if !link.is_followed() {
        return Err(Error::usage(format!("the cutover is over: it is {}", link.state.phase.name()))
            .hint("`sqlite-to-pg status` says how far it is"));
    }
    if link.record.state == FENCED {
        return Err(Error::usage("a cutover ended in the middle, and the file takes no writes")
            .hint("run cutover again, or cutover --abort"));
    }
    link.begin_following()?;
    loop {
        let before = data_version(&link)?;
        sync_once(&mut link, args.keep_log, out)?;
        if !args.follow {
            return Ok(());
        }
        // The version changes when another connection commits, in either journal mode
        // <https://sqlite.org/pragma.html#pragma_data_version>: the log is read only then.
        while data_version(&link)? == before {
            shutdown::check()?;
            std::thread::sleep(POLL);
        }
    }
}

fn sync_once(link: &mut LiveLink, keep_log: bool, out: &mut Out<'_>) -> Result<()> {
    let (began, before) = (Instant::now(), link.state.position);
    let applied = link.apply_newest()?;
    if link.state.position == before {
        return Ok(());
    }
    if !keep_log {
        link.prune_log()?;
    }
    out.emit(&SyncLine {
        position: link.state.position,
        keys: applied.keys,
        rows: applied.rows,
        rejects: link.rejects.count_by_table().values().sum(),
        seconds: began.elapsed().as_secs_f64(),
    })
}

fn data_version(link: &LiveLink) -> Result<i64> {
    link.reader.pragma_query_value(None, "data_version", |r| r.get(0)).doing(|| "look at the file".into())
}
