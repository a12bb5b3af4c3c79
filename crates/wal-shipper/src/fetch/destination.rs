//! Where a fetched file goes: whole and checked, or not at all.

use crate::data_dir;
use std::fs::{self, File};
use std::io::{BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use toban_core::wal::{History, WalName};
use toban_core::{Context, Result};

/// The wanted file and its place.
pub(super) struct Destination {
    /// What it is.
    pub(super) name: WalName,
    /// Where PostgreSQL wants it.
    pub(super) path: PathBuf,
    system: u64,
}

impl Destination {
    pub(super) fn new(path: &Path, name: WalName, system: u64) -> Destination {
        Destination { name, path: path.into(), system }
    }

    /// Has `get` write the file beside its place, checks that it is what its name says, and moves it there.
    ///
    /// # Errors
    /// Those of `get`; Corrupt when it is something else.
    pub(super) fn fill(&self, get: impl FnOnce(&mut dyn Write) -> Result<bool>) -> Result<bool> {
        self.fill_if(get, |_| Ok(true))
    }

    /// The same, unless the file in pg_wal begins with the same `bytes`: then recovery finds them there, and what follows.
    ///
    /// # Errors
    /// Those of [`Destination::fill`].
    pub(super) fn fill_beyond_pg_wal(
        &self,
        bytes: u64,
        get: impl FnOnce(&mut dyn Write) -> Result<bool>,
    ) -> Result<bool> {
        let beside = self.path.with_file_name(self.name.to_string());
        let doing = || format!("compare with {}", beside.display());
        self.fill_if(get, |written| {
            Ok(!self.is_in_pg_wal() || !begin_alike(written, &beside, bytes).doing(doing)?)
        })
    }

    fn fill_if(
        &self,
        get: impl FnOnce(&mut dyn Write) -> Result<bool>,
        wanted: impl FnOnce(&Path) -> Result<bool>,
    ) -> Result<bool> {
        let temporary = Temporary(self.path.with_extension(format!("toban-{}", std::process::id())));
        let doing = || format!("write {}", temporary.0.display());
        let mut file = BufWriter::with_capacity(256 << 10, File::create(&temporary.0).doing(doing)?);
        if !get(&mut file)? {
            return Ok(false);
        }
        file.flush().doing(doing)?;
        drop(file);
        self.check_content(&temporary.0)?;
        if !wanted(&temporary.0)? {
            return Ok(false);
        }
        // Renamed, so that %p is whole or absent if we are killed. Not synced: recovery fetches it again after a crash,
        // and PostgreSQL syncs what it keeps (xlogarchive.c, KeepFileRestoredFromArchive).
        fs::rename(&temporary.0, &self.path).doing(|| format!("put {} into its place", self.name))?;
        Ok(true)
    }

    /// Whether the file at `path` is what its name says.
    pub(super) fn check_content(&self, path: &Path) -> Result<()> {
        match self.name {
            WalName::Segment(..) | WalName::Partial(..) => {
                data_dir::check_segment_file(path, self.name, Some(self.system)).map(drop)
            }
            WalName::History(timeline) => {
                let text = fs::read_to_string(path).doing(|| format!("read {}", path.display()))?;
                History::parse_history(timeline, &text).map(drop)
            }
            WalName::Backup(..) => Ok(()),
        }
    }

    /// Whether recovery has the segment or history in pg_wal and finds it there after our "no": when restore_command
    /// fails it looks into pg_wal next (manual, "Archive Recovery", restore_command).
    pub(super) fn is_in_pg_wal(&self) -> bool {
        let beside = self.path.with_file_name(self.name.to_string());
        matches!(self.name, WalName::Segment(..) | WalName::History(_)) && self.check_content(&beside).is_ok()
    }

    /// Whether nothing of it can be missing there: the segment after it is there too. The last one may end anywhere.
    pub(super) fn is_whole_in_pg_wal(&self) -> bool {
        let beside = |name: WalName| self.path.with_file_name(name.to_string());
        let goes_on = || {
            let header =
                data_dir::check_segment_file(&beside(self.name), self.name, Some(self.system)).ok()?;
            let next = WalName::from(self.name.segment(header.segment_size)?.next());
            data_dir::check_segment_file(&beside(next), next, Some(self.system)).ok()
        };
        self.is_in_pg_wal() && (matches!(self.name, WalName::History(_)) || goes_on().is_some())
    }

    /// Whether the history in pg_wal is one that `pg-backup restore` made for a timeline of unknown origin: it names no
    /// timeline before it.
    pub(super) fn is_reservation(&self) -> bool {
        let WalName::History(timeline) = self.name else { return false };
        let text = fs::read_to_string(self.path.with_file_name(self.name.to_string()));
        text.is_ok_and(|text| History::parse_history(timeline, &text).is_ok_and(|h| h.switches.is_empty()))
    }
}

/// Whether two files have the same first `bytes`.
fn begin_alike(one: &Path, other: &Path, bytes: u64) -> std::io::Result<bool> {
    let (mut one, mut other) = (File::open(one)?.take(bytes), File::open(other)?.take(bytes));
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    loop {
        ours.clear();
        theirs.clear();
        one.by_ref().take(1 << 20).read_to_end(&mut ours)?;
        other.by_ref().take(1 << 20).read_to_end(&mut theirs)?;
        if ours != theirs {
            return Ok(false);
        }
        if ours.is_empty() {
            return Ok(true);
        }
    }
}

struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        // Gone already when it was moved to its place.
        let _ = fs::remove_file(&self.0);
    }
}
