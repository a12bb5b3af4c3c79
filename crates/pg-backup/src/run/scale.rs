//! What index, digests and map of blocks of a large cluster cost, with made-up entries: bytes, processor time, memory.
//! A round is a file of 1 GiB.

use super::block_map::{BLOCK, BlockMap, BlockRecord, DigestKey, MapOwner, MapWriter, RECORD, join_crcs};
use super::digests::{rebuild_map, write_digests};
use super::index_lines::{IndexLines, IndexTotals, OwnDigests, StoredEntry};
use crate::format::backup::{
    BackupCatalog, BackupManifest, StoredBackup, digests_key, index_key, manifest_key,
};
use crate::format::id::Id;
use crate::format::index::{EntryKind, FileName, IndexEntry, Piece};
use crate::format::outline::read_outline;
use jiff::Timestamp;
use serde_json::json;
use std::fs;
use std::io::Read;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::thread;
use testkit::Dice;
use toban_core::config::Keep;
use toban_core::repo::Repo;
use toban_core::repo::keys::System;
use toban_core::repo::sealed::seal;
use toban_core::store::{Attrs, Dir, Key};
use toban_core::sum::{Measured, Sum, hex};

/// Blocks of a file.
const BLOCKS: usize = 131_072;
/// Numbers of packs below are those of the full backup; then come those of later runs, of which the last is this one.
const LATER: u32 = 128;
const OWN: u32 = LATER + 30;
/// MiB that a run, and what a restore reads of the index, may take.
const MOST_MEMORY: u64 = 256;

/// What the files of a cluster have gone through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum History {
    /// All of it was stored by this run.
    Full,
    /// A hundredth of the pages, single ones, were stored by this run, and the rest by a full backup.
    Day,
    /// As after a month of such days: a file in as many pieces as one may have.
    Month,
}

impl History {
    /// Which later run stored this page, as one that stands alone.
    fn run_of(self, page: usize) -> Option<u32> {
        match self {
            History::Full => None,
            History::Day => page.is_multiple_of(100).then_some(30),
            // Of 128 pages 14 stand alone, by which a file is cut into about 30,000 pieces.
            History::Month => (page % 128 % 9 == 4).then_some(page as u32 / 9 % 30),
        }
    }

    /// The first pack whose digests are new. After a month those of all later runs are taken for those of one.
    fn first(self) -> u32 {
        match self {
            History::Full => 0,
            History::Day => OWN,
            History::Month => LATER,
        }
    }
}

/// A file with pieces as the history leaves them, and random digests and sums: they do not become smaller.
fn make_entry(number: usize, history: History) -> StoredEntry {
    let mut dice = Dice::new(number as u64);
    let mut random = vec![0; BLOCKS * RECORD];
    random.chunks_mut(8).for_each(|part| {
        let bytes = dice.below(u64::MAX).to_le_bytes();
        part.copy_from_slice(&bytes[..part.len()]);
    });
    let blocks: Vec<BlockRecord> =
        random.as_chunks::<RECORD>().0.iter().map(BlockRecord::from_bytes).collect();
    // Of the frames of the full backup, and of those of each later run.
    let sums: Vec<String> = (0..1024 + 31 * 20).map(|_| random_sum(&mut dice)).collect();
    let (mut pieces, mut pages, mut at) = (Vec::new(), [0_u32; 31], 0);
    while at < BLOCKS {
        let frame = at / 128;
        let limit = (frame + 1) * 128;
        let run = history.run_of(at);
        let end = match run {
            Some(_) => at + 1,
            None => (at + 1..limit).find(|n| history.run_of(*n).is_some()).unwrap_or(limit),
        };
        let (pack, frame, from, sum) = match run {
            None => (number as u32 % LATER, frame, at % 128 * BLOCK, &sums[frame]),
            Some(run) => {
                let page = pages[run as usize] as usize;
                pages[run as usize] += 1;
                // A header of 512 bytes is before each page.
                let frame = page / 120;
                (LATER + run, frame, page % 120 * (BLOCK + 512), &sums[1024 + run as usize * 20 + frame % 20])
            }
        };
        let bytes = (end - at) * BLOCK;
        pieces.push(Piece {
            pack,
            at: (((number as u64) << 10) + frame as u64) << 19,
            stored: 300_000 + u32::from(sum.as_bytes()[0]) * 1000,
            sha256: sum.clone(),
            plain: 1 << 20,
            from: from as u32 + 512,
            bytes: bytes as u32,
            crc32c: join_crcs(&blocks[at..end], bytes),
        });
        at = end;
    }
    let path = FileName(file_name(number).into_bytes());
    let size = (BLOCKS * BLOCK) as u64;
    let entry = IndexEntry { path, kind: EntryKind::File, mode: 0o600, modified: 1, size, crc32c: 0, pieces };
    StoredEntry { entry, blocks: Some(blocks) }
}

fn file_name(number: usize) -> String {
    format!("base/16384/{}.{}", 16_400 + number / 64, number % 64)
}

fn random_sum(dice: &mut Dice) -> String {
    let words: Vec<u8> = (0..4).flat_map(|_| dice.below(u64::MAX).to_le_bytes()).collect();
    hex(&words)
}

/// Without these an index is of no cluster.
fn needed_entry(name: &str) -> StoredEntry {
    let (path, kind) = (FileName(name.as_bytes().to_vec()), EntryKind::File);
    let entry = IndexEntry { path, kind, mode: 0o600, modified: 1, size: 0, crc32c: 0, pieces: Vec::new() };
    StoredEntry { entry, blocks: None }
}

/// Peak of this process's memory since it was last asked, in MiB.
fn take_peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("read");
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).expect("it is there");
    // Sets the peak to what is in use now (proc(5), clear_refs).
    fs::write("/proc/self/clear_refs", "5").expect("set the peak back");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") / 1024
}

/// Seconds of the processor that this process has used.
fn used_seconds() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").expect("read");
    let fields: Vec<&str> = stat.rsplit_once(')').expect("a name").1.split_whitespace().collect();
    fields[11..13].iter().map(|ticks| ticks.parse::<f64>().expect("a number")).sum::<f64>() / 100.0
}

/// A repository in a folder, and the map of blocks beside it.
struct Scale {
    dir: tempfile::TempDir,
    repo: Repo,
    system: System,
    key: DigestKey,
    files: usize,
}

impl Scale {
    fn new(files: usize) -> Scale {
        let dir = tempfile::tempdir().expect("a folder");
        let store = Dir::open(&dir.path().join("repo").display().to_string()).expect("a store");
        let repo = Repo {
            name: "r".into(),
            url: String::new(),
            required: true,
            keep: Keep::default(),
            hides_names: false,
            store: Arc::new(store),
        };
        let system = System { cluster: "main".into(), identifier: 7 };
        Scale { dir, repo, system, key: DigestKey::random().expect("a key"), files }
    }

    fn put(&self, key: &Key, body: impl Read) -> Sum {
        let mut body = Measured::new(body);
        self.repo.store.put(key, &mut body, &Attrs::new()).expect("stored");
        body.sum()
    }

    /// What a run writes of its files: the index and the digests.
    fn write(&self, id: &Id, history: History) -> [Sum; 2] {
        let path = self.dir.path().join("blocks");
        let (mut totals, mut map) =
            (IndexTotals::default(), Some(MapWriter::create(&path, self.key.clone()).expect("begun")));
        let [index, digests] = thread::scope(|scope| {
            let (entries, lines) = sync_channel(8);
            let (files, own) = sync_channel(2);
            let own_digests = OwnDigests { first: history.first(), files };
            let lines = IndexLines::new(lines, &mut totals, &mut map, own_digests);
            let index =
                scope.spawn(|| self.put(&index_key(&self.system, id), lines.compress().expect("zstd")));
            let digests = scope.spawn(|| {
                self.put(&digests_key(&self.system, id), write_digests(&self.key, own).expect("zstd"))
            });
            for name in ["PG_VERSION", "backup_label", "global/pg_control"] {
                entries.send(needed_entry(name)).expect("taken");
            }
            for n in 0..self.files {
                entries.send(make_entry(n, history)).expect("taken");
            }
            drop(entries);
            [index.join().expect("stored"), digests.join().expect("stored")]
        });
        let owner = MapOwner { id, index: &index, clean: true, server_started: "" };
        map.expect("written").commit(&owner).expect("committed");
        [index, digests]
    }

    /// The backup of this index, which names both objects of digests.
    fn store_manifest(&self, id: &Id, lists: [Sum; 2], full: Option<&(Id, Sum)>) -> StoredBackup {
        let packs: Vec<_> = (0..=OWN)
            .map(|number| json!({ "number": number, "bytes": 1_u64 << 40, "sha256": "00" }))
            .collect();
        let own = json!({ "bytes": lists[1].bytes, "sha256": lists[1].sha256 });
        let of = |(id, sum): &(Id, Sum)| json!({ "of": id, "bytes": sum.bytes, "sha256": sum.sha256 });
        let digests: Vec<_> = full.map(of).into_iter().chain([own]).collect();
        let now = Timestamp::now();
        let size = (BLOCKS * BLOCK * self.files) as u64;
        let manifest = json!({
            "format": 1, "id": id, "cluster": "main", "system_identifier": "7", "label": null, "started": now,
            "finished": now, "server_version": "18.0", "major": 18, "standby": false, "timeline": 1,
            "start_lsn": "0/1000028", "stop_lsn": "0/1000100", "wal_segment_size": 16 << 20, "codec": "zstd",
            "files": self.files + 3, "bytes": size, "packs": packs, "index": lists[0], "digests": digests,
            "checksums": true, "damage": { "pages": 0, "first": [] }, "tablespaces": [],
            "owner": { "user": "p", "group": "p", "uid": 1, "gid": 1, "mode": 448 },
            "host": { "name": "h", "libc": "", "icu": null, "locale": "C", "preload": "", "extensions": [] },
        });
        let text = serde_json::to_string_pretty(&manifest).expect("written");
        self.put(&manifest_key(&self.system, id), seal(&format!("{text}\n")).as_bytes());
        let manifest: BackupManifest = serde_json::from_value(manifest).expect("reads");
        let catalog = BackupCatalog::read(&self.repo, "main", now).expect("listed");
        catalog.stored.into_iter().find(|s| s.manifest.id == manifest.id).expect("it is there")
    }
}

#[test]
fn a_large_cluster_takes_little_memory() {
    let files = testkit::rounds(3);
    let scale = Scale::new(files);
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let path = scale.dir.path().join("blocks");
    let mut full: Option<(Id, Sum)> = None;
    for (n, history) in [History::Full, History::Day, History::Month].into_iter().enumerate() {
        let id: Id = format!("2026112{n}T030000Z-000000").parse().expect("an id");
        take_peak();
        let begun = used_seconds();
        let [index, digests] = scale.write(&id, history);
        let (written, peak) = (used_seconds() - begun, take_peak());
        eprintln!(
            "{files} GiB, {history:?}: index {:.1} MiB, digests {:.1} MiB, map {:.1} MiB; {written:.1} s of CPU, memory {peak} MiB",
            mib(index.bytes),
            mib(digests.bytes),
            mib(path.metadata().expect("look").len())
        );
        assert!(peak < MOST_MEMORY, "{peak} MiB");
        let stored = scale.store_manifest(&id, [index, digests.clone()], full.as_ref());
        full = full.or(Some((id.clone(), digests)));

        let begun = used_seconds();
        fs::remove_file(&path).expect("lose it");
        rebuild_map(&stored, &path).expect("made anew");
        let (rebuilt, peak) = (used_seconds() - begun, take_peak());
        let map = BlockMap::open(&path, &id, &stored.manifest.index).expect("it is one");
        for number in [0, files - 1] {
            let known = map.read_file(&FileName(file_name(number).into_bytes())).expect("it is known");
            assert_eq!(known.blocks, make_entry(number, history).blocks.expect("some"));
        }
        take_peak();
        let begun = used_seconds();
        read_outline(&stored).expect("whole");
        let (read, reading) = (used_seconds() - begun, take_peak());
        eprintln!(
            "  map made anew: {rebuilt:.1} s of CPU, memory {peak} MiB; index read: {read:.1} s, memory {reading} MiB"
        );
        assert!(peak.max(reading) < MOST_MEMORY, "{peak} and {reading} MiB");
    }
}
