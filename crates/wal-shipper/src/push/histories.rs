//! The histories that lie beside a segment, for repositories that lack them.
//!
//! PostgreSQL archives a history once, when the server is promoted; where archive_mode was off then, never. Without it
//! recovery cannot tell where the timeline branched off.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use toban_core::Result;
use toban_core::repo::Repo;
use toban_core::repo::archive::Archive;
use toban_core::sync::lock;
use toban_core::wal::{Timeline, WalName};

pub(super) struct Histories {
    folder: PathBuf,
    /// Repositories that have that of a timeline: one call stores many segments of it.
    stored: Mutex<BTreeSet<(String, Timeline)>>,
}

impl Histories {
    /// Those in the folder of `path`.
    pub(super) fn in_folder_of(path: &Path) -> Histories {
        Histories { folder: path.parent().unwrap_or(Path::new(".")).into(), stored: Mutex::default() }
    }

    /// Sees to it that the archive has the history of the timeline of `name`, and those of the timelines before.
    ///
    /// # Errors
    /// Those of the store; that another timeline has this number there, whose WAL must not be mixed with this one's.
    pub(super) fn store_missing(&self, archive: &Archive<'_>, repo: &Repo, name: WalName) -> Result<()> {
        let (timeline, own) = (name.timeline(), (repo.name.clone(), name.timeline()));
        if timeline.0 <= 1 || self.lock_stored().contains(&own) {
            return Ok(());
        }
        // A bare folder of segments has none, and a server has always its own.
        let file = self.folder.join(WalName::History(timeline).to_string());
        let Ok(text) = std::fs::read_to_string(file) else { return Ok(()) };
        if matches!(name, WalName::History(_)) || !archive.has_history(timeline, &text)? {
            archive.put_histories(timeline, &text)?;
        }
        self.lock_stored().insert(own);
        Ok(())
    }

    fn lock_stored(&self) -> std::sync::MutexGuard<'_, BTreeSet<(String, Timeline)>> {
        lock(&self.stored)
    }
}
