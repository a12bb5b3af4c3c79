//! `--remote`: files as they come over the replication protocol. Each is received whole into a file without a name, and then
//! goes the way of a local one: compared with the newest backup, and stored as far as it changed.

use super::base_backup::{BaseBackup, BaseBackupEnd};
use super::copy::QueuedFiles;
use super::exclude;
use super::pack::{Body, Member, Members};
use super::source::SourceServer;
use super::state::RunState;
use super::wal::bytes_member;
use super::walk::ListedFile;
use crate::format::backup::{Damage, Owner, PG_CONTROL};
use crate::format::index::{EntryKind, FileName};
use crate::format::tar::TarHeader;
use std::fs::File;
use std::io::{self, Read, Seek};
use std::path::Path;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError};
use std::time::Duration;
use toban_core::durable::{create_dirs, state_dir};
use toban_core::pg::ConnInfo;
use toban_core::sync::lock;
use toban_core::{Context, Error, Result};

/// What makes the files a cluster: the last pack has it.
const LAST: [&str; 3] = ["backup_label", "tablespace_map", PG_CONTROL];
/// Of these a backup without them is none.
const NEEDED: [&str; 2] = ["backup_label", PG_CONTROL];

/// A server on another machine.
pub(super) struct RemoteSource {
    /// How to reach it.
    pub(super) conn: ConnInfo,
}

/// A file that was received.
pub(super) struct ReceivedFile {
    listed: ListedFile,
    file: Option<File>,
}

/// What was received beside the files.
pub(super) struct ReceivedRest {
    /// The members of the last pack, in order.
    pub(super) last: Vec<Member<'static>>,
    pub(super) tablespace_map: String,
    pub(super) end: BaseBackupEnd,
}

impl RemoteSource {
    /// Who owns the files over there: PostgreSQL writes this name into its archives, whoever it is (tarCreateHeader).
    pub(super) fn owner(source: &SourceServer) -> Owner {
        let name = "postgres".to_string();
        Owner { user: name.clone(), group: name, uid: 0, gid: 0, mode: source.folder_mode }
    }

    /// The content of the history of a timeline.
    ///
    /// # Errors
    /// What the server says; Retry when it cannot be reached.
    pub(super) fn read_history(&self, timeline: toban_core::wal::Timeline) -> Result<String> {
        let rows = self.conn.connect_replication()?.query_rows(&format!("TIMELINE_HISTORY {timeline}"))?;
        let text = rows.into_iter().next().and_then(|row| row.into_iter().nth(1).flatten());
        let none = || Error::failed(format!("the server has no history of timeline {timeline}"));
        text.map(|text| String::from_utf8_lossy(&text).into_owned()).ok_or_else(none)
    }
}

/// Receives all of it, and hands over files as they are whole.
///
/// # Errors
/// Retry when the connection is gone; Corrupt for a name that leads elsewhere; those of the state directory.
pub(super) fn receive_files(
    mut backup: BaseBackup,
    files: &SyncSender<ReceivedFile>,
    watch: &RunState,
) -> Result<ReceivedRest> {
    let folder = state_dir().join("receive");
    create_dirs(&folder)?;
    let mut last: Vec<(String, Vec<u8>)> = Vec::new();
    while let Some(header) = backup.next_member()? {
        watch.check()?;
        let listed = list_member(&header, backup.tablespace.as_deref())?;
        let name = listed.as_ref().map(|l| l.name.text().to_string()).unwrap_or_default();
        let mut content = backup.content(&header);
        let doing = || format!("receive {name}");
        if LAST.contains(&name.as_str()) {
            let mut bytes = Vec::new();
            content.read_to_end(&mut bytes).doing(doing)?;
            last.push((name, bytes));
            continue;
        }
        let Some(listed) = listed else {
            io::copy(&mut content, &mut io::sink()).doing(doing)?;
            continue;
        };
        let file = match listed.kind {
            EntryKind::Folder => None,
            EntryKind::File => Some(spool_file(&mut content, &folder).doing(doing)?),
        };
        hand_over(files, ReceivedFile { listed, file }, watch)?;
    }
    let end = backup.finish()?;
    if let Some(name) = NEEDED.iter().find(|name| last.iter().all(|(n, _)| n != **name)) {
        return Err(Error::corrupt(format!("the server sent no {name}")));
    }
    let map = last.iter().find(|(name, _)| name == LAST[1]).map(|(_, bytes)| bytes.clone());
    let tablespace_map = String::from_utf8_lossy(&map.unwrap_or_default()).into_owned();
    // pg_control as the last member of the last pack: what is unpacked in order has none before all else is there.
    last.sort_by_key(|(name, _)| LAST.iter().position(|n| n == name));
    let last = last.into_iter().map(|(name, bytes)| bytes_member(&name, bytes)).collect();
    Ok(ReceivedRest { last, tablespace_map, end })
}

/// Waits for a worker that takes it: one that failed never does, and says so by `watch`.
fn hand_over(files: &SyncSender<ReceivedFile>, file: ReceivedFile, watch: &RunState) -> Result<()> {
    let mut waiting = file;
    loop {
        watch.check()?;
        match files.try_send(waiting) {
            Ok(()) => return Ok(()),
            Err(TrySendError::Full(file)) => waiting = file,
            Err(TrySendError::Disconnected(_)) => return Err(Error::failed("no worker is left")),
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// A file without a name: a run that is killed leaves none.
fn spool_file(content: &mut impl Read, folder: &Path) -> io::Result<File> {
    let mut file = tempfile::tempfile_in(folder)?;
    io::copy(content, &mut file)?;
    file.rewind()?;
    Ok(file)
}

/// What a member is in the data directory; none for what no backup has.
///
/// # Errors
/// Corrupt for a name that leads out of it (CVE-2026-6475).
fn list_member(header: &TarHeader, tablespace: Option<&str>) -> Result<Option<ListedFile>> {
    let kind = match header.kind {
        b'0' | 0 => EntryKind::File,
        b'5' => EntryKind::Folder,
        // Links of tablespaces, which recovery makes by tablespace_map.
        _ => return Ok(None),
    };
    let name = String::from_utf8_lossy(&header.name).into_owned();
    let own = header.name.strip_prefix(b"./").unwrap_or(&header.name);
    let own = own.strip_suffix(b"/").unwrap_or(own);
    let path = match tablespace {
        Some(oid) => [b"pg_tblspc/", oid.as_bytes(), b"/", own].concat(),
        None => own.to_vec(),
    };
    if own.is_empty() || own == b"." {
        return Ok(None);
    }
    let file = FileName(path);
    file.path().doing(|| format!("receive {name}"))?;
    let parent = file.text().rsplit_once('/').map(|(parent, _)| parent).unwrap_or_default();
    let kept = LAST.contains(&file.text());
    if !kept && (exclude::is_excluded(file.text()) || exclude::is_emptied(parent)) {
        return Ok(None);
    }
    let size = if kind == EntryKind::File { header.size } else { 0 };
    let (mode, modified) = (header.mode, header.modified);
    Ok(Some(ListedFile { name: file, kind, mode, modified, size, first_page: None }))
}

/// One worker's view of what is received.
pub(super) struct ReceivedFiles<'a> {
    pub(super) files: QueuedFiles<'a>,
    pub(super) inbox: &'a Mutex<Receiver<ReceivedFile>>,
    /// Taken, and not handed on yet.
    held: Option<ReceivedFile>,
}

impl<'a> ReceivedFiles<'a> {
    pub(super) fn new(files: QueuedFiles<'a>, inbox: &'a Mutex<Receiver<ReceivedFile>>) -> ReceivedFiles<'a> {
        ReceivedFiles { files, inbox, held: None }
    }

    /// Waits for the next; whether there is one.
    pub(super) fn has_more(&mut self) -> bool {
        if self.held.is_none() {
            self.held = lock(self.inbox).recv().ok();
        }
        self.held.is_some()
    }
}

impl<'a> Members<'a> for ReceivedFiles<'a> {
    fn next(&mut self) -> Result<Option<Member<'a>>> {
        self.files.watch.check()?;
        if !self.has_more() {
            return Ok(None);
        }
        let Some(ReceivedFile { listed, file }) = self.held.take() else { return Ok(None) };
        Ok(Some(match file {
            None => Member {
                entry: listed.to_entry(),
                body: Body::Whole { content: Box::new(io::empty()), key: None },
            },
            // WAL is of its backup alone.
            Some(file) if listed.name.text().starts_with("pg_wal/") => {
                Member { entry: listed.to_entry(), body: Body::Whole { content: Box::new(file), key: None } }
            }
            Some(file) => self.files.to_member(listed, file),
        }))
    }
}

/// What the server says of its own pages, which it read again before it said so.
pub(super) fn describe_damage(end: &BaseBackupEnd) -> Damage {
    if !end.damaged {
        return Damage::default();
    }
    // One for each of the first pages of a file; sums of a file or of all have no block.
    let pages: Vec<&String> = end.warnings.iter().filter(|line| line.contains("block")).collect();
    let first = pages.iter().take(100).map(ToString::to_string).collect();
    Damage { pages: pages.len().max(1) as u64, first }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_lie_below_the_data_directory() {
        let member = |name: &str, kind, tablespace| {
            let header =
                TarHeader { name: name.as_bytes().to_vec(), kind, mode: 0o600, size: 3, modified: 1 };
            list_member(&header, tablespace).map(|l| l.map(|l| l.name.text().to_string()))
        };
        let fine = |name: &str, kind, tablespace| member(name, kind, tablespace).expect("it lies below");
        assert_eq!(fine("base/5/16384", b'0', None).as_deref(), Some("base/5/16384"));
        assert_eq!(fine("PG_15_1/5/9", b'0', Some("16400")).as_deref(), Some("pg_tblspc/16400/PG_15_1/5/9"));
        assert_eq!(fine("./global/", b'5', None).as_deref(), Some("global"));
        for left_out in ["postmaster.pid", "pg_wal/archive_status/1.done", "standby.signal"] {
            assert_eq!(fine(left_out, b'0', None), None, "{left_out}");
        }
        assert_eq!(fine("pg_tblspc/16400", b'2', None), None, "a link");
        assert_eq!(fine("backup_label", b'0', None).as_deref(), Some("backup_label"));
        for bad in ["/etc/passwd", "base/../../x", "a//b"] {
            assert!(member(bad, b'0', None).is_err(), "{bad}");
        }
    }
}
