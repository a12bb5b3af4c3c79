//! The WAL between a backup's start and stop, stored while the files are copied, so that the backup restores by
//! itself.
//!
//! A temporary slot keeps the server from removing it. The slot belongs to a second session: a server that runs out
//! of room ends the session that owns the slot, and that must not be the one that holds the backup open.

use super::pack::{Body, Member, Members};
use super::state::RunState;
use crate::format::id::Id;
use crate::format::index::{EntryKind, FileName, IndexEntry};
use postgres::Client;
use std::fs::{self, File};
use std::io::Cursor;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use toban_core::sync::lock;
use toban_core::wal::{Lsn, Segment, Timeline};
use toban_core::{Context, Error, Result};

/// How often the server is asked how far it is, and how often the slot is moved.
const POLL: Duration = Duration::from_millis(500);
const ADVANCE: Duration = Duration::from_secs(10);

/// The second session, whose temporary slot keeps the WAL.
pub(super) struct WalSession {
    /// None when the server ended it.
    client: Option<Client>,
    slot: String,
    standby: bool,
}

impl WalSession {
    /// Makes the slot; it is gone with the session.
    pub(super) fn create_slot(mut client: Client, id: &Id, standby: bool) -> Result<WalSession> {
        let slot = format!("toban_{}", id.to_string().to_lowercase().replace('-', "_"));
        // immediately_reserve: else it holds no WAL until a walsender connects, and none ever does.
        // temporary: a run that is killed leaves no slot behind that would fill pg_wal ("Replication
        // Management Functions").
        let made = client.query_one("select pg_create_physical_replication_slot($1, true, true)", &[&slot]);
        made.doing(|| "make a temporary replication slot".into()).map_err(|e| {
            e.hint("a backup needs one free slot: raise max_replication_slots, or drop one that is not used")
        })?;
        Ok(WalSession { client: Some(client), slot, standby })
    }
}

/// Segments as they become whole.
pub(super) struct WalCapture<'a> {
    watch: &'a RunState,
    session: WalSession,
    /// The number of the segment that the backup begins in.
    first: u64,
    next: Segment,
    histories: Vec<PathBuf>,
    /// The end of the backup, once it is known.
    end: &'a Mutex<Option<Lsn>>,
    asked: Option<Instant>,
    moved: Instant,
    /// Everything before is on disk.
    flushed: Lsn,
}

impl<'a> WalCapture<'a> {
    /// From the segment `first` on, which holds the backup's start.
    pub(super) fn new(
        watch: &'a RunState,
        session: WalSession,
        first: Segment,
        end: &'a Mutex<Option<Lsn>>,
    ) -> WalCapture<'a> {
        let histories = list_histories(watch, first.timeline);
        let (asked, moved, flushed) = (None, Instant::now(), Lsn(0));
        let number = first.number;
        WalCapture { watch, session, first: number, next: first, histories, end, asked, moved, flushed }
    }

    fn backup_end(&self) -> Option<Lsn> {
        *lock(self.end)
    }

    /// Asks the server how far it is. A session that the server ended is let go: what it kept may still be there.
    fn ask_position(&mut self) {
        if self.asked.is_some_and(|at| at.elapsed() < POLL) {
            return;
        }
        self.asked = Some(Instant::now());
        let standby = self.session.standby;
        let Some(client) = &mut self.session.client else { return };
        match read_position(client, standby) {
            Ok((flushed, newest)) => {
                self.flushed = flushed;
                self.watch.newest.fetch_max(newest.0, Ordering::Relaxed);
            }
            Err(e) => self.lose_session(&e),
        }
    }

    fn lose_session(&mut self, e: &Error) {
        log::warn!("the server ended the session that keeps its WAL: {}", e.chain());
        self.session.client = None;
    }

    /// Lets the server remove the WAL that was copied. The slot stands inside the segment that the backup begins in, so
    /// there is nothing to let go before that segment is copied: the server refuses to move a slot back.
    fn advance_slot(&mut self) {
        let due = self.moved.elapsed() >= ADVANCE && self.next.number > self.first;
        let Some(client) = self.session.client.as_mut().filter(|_| due) else { return };
        self.moved = Instant::now();
        let to = Lsn(self.next.number * self.next.size).to_string();
        let sql = "select pg_replication_slot_advance($1, $2::text::pg_lsn)";
        let advanced = client.query_one(sql, &[&self.session.slot, &to]).doing(|| "advance the slot".into());
        match advanced {
            Err(e) if client.is_closed() => self.lose_session(&e),
            Err(e) => log::debug!("{}", e.chain()),
            Ok(_) => {}
        }
    }

    fn next_segment(&mut self) -> Result<Member<'a>> {
        let name = self.next.name();
        let path = self.watch.data_dir.join("pg_wal").join(&name);
        let gone = |e: Error| {
            e.hint("the server removed WAL that the backup needs: raise max_slot_wal_keep_size, or back up at a quieter time")
        };
        let doing = || format!("open {}", path.display());
        let file =
            File::open(&path).doing(doing).map_err(|e| self.find_switched().unwrap_or_else(|| gone(e)))?;
        let meta = file.metadata().doing(doing)?;
        if meta.len() != self.next.size {
            return Err(Error::failed(format!("{} has {} bytes", path.display(), meta.len())));
        }
        self.next = self.next.next();
        let body = Body::Whole { content: Box::new(file), key: None };
        Ok(Member { entry: new_entry(&format!("pg_wal/{name}"), meta.len()), body })
    }

    /// A standby whose server was replaced writes the same segment for a later timeline.
    fn find_switched(&self) -> Option<Error> {
        let name = self.next.name();
        let later = |n: &String| n.len() == name.len() && n[8..] == name[8..] && n[..8] > name[..8];
        let entries = fs::read_dir(self.watch.data_dir.join("pg_wal")).ok()?.flatten();
        let found =
            entries.filter_map(|e| e.file_name().into_string().ok()).filter(|n| n.is_ascii()).find(later)?;
        let e = Error::retry(format!("the server began timeline {} while it was backed up", &found[..8]));
        Some(e.hint("run it again"))
    }

    fn next_history(&mut self) -> Result<Option<Member<'a>>> {
        let Some(path) = self.histories.pop() else { return Ok(None) };
        let bytes = fs::read(&path).doing(|| format!("read {}", path.display()))?;
        let name = format!("pg_wal/{}", path.file_name().unwrap_or_default().to_string_lossy());
        Ok(Some(bytes_member(&name, bytes)))
    }
}

/// The histories of this timeline and those before it, which recovery wants to see.
fn list_histories(watch: &RunState, newest: Timeline) -> Vec<PathBuf> {
    let entries = fs::read_dir(watch.data_dir.join("pg_wal")).into_iter().flatten().flatten();
    let fits = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let timeline = name.strip_suffix(".history").and_then(|t| u32::from_str_radix(t, 16).ok());
        timeline.is_some_and(|t| t <= newest.0)
    };
    entries.map(|e| e.path()).filter(fits).collect()
}

fn read_position(session: &mut Client, standby: bool) -> Result<(Lsn, Lsn)> {
    let sql = match standby {
        // Not pg_last_wal_receive_lsn: it is null on a standby that takes its WAL by restore_command. What
        // was replayed was on disk before, wherever it came from.
        true => "select pg_last_wal_replay_lsn()::text, pg_last_wal_replay_lsn()::text",
        false => "select pg_current_wal_flush_lsn()::text, pg_current_wal_insert_lsn()::text",
    };
    let row = session.query_one(sql, &[]).doing(|| "ask how far the WAL is".into())?;
    let lsn = |i| row.get::<_, String>(i).parse().doing(|| "read a position".to_string());
    Ok((lsn(0)?, lsn(1)?))
}

/// A small member from memory.
pub(super) fn bytes_member<'a>(name: &str, bytes: Vec<u8>) -> Member<'a> {
    let entry = new_entry(name, bytes.len() as u64);
    Member { entry, body: Body::Whole { content: Box::new(Cursor::new(bytes)), key: None } }
}

fn new_entry(name: &str, size: u64) -> IndexEntry {
    let modified = jiff::Timestamp::now().as_second();
    let (path, kind) = (FileName(name.as_bytes().to_vec()), EntryKind::File);
    IndexEntry { path, kind, mode: 0o600, modified, size, crc32c: 0, pieces: Vec::new() }
}

impl<'a> Members<'a> for WalCapture<'a> {
    fn next(&mut self) -> Result<Option<Member<'a>>> {
        loop {
            self.watch.check()?;
            if let Some(history) = self.next_history()? {
                return Ok(Some(history));
            }
            let begins = Lsn(self.next.number * self.next.size);
            match self.backup_end() {
                Some(end) if begins >= end => return Ok(None),
                // A primary has switched to the next segment; of a standby the part that counts is there.
                Some(_) => return self.next_segment().map(Some),
                None => self.ask_position(),
            }
            // Only what the server has flushed is read: the tail of a segment that is still written may change, and what
            // is not flushed may never have been after a crash.
            if self.flushed >= self.next.end() {
                return self.next_segment().map(Some);
            }
            // Only here, when the segment before was read to its end: what the slot lets go the server may
            // recycle, which renames the file and then writes into it (InstallXLogFileSegment in xlog.c). A
            // reader that still had it open would get the content of a later segment.
            self.advance_slot();
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// Members that are there already.
pub(super) struct ReadyMembers<'a>(pub(super) std::vec::IntoIter<Member<'a>>);

impl<'a> Members<'a> for ReadyMembers<'a> {
    fn next(&mut self) -> Result<Option<Member<'a>>> {
        Ok(self.0.next())
    }
}
