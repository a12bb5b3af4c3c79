//! A backup of what changed, beside one of everything, what had to be read, and the peers' incremental backups.

use super::backup::peer;
use super::dump::machine;
use crate::measure::{Cost, cost};
use crate::scratch::Scratch;
use crate::setup;
use crate::sh::{self, Context, Result, read};
use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::path::Path;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Size of the cluster
    #[arg(long, value_name = "MB", default_value_t = 3000)]
    megabytes: u32,
    /// Fill it with what does not compress (uuid, random bytea, jsonb) instead of pgbench's accounts
    #[arg(long)]
    random: bool,
    /// Of 17, whose WAL summaries spare reading, beside pg_basebackup --incremental; else of 15, beside pgBackRest
    #[arg(long)]
    summaries: bool,
    /// Backups of what changed before the last one is restored
    #[arg(long, value_name = "N", default_value_t = 30)]
    backups: u32,
}

/// One way to back up, after one kind of change.
struct Line {
    name: String,
    cost: Cost,
    /// MB that it read, where it says so.
    read: Option<f64>,
    /// MB that it added.
    added: Option<f64>,
}

/// What a change of about one page in a hundred does to the cluster.
struct Change {
    name: &'static str,
    /// `STEP` stands for the rows of 150 pages.
    sql: &'static str,
}

const CHANGES: [Change; 2] = [
    Change {
        name: "a run of rows",
        sql: "update filled set changed = changed + 1 where n <= (select max(n) from filled) / 200",
    },
    Change { name: "single rows, spread", sql: "update filled set changed = changed + 1 where n % STEP = 0" },
];

pub(crate) fn run(args: &Args) -> Result<()> {
    let scratch = match args.summaries {
        true => super::stage_on(Some(17), &["summarize_wal=on", "wal_log_hints=on"], &["pg-backup"])?,
        false => super::stage(&["pg-backup"])?,
    };
    println!("filling a cluster of about {} MB …", args.megabytes);
    fill(&scratch, args)?;
    let data = scratch.psql("postgres", "show data_directory")?;
    let repo = scratch.dir().join("ours");
    let ours = format!(
        "exec pg-backup run --db dbname=postgres --repo file://{} --level 3 --jobs 2 --json >record",
        repo.display()
    );
    let peer = match args.summaries {
        true => pg_basebackup(),
        false => pgbackrest(&scratch, &data)?,
    };
    let mut lines = vec![
        time(&scratch, "pg-backup run, everything", &ours, Some(&repo))?,
        time(&scratch, &format!("{}, full", peer.name), &peer.full, Some(&scratch.dir().join(peer.result)))?,
    ];
    for change in CHANGES {
        let before = scratch.dir().join("before");
        sh::quietly(&mut scratch.shell(&format!("rm -rf before && cp -a {data} before")))?;
        make_change(&scratch, change.sql, 0)?;
        let changed = changed_pages(&before, Path::new(&data), &scratch.dir().join("changed"))?;
        let stored = read(&mut scratch.shell("zstd -q -3 -c changed | wc -c"))?;
        let stored: f64 = stored.trim().parse().doing(|| format!("read {stored:?}"))?;
        lines.push(Line {
            name: format!("{}: {} changed pages, zstd -3", change.name, changed),
            cost: Cost::default(),
            read: None,
            added: Some(stored / 1e6),
        });
        let cat = format!("find {data}/base {data}/global -type f -print0 | xargs -0 cat >/dev/null");
        lines.push(time(&scratch, "cat of the files to /dev/null", &cat, None)?);
        lines.push(time(&scratch, "pg-backup run", &ours, Some(&repo))?);
        let result = scratch.dir().join(peer.result);
        lines.push(time(&scratch, &format!("{}, incremental", peer.name), &peer.incremental, Some(&result))?);
    }
    lines.extend(time_restores(&scratch, args.backups, &ours)?);
    let page = page(args, &machine(&scratch)?, &lines);
    println!("{page}");
    let title = match (args.random, args.summaries) {
        (false, false) => "What changed",
        (true, false) => "What changed, of random data",
        (false, true) => "What changed, by WAL summaries",
        (true, true) => "What changed, of random data by WAL summaries",
    };
    super::record(title, &page)
}

/// How another program backs up.
struct Peer {
    name: &'static str,
    full: String,
    incremental: String,
    /// The folder in which its backups are.
    result: &'static str,
}

fn pgbackrest(scratch: &Scratch, data: &str) -> Result<Peer> {
    let peer = format!(
        "PGBACKREST_BETA=y PGBACKREST_REPO1_BUNDLE=y PGBACKREST_REPO1_BLOCK=y {} --pg1-path={data}",
        peer(scratch, &setup::pgbackrest()?)
    );
    sh::quietly(&mut scratch.shell(&format!("{peer} stanza-create")))?;
    let back_up = |kind: &str| {
        format!(
            "{peer} --compress-type=zst --compress-level=3 --start-fast --no-archive-check --type={kind} backup"
        )
    };
    Ok(Peer { name: "pgbackrest", full: back_up("full"), incremental: back_up("incr"), result: "pgbackrest" })
}

/// Each into a folder of its own; the manifest of the last one says what the next one builds on.
fn pg_basebackup() -> Peer {
    let back_up = "pg_basebackup -Ft -X stream -c fast --compress=client-zstd:3";
    let next = "next=base/$(date +%s%N) && mkdir -p base";
    let last = "cp $next/backup_manifest last";
    Peer {
        name: "pg_basebackup",
        full: format!("{next} && {back_up} -D $next && {last}"),
        incremental: format!("{next} && {back_up} --incremental=last -D $next && {last}"),
        result: "base",
    }
}

/// Changes rows; `number` makes each change one of other rows.
fn make_change(scratch: &Scratch, sql: &str, number: u32) -> Result<()> {
    // The rows of a page change together, or one row in a hundred pages.
    let sql = match sql.contains("STEP") {
        true => {
            let rows =
                "select (reltuples / greatest(relpages, 1))::int from pg_class where relname = 'filled'";
            let rows = scratch.psql("postgres", rows)?;
            let step = (rows.parse::<u64>().doing(|| format!("read {rows:?}"))? * 150).max(1);
            let first = u64::from(number) % step;
            sql.replace("STEP", &step.to_string()).replace("= 0", &format!("= {first}"))
        }
        false => sql.to_string(),
    };
    scratch.psql("postgres", &sql)?;
    scratch.psql("postgres", "checkpoint").map(drop)
}

/// Restores the last of many backups of what changed, beside one of everything.
fn time_restores(scratch: &Scratch, backups: u32, ours: &str) -> Result<Vec<Line>> {
    for number in 1..=backups {
        make_change(scratch, CHANGES[1].sql, number * 7)?;
        sh::quietly(&mut scratch.shell(ours))?;
    }
    let repo = scratch.dir().join("ours");
    let restore = |name: &str| {
        sh::quietly(&mut scratch.shell("rm -rf back"))?;
        let line =
            format!("exec pg-backup restore -D back --repo file://{} --jobs 2 >/dev/null", repo.display());
        time(scratch, name, &line, None)
    };
    // The first one pays for the memory that the cache of files takes, whatever it restores: that one is not told.
    let name = format!("pg-backup restore, backup {backups} of what changed");
    restore("once before")?;
    let last = restore(&name)?;
    sh::quietly(&mut scratch.shell(&ours.replace("--jobs 2", "--jobs 2 --full")))?;
    Ok(vec![last, restore("pg-backup restore, one of everything")?])
}

fn fill(scratch: &Scratch, args: &Args) -> Result<()> {
    let rows = u64::from(args.megabytes) * if args.random { 4_150 } else { 7_200 };
    let column = match args.random {
        true => {
            "gen_random_uuid() id, decode(md5(random()::text) || md5(random()::text) || md5(random()::text), 'hex') bytes, \
             jsonb_build_object('a', random(), 'b', md5(random()::text)) doc, md5(random()::text) text"
        }
        false => "n / 100000 branch, 0 balance, repeat(' ', 84) filler",
    };
    scratch.psql(
        "postgres",
        &format!(
            "create table filled as select n, 0 changed, {column} from generate_series(1, {rows}) n; \
             alter table filled add primary key (n)"
        ),
    )?;
    scratch.psql("postgres", "vacuum (freeze, analyze) filled")?;
    scratch.psql("postgres", "checkpoint").map(drop)
}

/// Runs a line; what it added to the folder `result`, and what it read if it is ours.
fn time(scratch: &Scratch, name: &str, line: &str, result: Option<&Path>) -> Result<Line> {
    let before = result.map(|r| size(scratch, r)).transpose()?;
    let cost = cost(&mut scratch.shell(line))?;
    println!("{name:<42} {:>6.2} s, {:>6.2} s CPU", cost.wall, cost.cpu);
    let added = result.map(|r| Ok(size(scratch, r)? - before.unwrap_or_default())).transpose()?;
    let read = line.ends_with(">record").then(|| read_bytes(scratch)).transpose()?;
    Ok(Line { name: name.into(), cost, read, added })
}

/// MB, of the record of the run that was the last one.
fn read_bytes(scratch: &Scratch) -> Result<f64> {
    let text = read(&mut scratch.shell(r#"sed 's/.*"read_bytes":\([0-9]*\).*/\1/' record"#))?;
    let bytes: f64 = text.trim().parse().doing(|| format!("read {text:?}"))?;
    Ok(bytes / 1e6)
}

/// MB of the files below `folder`.
fn size(scratch: &Scratch, folder: &Path) -> Result<f64> {
    let folder = folder.display();
    let text = read(&mut scratch.shell(&format!(
        "find {folder} -type f -printf '%s\\n' 2>/dev/null | awk '{{ sum += $1 }} END {{ print sum + 0 }}'"
    )))?;
    let bytes: f64 = text.trim().parse().doing(|| format!("read {text:?}"))?;
    Ok(bytes / 1e6)
}

/// Writes every page below `now` that differs from what is below `before` to `out`; how many there are.
fn changed_pages(before: &Path, now: &Path, out: &Path) -> Result<u64> {
    let mut out = BufWriter::new(File::create(out).doing(|| format!("write {}", out.display()))?);
    let mut changed = 0;
    for top in ["base", "global"] {
        let mut folders = vec![now.join(top)];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder).doing(|| format!("read {}", folder.display()))?.flatten()
            {
                let path = entry.path();
                if path.is_dir() {
                    folders.push(path);
                    continue;
                }
                let old = before.join(path.strip_prefix(now).unwrap_or(&path));
                changed += copy_changed(&old, &path, &mut out)?;
            }
        }
    }
    out.flush().doing(|| "write the changed pages".into())?;
    Ok(changed)
}

fn copy_changed(before: &Path, now: &Path, out: &mut impl Write) -> Result<u64> {
    let doing = || format!("compare {}", now.display());
    let mut now = File::open(now).doing(doing)?;
    let mut before = File::open(before).ok();
    let (mut changed, mut page, mut old) = (0, vec![0; 8192], vec![0; 8192]);
    loop {
        page.clear();
        if Read::by_ref(&mut now).take(8192).read_to_end(&mut page).doing(doing)? == 0 {
            return Ok(changed);
        }
        old.clear();
        if let Some(before) = &mut before {
            Read::by_ref(before).take(8192).read_to_end(&mut old).doing(doing)?;
        }
        if page != old {
            changed += 1;
            out.write_all(&page).doing(doing)?;
        }
    }
}

fn page(args: &Args, machine: &str, lines: &[Line]) -> String {
    let flag = |on: bool, name: &'static str| if on { name } else { "" };
    let flags = [flag(args.random, " --random"), flag(args.summaries, " --summaries")].concat();
    let mut text = format!(
        "Written by `cargo xtask bench incremental --megabytes {}{flags}`, one run, on a cluster of {} MB. {machine}. `read` is what it \
         read of the cluster, `added` what the repository grew by.\n\n| | wall s | CPU s | RSS MiB | read MB | added MB |\n\
         | --- | --- | --- | --- | --- | --- |\n",
        args.megabytes, args.megabytes
    );
    for line in lines {
        let shown = |number: Option<f64>, digits: usize| {
            number.map(|number| format!("{number:.digits$}")).unwrap_or_default()
        };
        let timed = (line.cost != Cost::default()).then_some(line.cost);
        let ours = timed.filter(|_| line.name.starts_with("pg-backup"));
        text += &format!(
            "| `{}` | {} | {} | {} | {} | {} |\n",
            line.name,
            shown(timed.map(|cost| cost.wall), 2),
            shown(timed.map(|cost| cost.cpu), 2),
            shown(ours.map(|cost| cost.rss), 0),
            shown(line.read, 1),
            shown(line.added, 1),
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pages_that_differ() {
        let dir = std::env::temp_dir().join(format!("toban-pages-{}", std::process::id()));
        let write = |name: &str, bytes: &[u8]| {
            let path = dir.join(name);
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
            std::fs::write(path, bytes).expect("written");
        };
        let old = vec![1; 3 * 8192];
        let mut new = old.clone();
        new[8192] = 2;
        new.extend_from_slice(&[3; 100]);
        for (name, bytes) in [("a/base/1", &old), ("a/base/2", &old), ("b/base/1", &new), ("b/base/2", &old)]
        {
            write(name, bytes);
        }
        write("b/global/3", &old);
        write("a/global/4", &old);
        let changed = changed_pages(&dir.join("a"), &dir.join("b"), &dir.join("out")).expect("compared");
        let bytes = std::fs::metadata(dir.join("out")).expect("look").len();
        std::fs::remove_dir_all(&dir).expect("removed");
        assert_eq!((changed, bytes), (5, 4 * 8192 + 100));
    }
}
