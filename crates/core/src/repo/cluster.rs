//! `cluster.json`: which server a repository belongs to; made by whoever writes first.

use super::keys::System;
use crate::error::{Context, Error, Result};
use crate::store::{Attrs, Key, Store, Stored, read_small};
use serde::{Deserialize, Serialize};

/// The version of the layout that this program writes; a reader refuses a newer one.
pub const FORMAT: u32 = 1;
/// The name of the object below its system's root.
pub const NAME: &str = "cluster.json";
/// Bytes of the largest.
pub const LARGEST: u64 = 64 << 10;

/// Facts of a PostgreSQL system that never change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cluster {
    /// Version of the layout.
    pub format: u32,
    /// PostgreSQL's system identifier, in decimals: larger than what JSON numbers hold everywhere.
    pub system_identifier: String,
    /// PostgreSQL's major version.
    pub major: u32,
    /// Bytes of a WAL segment.
    pub wal_segment_size: u64,
}

impl Cluster {
    /// Sees to it that the repository belongs to this system: compares with what is there, or writes it.
    ///
    /// # Errors
    /// Failed when the repository holds another system and `new_system` is not said, or another major.
    pub fn claim(&self, store: &dyn Store, system: &System, new_system: bool) -> Result<()> {
        let key = system.key(NAME);
        if let Some(there) = read(store, &key)? {
            return self.same(&there, &key);
        }
        // Only `stat` of the other systems' files: a folder without one is what a run left that did not come so far,
        // and must not keep the cluster from its repository.
        let others = others(store, system)?;
        if let Some(other) = others.first().filter(|_| !new_system) {
            let e = Error::failed(format!(
                "the repository holds cluster {} of system {other}; this server is system {}",
                system.cluster, system.identifier
            ));
            let remedy =
                "is it the right server? a cluster that was rebuilt or upgraded needs --new-system once";
            return Err(e.hint(remedy));
        }
        // Create-if-absent decides between two servers that come at the same moment: the one that finds the name taken
        // compares with what the other wrote.
        let json = serde_json::to_vec_pretty(self).doing(|| format!("write {key}"))?;
        match store.put(&key, &mut &json[..], &Attrs::new())? {
            Stored::New => Ok(()),
            Stored::Exists => read(store, &key)?.map_or(Ok(()), |there| self.same(&there, &key)),
        }
    }

    fn same(&self, there: &Cluster, key: &Key) -> Result<()> {
        if there == self {
            return Ok(());
        }
        Err(Error::failed(format!(
            "{key} is of PostgreSQL {} with WAL segments of {} bytes; this server is {} with {}",
            there.major, there.wal_segment_size, self.major, self.wal_segment_size
        )))
    }
}

/// What a repository knows of `system`; `None` when nobody has written there yet.
///
/// # Errors
/// Corrupt when it does not parse; Usage when a newer program wrote it.
pub fn of(store: &dyn Store, system: &System) -> Result<Option<Cluster>> {
    read(store, &system.key(NAME))
}

fn read(store: &dyn Store, key: &Key) -> Result<Option<Cluster>> {
    let Some(json) = read_small(store, key, LARGEST)? else { return Ok(None) };
    let damaged = |e| Error::corrupt(format!("{key} does not parse")).because(e);
    let there: Cluster = serde_json::from_slice(&json).map_err(damaged)?;
    if there.format > FORMAT {
        let e = Error::usage(format!("{key} has format {}; this program reads {FORMAT}", there.format));
        return Err(e.hint("use a newer version of toban"));
    }
    Ok(Some(there))
}

fn others(store: &dyn Store, system: &System) -> Result<Vec<u64>> {
    let mut others = Vec::new();
    for other in System::all(store, &system.cluster)?.into_iter().filter(|s| s != system) {
        if store.stat(&other.key(NAME))?.is_some() {
            others.push(other.identifier);
        }
    }
    Ok(others)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Dir;

    #[test]
    fn one_system_unless_told() {
        let dir = tempfile::tempdir().expect("a folder");
        let store = Dir::open(&dir.path().display().to_string()).expect("a store");
        let of = |identifier: u64, major| {
            let system = System { cluster: "main".into(), identifier };
            let wal_segment_size = 16 << 20;
            let id = identifier.to_string();
            (Cluster { format: FORMAT, system_identifier: id, major, wal_segment_size }, system)
        };
        let claim = |(cluster, system): (Cluster, System), new| cluster.claim(&store, &system, new);
        claim(of(7, 15), false).expect("the first");
        claim(of(7, 15), false).expect("the same again");
        assert!(claim(of(7, 16), false).expect_err("another major").chain().contains("PostgreSQL 15"));
        assert!(claim(of(8, 16), false).expect_err("another system").chain().contains("system 7"));
        claim(of(8, 16), true).expect("told so");
        claim(of(8, 16), false).expect("known now");
    }
}
