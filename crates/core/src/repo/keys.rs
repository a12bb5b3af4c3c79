//! Names of what a cluster's physical backups are made of (docs/FORMATS.md, "Physical backups").

use crate::error::Result;
use crate::store::{Key, Store};

/// What the names of one PostgreSQL system begin with; its identifier is in every one of them, so that two
/// clusters never mix.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct System {
    /// The cluster's name.
    pub cluster: String,
    /// PostgreSQL's system identifier.
    pub identifier: u64,
}

impl System {
    /// What its keys begin with.
    pub fn root(&self) -> String {
        format!("{}/{}/", self.cluster, self.identifier)
    }

    /// The object `name` below the root. The cluster's name was checked where it came from (the command line or a
    /// manifest), and `name` is one of ours: it is made of typed parts.
    pub fn key(&self, name: &str) -> Key {
        format!("{}{name}", self.root()).parse().expect("checked names make a key")
    }

    /// The systems that a store holds under this cluster's name, by what the names of its folders tell.
    ///
    /// # Errors
    /// When the store could not be asked.
    pub fn all(store: &dyn Store, cluster: &str) -> Result<Vec<System>> {
        let identifier = |name: String| number(&name);
        let found = store.folders(&format!("{cluster}/"))?.into_iter().filter_map(identifier);
        Ok(found.map(|identifier| System { cluster: cluster.into(), identifier }).collect())
    }

    /// Takes a key apart: the system, and the name below its root. `None` for what belongs to no system.
    pub fn parse<'k>(cluster: &str, key: &'k Key) -> Option<(System, &'k str)> {
        let rest = key.as_str().strip_prefix(cluster)?.strip_prefix('/')?;
        let (identifier, name) = rest.split_once('/')?;
        Some((System { cluster: cluster.into(), identifier: number(identifier)? }, name))
    }
}

/// Whether an object goes in the ordinary course of things: intents, marks and tails, and records of what was found, which
/// newer ones replace. No backup or dump needs it, and where objects are locked it is not (docs/FORMATS.md, "Locks").
pub fn is_passing(key: &Key) -> bool {
    let mut parts = key.as_str().split('/').skip(1);
    match (parts.next(), parts.next()) {
        (Some("dump"), _) => {
            let name = key.as_str().rsplit('/').next().unwrap_or_default();
            [".mark.", ".proof.", ".damage.", ".pin."].iter().any(|note| name.contains(note))
        }
        (_, Some(folder)) => PASSING.contains(&folder),
        _ => false,
    }
}

/// Folders below a system's root of what is passing.
const PASSING: [&str; 8] =
    ["intent", "mark", "pin", "proof", "damage", "gap", "gap-acknowledged", "wal-tail"];

fn number(text: &str) -> Option<u64> {
    let plain = text.bytes().all(|b| b.is_ascii_digit()) && !text.starts_with('0');
    text.parse().ok().filter(|_| plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_restore_needs_is_not_passing() {
        let is = |name: &str| is_passing(&name.parse().expect("a key"));
        for lasting in [
            "main/7/cluster.json",
            "main/7/backup/20261121T030000Z-120034/backup.json",
            "main/7/backup/20261121T030000Z-120034/pack/00000.tar.zst",
            "main/7/wal/00000001/00000000/000000010000000000000002",
            "main/7/wal/00000002.history",
            "main/dump/app/20261121T030000Z-120034.json",
            "main/dump/mark/20261121T030000Z-120034.sql.gz",
            "main/something.json",
        ] {
            assert!(!is(lasting), "{lasting}");
        }
        for passing in [
            "main/7/intent/20261121T030000Z-120034.json",
            "main/7/mark/20261121T030000Z-120034.20261122T030000Z.json",
            "main/7/proof/drill.20261121T030000Z-passed.json",
            "main/7/wal-tail/00000001/000000010000000000000003/00000000-00000100",
            "main/dump/app/20261121T030000Z-120034.proof.20261122T030000Z.json",
            "main/dump/app/20261121T030000Z-120034.mark.20261122T030000Z.json",
        ] {
            assert!(is(passing), "{passing}");
        }
    }

    #[test]
    fn a_key_tells_its_system() {
        let system = System { cluster: "main".into(), identifier: 7_311_111_111_111_111_111 };
        let key = system.key("backup/x/backup.json");
        assert_eq!(System::parse("main", &key), Some((system, "backup/x/backup.json")));
        for other in ["main/dump/app/x.json", "main2/7/x", "main/07/x", "main/7x/y"] {
            assert_eq!(System::parse("main", &other.parse().expect("a key")), None, "{other}");
        }
    }
}
