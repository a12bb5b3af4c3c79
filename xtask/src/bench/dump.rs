//! Dump and restore of one large database: medians of runs that take turns.

use crate::measure::{Cost, cost, median};
use crate::scratch::Scratch;
use crate::sh::{self, Context, Failure, Result, read};
use std::process::Command;

/// Sizes as measured on PostgreSQL 15: of an empty database, and of each unit of `scale` in sql/fill.sql.
const MEGABYTES_EMPTY: f64 = 7.0;
const MEGABYTES_PER_SCALE: f64 = 18.5;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Size of the database
    #[arg(long, value_name = "MB", default_value_t = 1000)]
    megabytes: u32,
    /// Runs of each; the table shows their medians
    #[arg(long, value_name = "N", default_value_t = 3)]
    runs: usize,
}

/// One way to do it: a line of shell, run anew for each round, after another that clears its traces.
pub(super) struct Way {
    pub(super) name: &'static str,
    pub(super) before: String,
    pub(super) line: String,
    /// A file or folder whose size counts.
    pub(super) result: Option<&'static str>,
}

/// What a way cost, and how large its result was in MB.
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) cost: Cost,
    megabytes: Option<f64>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let scratch = super::stage(&["pg-backup"])?;
    let megabytes = fill(&scratch, args.megabytes)?;
    let dumps = measure(&scratch, &dumps(&scratch), args.runs)?;
    let restores = measure(&scratch, &restores(&scratch), args.runs)?;
    let page = page(args, megabytes, &machine(&scratch)?, &dumps, &restores);
    println!("{page}");
    super::record("Dump", &page)
}

/// Makes the database and says how large it came out.
fn fill(scratch: &Scratch, megabytes: u32) -> Result<u64> {
    scratch.file("schema.sql", 0o600, include_bytes!("../../sql/schema.sql"))?;
    scratch.file("fill.sql", 0o600, include_bytes!("../../sql/fill.sql"))?;
    let scale = ((f64::from(megabytes) - MEGABYTES_EMPTY) / MEGABYTES_PER_SCALE).ceil().max(1.0);
    println!("filling a database of about {megabytes} MB …");
    sh::quietly(&mut scratch.shell("createdb itsm && psql -Xq -d itsm -f schema.sql"))?;
    sh::quietly(
        &mut scratch.shell(&format!("psql -Xq -d itsm -v scale={scale} -f fill.sql && psql -Xqc checkpoint")),
    )?;
    let size = scratch.psql("itsm", "select pg_database_size(current_database()) / 1000000")?;
    size.parse().doing(|| format!("read the size {size:?}"))
}

const PEER_DUMP: &str = "pg_dump | gzip -6";
const OUR_DUMP: &str = "pg-backup dump --format sql --level 6";
const OUR_CUSTOM: &str = "pg-backup dump --format custom --level 6";
const PEER_RESTORE: &str = "gunzip | psql";
const OUR_RESTORE: &str = "pg-backup restore-dump (sql)";
const OUR_CUSTOM_RESTORE: &str = "pg-backup restore-dump (custom)";

fn dumps(scratch: &Scratch) -> [Way; 3] {
    let way = |name, result, line: String| Way {
        name,
        before: format!("rm -rf {result}"),
        line,
        result: Some(result),
    };
    let ours = |folder: &str, form: &str| {
        let repo = format!("file://{}/{folder}", scratch.dir().display());
        format!("exec pg-backup dump itsm --repo {repo} --format {form} --level 6 >/dev/null")
    };
    [
        way(PEER_DUMP, "peer.sql.gz", "pg_dump itsm | gzip -6 > peer.sql.gz".into()),
        way(OUR_DUMP, "ours-sql", ours("ours-sql", "sql")),
        way(OUR_CUSTOM, "ours-custom", ours("ours-custom", "custom")),
    ]
}

fn restores(scratch: &Scratch) -> [Way; 3] {
    let way = |name, line: String| Way {
        name,
        before:
            "psql -Xqc 'set client_min_messages = warning' -c 'drop database if exists copy' -c checkpoint"
                .into(),
        line,
        result: None,
    };
    let ours = |folder: &str| {
        let repo = format!("file://{}/{folder}", scratch.dir().display());
        format!("exec pg-backup restore-dump latest --of itsm --into copy --repo {repo} >/dev/null")
    };
    [
        way(PEER_RESTORE, "createdb copy && gunzip -c peer.sql.gz | psql -Xq -o /dev/null -d copy".into()),
        way(OUR_RESTORE, ours("ours-sql")),
        way(OUR_CUSTOM_RESTORE, ours("ours-custom")),
    ]
}

/// The ways take turns, so that a busy minute of the machine hits all of them.
pub(super) fn measure(scratch: &Scratch, ways: &[Way], runs: usize) -> Result<Vec<Row>> {
    let mut costs = vec![Vec::new(); ways.len()];
    for round in 1..=runs {
        for (way, costs) in ways.iter().zip(&mut costs) {
            sh::quietly(&mut scratch.shell(&way.before))?;
            let once = cost(&mut scratch.shell(&way.line))?;
            println!("round {round}: {:<42} {:>6.1} s", way.name, once.wall);
            costs.push(once);
        }
    }
    let rows = ways.iter().zip(&costs);
    rows.map(|(way, costs)| Ok(Row { name: way.name, cost: median(costs), megabytes: size(scratch, way)? }))
        .collect()
}

fn size(scratch: &Scratch, way: &Way) -> Result<Option<f64>> {
    let Some(result) = way.result else { return Ok(None) };
    // Files alone: du would count the folders too.
    let said = read(&mut scratch.shell(&format!(
        "find {result} -type f -printf '%s\\n' | awk '{{ sum += $1 }} END {{ print sum }}'"
    )))?;
    let bytes: f64 =
        said.split_whitespace().next().unwrap_or_default().parse().doing(|| format!("read {said:?}"))?;
    Ok(Some(bytes / 1e6))
}

pub(super) fn machine(scratch: &Scratch) -> Result<String> {
    let server = scratch.psql("postgres", "show server_version")?;
    let cores = std::thread::available_parallelism().map_err(|e| Failure::new(e.to_string()))?;
    let cpu = read(
        Command::new("sh").args(["-c", "grep -m1 'model name' /proc/cpuinfo || echo ': unknown processor'"]),
    )?;
    let cpu = cpu.split(':').nth(1).unwrap_or_default().trim().to_string();
    Ok(format!("PostgreSQL {server}; {cores} cores of {cpu}"))
}

fn page(args: &Args, megabytes: u64, machine: &str, dumps: &[Row], restores: &[Row]) -> String {
    let command = format!("cargo xtask bench dump --megabytes {} --runs {}", args.megabytes, args.runs);
    format!(
        "Written by `{command}`: medians of {} runs that take turns, on a database of {megabytes} MB.\n\
         {machine}.\n\n{}\n### Restore\n\n{}",
        args.runs,
        table(dumps),
        table(restores)
    )
}

pub(super) fn table(rows: &[Row]) -> String {
    let mut text = String::from(
        "| | wall s | ratio | CPU s | RSS MiB | size MB | ratio |\n| --- | --- | --- | --- | --- | --- | --- |\n",
    );
    let Some(peer) = rows.first() else { return text };
    for row in rows {
        let ours = row.name.starts_with("pg-backup");
        let rss = if ours { format!("{:.0}", row.cost.rss) } else { String::new() };
        let size = row.megabytes.map(|m| format!("{m:.1}")).unwrap_or_default();
        let ratio =
            row.megabytes.zip(peer.megabytes).map(|(a, b)| format!("{:.3}", a / b)).unwrap_or_default();
        let (name, wall, cpu) = (row.name.replace('|', "\\|"), row.cost.wall, row.cost.cpu);
        text += &format!(
            "| `{name}` | {wall:.1} | {:.2} | {cpu:.1} | {rss} | {size} | {ratio} |\n",
            wall / peer.cost.wall
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_compares_with_its_first_line() {
        let row = |name, wall, megabytes| Row { name, cost: Cost { wall, cpu: 1.0, rss: 50.0 }, megabytes };
        let text = table(&[row("peer", 10.0, Some(100.0)), row("pg-backup x", 6.0, Some(101.0))]);
        assert!(text.contains("| `pg-backup x` | 6.0 | 0.60 | 1.0 | 50 | 101.0 | 1.010 |"), "{text}");
        assert!(text.contains("| `peer` | 10.0 | 1.00 | 1.0 |  | 100.0 | 1.000 |"), "{text}");
    }
}
