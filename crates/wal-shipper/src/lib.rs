//! Ships PostgreSQL's WAL into repositories, and gives it back for recovery.

mod acknowledge;
mod check;
mod cli;
mod data_dir;
mod exit_status;
mod fetch;
mod gaps;
mod help;
mod list;
mod push;
mod rulebook;
mod server_id;
mod stream;

pub use cli::WalArgs;

use cli::WalVerb;
use std::process::ExitCode;
use toban_core::{Out, Result};

/// Runs the tool; the status is one that PostgreSQL, which starts `push` and `fetch`, understands.
pub fn main() -> ExitCode {
    exit_status::run_for_postgres(|| toban_core::exit_status(run))
}

fn run(args: WalArgs, out: &mut Out<'_>) -> Result<()> {
    let config = args.common.config()?;
    match &args.verb {
        WalVerb::Push(verb) => push::push_file(verb, &config),
        WalVerb::Fetch(verb) => fetch::fetch_file(verb, &config),
        WalVerb::GetAhead(verb) => fetch::get_ahead(verb, &config),
        WalVerb::Stream(verb) => stream::stream_wal(verb, &config),
        WalVerb::List(verb) => list::list_wal(verb, &config, out),
        WalVerb::Check(verb) => check::check_wal(verb, &config, out),
        WalVerb::Acknowledge(verb) => acknowledge::acknowledge_wal(verb, &config, out),
    }
}
