//! The WAL archive: what one segment costs, how fast a backlog goes, whether one grows, and what recovery pays.

mod recovery;
mod server;

use super::dump::machine;
use super::encryption;
use crate::measure::cost;
use crate::scratch::Scratch;
use crate::setup;
use crate::sh::{self, Context, Failure, Result};
use server::Archiver;
use std::process::Command;
use std::time::{Duration, Instant};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Segments of 16 MiB that wait for the archiver
    #[arg(long, value_name = "N", default_value_t = 85)]
    segments: usize,
    /// Segments that are pushed one by one, by each way
    #[arg(long, value_name = "N", default_value_t = 20)]
    singles: usize,
    /// Runs of the others; the tables show their medians
    #[arg(long, value_name = "N", default_value_t = 3)]
    runs: usize,
    /// Seconds of pgbench for the sustained load
    #[arg(long, value_name = "S", default_value_t = 20)]
    seconds: u32,
}

/// One way to archive and to give back, as lines of the server's configuration; all work in the scratch folder.
struct Way {
    name: &'static str,
    push: String,
    fetch: String,
    /// Makes its archive anew.
    reset: String,
}

const OURS: &str = "wal-shipper";
const OURS_ENCRYPTED: &str = "wal-shipper, encrypted";

pub(crate) fn run(args: &Args) -> Result<()> {
    let scratch = super::stage(&["wal-shipper"])?;
    let archiver = Archiver::start(&scratch)?;
    encryption::make_key(&scratch)?;
    let ways = ways(&scratch, &setup::pgbackrest()?)?;
    println!("writing {} segments …", args.segments);
    archiver.base_backup()?;
    archiver.write(args.segments)?;
    let singles = singles(&archiver, &ways, args.singles)?;
    let drains = drains(&archiver, &ways, args)?;
    let recoveries = recovery::measure(&archiver, &ways, args.runs)?;
    let loads = loads(&archiver, &ways, args.seconds)?;
    let page = format!(
        "Written by `cargo xtask bench wal --segments {} --singles {} --runs {} --seconds {}`. {}. Segments of 16 MiB \
         that pgbench wrote; zstd's level 1 wherever there is compression; every way leaves its files durable.\n\n\
         ### One segment\n\nThe median of {} pushes, one after another, through a shell as the archiver does it.\n\n{}\n\
         ### A backlog\n\n{} segments wait, then PostgreSQL's archiver is given the command; the median of {} runs.\n\n{}\n\
         ### Recovery\n\nFrom the start of the server to its promotion over the same segments; the median of {} runs.\n\n{}\n\
         ### Load\n\n`pgbench -c 8` at full speed with the archiver at work.\n\n{}",
        args.segments,
        args.singles,
        args.runs,
        args.seconds,
        machine(&scratch)?,
        args.singles,
        singles,
        args.segments,
        args.runs,
        drains,
        args.runs,
        recoveries,
        loads
    );
    println!("{page}");
    super::record("WAL", &page)
}

fn ways(scratch: &Scratch, pgbackrest: &std::path::Path) -> Result<[Way; 5]> {
    let dir = scratch.dir().display().to_string();
    for folder in ["cp", "zstd", "spool", "lock"] {
        scratch.folder(folder)?;
    }
    let peer = format!(
        "PGBACKREST_CONFIG=/dev/null PGBACKREST_STANZA=x PGBACKREST_REPO1_PATH={dir}/pgbackrest \
         PGBACKREST_REPO1_RETENTION_FULL=1 PGBACKREST_LOCK_PATH={dir}/lock PGBACKREST_SPOOL_PATH={dir}/spool \
         PGBACKREST_LOG_LEVEL_FILE=off PGBACKREST_LOG_LEVEL_CONSOLE=error PGBACKREST_PROCESS_MAX=2 \
         PGBACKREST_COMPRESS_TYPE=zst PGBACKREST_COMPRESS_LEVEL=1 PGBACKREST_PG1_SOCKET_PATH={dir}/run {}",
        pgbackrest.display()
    );
    let local = |name, push: &str, fetch: &str, folder: &str| Way {
        name,
        push: push.replace("DIR", &dir),
        fetch: fetch.replace("DIR", &dir),
        reset: format!("rm -rf {folder} && mkdir {folder}"),
    };
    Ok([
        local("cp, sync", "cp %p DIR/cp/%f && sync DIR/cp/%f DIR/cp", "cp DIR/cp/%f %p", "cp"),
        local(
            "zstd -1, sync",
            "zstd -q -1 %p -o DIR/zstd/%f.zst && sync DIR/zstd/%f.zst DIR/zstd",
            "zstd -q -d DIR/zstd/%f.zst -o %p",
            "zstd",
        ),
        Way {
            name: "pgbackrest",
            push: format!("{peer} --pg1-path=$PWD --archive-async archive-push %p"),
            fetch: format!("{peer} --pg1-path=$PWD --archive-async archive-get %f %p"),
            reset: format!(
                "rm -rf pgbackrest spool/archive && {peer} --pg1-path={dir}/data stanza-create >/dev/null"
            ),
        },
        Way {
            name: OURS,
            push: format!("wal-shipper push %p --repo file://{dir}/ours"),
            fetch: format!("wal-shipper fetch %f %p --repo file://{dir}/ours"),
            reset: "rm -rf ours".into(),
        },
        Way {
            name: OURS_ENCRYPTED,
            push: format!(
                "wal-shipper push %p --repo file://{dir}/encrypted --recipients-file {dir}/recipients"
            ),
            fetch: format!("wal-shipper fetch %f %p --repo file://{dir}/encrypted --identity {dir}/identity"),
            reset: "rm -rf encrypted".into(),
        },
    ])
}

/// Milliseconds of one push of each way, taking turns; our memory by the way.
fn singles(archiver: &Archiver<'_>, ways: &[Way], count: usize) -> Result<String> {
    archiver.reset(ways)?;
    let segments: Vec<String> = archiver.waiting()?.into_iter().take(count).collect();
    let mut walls = vec![Vec::new(); ways.len()];
    for segment in &segments {
        for (way, walls) in ways.iter().zip(&mut walls) {
            // Alone: nothing is got ready for the calls to come.
            let line = way
                .push
                .replace("--archive-async ", "")
                .replace("push %p --repo", "push %p --ahead 0 --repo");
            walls.push(wall(&mut archiver.once(&line, segment))?);
        }
    }
    let medians: Vec<f64> = walls.iter_mut().map(|w| 1000.0 * median(w)).collect();
    let mut rows = String::new();
    for (way, ms) in ways.iter().zip(&medians) {
        let mut memory = String::new();
        if way.name.starts_with(OURS) {
            // One call that takes all the others along, as after an outage.
            let all = cost(&mut archiver.once(&format!("exec {}", way.push), &segments[0]))?;
            archiver.all_wait()?;
            memory = format!("{:.0}", all.rss);
        }
        rows += &format!("| `{}` | {ms:.0} | {:.2} | {memory} |\n", way.name, ms / medians[1]);
    }
    let [.., plain, encrypted] = &medians[..] else { return Ok(rows) };
    Ok(format!(
        "| | ms | to `zstd -1, sync` | RSS MiB |\n| --- | --- | --- | --- |\n{rows}\n\
         Encrypted to plain: {:.2} times.\n",
        encrypted / plain
    ))
}

/// How fast the archiver works a backlog off.
fn drains(archiver: &Archiver<'_>, ways: &[Way], args: &Args) -> Result<String> {
    let mut walls = vec![Vec::new(); ways.len()];
    for round in 1..=args.runs {
        archiver.reset(ways)?;
        for (way, walls) in ways.iter().zip(&mut walls) {
            walls.push(archiver.drain(&way.push)?);
            println!("backlog {round}: {:<20} {:>6.2} s", way.name, walls[walls.len() - 1]);
        }
    }
    let rates: Vec<f64> = walls.iter_mut().map(|w| args.segments as f64 / median(w)).collect();
    let rows = ways.iter().zip(&rates).map(|(way, rate)| {
        let asynchronous = if way.name == "pgbackrest" { ", asynchronous, 2 processes" } else { "" };
        format!("| `{}`{asynchronous} | {rate:.1} | {:.2} |\n", way.name, rate / rates[2])
    });
    Ok(format!("| | segments/s | to pgbackrest |\n| --- | --- | --- |\n{}", rows.collect::<String>()))
}

/// Whether a backlog grows under load.
fn loads(archiver: &Archiver<'_>, ways: &[Way], seconds: u32) -> Result<String> {
    let mut text =
        String::from("| | transactions/s | segments | left waiting |\n| --- | --- | --- | --- |\n");
    archiver.reset(ways)?;
    for way in ways {
        let load = archiver.load(&way.push, seconds)?;
        text += &format!("| `{}` | {:.0} | {} | {} |\n", way.name, load.rate, load.segments, load.waiting);
    }
    Ok(text)
}

/// Seconds of a run that must end well; finer than [`cost`], which looks every 20 ms.
fn wall(command: &mut Command) -> Result<f64> {
    let began = Instant::now();
    sh::quietly(command)?;
    Ok(began.elapsed().as_secs_f64())
}

fn median(walls: &mut [f64]) -> f64 {
    walls.sort_by(f64::total_cmp);
    walls.get(walls.len() / 2).copied().unwrap_or_default()
}

/// Asks until it is so.
fn until(what: &str, mut so: impl FnMut() -> Result<bool>) -> Result<()> {
    let began = Instant::now();
    while !so().doing(|| what.into())? {
        if began.elapsed() > Duration::from_secs(300) {
            return Err(Failure::new(format!("{what}: not within five minutes")));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}
