//! What a dump is made of and how its objects are named (docs/FORMATS.md, "Dumps").
//!
//! `<cluster>/dump/<database>/<id>.json` is the commit point, written last: no manifest, no dump.

use super::catalog::{Catalog, LATEST, Manifest, Named, Note, Part, Stored, find_stored};
use super::content::open_content;
use super::id::Id;
use super::order::{Dated, Taken, WalPosition};
use super::pseudonym::{find_name, is_pseudonym};
use super::verdict::parse_verdict;
use crate::database::Properties;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::io::Read;
use toban_core::repo::sealed::read_sealed;
use toban_core::repo::{Repo, Repos};
use toban_core::stamp::{parse_stamp, stamp_micros};
use toban_core::store::{Key, Object, Store};
use toban_core::sum::Sum;
use toban_core::wal::{Lsn, Timeline};
use toban_core::{Context, Error, Result};

/// Row counts live in a part of their own, so a manifest stays small whatever the number of tables.
const LARGEST: u64 = 1 << 20;

/// How the dump itself is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum DumpForm {
    /// pg_dump's custom format, for pg_restore.
    Custom,
    /// Plain SQL in gzip members, for `gunzip | psql`.
    Sql,
}

impl DumpForm {
    /// The ending of the dump's name.
    pub(crate) fn suffix(self) -> &'static str {
        match self {
            DumpForm::Custom => "dump",
            DumpForm::Sql => "sql.gz",
        }
    }
}

/// Endings of the parts that go with a dump.
pub(crate) const GLOBALS: &str = "globals.sql.gz";
pub(crate) const ROWS: &str = "rows.jsonl.gz";
/// Of an encrypted dump: what else the database is, as the manifest of another dump has it.
pub(crate) const PROPERTIES: &str = "properties";
/// The ending of the manifest.
pub(crate) const MANIFEST: &str = "json";

/// Label of the dump that `restore-dump --replace` takes of what it is about to replace.
pub(crate) const SAFETY: &str = "before-replace";

/// The manifest of one dump.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct DumpManifest {
    /// Version of the format.
    pub(crate) format: u32,
    pub(crate) id: Id,
    pub(crate) cluster: String,
    pub(crate) label: Option<String>,
    /// When the dump's snapshot was about to be taken, and when the last byte was stored.
    pub(crate) started: Timestamp,
    pub(crate) finished: Timestamp,
    /// `server_version`, as 15.18.
    pub(crate) server_version: String,
    /// `server_version_num` / 10000.
    pub(crate) major: u32,
    /// The pg_dump that was used, as 15.18.
    pub(crate) pg_dump: String,
    pub(crate) form: DumpForm,
    /// `pg_database_size` in bytes.
    pub(crate) database_bytes: u64,
    /// Tables whose rows were counted, and the rows of all together.
    pub(crate) tables: u64,
    pub(crate) rows: u64,
    /// Name, owner, encoding, locale, settings and grants of the database.
    pub(crate) database: Properties,
    /// What stands for the database's name in keys and in the manifest for everybody, where that is hidden.
    #[serde(skip)]
    pub(crate) pseudonym: Option<String>,
    /// Names of those whom the parts are encrypted to; empty: they are stored as they are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) recipients: Vec<String>,
    /// The stored objects by the ending of their name, with size and checksum as stored.
    pub(crate) parts: BTreeMap<String, Sum>,
    /// Where the server was: what orders dumps whatever a clock says. None in dumps of programs before 2027.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) source: Option<ServerPosition>,
}

/// Where a server was when a dump's snapshot was taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ServerPosition {
    pub(crate) system_identifier: String,
    pub(crate) timeline: Timeline,
    pub(crate) lsn: Lsn,
    /// The server's own clock.
    pub(crate) server_time: Timestamp,
}

impl DumpManifest {
    /// Whether a restore took it of what it replaced: most likely the very state that is to be replaced, so it never
    /// stands for the nightly ones.
    pub(crate) fn is_safety(&self) -> bool {
        self.label.as_deref() == Some(SAFETY)
    }

    /// Seconds the dump took.
    pub(crate) fn seconds(&self) -> f64 {
        self.finished.duration_since(self.started).as_secs_f64()
    }

    /// The sum of the dump itself.
    ///
    /// # Errors
    /// Corrupt when the manifest does not name it.
    pub(crate) fn body_sum(&self) -> Result<&Sum> {
        let missing =
            || Error::corrupt(format!("the manifest of {} names no .{}", self.id, self.form.suffix()));
        self.parts.get(self.form.suffix()).ok_or_else(missing)
    }

    /// The key of the part with this ending.
    pub(crate) fn key(&self, suffix: &str) -> Result<Key> {
        part_key(&self.cluster, self.public_name(), &self.id, suffix)
    }

    /// The name of the database as everybody may read it.
    fn public_name(&self) -> &str {
        self.pseudonym.as_ref().unwrap_or(&self.database.name)
    }

    /// The same with what the database is, of which everybody may read the name alone, or a pseudonym.
    fn with_database(self, database: Properties) -> DumpManifest {
        let pseudonym = is_pseudonym(self.public_name()).then(|| self.public_name().to_string());
        DumpManifest { database, pseudonym, ..self }
    }

    /// The object that holds the part with this ending.
    pub(crate) fn stored_key(&self, suffix: &str) -> Result<Key> {
        let key = self.key(suffix)?;
        if self.recipients.is_empty() || key.is_plain() { Ok(key) } else { key.encrypted() }
    }

    /// The manifest for everybody: where the parts are encrypted, of the database only the name, since the rest is one of
    /// them.
    pub(crate) fn to_public(&self) -> DumpManifest {
        let mut public = self.clone();
        if !self.recipients.is_empty() {
            public.database = Properties { name: self.public_name().into(), ..Properties::default() };
        }
        public
    }

    fn position(&self) -> Option<WalPosition> {
        let source = self.source.as_ref()?;
        let system = source.system_identifier.parse().ok()?;
        Some(WalPosition { system, timeline: source.timeline, lsn: source.lsn })
    }
}

impl Manifest for DumpManifest {
    /// The database's name as a segment of a key.
    type Series = String;

    fn list_objects(repo: &Repo, cluster: &str) -> Result<Vec<(Named<String>, Object)>> {
        let listed = repo.store.list(&dump_root(cluster))?;
        Ok(listed.into_iter().filter_map(|o| parse_key(cluster, &o.key).map(|named| (named, o))).collect())
    }

    fn read(store: &dyn Store, key: &Key) -> Result<Option<DumpManifest>> {
        let Some(manifest) = read_sealed::<DumpManifest>(store, key, LARGEST)? else { return Ok(None) };
        Ok(Some(match find_name(&manifest.database.name).cloned() {
            Some(name) => manifest.with_database(Properties { name, ..Properties::default() }),
            None => manifest,
        }))
    }

    fn id(&self) -> &Id {
        &self.id
    }

    fn series(&self) -> Result<String> {
        Ok(encode_name(self.public_name()))
    }

    fn dated(&self) -> Dated {
        let server = self.source.as_ref().map(|s| s.server_time);
        Dated { at: self.started, server, position: self.position() }
    }

    fn recipients(&self) -> &[String] {
        &self.recipients
    }

    fn objects(&self) -> Result<Vec<(Key, Sum)>> {
        self.parts.iter().map(|(suffix, sum)| Ok((self.stored_key(suffix)?, sum.clone()))).collect()
    }

    fn manifest_key(&self) -> Result<Key> {
        self.key(MANIFEST)
    }

    fn verdict_key(&self, whole: bool, at: Timestamp) -> Result<Key> {
        let verdict = if whole { "proof" } else { "damage" };
        self.key(&format!("{verdict}.{}.json", stamp_micros(at)))
    }

    fn note_key(&self, note: Note, at: Timestamp) -> Result<Key> {
        let note = if note == Note::Pin { "pin" } else { "mark" };
        self.key(&format!("{note}.{}.json", stamp_micros(at)))
    }

    /// By time, and of one time by position.
    fn compare(a: &Stored<DumpManifest>, b: &Stored<DumpManifest>) -> Ordering {
        let key = |s: &Stored<DumpManifest>| (s.taken, s.manifest.position());
        let name = |s: &Stored<DumpManifest>| (s.manifest.id.clone(), s.manifest.database.name.clone());
        key(a).cmp(&key(b)).then_with(|| name(a).cmp(&name(b)))
    }

    fn stored_bytes(&self) -> u64 {
        self.parts.values().map(|p| p.bytes).sum()
    }

    fn comparable_size(&self) -> (String, u64) {
        (self.form.suffix().into(), self.stored_bytes())
    }
}

/// The key of one object of a dump.
///
/// # Errors
/// Usage for names that no object can have.
pub(crate) fn part_key(cluster: &str, database: &str, id: &Id, suffix: &str) -> Result<Key> {
    format!("{}{}/{id}.{suffix}", dump_root(cluster), encode_name(database)).parse()
}

/// What the keys of all of a cluster's dumps begin with.
fn dump_root(cluster: &str) -> String {
    format!("{cluster}/dump/")
}

/// A database's name as a segment of a key: letters, digits, `_` and `-` stay, other bytes are `%XX`.
fn encode_name(name: &str) -> String {
    let byte = |b: u8| match b {
        b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'_' | b'-' => char::from(b).to_string(),
        _ => format!("%{b:02X}"),
    };
    name.bytes().map(byte).collect()
}

/// Takes a key below [`dump_root`] apart; `None` for what no dump has.
fn parse_key(cluster: &str, key: &Key) -> Option<Named<String>> {
    let (database, name) = key.as_str().strip_prefix(&dump_root(cluster))?.split_once('/')?;
    let (id, suffix) = name.split_once('.')?;
    Some(Named { series: database.into(), id: id.parse().ok()?, part: parse_suffix(suffix) })
}

/// `json`, `dump`, `sql.gz`, `globals.sql.gz`, `rows.jsonl.gz`, and a word and a time in front of `.json`: `proof`, `damage`, `mark`,
/// `pin`; of the first two also `.json.sig`.
fn parse_suffix(suffix: &str) -> Part {
    let time = |end: &str| parse_stamp(end.strip_suffix(".json")?);
    let note = suffix.split_once('.').and_then(|(word, end)| match word {
        "proof" | "damage" => parse_verdict(word == "proof", end),
        "mark" => time(end).map(Part::Mark),
        "pin" => time(end).map(Part::Pin),
        _ => None,
    });
    match suffix {
        MANIFEST => Part::Manifest,
        _ => note.unwrap_or_else(|| Part::Content(suffix.into())),
    }
}

/// All dumps of a cluster in one repository.
pub(crate) type DumpCatalog = Catalog<DumpManifest>;
/// A dump in a repository.
pub(crate) type StoredDump = Stored<DumpManifest>;

/// The dump with all that its manifest says, some of which may be encrypted.
///
/// # Errors
/// Usage when it is encrypted and no identity that is given opens it, with the names of those who can.
pub(crate) fn unlock_dump(stored: StoredDump) -> Result<StoredDump> {
    let (dump, store) = (&stored.manifest, &stored.repo.store);
    let Some(encryption) = store.encryption().filter(|_| !dump.recipients.is_empty()) else {
        return Ok(stored);
    };
    encryption.check_identity(&dump.recipients).doing(|| format!("read dump {}", dump.id))?;
    let Some(sum) = dump.parts.get(PROPERTIES) else { return Ok(stored) };
    let key = dump.stored_key(PROPERTIES)?;
    let mut json = Vec::new();
    let content = open_content(&**store, &key, sum)?;
    content.take(LARGEST).read_to_end(&mut json).doing(|| format!("read {key}"))?;
    let read = serde_json::from_slice(&json);
    let database = read.map_err(|e| Error::corrupt(format!("{key} does not parse")).because(e))?;
    let manifest = stored.manifest.clone().with_database(database);
    Ok(Stored { manifest, ..stored })
}

/// Finds out the names behind pseudonyms, one dump of each, as far as an identity that is given opens them.
fn reveal_names(dumps: Vec<StoredDump>) -> Vec<StoredDump> {
    let mut names: BTreeMap<String, Option<String>> = BTreeMap::new();
    let reveal = |stored: StoredDump| {
        let public = stored.manifest.database.name.clone();
        let unlock = || Some(unlock_dump(stored.clone()).ok()?.manifest.database.name);
        match is_pseudonym(&public).then(|| names.entry(public).or_insert_with(unlock).clone()).flatten() {
            Some(name) => {
                let database = Properties { name, ..stored.manifest.database.clone() };
                Stored { manifest: stored.manifest.clone().with_database(database), ..stored }
            }
            None => stored,
        }
    };
    dumps.into_iter().map(reveal).collect()
}

/// Finds one dump: by `id`, from the first repository that has it; or for `latest` the newest that any of them has,
/// safety dumps aside. Of database `of` where that is needed to tell.
///
/// # Errors
/// Usage when there is none or more than one.
pub(crate) fn find_dump(repos: &Repos, cluster: &str, id: &str, of: Option<&str>) -> Result<StoredDump> {
    let found = find_stored(repos, cluster, id, |dumps| pick_dump(reveal_names(dumps), id, of))?;
    found.ok_or_else(|| {
        let of = of.map(|d| format!(" of database {d:?}")).unwrap_or_default();
        let e = Error::usage(format!("no dump {id}{of} of cluster {cluster} in {}", repos.names()));
        e.hint("`pg-backup list` shows what there is; --of DATABASE names another one's")
    })
}

fn pick_dump(dumps: Vec<StoredDump>, id: &str, of: Option<&str>) -> Result<Option<StoredDump>> {
    let wanted = |s: &StoredDump| {
        let m = &s.manifest;
        let meant = if id == LATEST { !m.is_safety() } else { m.id.to_string() == id };
        meant && of.is_none_or(|d| d == m.database.name)
    };
    let fit: Vec<StoredDump> = dumps.into_iter().filter(wanted).collect();
    let mut names: Vec<&str> = fit.iter().map(|s| s.manifest.database.name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    if names.len() > 1 {
        let e = Error::usage(format!("{id} is one dump of each of {}", names.join(", ")));
        return Err(e.hint("say which with --of DATABASE"));
    }
    let picked = fit.into_iter().next_back();
    if let Some(s) = picked.as_ref().filter(|s| s.taken == Taken::Unknown) {
        log::warn!(
            "{} is dated in the future: a clock was wrong, and when it was taken is not known",
            s.manifest.id
        );
    }
    Ok(picked)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_name_of_a_verdict_tells_its_time() {
        let at: Timestamp = "2026-11-21T03:00:00Z".parse().expect("a time");
        let verdict = |word: &str| parse_suffix(&format!("{word}.{}.json", stamp_micros(at)));
        assert_eq!(verdict("proof"), Part::Verdict { whole: true, at });
        assert_eq!(verdict("damage"), Part::Verdict { whole: false, at });
        assert_eq!(parse_suffix(&format!("proof.{}.json.sig", stamp_micros(at))), Part::Signature(at));
        assert_eq!(parse_suffix("json"), Part::Manifest);
        for other in ["proof.yesterday.json", "dump", "hope.20261121T030000Z.json"] {
            assert_eq!(parse_suffix(other), Part::Content(other.into()));
        }
    }

    proptest! {
        #[test]
        fn any_database_name_makes_a_key_that_comes_apart_again(name in "\\PC{1,15}") {
            let id: Id = "20261121T030000Z-120034".parse().expect("an id");
            let key = part_key("main", &name, &id, GLOBALS).expect("a key");
            let named = parse_key("main", &key).expect("comes apart");
            prop_assert_eq!((named.series, named.id), (encode_name(&name), id));
            prop_assert_eq!(named.part, Part::Content(GLOBALS.into()));
        }
    }
}
