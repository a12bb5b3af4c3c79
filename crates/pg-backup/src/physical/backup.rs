//! `backup.json`, the manifest of a physical backup, and the names of its objects (docs/FORMATS.md).
//!
//! It is written last: no backup.json, no backup.

use super::conf::Conf;
use crate::manifest::{Id, read_sealed, seal};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use toban_core::pack::Codec;
use toban_core::repo::keys::System;
use toban_core::store::{Key, Store};
use toban_core::sum::Sum;
use toban_core::wal::{Lsn, Timeline};
use toban_core::{Context, Error, Result};

/// The format that this program writes; a reader refuses any that it does not know.
pub(crate) const FORMAT: u32 = 1;
pub(crate) const LARGEST: u64 = 64 << 10;
pub(crate) const INDEX: &str = "files.jsonl.zst";
pub(crate) const MANIFEST: &str = "backup.json";

/// A pack that a backup uses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PackSum {
    /// The backup in whose folder it lies; this one's when it is not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) of: Option<Id>,
    /// Its number there, which is in its name.
    pub(crate) number: u32,
    #[serde(flatten)]
    pub(crate) sum: Sum,
}

/// A tablespace outside the data directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Tablespace {
    pub(crate) oid: u32,
    pub(crate) location: String,
    /// Made while the files were copied: recovery makes it anew, in this place and in no other.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) late: bool,
}

/// Who owns the data directory, and its permissions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Owner {
    pub(crate) user: String,
    pub(crate) group: String,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) mode: u32,
}

/// What of the machine an index depends on, and what the server loads.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Host {
    pub(crate) name: String,
    /// `glibc 2.36`.
    pub(crate) libc: String,
    /// Version of ICU's collations, where the server has them.
    pub(crate) icu: Option<String>,
    /// The ICU library that the server has loaded: `/usr/lib/x86_64-linux-gnu/libicuuc.so.72.1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) icu_library: Option<String>,
    /// `lc_collate` of template1.
    pub(crate) locale: String,
    /// Collations and character types of all databases: `en_US.UTF-8`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) locales: Vec<String>,
    pub(crate) preload: String,
    /// Extensions of the database that the run was connected to.
    pub(crate) extensions: Vec<String>,
}

/// Pages whose damage was there before the backup.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Damage {
    pub(crate) pages: u64,
    /// The first of them: `base/5/16384 block 7: wrong checksum`.
    pub(crate) first: Vec<String>,
}

/// The manifest.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Backup {
    pub(crate) format: u32,
    pub(crate) id: Id,
    pub(crate) cluster: String,
    pub(crate) system_identifier: String,
    pub(crate) label: Option<String>,
    pub(crate) started: Timestamp,
    pub(crate) finished: Timestamp,
    pub(crate) server_version: String,
    pub(crate) major: u32,
    /// Whether it was copied from a standby.
    pub(crate) standby: bool,
    pub(crate) timeline: Timeline,
    /// What recovery must replay: from the checkpoint's start to the end of the backup.
    pub(crate) start_lsn: Lsn,
    pub(crate) stop_lsn: Lsn,
    pub(crate) wal_segment_size: u64,
    pub(crate) codec: Codec,
    /// Files and their bytes, unpacked.
    pub(crate) files: u64,
    pub(crate) bytes: u64,
    pub(crate) packs: Vec<PackSum>,
    /// The index, as stored.
    pub(crate) index: Sum,
    /// Whether page checksums were compared.
    pub(crate) checksums: bool,
    pub(crate) damage: Damage,
    pub(crate) tablespaces: Vec<Tablespace>,
    pub(crate) owner: Owner,
    /// The data directory that was copied; empty in backups of before it was recorded.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) data_dir: String,
    /// Configuration from outside the data directory, which is below `conf/`.
    #[serde(default, skip_serializing_if = "Conf::is_empty")]
    pub(crate) conf: Conf,
    pub(crate) host: Host,
}

impl Backup {
    /// The system it is of.
    ///
    /// # Errors
    /// Corrupt when its identifier is no number.
    pub(crate) fn system(&self) -> Result<System> {
        let bad = |e| Error::corrupt(format!("backup {}: bad system identifier", self.id)).because(e);
        let identifier = self.system_identifier.parse().map_err(bad)?;
        Ok(System { cluster: self.cluster.clone(), identifier })
    }

    /// Bytes in the repository, without the manifest.
    pub(crate) fn stored_bytes(&self) -> u64 {
        self.packs.iter().map(|p| p.sum.bytes).sum::<u64>() + self.index.bytes
    }

    /// Seconds it took.
    pub(crate) fn seconds(&self) -> f64 {
        self.finished.duration_since(self.started).as_secs_f64()
    }

    /// The key of one of its packs.
    ///
    /// # Errors
    /// Never for a pack that the manifest names.
    pub(crate) fn pack_key(&self, pack: &PackSum) -> Result<Key> {
        pack_key(&self.system()?, pack.of.as_ref().unwrap_or(&self.id), pack.number, self.codec)
    }

    /// The key of its index.
    ///
    /// # Errors
    /// Never for a manifest that was read.
    pub(crate) fn index_key(&self) -> Result<Key> {
        key(&self.system()?, &self.id, INDEX)
    }

    /// Bytes of its object.
    ///
    /// # Errors
    /// When it would be too large for a reader.
    pub(crate) fn to_json(&self) -> Result<Vec<u8>> {
        let json =
            serde_json::to_string_pretty(self).doing(|| format!("write the manifest of {}", self.id))?;
        let json = seal(&format!("{json}\n")).into_bytes();
        if json.len() as u64 > LARGEST {
            return Err(Error::failed(format!("the manifest of {} would be {} bytes", self.id, json.len())));
        }
        Ok(json)
    }

    /// Reads the manifest at `key`; `None` when it is not there.
    ///
    /// # Errors
    /// Corrupt when it is damaged; Usage when a program of another format wrote it.
    pub(crate) fn read(store: &dyn Store, key: &Key) -> Result<Option<Backup>> {
        #[derive(Deserialize)]
        struct Version {
            format: u32,
        }
        let Some(json) = read_sealed(store, key, LARGEST)? else { return Ok(None) };
        let damaged = |e| Error::corrupt(format!("{key} is not a manifest")).because(e);
        let Version { format } = serde_json::from_slice(&json).map_err(damaged)?;
        if format != FORMAT {
            let e = Error::usage(format!("{key} has format {format}; this program reads {FORMAT}"));
            return Err(e.hint("use a newer pg-backup"));
        }
        serde_json::from_slice(&json).map(Some).map_err(damaged)
    }
}

/// The object `name` of backup `id`.
///
/// # Errors
/// Usage for a name that no object can have.
pub(crate) fn key(system: &System, id: &Id, name: &str) -> Result<Key> {
    system.key(&format!("backup/{id}/{name}"))
}

/// The pack of this number.
///
/// # Errors
/// Never for an id.
pub(crate) fn pack_key(system: &System, id: &Id, number: u32, codec: Codec) -> Result<Key> {
    key(system, id, &format!("pack/{number:05}.{}", codec.suffix()))
}

/// The intent of a run.
///
/// # Errors
/// Never for an id.
pub(crate) fn intent_key(system: &System, id: &Id) -> Result<Key> {
    system.key(&format!("intent/{id}.json"))
}

/// What an object below a system's root is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Named {
    /// `backup/<id>/<name>`.
    Part(Id, String),
    /// `intent/<id>.json`.
    Intent(Id),
    /// `mark/<id>.<time>.json`.
    Mark(Id, Timestamp),
    /// `proof/<id>.<time>.json`: it was found whole then.
    Proof(Id, Timestamp),
    /// `damage/<id>.<time>.json`: it was found damaged then.
    Damage(Id, Timestamp),
}

/// The folders below a system's root that hold them.
pub(crate) const FOLDERS: [&str; 5] = ["backup", "intent", "mark", PROOF, DAMAGE];
pub(crate) const PROOF: &str = "proof";
pub(crate) const DAMAGE: &str = "damage";

/// Takes a name below a system's root apart; `None` for what is none of ours.
pub(crate) fn parse(name: &str) -> Option<Named> {
    let (folder, rest) = name.split_once('/')?;
    if folder == "backup" {
        let (id, part) = rest.split_once('/')?;
        return Some(Named::Part(id.parse().ok()?, part.into()));
    }
    let (id, suffix) = rest.split_once('.')?;
    let id: Id = id.parse().ok()?;
    match folder {
        "intent" => Some(Named::Intent(id)),
        "mark" => Some(Named::Mark(id, stamp(suffix)?)),
        PROOF => Some(Named::Proof(id, stamp(suffix)?)),
        DAMAGE => Some(Named::Damage(id, stamp(suffix)?)),
        _ => None,
    }
}

/// `mark`, `proof` or `damage` of backup `id` at a time.
///
/// # Errors
/// Never for an id.
pub(crate) fn stamped_key(system: &System, folder: &str, id: &Id, at: Timestamp) -> Result<Key> {
    system.key(&format!("{folder}/{id}.{}.json", toban_core::stamp::stamp(at)))
}

fn stamp(suffix: &str) -> Option<Timestamp> {
    crate::catalog::proof_of(&format!("proof.{suffix}")).map(|(_, at)| at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_apart_again() {
        let system = System { cluster: "main".into(), identifier: 7 };
        let id: Id = "20261121T030000Z-120034".parse().expect("an id");
        let at: Timestamp = "2026-11-21T04:00:00Z".parse().expect("a time");
        let named = |key: Key| System::parse("main", &key).and_then(|(_, name)| parse(name));
        let pack = pack_key(&system, &id, 3, Codec::Zstd).expect("a key");
        assert_eq!(named(pack), Some(Named::Part(id.clone(), "pack/00003.tar.zst".into())));
        let mark = stamped_key(&system, "mark", &id, at).expect("a key");
        assert_eq!(named(mark), Some(Named::Mark(id.clone(), at)));
        let damage = stamped_key(&system, DAMAGE, &id, at).expect("a key");
        assert_eq!(named(damage), Some(Named::Damage(id.clone(), at)));
        assert_eq!(named(intent_key(&system, &id).expect("a key")), Some(Named::Intent(id)));
        assert_eq!(parse("cluster.json"), None);
    }
}
