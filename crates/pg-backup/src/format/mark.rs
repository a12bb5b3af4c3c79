//! A mark: `prune` deleted a backup or a dump, whose manifest the mark holds so that it can be put back byte for byte;
//! or found what a run left (docs/FORMATS.md, "Marks").

use super::catalog::{Catalog, Manifest, Named, NamedObject, Part};
use super::id::Id;
use crate::machine;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use toban_core::repo::Repo;
use toban_core::repo::sealed::{FORMAT, parse_sealed, write_sealed};
use toban_core::store::{Key, read_small};
use toban_core::{Error, Kind, Result};

/// Bytes of the largest mark: a manifest as a JSON text can be a few times as long.
pub(crate) const LARGEST: u64 = 16 << 20;
/// A mark of what has no manifest; earlier programs marked deleted backups so too.
pub(crate) const BARE: &[u8] = b"{\"format\":1}\n";

#[derive(Serialize, Deserialize)]
struct MarkObject {
    format: u32,
    /// The whole text of the manifest.
    manifest: String,
}

/// The bytes of the mark that holds the manifest that lies at `key`.
///
/// # Errors
/// Corrupt when the manifest is no text.
pub(crate) fn write_mark(key: &Key, manifest: &[u8]) -> Result<Vec<u8>> {
    let not_text = |e| Error::corrupt(format!("{key} is no text")).because(e);
    let manifest = std::str::from_utf8(manifest).map_err(not_text)?.to_string();
    write_sealed(&MarkObject { format: FORMAT, manifest })
}

/// A dump or backup that is deleted and can be put back.
#[derive(Clone)]
pub(crate) struct Deleted<M> {
    pub(crate) manifest: M,
    /// The bytes of its manifest.
    pub(crate) text: String,
}

/// What is marked: when last, and what it was.
#[derive(Clone)]
pub(crate) struct MarkedAt<M> {
    pub(crate) at: Timestamp,
    /// None where a run left it, or an earlier program deleted it.
    pub(crate) deleted: Option<Deleted<M>>,
}

/// The marks of all that has no manifest any more.
pub(crate) struct Marks<M: Manifest> {
    pub(crate) all: BTreeMap<(M::Series, Id), MarkedAt<M>>,
    /// Marks that do not read, and the series of each: what they need is not known.
    pub(crate) unread: Vec<(M::Series, Error)>,
}

impl<M: Manifest + Sync> Marks<M> {
    /// Reads the marks of what `catalog` lists without a manifest; of one whose manifest is there a mark says nothing.
    ///
    /// # Errors
    /// When the store could not be asked.
    pub(crate) fn read(repo: &Repo, catalog: &Catalog<M>) -> Result<Marks<M>> {
        let of = |(named, _): &NamedObject<M>| (named.series.clone(), named.id.clone());
        // The manifest decides: a prune that died between its mark and the removal has deleted nothing, and
        // `prune --undo` puts the manifest back and leaves the mark.
        let manifests = catalog.objects.iter().filter(|(named, _)| named.part == Part::Manifest);
        let there: BTreeSet<(M::Series, Id)> = manifests.map(of).collect();
        let mut marks: Vec<(Timestamp, &NamedObject<M>)> = Vec::new();
        for object in &catalog.objects {
            if let Part::Mark(at) = object.0.part
                && !there.contains(&of(object))
            {
                marks.push((at, object));
            }
        }
        // The oldest first, so that the newest of several counts.
        marks.sort_by_key(|(at, _)| *at);
        let read = machine::in_parallel(&marks, 8, |(_, (named, object))| {
            match read_mark(repo, named, &object.key) {
                Err(e) if ![Kind::Corrupt, Kind::Usage].contains(&e.kind()) => Err(e),
                read => Ok(read),
            }
        })?;
        let (mut all, mut unread) = (BTreeMap::new(), Vec::new());
        for ((at, (named, _)), read) in marks.into_iter().zip(read) {
            let of = (named.series.clone(), named.id.clone());
            let entry = all.entry(of).or_insert(MarkedAt { at, deleted: None });
            entry.at = at;
            match read {
                Ok(deleted) => entry.deleted = deleted.or(entry.deleted.take()),
                Err(e) => unread.push((named.series.clone(), e)),
            }
        }
        Ok(Marks { all, unread })
    }
}

/// What the mark at `key` holds.
fn read_mark<M: Manifest>(repo: &Repo, named: &Named<M::Series>, key: &Key) -> Result<Option<Deleted<M>>> {
    let Some(json) = read_small(&*repo.store, key, LARGEST)? else { return Ok(None) };
    if json.trim_ascii() == BARE.trim_ascii() {
        return Ok(None);
    }
    let MarkObject { manifest: text, .. } = parse_sealed(&json, key)?;
    let manifest: M = parse_sealed(text.as_bytes(), key)?;
    if *manifest.id() != named.id || manifest.series()? != named.series {
        return Err(Error::corrupt(format!("{key} holds the manifest of another one, {}", manifest.id())));
    }
    Ok(Some(Deleted { manifest, text }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_holds_the_manifest_byte_for_byte() {
        let key: Key = "main/7/mark/x".parse().expect("a key");
        let text = "{\n  \"sha256\": \"00\",\n  \"label\": \"a \\\"b\\\" \u{e9}\"\n}\n";
        let json = write_mark(&key, text.as_bytes()).expect("written");
        let mark: MarkObject = parse_sealed(&json, &key).expect("reads");
        assert_eq!(mark.manifest, text);
        let mut flipped = json;
        let last = flipped.len() - 4;
        flipped[last] ^= 1;
        assert!(parse_sealed::<MarkObject>(&flipped, &key).is_err());
        assert!(write_mark(&key, &[0xFF]).is_err());
    }
}
