//! What `doctor` can find.

toban_core::rules! {
    EXAMINED = "examined" in "examined", never:
        "what was looked at and is well; UNKNOWN where it could not be looked at, so that no mistake in it would be found",
        "give the right that the finding names, and run doctor again; accept it where there is no such thing, as without systemd";
    WAL_LEVEL = "wal-level" in "settings":
        "wal_level is minimal: no backup of the server could be recovered",
        "psql -c \"alter system set wal_level = 'replica'\" && systemctl restart postgresql";
    FSYNC_OFF = "fsync-off" in "settings":
        "fsync is off: a crash of the machine destroys the cluster, and the next backups are of what it left",
        "psql -c 'alter system set fsync = on' -c 'select pg_reload_conf()'";
    FULL_PAGE_WRITES_OFF = "full-page-writes-off" in "settings":
        "full_page_writes is off: after a crash torn pages stay torn, and standbys replay them",
        "psql -c 'alter system set full_page_writes = on' -c 'select pg_reload_conf()'";
    CHECKSUMS_OFF = "checksums-off" in "settings":
        "the cluster has no page checksums: damage by a disk is copied into every backup unnoticed",
        "stop the server, and as its user: pg_checksums --enable -D DATA_DIRECTORY";
    SUMMARIZE_WAL = "summarize-wal" in "settings":
        "summarize_wal is off: every run reads the whole cluster to find what changed",
        "psql -c 'alter system set summarize_wal = on' -c 'select pg_reload_conf()'";
    MINOR_RELEASE = "minor-release" in "settings":
        "the server's minor release writes WAL summaries that lack changes",
        "update to 17.11, to 18.6, or to a newer release, and restart the server";
    RESTART_PENDING = "restart-pending" in "settings":
        "settings of the configuration files wait for a restart: the server does not work by them",
        "systemctl restart postgresql";
    SETTING_INVALID = "setting-invalid" in "settings":
        "lines of the configuration files do not apply: the next restart may fail, and a reload ignores them",
        "correct the line, then: psql -c 'select pg_reload_conf()' -c 'select * from pg_file_settings where error is not null'";
    RESTORE_COMMAND_LEFT = "restore-command-left" in "settings":
        "restore_command is set on a server that is not in recovery: a restore left it",
        "psql -c 'alter system reset restore_command' -c 'select pg_reload_conf()'";
    RECOVERY_TARGET_LEFT = "recovery-target-left" in "settings":
        "a recovery target is set on a server that is up: the next recovery, of a standby or a restore, would end there",
        "psql -c 'alter system reset NAME', and remove it from postgresql.conf; it needs a restart";
    ARCHIVE_CLEANUP = "archive-cleanup" in "settings":
        "archive_cleanup_command removes WAL that a standby has replayed: what backups need of it goes too",
        "psql -c 'alter system reset archive_cleanup_command' -c 'select pg_reload_conf()'; pg-backup prune removes what no backup needs";
    ARCHIVE_OFF = "archive-off" in "archiving":
        "archive_mode is off and nothing streams the WAL: only the ends of backups can be restored",
        "systemctl enable --now wal-shipper-stream@main.service, which needs no restart; or set archive_mode and archive_command";
    ARCHIVE_EMPTY = "archive-command-empty" in "archiving":
        "archive_mode is on and archive_command is empty: pg_wal grows until the disk is full",
        "psql -c \"alter system set archive_command = '/usr/bin/wal-shipper push %p'\" -c 'select pg_reload_conf()'";
    ARCHIVE_STATUS = "archive-command-status" in "archiving":
        "archive_command hides its status: WAL that was not stored counts as archived and is removed",
        "psql -c \"alter system set archive_command = '/usr/bin/wal-shipper push %p'\" -c 'select pg_reload_conf()'";
    ARCHIVE_PATH = "archive-command-path" in "archiving":
        "archive_command does not hand over the file: it has no %p",
        "psql -c \"alter system set archive_command = '/usr/bin/wal-shipper push %p'\" -c 'select pg_reload_conf()'";
    ARCHIVE_UNSAFE = "archive-command-unsafe" in "archiving":
        "archive_command copies by itself: the copy is not synced to its disk, and may overwrite one of that name",
        "psql -c \"alter system set archive_command = '/usr/bin/wal-shipper push %p'\" -c 'select pg_reload_conf()'";
    ARCHIVE_PROGRAM = "archive-command-program" in "archiving":
        "the program of archive_command is not there, or the server's user may not run it",
        "install it, or correct its path: psql -c \"alter system set archive_command = '…'\" -c 'select pg_reload_conf()'";
    ARCHIVE_ELSEWHERE = "archive-elsewhere" in "archiving":
        "the WAL is archived, and not by wal-shipper: these repositories do not get it",
        "systemctl enable --now wal-shipper-stream@main.service; or archive_command = '/usr/bin/wal-shipper push %p'";
    ARCHIVE_TIMEOUT = "archive-timeout" in "archiving":
        "archive_timeout is 0 and nothing streams: a quiet server keeps its last segment for days",
        "psql -c \"alter system set archive_timeout = '60s'\" -c 'select pg_reload_conf()'";
    SLOT_UNLIMITED = "slot-unlimited" in "replication":
        "there are slots and max_slot_wal_keep_size has no limit: a client that is gone fills the disk",
        "psql -c \"alter system set max_slot_wal_keep_size = '10GB'\" -c 'select pg_reload_conf()'";
    SLOT_LOST = "slot-lost" in "replication":
        "the WAL of a slot is lost: its client cannot go on",
        "take a new backup (pg-backup run), then: psql -c \"select pg_drop_replication_slot('NAME')\"; its client makes it anew";
    SLOT_ABANDONED = "slot-abandoned" in "replication":
        "no client uses a slot, and it holds more than 1 GiB of WAL",
        "start its client; or, where that is gone: psql -c \"select pg_drop_replication_slot('NAME')\"";
    SLOTS_USED_UP = "slots-used-up" in "replication":
        "no slot is free: a backup needs one for as long as it runs",
        "psql -c 'alter system set max_replication_slots = 20' && systemctl restart postgresql; or drop those that nobody uses";
    SENDERS_USED_UP = "senders-used-up" in "replication":
        "max_wal_senders is used up: neither a backup nor a stream nor a standby can connect",
        "psql -c 'alter system set max_wal_senders = 20' && systemctl restart postgresql";
    FEEDBACK_BLOAT = "feedback-bloat" in "replication":
        "a standby or slot holds back vacuum by more than ten million transactions: tables grow, and so do backups",
        "end the long query on the standby, or there: psql -c 'alter system set hot_standby_feedback = off' -c 'select pg_reload_conf()'";
    ROLE_MONITOR = "role-monitor" in "access":
        "the role lacks pg_monitor: wal-shipper check and half of doctor cannot look",
        "psql -c 'grant pg_monitor to ROLE'";
    ROLE_RIGHTS = "role-rights" in "access":
        "the role lacks rights that a backup needs", "as a superuser the statements that the finding names";
    HBA_REPLICATION = "hba-replication" in "access":
        "pg_hba.conf has no line for replication: neither stream nor standby nor pg_basebackup can connect",
        "add a line `local replication ROLE peer` or `hostssl replication ROLE ADDRESS scram-sha-256`, then: psql -c 'select pg_reload_conf()'";
    HBA_INVALID = "hba-invalid" in "access":
        "lines of pg_hba.conf do not apply: the next reload ignores the whole file, and the next start fails",
        "correct the line, then: psql -c 'select pg_reload_conf()'";
    POOLER = "pooler" in "access":
        "the connection goes through a pool in transaction mode: a backup needs a session",
        "give the server itself, by its socket or its own port, in [cluster.NAME] db";
    PASSWORD_IN_CONFIGURATION = "password-in-configuration" in "access":
        "the configuration file holds a password of PostgreSQL",
        "use peer authentication, or a passfile of mode 0600 named by PGPASSFILE in /etc/toban/NAME.env";
    COLLATION_VERSION = "collation-version" in "databases":
        "a database was made with another version of its collation: indexes on text may be in the wrong order, and then rows are not found",
        "reindex, then pg_amcheck, and only then REFRESH";
    DATABASE_GONE = "database-gone" in "databases":
        "the configuration names a database that the server lacks: every dump fails",
        "correct [cluster.NAME] databases";
    PG_DUMP_OLD = "pg-dump-old" in "programs":
        "no pg_dump of the server's major or newer is on this machine", "apt-get install postgresql-client-MAJOR";
    CLOCK_UNSYNCHRONISED = "clock-unsynchronised" in "time":
        "this machine's clock is not synchronised: recovery targets, ages and retention go by it",
        "timedatectl set-ntp true";
    CLOCK_APART = "clock-apart" in "time":
        "the clocks of the server and of this machine are more than five minutes apart",
        "timedatectl set-ntp true, on both";
    TIMER_ZONE = "timer-zone" in "time":
        "a timer elapses in the hour that daylight saving takes or doubles: it runs late, or twice",
        "systemctl edit TIMER: [Timer] OnCalendar= and OnCalendar=*-*-* 01:00:00 UTC";
    CONFIGURATION_UNREADABLE = "configuration-unreadable" in "host":
        "the configuration file cannot be read by the user of the units",
        "chgrp postgres FILE && chmod 640 FILE";
    SECRET_OPEN = "secret-open" in "host":
        "a file with a secret can be read by others", "chmod 600 FILE";
    IDENTITY_HERE = "identity-here" in "host":
        "an identity that opens the backups lies on the server: who takes the server can read every backup",
        "move it to where restores and drills are made, and keep a copy on paper; then: shred -u FILE";
    STATE_FOLDER = "state-folder" in "host":
        "the state folder does not belong to the user of the units: a run by root left it, and jobs fail",
        "chown -R postgres: /var/lib/toban";
    TEXTFILE_FOLDER = "textfile-folder" in "host":
        "the folder for metrics is missing, or the user of the units may not write there",
        "install -d -m 2775 -g postgres FOLDER, and ReadWritePaths=FOLDER in the units";
    RESTORE_SPACE = "restore-space" in "host":
        "the disk has no room for a restored copy of the cluster: no drill can run",
        "set work_dir in [drill.NAME] to a folder on a larger disk";
    LOCALE_MISSING = "locale-missing" in "host":
        "this machine differs from the one that was backed up in what the order of text depends on",
        "as the finding says; for a locale: locale-gen NAME";
    REPOSITORY_SAME_DISK = "repository-same-disk" in "repository":
        "every repository is on the disk of the data directory: what takes the one takes both",
        "add a repository elsewhere: [repo.NAME] url = 's3://…', and its name in [cluster.NAME] repos or in copies";
    REPOSITORY_UNMOUNTED = "repository-unmounted" in "repository":
        "a repository lies below a mount point of /etc/fstab that is not mounted: it looks empty, and backups go beside it",
        "mount the folder, and RequiresMountsFor= in the units";
    REPOSITORY_EMPTY = "repository-empty" in "repository":
        "a run has stored into the repository, and it holds nothing: it is not mounted, was removed, or is another one",
        "is it the right place? mount it, or correct url in its section";
    REPOSITORY_OWNER = "repository-owner" in "repository":
        "the folder of a repository does not belong to the user of the units: a run by root left it, and jobs fail",
        "chown -R postgres: FOLDER";
    REPOSITORY_IN_DATA = "repository-in-data" in "repository":
        "a repository lies inside of the data directory: every backup would hold all the earlier ones",
        "move it out, and correct url in its section";
    LOCK_UNUSED = "lock-unused" in "repository":
        "the bucket has Object Lock and the section has no `lock`: whoever has the keys can delete what is stored",
        "lock = '30d' in the repository's section";
    LIFECYCLE_REMOVES = "lifecycle-removes" in "repository":
        "a lifecycle rule of the bucket removes objects by their age: packs and WAL that newer backups need go",
        "confine it to unfinished uploads and to the prefix wal-tail/; pg-backup prune deletes what no backup needs";
    TWO_CLUSTERS = "two-clusters" in "repository":
        "two servers store under one name of a cluster: `latest` and `prune` take them for one",
        "give one of them another --cluster NAME";
    SYSTEM_CHANGED = "system-changed" in "repository":
        "the repository holds backups of another system under this name, and none of this server: it was upgraded or rebuilt",
        "pg-backup run --new-system";
    KEEP_NOTHING = "keep-nothing" in "repository":
        "a repository has no rule of what to keep: nothing is ever deleted, and the disk fills",
        "keep = { within = '30d', min = 7 } in its section";
    KEEP_SHORT = "keep-short" in "repository":
        "a repository keeps less than the window that [objectives] promises",
        "keep = { …, wal = WINDOW } in its section";
    TIMER_DISABLED = "timer-disabled" in "jobs":
        "a timer that keeps the promise is not enabled, or not active", "systemctl enable --now TIMER";
    UNIT_FAILED = "unit-failed" in "jobs":
        "a unit has failed", "systemctl status UNIT; journalctl -u UNIT";
    UNIT_READ_ONLY = "unit-read-only" in "jobs":
        "a unit may not write into a folder that it needs: a repository or the metrics",
        "systemctl edit UNIT: [Service] ReadWritePaths=FOLDER";
    UNIT_MOUNT = "unit-mount" in "jobs":
        "a repository has a disk of its own, and a unit does not wait for it to be mounted",
        "systemctl edit UNIT: [Unit] RequiresMountsFor=FOLDER";
    RUN_FAILED = "run-failed" in "jobs":
        "the last run of a job failed", "as the finding says; journalctl -u UNIT";
    DRILL_NEVER = "drill-never" in "jobs":
        "no drill has ever proven that a backup restores", "pg-drill --cluster NAME, and its timer";
    NOTIFY_NONE = "notify-none" in "jobs":
        "nobody is notified when a job fails", "a [notify] section in the configuration";
    NOTIFY_UNDELIVERED = "notify-undelivered" in "jobs":
        "notifications were never delivered, or a channel cannot be used", "correct [notify]; the next run sends what waits";
}
