//! A repository in a folder whose objects have a few bytes and the times that the model says.

use super::super::backups::{BackupFacts, BackupPlan, plan_backups};
use super::super::{Pruning, undo};
use crate::format::backup::{
    BackupCatalog, BackupManifest, DigestSum, PackSum, digests_key, index_key, intent_key, manifest_key,
    pack_key,
};
use crate::format::catalog::{Manifest, Note};
use crate::format::codec::Codec;
use crate::format::id::Id;
use crate::format::pin::PinRecord;
use crate::machine::Process;
use jiff::Timestamp;
use serde_json::json;
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};
use tempfile::TempDir;
use testkit::Dice;
use toban_core::config::{Keep, Span};
use toban_core::out::Format;
use toban_core::repo::Repo;
use toban_core::repo::drills;
use toban_core::repo::keys::System;
use toban_core::repo::sealed::seal;
use toban_core::store::{Attrs, Dir, Key, Object, Store, Stored};
use toban_core::sum::Sum;
use toban_core::wal::{Lsn, Segment, Timeline, WalName};
use toban_core::{Error, Out, Result};

pub(crate) const HOUR: i64 = 3600;
pub(crate) const DAY: i64 = 24 * HOUR;
/// Bytes of a segment.
pub(crate) const SIZE: u64 = 16 << 20;
/// 2026-01-01: long before the tests, so that no object of now is older than one of the model.
const START: i64 = 1_767_225_600;

/// A backup that was made, and what is true of it.
pub(crate) struct MadeBackup {
    pub(crate) id: Id,
    pub(crate) system: System,
    pub(crate) timeline: u32,
    /// The segment in which it begins and ends.
    pub(crate) segment: u64,
    pub(crate) ended: i64,
    /// Whether its clock was right.
    pub(crate) dated: bool,
    pub(crate) small: bool,
    pub(crate) objects: Vec<(Key, u64)>,
    pub(crate) json: Vec<u8>,
    pub(crate) verified: Option<i64>,
    pub(crate) damaged: Option<i64>,
    pub(crate) passed: Option<i64>,
    pub(crate) failed: Option<i64>,
    pub(crate) pinned: Option<Option<i64>>,
    /// When a prune deleted it, if its objects were all there then.
    pub(crate) deleted: Option<i64>,
}

impl MadeBackup {
    pub(crate) fn key(&self) -> Key {
        manifest_key(&self.system, &self.id)
    }

    /// Whether nothing speaks against it but what its objects say.
    pub(crate) fn is_trusted(&self) -> bool {
        self.damaged <= self.verified.filter(|at| self.damaged.is_none_or(|d| d < *at))
            && self.failed <= self.passed.filter(|at| self.failed.is_none_or(|f| f < *at))
    }
}

/// A run under way.
pub(crate) struct RunUnderWay {
    pub(crate) made: MadeBackup,
    pub(crate) begun: i64,
    /// Whether its process can be looked for.
    pub(crate) alive: bool,
}

/// A server: its timelines, and where it writes.
pub(crate) struct Server {
    pub(crate) system: System,
    /// Of each timeline where it came from, the oldest first.
    pub(crate) histories: BTreeMap<u32, Vec<(u32, u64)>>,
    pub(crate) current: u32,
    /// The number of the next segment.
    next: u64,
    /// When each segment was written.
    pub(crate) moments: BTreeMap<(u32, u64), i64>,
}

/// A store that is killed after so many changes.
struct KilledStore {
    inner: Arc<dyn Store>,
    left: AtomicUsize,
}

impl KilledStore {
    fn spend(&self) -> Result<()> {
        let spend = |left: usize| left.checked_sub(1);
        let left = self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, spend);
        left.map(drop).map_err(|_| Error::failed("killed"))
    }
}

impl Store for KilledStore {
    fn put(&self, key: &Key, body: &mut dyn std::io::Read, attrs: &Attrs) -> Result<Stored> {
        self.spend()?;
        self.inner.put(key, body, attrs)
    }
    fn get(&self, key: &Key, from: u64) -> Result<Option<Box<dyn std::io::Read + Send + '_>>> {
        self.inner.get(key, from)
    }
    fn stat(&self, key: &Key) -> Result<Option<Object>> {
        self.inner.stat(key)
    }
    fn list(&self, prefix: &str) -> Result<Vec<Object>> {
        self.inner.list(prefix)
    }
    fn folders(&self, prefix: &str) -> Result<Vec<String>> {
        self.inner.folders(prefix)
    }
    fn remove(&self, key: &Key) -> Result<()> {
        self.spend()?;
        self.inner.remove(key)
    }
    fn sweep(&self, older_than: Duration) -> Result<usize> {
        self.inner.sweep(older_than)
    }
}

pub(crate) struct World {
    _dir: TempDir,
    pub(crate) repo: Repo,
    pub(crate) dice: Dice,
    /// Seconds since 1970.
    pub(crate) now: i64,
    pub(crate) servers: Vec<Server>,
    pub(crate) made: Vec<MadeBackup>,
    pub(crate) runs: Vec<RunUnderWay>,
    /// Backups since the last whose clock was wrong.
    since_wrong: u32,
    /// Bytes of manifests that are damaged now.
    damaged: Vec<(Key, Vec<u8>)>,
    micros: Cell<i64>,
}

impl World {
    pub(crate) fn new(seed: u64) -> World {
        let memory = PathBuf::from("/dev/shm");
        let dir = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
        let dir = dir.expect("a folder");
        let store = Arc::new(Dir::open(&dir.path().display().to_string()).expect("a store"));
        let repo = Repo {
            name: "r".into(),
            url: String::new(),
            required: true,
            keep: Keep::default(),
            hides_names: false,
            store,
        };
        let mut world = World {
            _dir: dir,
            repo,
            dice: Dice::new(seed),
            now: START,
            servers: Vec::new(),
            made: Vec::new(),
            runs: Vec::new(),
            since_wrong: 0,
            damaged: Vec::new(),
            micros: Cell::new(0),
        };
        world.begin_system();
        world
    }

    fn path(&self, key: &Key) -> PathBuf {
        self.repo.store.local_path(key).expect("a folder")
    }

    pub(crate) fn put(&self, key: &Key, bytes: &[u8]) {
        let path = self.path(key);
        fs::create_dir_all(path.parent().expect("a folder")).expect("make a folder");
        fs::write(&path, bytes).expect("write it");
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(self.now.unsigned_abs());
        fs::File::options().write(true).open(&path).and_then(|f| f.set_modified(time)).expect("date it");
    }

    fn time(&self) -> Timestamp {
        self.time_of(self.now)
    }

    fn time_of(&self, seconds: i64) -> Timestamp {
        // Each its own: names of objects hold times.
        self.micros.set((self.micros.get() + 1) % 1_000_000);
        Timestamp::from_microsecond(seconds * 1_000_000 + self.micros.get()).expect("in range")
    }

    /// Hours in which the server writes.
    pub(crate) fn wait(&mut self) {
        for _ in 0..1 + self.dice.below(8) {
            self.now += HOUR + i64::try_from(self.dice.below(7)).expect("small") * HOUR;
            self.write_segment();
        }
    }

    fn write_segment(&mut self) {
        let lost = self.dice.below(25) == 0;
        let server = self.servers.last_mut().expect("one at least");
        let (timeline, number) = (server.current, server.next);
        server.next += 1;
        server.moments.insert((timeline, number), self.now);
        let segment = Segment { timeline: Timeline(timeline), number, size: SIZE };
        let key = server.system.key(&WalName::from(segment).path());
        if !lost {
            self.put(&key, b"wal");
        }
    }

    /// A promotion, or a restore to an earlier position.
    pub(crate) fn change_timeline(&mut self) {
        let back = if self.dice.below(2) == 0 { 0 } else { self.dice.below(12) };
        let server = self.servers.last_mut().expect("one at least");
        let first = server.histories[&server.current].last().map_or(1, |(_, end)| end / SIZE + 1);
        let number = server.next.saturating_sub(back).max(first);
        let timeline = server.histories.keys().last().expect("one") + 1;
        let mut history = server.histories[&server.current].clone();
        history.push((server.current, number * SIZE + 500));
        let text: String = history
            .iter()
            .map(|(parent, end)| format!("{parent}\t{}\tno recovery target\n", Lsn(*end)))
            .collect();
        server.histories.insert(timeline, history);
        (server.current, server.next) = (timeline, number);
        let key = server.system.key(&WalName::History(Timeline(timeline)).path());
        self.put(&key, text.as_bytes());
        self.now += HOUR;
        self.write_segment();
    }

    /// A server that was rebuilt or upgraded.
    pub(crate) fn begin_system(&mut self) {
        let identifier = 7_500_000_000_000_000_000 + self.servers.len() as u64;
        self.servers.push(Server {
            system: System { cluster: "main".into(), identifier },
            histories: [(1, Vec::new())].into(),
            current: 1,
            next: 1,
            moments: BTreeMap::new(),
        });
        self.end_all();
    }

    /// A backup whose objects are all stored but for the manifest.
    fn store_backup(&mut self) -> (MadeBackup, Vec<(Key, u64)>) {
        self.now += HOUR;
        let wrong = self.since_wrong > 2 && self.dice.below(12) == 0;
        self.since_wrong = if wrong { 0 } else { self.since_wrong + 1 };
        let away = if wrong { [20, 400, 4000, -400, -4000][self.dice.index(5)] * DAY } else { 0 };
        let small = self.dice.below(15) == 0;
        let started = self.time_of(self.now + away);
        let id = Id::new(started);
        let server = self.servers.last().expect("one at least");
        let (system, timeline) = (server.system.clone(), server.current);
        let (mut packs, mut objects, mut shared) = (Vec::new(), Vec::new(), Vec::new());
        let base = self.made.iter().rfind(|m| m.system == system && m.is_trusted() && self.is_whole(m));
        if let Some(base) = base.filter(|_| self.dice.below(4) > 0) {
            let manifest: BackupManifest = serde_json::from_slice(&base.json).expect("reads");
            for pack in &manifest.packs {
                if self.dice.below(3) > 0 {
                    let of = Some(pack.of.clone().unwrap_or_else(|| base.id.clone()));
                    shared.push((manifest.pack_key(pack).expect("a key"), pack.sum.bytes));
                    packs.push(PackSum { of, ..pack.clone() });
                }
            }
        }
        for number in 0..1 + u32::try_from(self.dice.below(3)).expect("small") {
            let key = pack_key(&system, &id, number, Codec::None);
            self.put(&key, b"pack");
            objects.push((key, 4));
            packs.push(PackSum { number, of: None, sum: sum_of(4) });
        }
        let owners: BTreeSet<Option<Id>> = packs.iter().map(|pack| pack.of.clone()).collect();
        let digests: Vec<DigestSum> = owners.into_iter().map(|of| DigestSum { of, sum: sum_of(6) }).collect();
        let of_others = digests.iter().filter_map(|d| d.of.as_ref());
        shared.extend(of_others.map(|of| (digests_key(&system, of), 6)));
        let (index, own) = (index_key(&system, &id), digests_key(&system, &id));
        self.put(&index, b"index");
        self.put(&own, b"digest");
        objects.extend([(index, 5), (own, 6)]);
        objects.extend(shared.iter().cloned());
        let segment = server.next;
        let json = make_manifest(
            &MadeManifest { id: &id, system: &system, timeline, segment, started, small },
            &packs,
            &digests,
        );
        let (ended, dated) = (self.now, !wrong);
        let made = MadeBackup {
            id,
            system,
            timeline,
            segment,
            ended,
            dated,
            small,
            objects,
            json,
            verified: None,
            damaged: None,
            passed: None,
            failed: None,
            pinned: None,
            deleted: None,
        };
        (made, shared)
    }

    pub(crate) fn back_up(&mut self) {
        let (made, _) = self.store_backup();
        self.put(&made.key(), &made.json);
        self.made.push(made);
        // A backup of a primary ends in a switch.
        self.write_segment();
    }

    /// A run that has stored its objects and not its manifest.
    pub(crate) fn begin_run(&mut self) {
        if !self.runs.is_empty() {
            return;
        }
        let (made, shared) = self.store_backup();
        let alive = self.dice.below(2) == 0;
        let mut process = serde_json::to_value(Process::current()).expect("Linux tells");
        if !alive {
            process["boot"] = "another machine".into();
        }
        let folder = |key: &Key| key.as_str().split('/').nth(3).map(str::to_string);
        let folders: BTreeSet<String> = shared.iter().filter_map(|(key, _)| folder(key)).collect();
        let intent = json!({ "format": 1, "id": made.id, "process": process, "builds_on": folders });
        self.put(&intent_key(&made.system, &made.id), intent.to_string().as_bytes());
        self.runs.push(RunUnderWay { made, begun: self.now, alive });
        self.write_segment();
    }

    /// A run ends: with a manifest, or it dies; then its process is gone, or nobody knows.
    pub(crate) fn end_run(&mut self) {
        let Some(run) = self.runs.pop() else { return };
        let dies = self.dice.below(3) == 0;
        let key = intent_key(&run.made.system, &run.made.id);
        // It looks at every pack again.
        let whole = run.made.objects.iter().all(|(key, bytes)| self.size(key) == Some(*bytes));
        if (dies || !whole) && run.alive {
            let mut process = serde_json::to_value(Process::current()).expect("Linux tells");
            process["pid"] = u32::MAX.into();
            self.put(&key, json!({ "format": 1, "process": process }).to_string().as_bytes());
        }
        if dies || !whole {
            return;
        }
        self.put(&run.made.key(), &run.made.json);
        self.made.push(run.made);
        if self.dice.below(3) > 0 {
            let _ = fs::remove_file(self.path(&key));
        }
    }

    pub(crate) fn end_all(&mut self) {
        while !self.runs.is_empty() {
            self.end_run();
        }
    }

    pub(crate) fn size(&self, key: &Key) -> Option<u64> {
        fs::metadata(self.path(key)).ok().map(|m| m.len())
    }

    pub(crate) fn is_there(&self, made: &MadeBackup) -> bool {
        fs::read(self.path(&made.key())).is_ok_and(|bytes| bytes == made.json)
    }

    pub(crate) fn is_whole(&self, made: &MadeBackup) -> bool {
        self.is_there(made) && made.objects.iter().all(|(key, bytes)| self.size(key) == Some(*bytes))
    }

    /// One of the backups whose manifest is there.
    fn choose_made(&mut self) -> Option<usize> {
        let there: Vec<usize> = (0..self.made.len()).filter(|i| self.is_there(&self.made[*i])).collect();
        (!there.is_empty()).then(|| there[self.dice.index(there.len())])
    }

    pub(crate) fn verify(&mut self) {
        let Some(i) = self.choose_made() else { return };
        self.now += 60;
        let whole = self.dice.below(4) > 0;
        let (at, now) = (self.time(), self.now);
        let manifest: BackupManifest = serde_json::from_slice(&self.made[i].json).expect("reads");
        self.put(&manifest.verdict_key(whole, at).expect("a key"), b"{}");
        let made = &mut self.made[i];
        if whole { made.verified = Some(now) } else { made.damaged = Some(now) }
    }

    pub(crate) fn drill(&mut self) {
        let Some(i) = self.choose_made() else { return };
        self.now += 60;
        let passed = self.dice.below(4) > 0;
        let (at, now) = (self.time(), self.now);
        let key = self.made[i].system.key(&drills::proof_path(at, passed));
        self.put(&key, json!({ "format": 1, "backup": self.made[i].id }).to_string().as_bytes());
        let made = &mut self.made[i];
        if passed { made.passed = Some(now) } else { made.failed = Some(now) }
    }

    pub(crate) fn lose_pack(&mut self) {
        let Some(i) = self.choose_made() else { return };
        let (key, _) = self.made[i].objects[0].clone();
        let _ = fs::remove_file(self.path(&key));
    }

    pub(crate) fn damage_manifest(&mut self) {
        let Some(i) = self.choose_made() else { return };
        let (key, json) = (self.made[i].key(), self.made[i].json.clone());
        self.put(&key, &json[1..]);
        self.damaged.push((key, json));
    }

    pub(crate) fn mend_manifests(&mut self) {
        for (key, json) in std::mem::take(&mut self.damaged) {
            if self.size(&key).is_some() {
                self.put(&key, &json);
            }
        }
    }

    /// Pins one, or ends its pin.
    pub(crate) fn pin(&mut self) {
        let Some(i) = self.choose_made() else { return };
        self.now += 60;
        let at = self.time();
        let until = (self.dice.below(2) == 0).then(|| self.now + 9 * DAY);
        let manifest: BackupManifest = serde_json::from_slice(&self.made[i].json).expect("reads");
        let ends = self.made[i].pinned.is_some();
        let pin = match ends {
            true => PinRecord::end(&manifest.id, at),
            false => PinRecord::new(&manifest.id, at, "why", until.map(|s| self.time_of(s))),
        };
        self.put(&manifest.note_key(Note::Pin, at).expect("a key"), &pin.to_json().expect("written"));
        self.made[i].pinned = (!ends).then_some(until);
    }

    fn pruning<'a>(&self, repo: &'a Repo, keep: &'a Keep, as_of: i64) -> Pruning<'a> {
        let (as_of, clock) = (self.time_of(as_of), self.time());
        Pruning { repo, cluster: "main", keep, as_of, clock, dry_run: false }
    }

    fn plan_in(&self, pruning: &Pruning<'_>) -> BackupPlan {
        let catalog = BackupCatalog::read(pruning.repo, "main", pruning.as_of).expect("read");
        let facts = BackupFacts::read(pruning, &catalog).expect("read");
        plan_backups(pruning, &catalog, &facts).expect("planned")
    }

    /// What a prune would do.
    pub(crate) fn plan(&self, keep: &Keep, as_of: i64) -> Planned {
        Planned(self.plan_in(&self.pruning(&self.repo, keep, as_of)))
    }

    /// Prunes, to the end or to the change at which it is killed; the records that it emits.
    pub(crate) fn prune(&self, keep: &Keep, as_of: i64, kill: Option<usize>) -> String {
        let left = AtomicUsize::new(kill.unwrap_or(usize::MAX));
        let store = Arc::new(KilledStore { inner: self.repo.store.clone(), left });
        let repo = Repo { store, ..self.repo.clone() };
        let pruning = self.pruning(&repo, keep, as_of);
        let plan = self.plan_in(&pruning);
        emit(|out| {
            let done = pruning.carry_out(plan.steps, out).and_then(|()| pruning.carry_out(plan.wal, out));
            assert!(done.is_ok() || kill.is_some(), "{done:?}");
        })
    }

    pub(crate) fn undo(&mut self, undelete: Option<Span>) {
        self.now += 60;
        let keep = Keep { undelete, ..Keep::default() };
        let pruning = self.pruning(&self.repo, &keep, self.now);
        undo::undo_series::<BackupManifest>(&pruning, &BTreeSet::new(), |_| String::new()).expect("undone");
    }
}

/// What a prune was said to do.
pub(crate) struct Planned(pub(super) BackupPlan);

/// What `emitting` writes, as JSON lines.
pub(crate) fn emit(emitting: impl FnOnce(&mut Out<'_>)) -> String {
    let mut bytes = Vec::new();
    let mut out = Out::new(Box::new(&mut bytes), Format::Json);
    emitting(&mut out);
    out.flush().expect("written");
    drop(out);
    String::from_utf8(bytes).expect("UTF-8")
}

fn sum_of(bytes: u64) -> Sum {
    Sum { bytes, sha256: "00".into() }
}

/// What a manifest is about.
struct MadeManifest<'a> {
    id: &'a Id,
    system: &'a System,
    timeline: u32,
    segment: u64,
    started: Timestamp,
    small: bool,
}

fn make_manifest(made: &MadeManifest<'_>, packs: &[PackSum], digests: &[DigestSum]) -> Vec<u8> {
    let owner = json!({ "user": "p", "group": "p", "uid": 1, "gid": 1, "mode": 448 });
    let host =
        json!({ "name": "h", "libc": "", "icu": null, "locale": "C", "preload": "", "extensions": [] });
    let manifest = json!({
        "format": 1, "id": made.id, "cluster": "main", "system_identifier": made.system.identifier.to_string(),
        "label": null, "started": made.started, "finished": made.started, "server_version": "15.1", "major": 15,
        "standby": false, "timeline": made.timeline, "start_lsn": Lsn(made.segment * SIZE + 40),
        "stop_lsn": Lsn(made.segment * SIZE + 900), "wal_segment_size": SIZE, "codec": Codec::None, "files": 1,
        "bytes": if made.small { 10 } else { 100 }, "packs": packs, "index": sum_of(5), "checksums": false, "digests": digests,
        "damage": { "pages": 0, "first": [] }, "tablespaces": [], "owner": owner, "host": host,
    });
    let text = serde_json::to_string_pretty(&manifest).expect("written");
    seal(&format!("{text}\n")).into_bytes()
}
