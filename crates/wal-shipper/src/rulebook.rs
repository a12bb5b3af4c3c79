//! What `check` can find.

const BACKUP: &str =
    "take a new backup now (pg-backup run), or acknowledge it: wal-shipper acknowledge FIRST LAST";

toban_core::rules! {
    LAG = "lag" in "lag":
        "the repository lacks WAL that the server wrote longer ago than --warn-lag or --critical-lag",
        "look at the archiver and the slots below, and at the way to the repository";
    MISSING_RANGE = "missing-range" in "missing-range":
        "segments between others are missing: no later position can be restored from an older backup", BACKUP;
    HISTORY = "history" in "history":
        "the history of a timeline is missing: recovery would not find the timeline",
        "pg_wal of a server of that timeline has it: wal-shipper push pg_wal/TIMELINE.history";
    GAP = "gap" in "gap":
        "a push or a stream recorded that WAL did not come, and it is still missing", BACKUP;
    GAP_UNREADABLE = "gap-unreadable" in "gap":
        "a record of a gap names no files", "look at the record, and delete it once it is known what it meant";
    AHEAD = "ahead" in "ahead":
        "the repository has more than its server wrote: another server stores its WAL here, or this one was set back to \
         an earlier state without a new timeline",
        "find out which server is the right one; give the other a cluster name or a repository of its own";
    CLUSTER_MISSING = "cluster-missing" in "cluster":
        "cluster.json is missing: `list` and `restore` do not find this WAL", "the next push or stream writes it";
    CLUSTER_DIFFERS = "cluster-differs" in "cluster":
        "cluster.json is of another PostgreSQL version or another size of segments than the server",
        "give this server a cluster name or a repository of its own";
    DAMAGED = "damaged" in "damaged":
        "a history, a gap record or cluster.json does not read", "bring it back from another repository";
    CLOCK = "clock" in "clock":
        "a clock is wrong: the store's, the server's or this machine's, so that ages cannot be judged",
        "set it, by NTP";
    TAILS = "tails" in "tails":
        "tails of segments that are whole are still there: the credential of `stream` may not delete",
        "pg-backup prune removes them";
    ARCHIVER = "archiver" in "archiver":
        "whether the archiver works, and how long files wait for it",
        "look at archive_command: it is slow, or it hangs";
    ARCHIVER_OFF = "archiver-off" in "archiver":
        "archive_mode is off and no slot is there: nothing ships the WAL",
        "set archive_mode and archive_command, or run wal-shipper stream";
    ARCHIVER_EMPTY = "archiver-empty" in "archiver":
        "archive_mode is on and archive_command is empty: pg_wal grows until the disk is full",
        "set archive_command = 'wal-shipper push … %p'";
    ARCHIVER_FAILS = "archiver-fails" in "archiver":
        "archive_command fails", "the server's log says why";
    ARCHIVER_DIES = "archiver-dies" in "archiver":
        "archive_command ends the archiver itself, by a status above 125 or a signal", "the server's log says why";
    ARCHIVER_ELSEWHERE = "archiver-elsewhere" in "archiver":
        "PostgreSQL has a file for archived that is not here",
        "archive_command ends with 0 and stores it elsewhere or nowhere: correct it, and push what pg_wal still has";
    SLOT = "slot" in "slot":
        "how much WAL a slot holds", "nothing";
    SLOT_LOST = "slot-lost" in "slot":
        "the WAL of a slot is lost: a gap is there or near", "take a new backup; raise max_slot_wal_keep_size";
    SLOT_UNRESERVED = "slot-unreserved" in "slot":
        "the WAL of a slot is about to be removed", "have its client catch up now; raise max_slot_wal_keep_size";
    SLOT_INACTIVE = "slot-inactive" in "slot":
        "no client streams from a slot, and it holds WAL", "start its client, or drop the slot before the disk is full";
    SLOT_SILENT = "slot-silent" in "slot":
        "the client of a slot has reported nothing for long", "look at the client and at the network between";
    SERVER = "server" in "server":
        "one of the servers that --db names could not be asked", "is it up and reachable?";
    STANDBY_CUT_OFF = "standby-cut-off" in "server":
        "the standby is not connected to its primary: how far the primary is is not known",
        "ask the primary, or connect the standby again";
    REPOSITORY = "repository" in "repository":
        "a repository could not be asked", "correct what the finding names";
}
