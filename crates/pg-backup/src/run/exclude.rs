//! What of a data directory is not in a backup, by PostgreSQL's own rules (src/backend/backup/basebackup.c).

use std::collections::BTreeSet;

/// Folders whose content belongs to the running server alone; they are kept, empty.
const EMPTIED: [&str; 7] =
    ["pg_stat_tmp", "pg_replslot", "pg_dynshmem", "pg_notify", "pg_serial", "pg_snapshots", "pg_subtrans"];

/// Files at the top that are made anew or belong to another backup.
const TOP: [&str; 11] = [
    "postmaster.pid",
    "postmaster.opts",
    "backup_label",
    "backup_label.old",
    "tablespace_map",
    "tablespace_map.old",
    "backup_manifest",
    "recovery.signal",
    "standby.signal",
    "postgresql.auto.conf.tmp",
    "current_logfiles.tmp",
];

/// Whether the file or folder `path`, relative to the data directory, is left out.
pub(super) fn is_excluded(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    let top = name.len() == path.len();
    (top && TOP.contains(&name))
        // The file system's own, where a disk is mounted: only root may read it.
        || name == "lost+found"
        // The relation cache, which a start removes (RelationCacheInitFileRemove in relcache.c), and files of
        // sorts and hashes of sessions that are gone then.
        || name.starts_with("pg_internal.init")
        || name.starts_with("pgsql_tmp")
        || (of_relations(path) && is_temporary(name))
}

/// Whether the content of the folder `path` is left out. Of pg_wal the folders stay: archive_status, summaries.
pub(super) fn is_emptied(path: &str) -> bool {
    // A slot in pg_replslot would be for a consumer that follows the old server: it would hold back WAL in
    // the restored one until the disk is full ("Making a Base Backup Using the Low Level API").
    EMPTIED.contains(&path) || path.starts_with("pg_wal/")
}

/// Whether the file `path` is one of a database: below base, global or a tablespace's folder of this version.
pub(super) fn of_relations(path: &str) -> bool {
    let parts: Vec<&str> = path.split('/').collect();
    match parts[..] {
        ["global", _] | ["base", _, _] => true,
        ["pg_tblspc", _, version, _, _] => version.starts_with("PG_"),
        _ => false,
    }
}

/// A relation's file: its number, fork and segment (`16384_vm.1`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Relation<'a> {
    pub(super) number: &'a str,
    pub(super) fork: &'a str,
    pub(super) segment: u32,
}

/// Takes the name of a relation's file apart; `None` for any other.
pub(super) fn parse_relation(name: &str) -> Option<Relation<'_>> {
    let (rest, segment) = match name.split_once('.') {
        Some((rest, digits)) if is_canonical(digits) && digits != "0" => (rest, digits.parse().ok()?),
        Some(_) => return None,
        None => (name, 0),
    };
    let (number, fork) = match rest.split_once('_') {
        Some((number, fork @ ("fsm" | "vm" | "init"))) => (number, fork),
        Some(_) => return None,
        None => (rest, "main"),
    };
    // As PostgreSQL writes them: any other file of this folder is not a relation's, and no WAL tells of it.
    (is_canonical(number) && number != "0").then_some(Relation { number, fork, segment })
}

/// The init fork beside a relation's file that is none, where it would lie.
pub(super) fn init_fork(path: &str) -> Option<String> {
    let (folder, name) = path.rsplit_once('/')?;
    let relation = parse_relation(name).filter(|r| r.fork != "init")?;
    Some(format!("{folder}/{}_init", relation.number))
}

/// `t3_16384`, with fork and segment: a temporary table's, of the session 3.
fn is_temporary(name: &str) -> bool {
    let rest = name.strip_prefix('t').and_then(|r| r.split_once('_'));
    rest.is_some_and(|(session, file)| is_number(session) && parse_relation(file).is_some())
}

/// A number without zeros before it.
fn is_canonical(text: &str) -> bool {
    is_number(text) && (text == "0" || !text.starts_with('0'))
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

/// Of one folder's files, those that an unlogged relation does not need: recovery makes it anew from its init fork.
pub(super) fn find_unlogged<'a>(names: impl Iterator<Item = &'a str> + Clone) -> BTreeSet<&'a str> {
    let inits: BTreeSet<&str> =
        names.clone().filter_map(parse_relation).filter(|r| r.fork == "init").map(|r| r.number).collect();
    let goes =
        |name: &&str| parse_relation(name).is_some_and(|r| r.fork != "init" && inits.contains(r.number));
    names.filter(goes).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_postgresqls_rules() {
        for gone in [
            "postmaster.pid",
            "backup_label",
            "standby.signal",
            "base/5/pg_internal.init",
            "global/pg_internal.init.123",
            "base/pgsql_tmp",
            "base/5/t3_16384",
            "base/5/t3_16384_fsm.1",
            "pg_tblspc/16400/PG_15_202209061/5/t12_99",
            "pg_wal/lost+found",
        ] {
            assert!(is_excluded(gone), "{gone}");
        }
        for kept in
            ["PG_VERSION", "base/5/16384", "base/5/backup_label", "t3_1", "pg_wal", "base/5/t3_x", "log"]
        {
            assert!(!is_excluded(kept), "{kept}");
        }
        assert!(is_emptied("pg_replslot") && is_emptied("pg_wal/archive_status"));
        assert!(!is_emptied("pg_wal") && !is_emptied("pg_xact"));
    }

    #[test]
    fn relations_have_numbers_forks_and_segments() {
        let found = |name| parse_relation(name).map(|r| (r.fork.to_string(), r.segment));
        assert_eq!(found("16384"), Some(("main".into(), 0)));
        assert_eq!(found("16384_vm.12"), Some(("vm".into(), 12)));
        for other in ["PG_VERSION", "pg_filenode.map", "16384_x", "16384.x", "t1_2", ""] {
            assert_eq!(found(other), None, "{other}");
        }
    }

    #[test]
    fn the_init_fork_lies_beside() {
        assert_eq!(init_fork("base/5/10_vm.1").as_deref(), Some("base/5/10_init"));
        assert_eq!(init_fork("base/5/10_init"), None);
        assert_eq!(init_fork("base/5/PG_VERSION"), None);
    }

    #[test]
    fn of_an_unlogged_relation_only_the_init_fork_stays() {
        let names = ["10", "10_init", "10_fsm", "10.1", "11", "11_fsm"];
        let gone: Vec<&str> = find_unlogged(names.into_iter()).into_iter().collect();
        assert_eq!(gone, ["10", "10.1", "10_fsm"]);
    }
}
