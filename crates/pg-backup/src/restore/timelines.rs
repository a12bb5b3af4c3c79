//! Numbers of timelines that are taken: a restored server that began one of them again would mix its WAL with that of
//! another, and neither could be recovered.
//!
//! PostgreSQL takes the number after the last one whose history it finds, in pg_wal or by restore_command
//! (`findNewestTimeLine`). So the histories that the repositories know are put there.

use super::target::Target;
use super::{display_path, finish};
use crate::format::backup::BackupManifest;
use std::collections::BTreeMap;
use toban_core::repo::archive::Archive;
use toban_core::repo::{Repo, Repos};
use toban_core::wal::{Timeline, WalName};
use toban_core::{Context, Result};

/// Puts the history of every timeline above `follows` that a repository knows into the target's pg_wal.
///
/// # Errors
/// Those of the file system. A repository that cannot be asked is warned of: the restore does not depend on it.
pub(super) fn reserve_timelines(
    repos: &Repos,
    backup: &BackupManifest,
    target: &Target,
    follows: Timeline,
) -> Result<()> {
    let mut known: BTreeMap<Timeline, Option<String>> = BTreeMap::new();
    let system = backup.system()?;
    let above = |repo: &Repo| Archive::new(&*repo.store, system.clone()).timelines_above(follows);
    for (_, found) in repos.ask_each(above) {
        match found {
            Ok(found) => found.into_iter().for_each(|(timeline, text)| {
                let have = known.entry(timeline).or_default();
                *have = have.take().or(text);
            }),
            Err(e) => log::warn!(
                "{}: which timelines it knows is not known; do not let the restored server archive there before it can",
                e.chain()
            ),
        }
    }
    // Before the server starts: it takes its number when recovery ends, from what it finds then.
    for (timeline, text) in known {
        let name = format!("pg_wal/{}", WalName::History(timeline));
        // Recovery to it is refused: it says of no timeline that it came from there.
        let taken =
            || format!("# timeline {timeline} is taken: there is WAL of it, and its history is missing\n");
        finish::write_durably(target, &name, text.unwrap_or_else(taken).as_bytes())
            .doing(|| format!("write {} in {}", name, display_path(&target.dir)))?;
    }
    Ok(())
}
