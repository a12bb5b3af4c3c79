//! What the newest backup holds of each file, in a file of the state directory: the file's line of the index, and a
//! digest of each block. With it the next run finds what changed without asking the repository for content.
//!
//! It is a cache of one backup, named by its ID and by the sum of its index. Where it is lost, damaged or of another
//! backup, it is made anew from the digests beside the newest backup, or the next run stores everything: it never guesses.

use crate::format::id::Id;
use crate::format::index::{FileName, IndexEntry};
use highway::{HighwayHash, HighwayHasher, Key};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use toban_core::crc::{CrcJoin, crc32c, crc32c_both};
use toban_core::random::make_secret;
use toban_core::sum::{Sum, hex, sha256, unhex};
use toban_core::{Context, Error, Result, durable};

/// Bytes of a block: those of a page of PostgreSQL, so that one changed row costs one page.
pub(super) const BLOCK: usize = 8192;
/// Bytes of a record: the digest and the CRC.
pub(super) const RECORD: usize = 20;
/// The form of the file, which is nobody's but ours: another one is no map.
const FORM: u32 = 1;
/// Bytes at the end: where the table begins, and the SHA-256 of all from there on.
const TRAILER: usize = 8 + 32;
/// Bytes of the largest table that is read: tens of millions of files have no larger one.
const LARGEST_TABLE: u64 = 1 << 30;

/// Puts the CRCs of whole blocks together.
static JOIN: LazyLock<CrcJoin> = LazyLock::new(|| CrcJoin::of_length(BLOCK as u64));

/// What is remembered of one block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BlockRecord {
    /// A keyed digest. The key is random and secret, so that nobody can make rows that collide.
    digest: [u8; 16],
    crc32c: u32,
}

impl BlockRecord {
    pub(super) fn to_bytes(self) -> [u8; RECORD] {
        let mut bytes = [0; RECORD];
        bytes[..16].copy_from_slice(&self.digest);
        bytes[16..].copy_from_slice(&self.crc32c.to_le_bytes());
        bytes
    }

    pub(super) fn from_bytes(bytes: &[u8; RECORD]) -> BlockRecord {
        let (mut digest, mut crc32c) = ([0; 16], [0; 4]);
        digest.copy_from_slice(&bytes[..16]);
        crc32c.copy_from_slice(&bytes[16..]);
        BlockRecord { digest, crc32c: u32::from_le_bytes(crc32c) }
    }
}

/// The CRC of consecutive blocks of `bytes` bytes together, the last of which may be shorter.
pub(super) fn join_crcs(blocks: &[BlockRecord], bytes: usize) -> u32 {
    let Some((last, whole)) = blocks.split_last() else { return 0 };
    let first = whole.iter().fold(0, |crc, block| JOIN.both(crc, block.crc32c));
    match bytes - whole.len() * BLOCK {
        BLOCK => JOIN.both(first, last.crc32c),
        rest => crc32c_both(first, last.crc32c, rest as u64),
    }
}

/// The key of the digests of one map; a map that follows another one keeps its key, since digests are compared.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct DigestKey(pub(super) [u8; 32]);

impl DigestKey {
    /// A new one.
    pub(super) fn random() -> Result<DigestKey> {
        make_secret().map(DigestKey)
    }

    /// The record of a block.
    pub(super) fn record(&self, block: &[u8]) -> BlockRecord {
        BlockRecord { digest: self.digest(block), crc32c: crc32c(block) }
    }

    /// The record of a block that may be as it was in `known`: its CRC is known then, and is not counted again.
    pub(super) fn record_beside(&self, block: &[u8], known: Option<&BlockRecord>) -> BlockRecord {
        let digest = self.digest(block);
        let same = known.filter(|known| known.digest == digest);
        same.copied().unwrap_or_else(|| BlockRecord { digest, crc32c: crc32c(block) })
    }

    /// HighwayHash-128, a keyed pseudorandom function (Alakuijala, Cox, Wassenberg, 2016), at about the speed at which
    /// a disk reads. Without the key nobody can look for two blocks of one digest.
    fn digest(&self, block: &[u8]) -> [u8; 16] {
        let (words, _) = self.0.as_chunks::<8>();
        let key = std::array::from_fn(|i| u64::from_le_bytes(words[i]));
        let [low, high] = HighwayHasher::new(Key(key)).hash128(block);
        let mut digest = [0; 16];
        digest[..8].copy_from_slice(&low.to_le_bytes());
        digest[8..].copy_from_slice(&high.to_le_bytes());
        digest
    }

    /// Of all blocks of a stretch.
    pub(super) fn records<'k>(&'k self, stretch: &'k [u8]) -> impl Iterator<Item = BlockRecord> + 'k {
        stretch.chunks(BLOCK).map(|block| self.record(block))
    }
}

/// What the map knows of one file.
pub(super) struct MappedFile {
    /// Its line of the index.
    pub(super) entry: IndexEntry,
    /// A record for each block, the last of which may be shorter.
    pub(super) blocks: Vec<BlockRecord>,
}

/// Where the section of a file lies.
#[derive(Clone, Copy, Serialize, Deserialize)]
struct Section {
    at: u64,
    /// Bytes of the line of the index, and of the records after it.
    line: u32,
    blocks: u32,
    crc32c: u32,
}

/// The end of the file: whose map it is, and where each file's section lies.
#[derive(Serialize, Deserialize)]
struct Table {
    form: u32,
    id: Id,
    index_sha256: String,
    key: String,
    /// Every page was as it should be when it was stored.
    clean: bool,
    server_started: String,
    sections: Vec<(FileName, Section)>,
}

/// A map that is being written.
pub(super) struct MapWriter {
    path: PathBuf,
    file: BufWriter<tempfile::NamedTempFile>,
    key: DigestKey,
    at: u64,
    sections: Vec<(FileName, Section)>,
}

/// What a map is of.
pub(super) struct MapOwner<'a> {
    pub(super) id: &'a Id,
    /// The index of the backup, as stored.
    pub(super) index: &'a Sum,
    /// Every page was as it should be when it was stored.
    pub(super) clean: bool,
    /// When the server that was backed up was started.
    pub(super) server_started: &'a str,
}

impl MapWriter {
    /// Begins the map that will be at `path`.
    pub(super) fn create(path: &Path, key: DigestKey) -> Result<MapWriter> {
        let folder = durable::folder_of(path);
        durable::create_dirs(folder)?;
        // What a run that died left is of no use to anybody.
        for left in fs::read_dir(folder).into_iter().flatten().flatten() {
            if left.file_name().to_string_lossy().starts_with(".blocks-") {
                let _ = fs::remove_file(left.path());
            }
        }
        let file = tempfile::Builder::new().prefix(".blocks-").tempfile_in(folder);
        let file = BufWriter::with_capacity(1 << 18, file.doing(|| format!("write {}", path.display()))?);
        Ok(MapWriter { path: path.into(), file, key, at: 0, sections: Vec::new() })
    }

    /// Adds a file that is stored.
    pub(super) fn add_file(&mut self, entry: &IndexEntry, blocks: &[BlockRecord]) -> Result<()> {
        let doing = || "write the map of blocks".to_string();
        let mut bytes = serde_json::to_vec(entry).doing(doing)?;
        let line = bytes.len();
        blocks.iter().for_each(|block| bytes.extend_from_slice(&block.to_bytes()));
        let small = |n: usize| u32::try_from(n).doing(doing);
        let section = Section {
            at: self.at,
            line: small(line)?,
            blocks: small(bytes.len() - line)?,
            crc32c: crc32c(&bytes),
        };
        self.file.write_all(&bytes).doing(doing)?;
        self.at += bytes.len() as u64;
        self.sections.push((entry.path.clone(), section));
        Ok(())
    }

    /// Puts the map in the place of the one before it. It need not survive a power cut, only never be half: its sum
    /// says so.
    pub(super) fn commit(mut self, owner: &MapOwner<'_>) -> Result<()> {
        let doing = || "write the map of blocks".to_string();
        let table = Table {
            form: FORM,
            id: owner.id.clone(),
            index_sha256: owner.index.sha256.clone(),
            key: hex(&self.key.0),
            clean: owner.clean,
            server_started: owner.server_started.into(),
            sections: std::mem::take(&mut self.sections),
        };
        let table = serde_json::to_vec(&table).doing(doing)?;
        self.file.write_all(&table).doing(doing)?;
        self.file.write_all(&self.at.to_le_bytes()).doing(doing)?;
        self.file.write_all(&sha256(&table)).doing(doing)?;
        let file = self.file.into_inner().map_err(std::io::IntoInnerError::into_error).doing(doing)?;
        file.persist(&self.path).map(drop).map_err(|e| e.error).doing(doing)
    }
}

/// The map of one backup.
pub(super) struct BlockMap {
    file: File,
    pub(super) key: DigestKey,
    /// Every page was as it should be when it was stored.
    pub(super) clean: bool,
    /// When the server that was backed up was started.
    pub(super) server_started: String,
    sections: HashMap<FileName, Section>,
}

impl BlockMap {
    /// The map at `path`, if it is there, whole, and of the backup `id` with this index.
    ///
    /// # Errors
    /// Why there is none.
    pub(super) fn open(path: &Path, id: &Id, index: &Sum) -> Result<BlockMap> {
        let file = File::open(path).doing(|| format!("read {}", path.display()))?;
        let table = read_table(&file).doing(|| format!("read {}", path.display()))?;
        if table.form != FORM || table.id != *id || table.index_sha256 != index.sha256 {
            return Err(Error::failed(format!("{} is of backup {}", path.display(), table.id)));
        }
        let key = unhex(&table.key).and_then(|key| key.try_into().ok()).map(DigestKey);
        let key = key.ok_or_else(|| Error::corrupt(format!("{} has no key", path.display())))?;
        let Table { clean, server_started, sections, .. } = table;
        Ok(BlockMap { file, key, clean, server_started, sections: sections.into_iter().collect() })
    }

    /// What it knows of a file; none for one that is new, and for a section that does not read.
    pub(super) fn read_file(&self, name: &FileName) -> Option<MappedFile> {
        let section = self.sections.get(name)?;
        let mut bytes = vec![0; section.line as usize + section.blocks as usize];
        self.file.read_exact_at(&mut bytes, section.at).ok()?;
        if crc32c(&bytes) != section.crc32c {
            log::warn!("the map of blocks is damaged at {}: the file is stored whole", name.to_display());
            return None;
        }
        let (line, blocks) = bytes.split_at(section.line as usize);
        let entry: IndexEntry = serde_json::from_slice(line).ok()?;
        let blocks: Vec<BlockRecord> =
            blocks.as_chunks::<RECORD>().0.iter().map(BlockRecord::from_bytes).collect();
        let covered: u64 = entry.pieces.iter().map(|piece| u64::from(piece.bytes)).sum();
        // What is not read is taken from the pieces, so they must be the whole file.
        let fits = entry.path == *name
            && covered == entry.size
            && blocks.len() as u64 == entry.size.div_ceil(BLOCK as u64);
        fits.then_some(MappedFile { entry, blocks })
    }
}

fn read_table(file: &File) -> Result<Table> {
    let bytes = file.metadata().doing(|| "look at it".into())?.len();
    let damaged = || Error::corrupt("it is cut off");
    let end = bytes.checked_sub(TRAILER as u64).ok_or_else(damaged)?;
    let mut trailer = [0; TRAILER];
    file.read_exact_at(&mut trailer, end).doing(|| "read its end".into())?;
    let (at, sum) = trailer.split_at(8);
    let at = u64::from_le_bytes(at.try_into().map_err(|_| damaged())?);
    let length = end.checked_sub(at).filter(|n| *n <= LARGEST_TABLE).ok_or_else(damaged)?;
    let mut table = vec![0; usize::try_from(length).map_err(|_| damaged())?];
    file.read_exact_at(&mut table, at).doing(|| "read its table".into())?;
    if sha256(&table)[..] != *sum {
        return Err(Error::corrupt("its table does not match its sum"));
    }
    serde_json::from_slice(&table).map_err(|e| Error::corrupt("its table does not parse").because(e))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::index::{EntryKind, Piece};

    fn name(name: &str) -> FileName {
        FileName(name.as_bytes().to_vec())
    }

    fn piece(n: u32, bytes: u32) -> Piece {
        let (stored, plain, from) = (1 << 19, 1 << 20, n % 128 * 8192);
        let (pack, at, sha256) = (n % 100, u64::from(n) << 12, hex(&sha256(&n.to_le_bytes())));
        Piece { pack, at, stored, sha256, plain, from, bytes, crc32c: n }
    }

    /// A file in as many pieces: the last is longer than a block.
    fn entry(name: &str, size: u32, pieces: u32) -> IndexEntry {
        let last = pieces.saturating_sub(1);
        let bytes = |n| if n == last { size - last * BLOCK as u32 } else { BLOCK as u32 };
        let pieces = (0..pieces).map(|n| piece(n, bytes(n))).collect();
        IndexEntry {
            path: self::name(name),
            kind: EntryKind::File,
            mode: 0o600,
            modified: 1,
            size: size.into(),
            crc32c: 9,
            pieces,
        }
    }

    #[test]
    fn what_was_written_is_read_and_nothing_else() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("main/blocks");
        let id: Id = "20261121T030000Z-120034".parse().expect("an id");
        let index = Sum { bytes: 1, sha256: "ab".into() };
        let key = DigestKey::random().expect("a key");
        let content = [vec![1; BLOCK], vec![2; 5]];
        let blocks: Vec<BlockRecord> = content.iter().map(|block| key.record(block)).collect();
        let write = || {
            let mut map = MapWriter::create(&path, key.clone()).expect("begun");
            map.add_file(&entry("base/5/1", BLOCK as u32 + 5, 1), &blocks).expect("added");
            map.add_file(&entry("empty", 0, 0), &[]).expect("added");
            map.add_file(&entry("partly", 9, 0), &blocks[..1]).expect("added");
            map.commit(&MapOwner { id: &id, index: &index, clean: true, server_started: "" })
                .expect("committed");
        };
        write();
        let open = || BlockMap::open(&path, &id, &index);
        let map = open().expect("opened");
        let known = map.read_file(&name("base/5/1")).expect("known");
        assert_eq!((known.entry.size, &known.blocks), (BLOCK as u64 + 5, &blocks));
        assert_eq!(known.entry.pieces.len(), 1);
        assert_eq!(join_crcs(&blocks, BLOCK + 5), crc32c(&content.concat()));
        assert_eq!(join_crcs(&[blocks[0]; 3], 3 * BLOCK), crc32c(&vec![1; 3 * BLOCK]));
        assert!(map.clean && map.read_file(&name("base/5/2")).is_none());
        assert_eq!(map.read_file(&name("empty")).expect("known").blocks, []);
        assert!(map.read_file(&name("partly")).is_none(), "its pieces are not the whole file");
        let other: Id = "20261121T030000Z-120035".parse().expect("an id");
        assert!(BlockMap::open(&path, &other, &index).is_err(), "of another backup");
        assert!(
            BlockMap::open(&path, &id, &Sum { bytes: 1, sha256: "cd".into() }).is_err(),
            "of another index"
        );
        let whole = fs::read(&path).expect("read");
        for at in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[at] ^= 4;
            fs::write(&path, &flipped).expect("write");
            let Ok(map) = open() else { continue };
            let known = map.read_file(&name("base/5/1"));
            assert!(
                known.is_none_or(|k| k.blocks == blocks && k.entry.size == BLOCK as u64 + 5),
                "byte {at}"
            );
        }
        fs::write(&path, &whole[..whole.len() - 1]).expect("write");
        assert!(open().is_err(), "cut off");
        fs::write(dir.path().join("main/.blocks-left"), "x").expect("write");
        write();
        assert_eq!(fs::read_dir(dir.path().join("main")).expect("listed").count(), 1);
    }

    /// Peak of this process's memory, in MiB.
    fn peak() -> u64 {
        let status = fs::read_to_string("/proc/self/status").expect("read");
        let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).expect("it is there");
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") / 1024
    }

    /// Each round is a GiB of the cluster, in 30,000 pieces: the whole count is a cluster of 2 TB.
    #[test]
    fn memory_does_not_grow_with_the_cluster() {
        let rounds = testkit::rounds(4) as u32;
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("main/blocks");
        let id: Id = "20261121T030000Z-120034".parse().expect("an id");
        let index = Sum { bytes: 1, sha256: "ab".into() };
        let key = DigestKey::random().expect("a key");
        let large = |n: u32| entry(&format!("base/5/16384.{n}"), 1 << 30, 30_000);
        let blocks = vec![key.record(&[1; BLOCK]); 131_072];
        let mut map = MapWriter::create(&path, key.clone()).expect("begun");
        for n in 0..rounds {
            map.add_file(&large(n), &blocks).expect("added");
        }
        map.commit(&MapOwner { id: &id, index: &index, clean: true, server_started: "" }).expect("committed");
        let map = BlockMap::open(&path, &id, &index).expect("opened");
        for n in 0..rounds {
            let known = map.read_file(&large(n).path).expect("known");
            assert_eq!((known.blocks.len(), known.entry.pieces.len()), (131_072, 30_000));
        }
        eprintln!(
            "{rounds} GiB: {} MiB on disk, {} MiB of memory",
            path.metadata().expect("look").len() >> 20,
            peak()
        );
        assert!(peak() < 128, "{} MiB", peak());
    }

    #[test]
    fn digests_depend_on_content_length_and_key() {
        let key = DigestKey::random().expect("a key");
        let other = DigestKey::random().expect("a key");
        let digest = key.record(&[0; BLOCK]).digest;
        assert!(digest == key.record(&[0; BLOCK]).digest && digest != key.record(&[0; BLOCK - 1]).digest);
        assert!(digest != other.record(&[0; BLOCK]).digest);
    }
}
