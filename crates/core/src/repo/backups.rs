//! What the WAL is kept for: the base backups of a system, as far as other tools than the one that makes them need
//! their manifests (docs/FORMATS.md, "backup.json").

use super::is_future;
use super::keys::System;
use super::recovery_path::BackupRange;
use super::sealed::read_sealed;
use crate::error::{Kind, Result};
use crate::stamp::parse_stamp;
use crate::store::Store;
use crate::wal::{Lsn, Timeline};
use jiff::Timestamp;
use serde::Deserialize;

const MANIFEST: &str = "/backup.json";
/// Bytes of the largest manifest of a backup: a thousand packs are named in 200 KiB.
pub const LARGEST_MANIFEST: u64 = 512 << 10;

/// A base backup, as its manifest describes it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct BaseBackup {
    /// Its name.
    pub id: String,
    /// The timeline it was taken on.
    pub timeline: Timeline,
    /// Recovery from it begins here.
    pub start_lsn: Lsn,
    /// Where it ends.
    pub stop_lsn: Lsn,
    /// Whether it was copied from a standby.
    #[serde(default)]
    pub standby: bool,
    /// When it ended.
    pub finished: Timestamp,
    /// Names of those whom it is encrypted to.
    #[serde(default)]
    pub recipients: Vec<String>,
}

impl BaseBackup {
    /// What it brings along to recovery.
    pub fn wal_range(&self) -> BackupRange {
        BackupRange { timeline: self.timeline, stop: self.stop_lsn, whole: !self.standby }
    }
}

/// Every base backup of `system` whose manifest reads, oldest first, by timeline and position. One whose manifest is
/// damaged or of another format is warned of: what it says of its positions must not be believed.
///
/// # Errors
/// When the store could not be asked.
pub fn read_all(store: &dyn Store, system: &System) -> Result<Vec<BaseBackup>> {
    let folder = format!("{}backup/", system.root());
    let mut backups: Vec<BaseBackup> = Vec::new();
    for id in store.folders(&folder)? {
        let Ok(key) = format!("{folder}{id}{MANIFEST}").parse() else { continue };
        match read_sealed(store, &key, LARGEST_MANIFEST) {
            Ok(backup) => backups.extend(backup),
            // One backup that cannot be read must not hide the others; that a store does not answer must, or the
            // newest that it has would be passed over in silence.
            Err(e) if [Kind::Corrupt, Kind::Usage].contains(&e.kind()) => log::warn!("{}", e.chain()),
            Err(e) => return Err(e),
        }
    }
    backups.sort_by_key(|b| (b.timeline, b.start_lsn));
    Ok(backups)
}

/// Those that `verify` did not find damaged, as of `now`.
///
/// # Errors
/// When the store could not be asked.
pub fn whole(store: &dyn Store, system: &System, now: Timestamp) -> Result<Vec<BaseBackup>> {
    let mut whole = Vec::new();
    for backup in read_all(store, system)? {
        if !is_damaged(store, system, &backup.id, now)? {
            whole.push(backup);
        }
    }
    Ok(whole)
}

/// The newest verdict counts, by the times in the names of the proofs; damage where both are of one second. A proof
/// that is dated in the future proves nothing.
fn is_damaged(store: &dyn Store, system: &System, id: &str, now: Timestamp) -> Result<bool> {
    let times = |folder: &str| -> Result<Vec<Timestamp>> {
        let prefix = format!("{}{folder}/{id}.", system.root());
        let names = store.list(&prefix)?;
        Ok(names.iter().filter_map(|o| time(o.key.as_str().strip_prefix(&prefix)?)).collect())
    };
    let Some(damaged) = times("damage")?.into_iter().max() else { return Ok(false) };
    let whole = times("proof")?.into_iter().filter(|at| !is_future(*at, now)).max();
    Ok(whole.is_none_or(|whole| whole <= damaged.min(now)))
}

fn time(suffix: &str) -> Option<Timestamp> {
    parse_stamp(suffix.strip_suffix(".json")?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repo::sealed::seal;
    use crate::store::{Attrs, Dir};

    #[test]
    fn only_those_that_are_whole() {
        let dir = tempfile::tempdir().expect("a folder");
        let store = Dir::open(&dir.path().display().to_string()).expect("a store");
        let system = System { cluster: "main".into(), identifier: 7 };
        let put = |name: &str, text: &str| {
            let key = system.key(name);
            store.put(&key, &mut text.as_bytes(), &Attrs::new()).expect("stored");
        };
        let manifest = |id: &str, start: &str| {
            let text = format!(
                r#"{{"format":1,"id":"{id}","timeline":1,"start_lsn":"{start}","stop_lsn":"0/9000000","finished":"2026-11-21T04:00:00Z","x":1}}"#
            );
            let sealed = seal(&text);
            put(&format!("backup/{id}/backup.json"), &sealed);
            sealed
        };
        manifest("b", "0/2000000");
        manifest("a", "0/3000000");
        manifest("c", "0/4000000");
        put("backup/d/backup.json", "{");
        // One digit of the position is another: it is JSON still, and not what the backup wrote.
        let damaged = manifest("f", "0/5000000").replace("0/9000000", "0/1000000");
        put("backup/g/backup.json", &damaged);
        put(
            "backup/h/backup.json",
            &seal(
                r#"{"format":4,"id":"h","timeline":1,"start_lsn":"0/6000000","stop_lsn":"0/6000001","finished":"2026-11-21T04:00:00Z"}"#,
            ),
        );
        put("backup/e/pack/00000.tar.zst", "a run that did not finish");
        let now: Timestamp = "2026-11-21T12:00:00Z".parse().expect("a time");
        let ids = || whole(&store, &system, now).expect("read").into_iter().map(|b| b.id).collect::<Vec<_>>();
        assert_eq!(ids(), ["b", "a", "c", "f"]);
        put("damage/c.20261120T000000Z.json", "{}");
        assert_eq!(ids(), ["b", "a", "f"]);
        put("proof/c.20991120T000000Z.json", "{}");
        assert_eq!(ids(), ["b", "a", "f"], "a proof of a day to come proves nothing");
        put("proof/c.20261121T000000Z.json", "{}");
        assert_eq!(ids(), ["b", "a", "c", "f"]);
    }
}
