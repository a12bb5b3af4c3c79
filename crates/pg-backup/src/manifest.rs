//! What a dump is made of and how its objects are named (docs/FORMATS.md, "Dumps").
//!
//! `<cluster>/dump/<database>/<id>.json` is the commit point, written last: no manifest, no dump.

use crate::database::Properties;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use toban_core::store::{self, Key, Store};
use toban_core::sum::{self, Sum};
use toban_core::wal::{Lsn, Timeline};
use toban_core::{Context, Error, Result};

/// The format that this program writes; a reader refuses a newer one.
pub(crate) const FORMAT: u32 = 1;
/// Row counts live in a part of their own, so a manifest stays small whatever the number of tables.
const LARGEST: u64 = 1 << 20;

/// Names a dump by when it began, in UTC, to the microsecond: `20261121T030000Z-120034`. Ids sort by time; a clash
/// would be refused by the store.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct Id(String);

impl Id {
    /// The id of a dump that begins now.
    pub(crate) fn new(at: Timestamp) -> Id {
        Id(format!("{}-{:06}", at.strftime("%Y%m%dT%H%M%SZ"), at.subsec_microsecond()))
    }
}

impl FromStr for Id {
    type Err = Error;

    fn from_str(text: &str) -> Result<Id> {
        let digits = |r: std::ops::Range<usize>| text.as_bytes()[r].iter().all(u8::is_ascii_digit);
        let fits = text.len() == 23 && text.is_ascii() && digits(0..8) && digits(9..15) && digits(17..23);
        if fits && &text[8..9] == "T" && &text[15..17] == "Z-" {
            return Ok(Id(text.to_string()));
        }
        Err(Error::usage(format!("{text:?} is not the ID of a dump")).hint("`pg-backup list` shows the IDs"))
    }
}

impl TryFrom<String> for Id {
    type Error = Error;

    fn try_from(text: String) -> Result<Id> {
        text.parse()
    }
}

impl From<Id> for String {
    fn from(id: Id) -> String {
        id.0
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How the dump itself is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Form {
    /// pg_dump's custom format, for pg_restore.
    Custom,
    /// Plain SQL in gzip members, for `gunzip | psql`.
    Sql,
}

impl Form {
    /// The ending of the dump's name.
    pub(crate) fn suffix(self) -> &'static str {
        match self {
            Form::Custom => "dump",
            Form::Sql => "sql.gz",
        }
    }
}

/// Endings of the parts that go with a dump.
pub(crate) const GLOBALS: &str = "globals.sql.gz";
pub(crate) const ROWS: &str = "rows.jsonl.gz";

/// Label of the dump that `restore-dump --replace` takes of what it is about to replace.
pub(crate) const SAFETY: &str = "before-replace";

/// The manifest of one dump.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Manifest {
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
    pub(crate) form: Form,
    /// `pg_database_size` in bytes.
    pub(crate) database_bytes: u64,
    /// Tables whose rows were counted, and the rows of all together.
    pub(crate) tables: u64,
    pub(crate) rows: u64,
    /// Name, owner, encoding, locale, settings and grants of the database.
    pub(crate) database: Properties,
    /// The stored objects by the ending of their name, with size and checksum as stored.
    pub(crate) parts: BTreeMap<String, Sum>,
    /// Where the server was: what orders dumps whatever a clock says. None in dumps of programs before 2027.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) source: Option<Source>,
}

/// Where a server was when a dump's snapshot was taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Source {
    pub(crate) system_identifier: String,
    pub(crate) timeline: Timeline,
    pub(crate) lsn: Lsn,
    /// The server's own clock.
    pub(crate) server_time: Timestamp,
}

impl Manifest {
    /// Bytes stored in a repository, without the manifest.
    pub(crate) fn stored_bytes(&self) -> u64 {
        self.parts.values().map(|p| p.bytes).sum()
    }

    /// Whether a restore took it of what it replaced: most likely the very state somebody wants to be rid of, so it
    /// never stands for the nightly ones.
    pub(crate) fn is_safety(&self) -> bool {
        self.label.as_deref() == Some(SAFETY)
    }

    /// Seconds the dump took.
    pub(crate) fn seconds(&self) -> f64 {
        self.finished.duration_since(self.started).as_secs_f64()
    }

    /// The object that holds the dump itself, and its sum.
    ///
    /// # Errors
    /// Corrupt when the manifest does not name it.
    pub(crate) fn body(&self) -> Result<&Sum> {
        let missing =
            || Error::corrupt(format!("the manifest of {} names no .{}", self.id, self.form.suffix()));
        self.parts.get(self.form.suffix()).ok_or_else(missing)
    }

    /// The key of the part with this ending.
    ///
    /// # Errors
    /// Never for a part that the manifest names.
    pub(crate) fn key(&self, suffix: &str) -> Result<Key> {
        key(&self.cluster, &self.database.name, &self.id, suffix)
    }

    /// Bytes of the manifest's object.
    pub(crate) fn to_json(&self) -> Result<Vec<u8>> {
        let json =
            serde_json::to_string_pretty(self).doing(|| format!("write the manifest of {}", self.id))?;
        Ok(seal(&format!("{json}\n")).into_bytes())
    }

    /// Reads the manifest at `key`.
    ///
    /// # Errors
    /// Corrupt when it does not parse; Usage when a newer program wrote it.
    pub(crate) fn read(store: &dyn Store, key: &Key) -> Result<Option<Manifest>> {
        #[derive(Deserialize)]
        struct Version {
            format: u32,
        }
        let Some(json) = read_sealed(store, key, LARGEST)? else { return Ok(None) };
        let damaged = |e| Error::corrupt(format!("{key} is not a manifest")).because(e);
        let Version { format } = serde_json::from_slice(&json).map_err(damaged)?;
        if format > FORMAT {
            let e = Error::usage(format!("{key} has format {format}; this program reads up to {FORMAT}"));
            return Err(e.hint("use a newer pg-backup"));
        }
        serde_json::from_slice(&json).map(Some).map_err(damaged)
    }
}

/// Puts a sum of all that follows it into a JSON object, as its first member.
pub(crate) fn seal(json: &str) -> String {
    let rest = json.trim_start_matches('{');
    format!("{{\n  \"sha256\": \"{}\",{rest}", sum::hex(&sum::sha256(rest.as_bytes())))
}

/// The bytes of a manifest at `key` that holds the sum of itself; `None` when it is not there.
///
/// # Errors
/// Corrupt when the sum is another one, or none.
pub(crate) fn read_sealed(store: &dyn Store, key: &Key, limit: u64) -> Result<Option<Vec<u8>>> {
    let Some(json) = store::read_small(store, key, limit)? else { return Ok(None) };
    if is_sealed(&json) {
        return Ok(Some(json));
    }
    Err(Error::corrupt(format!("{key} is damaged: it does not match its own sum")))
}

fn is_sealed(json: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(json) else { return false };
    let parts = text.strip_prefix("{\n  \"sha256\": \"").and_then(|t| t.split_once("\","));
    parts.is_some_and(|(seen, rest)| seen == sum::hex(&sum::sha256(rest.as_bytes())))
}

/// The key of one object of a dump.
///
/// # Errors
/// Usage for names that no object can have.
pub(crate) fn key(cluster: &str, database: &str, id: &Id, suffix: &str) -> Result<Key> {
    format!("{}{id}.{suffix}", folder(cluster, database)).parse()
}

/// What the keys of a database's dumps begin with.
pub(crate) fn folder(cluster: &str, database: &str) -> String {
    format!("{}{}/", root(cluster), encode(database))
}

/// What the keys of all of a cluster's dumps begin with.
pub(crate) fn root(cluster: &str) -> String {
    format!("{cluster}/dump/")
}

/// A database's name as a segment of a key: letters, digits, `_` and `-` stay, other bytes are `%XX`.
pub(crate) fn encode(name: &str) -> String {
    let byte = |b: u8| match b {
        b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'_' | b'-' => char::from(b).to_string(),
        _ => format!("%{b:02X}"),
    };
    name.bytes().map(byte).collect()
}

/// One object of a dump, as its key tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Named {
    /// The database's segment of the key, encoded.
    pub(crate) database: String,
    pub(crate) id: Id,
    /// `json`, `dump`, `sql.gz`, `globals.sql.gz`, `rows.jsonl.gz`, `proof.<time>.json`.
    pub(crate) suffix: String,
}

/// Takes a key below [`root`] apart; `None` for what no dump has.
pub(crate) fn parse(cluster: &str, key: &Key) -> Option<Named> {
    let (database, name) = key.as_str().strip_prefix(&root(cluster))?.split_once('/')?;
    let (id, suffix) = name.split_once('.')?;
    Some(Named { database: database.into(), id: id.parse().ok()?, suffix: suffix.into() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ids_sort_by_time_and_only_ids_parse() {
        let at = |us| Timestamp::from_microsecond(us).expect("in range");
        assert_eq!(Id::new(at(1_795_316_400_000_042)).to_string(), "20261122T030000Z-000042");
        assert!(Id::new(at(100_999_999)) < Id::new(at(101_000_000)));
        for bad in
            ["", "20261121T030000Z-12345", "20261121T030000Z1234567", "2026-11-21", "20261121T030000Z-1234é"]
        {
            assert!(bad.parse::<Id>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_sealed_text_shows_every_flipped_bit() {
        let sealed = seal("{\n  \"a\": 1\n}\n");
        assert!(is_sealed(sealed.as_bytes()) && sealed.ends_with("\",\n  \"a\": 1\n}\n"), "{sealed}");
        for bit in 0..sealed.len() * 8 {
            let mut flipped = sealed.clone().into_bytes();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(!is_sealed(&flipped), "bit {bit}");
        }
    }

    proptest! {
        #[test]
        fn any_database_name_makes_a_key_that_comes_apart_again(name in "\\PC{1,15}") {
            let id: Id = "20261121T030000Z-120034".parse().expect("an id");
            let key = key("main", &name, &id, GLOBALS).expect("a key");
            let named = parse("main", &key).expect("comes apart");
            prop_assert_eq!((named.database, named.id, named.suffix), (encode(&name), id, GLOBALS.to_string()));
        }
    }
}
