//! What `status` can find.

toban_core::rules! {
    OBJECTIVES = "objectives" in "status":
        "whether rpo, rto and window of [objectives] are met; UNKNOWN where nothing proves it",
        "the findings below say which is not met, and why";
    RECOVERY_POINT = "recovery-point-now" in "status":
        "what would be lost if the server and its disk were gone now: more than [objectives] rpo, or not known",
        "pg-backup run; and look at wal-shipper check: the WAL does not come, or comes late";
    RECOVERY_TIME = "recovery-time-now" in "status":
        "how long a restore takes, by the last drill and the size of now: more than [objectives] rto, or not known",
        "pg-drill measures it; faster disks, a repository nearer by, or more frequent backups make it shorter";
    WINDOW = "window-now" in "status":
        "since when every moment can be restored: less than [objectives] window",
        "keep = { …, wal = WINDOW } in the repository's section; where WAL is missing: pg-backup run";
    LAST_PROOF = "last-proof" in "status":
        "when backups, WAL and keys were last proven, and by what; never, or longer ago than 35 days",
        "pg-backup verify; pg-drill";
    COPIES = "copies-now" in "status":
        "which repositories have the newest backup, and until when it is locked", "pg-backup copy; pg-backup run";
    NEXT_RUN = "next-run" in "status":
        "when the timers elapse next; none stores, or systemd does not tell",
        "systemctl enable --now pg-backup-run@NAME.timer";
    SOURCE = "source" in "status":
        "a repository could not be asked, or does not read: what it proves is not known",
        "correct what the finding names; where permission is denied, ask as the user of the jobs, such as postgres";
}
