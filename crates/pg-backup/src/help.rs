//! Examples and what one should know, below each verb's options; the manual page takes them from here.

pub(crate) const DUMP_HELP: &str = "\
Examples:
  Tonight's dump of one database, into a folder:
    pg-backup dump app --repo file:///var/backups/toban
  Every database, to a folder and a bucket in one pass:
    pg-backup dump --all --repo file:///var/backups/toban --repo s3://bucket/toban
  Plain SQL that `gunzip | psql` reads, by a role that is no superuser:
    pg-backup dump app --format sql --globals no-passwords --repo local

A dump is visible only when all of it is stored and pg_dump ended well, without warnings of skipped
objects. Rows of each table are counted in the dump's own snapshot; a restore is compared with them.
To read everything a role needs: grant pg_read_all_data to ROLE.";

pub(crate) const RESTORE_DUMP_HELP: &str = "\
Examples:
  Look at last night beside the live database:
    pg-backup restore-dump latest --of app --into app_copy --repo local
  Put it in the place of the live database; the present state is dumped first:
    pg-backup restore-dump 20261121T030000Z-120034 --replace app --repo local
  A file that `pg_dump | gzip` has left:
    pg-backup restore-dump s3://bucket/old/app-2025-11-02.sql.gz --into app_2025

The dump is read to its end and checked first. It is loaded under another name, its rows are compared
with those counted when it was dumped, and only then do the names change, in one transaction. If this
process dies at any moment, the old or the new database is in service; run the same command again.
What was written after the safety dump began is never lost: the old database is then kept.";

pub(crate) const LIST_HELP: &str = "\
Examples:
  Everything in all repositories of the configuration:
    pg-backup list
  As JSON, for one database:
    pg-backup list app --repo local --json";

pub(crate) const VERIFY_HELP: &str = "\
Examples:
  Read back every dump of last night's:
    pg-backup verify --newest --repo local
  Prove the newest by restoring it into a scratch database:
    pg-backup verify --newest --deep --repo local --db service=scratch

The WAL in the repository is read back with them, its tails too: with --newest what the newest backup
needs. `check` tells what was found damaged until a later verify finds it whole.";

pub(crate) const PRUNE_HELP: &str = "\
Examples:
  See what would go, and what keeps the rest:
    pg-backup prune --keep-within 30d --dry-run --repo local
  A year in a bucket, thinning out:
    pg-backup prune --keep-daily 30 --keep-weekly 12 --keep-monthly 12 --repo s3://bucket/toban

Whatever one rule keeps is kept. The last verified dump of a database is always kept, and never fewer
than --keep-min. What is damaged or failed its last drill uses up no place of a rule. Dumps that
restore-dump took of a state it replaced are a series of their own. WAL that no kept backup needs goes
too; with --keep-wal only that of a window stays, and older backups restore to their own end.";

pub(crate) const CHECK_HELP: &str = "\
Examples:
  For people and timers; status 4 when something needs attention:
    pg-backup check app --repo local
  For Nagios, Icinga and their kin:
    pg-backup check app --repo local --monitoring";

/// Below the tool's own help.
pub(crate) const TOOL_HELP: &str = "\
Environment:
  TOBAN_REPO          Repositories, as --repo, separated by commas
  TOBAN_CLUSTER       As --cluster
  TOBAN_PG_BIN        As --bin-dir
  TOBAN_RETRY_FOR     How long a store that fails is asked again, as 30s [default: 5min]
  DATABASE_URL        The server, when --db is not given; then PGHOST and the other PG* variables
  AWS_PROFILE, AWS_ACCESS_KEY_ID, AWS_REGION, AWS_ENDPOINT_URL_S3, ...
                      Credentials and place of S3, as every AWS tool takes them

Files:
  ~/.pgpass           Passwords, as for psql
  /var/lib/toban      Locks, run records, and who was told of what";
