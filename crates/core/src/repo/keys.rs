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

fn number(text: &str) -> Option<u64> {
    let plain = text.bytes().all(|b| b.is_ascii_digit()) && !text.starts_with('0');
    text.parse().ok().filter(|_| plain)
}

#[cfg(test)]
mod tests {
    use super::*;

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
