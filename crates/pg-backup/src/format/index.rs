//! `files.jsonl.zst`: one line for each file of a backup, written and read as a stream.
//!
//! A line says what the file is and of which pieces it is made, wherever in the packs they lie. Lines repeat what they
//! share with their neighbours; zstd makes that nearly free.

use serde::{Deserialize, Serialize};
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, PathBuf};
use toban_core::sum::unhex;
use toban_core::{Context, Error, Result};

/// A path below the data directory. Text where it is UTF-8, else hexadecimal.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "Spelled", into = "Spelled")]
pub(crate) struct FileName(pub(crate) Vec<u8>);

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Spelled {
    Text(String),
    Hex { hex: String },
}

impl From<Spelled> for FileName {
    fn from(spelled: Spelled) -> FileName {
        match spelled {
            Spelled::Text(text) => FileName(text.into_bytes()),
            Spelled::Hex { hex } => FileName(unhex(&hex).unwrap_or_default()),
        }
    }
}

impl From<FileName> for Spelled {
    fn from(name: FileName) -> Spelled {
        match String::from_utf8(name.0) {
            Ok(text) => Spelled::Text(text),
            Err(e) => Spelled::Hex { hex: toban_core::sum::hex(e.as_bytes()) },
        }
    }
}

impl FileName {
    /// The name as a relative path that stays below its root.
    ///
    /// # Errors
    /// Corrupt for anything else: a repository must not make us write elsewhere.
    pub(crate) fn path(&self) -> Result<PathBuf> {
        let path = PathBuf::from(std::ffi::OsString::from_vec(self.0.clone()));
        let plain = !self.0.contains(&0) && path.components().all(|c| matches!(c, Component::Normal(_)));
        if plain && !self.0.is_empty() && path.components().count() == self.0.split(|b| *b == b'/').count() {
            return Ok(path);
        }
        Err(Error::corrupt(format!(
            "the index names {:?}, which is no path below a folder",
            self.to_display()
        )))
    }

    /// For people.
    pub(crate) fn to_display(&self) -> String {
        String::from_utf8_lossy(&self.0).into_owned()
    }

    /// As text, for rules that only know ASCII names.
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl From<&std::path::Path> for FileName {
    fn from(path: &std::path::Path) -> FileName {
        FileName(path.as_os_str().as_bytes().to_vec())
    }
}

/// What a line stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum EntryKind {
    File,
    Folder,
}

/// Where a stretch of a file lies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Piece {
    /// The number of the pack.
    pub(crate) pack: u32,
    /// Where the frame begins in the pack, its length there, its SHA-256, and its length unpacked.
    pub(crate) at: u64,
    pub(crate) stored: u32,
    pub(crate) sha256: String,
    pub(crate) plain: u32,
    /// Where the stretch begins in the unpacked frame, its length and CRC-32C.
    pub(crate) from: u32,
    pub(crate) bytes: u32,
    pub(crate) crc32c: u32,
}

/// One file or folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct IndexEntry {
    pub(crate) path: FileName,
    pub(crate) kind: EntryKind,
    /// Permissions.
    pub(crate) mode: u32,
    /// Seconds since 1970.
    pub(crate) modified: i64,
    pub(crate) size: u64,
    /// Of the whole content.
    pub(crate) crc32c: u32,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) pieces: Vec<Piece>,
}

/// The entries of a stored index.
///
/// # Errors
/// When there is no memory for it; damage is an error of the iterator.
pub(crate) fn read_index(stored: impl Read) -> Result<impl Iterator<Item = Result<IndexEntry>>> {
    let plain = zstd::stream::read::Decoder::new(stored).doing(|| "start zstd".into())?;
    let mut plain = BufReader::new(plain);
    Ok(std::iter::from_fn(move || next_entry(&mut plain).transpose()))
}

/// A line for a file of 100 GB is not as long: a few hundred bytes for each MiB.
const LONGEST_LINE: u64 = 64 << 20;

/// The next entry; a line without an end must not take all memory.
fn next_entry(plain: &mut impl BufRead) -> Result<Option<IndexEntry>> {
    let mut line = Vec::new();
    plain.take(LONGEST_LINE).read_until(b'\n', &mut line).map_err(explain_unpacking)?;
    if line.is_empty() {
        return Ok(None);
    }
    if line.last() != Some(&b'\n') {
        return Err(Error::corrupt("a line of the index has no end"));
    }
    let parsed = serde_json::from_slice(&line);
    parsed.map(Some).map_err(|e| Error::corrupt("a line of the index does not parse").because(e))
}

/// What stopped the reading: the store, or zstd, whose own errors tell of damage.
fn explain_unpacking(e: io::Error) -> Error {
    let ours = e.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    let of_store = e.raw_os_error().is_some() || ours.is_some();
    match of_store {
        true => Error::caused_by("read the index", e),
        false => Error::corrupt("the index does not unpack").because(e),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_paths_below_the_root() {
        for fine in [&b"base/1/2"[..], b"a b\n", b"\xff"] {
            FileName(fine.to_vec()).path().expect("a path");
        }
        for bad in [&b""[..], b"/etc/passwd", b"a/../b", b"..", b"a//b", b"a/", b"./a", b"a\0b"] {
            assert!(FileName(bad.to_vec()).path().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_line_without_an_end_takes_no_memory() {
        let zeros = std::io::repeat(b'0').take(LONGEST_LINE * 4);
        let stored = zstd::stream::read::Encoder::new(zeros, 1).expect("zstd");
        let e = read_index(stored).expect("it begins").next().expect("an answer").expect_err("refused");
        assert!(e.kind() == toban_core::Kind::Corrupt && e.chain().contains("has no end"), "{e:?}");
    }

    proptest! {
        #[test]
        fn any_name_survives_the_index(bytes in proptest::collection::vec(any::<u8>(), 1..50)) {
            let name = FileName(bytes);
            let line = serde_json::to_string(&name).expect("a line");
            prop_assert_eq!(serde_json::from_str::<FileName>(&line).expect("reads"), name);
        }
    }
}
