//! Examples and background, below each verb's options; the manual page takes them from here.

pub(crate) const APP_HELP: &str = "\
Examples:
  The users' own schema, in PostgreSQL:
    user-audit app --db 'host=db1 dbname=app user=auditor'
  Two databases in one run, one of them a SQLite file:
    user-audit app --db dbname=app --db sqlite:/srv/app/dev.sqlite3
  Another schema: write its mapping into the configuration, and read what is not known:
    user-audit app --detect --db dbname=crm >> toban.toml
    user-audit --config toban.toml app --db dbname=crm
  Evidence for the monthly review:
    user-audit app --pack /var/lib/toban/evidence

Nothing is written to the database: one READ ONLY transaction, no object made. What changed since the
last accepted review comes first, then the most urgent. Memory does not grow with the accounts, only with
administrators and doubles; each account costs 8 bytes, with a review to compare with about 30.";

pub(crate) const ROLES_HELP: &str = "\
Examples:
  Who comes to superuser, and by which path:
    user-audit roles --db dbname=app --json
  With the logs that tell when each role connected:
    user-audit roles --log /var/log/postgresql/postgresql-15-main.log --log /var/log/postgresql/old.log.gz
  As a plugin of a monitoring system:
    user-audit roles --monitoring

In a path `a → b` is SET ROLE, `a ⇒ b` is a granting itself b, `a ⊃ b` is b's privileges inherited.
A role that is no superuser may audit; checks it cannot make are named with the missing grant.
PUBLIC's grants, functions and policies are those of the database of the connection.";

pub(crate) const ACCEPT_HELP: &str = "\
Examples:
  The access in this pack is as it should be:
    user-audit accept evidence/20261101T070311Z-app --reviewer 'A. Mo' --decision approved --ticket SEC-118
  What would be recorded:
    user-audit accept evidence/20261101T070311Z-app --reviewer 'A. Mo' --decision approved --ticket SEC-118 -n

The pack and every one before it are checked against their SHA256SUMS first, and those against what was
remembered when packs were made and accepted. An approved review is what later runs compare with; every
decision goes to log.jsonl in the folder of reviews.";
