//! Examples and what one should know, below the options; the manual page takes them from here.

pub(crate) const HELP: &str = "\
Examples:
  The newest backup and all WAL since, compared with the live server:
    pg-drill --repo file:///var/backups/toban --db dbname=postgres --rpo 15min --rto 1h
  With queries of your own:
    pg-drill --repo local --checks /etc/toban/drill.sql
  Another tool's backups:
    pg-drill --checks q.sql -- pgbackrest --stanza=main --pg1-path={dir} --tablespace-map-all={tablespaces} restore
    pg-drill --checks q.sql -- barman recover main latest {dir}
    pg-drill --checks q.sql -- sh -c 'tar xzf /backup/base.tar.gz -C \"$PGDATA\"'
  A dump, into an empty server that the drill makes:
    pg-drill --into server --checks q.sql -- sh -c 'createdb app && gunzip -c /backup/app.sql.gz | psql -qd app'

Checks are SQL; the lines before a query say what it must give, as psql -At prints it. Without
`-- expect:` there must be a row, and every value of it t:
  -- check: yesterday's orders are there
  -- database: app
  select count(*) > 0 from orders where created_at > now() - interval '1 day';
  -- check: the three regions
  -- database: app
  -- expect: eu|12
  -- expect: us|7
  select region, count(*) from shops group by 1 order by 1;

Environment:
  PGDATA  For the command: the data directory to make, as {dir}.
  PGHOST, PGPORT, PGUSER, PGDATABASE  For the command with --into server: the server to restore into.
  TOBAN_DRILL_DIR  For the command: the folder that the drill clears afterwards.

Files:
  /var/lib/toban/drill/CLUSTER/proofs/  The proof and the report of each drill.
  /var/lib/toban/drill/CLUSTER/scratch/  What a drill works in; empty between drills.";
