//! Examples and background, below each verb's options; the manual page takes them from here.

pub(crate) const PLAN_HELP: &str = "\
Examples:
  What would become of this file:
    sqlite-to-pg plan app.sqlite3
  The same as a file to edit, then to run:
    sqlite-to-pg plan app.sqlite3 -o app.toml
    sqlite-to-pg run app.sqlite3 --to dbname=app --plan app.toml
  For tables that the application's own migrations made:
    sqlite-to-pg plan app.sqlite3 --for dbname=app

The file is only read, once, in one snapshot. A type is chosen so that every value fits; where none does, the plan
names the rows. Numbers in a date column become times only when one unit alone makes sense of all of them.";

pub(crate) const RUN_HELP: &str = "\
Examples:
  Into an empty database:
    sqlite-to-pg run app.sqlite3 --to 'host=db1 dbname=app user=owner'
  The same, as pgloader takes it:
    sqlite-to-pg run app.sqlite3 postgresql://owner@db1/app
  Try it first, and learn how long it takes:
    sqlite-to-pg run app.sqlite3 --to dbname=app --trial
  Into tables that the application made, whose few seeded rows may go:
    sqlite-to-pg run app.sqlite3 --to dbname=app --existing truncate
  Load what was rejected, now that a rule takes it:
    sqlite-to-pg run app.sqlite3 --to dbname=app --rejects app-migration/rejects.jsonl --cast users.is_active=bool-words
  Without a column that the application's tables do not have, and with a value for one of theirs:
    sqlite-to-pg run app.sqlite3 --to dbname=app --existing truncate --exclude feeds.legacy --set feeds.fetched=0
  Without the rows whose foreign key has no parent, which are then listed:
    sqlite-to-pg run app.sqlite3 --to dbname=app --orphans reject
  What a damaged file still gives, where there is no backup of it:
    sqlite-to-pg run broken.sqlite3 --to dbname=app --salvage
  Undo it:
    sqlite-to-pg run app.sqlite3 --to dbname=app --undo

The tables are filled in a schema of their own and moved to their place in one transaction, after everything was
compared: a reader of the target sees nothing or all of it. After a run was killed, run it again: it begins anew.
The SQLite file is never written to; other programs may go on writing to one in WAL mode, and what is copied is
one snapshot of it. Status 0: everything that the source has is there, or was excluded by name; 3: all is there except what is
named (values in the list of rejects, tables, constraints, defaults, views or triggers that PostgreSQL did not get);
4: values do not fit or differ, and nothing was kept.";

pub(crate) const VERIFY_HELP: &str = "\
Examples:
  Is this copy complete, whoever made it?
    sqlite-to-pg verify app.sqlite3 --against dbname=app

Every value is compared, and every definition. A copy of ours is judged by the plan that made it and the definitions
that the run left, any other by the source alone. Status 4: something differs or is missing, and each is named; 3: equal,
except for what the run itself left out and reported. It writes to neither side; a role that may only read is enough.";
