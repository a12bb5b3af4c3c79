//! sqlite-to-pg beside the floor (psql replaying the same bytes, then the same indexes and keys), DuckDB and pgloader.

use crate::measure::{Cost, cost, median};
use crate::scratch::Scratch;
use crate::setup;
use crate::sh::{self, Context, Result, cargo, target_dir};
use std::path::{Path, PathBuf};
use std::process::Command;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Rows of the generated ITSM database; five million are 1 GB
    #[arg(long, value_name = "N", default_value_t = 5_000_000)]
    rows: u64,
    /// Connections of the floor, of pg_restore and of ours
    #[arg(long, value_name = "N", default_value_t = 2)]
    jobs: u16,
    /// Runs of each; the table shows their medians
    #[arg(long, value_name = "N", default_value_t = 3)]
    runs: usize,
    /// Copy jamdict.db, of 6.4 million rows, instead of a generated database
    #[arg(long)]
    jamdict: bool,
    /// A database of one table alone: the floor is one session's COPY of it
    #[arg(long, conflicts_with = "jamdict")]
    one_table: bool,
}

impl Args {
    /// Connections of the floor.
    fn floor_jobs(&self) -> u16 {
        if self.one_table { 1 } else { self.jobs }
    }
}

struct Way {
    name: &'static str,
    database: &'static str,
    /// The database is made anew first.
    anew: bool,
    line: String,
}

const FLOOR: &str = "floor: psql COPY BINARY, pg_restore of the keys";
const OURS: &str = "sqlite-to-pg run (not comparing)";
const VERIFY: &str = "sqlite-to-pg verify";
const WHOLE: &str = "sqlite-to-pg run";
const DUCKDB: &str = "DuckDB's ATTACH, and the plain indexes";
const DUCKDB_KEYS: &str = "DuckDB's ATTACH, the indexes, those of keys too";
const PGLOADER: &str = "pgloader";

/// Some peers end with 0 and leave rows behind, or all of them.
const ROWS: &str = "select coalesce(sum((xpath('/row/n/text()', query_to_xml(format('select count(*) n from %s', oid::regclass), \
    false, true, '')))[1]::text::bigint), 0) from pg_class where relkind = 'r' and relnamespace = 'public'::regnamespace";

/// pgloader makes no table at all where a default is `current_timestamp` in small letters: it gets a file without.
const NO_DEFAULTS: &str = "import sqlite3\ndb = sqlite3.connect('pgloader.db')\ndb.execute('pragma writable_schema = on')\n\
    db.execute(\"update sqlite_schema set sql = replace(sql, ' default current_timestamp', '')\")\ndb.commit()\n";

/// Each table as DuckDB would copy it, whose own types it gets.
const DUCK: &[u8] = br#"import duckdb, sys
source, target, *extensions = sys.argv[1:]
db = duckdb.connect()
for extension in extensions:
    db.load_extension(extension)
db.execute(f"attach '{source}' as s (type sqlite, read_only)")
db.execute(f"attach '{target}' as p (type postgres)")
names = "select table_name from duckdb_tables() where database_name = 's' and not starts_with(table_name, 'sqlite_')"
for (name,) in db.execute(names).fetchall():
    quoted = '"' + name.replace('"', '""') + '"'
    db.execute(f"create table p.public.{quoted} as select * from s.{quoted}")
"#;

/// Of the generated database its longest table, made as long as the whole.
const ONE_TABLE: &str = "import sqlite3, sys\ndb = sqlite3.connect('source.db')\ndb.execute(\"attach 'all.db' as a\")\n\
    db.execute('create table histories (id integer primary key, incident_id integer, actor_id integer, field text, old_value text, new_value text, changed_at datetime)')\n\
    while db.execute('select coalesce(max(id), 0) from histories').fetchone()[0] < int(sys.argv[1]):\n    \
    db.execute('insert into histories select null, incident_id, actor_id, field, old_value, new_value, changed_at from a.incident_histories limit ? - (select count(*) from histories)', sys.argv[1:])\n\
    db.commit()\n";

pub(crate) fn run(args: &Args) -> Result<()> {
    let peers = (setup::pgloader()?, setup::duckdb()?);
    let scratch = super::stage(&["sqlite-to-pg"])?;
    source(&scratch, args)?;
    pieces(&scratch, args)?;
    let mut rows = Vec::new();
    for way in ways(args, &peers) {
        let mut costs = Vec::new();
        for round in 1..=args.runs {
            if way.anew {
                super::make_database_anew(&scratch, way.database)?;
            }
            let once = cost(&mut scratch.shell(&way.line))?;
            println!("round {round}: {:<48} {:>6.2} s {:>6.0} MiB", way.name, once.wall, once.rss);
            costs.push(once);
        }
        let there = scratch.psql(way.database, ROWS)?;
        rows.push((format!("{}, {there} rows", way.name), median(&costs)));
    }
    let page = page(args, &rows);
    println!("{page}");
    let section = match (args.jamdict, args.one_table) {
        (true, _) => "Migration of jamdict.db",
        (_, true) => "Migration of one table",
        _ => "Migration",
    };
    super::record(section, &page)
}

fn source(scratch: &Scratch, args: &Args) -> Result<()> {
    let bytes = match args.jamdict {
        true => {
            let file = setup::jamdict()?;
            std::fs::read(&file).doing(|| format!("read {}", file.display()))?
        }
        false => generated(args.rows)?,
    };
    if !args.one_table {
        return scratch.file("source.db", 0o600, &bytes).map(drop);
    }
    scratch.file("all.db", 0o600, &bytes)?;
    scratch.file("one-table.py", 0o600, ONE_TABLE.as_bytes())?;
    sh::quietly(&mut scratch.shell(&format!("python3 one-table.py {} && rm all.db", args.rows)))
}

fn generated(rows: u64) -> Result<Vec<u8>> {
    println!("making a database of {rows} rows …");
    let file = std::env::temp_dir().join(format!("toban-itsm-{}.db", std::process::id()));
    let name = file.display().to_string();
    // Of the whole workspace, as the tests build it: alone it would build anew what it stands on.
    sh::run(&mut cargo(&["build", "--quiet", "--workspace", "--example", "itsm"]))?;
    sh::run(Command::new(target_dir().join("debug/examples/itsm")).args([&name, &rows.to_string()]))?;
    let bytes = std::fs::read(&file).doing(|| format!("read {name}"))?;
    std::fs::remove_file(&file).doing(|| format!("remove {name}"))?;
    Ok(bytes)
}

/// What the floor replays: the bytes of COPY of a copy that we made, in as many parts as there are connections, and
/// the statements of its tables and keys.
fn pieces(scratch: &Scratch, args: &Args) -> Result<()> {
    sh::quietly(&mut scratch.shell("createdb model && sqlite-to-pg run source.db --to dbname=model --report told >/dev/null || [ $? = 3 ]"))?;
    let tables = scratch.psql("model", "select relname from pg_class where relnamespace = 'public'::regnamespace and relkind = 'r' order by pg_relation_size(oid) desc")?;
    scratch.folder("parts")?;
    scratch.file("duck.py", 0o600, DUCK)?;
    scratch.file("defaults.py", 0o600, NO_DEFAULTS.as_bytes())?;
    sh::quietly(&mut scratch.shell("cp source.db pgloader.db && python3 defaults.py"))?;
    let jobs = args.floor_jobs();
    let mut replay = String::new();
    for table in tables.lines() {
        for part in 0..jobs {
            let select =
                format!("select * from \"{table}\" where (ctid::text::point)[0]::int8 % {jobs} = {part}");
            let file = format!("parts/{table}.{part}");
            let line = format!(
                "psql -Xq -d model -c \"\\copy ({}) to '{file}' (format binary)\"",
                select.replace('"', "\\\"")
            );
            sh::quietly(&mut scratch.shell(&line))?;
            replay += &format!("\\copy \"{table}\" from '{file}' (format binary)\n");
        }
    }
    for part in 0..jobs {
        let own: String = replay
            .lines()
            .skip(usize::from(part))
            .step_by(usize::from(jobs))
            .map(|l| format!("{l}\n"))
            .collect();
        scratch.file(&format!("replay.{part}"), 0o600, own.as_bytes())?;
    }
    sh::quietly(&mut scratch.shell("pg_dump -Fc --schema-only -n public -f model.dump model"))?;
    let lists = "pg_restore -l model.dump | sed -n '/ INDEX /p' >indexes
        pg_restore -l model.dump | sed -n '/ FK CONSTRAINT /d; / INDEX /p; / CONSTRAINT /p' >keys";
    sh::quietly(&mut scratch.shell(lists))
}

fn ways(args: &Args, (pgloader, duckdb): &(PathBuf, [PathBuf; 3])) -> Vec<Way> {
    let jobs = args.jobs;
    let floor_jobs = args.floor_jobs();
    let copies: String = (0..floor_jobs)
        .map(|p| format!("PGOPTIONS='-c synchronous_commit=off' psql -Xq -d floor -f replay.{p} & "))
        .collect();
    let ours = |database: &str, more: &str| {
        format!(
            "sqlite-to-pg -q run source.db --to dbname={database} --jobs {jobs} --report told {more}>/dev/null || [ $? = 3 ]"
        )
    };
    vec![
        Way {
            name: FLOOR,
            database: "floor",
            anew: true,
            line: format!(
                "pg_restore -d floor --section=pre-data model.dump 2>/dev/null; {copies}wait; pg_restore -d floor -j {floor_jobs} --section=post-data model.dump"
            ),
        },
        Way { name: OURS, database: "ours", anew: true, line: ours("ours", "--no-verify ") },
        Way {
            name: VERIFY,
            database: "ours",
            anew: false,
            line: "sqlite-to-pg -q verify source.db --against dbname=ours >/dev/null".into(),
        },
        Way { name: WHOLE, database: "whole", anew: true, line: ours("whole", "") },
        Way { name: DUCKDB, database: "duck", anew: true, line: duck(jobs, duckdb, "indexes") },
        Way { name: DUCKDB_KEYS, database: "duck", anew: true, line: duck(jobs, duckdb, "keys") },
        Way {
            name: PGLOADER,
            database: "pgloader",
            anew: true,
            // The libraries that were unpacked beside it; its log would lie in a folder of /tmp that all users share.
            line: format!(
                "LD_LIBRARY_PATH={}/lib/x86_64-linux-gnu {} --dynamic-space-size 4096 --root-dir pgl pgloader.db \
                 \"postgresql:///pgloader?host=$PGHOST\" >pgloader.out 2>&1 || {{ tail pgloader.out; false; }}",
                pgloader.ancestors().nth(2).unwrap_or(Path::new("/usr")).display(),
                pgloader.display()
            ),
        },
    ]
}

/// The copy, and of the model's indexes those of a list; never a foreign key.
fn duck(jobs: u16, [python, sqlite, postgres]: &[PathBuf; 3], list: &str) -> String {
    format!(
        "PYTHONPATH={} python3 duck.py source.db dbname=duck {} {} && pg_restore -d duck -j {jobs} -L {list} model.dump",
        python.display(),
        sqlite.display(),
        postgres.display()
    )
}

fn page(args: &Args, rows: &[(String, Cost)]) -> String {
    let one = if args.one_table { " --one-table" } else { "" };
    let what = if args.jamdict { "--jamdict".into() } else { format!("--rows {}{one}", args.rows) };
    let connections = if args.one_table { "one connection" } else { "as many connections" };
    let floor = rows.iter().find(|(name, _)| name.starts_with(FLOOR)).map_or(1.0, |(_, c)| c.wall);
    let mut text = format!(
        "Written by `cargo xtask bench migrate {what} --jobs {} --runs {}`: medians. The floor replays the very bytes \
         that were sent, over {connections}, and makes the same keys. Rows are those that \
         arrived; without any, a peer refused the file. RSS is the largest process of each, the server's apart.\n\n\
         | | wall s | of the floor | CPU s | RSS MiB |\n| --- | --- | --- | --- | --- |\n",
        args.jobs, args.runs
    );
    for (name, cost) in rows {
        text += &format!(
            "| {name} | {:.2} | {:.2} | {:.2} | {:.0} |\n",
            cost.wall,
            cost.wall / floor,
            cost.cpu,
            cost.rss
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_those_to_the_floor() {
        let args = Args { rows: 7, jobs: 2, runs: 1, jamdict: false, one_table: false };
        let cost = |wall| Cost { wall, cpu: 0.5, rss: 9.0 };
        let text = page(&args, &[(FLOOR.into(), cost(2.0)), (OURS.into(), cost(2.5))]);
        assert!(text.contains("--rows 7") && text.ends_with("| 2.50 | 1.25 | 0.50 | 9 |\n"), "{text}");
    }
}
