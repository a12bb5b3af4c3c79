//! What a drill can find.

toban_core::rules! {
    RESTORE = "restore" in "restore", never:
        "the command did not restore", "read what it says; when a backup is damaged, see docs/runbooks/restore-a-cluster.md";
    CONFIGURATION = "configuration" in "restore", never:
        "no server starts with the configuration that was restored", "correct the live server's configuration: the next start there fails too";
    RECOVERY = "recovery" in "recovery", never:
        "the restored server did not recover", "pg-backup check and wal-shipper check name what is missing";
    SYSTEM = "system" in "recovery", never:
        "what was restored is another cluster than the live server or the repositories hold",
        "is --db the server that is backed up, and --repo where its backups lie?";
    POSITION = "position" in "recovery", never:
        "recovery ended before the end of the backup", "restore with the WAL that the backup needs: pg-backup verify";
    ARCHIVE = "archive" in "recovery":
        "a repository's WAL ends before what recovery reached or another repository has",
        "wal-shipper check --repo of this repository names what is missing";
    CHECK = "check" in "check", never:
        "the restored server did not last through the checks", "read the server's log: --keep leaves it";
    STOP = "stop" in "check", never:
        "the restored server did not shut down", "read the server's log: --keep leaves it";
    AMCHECK = "amcheck" in "integrity", never:
        "pg_amcheck finds damage in heaps or B-trees, or could not look",
        "run pg_amcheck on the live server too: it may hold the same damage";
    CHECKSUMS = "checksums" in "integrity", never:
        "pages do not have the checksum that they were written with",
        "run pg_checksums or pg_amcheck on the live server too; keep an older backup";
    RELATIONS = "relations" in "live-server", never:
        "databases or relations of the live server are missing", "do not rely on this backup; take a new one and drill again";
    ROWS = "rows" in "live-server", never:
        "tables have fewer rows than the live server had before the backup, or could not be counted",
        "do not rely on this backup; take a new one and drill again";
    LIVE_SERVER = "live-server" in "live-server":
        "the live server could not be asked", "is it reachable as --db says?";
    QUERY = "query" in "query":
        "a query of yours gives another answer than is expected", "is the expectation still right? then rows are missing";
    NOTHING_COMPARED = "nothing-compared" in "query", never:
        "nothing was compared, so nothing is proven", "give --checks, --db or --repo";
    RECOVERY_TIME = "recovery-time" in "objectives":
        "it took longer than --rto from the begin of the restore to the first answer",
        "restore with more --jobs or from a nearer repository, or agree on another objective";
    RECOVERY_POINT = "recovery-point" in "objectives":
        "more than --rpo would have been lost, or how much is not known",
        "ship the WAL more often: wal-shipper stream, or a shorter archive_timeout";
    PROOF_NOT_STORED = "proof-not-stored" in "proof", never:
        "the drill passed, but its proof is not in every repository", "correct what the finding names, and drill again";
}
