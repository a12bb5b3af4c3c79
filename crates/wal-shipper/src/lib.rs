//! Ships PostgreSQL's WAL into repositories, and gives it back for recovery.

mod acknowledge;
mod check;
mod cli;
mod contract;
mod fetch;
mod help;
mod list;
mod local;
mod places;
mod push;
mod stream;

pub use cli::Args;

use cli::Verb;
use std::process::ExitCode;
use toban_core::{Out, Result};

/// Parses, runs, and ends with the status that whoever started us understands.
pub fn main() -> ExitCode {
    contract::apply(|| toban_core::exit_status(run))
}

fn run(args: Args, out: &mut Out<'_>) -> Result<()> {
    let config = args.common.config()?;
    match &args.verb {
        Verb::Push(verb) => push::run(verb, &config),
        Verb::Fetch(verb) => fetch::run(verb, &config),
        Verb::GetAhead(verb) => fetch::get_ahead(verb, &config),
        Verb::Stream(verb) => stream::run(verb, &config),
        Verb::List(verb) => list::run(verb, &config, out),
        Verb::Check(verb) => check::run(verb, &config, out),
        Verb::Acknowledge(verb) => acknowledge::run(verb, &config, out),
    }
}
