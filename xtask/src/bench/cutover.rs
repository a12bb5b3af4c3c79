//! sqlite-to-pg cutover of a large file while an application writes to it: how long its writes are blocked, as it sees
//! that itself.

use crate::scratch::Scratch;
use crate::sh::{self, Failure, Result};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Size of the file
    #[arg(long, value_name = "MB", default_value_t = 1000)]
    megabytes: u64,
    /// Writes of the application in a second, each a transaction of its own
    #[arg(long, value_name = "N", default_value_t = 200)]
    rate: u32,
    /// Runs, each on a file and a database of its own; the table shows each, and their median
    #[arg(long, value_name = "N", default_value_t = 5)]
    runs: usize,
}

/// Makes the file: rows of about a kilobyte in three tables.
const MAKE: &str = "import sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.executescript('''pragma journal_mode = wal; pragma synchronous = off;
create table account (id integer primary key, n int not null, changed datetime, pad text);
create table item (id integer primary key autoincrement, account int references account, title text, note text, price decimal(10,2));
create index item_account on item (account);
create table log (id integer primary key autoincrement, at datetime, what text);''')
rows = int(sys.argv[2]) * 1000
db.execute('begin')
db.execute(\"with recursive c(i) as (select 1 union all select i + 1 from c where i < ?) \"
    \"insert into account select i, 0, '2024-01-02T03:04:05Z', printf('%0180d', i) from c\", (rows // 4,))
db.execute(\"with recursive c(i) as (select 1 union all select i + 1 from c where i < ?) \"
    \"insert into item (account, title, note, price) select i % ? + 1, 'title ' || i, printf('%0860d', i), i % 1000 / 4.0 from c\", (rows, rows // 4))
db.execute('commit')
db.execute('pragma wal_checkpoint(truncate)')
";

/// Writes at a rate, as an application with one connection does, and prints the longest time without a write that was
/// taken. Once SQLite refuses, it waits for what the switch command leaves, and the block ends there.
const WRITE: &str = "import os, random, sqlite3, sys, time
rate = float(sys.argv[2])
db = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=120)
accounts = db.execute('select max(id) from account').fetchone()[0]
dice, taken, longest = random.Random(1), 0, 0.0
last = due = time.monotonic()
def note():
    global last, longest
    now = time.monotonic()
    # What the writer itself sleeps between two writes is no block.
    longest, last = max(longest, now - max(last, due)), now
while True:
    due = max(due + 1 / rate, time.monotonic() - 1)
    time.sleep(max(0, due - time.monotonic()))
    account = dice.randrange(accounts) + 1
    try:
        db.execute('begin immediate')
        db.execute(\"update account set n = n + 1, changed = '2024-05-06T07:08:09Z' where id = ?\", (account,))
        db.execute(\"insert into item (account, title, note, price) values (?, 'new', 'note', 1.25)\", (account,))
        db.execute(\"insert into log (at, what) values ('2024-05-06T07:08:09Z', ?)\", (account,))
        db.execute('commit')
    except sqlite3.Error as e:
        if db.in_transaction:
            db.execute('rollback')
        if 'moved to PostgreSQL' not in str(e):
            raise
        while not os.path.exists('switched'):
            time.sleep(0.001)
        before = longest
        note()
        print(f'{taken} {max(before, longest):.3f}', flush=True)
        break
    taken += 1
    note()
    if taken % 100 == 1:
        open('writes', 'w').write(str(taken))
";

/// One run; the writer's output lies in `writer.out`. What it took is compared with what PostgreSQL has.
const RUN: &str = "set -e; cp source.db app.db; rm -f switched writes writer.out writer.pid
dropdb --if-exists app; createdb app
sqlite-to-pg -q capture app.db >/dev/null
python3 write.py app.db $1 >writer.out & echo $! >writer.pid
sqlite-to-pg -q run app.db --to dbname=app --no-verify >/dev/null
sqlite-to-pg -q sync app.db --to dbname=app >/dev/null
sqlite-to-pg -q cutover app.db --to dbname=app --app-stopped --switch-command 'touch switched' --json >cutover.json
wait; rm writer.pid";

pub(crate) fn run(args: &Args) -> Result<()> {
    let scratch = super::stage(&["sqlite-to-pg"])?;
    scratch.file("make.py", 0o600, MAKE.as_bytes())?;
    scratch.file("write.py", 0o600, WRITE.as_bytes())?;
    println!("making a file of {} MB …", args.megabytes);
    sh::quietly(&mut scratch.shell(&format!("python3 make.py source.db {}", args.megabytes)))?;
    let mut blocks = Vec::new();
    for round in 1..=args.runs {
        let block = run_once(&scratch, args)?;
        println!(
            "round {round}: {} writes; none was taken for {:.3} s at most; {} by the tool's own phases",
            block.taken, block.seconds, block.window
        );
        blocks.push(block);
    }
    let page = page(args, &blocks);
    println!("{page}");
    super::record("Cutover", &page)
}

/// What the writing application saw.
struct WriteBlock {
    taken: u64,
    /// The longest time without a write that was taken.
    seconds: f64,
    /// From the fence to the end of the switch, as the tool measured it.
    window: f64,
}

fn run_once(scratch: &Scratch, args: &Args) -> Result<WriteBlock> {
    let mut shell = scratch.shell(RUN);
    sh::quietly(shell.arg("run").arg(args.rate.to_string()))?;
    let line = sh::read(&mut scratch.shell("cat writer.out"))?;
    let mut words = line.split_whitespace();
    let taken = words.next().and_then(|word| word.parse().ok());
    let seconds = words.next().and_then(|word| word.parse().ok());
    let (Some(taken), Some(seconds)) = (taken, seconds) else {
        return Err(Failure::new(format!("the writer said: {line}")));
    };
    let there = scratch.psql("app", "select sum(n) || ' ' || (select count(*) from log) from account")?;
    if there != format!("{taken} {taken}") {
        return Err(Failure::new(format!("SQLite took {taken} writes, and PostgreSQL has {there}")));
    }
    let window = window_of(&sh::read(&mut scratch.shell("cat cutover.json"))?);
    Ok(WriteBlock { taken, seconds, window })
}

/// Pure: the sum of the phases from the fence to the switch; one inside of another is not counted twice.
fn window_of(records: &str) -> f64 {
    let phase = |line: &str| {
        let field = |name: &str| line.split_once(&format!("\"{name}\":")).map(|(_, rest)| rest);
        let name = field("phase")?.trim_start_matches('"').split('"').next()?.to_string();
        let seconds = field("seconds")?.split([',', '}']).next()?.parse::<f64>().ok()?;
        Some((name, seconds))
    };
    let inside = ["fence", "last changes", "compare", "restore keys and triggers", "switch"];
    records
        .lines()
        .filter_map(phase)
        .filter(|(name, _)| inside.contains(&name.as_str()))
        .map(|(_, s)| s)
        .sum()
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = values.collect();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

fn page(args: &Args, blocks: &[WriteBlock]) -> String {
    let mut text = format!(
        "Written by `cargo xtask bench cutover --megabytes {} --rate {} --runs {}`. An application writes to the file all the \
         time, two inserts and an update in each transaction. Blocked is the longest time in which none of its writes was taken, \
         up to the end of the switch command, as it saw that itself; the window is what the tool says of its own phases. Every \
         write that SQLite took is in PostgreSQL.\n\n| | writes | blocked s | window s |\n| --- | --- | --- | --- |\n",
        args.megabytes, args.rate, args.runs
    );
    for (at, block) in (1..).zip(blocks) {
        text += &format!("| run {at} | {} | {:.3} | {:.3} |\n", block.taken, block.seconds, block.window);
    }
    let seconds = median(blocks.iter().map(|b| b.seconds));
    let window = median(blocks.iter().map(|b| b.window));
    text + &format!("| median | | {seconds:.3} | {window:.3} |\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_is_the_sum_of_its_phases() {
        let records = "{\"schema\":\"x\",\"phase\":\"catch up\",\"began\":\"\",\"seconds\":9.0}\n\
            {\"schema\":\"x\",\"phase\":\"fence\",\"began\":\"\",\"seconds\":0.25}\n\
            {\"schema\":\"x\",\"phase\":\"switch\",\"began\":\"\",\"seconds\":0.5}\n{\"schema\":\"y\",\"values\":\"NaN\"}\n";
        assert!((window_of(records) - 0.75).abs() < 1e-9);
        assert_eq!(median([3.0, 1.0, 2.0].into_iter()), 2.0);
    }
}
