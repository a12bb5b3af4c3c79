//! `cargo xtask bench NAME`: our tool beside what it replaces, on the same data, in one run.

mod accounts;
mod backup;
mod dump;
mod migrate;

use crate::sh::Result;

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
    /// sqlite-to-pg on a large ITSM database, beside psql's COPY of the same bytes and pgloader
    Migrate(migrate::Args),
}

pub(crate) fn run(args: &Args) -> Result<()> {
    match &args.what {
        What::Backup(args) => backup::run(args),
        What::Dump(args) => dump::run(args),
        What::Accounts(args) => accounts::run(args),
        What::Migrate(args) => migrate::run(args),
    }
}
