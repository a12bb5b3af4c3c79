//! One backup in the making: threads that copy, the capture of the WAL, the index, and the manifest last.

use super::base::{Base, Foundation};
use super::block_map::{DigestKey, MapOwner, MapWriter};
use super::conf;
use super::copy::{Queue, QueuedFiles, Summarized};
use super::digests::write_digests;
use super::index_lines::{IndexLines, IndexTotals, OwnDigests, StoredEntry};
use super::pack::{Member, Members, Pack, PackState};
use super::remote::RemoteSource;
use super::source::{self, BackupStart, BackupStop, SourceServer};
use super::state::RunState;
use super::summaries::{self, ChangedBlocks};
use super::wal::{ReadyMembers, WalCapture, WalSession, bytes_member};
use super::walk;
use crate::cli;
use crate::data_dir::{control, host};
use crate::format::backup::{
    BackupManifest, Conf, Damage, DigestSum, Owner, PG_CONTROL, PackSum, Tablespace, digests_key, facts_key,
    index_key, intent_key, pack_key,
};
use crate::format::catalog::{Manifest, Note};
use crate::format::codec::FrameCompressor;
use crate::format::id::Id;
use crate::format::pin::PinRecord;
use crate::lock::renew_locks;
use crate::machine::Process;
use jiff::Timestamp;
use postgres::Client;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Mutex, OnceLock};
use std::thread;
use toban_core::machine::host_name;
use toban_core::progress::Progress;
use toban_core::repo::RepoSet;
use toban_core::repo::cluster::{self, Cluster};
use toban_core::repo::keys::System;
use toban_core::repo::sealed::{ENCRYPTED_FORMAT, FORMAT, SHARING_FORMAT};
use toban_core::store::{Attrs, Key};
use toban_core::sum::Sum;
use toban_core::sync::{into_inner, joined, lock};
use toban_core::systemd;
use toban_core::wal::{Lsn, Segment};
use toban_core::{Context, Error, Result};

/// One backup in the making.
pub(super) struct BackupJob<'a> {
    pub(super) args: &'a cli::Run,
    pub(super) source: &'a SourceServer,
    pub(super) id: Id,
    pub(super) system: System,
    pub(super) started: Timestamp,
    pub(super) owner: Owner,
    pub(super) repos: &'a RepoSet<'a>,
    /// Where the files come over the network.
    pub(super) remote: Option<&'a RemoteSource>,
    pub(super) foundation: &'a Foundation,
    /// The key of this run's digests.
    pub(super) key: DigestKey,
    /// Where the map of blocks goes.
    pub(super) map_path: PathBuf,
    /// Whether the WAL summaries may say what need not be read.
    pub(super) trusts_summaries: bool,
    /// Where a block is named that changed although no summary says so.
    pub(super) untrue: &'a OnceLock<String>,
}

/// A backup that is visible in every repository that is left.
pub(super) struct FinishedBackup {
    pub(super) manifest: BackupManifest,
    /// Bytes of the cluster's files that were read.
    pub(super) read_bytes: u64,
}

/// What all threads of a job write to.
pub(super) struct PackSink<'a> {
    pub(super) limit: u64,
    pub(super) numbers: AtomicU32,
    pub(super) packs: Mutex<BTreeMap<u32, Sum>>,
    pub(super) index: &'a SyncSender<StoredEntry>,
}

/// Ends the other threads of a scope that is left, be it by a panic.
pub(super) struct AbortOnDrop<'a>(pub(super) &'a RunState);

impl Drop for AbortOnDrop<'_> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What the server gave at the end, and pg_control from just before.
struct EndedBackup {
    stop: BackupStop,
    control: Vec<u8>,
}

/// The two lists of what a backup holds.
struct StoredLists {
    index: Sum,
    digests: Sum,
}

/// What the threads of a copy share, and where the entries of the index go.
pub(super) struct CopyOutput<'a> {
    pub(super) watch: &'a RunState,
    pub(super) index: &'a SyncSender<StoredEntry>,
}

/// What is known when everything but the manifest is stored.
pub(super) struct CopiedCluster {
    pub(super) start: BackupStart,
    pub(super) stop: Lsn,
    pub(super) damage: Damage,
    pub(super) conf: Conf,
    pub(super) tablespaces: Vec<Tablespace>,
    pub(super) packs: BTreeMap<u32, Sum>,
    /// Every page read well.
    pub(super) clean: bool,
}

impl BackupJob<'_> {
    /// Makes it, to the manifest.
    ///
    /// # Errors
    /// The server's and the source's; that no repository is left.
    pub(super) fn back_up(&self, client: &mut Client, second: Client) -> Result<FinishedBackup> {
        self.claim_repos()?;
        // A remote server verifies its pages itself, where it can read one again, and keeps the pace.
        let local = self.remote.is_none();
        let rate = self.args.max_rate.filter(|_| local).map(|r| r.0);
        let watch = RunState::new(&self.source.data_dir, self.source.checksums && local, rate);
        let mut totals = IndexTotals::default();
        let mut map = self.begin_map();
        let (copied, index, digests) = thread::scope(|scope| {
            // Few: an entry of a file of 1 GiB brings digests of 2 MiB.
            let (entries, lines) = sync_channel(8);
            let (files, own) = sync_channel(2);
            let own_digests = OwnDigests { first: self.first_number(), files };
            let lines = IndexLines::new(lines, &mut totals, &mut map, own_digests);
            let index =
                scope.spawn(|| self.repos.store(lines.compress()?, &index_key(&self.system, &self.id)));
            let digests = scope.spawn(|| {
                self.repos.store(write_digests(&self.key, own)?, &digests_key(&self.system, &self.id))
            });
            let copied = match self.remote {
                None => self.copy_cluster(client, second, &watch, &entries),
                Some(remote) => self.receive_cluster(
                    client,
                    second,
                    remote,
                    &CopyOutput { watch: &watch, index: &entries },
                ),
            };
            drop(entries);
            let (index, digests) = (joined(index.join()), joined(digests.join()));
            Ok::<_, Error>((copied?, index?, digests?))
        })?;
        let clean = copied.clean;
        let read_bytes = watch.read.load(Ordering::Relaxed);
        let manifest = self.make_manifest(client, copied, totals, StoredLists { index, digests })?;
        // After everything else is stored and right before the manifest: a prune that was already removing
        // when the intent came may have taken a pack of an earlier backup. A manifest that names what is not
        // there would be a backup that fails at its restore.
        let public = self.hide_facts(&manifest)?;
        self.prove_shared_objects(&public)?;
        let (objects, beside) = (public.objects()?, public.beside()?);
        self.repos.each(|repo| renew_locks(repo, &objects, &beside))?;
        self.commit_manifest(&public)?;
        // Last, and by a rename: a run that dies before the manifest leaves the map of the backup before,
        // which is still the newest one and which the next run can build on.
        self.keep_map(map, &manifest, clean);
        Ok(FinishedBackup { manifest, read_bytes })
    }

    pub(super) fn base(&self) -> Option<&Base> {
        self.foundation.base()
    }

    /// The number of this run's first pack. After the numbers of the base: a piece in the index names its pack by the
    /// number alone, so a shared pack and an own one must not have the same.
    pub(super) fn first_number(&self) -> u32 {
        self.base().map_or(0, Base::next_number)
    }

    /// Without a map the next run makes one from the digests; that is no reason to have no backup.
    fn begin_map(&self) -> Option<MapWriter> {
        let begun = MapWriter::create(&self.map_path, self.key.clone());
        begun.map_err(warn_of_lost_map).ok()
    }

    fn keep_map(&self, map: Option<MapWriter>, backup: &BackupManifest, clean: bool) {
        let owner = MapOwner {
            id: &backup.id,
            index: &backup.index,
            clean,
            server_started: &self.source.server_started,
        };
        if let Some(Err(e)) = map.map(|map| map.commit(&owner)) {
            warn_of_lost_map(e);
        }
    }

    /// Looks at every object of an earlier backup again: what a `prune` or a person took away since this run began must
    /// not be named. From here to the manifest a prune leaves them alone, for the intent names them.
    fn prove_shared_objects(&self, backup: &BackupManifest) -> Result<()> {
        if backup.built_on.is_none() {
            return Ok(());
        }
        let folder = format!("{}backup/", self.system.root());
        let objects = backup.objects()?;
        self.repos.each(|repo| {
            let listed = repo.store.list(&folder)?;
            let sizes: BTreeMap<&Key, u64> = listed.iter().map(|o| (&o.key, o.size)).collect();
            for (key, sum) in &objects {
                if sizes.get(key) != Some(&sum.bytes) {
                    let e = Error::retry(format!("{key} went while this backup was made on it"));
                    return Err(e.hint("run it again: what is missing is stored anew"));
                }
            }
            Ok(())
        })
    }

    /// The repositories are this system's, and know that a run has begun.
    fn claim_repos(&self) -> Result<()> {
        let facts = Cluster {
            format: cluster::FORMAT,
            system_identifier: self.source.identifier.to_string(),
            major: self.source.major,
            wal_segment_size: self.source.segment_size,
        };
        let host = host_name();
        // The folders that this run may name packs of: a prune leaves them alone while the intent stands.
        let builds_on = self.base().map(Base::folders).unwrap_or_default();
        let intent = serde_json::json!({
            "format": 1, "id": self.id, "host": host, "process": Process::current(), "builds_on": builds_on,
        });
        let intent = serde_json::to_vec(&intent).doing(|| "write the intent".into())?;
        let key = intent_key(&self.system, &self.id);
        self.repos.each(|repo| {
            facts.claim(&*repo.store, &self.system, self.args.new_system)?;
            // Before the first pack. A prune lists the intents again right before it removes a folder's packs
            // (FolderGuard in prune/runs.rs), and leaves them when one has come that it did not know.
            repo.store.put(&key, &mut &intent[..], &Attrs::new()).map(drop)
        })
    }

    fn copy_cluster(
        &self,
        client: &mut Client,
        second: Client,
        watch: &RunState,
        index: &SyncSender<StoredEntry>,
    ) -> Result<CopiedCluster> {
        let fast = self.args.checkpoint == cli::Checkpoint::Fast;
        let label = self.backup_label();
        systemd::show_status("waiting for the checkpoint");
        // From here to pg_backup_stop a primary puts full pages into the WAL whatever full_page_writes says
        // (XLogInsertRecord in xlog.c): a page that is copied half old, half new is made whole by recovery,
        // because its first change after this checkpoint brings all of it.
        let start = source::start_backup(client, self.source, &label, fast)?;
        // Pages are judged before the second session has asked the server how far the WAL is. Without a first
        // value every good page with a position beyond AHEAD would count as one of the future.
        watch.newest.fetch_max(start.lsn.0, Ordering::Relaxed);
        // It holds the WAL from the checkpoint that was just made. One that was older could be too old for
        // max_slot_wal_keep_size already, and would be lost by that very checkpoint.
        let session = WalSession::create_slot(second, &self.id, self.source.standby)?;
        // Before the walk and after it: a link that comes or goes while the tree is walked is in one of the two.
        let mut tablespaces = walk::list_links(&self.source.data_dir)?;
        let listed = walk::walk_data_dir(&self.source.data_dir, &self.source.version_folder)?;
        tablespaces.extend(walk::list_links(&self.source.data_dir)?);
        // Of a large cluster a 128th: the manifest has an entry for each pack, and a restore opens each. At
        // least 1 GiB, so that a small cluster is not many small objects.
        let limit = (1 << 30).max(walk::total_bytes(&listed) / 128);
        let sink =
            PackSink { limit, numbers: AtomicU32::new(self.first_number()), packs: Mutex::default(), index };
        let progress = Progress::bytes("back up", Some(walk::total_bytes(&listed)), false);
        let queue = Queue::new(listed);
        self.warn_of_later(&start);
        let end = Mutex::new(None);
        // After pg_backup_start, since the summaries must cover the WAL up to its position. What changes
        // later comes back from the WAL that this backup stores itself.
        let changed = self.read_summaries(client, &start);
        let summarized =
            changed.as_ref().map(|changed| Summarized { changed, start: start.lsn, untrue: self.untrue });
        let files = QueuedFiles {
            queue: &queue,
            watch,
            base: self.base(),
            summarized,
            key: &self.key,
            progress: &progress,
        };
        let ended = thread::scope(|scope| {
            // The capture of the WAL waits until the end of the backup is known. After a panic in this thread
            // nobody would ever say it, and the scope would wait for the capture for ever.
            let _alarm = AbortOnDrop(watch);
            let first = Segment::holding_lsn(start.lsn, start.timeline, self.source.segment_size);
            let mut capture = WalCapture::new(watch, session, first, &end);
            let sink = &sink;
            // While the files are copied and not after them: each segment that is stored lets the slot move
            // on, so a backup of hours neither fills the server's pg_wal nor comes to the limit of
            // max_slot_wal_keep_size.
            let wal = scope.spawn(move || fail_all(watch, self.store(sink, &mut capture)));
            let ended = self.copy_files(sink, &files).and_then(|()| self.end_backup(client, &end));
            let ended = ended.map_err(|e| watch.fail(e));
            joined(wal.join()).and(ended)
        });
        let ended = ended.map_err(|e| watch.first_cause(e))?;
        let damage = watch.find_damage(start.lsn, read_newest_lsn(client, self.source)?);
        let conf = self.store_last_pack(&sink, &ended)?;
        let packs = into_inner(sink.packs);
        // From the catalog as well: a tablespace that was created after both looks at the links is in
        // neither, but recovery replays its CREATE TABLESPACE and needs a place for it.
        tablespaces.extend(source::list_tablespaces(client)?);
        let tablespaces = source::each_once(tablespaces, &ended.stop.tablespace_map);
        let (stop, clean) = (ended.stop.lsn, watch.is_clean());
        Ok(CopiedCluster { start, stop, damage, conf, tablespaces, packs, clean })
    }

    /// The name of the backup in backup_label.
    pub(super) fn backup_label(&self) -> String {
        self.args.label.clone().unwrap_or_else(|| format!("toban {}", self.id))
    }

    /// Backups are in the order of the WAL, which a server that was set back to an older state writes a second time.
    pub(super) fn warn_of_later(&self, start: &BackupStart) {
        let later = |base: &&Base| {
            let other = &base.manifest;
            !self.source.standby && other.timeline == start.timeline && other.stop_lsn > start.lsn
        };
        if let Some(base) = self.base().filter(later) {
            log::warn!(
                "{} is of a later position ({}) than this server ({}), which was set back: `latest` is that one until the \
                 server has passed it; restore by ID, or promote the server to a timeline of its own",
                base.manifest.id,
                base.manifest.stop_lsn,
                start.lsn
            );
        }
    }

    /// What the server's WAL summaries say, where there are some to build on.
    fn read_summaries(&self, client: &mut Client, start: &BackupStart) -> Option<ChangedBlocks> {
        // Pages that read badly last time are all judged again, and for that they must be read.
        let base = self.base().filter(|base| self.trusts_summaries && base.trusted)?;
        if self.source.major < summaries::FIRST_MAJOR {
            return None;
        }
        let changed = ChangedBlocks::read(client, self.source, base, start);
        changed.map_err(|e| log::info!("every file is read: {}", e.chain())).ok()
    }

    /// Copies all files by parallel workers.
    fn copy_files(&self, sink: &PackSink<'_>, files: &QueuedFiles<'_>) -> Result<()> {
        let worker = || {
            let mut files = *files;
            let mut done = Ok(());
            while done.is_ok() && !files.queue.is_empty() {
                done = self.store(sink, &mut files);
            }
            fail_all(files.watch, done)
        };
        thread::scope(|scope| {
            let workers: Vec<_> = (0..self.args.jobs()).map(|_| scope.spawn(worker)).collect();
            let done: Vec<Result<()>> = workers.into_iter().map(|w| joined(w.join())).collect();
            done.into_iter().collect()
        })
    }

    /// Ends the backup; the capture of the WAL learns where.
    fn end_backup(&self, client: &mut Client, end: &Mutex<Option<Lsn>>) -> Result<EndedBackup> {
        // On a standby it must be newer than everything else: it says how far recovery must go.
        let control = control::read_control(&self.source.data_dir)?;
        let stop = source::stop_backup(client, self.source)?;
        // Only pg_backup_stop knows where the backup ends. On a primary it also switches to a new segment
        // (do_pg_backup_stop in xlog.c), so the last one that is needed is complete from here on.
        *lock(end) = Some(stop.lsn);
        Ok(EndedBackup { stop, control })
    }

    /// The last pack: what makes the rest a cluster that recovers, and pg_control as its last member.
    fn store_last_pack(&self, sink: &PackSink<'_>, ended: &EndedBackup) -> Result<Conf> {
        let (conf, files) = conf::collect_conf(self.source)?;
        let member = |(name, file): (String, conf::ConfFile)| {
            let mut member = bytes_member(&format!("{}/{name}", conf.folder), file.bytes);
            member.entry.mode = file.mode;
            member
        };
        let mut last: Vec<Member<'_>> = files.into_iter().map(member).collect();
        // Byte for byte what pg_backup_stop returned ("Making a Base Backup Using the Low Level API"). A
        // server that starts without backup_label recovers from the checkpoint in pg_control instead of the
        // one where the backup began, and is corrupt without any message.
        last.push(bytes_member("backup_label", ended.stop.label.clone().into_bytes()));
        if !ended.stop.tablespace_map.is_empty() {
            last.push(bytes_member("tablespace_map", ended.stop.tablespace_map.clone().into_bytes()));
        }
        // The last member, as in perform_base_backup (basebackup.c): whoever unpacks the packs by hand, in
        // their order, has no pg_control before all else is there.
        last.push(bytes_member(PG_CONTROL, ended.control.clone()));
        self.store(sink, &mut ReadyMembers(last.into_iter()))?;
        Ok(conf)
    }

    /// Stores one pack of these members.
    pub(super) fn store<'m, M: Members<'m>>(&self, sink: &PackSink<'_>, members: &mut M) -> Result<()> {
        let number = sink.numbers.fetch_add(1, Ordering::SeqCst);
        let key = pack_key(&self.system, &self.id, number, self.args.compress.codec());
        let pack = Pack {
            number,
            limit: sink.limit,
            owner: &self.owner,
            members,
            press: FrameCompressor::new(self.args.compress.codec(), self.args.level()?)?,
            index: sink.index.clone(),
            state: PackState::default(),
        };
        let sum = self.repos.store(pack, &key)?;
        lock(&sink.packs).insert(number, sum);
        Ok(())
    }

    fn make_manifest(
        &self,
        client: &mut Client,
        copied: CopiedCluster,
        totals: IndexTotals,
        lists: StoredLists,
    ) -> Result<BackupManifest> {
        let own = copied.packs.into_iter().map(|(number, sum)| PackSum { number, of: None, sum });
        let shared = self.base().map(|base| base.shared_packs(&totals.packs)).unwrap_or_default();
        let digests = self.base().map(|base| base.shared_digests(&shared)).unwrap_or_default().into_iter();
        let digests = digests.chain([DigestSum { of: None, sum: lists.digests }]).collect();
        Ok(BackupManifest {
            format: match self.base() {
                _ if !self.repos.recipients().is_empty() => ENCRYPTED_FORMAT,
                Some(_) => SHARING_FORMAT,
                None => FORMAT,
            },
            id: self.id.clone(),
            cluster: self.system.cluster.clone(),
            system_identifier: self.source.identifier.to_string(),
            label: self.args.label.clone(),
            started: self.started,
            finished: Timestamp::now(),
            server_version: self.source.version.clone(),
            major: self.source.major,
            standby: self.source.standby,
            timeline: copied.start.timeline,
            start_lsn: copied.start.lsn,
            stop_lsn: copied.stop,
            wal_segment_size: self.source.segment_size,
            codec: self.args.compress.codec(),
            files: totals.files,
            bytes: totals.bytes,
            recipients: self.repos.recipients(),
            server: None,
            packs: shared.into_iter().chain(own).collect(),
            built_on: self.base().map(Base::built_on),
            index: lists.index,
            digests,
            checksums: self.source.checksums,
            summarize_wal: self.source.summarizes,
            damage: copied.damage,
            tablespaces: copied.tablespaces,
            owner: self.owner.clone(),
            data_dir: self.source.data_dir.display().to_string(),
            conf: copied.conf,
            host: match self.remote {
                None => host::read_host(client, Some(&self.source.data_dir), &host_name())?,
                Some(remote) => host::read_host(client, None, &remote.conn.host())?,
            },
        })
    }

    /// The manifest for everybody: where content is encrypted, without what tells of the server and its machine.
    fn hide_facts(&self, backup: &BackupManifest) -> Result<BackupManifest> {
        let mut public = backup.clone();
        if !backup.recipients.is_empty() {
            let json =
                serde_json::to_vec(&public.take_facts()).doing(|| "write what the server is".into())?;
            public.server = Some(self.repos.store(&json[..], &facts_key(&self.system, &self.id))?);
        }
        Ok(public)
    }

    fn commit_manifest(&self, backup: &BackupManifest) -> Result<()> {
        let json = backup.to_json()?;
        let key = backup.manifest_key()?;
        let intent = intent_key(&self.system, &self.id);
        // Before the manifest: a backup that was to be pinned is never there without its pin. A pin alone is garbage.
        if let Some(why) = &self.args.pin {
            let pin = PinRecord::new(&self.id, self.started, why, None);
            self.repos.store(&pin.to_json()?[..], &backup.note_key(Note::Pin, pin.at)?)?;
        }
        // The commit point: packs and index are durable in every repository that is still written to, and what the
        // manifest names is all there. A run that dies before leaves no backup, only parts for prune.
        self.repos.store(&json[..], &key)?;
        self.repos.each(|repo| {
            // After the manifest, never before: a prune asks for intents first and for manifests then
            // (FolderGuard::holds), so it sees one of the two. With the intent gone first it could miss both,
            // and remove packs that this backup names.
            // A writer that may not delete leaves it; prune knows that it is spent.
            let _ = repo.store.remove(&intent);
            Ok(())
        })
    }
}

/// The newest position after the backup's end: every page that was read is older.
fn read_newest_lsn(client: &mut Client, source: &SourceServer) -> Result<Lsn> {
    let sql = match source.standby {
        true => "select coalesce(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())::text",
        false => "select pg_current_wal_insert_lsn()::text",
    };
    let row = client.query_one(sql, &[]).doing(|| "ask how far the WAL is".into())?;
    row.get::<_, String>(0).parse()
}

fn warn_of_lost_map(e: Error) {
    log::warn!("the next backup must make the map of blocks anew: {}", e.chain());
}

/// A thread that failed ends the others.
pub(super) fn fail_all(watch: &RunState, done: Result<()>) -> Result<()> {
    done.map_err(|e| watch.fail(e))
}
