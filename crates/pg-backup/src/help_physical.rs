//! Examples and what one should know, of the verbs that work on physical backups.

pub(crate) const RUN_HELP: &str = "\
Examples:
  Tonight's backup of the whole cluster, as the user postgres on the server's machine:
    pg-backup run --repo file:///var/backups/toban
  To a folder and a bucket in one pass, at no more than 100 MiB a second:
    pg-backup run --repo local --repo s3 --max-rate 100M

The server runs on. The backup holds the WAL that it needs and restores by itself, without any archive.
Where the cluster has page checksums, each page is compared as it is read: a damaged one is told by file
and block, the backup is kept and marked, and the status is 3.
A role that is no superuser needs what `run` names when it lacks it: execute on pg_backup_start and
pg_backup_stop, replication, and pg_read_all_settings. One replication slot must be free.";

pub(crate) const RESTORE_HELP: &str = "\
Examples:
  The newest backup and all WAL since into an empty folder; then start a server there:
    pg-backup restore --target latest -D /var/lib/postgresql/15/main --repo local
  Over what is left of a data directory, writing only what differs:
    pg-backup restore -D /var/lib/postgresql/15/main --delta --repo local
  Beside the live server, all tablespaces elsewhere, Debian's configuration to its own folder:
    pg-backup restore 20261121T030000Z-120034 -D /srv/look --tablespace-dir /srv/look-spaces \\
        --config-dir /srv/look-conf --repo local
  As the cluster was at a moment, by the WAL that wal-shipper archived there; without --dry-run it is done:
    pg-backup restore -D /srv/look --target-time 2026-11-21T11:59:00+01:00 --repo local --dry-run

With a moment the newest backup that ended before it is taken; what can be reached is said first, and a
moment that cannot is refused with the nearest that can. The server fetches the WAL by wal-shipper, which
must be installed beside pg-backup or on PATH, stops at the moment, and never at an earlier one.
Without a moment it recovers from the WAL inside the backup to the moment when the backup ended. Then it
is promoted, and begins a new timeline; WAL that is left out is told. It does not archive, subscribe or load libraries
that run jobs, unless --keep-archiving, so that it does nothing in the place of the server that was backed up.
A tablespace goes only into an empty place; those that the WAL creates on the way are found first, and -T and
--tablespace-dir move them too. --delta neither writes nor deletes behind links of the target. global/pg_control is written last: a restore that did not
finish cannot be started; run it again with --delta.
As root the files go to the owner that they had, by name; else they are the caller's.
backup_manifest is PostgreSQL's own: pg_verifybackup (on Debian in /usr/lib/postgresql/*/bin) compares the
restored folder before its first start.";
