//! json-to-pg on one large file of records, beside DuckDB's read_json and ATTACH.

use crate::measure::{Cost, cost, median};
use crate::setup;
use crate::sh::{self, Result};
use std::path::PathBuf;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Size of the file, in MB
    #[arg(long, value_name = "N", default_value_t = 1000)]
    megabytes: u64,
    /// Runs of each; the table shows their medians
    #[arg(long, value_name = "N", default_value_t = 3)]
    runs: usize,
}

/// Tickets of a help desk, as an application writes them.
const RECORDS: &[u8] = br#"import json, random, sys
dice, written, number = random.Random(1), 0, 0
words = "printer server login password network screen slow broken update mail account licence access backup disk".split()
with open("data/tickets.ndjson", "w") as out:
    while written < int(sys.argv[1]) * 1_000_000:
        number += 1
        ticket = {
            "id": number, "title": " ".join(dice.choices(words, k=6)), "priority": dice.choice(["low", "high", "urgent"]),
            "open": dice.random() < 0.2, "cost": round(dice.random() * 1000, 2), "reporter": dice.randrange(5000),
            "at": "2026-%02d-%02dT%02d:%02d:%02d.%06dZ" % (dice.randrange(1, 13), dice.randrange(1, 29), dice.randrange(24),
                dice.randrange(60), dice.randrange(60), dice.randrange(1_000_000)),
            "tags": dice.sample(words, k=2), "text": " ".join(dice.choices(words, k=25)),
        }
        written += out.write(json.dumps(ticket, separators=(",", ":")) + "\n")
"#;

const DUCK: &[u8] = br#"import duckdb, sys
target, *extensions = sys.argv[1:]
db = duckdb.connect()
for extension in extensions:
    db.load_extension(extension)
if target == "none":
    db.execute("select count(*), max(length(text)), max(id) from read_json('data/tickets.ndjson')").fetchall()
else:
    db.execute(f"attach '{target}' as p (type postgres)")
    db.execute("create table p.public.tickets as select * from read_json('data/tickets.ndjson')")
"#;

struct Way {
    name: &'static str,
    /// The database that it fills, which is made anew first.
    database: Option<&'static str>,
    line: String,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let duckdb = setup::duckdb()?;
    let scratch = super::stage(&["json-to-pg"])?;
    scratch.folder("data")?;
    scratch.file("records.py", 0o600, RECORDS)?;
    scratch.file("duck.py", 0o600, DUCK)?;
    println!("writing {} MB of records …", args.megabytes);
    sh::quietly(&mut scratch.shell(&format!("python3 records.py {}", args.megabytes)))?;
    let mut rows = Vec::new();
    for way in ways(&duckdb) {
        let mut costs = Vec::new();
        for round in 1..=args.runs {
            way.database.map_or(Ok(()), |database| super::make_database_anew(&scratch, database))?;
            let once = cost(&mut scratch.shell(&way.line))?;
            println!("round {round}: {:<48} {:>6.2} s {:>6.0} MiB", way.name, once.wall, once.rss);
            costs.push(once);
        }
        rows.push((way.name, median(&costs)));
    }
    let page = page(args, &rows);
    println!("{page}");
    super::record("JSON files", &page)
}

fn ways([python, _, postgres]: &[PathBuf; 3]) -> [Way; 5] {
    let duck = |target: &str| {
        format!("PYTHONPATH={} python3 duck.py {target} {}", python.display(), postgres.display())
    };
    let plan = "json-to-pg -q plan data --for dbname=ours -o move.toml >/dev/null";
    [
        Way { name: "json-to-pg plan", database: Some("ours"), line: format!("rm -f move.toml && {plan}") },
        Way {
            name: "json-to-pg run, proof included",
            database: Some("ours"),
            line: "json-to-pg -q run move.toml --to dbname=ours >/dev/null".into(),
        },
        Way {
            name: "json-to-pg verify",
            database: None,
            line: "json-to-pg -q verify --against dbname=ours >/dev/null".into(),
        },
        Way { name: "DuckDB's read_json alone", database: None, line: duck("none") },
        Way {
            name: "DuckDB's read_json, into PostgreSQL",
            database: Some("duck"),
            line: duck("dbname=duck"),
        },
    ]
}

fn page(args: &Args, rows: &[(&str, Cost)]) -> String {
    let mut text = format!(
        "Written by `cargo xtask bench json --megabytes {} --runs {}`: medians. DuckDB proves nothing, and keeps no key.\n\n\
         | | wall s | MB/s | CPU s | RSS MiB |\n| --- | --- | --- | --- | --- |\n",
        args.megabytes, args.runs
    );
    for (name, cost) in rows {
        let rate = args.megabytes as f64 / cost.wall;
        text += &format!("| {name} | {:.2} | {rate:.0} | {:.2} | {:.0} |\n", cost.wall, cost.cpu, cost.rss);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_of_the_whole_file() {
        let args = Args { megabytes: 500, runs: 1 };
        let text = page(&args, &[("one", Cost { wall: 2.5, cpu: 0.5, rss: 9.0 })]);
        assert!(text.ends_with("| one | 2.50 | 200 | 0.50 | 9 |\n"), "{text}");
    }
}
