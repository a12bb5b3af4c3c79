//! Examples and background of the live verbs, below their options.

pub(crate) const CAPTURE_HELP: &str = "\
Examples:
  What would be captured, and how:
    sqlite-to-pg capture app.sqlite3 --dry-run
  Begin, before the copy:
    sqlite-to-pg capture app.sqlite3
  End it, and leave the file's schema as it was:
    sqlite-to-pg capture app.sqlite3 --stop

Triggers in the file log the key of each row that any program changes, in the program's own transaction. A table without
a primary key, or of which SQLite cannot tell which rows a write replaces, is copied again as a whole at the fence when
it changed; each is named, with the reason. The file grows by the log until `sync` applies it. Status 75: another
program kept its lock; nothing was installed.";

pub(crate) const SYNC_HELP: &str = "\
Examples:
  Apply what was changed since the copy, and end:
    sqlite-to-pg sync app.sqlite3 --to dbname=app
  Go on until the cutover:
    sqlite-to-pg sync app.sqlite3 --to dbname=app --follow

First capture the changes, then copy the file with `run`, then sync. What is applied is one moment of the file, in one
transaction of PostgreSQL together with the position, so a reader of the copy sees what readers of the file saw. Foreign
keys and triggers of the copy are out of the way until the cutover. It can be killed at any moment and begun again.
Status 4: the application changed its schema, or the file is another one; nothing is applied.";

pub(crate) const STATUS_HELP: &str = "\
Example:
    sqlite-to-pg status app.sqlite3 --to dbname=app

It changes nothing on either side.";

pub(crate) const CUTOVER_HELP: &str = "\
Examples:
  How long would the application stand still?
    sqlite-to-pg cutover app.sqlite3 --to dbname=app --dry-run
  Does all of it work, there and back?
    sqlite-to-pg cutover app.sqlite3 --to dbname=app --rehearse
  Do it:
    sqlite-to-pg cutover app.sqlite3 --to dbname=app --stop-command 'systemctl stop app' \\
      --switch-command 'cp app-postgres.env /etc/app.env && systemctl start app' --probe 'curl -fsS localhost:8080/health'
  Back to SQLite after a run was killed in the window:
    sqlite-to-pg cutover app.sqlite3 --to dbname=app --abort
  For good, once nobody needs the way back:
    sqlite-to-pg cutover app.sqlite3 --to dbname=app --finish

Before the fence the copy is caught up and compared with one moment of the file, and what could not go back is listed. Which
processes have the file open is looked up in /proc; where not all can be seen (not as root, or in a container) it takes a stop
command or --app-stopped. In the window triggers in the file refuse
every write, the last changes are applied, what changed since the comparison is compared, foreign keys and triggers of the
copy come back, and the switch command runs. Whatever fails before it lifts the fence, and the application goes on with
SQLite. Killed at any moment it is run again. Status 4: a no-go, or the copy differs; 75: the application kept its lock.";

pub(crate) const FALLBACK_HELP: &str = "\
Examples:
  Keep the file ready, as every quarter of an hour from a timer:
    sqlite-to-pg fallback app.sqlite3 --to dbname=app --only-sync
  Go back to SQLite, with everything that was written to PostgreSQL:
    sqlite-to-pg fallback app.sqlite3 --to dbname=app --stop-command 'systemctl stop app' \\
      --switch-command 'cp app-sqlite.env /etc/app.env && systemctl start app'

After the cutover triggers in PostgreSQL log the keys of changed rows, of COPY and TRUNCATE too. Their rows go back into
the fenced file in the form that its columns have; then PostgreSQL refuses writes, the last changes follow, everything is
compared, and the file takes writes again. When the two differ the application goes on with PostgreSQL (status 4), and when
SQLite cannot hold a value: each such row is named (status 1). The
capture goes on, so that sync and cutover can be run again. After `cutover --finish` there is no way back.";
