//! `cargo xtask bench NAME`: our tool beside what it replaces, on the same data, in one run.

mod accounts;
mod backup;
mod certs;
mod dump;
mod migrate;

use crate::scratch::Scratch;
use crate::setup;
use crate::sh::{self, Context, Result, cargo, target_dir};

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    /// pg-backup run and restore beside tar and zstd, pg_basebackup and pg_dump
    Backup(backup::Args),
    /// pg-backup dump beside `pg_dump | gzip`, restore-dump beside `gunzip | psql`
    Dump(dump::Args),
    /// user-audit app on a million accounts, beside the SQL script that it replaces
    Accounts(accounts::Args),
    /// cert-checker on a thousand targets, beside ssl-cert-check and check_http
    Certs(certs::Args),
    /// sqlite-to-pg on a large ITSM database, beside psql's COPY of the same bytes and pgloader
    Migrate(migrate::Args),
}

pub(crate) fn run(args: &Args) -> Result<()> {
    match &args.what {
        What::Backup(args) => backup::run(args),
        What::Dump(args) => dump::run(args),
        What::Accounts(args) => accounts::run(args),
        What::Certs(args) => certs::run(args),
        What::Migrate(args) => migrate::run(args),
    }
}

/// A server in a scratch folder with pg-backup, built for release, on the PATH of its shells.
fn stage() -> Result<Scratch> {
    setup::run(&setup::Args { demo: true, all_majors: false })?;
    sh::run(&mut cargo(&["build", "--release", "--quiet", "--package", "pg-backup"]))?;
    let scratch = Scratch::start("bench", true)?;
    let built = target_dir().join("release/pg-backup");
    let binary = std::fs::read(&built).doing(|| format!("read {}", built.display()))?;
    scratch.file("bin/pg-backup", 0o755, &binary)?;
    Ok(scratch)
}
