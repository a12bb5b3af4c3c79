//! Whether a foreign archive is whole. pg_restore takes what is cut off for what is short: a data file
//! without its end, a list of large objects without its last lines and a tar archive without its last members restore
//! with status 0.

use super::source::{DumpFormat, Unpacked};
use super::sql::ScriptFacts;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use toban_core::{Context, Error, Result, shutdown};

/// The table of contents, as `pg_restore --list` shows it.
pub(super) struct ArchiveContents<'l>(pub(super) &'l str);

/// One line of it: `3456; 0 16386 TABLE DATA public users owner`.
struct ArchiveEntry<'l> {
    id: &'l str,
    what: &'l str,
}

impl ArchiveContents<'_> {
    fn entries(&self) -> impl Iterator<Item = ArchiveEntry<'_>> {
        let lines = self.0.lines().filter(|l| !l.starts_with(';'));
        lines.filter_map(|line| {
            let what = line.splitn(4, ' ').nth(3)?;
            Some(ArchiveEntry { id: line.split_once(';')?.0, what })
        })
    }

    fn count_entries(&self, kind: &str) -> usize {
        self.entries().filter(|e| e.what.starts_with(kind)).count()
    }

    /// It fills tables, and creates none.
    pub(super) fn only_data(&self) -> bool {
        self.count_entries("TABLE DATA ") > 0
            && self.count_entries("TABLE ") == self.count_entries("TABLE DATA ")
    }

    /// It holds settings, privileges or a comment of the database itself, which only `--create` applies.
    pub(super) fn has_database_properties(&self) -> bool {
        let kinds =
            ["DATABASE PROPERTIES ", "ACL - DATABASE ", "COMMENT - DATABASE ", "SECURITY LABEL - DATABASE "];
        kinds.into_iter().any(|kind| self.count_entries(kind) > 0)
    }

    /// It creates tables, and fills none.
    pub(super) fn only_schema(&self) -> bool {
        self.count_entries("TABLE ") > 0 && self.count_entries("TABLE DATA ") == 0
    }
}

/// Looks for the end of each file of a folder, and of a tar archive.
///
/// # Errors
/// Corrupt, naming the file that is cut off, damaged or missing.
pub(super) fn check_files(format: DumpFormat, path: &Path, contents: &ArchiveContents<'_>) -> Result<()> {
    match format {
        DumpFormat::Directory => check_folder(path, contents),
        DumpFormat::Tar => check_tar(path),
        DumpFormat::Custom | DumpFormat::Sql => Ok(()),
    }
}

/// Compares what the archive's script does with its table of contents.
///
/// # Errors
/// Corrupt when data that it announces do not come.
pub(super) fn compare_script(contents: &ArchiveContents<'_>, script: &ScriptFacts, name: &str) -> Result<()> {
    let tables = contents.count_entries("TABLE DATA ");
    if script.tables != tables {
        let e = format!(
            "{name} is cut off: it announces the rows of {tables} tables and holds {}",
            script.tables
        );
        return Err(Error::corrupt(e));
    }
    if contents.count_entries("BLOBS ") > 0 && script.large_filled < script.large_created {
        let (created, filled) = (script.large_created, script.large_filled);
        let e = format!(
            "{name} is cut off: it creates {created} large objects and holds the content of {filled}"
        );
        return Err(Error::corrupt(e));
    }
    Ok(())
}

fn check_folder(folder: &Path, contents: &ArchiveContents<'_>) -> Result<()> {
    let mut endless = 0;
    for entry in contents.entries() {
        shutdown::check()?;
        if entry.what.starts_with("TABLE DATA ") {
            check_rows(&DataFile::find_file(folder, &format!("{}.dat", entry.id))?, entry.what)?;
        } else if entry.what.starts_with("BLOBS ") {
            endless += check_large_objects(folder, entry.id)?;
        }
    }
    if endless > 0 {
        log::warn!(
            "{}: {endless} large objects are stored without compression, so whether they are whole is not known",
            folder.display()
        );
    }
    Ok(())
}

/// The rows of a table end as pg_dump ends them: by COPY's `\.`, or after the last INSERT; then empty lines.
fn check_rows(file: &DataFile, what: &str) -> Result<()> {
    let Some(tail) = file.read_to_end()? else { return Ok(()) };
    let ends = [&b"\\.\n\n\n"[..], b";\n\n\n"].iter().any(|end| tail.ends_with(end));
    if ends || tail == b"\n\n" {
        return Ok(());
    }
    Err(Error::corrupt(format!("{} is cut off: it does not end as {what} must", file.path.display())))
}

/// Reads the large objects that the folder lists; how many of them have no mark of their end.
fn check_large_objects(folder: &Path, id: &str) -> Result<usize> {
    // Since 17 each entry has a list of its own.
    let name = format!("blobs_{id}.toc");
    let list = DataFile::find_file(folder, &name).or_else(|_| DataFile::find_file(folder, "blobs.toc"))?;
    let lines = std::fs::read_to_string(&list.path).doing(|| format!("read {}", list.path.display()))?;
    let mut endless = 0;
    for line in lines.lines() {
        shutdown::check()?;
        let damaged = || Error::corrupt(format!("{} is damaged: {line:?}", list.path.display()));
        let (_, name) = line.split_once(' ').ok_or_else(damaged)?;
        let file = DataFile::find_file(folder, name)?;
        // An empty large object is an empty file where pg_dump compresses by lz4 or zstd.
        let empty = matches!(file.packing, Packing::Lz4 | Packing::Zstd) && file.len()? == 0;
        match file.packing {
            Packing::None => endless += 1,
            _ if empty => endless += 1,
            _ => _ = file.read_to_end()?,
        }
    }
    Ok(endless)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Packing {
    None,
    Gzip,
    Lz4,
    Zstd,
}

/// A file of a folder, as pg_restore finds it.
struct DataFile {
    path: PathBuf,
    packing: Packing,
}

impl DataFile {
    fn find_file(folder: &Path, name: &str) -> Result<DataFile> {
        let suffixes =
            [("", Packing::None), (".gz", Packing::Gzip), (".lz4", Packing::Lz4), (".zst", Packing::Zstd)];
        let there =
            suffixes.iter().map(|(suffix, packing)| (folder.join(format!("{name}{suffix}")), *packing));
        let found = there.into_iter().find(|(path, _)| path.is_file());
        let missing = || Error::corrupt(format!("{} is missing", folder.join(name).display()));
        found.map(|(path, packing)| DataFile { path, packing }).ok_or_else(missing)
    }

    fn len(&self) -> Result<u64> {
        let metadata = std::fs::metadata(&self.path).doing(|| format!("look at {}", self.path.display()))?;
        Ok(metadata.len())
    }

    /// The last bytes of the content; `None` for lz4, whose frame has an end of its own.
    fn read_to_end(&self) -> Result<Option<Vec<u8>>> {
        let name = self.path.display().to_string();
        let doing = || format!("read {name}");
        let mut file = File::open(&self.path).doing(doing)?;
        match self.packing {
            Packing::Lz4 => {
                let whole = lz4_ends(&mut BufReader::new(file)).doing(doing)?;
                return if whole { Ok(None) } else { Err(cut_off(&name, "lz4 frame")) };
            }
            // Only the end of what is not compressed shows anything.
            Packing::None => {
                let from = self.len()?.saturating_sub(LAST as u64);
                file.seek(SeekFrom::Start(from)).doing(doing)?;
                read_tail(file).doing(doing)
            }
            Packing::Gzip => read_tail(Unpacked::new(file, name.clone())).doing(doing),
            Packing::Zstd => read_zstd_tail(file, &name),
        }
        .map(Some)
    }
}

fn cut_off(name: &str, what: &str) -> Error {
    Error::corrupt(format!("{name} is cut off: its {what} has no end"))
}

fn read_zstd_tail(file: File, name: &str) -> Result<Vec<u8>> {
    let decoder = zstd::stream::read::Decoder::new(file).doing(|| format!("read {name}"))?;
    read_tail(decoder).map_err(|e| match e.kind() {
        io::ErrorKind::UnexpectedEof => cut_off(name, "zstd frame"),
        _ => Error::corrupt(format!("{name} is damaged")).because(e),
    })
}

/// More than the longest end of a table's rows.
const LAST: usize = 8;

/// Reads to the end; the last bytes.
fn read_tail(mut reader: impl Read) -> io::Result<Vec<u8>> {
    let mut buf = vec![0; 256 * 1024];
    let mut last = Vec::new();
    loop {
        match reader.read(&mut buf) {
            Ok(0) => return Ok(last),
            Ok(n) => {
                last.extend_from_slice(&buf[n.saturating_sub(LAST)..n]);
                last.drain(..last.len().saturating_sub(LAST));
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}

/// Walks an lz4 frame from block to block: whether it reaches the mark of its end.
/// <https://github.com/lz4/lz4/blob/dev/doc/lz4_Frame_format.md>
fn lz4_ends(reader: &mut impl Read) -> io::Result<bool> {
    let Some(magic) = read_word(reader)? else { return Ok(false) };
    let mut descriptor = [0; 2];
    if magic != 0x184D_2204 || !fill_exactly(reader, &mut descriptor)? {
        return Ok(false);
    }
    let flag = |bit: u8| u64::from(descriptor[0] >> bit & 1);
    let (block_sum, content_size, content_sum, dictionary) = (flag(4), flag(3), flag(2), flag(0));
    if !skip_bytes(reader, 8 * content_size + 4 * dictionary + 1)? {
        return Ok(false);
    }
    loop {
        match read_word(reader)? {
            None => return Ok(false),
            Some(0) => return skip_bytes(reader, 4 * content_sum),
            // The highest bit marks a block that is stored as it is.
            Some(size) if skip_bytes(reader, u64::from(size & 0x7FFF_FFFF) + 4 * block_sum)? => {}
            Some(_) => return Ok(false),
        }
    }
}

fn read_word(reader: &mut impl Read) -> io::Result<Option<u32>> {
    let mut bytes = [0; 4];
    Ok(fill_exactly(reader, &mut bytes)?.then(|| u32::from_le_bytes(bytes)))
}

/// Whether there were bytes enough to fill `bytes`.
fn fill_exactly(reader: &mut impl Read, bytes: &mut [u8]) -> io::Result<bool> {
    match reader.read_exact(bytes) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(e) => Err(e),
    }
}

fn skip_bytes(reader: &mut impl Read, bytes: u64) -> io::Result<bool> {
    Ok(io::copy(&mut reader.take(bytes), &mut io::sink())? == bytes)
}

const BLOCK: usize = crate::format::tar::BLOCK;

/// Goes from member to member; a block of zeros ends the archive.
fn check_tar(path: &Path) -> Result<()> {
    let doing = || format!("read {}", path.display());
    let mut file = BufReader::new(File::open(path).doing(doing)?);
    loop {
        shutdown::check()?;
        let mut header = [0; BLOCK];
        if !fill_exactly(&mut file, &mut header).doing(doing)? {
            return Err(cut_off(&path.display().to_string(), "tar archive"));
        }
        if header.iter().all(|b| *b == 0) {
            return Ok(());
        }
        let damaged = || Error::corrupt(format!("{} is damaged: a member has no size", path.display()));
        let size = tar_size(&header[124..136]).ok_or_else(damaged)?;
        let padded = size.next_multiple_of(BLOCK as u64);
        if !skip_bytes(&mut file, padded).doing(doing)? {
            return Err(cut_off(&path.display().to_string(), "tar archive"));
        }
    }
}

/// Octal, or big-endian with the first bit set.
fn tar_size(field: &[u8]) -> Option<u64> {
    if field[0] & 0x80 != 0 {
        return Some(field[4..].iter().fold(0, |size, b| size << 8 | u64::from(*b)));
    }
    let text = std::str::from_utf8(field).ok()?.trim_matches(['\0', ' ']);
    u64::from_str_radix(text, 8).ok().filter(|size| *size < 1 << 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_lz4_frame_cut_anywhere_has_no_end() {
        // Flags: blocks and content have sums, the content's size is told; one stored block of three bytes.
        let frame = b"\x04\x22\x4d\x18\x7c\x40\x03\0\0\0\0\0\0\0\x12\x03\0\0\x80abcSUM1\0\0\0\0SUM2";
        assert!(lz4_ends(&mut &frame[..]).expect("read"));
        for end in 0..frame.len() {
            assert!(!lz4_ends(&mut &frame[..end]).expect("read"), "{end}");
        }
    }

    #[test]
    fn contents_tell_what_there_is() {
        let list = ";\n; Archive\n215; 1259 1 TABLE public t o\n33; 0 2 TABLE DATA public t o\n34; 0 0 BLOBS - BLOBS \n";
        let contents = ArchiveContents(list);
        assert_eq!((contents.count_entries("TABLE DATA "), contents.count_entries("BLOBS ")), (1, 1));
        assert!(!contents.only_data() && !contents.only_schema());
        assert!(ArchiveContents("33; 0 2 TABLE DATA public t o\n").only_data());
        assert!(ArchiveContents("215; 1259 1 TABLE public t o\n").only_schema());
    }
}
