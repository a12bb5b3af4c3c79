//! What `check` can find; and all that this tool can.

pub(crate) mod doctor;
pub(crate) mod status;

use std::sync::LazyLock;
use toban_core::check::Rule;

/// The rules of every verb.
pub(crate) static ALL_RULES: LazyLock<Vec<&'static Rule>> =
    LazyLock::new(|| [RULES, doctor::RULES, status::RULES].concat());

toban_core::rules! {
    AGE = "age" in "age":
        "the newest dump or backup is older than --warn-age or --critical-age",
        "look at the last run: `systemctl status` of its unit, or its record in /var/lib/toban/runs";
    DUMP_MISSING = "dump-missing" in "age":
        "there is no dump of a database that must have one",
        "take one: pg-backup dump; or name the databases that must have dumps in [cluster.NAME] databases";
    AGE_UNKNOWN = "age-unknown" in "age":
        "the newest is dated in the future, so its age is not known: a clock was wrong when it was taken, or is wrong here",
        "set the clock and take a new one";
    CLOCKS_APART = "clocks-apart" in "clock":
        "the server's clock and that of the machine that stored it differed", "set both, by NTP";
    TIME_UNKNOWN = "time-unknown" in "clock":
        "when it was taken is not known: it is never `latest`, and `prune` keeps it",
        "remove its objects by hand when it is not wanted";
    SIZE = "size" in "size":
        "its size differs from the median of those before by more than --warn-size or --critical-size",
        "was so much loaded or deleted? then accept it; else look at what is in it";
    VERIFY = "verify" in "verify":
        "it was never verified, or longer ago than --warn-verify or --critical-verify", "pg-backup verify";
    DAMAGED = "damaged" in "verify":
        "`verify` found it damaged", "copy it from another repository, or take a new one and prune";
    OBJECTS = "objects" in "objects":
        "objects that it names are gone: it cannot be restored, or the next run cannot build on it",
        "copy them from another repository, or take a new one";
    DRILL = "drill" in "drill":
        "the last restore drill that passed is older than --warn-drill", "pg-drill";
    DRILL_FAILED = "drill-failed" in "drill":
        "the last restore drill failed", "its report says why; until one passes do not rely on the backups";
    PAGES = "pages" in "pages":
        "the newest backup holds damaged pages of the source", "repair the server: pg_amcheck, and an older backup";
    SUMMARIES = "summaries" in "summaries":
        "the server does not summarize its WAL, so every run reads the whole cluster; it is said as OK",
        "set summarize_wal = on (PostgreSQL 17 and later), and wal_log_hints = on where there are no page checksums";
    REACH = "reach" in "reach":
        "WAL is missing after a backup: later positions cannot be restored from it", "take a new backup now: pg-backup run";
    RECIPIENTS = "recipients" in "recipients":
        "a backup or dump can be read by recipients alone that are no longer among those that the repository is encrypted to",
        "keep their identities until it is pruned";
    MANIFEST = "manifest" in "manifest":
        "a manifest does not read, or its seal is broken", "copy it from another repository, or take a new one and prune";
    REPOSITORY = "repository" in "repository":
        "a repository could not be asked", "correct what the finding names";
    BACKUP_MISSING = "backup-missing" in "backup":
        "a repository is a system's, and holds no whole backup of it, or nothing at all any more: nothing can be restored from it",
        "take one now: pg-backup run";
    LOCK = "lock" in "lock":
        "an object's lock ends before that of the backup or dump that needs it, or the newest is not locked at all",
        "take a new backup with `lock` in the repository's section, also for wal-shipper: it renews what it needs";
    WAL_VERIFY = "wal-verify" in "wal":
        "the WAL was never verified, or longer ago than --warn-verify or --critical-verify", "pg-backup verify";
    WAL_DAMAGED = "wal-damaged" in "wal":
        "`verify` found files of the WAL damaged: no later position can be restored from an older backup",
        "copy them from another repository, or take a new backup and prune";
}
