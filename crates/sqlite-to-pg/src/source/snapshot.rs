//! One moment of a database that others may go on writing to, seen by several connections.

use super::damage::{self, PageCheck};
use super::open;
use rusqlite::Connection;
use std::path::{Path, PathBuf};
use toban_core::Result;

/// Connections inside read transactions that all see the same moment.
pub(crate) struct Snapshot {
    readers: Vec<Connection>,
    /// One more, which looks whether the file is whole.
    judge: Option<Connection>,
    path: PathBuf,
}

impl Snapshot {
    /// Takes one with up to `n` readers. A writer's lock is held while they begin, so that nothing is committed in
    /// between; where the file may not be written, one reader alone is a snapshot too.
    ///
    /// # Errors
    /// Those of [`open::open_reader`]; Retry when a writer keeps its lock for a minute.
    pub(crate) fn take_snapshot(path: &Path, n: usize) -> Result<Snapshot> {
        let first = open::open_reader(path)?;
        let holder = if n > 1 { open::open_holder(path) } else { None };
        // BEGIN IMMEDIATE takes the RESERVED lock <https://sqlite.org/lang_transaction.html>: others may go on reading, and none
        // commits until all readers have begun. So they see one and the same state, without a copy of the file.
        let held = match &holder {
            Some(holder) => holder.execute_batch("begin immediate").is_ok(),
            None => false,
        };
        let mut readers = vec![first];
        for _ in 1..if held { n + 1 } else { 1 } {
            readers.push(open::open_reader(path)?);
        }
        for reader in &readers {
            begin_read(reader, path).map_err(|e| damage::or_cut(path, e))?;
        }
        if let Some(holder) = holder.filter(|_| held) {
            // It wrote nothing; closing it rolls back.
            drop(holder);
        }
        // Only now: outside of a read transaction the header may already count pages that a writer adds next.
        damage::check_header(path)?;
        // It sees the same moment as the readers: pages that a writer changes meanwhile are no damage.
        let judge = if held { readers.pop() } else { None };
        Ok(Snapshot { readers, judge, path: path.to_path_buf() })
    }

    /// Begins to read every page, to tell whether the file is whole; nothing is put in place before that has ended. Where one
    /// connection alone reads, it does so at once.
    ///
    /// # Errors
    /// Those of [`damage::check_pages`], at once.
    pub(crate) fn begin_check(&mut self) -> Result<PageCheck> {
        match self.judge.take() {
            Some(judge) => Ok(PageCheck::begin(judge, &self.path)),
            None => damage::check_pages(&mut self.readers[0], &self.path).map(PageCheck::ended),
        }
    }

    /// All connections; each may be used by one thread.
    pub(crate) fn readers(&mut self) -> &mut [Connection] {
        &mut self.readers
    }

    /// One connection, for what one alone does.
    pub(crate) fn first_reader(&self) -> &Connection {
        &self.readers[0]
    }

    /// The file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

/// The first read takes the snapshot. A schema with an entry that does not parse (a view of an older program) is read
/// without that entry.
fn begin_read(reader: &Connection, path: &Path) -> Result<()> {
    let read = || reader.query_row("select count(*) from sqlite_schema", [], |_| Ok(()));
    reader.execute_batch("begin").map_err(|e| open::explain_error(e, path))?;
    if read().is_ok() {
        return Ok(());
    }
    reader.execute_batch("pragma writable_schema = on").map_err(|e| open::explain_error(e, path))?;
    read().map_err(|e| open::explain_error(e, path))
}
