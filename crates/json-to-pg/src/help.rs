//! Examples and background, below each verb's options; the manual page takes them from here.

pub(crate) const PLAN_HELP: &str = "\
Examples:
  For tables that the application's own migrations made:
    json-to-pg plan backend/data --for dbname=app -o move.toml
  For tables that the run is to make:
    json-to-pg plan backend/data -o move.toml --zone Asia/Tokyo

Every record of every file is read. Each path has one fate in the plan: a column, rows of a table of its own, rows of a
link table, or none with the reason. What neither the files nor the catalogue tell is a [[question]], which `run` wants
answered: the zone of times, values of columns that no path fills, paths without a column, sample data.";

pub(crate) const RUN_HELP: &str = "\
Examples:
  json-to-pg run move.toml --to dbname=app
  With a report for those who ask later, signed by ssh-keygen:
    json-to-pg run move.toml --to dbname=app --report move.jsonl --sign-key /etc/toban/sign
  The final run, with the files as they are now:
    json-to-pg run move.toml --to dbname=app --from /srv/app/backend/data

All files are loaded in one transaction. Before it ends, each record is rebuilt from PostgreSQL and compared with the file,
and counts and sums are compared by other means; nothing that differs becomes visible. The files are only read; one
that changes meanwhile ends the run with 75. A path or a kind of value that the plan does not know ends it before it begins.";

pub(crate) const VERIFY_HELP: &str = "\
Examples:
  json-to-pg verify --against dbname=app

By the plan that the last run kept. Rows that were changed since are told apart from those that differ. Status 4: something
differs, is missing, or stands in the files and not in the plan; 3: only rows that were changed since. It writes nothing; a role that may read is enough.";

pub(crate) const EXPORT_HELP: &str = "\
Examples:
  Back to the files, with what was written since:
    json-to-pg export /srv/app/backend/data.new --against dbname=app

In the application's own layout (indent, escapes, order of members), by the plan of the last run. Where nothing was dropped
and nothing changed since, the files are those that were loaded. Times keep every digit, and where some have a zone and some
have none, all get one. Values that no path of a file gets are named, and end it with status 3.";

pub(crate) const UNDO_HELP: &str = "\
Examples:
  json-to-pg undo --to dbname=app --dry-run
  json-to-pg undo --to dbname=app

Rows that the run wrote go, rows that it replaced come back, tables that it made go when nothing else is in them. A row that
was changed since stays and is named (status 3). Sequences stay where they are.";
