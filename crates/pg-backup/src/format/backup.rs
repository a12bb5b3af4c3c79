//! `backup.json`, the manifest of a physical backup, and the names of its objects (docs/FORMATS.md).
//!
//! It is written last: no backup.json, no backup.

use super::catalog::{Catalog, LATEST, Manifest, Named, Note, Part, Stored, find_stored};
use super::content::open_content;
use super::id::Id;
use super::order::{Dated, WalPosition};
use super::verdict::parse_verdict;
use crate::format::codec::Codec;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::io::Read;
use std::path::Path;
use toban_core::cli::parse_name;
use toban_core::repo::backups::LARGEST_MANIFEST;
use toban_core::repo::cluster;
use toban_core::repo::keys::System;
use toban_core::repo::recovery_path::BackupRange;
use toban_core::repo::sealed::{read_sealed, write_sealed};
use toban_core::repo::{Repo, Repos};
use toban_core::stamp::{parse_stamp, stamp_micros};
use toban_core::store::{Key, Object, Store};
use toban_core::sum::Sum;
use toban_core::wal::{Lsn, Segment, Timeline, WalName};
use toban_core::{Context, Error, Result};

/// Bytes of the largest intent.
pub(crate) const LARGEST: u64 = 64 << 10;
const INDEX: &str = "files.jsonl.zst";
const DIGESTS: &str = "digests.zst";
const MANIFEST: &str = "backup.json";
/// Where pg_control lies in a data directory.
pub(crate) const PG_CONTROL: &str = "global/pg_control";
/// The folder of a backup that holds configuration from outside the data directory.
pub(crate) const CONF_FOLDER: &str = "conf";
/// Files outside the folder of postgresql.conf, by their full path.
const ELSEWHERE: &str = "elsewhere";

/// A pack that a backup uses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PackSum {
    /// Its number, which is in its name, and which no other pack that a backup names has.
    pub(crate) number: u32,
    /// The backup whose run wrote it and in whose folder it lies; none: the backup that names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) of: Option<Id>,
    #[serde(flatten)]
    pub(crate) sum: Sum,
}

/// An object with the digests of the blocks that lie in one backup's packs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DigestSum {
    /// The backup whose packs they are, and in whose folder it lies; none: the backup that names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) of: Option<Id>,
    #[serde(flatten)]
    pub(crate) sum: Sum,
}

/// What a backup that shares packs with earlier ones was built on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BuiltOn {
    /// The backup that its files were compared with.
    pub(crate) id: Id,
    /// The last backup that stored everything.
    pub(crate) full: Id,
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

/// Configuration from outside the data directory: the names, below the folder, of the three files that the server uses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Conf {
    /// The folder of the backup that holds them: `conf`.
    #[serde(default = "usual_folder")]
    pub(crate) folder: String,
    pub(crate) config_file: Option<String>,
    pub(crate) hba_file: Option<String>,
    pub(crate) ident_file: Option<String>,
    /// The folder that postgresql.conf was in: what is included by a full path below it came along.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) base: Option<String>,
}

impl Default for Conf {
    fn default() -> Conf {
        Conf { folder: usual_folder(), config_file: None, hba_file: None, ident_file: None, base: None }
    }
}

impl Conf {
    /// What of the backup's files lies in the folder, by its name there.
    pub(crate) fn name_below<'n>(&self, name: &'n str) -> Option<&'n str> {
        name.strip_prefix(self.folder.as_str())?.strip_prefix('/')
    }

    /// Where the backup has a file or folder that was included by its full path.
    pub(crate) fn name_of(&self, path: &Path) -> Option<String> {
        path.is_absolute().then(|| conf_name(path, self.base.as_deref().map(Path::new)))
    }

    pub(crate) fn is_empty(&self) -> bool {
        *self == Conf::default()
    }
}

fn usual_folder() -> String {
    CONF_FOLDER.into()
}

/// The name of a file of the configuration in a backup: relative to postgresql.conf where it lies below its folder.
pub(crate) fn conf_name(path: &Path, base: Option<&Path>) -> String {
    let below = base.and_then(|b| path.strip_prefix(b).ok());
    let elsewhere = || Path::new(ELSEWHERE).join(path.strip_prefix("/").unwrap_or(path));
    below.map_or_else(elsewhere, Path::to_path_buf).to_string_lossy().into_owned()
}

/// What a manifest says of the server and its machine, which nobody without a key need know: where content is encrypted it
/// is an object of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ServerFacts {
    damaged: Vec<String>,
    tablespaces: Vec<Tablespace>,
    owner: Owner,
    data_dir: String,
    conf: Conf,
    host: Host,
}

/// The manifest of one physical backup.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct BackupManifest {
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
    /// Names of those whom packs and index are encrypted to; empty: they are stored as they are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) recipients: Vec<String>,
    /// The object with its [`ServerFacts`], as stored; none: they are here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) server: Option<Sum>,
    /// In the order of their numbers.
    pub(crate) packs: Vec<PackSum>,
    /// None where it stored everything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) built_on: Option<BuiltOn>,
    /// The index, as stored.
    pub(crate) index: Sum,
    /// The digests of the blocks in its packs; none in backups of before they were stored.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) digests: Vec<DigestSum>,
    /// Whether page checksums were compared.
    pub(crate) checksums: bool,
    /// Whether the server summarized its WAL; none before PostgreSQL 17, and in older backups.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) summarize_wal: Option<bool>,
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

impl BackupManifest {
    /// The system it is of.
    pub(crate) fn system(&self) -> Result<System> {
        let bad = |e| Error::corrupt(format!("backup {}: bad system identifier", self.id)).because(e);
        let identifier = self.system_identifier.parse().map_err(bad)?;
        // Keys are made of it: what no key can have must not get there.
        let cluster = parse_name(&self.cluster)
            .map_err(|e| Error::corrupt(format!("backup {}: cluster {:?}: {e}", self.id, self.cluster)))?;
        Ok(System { cluster, identifier })
    }

    /// Whether it is of this system.
    pub(crate) fn is_of(&self, system: &System) -> bool {
        self.system().is_ok_and(|own| own == *system)
    }

    /// Seconds it took.
    pub(crate) fn seconds(&self) -> f64 {
        self.finished.duration_since(self.started).as_secs_f64()
    }

    /// What it brings along to recovery.
    pub(crate) fn wal_range(&self) -> BackupRange {
        BackupRange { timeline: self.timeline, stop: self.stop_lsn, whole: !self.standby }
    }

    /// Takes out what nobody without a key need know.
    pub(crate) fn take_facts(&mut self) -> ServerFacts {
        use std::mem::take;
        ServerFacts {
            damaged: take(&mut self.damage.first),
            tablespaces: take(&mut self.tablespaces),
            owner: take(&mut self.owner),
            data_dir: take(&mut self.data_dir),
            conf: take(&mut self.conf),
            host: take(&mut self.host),
        }
    }

    fn put_facts(&mut self, facts: ServerFacts) {
        self.damage.first = facts.damaged;
        (self.tablespaces, self.owner, self.data_dir) = (facts.tablespaces, facts.owner, facts.data_dir);
        (self.conf, self.host) = (facts.conf, facts.host);
    }

    /// The object that holds the content `key`.
    pub(crate) fn stored_key(&self, key: Key) -> Result<Key> {
        if self.recipients.is_empty() { Ok(key) } else { key.encrypted() }
    }

    /// The key of the content of one of its packs.
    pub(crate) fn pack_key(&self, pack: &PackSum) -> Result<Key> {
        Ok(pack_key(&self.system()?, pack.of.as_ref().unwrap_or(&self.id), pack.number, self.codec))
    }

    /// The pack of this number.
    pub(crate) fn pack(&self, number: u32) -> Option<&PackSum> {
        // They are in the order of their numbers.
        self.packs.binary_search_by_key(&number, |pack| pack.number).ok().map(|i| &self.packs[i])
    }

    /// The key of the content of its index.
    pub(crate) fn index_key(&self) -> Result<Key> {
        Ok(index_key(&self.system()?, &self.id))
    }

    /// The key of an object of digests.
    pub(crate) fn digests_key(&self, digests: &DigestSum) -> Result<Key> {
        Ok(digests_key(&self.system()?, digests.of.as_ref().unwrap_or(&self.id)))
    }

    /// Bytes of its object.
    ///
    /// # Errors
    /// When it would be too large for a reader.
    pub(crate) fn to_json(&self) -> Result<Vec<u8>> {
        let json = write_sealed(self)?;
        if json.len() as u64 > LARGEST_MANIFEST {
            return Err(Error::failed(format!("the manifest of {} would be {} bytes", self.id, json.len())));
        }
        Ok(json)
    }
}

impl Manifest for BackupManifest {
    type Series = System;

    /// What lies in the folders of backups: below the same root there may be millions of WAL segments.
    fn list_objects(repo: &Repo, cluster: &str) -> Result<Vec<(Named<System>, Object)>> {
        let mut objects = Vec::new();
        for system in System::all(&*repo.store, cluster)? {
            for folder in FOLDERS {
                let listed = repo.store.list(&format!("{}{folder}/", system.root()))?;
                objects.extend(listed.into_iter().filter_map(|o| Some((parse_key(cluster, &o.key)?, o))));
            }
        }
        Ok(objects)
    }

    fn read(store: &dyn Store, key: &Key) -> Result<Option<BackupManifest>> {
        read_sealed(store, key, LARGEST_MANIFEST)
    }

    fn id(&self) -> &Id {
        &self.id
    }

    fn series(&self) -> Result<System> {
        self.system()
    }

    fn dated(&self) -> Dated {
        let system = self.system_identifier.parse().unwrap_or_default();
        let position = WalPosition { system, timeline: self.timeline, lsn: self.start_lsn };
        Dated { at: self.started, server: None, position: Some(position) }
    }

    fn recipients(&self) -> &[String] {
        &self.recipients
    }

    fn objects(&self) -> Result<Vec<(Key, Sum)>> {
        let stored = |key: Result<Key>, sum: &Sum| Ok((self.stored_key(key?)?, sum.clone()));
        let packs = self.packs.iter().map(|pack| stored(self.pack_key(pack), &pack.sum));
        let digests = self.digests.iter().map(|d| stored(self.digests_key(d), &d.sum));
        let facts = self.server.iter().map(|sum| stored(Ok(facts_key(&self.system()?, &self.id)), sum));
        let index = std::iter::once(stored(self.index_key(), &self.index));
        index.chain(packs).chain(digests).chain(facts).collect()
    }

    /// The system's facts, the archived WAL between its start and its end, and the history of its timeline. What was archived
    /// later was locked later, and what was archived before is needed by none of its moments.
    fn beside(&self) -> Result<Vec<Key>> {
        let system = self.system()?;
        let holding = |lsn| Segment::holding_lsn(lsn, self.timeline, self.wal_segment_size);
        let (first, last) = (holding(self.start_lsn), holding(self.stop_lsn));
        let segments = (first.number..=last.number).map(|number| WalName::from(Segment { number, ..first }));
        let history = (self.timeline.0 > 1).then_some(WalName::History(self.timeline));
        let names = segments.chain(history).map(|name| system.key(&name.path()));
        Ok(std::iter::once(system.key(cluster::NAME)).chain(names).collect())
    }

    fn manifest_key(&self) -> Result<Key> {
        Ok(manifest_key(&self.system()?, &self.id))
    }

    fn verdict_key(&self, whole: bool, at: Timestamp) -> Result<Key> {
        Ok(note_key(&self.system()?, if whole { PROOF } else { DAMAGE }, &self.id, at))
    }

    fn note_key(&self, note: Note, at: Timestamp) -> Result<Key> {
        let folder = if note == Note::Pin { PIN } else { MARK };
        Ok(note_key(&self.system()?, folder, &self.id, at))
    }

    /// By system identifier, timeline and position: never by a clock.
    fn compare(a: &StoredBackup, b: &StoredBackup) -> Ordering {
        let key = |s: &StoredBackup| s.manifest.dated().position;
        key(a).cmp(&key(b)).then_with(|| a.manifest.id.cmp(&b.manifest.id))
    }

    fn stored_bytes(&self) -> u64 {
        let packs = self.packs.iter().filter(|p| p.of.is_none()).map(|p| p.sum.bytes);
        let digests = self.digests.iter().filter(|d| d.of.is_none()).map(|d| d.sum.bytes);
        let facts = self.server.iter().map(|sum| sum.bytes);
        packs.chain(digests).chain(facts).sum::<u64>() + self.index.bytes
    }

    /// Bytes of the cluster: what is stored depends on what changed.
    fn comparable_size(&self) -> (String, u64) {
        (self.system_identifier.clone(), self.bytes)
    }
}

/// The folders below a system's root that hold what backups are made of, in the order in which they are listed: a run
/// writes its manifest before it removes its intent, and a prune its mark before it removes a manifest. So what goes
/// out of one folder while the lists are made is in the next.
const FOLDERS: [&str; 6] = ["intent", "backup", MARK, PROOF, DAMAGE, PIN];
const MARK: &str = "mark";
const PIN: &str = "pin";
const PROOF: &str = "proof";
const DAMAGE: &str = "damage";

/// The key of the manifest of backup `id`.
pub(crate) fn manifest_key(system: &System, id: &Id) -> Key {
    system.key(&format!("backup/{id}/{MANIFEST}"))
}

/// The key of the index of backup `id`.
pub(crate) fn index_key(system: &System, id: &Id) -> Key {
    system.key(&format!("backup/{id}/{INDEX}"))
}

/// The key of the content of the digests of the blocks that the run of backup `id` stored.
pub(crate) fn digests_key(system: &System, id: &Id) -> Key {
    system.key(&format!("backup/{id}/{DIGESTS}"))
}

/// The key of the content of [`ServerFacts`].
pub(crate) fn facts_key(system: &System, id: &Id) -> Key {
    system.key(&format!("backup/{id}/server"))
}

/// The key of the pack of this number.
pub(crate) fn pack_key(system: &System, id: &Id, number: u32, codec: Codec) -> Key {
    system.key(&format!("backup/{id}/pack/{number:05}.{}", codec.suffix()))
}

/// The key of the intent of a run.
pub(crate) fn intent_key(system: &System, id: &Id) -> Key {
    system.key(&format!("intent/{id}.json"))
}

/// The key of the mark that `prune` sets at a time on what has no manifest.
pub(crate) fn mark_key(system: &System, id: &Id, at: Timestamp) -> Key {
    note_key(system, MARK, id, at)
}

/// To the microsecond: two marks, pins or verdicts of one second are two.
fn note_key(system: &System, folder: &str, id: &Id, at: Timestamp) -> Key {
    system.key(&format!("{folder}/{id}.{}.json", stamp_micros(at)))
}

/// Takes a key apart; `None` for what is none of a backup's.
fn parse_key(cluster: &str, key: &Key) -> Option<Named<System>> {
    let (system, name) = System::parse(cluster, key)?;
    let (folder, rest) = name.split_once('/')?;
    let (id, suffix) = rest.split_once(if folder == "backup" { '/' } else { '.' })?;
    let at = || parse_stamp(suffix.strip_suffix(".json")?);
    let part = match folder {
        "backup" if suffix == MANIFEST => Part::Manifest,
        "backup" => Part::Content(suffix.into()),
        "intent" => Part::Intent,
        MARK => Part::Mark(at()?),
        PIN => Part::Pin(at()?),
        PROOF | DAMAGE => parse_verdict(folder == PROOF, suffix)?,
        _ => return None,
    };
    Some(Named { series: system, id: id.parse().ok()?, part })
}

/// All physical backups of a cluster in one repository.
pub(crate) type BackupCatalog = Catalog<BackupManifest>;
/// A physical backup in a repository.
pub(crate) type StoredBackup = Stored<BackupManifest>;

/// The backup with all that its manifest says, some of which may be encrypted.
///
/// # Errors
/// Usage when it is encrypted and no identity that is given opens it, with the names of those who can.
pub(crate) fn unlock_backup(mut stored: StoredBackup) -> Result<StoredBackup> {
    let (backup, store) = (&mut stored.manifest, &stored.repo.store);
    let Some(sum) = backup.server.clone() else { return Ok(stored) };
    let Some(encryption) = store.encryption() else { return Ok(stored) };
    encryption.check_identity(&backup.recipients).doing(|| format!("read backup {}", backup.id))?;
    let key = backup.stored_key(facts_key(&backup.system()?, &backup.id))?;
    let mut json = Vec::new();
    let content = open_content(&**store, &key, &sum)?;
    content.take(LARGEST_MANIFEST).read_to_end(&mut json).doing(|| format!("read {key}"))?;
    let facts = serde_json::from_slice(&json);
    backup.put_facts(facts.map_err(|e| Error::corrupt(format!("{key} does not parse")).because(e))?);
    Ok(stored)
}

/// Finds one backup: by its ID, from the first repository that has it; or for `latest` the newest that any of them
/// has.
///
/// # Errors
/// Usage when there is none, or `latest` could be of two systems.
pub(crate) fn find_backup(repos: &Repos, cluster: &str, id: &str) -> Result<StoredBackup> {
    let found = find_stored(repos, cluster, id, |backups| pick_backup(backups, id))?;
    found.ok_or_else(|| {
        let e = Error::usage(format!("no backup {id} of cluster {cluster} in {}", repos.names()));
        e.hint("`pg-backup list` shows what there is")
    })
}

fn pick_backup(mut backups: Vec<StoredBackup>, id: &str) -> Result<Option<StoredBackup>> {
    if id != LATEST {
        return Ok(backups.into_iter().find(|s| s.manifest.id.to_string() == id));
    }
    check_one_system(&backups)?;
    Ok(backups.pop())
}

/// Refuses backups of several systems.
pub(crate) fn check_one_system(backups: &[StoredBackup]) -> Result<()> {
    let systems: BTreeSet<&str> = backups.iter().map(|s| s.manifest.system_identifier.as_str()).collect();
    if systems.len() <= 1 {
        return Ok(());
    }
    let all: Vec<&str> = systems.into_iter().collect();
    let e = Error::usage(format!("the repository holds backups of several systems: {}", all.join(", ")));
    Err(e.hint("give the ID of the backup; `pg-backup list` shows them"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_apart_again() {
        let system = System { cluster: "main".into(), identifier: 7 };
        let id: Id = "20261121T030000Z-120034".parse().expect("an id");
        let at: Timestamp = "2026-11-21T04:00:00Z".parse().expect("a time");
        let part = |key: Key| {
            let named = parse_key("main", &key).expect("comes apart");
            assert_eq!((&named.series, &named.id), (&system, &id));
            named.part
        };
        let pack = pack_key(&system, &id, 3, Codec::Zstd);
        assert_eq!(part(pack), Part::Content("pack/00003.tar.zst".into()));
        assert_eq!(part(manifest_key(&system, &id)), Part::Manifest);
        assert_eq!(part(mark_key(&system, &id, at)), Part::Mark(at));
        let damage = note_key(&system, DAMAGE, &id, at);
        assert_eq!(part(damage), Part::Verdict { whole: false, at });
        let proof = format!("{}.sig", note_key(&system, PROOF, &id, at));
        assert_eq!(part(proof.parse().expect("a key")), Part::Signature(at));
        assert_eq!(part(intent_key(&system, &id)), Part::Intent);
        assert_eq!(parse_key("main", &system.key("cluster.json")), None);
    }

    #[test]
    fn names_of_configuration_are_below_its_folder() {
        let base = Path::new("/etc/postgresql/15/main");
        assert_eq!(conf_name(&base.join("conf.d/x.conf"), Some(base)), "conf.d/x.conf");
        assert_eq!(conf_name(Path::new("/etc/site.conf"), Some(base)), "elsewhere/etc/site.conf");
    }
}
