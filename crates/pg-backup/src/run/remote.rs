//! `--remote`: files as they come over the replication protocol. Each is received whole into a file without a name, and then
//! goes the way of a local one: compared with the newest backup, and stored as far as it changed.

use super::base_backup::{BaseBackup, BaseBackupEnd, BaseBackupOptions};
use super::copy::{Queue, QueuedFiles};
use super::exclude;
use super::job::{AbortOnDrop, BackupJob, CopiedCluster, CopyOutput, PackSink, fail_all};
use super::pack::{Body, Member, Members};
use super::source::{self, SourceServer};
use super::state::RunState;
use super::wal::{ReadyMembers, WalSession, bytes_member};
use super::walk::ListedFile;
use crate::cli;
use crate::format::backup::{Conf, Damage, Owner, PG_CONTROL};
use crate::format::index::{EntryKind, FileName};
use crate::format::tar::TarHeader;
use postgres::Client;
use std::fs::File;
use std::io::{self, Read, Seek};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::AtomicU32;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::Duration;
use toban_core::durable::{create_dirs, state_dir};
use toban_core::pg::ConnInfo;
use toban_core::progress::Progress;
use toban_core::sync::{into_inner, joined, lock};
use toban_core::systemd;
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

impl BackupJob<'_> {
    /// The same as [`BackupJob::copy_cluster`] over the replication protocol: one stream, whose files the workers take as they
    /// come.
    pub(super) fn receive_cluster(
        &self,
        client: &mut Client,
        second: Client,
        remote: &RemoteSource,
        output: &CopyOutput<'_>,
    ) -> Result<CopiedCluster> {
        let watch = output.watch;
        systemd::show_status("waiting for the checkpoint");
        let fast = self.args.checkpoint == cli::Checkpoint::Fast;
        let label = self.backup_label();
        let options = BaseBackupOptions { label: &label, fast, rate: self.args.max_rate.map(|r| r.0) };
        let (mut backup, start) = BaseBackup::start(&remote.conn, &options)?;
        let mut tablespaces = std::mem::take(&mut backup.tablespaces);
        // It holds the WAL from the checkpoint on until the stream has it, at its end.
        let session = WalSession::create_slot(second, &self.id, self.source.standby)?;
        self.warn_of_later(&start);
        let estimated = backup.estimated;
        let limit = (1 << 30).max(estimated / 128);
        let numbers = AtomicU32::new(self.first_number());
        let sink = PackSink { limit, numbers, packs: Mutex::default(), index: output.index };
        let progress = Progress::bytes("back up", Some(estimated).filter(|bytes| *bytes > 0), false);
        let (queue, key, base) = (Queue::new(Vec::new()), &self.key, self.base());
        let files = QueuedFiles { queue: &queue, watch, base, summarized: None, key, progress: &progress };
        // Beside one for each worker: every file takes up to 1 GiB of the state directory's disk.
        let (sender, inbox) = sync_channel(2);
        let inbox = Mutex::new(inbox);
        let rest = thread::scope(|scope| {
            let _alarm = AbortOnDrop(watch);
            let worker = || fail_all(watch, self.store_received(&sink, ReceivedFiles::new(files, &inbox)));
            let workers: Vec<_> = (0..self.args.jobs()).map(|_| scope.spawn(worker)).collect();
            let received = receive_files(backup, &sender, watch).map_err(|e| watch.fail(e));
            // The workers wait for more until it is gone.
            drop(sender);
            let done: Result<Vec<()>> = workers.into_iter().map(|w| joined(w.join())).collect();
            done.and(received)
        });
        let rest = rest.map_err(|e| watch.first_cause(e))?;
        drop(session);
        self.store(&sink, &mut ReadyMembers(rest.last.into_iter()))?;
        let conf = &self.source.conf;
        if let Some(outside) = conf.iter().find(|file| !file.starts_with(&self.source.data_dir)) {
            log::warn!("{} lies outside the data directory: no remote backup has it", outside.display());
        }
        let damage = describe_damage(&rest.end);
        // Those that came and those that went while it was taken: recovery needs a place for each.
        tablespaces.extend(source::list_tablespaces(client)?);
        let tablespaces = source::each_once(tablespaces, &rest.tablespace_map);
        let (stop, packs, clean) = (rest.end.stop, into_inner(sink.packs), damage.pages == 0);
        Ok(CopiedCluster { start, stop, damage, conf: Conf::default(), tablespaces, packs, clean })
    }

    /// Stores packs of what is received until nothing more comes.
    fn store_received(&self, sink: &PackSink<'_>, mut files: ReceivedFiles<'_>) -> Result<()> {
        while files.has_more() {
            self.store(sink, &mut files)?;
        }
        Ok(())
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
