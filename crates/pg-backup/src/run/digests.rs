//! The digests of a backup's blocks beside it, in the repository: from them a run makes the map of blocks anew where the
//! state directory has none. Each run stores those of its own packs alone; its manifest names those of earlier runs.

use super::block_map::{BLOCK, BlockRecord, DigestKey, MapOwner, MapWriter, RECORD, join_crcs};
use crate::format::backup::StoredBackup;
use crate::format::content::open_content;
use crate::format::index::{EntryKind, FileName, IndexEntry, Piece};
use crate::format::outline::read_entries;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::mpsc::Receiver;
use toban_core::sum::{hex, unhex};
use toban_core::{Context, Error, Result, durable, shutdown};

/// The form of the object: another one is not read.
const FORM: u32 = 1;
/// Bytes of a header in a pack.
const HEADER: u32 = 512;
/// Bytes of the longest line: that of a file of 1 GiB, each block of which is a stretch of its own, is not as long.
const LONGEST_LINE: u64 = 64 << 20;

/// The first line.
#[derive(Serialize, Deserialize)]
struct Head {
    format: u32,
    /// Who has it can look for two blocks of one digest, and tell whether a block is one that he knows: whoever may not
    /// read the packs must not read this object either.
    key: String,
}

/// The line of a file. The records of its blocks follow: of all stretches, in their order.
#[derive(Serialize, Deserialize)]
struct FileLine {
    path: FileName,
    stretches: Vec<Stretch>,
}

/// Pieces of a file that follow one another in a frame, each of as many bytes and after a header of a block of tar.
#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(from = "(u32, u64, u32, u32, u32)", into = "(u32, u64, u32, u32, u32)")]
struct Stretch {
    pack: u32,
    /// Where the frame begins in the pack.
    at: u64,
    /// The first byte of the first piece in the unpacked frame, the bytes of each, and how many there are.
    from: u32,
    bytes: u32,
    count: u32,
}

impl From<(u32, u64, u32, u32, u32)> for Stretch {
    fn from((pack, at, from, bytes, count): (u32, u64, u32, u32, u32)) -> Stretch {
        Stretch { pack, at, from, bytes, count }
    }
}

impl From<Stretch> for (u32, u64, u32, u32, u32) {
    fn from(s: Stretch) -> (u32, u64, u32, u32, u32) {
        (s.pack, s.at, s.from, s.bytes, s.count)
    }
}

impl Stretch {
    fn of_piece(piece: &Piece) -> Stretch {
        Stretch { pack: piece.pack, at: piece.at, from: piece.from, bytes: piece.bytes, count: 1 }
    }

    /// Takes a piece in, where it follows.
    fn add_piece(&mut self, piece: &Piece) -> bool {
        let follows = Stretch { count: 1, from: self.begin_of(self.count), ..*self };
        let fits = [follows.pack, follows.from, follows.bytes] == [piece.pack, piece.from, piece.bytes]
            && follows.at == piece.at;
        self.count += u32::from(fits);
        fits
    }

    /// Where the piece of this number begins.
    fn begin_of(self, number: u32) -> u32 {
        number.saturating_mul(self.bytes.saturating_add(HEADER)).saturating_add(self.from)
    }

    /// The blocks of each piece.
    fn blocks(self) -> usize {
        (self.bytes as usize).div_ceil(BLOCK)
    }

    /// Bytes of the records of all its blocks.
    fn records(self) -> u64 {
        u64::from(self.count).saturating_mul((self.blocks() * RECORD) as u64)
    }
}

/// The line of a file and the records after it, of what lies in packs from the number `first` on; none where nothing
/// does. `blocks` has a record for each block of the file.
///
/// # Errors
/// When it cannot be written as JSON.
pub(super) fn describe_own(
    entry: &IndexEntry,
    blocks: &[BlockRecord],
    first: u32,
) -> Result<Option<Vec<u8>>> {
    let (mut stretches, mut records, mut at) = (Vec::<Stretch>::new(), Vec::new(), 0_usize);
    for piece in &entry.pieces {
        if piece.pack >= first {
            if !stretches.last_mut().is_some_and(|last| last.add_piece(piece)) {
                stretches.push(Stretch::of_piece(piece));
            }
            let own = blocks.iter().skip(at / BLOCK).take((piece.bytes as usize).div_ceil(BLOCK));
            own.for_each(|block| records.extend_from_slice(&block.to_bytes()));
        }
        at += piece.bytes as usize;
    }
    if stretches.is_empty() {
        return Ok(None);
    }
    let line = FileLine { path: entry.path.clone(), stretches };
    let mut bytes = serde_json::to_vec(&line).doing(|| "write the digests".into())?;
    bytes.push(b'\n');
    bytes.extend_from_slice(&records);
    Ok(Some(bytes))
}

/// What is stored, until all senders of files are gone: compressed, though only the lines become smaller.
///
/// # Errors
/// When there is no memory for it.
pub(super) fn write_digests(key: &DigestKey, files: Receiver<Vec<u8>>) -> Result<impl Read> {
    let head = Head { format: FORM, key: hex(&key.0) };
    let mut line = serde_json::to_vec(&head).doing(|| "write the digests".into())?;
    line.push(b'\n');
    let plain = ReceivedFiles { files, now: line, at: 0 };
    zstd::stream::read::Encoder::new(plain, 1).doing(|| "start zstd".into())
}

/// What arrives, as a stream.
struct ReceivedFiles {
    files: Receiver<Vec<u8>>,
    now: Vec<u8>,
    at: usize,
}

impl Read for ReceivedFiles {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.at == self.now.len() {
            let Ok(next) = self.files.recv() else { return Ok(0) };
            (self.now, self.at) = (next, 0);
        }
        let n = buf.len().min(self.now.len() - self.at);
        buf[..n].copy_from_slice(&self.now[self.at..self.at + n]);
        self.at += n;
        Ok(n)
    }
}

/// Makes the map of blocks of a backup at `path`, from its index and the digests that its manifest names. A file whose
/// digests are not all there is not in it, and is stored whole by the next run; all pages are judged anew by that.
///
/// # Errors
/// When there are no digests, one object of them is missing, damaged or of another key, or the map cannot be written.
pub(super) fn rebuild_map(stored: &StoredBackup, path: &Path) -> Result<()> {
    let manifest = &stored.manifest;
    let folder = durable::folder_of(path);
    durable::create_dirs(folder)?;
    let (mut known, key) = KnownDigests::fetch(stored, folder)?;
    let mut map = MapWriter::create(path, key)?;
    for entry in read_entries(stored)? {
        shutdown::check()?;
        let entry = entry?;
        if let Some(blocks) = known.find_blocks(&entry)? {
            map.add_file(&entry, &blocks)?;
        }
    }
    // What the run that wrote them knew of the server and of its pages is not beside them: the next run reads
    // everything, and judges every page.
    map.commit(&MapOwner { id: &manifest.id, index: &manifest.index, clean: false, server_started: "" })
}

/// Where a file's line and its records lie.
#[derive(Clone, Copy)]
struct Place {
    at: u64,
    line: usize,
    records: usize,
}

/// All digests that a manifest names, in a file without a name: of a cluster of 2 TB they are 5 GB.
struct KnownDigests {
    file: File,
    places: HashMap<FileName, Vec<Place>>,
}

impl KnownDigests {
    /// Fetches them, each object compared with its sum; and their key.
    fn fetch(stored: &StoredBackup, folder: &Path) -> Result<(KnownDigests, DigestKey)> {
        let file = tempfile::tempfile_in(folder).doing(|| format!("write in {}", folder.display()))?;
        let mut known = KnownDigests { file, places: HashMap::new() };
        let (mut at, mut key) = (0, None);
        for digests in &stored.manifest.digests {
            let name = stored.manifest.stored_key(stored.manifest.digests_key(digests)?)?;
            let body = open_content(&*stored.repo.store, &name, &digests.sum)?;
            let own = known.add_object(body, &mut at).doing(|| format!("read {name}"))?;
            // Digests of different keys say nothing of each other.
            if key.get_or_insert_with(|| own.clone()) != &own {
                return Err(Error::failed(format!("{name} has another key than those before it")));
            }
        }
        let none = || Error::failed(format!("there are no digests beside {}", stored.manifest.id));
        Ok((known, key.ok_or_else(none)?))
    }

    /// Takes over what one object holds; its key.
    fn add_object(&mut self, body: impl Read, at: &mut u64) -> Result<DigestKey> {
        let plain = zstd::stream::read::Decoder::new(body).doing(|| "start zstd".into())?;
        let mut plain = BufReader::new(plain);
        let head = read_line(&mut plain)?.unwrap_or_default();
        let bad = |e| Error::corrupt("its first line does not parse").because(e);
        let head: Head = serde_json::from_slice(&head).map_err(bad)?;
        let key = unhex(&head.key).and_then(|key| key.try_into().ok()).filter(|_| head.format == FORM);
        let key = key.map(DigestKey).ok_or_else(|| Error::corrupt("its first line is none of ours"))?;
        let mut file = BufWriter::with_capacity(1 << 18, &self.file);
        while let Some(line) = read_line(&mut plain)? {
            shutdown::check()?;
            let FileLine { path, stretches } = parse_line(&line)?;
            let bytes = stretches.iter().fold(0_u64, |all, s| all.saturating_add(s.records()));
            file.write_all(&line).doing(|| "keep it".into())?;
            let copied = io::copy(&mut plain.by_ref().take(bytes), &mut file);
            if copied.doing(|| "keep it".into())? != bytes {
                return Err(Error::corrupt("it is cut off"));
            }
            let records = usize::try_from(bytes).doing(|| "measure it".into())?;
            self.places.entry(path).or_default().push(Place { at: *at, line: line.len(), records });
            *at += line.len() as u64 + bytes;
        }
        file.flush().doing(|| "keep it".into())?;
        Ok(key)
    }

    /// The records of all blocks of a file; none where they are not all known.
    fn find_blocks(&mut self, entry: &IndexEntry) -> Result<Option<Vec<BlockRecord>>> {
        if entry.kind != EntryKind::File {
            return Ok(None);
        }
        let mut pieces = BTreeMap::new();
        for place in self.places.get(&entry.path).into_iter().flatten() {
            let mut bytes = vec![0; place.line + place.records];
            self.file.read_exact_at(&mut bytes, place.at).doing(|| "read the digests again".into())?;
            let (line, records) = bytes.split_at(place.line);
            let mut records = records.as_chunks::<RECORD>().0.iter().map(BlockRecord::from_bytes);
            for stretch in parse_line(line)?.stretches {
                for number in 0..stretch.count {
                    let own: Vec<BlockRecord> = records.by_ref().take(stretch.blocks()).collect();
                    let place = (stretch.pack, stretch.at, stretch.begin_of(number));
                    pieces.insert(place, KnownPiece { bytes: stretch.bytes, blocks: own });
                }
            }
        }
        Ok(join_pieces(entry, &pieces))
    }
}

/// What is known of a piece, by its pack, frame and first byte there.
type KnownPieces = BTreeMap<(u32, u64, u32), KnownPiece>;

/// A piece as it was stored.
struct KnownPiece {
    bytes: u32,
    blocks: Vec<BlockRecord>,
}

/// Pure: the records of a file's blocks, from those of the pieces as they were stored, of which it may have parts.
fn join_pieces(entry: &IndexEntry, known: &KnownPieces) -> Option<Vec<BlockRecord>> {
    let mut blocks = Vec::new();
    for (i, piece) in entry.pieces.iter().enumerate() {
        let (place, whole) = known.range(..=(piece.pack, piece.at, piece.from)).next_back()?;
        let skip = piece.from.checked_sub(place.2)?;
        let end = skip.checked_add(piece.bytes)?;
        let is_last = i + 1 == entry.pieces.len();
        // A block of this part must be one of the piece, and one of the file: only the last one may be shorter.
        let fits = (place.0, place.1) == (piece.pack, piece.at)
            && (skip as usize).is_multiple_of(BLOCK)
            && (end == whole.bytes || (end < whole.bytes && (end as usize).is_multiple_of(BLOCK)))
            && (is_last || (piece.bytes as usize).is_multiple_of(BLOCK));
        let begin = skip as usize / BLOCK;
        let count = (piece.bytes as usize).div_ceil(BLOCK);
        let own = whole.blocks.get(begin..begin + count).filter(|_| fits)?;
        // The index has the CRC of the part: the records are of that content, or they are not taken.
        if join_crcs(own, piece.bytes as usize) != piece.crc32c {
            return None;
        }
        blocks.extend_from_slice(own);
    }
    (blocks.len() as u64 == entry.size.div_ceil(BLOCK as u64)).then_some(blocks)
}

/// The next line with its end; none at the end of the object.
fn read_line(plain: &mut impl BufRead) -> Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    plain.take(LONGEST_LINE).read_until(b'\n', &mut line).doing(|| "unpack it".into())?;
    match line.last() {
        None => Ok(None),
        Some(b'\n') => Ok(Some(line)),
        Some(_) => Err(Error::corrupt("a line has no end")),
    }
}

fn parse_line(line: &[u8]) -> Result<FileLine> {
    serde_json::from_slice(line).map_err(|e| Error::corrupt("a line does not parse").because(e))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::sync_channel;
    use testkit::Dice;
    use toban_core::crc::crc32c;

    /// A file of `content`, of which each run of pieces is as long as `cuts` says, in packs from `pack` on.
    fn entry(content: &[u8], cuts: &[usize], pack: u32) -> IndexEntry {
        let (mut pieces, mut begin) = (Vec::new(), 0);
        for (n, blocks) in cuts.iter().enumerate() {
            let end = (begin + blocks * BLOCK).min(content.len());
            let part = &content[begin..end];
            if part.is_empty() {
                break;
            }
            pieces.push(Piece {
                pack: pack + n as u32 / 3,
                at: n as u64 / 2 * 4096,
                stored: 9,
                sha256: String::new(),
                plain: 1 << 20,
                from: 512 + n as u32 % 2 * 900_000,
                bytes: part.len() as u32,
                crc32c: crc32c(part),
            });
            begin = end;
        }
        let (path, size) = (FileName(b"base/5/16384".to_vec()), content.len() as u64);
        IndexEntry { path, kind: EntryKind::File, mode: 0o600, modified: 0, size, crc32c: 0, pieces }
    }

    fn stored(key: &DigestKey, sections: &[Option<Vec<u8>>]) -> Vec<u8> {
        let (files, own) = sync_channel(sections.len() + 1);
        sections.iter().flatten().for_each(|s| files.send(s.clone()).expect("sent"));
        drop(files);
        let mut bytes = Vec::new();
        write_digests(key, own).expect("begun").read_to_end(&mut bytes).expect("written");
        bytes
    }

    fn known(objects: &[Vec<u8>]) -> Result<KnownDigests> {
        let mut known = KnownDigests { file: tempfile::tempfile().expect("a file"), places: HashMap::new() };
        let mut at = 0;
        for object in objects {
            known.add_object(&object[..], &mut at)?;
        }
        Ok(known)
    }

    /// The first run stores all of a file, a second one some blocks of it: its index names both, in parts.
    #[test]
    fn blocks_are_found_again_wherever_they_lie() {
        let key = DigestKey::random().expect("a key");
        let mut dice = Dice::new(testkit::seed());
        for _ in 0..100 {
            let bytes = 1 + dice.index(60 * BLOCK);
            let old: Vec<u8> = (0..bytes).map(|i| (i / 97 % 251) as u8).collect();
            let first = entry(&old, &[7, 1, 20, 40], 0);
            let blocks: Vec<BlockRecord> = key.records(&old).collect();
            let own = describe_own(&first, &blocks, 0).expect("described");
            let mut new = old.clone();
            let mut second = IndexEntry { pieces: Vec::new(), ..first.clone() };
            for (n, part) in new.chunks_mut(BLOCK).enumerate() {
                let length = part.len() as u32;
                if dice.below(4) == 0 {
                    part[0] ^= 1;
                    let at = 4096 * dice.below(3);
                    let (from, crc32c) = (n as u32 * 8704, crc32c(part));
                    let piece = Piece { pack: 9, at, from, bytes: length, crc32c, ..first.pieces[0].clone() };
                    second.pieces.push(piece);
                    continue;
                }
                let mut begin = 0;
                let whole = first.pieces.iter().find_map(|piece| {
                    let skip = (n * BLOCK) as u32 - begin;
                    begin += piece.bytes;
                    (skip < piece.bytes).then_some((piece, skip))
                });
                let (piece, skip) = whole.expect("it lies in one");
                let crc32c = crc32c(part);
                second.pieces.push(Piece { from: piece.from + skip, bytes: length, crc32c, ..piece.clone() });
            }
            let now: Vec<BlockRecord> = key.records(&new).collect();
            let later = describe_own(&second, &now, 9).expect("described");
            let objects = [stored(&key, &[own]), stored(&key, std::slice::from_ref(&later))];
            let mut both = known(&objects).expect("read");
            assert!(both.find_blocks(&first).expect("asked").is_some_and(|found| found == blocks));
            assert!(both.find_blocks(&second).expect("asked").is_some_and(|found| found == now));
            let mut one = known(&objects[..1]).expect("read");
            assert_eq!(one.find_blocks(&second).expect("asked").is_some(), later.is_none());
            // A piece that begins in the middle of a block, or is of other content, has none.
            for change in [|p: &mut Piece| p.from += 1, |p: &mut Piece| p.crc32c ^= 1] {
                let mut other = first.clone();
                change(&mut other.pieces[0]);
                assert!(both.find_blocks(&other).expect("asked").is_none());
            }
        }
        let empty = entry(&[], &[], 0);
        assert_eq!(describe_own(&empty, &[], 0).expect("described"), None);
        let mut none = known(&[stored(&key, &[])]).expect("read");
        assert!(none.find_blocks(&empty).expect("asked").is_some_and(|found| found.is_empty()));
    }

    #[test]
    fn what_is_cut_off_or_of_another_form_is_refused() {
        let key = DigestKey::random().expect("a key");
        let content = vec![7; 3 * BLOCK];
        let blocks: Vec<BlockRecord> = key.records(&content).collect();
        let own = describe_own(&entry(&content, &[3], 0), &blocks, 0).expect("described");
        let section = own.expect("some");
        let object = |plain: &[u8]| zstd::encode_all(plain, 1).expect("compressed");
        let whole = zstd::decode_all(&stored(&key, &[Some(section)])[..]).expect("unpacked");
        assert!(known(&[object(&whole)]).is_ok());
        for cut in 0..whole.len() {
            let is_fine = cut == whole.iter().position(|b| *b == b'\n').expect("a line") + 1;
            assert_eq!(known(&[object(&whole[..cut])]).is_ok(), is_fine, "byte {cut}");
        }
        let later = String::from_utf8_lossy(&whole[..90]).replace("\"format\":1", "\"format\":2");
        let line = later.lines().next().expect("a line").to_string() + "\n";
        assert!(known(&[object(line.as_bytes())]).is_err());
    }
}
