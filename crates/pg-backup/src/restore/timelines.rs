//! Numbers of timelines that are taken: a restored server that began one of them again would mix its WAL with that of
//! another, and neither could be recovered.
//!
//! PostgreSQL takes the number behind the last one whose history it finds, in pg_wal or by restore_command
//! (`findNewestTimeLine`). So the histories that the repositories know are put there.

use super::target::Target;
use super::{finish, shown};
use crate::format::backup::BackupManifest;
use std::collections::BTreeMap;
use toban_core::repo::Repo;
use toban_core::repo::archive::Archive;
use toban_core::wal::{Timeline, WalName};
use toban_core::{Context, Error, Result};

/// Puts the history of every timeline above `follows` that a repository knows into the target's pg_wal.
///
/// # Errors
/// Those of the file system. A repository that cannot be asked is told: the restore does not depend on it.
pub(super) fn reserve(
    repos: &[Repo],
    backup: &BackupManifest,
    target: &Target,
    follows: Timeline,
) -> Result<()> {
    let mut known: BTreeMap<Timeline, Option<String>> = BTreeMap::new();
    for repo in repos {
        match Archive::new(&*repo.store, backup.system()?).timelines_above(follows) {
            Ok(found) => found.into_iter().for_each(|(timeline, text)| {
                let have = known.entry(timeline).or_default();
                *have = have.take().or(text);
            }),
            Err(e) => warn(repo, &e),
        }
    }
    for (timeline, text) in known {
        let name = format!("pg_wal/{}", WalName::History(timeline));
        // Recovery to it is refused: it says of no timeline that it came from there.
        let taken =
            || format!("# timeline {timeline} is taken: there is WAL of it, and its history is missing\n");
        finish::write(target, &name, text.unwrap_or_else(taken).as_bytes())
            .doing(|| format!("write {} in {}", name, shown(&target.dir)))?;
    }
    Ok(())
}

fn warn(repo: &Repo, e: &Error) {
    log::warn!(
        "repository {} cannot tell which timelines it knows: {}; do not let the restored server archive there before it can",
        repo.name,
        e.chain()
    );
}
