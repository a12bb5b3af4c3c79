//! `cargo xtask demo`: a bad day of an administrator, told with real commands on a scratch PostgreSQL.

mod story;

use crate::scratch::Scratch;
use crate::sh::{Context, Result};
use crate::{docs, setup};
use std::time::Instant;
use story::Story;

const TOOLS: [&str; 3] = ["pg-backup", "wal-shipper", "pg-drill"];
const SCHEMA: &str = include_str!("../../sql/schema.sql");
const FILL: &str = include_str!("../../sql/fill.sql");
const FINGERPRINT: &str = include_str!("../../sql/fingerprint.sql");
const CONFIG: &str = include_str!("toban.toml");
const SENDMAIL: &str = include_str!("sendmail");

pub(crate) fn run() -> Result<()> {
    setup::run(&setup::Args { demo: true, all_majors: false })?;
    println!("building {} (the first time takes some minutes) …", TOOLS.join(", "));
    let built = docs::build(&TOOLS.map(String::from))?;
    let begin = Instant::now();
    let scratch = Scratch::start("demo", None, &["fsync=off"])?;
    for tool in TOOLS {
        let built = built.join(tool);
        let binary = std::fs::read(&built).doing(|| format!("read {}", built.display()))?;
        scratch.file(&format!("bin/{tool}"), 0o755, &binary)?;
    }
    furnish(&scratch)?;
    tell(&mut Story::new(&scratch))?;
    println!(
        "\nThat took {} s; the server stops and {} goes now.",
        begin.elapsed().as_secs(),
        scratch.dir().display()
    );
    println!("Your own first backup: README.md. Every night, S3, mail: docs/guide/dump.md.");
    Ok(())
}

/// The stage: configuration, SQL, a sendmail that keeps the mail in a folder.
fn furnish(scratch: &Scratch) -> Result<()> {
    for folder in ["backups", "metrics", "mail", "state"] {
        scratch.folder(folder)?;
    }
    let fill = |text: &str| text.replace("DIR", &scratch.dir().display().to_string());
    scratch.file("toban.toml", 0o600, fill(CONFIG).as_bytes())?;
    scratch.file("bin/sendmail", 0o755, fill(SENDMAIL).as_bytes())?;
    scratch.file("schema.sql", 0o600, SCHEMA.as_bytes())?;
    scratch.file("fill.sql", 0o600, FILL.as_bytes())?;
    scratch.file("fingerprint.sql", 0o600, FINGERPRINT.as_bytes()).map(drop)
}

fn tell(story: &mut Story<'_>) -> Result<()> {
    println!(
        "\nA scratch PostgreSQL runs in {}; nothing outside that folder is touched.",
        story.dir().display()
    );
    println!("This is the shell we work in:\n\n{}", story.environment());
    application(story)?;
    first_backup(story)?;
    mistake(story)?;
    rescue(story)?;
    housekeeping(story)?;
    telling(story)?;
    disaster(story)?;
    last_second(story)?;
    drill(story)
}

fn application(story: &mut Story<'_>) -> Result<()> {
    story.chapter("The application");
    story.step(
        "A service desk: users, assets, incidents with their history, comments, changes.",
        "createdb itsm && psql -Xq -d itsm -f schema.sql && psql -Xq -d itsm -v scale=1 -f fill.sql",
    )?;
    story.step(
        "What it holds, and a sum over every table: the truth to compare with later.",
        "psql -Xq -d itsm -f fingerprint.sql | tee before.txt",
    )
}

fn first_backup(story: &mut Story<'_>) -> Result<()> {
    story.chapter("The nightly backup");
    story.step("One file tells where backups go, how long they stay and who is told.", "cat toban.toml")?;
    story.step("What a dump would do, before it does anything.", "pg-backup dump itsm --dry-run")?;
    story.step(
        "The dump itself; roles and tablespaces go with it. A timer runs this line at 03:00.",
        "pg-backup dump itsm",
    )?;
    story.step(
        "What the repository holds: a dump is listed once it is whole, never before.",
        "pg-backup list",
    )?;
    story.step(
        "A backup nobody read back is a hope: read it and check every sum.",
        "pg-backup verify --newest",
    )
}

fn mistake(story: &mut Story<'_>) -> Result<()> {
    story.chapter("The mistake");
    story.step("Somebody meant the test server.", "psql -d itsm -c 'drop table itsm.comments'")?;
    story.fails("The service desk is down.", "psql -d itsm -c 'select count(*) from comments'")
}

fn rescue(story: &mut Story<'_>) -> Result<()> {
    story.chapter("The rescue");
    story.step(
        "First beside the live database: nothing is lost if this is the wrong dump.",
        "pg-backup restore-dump latest --of itsm --into itsm_beside",
    )?;
    story.step("Is it the right one? The same query there, and diff as the judge.", "psql -Xq -d itsm_beside -f fingerprint.sql > beside.txt && diff before.txt beside.txt && echo 'no difference'")?;
    story.step("Now for real: a safety dump of the present state, the dump restored aside, counted, then swapped in.", "pg-backup restore-dump latest --of itsm --replace itsm")?;
    story.step("The service desk is back, every row of it.", "psql -Xq -d itsm -f fingerprint.sql > after.txt && diff before.txt after.txt && echo 'no difference'")?;
    story.step("The copy beside is no longer needed.", "dropdb itsm_beside")
}

fn housekeeping(story: &mut Story<'_>) -> Result<()> {
    story.chapter("Some nights later");
    story.step(
        "More dumps pile up.",
        "pg-backup dump itsm && pg-backup dump itsm --label before-upgrade && pg-backup list",
    )?;
    story.step(
        "Prune explains what it would keep and why, and what would go.",
        "pg-backup prune --keep-last 2 --dry-run",
    )?;
    story.step("The same, done.", "pg-backup prune --keep-last 2")?;
    story.step("The newest is read back again, as the weekly timer does.", "pg-backup verify --newest")?;
    story.step(
        "Is all well? Age, size and last verify of the newest dump; a monitoring system may ask this.",
        "pg-backup check itsm",
    )
}

fn telling(story: &mut Story<'_>) -> Result<()> {
    story.chapter("When something breaks");
    story.fails(
        "A backup that cannot be made must not be quiet: this database does not exist.",
        "pg-backup dump no_such_database",
    )?;
    story.step("So there is mail (here a stand-in for sendmail keeps it in a folder).", "cat mail/*")?;
    story.step(
        "And figures for node_exporter, so that a backup that never ran is seen too.",
        "grep -h last_success_timestamp_seconds{ metrics/*.prom",
    )
}

fn disaster(story: &mut Story<'_>) -> Result<()> {
    story.chapter("The disk dies");
    story.step(
        "A dump is of one database and of yesterday. This is the whole cluster, while it runs.",
        "pg-backup run && pg-backup verify --newest",
    )?;
    story.step("What is in the database now.", "psql -Xq -d itsm -f fingerprint.sql > before.txt")?;
    story
        .step("And then the data directory is gone.", "pg_ctl -D data -s -m immediate stop && rm -rf data")?;
    story.step(
        "Back from the repository; a server cannot start there before all of it is written.",
        "pg-backup restore -D $PWD/data",
    )?;
    story.step(
        "PostgreSQL's own judge compares every file and reads the WAL, and the server starts.",
        "pg_verifybackup data && pg_ctl -D data -s -w -l restored.log -o \"-k $PWD/run -c listen_addresses=\" start",
    )?;
    story.step(
        "The service desk is back, every row of it.",
        "psql -Xq -d itsm -f fingerprint.sql > after.txt && diff before.txt after.txt && echo 'no difference'",
    )
}

/// What keeps the scratch server ends it with the demo, however that ends.
const STREAM: &str = "wal-shipper stream --db dbname=postgres 2>stream.log & echo $! >stream.pid;";

/// Waits until it has found the server.
const STREAMS: &str =
    "until psql -XAtqc 'select active from pg_replication_slots' | grep -q t; do sleep 0.1; done";

/// Each line is printed when the server has acknowledged its commit.
const APPLICATION: &str = "psql -Xqc 'create table ledger (n int, at timestamptz default clock_timestamp())'
for n in $(seq 1000000); do echo \"insert into ledger values ($n) returning n, at;\"; done \
    | psql -XAtq >acknowledged.txt 2>/dev/null &
sleep 5; kill -9 $(head -n 1 data/postmaster.pid); rm -rf data run/.s*; wait; tail -n 1 acknowledged.txt";

const LOST: &str = "psql -Xtc \"select 'last commit that is there: ' || n || '|' || at || E'\\\\n lost: ' ||
    '$(tail -n 1 acknowledged.txt | cut -d'|' -f 2)' - at from ledger order by n desc limit 1\"";

fn last_second(story: &mut Story<'_>) -> Result<()> {
    story.chapter("The last second");
    story.step(
        "A backup is of last night. From now on the WAL goes to the repository while it is written; a service does this.",
        &format!("{STREAM} {STREAMS}"),
    )?;
    story.step(
        "Backup and WAL together reach every moment from here on.",
        "pg-backup run && pg-backup list",
    )?;
    story.step(
        "An application at work; each line is a commit that PostgreSQL acknowledged. Then SIGKILL, and the disk is gone.",
        APPLICATION,
    )?;
    story.step(
        "Which moments are there? This one wants all that was shipped.",
        "pg-backup restore --target latest -D $PWD/data",
    )?;
    story.step(
        "The server gets its WAL by `wal-shipper fetch` and is promoted at the end of it.",
        "pg_ctl -D data -s -w -l restored.log -o \"-k $PWD/run -c listen_addresses=\" start && \
    until [ $(psql -XAtqc 'select pg_is_in_recovery()') = f ]; do sleep 0.1; done",
    )?;
    story.step("What was lost of what had been acknowledged?", LOST)
}

fn drill(story: &mut Story<'_>) -> Result<()> {
    story.chapter("The drill");
    story.step(
        "The stream has found the restored server, on its new timeline; the next backup begins there.",
        &format!("{STREAMS}\npg-backup run && wal-shipper list"),
    )?;
    story.step(
        "Once a month: restore on a server beside, recover, check, compare with the live one, and write down the proof.",
        "pg-drill --db dbname=postgres --rpo 15min --rto 1h",
    )?;
    story.step(
        "The weekly timer reads all back, the WAL too; and pg-backup knows when that was.",
        "pg-backup verify && pg-backup check",
    )
}
