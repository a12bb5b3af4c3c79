//! Physical backup and restore of one cluster, beside what they replace.

use super::dump::{Row, Way, machine, measure, table};
use super::encryption::{self, IDENTITY, RECIPIENTS};
use crate::scratch::Scratch;
use crate::setup;
use crate::sh::{self, Result};
use std::path::Path;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Size of the cluster, by pgbench
    #[arg(long, value_name = "MB", default_value_t = 3000)]
    megabytes: u32,
    /// Runs of each; the table shows their medians
    #[arg(long, value_name = "N", default_value_t = 3)]
    runs: usize,
}

const PLAIN_RUN: &str = "pg-backup run --jobs 2";
const ENCRYPTED_RUN: &str = "pg-backup run --jobs 2, encrypted";
const PLAIN_RESTORE: &str = "pg-backup restore --jobs 2";
const ENCRYPTED_RESTORE: &str = "pg-backup restore --jobs 2, encrypted";

/// Of each unit of pgbench's scale.
const MEGABYTES_PER_SCALE: f64 = 15.0;

pub(crate) fn run(args: &Args) -> Result<()> {
    let scratch = super::stage(&["pg-backup"])?;
    let scale = (f64::from(args.megabytes) / MEGABYTES_PER_SCALE).ceil();
    println!("filling a cluster of about {} MB …", args.megabytes);
    sh::quietly(
        &mut scratch.shell(&format!("pgbench -i -q -s {scale} postgres && psql -Xqc checkpoint postgres")),
    )?;
    let data = scratch.psql("postgres", "show data_directory")?;
    encryption::make_key(&scratch)?;
    let peer = peer(&scratch, &setup::pgbackrest()?);
    sh::quietly(&mut scratch.shell(&format!("{peer} --pg1-path={data} stanza-create")))?;
    let runs = measure(&scratch, &backups(&scratch, &data, &peer), args.runs)?;
    let restores = measure(&scratch, &restores(&scratch, &peer), args.runs)?;
    let page = page(args, &machine(&scratch)?, &runs, &restores);
    println!("{page}");
    super::record("Physical backup", &page)
}

/// pgBackRest with all that it must be told, in its environment: on its command line each command refuses what only
/// others know. No archive, and so no WAL in its backup.
pub(super) fn peer(scratch: &Scratch, program: &Path) -> String {
    let dir = scratch.dir().display();
    format!(
        "PGBACKREST_CONFIG=/dev/null PGBACKREST_STANZA=x PGBACKREST_REPO1_PATH={dir}/pgbackrest \
         PGBACKREST_REPO1_RETENTION_FULL=1 PGBACKREST_PG1_SOCKET_PATH={dir}/run PGBACKREST_LOCK_PATH={dir}/lock \
         PGBACKREST_LOG_LEVEL_FILE=off PGBACKREST_LOG_LEVEL_CONSOLE=error PGBACKREST_PROCESS_MAX=2 {}",
        program.display()
    )
}

fn backups(scratch: &Scratch, data: &str, peer: &str) -> Vec<Way> {
    let way = |name, result, line: String| Way {
        name,
        before: format!("rm -rf {result}"),
        line,
        result: Some(result),
    };
    let ours = |folder: &str, more: &str| {
        let repo = format!("file://{}/{folder}", scratch.dir().display());
        format!("exec pg-backup run --db dbname=postgres --repo {repo} {more} --level 3 >/dev/null")
    };
    vec![
        way(
            "tar | zstd -3",
            "peer.tar.zst",
            format!("tar -C {data} --exclude pg_wal -c . 2>/dev/null | zstd -q -3 -o peer.tar.zst"),
        ),
        way("pg-backup run --jobs 1", "ours-1", ours("ours-1", "--jobs 1")),
        way(PLAIN_RUN, "ours-2", ours("ours-2", "--jobs 2")),
        way(ENCRYPTED_RUN, "encrypted", ours("encrypted", &format!("--jobs 2 {RECIPIENTS}"))),
        // Its repository has the stanza: only the backups in it are cleared, by the next full one.
        Way {
            name: "pgbackrest, 2 processes, zst 3",
            before: "true".into(),
            line: format!(
                "{peer} --pg1-path={data} --compress-type=zst --compress-level=3 --start-fast --no-archive-check \
                 --type=full backup"
            ),
            result: None,
        },
        way(
            "pg_basebackup -Ft -X stream, zstd -3",
            "base",
            "pg_basebackup -Ft -X stream -c fast --compress=client-zstd:3 -D base".into(),
        ),
        way("pg_dump | gzip -6", "peer.sql.gz", "pg_dump postgres | gzip -6 > peer.sql.gz".into()),
    ]
}

fn restores(scratch: &Scratch, peer: &str) -> Vec<Way> {
    let way = |name, line: String| Way { name, before: "rm -rf back".into(), line, result: None };
    let ours = |folder: &str, more: &str| {
        let repo = format!("file://{}/{folder}", scratch.dir().display());
        format!("exec pg-backup restore -D back --repo {repo} {more} >/dev/null")
    };
    vec![
        way(
            "zstd -d | tar x",
            "mkdir back && zstd -q -dc peer.tar.zst | tar -C back -x && sync -f back".into(),
        ),
        way("pg-backup restore --jobs 1", ours("ours-1", "--jobs 1")),
        way(PLAIN_RESTORE, ours("ours-2", "--jobs 2")),
        way(ENCRYPTED_RESTORE, ours("encrypted", &format!("--jobs 2 {IDENTITY}"))),
        way(
            "pgbackrest restore, 2 processes",
            format!("mkdir -m 700 back && {peer} --pg1-path=$PWD/back --type=immediate restore"),
        ),
    ]
}

fn page(args: &Args, machine: &str, runs: &[Row], restores: &[Row]) -> String {
    let command = format!("cargo xtask bench backup --megabytes {} --runs {}", args.megabytes, args.runs);
    format!(
        "Written by `{command}`: medians of {} runs that take turns, on a pgbench cluster of \
         {} MB. {machine}.\n\n{}\n{}\n\n### Restore\n\nEach is durable at its end.\n\n{}\n{}\n",
        args.runs,
        args.megabytes,
        table(runs),
        encryption::compare(runs, PLAIN_RUN, ENCRYPTED_RUN),
        table(restores),
        encryption::compare(restores, PLAIN_RESTORE, ENCRYPTED_RESTORE)
    )
}
