//! Examples and rules below the options of each verb.

pub(crate) const PUSH_HELP: &str = "\
PostgreSQL's side, in postgresql.conf:
  archive_mode = on
  archive_command = 'wal-shipper push --repo file:///backup %p'

It ends with 0 when every required repository has the file, durable. The same file again is
fine; the same name with other content is refused, and the first stays. Every other status is
between 1 and 125, so PostgreSQL keeps the file and tries again. With --ahead it stores other
files that wait, too, and marks them as done, so that a backlog is worked off in parallel.";

pub(crate) const FETCH_HELP: &str = "\
PostgreSQL's side; `pg-backup restore` writes it:
  restore_command = 'wal-shipper fetch --repo file:///backup %f %p'

PostgreSQL treats its exit status unlike that of other commands:
    0  the file is in its place, whole and checked
    1  it is proven that no repository has it: recovery ends here and the server is promoted
  255  nothing is known (a repository cannot be asked, is damaged, or WAL is missing here):
       recovery stops, nothing is promoted; repair the cause and start the server again
With standby.signal 255 becomes 1: a standby asks again.";

pub(crate) const STREAM_HELP: &str = "\
The role needs REPLICATION, and lines in pg_hba.conf for `replication` and for a database:
  create role toban login replication;
  grant pg_monitor to toban;

It reports to the server only what every required repository has, durable: the slot keeps the rest.
With its application_name (wal-shipper unless the connection string says otherwise) in
synchronous_standby_names, commits wait for the repositories. When nothing could be stored for 20 s
it disconnects, so that the server can be stopped. On SIGTERM it stores what it received, reports it
and ends with 0.";

pub(crate) const CHECK_HELP: &str = "\
The role needs: grant pg_monitor to ROLE.
When nothing can be compared the result is unknown (status 1 or 75), never OK.";

pub(crate) const ACKNOWLEDGE_HELP: &str = "\
Examples:
  A segment that no repository and no server has any more:
    wal-shipper acknowledge 000000010000000000000017 --reason 'the disk of 2026-11-21'

It brings nothing back: no position after the gap can be restored from a backup before it. A newer
backup ends the alarm, too, and then everything from there on can be restored. What is not missing is
refused. The record is stored in every repository, so that each of them has it.";
