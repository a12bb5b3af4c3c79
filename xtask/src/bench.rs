//! `cargo xtask bench dump`: our tool beside what it replaces, on the same data, in one run.

mod dump;

use crate::sh::Result;

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    /// pg-backup dump beside `pg_dump | gzip`, restore-dump beside `gunzip | psql`
    Dump(dump::Args),
}

pub(crate) fn run(args: &Args) -> Result<()> {
    match &args.what {
        What::Dump(args) => dump::run(args),
    }
}
