//! `cargo xtask test`: what the README names and CI runs.

use crate::setup;
use crate::sh::{self, Result, cargo, succeeds};
use std::hash::{BuildHasher, RandomState};
use std::process::Command;

#[derive(clap::Args, Default)]
pub(crate) struct Args {
    /// PostgreSQL 14 and 17 too
    #[arg(long)]
    all_majors: bool,
    /// Handed on to `cargo nextest run`, or to `cargo test` where nextest is not installed
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    rest: Vec<String>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    setup::run(&setup::Args { all_majors: args.all_majors, demo: false })?;
    let seed = seed();
    println!("random tests: TOBAN_SEED={seed} repeats this run");
    for mut command in commands(has_nextest(), &args.rest) {
        command.env("TOBAN_SEED", &seed);
        if args.all_majors {
            command.env("TOBAN_ALL_MAJORS", "1");
        }
        sh::run(&mut command)?;
    }
    Ok(())
}

/// nextest runs no doctests; `cargo test` runs them with the rest.
fn commands(nextest: bool, rest: &[String]) -> Vec<Command> {
    if nextest {
        let mut tests = cargo(&["nextest", "run", "--workspace", "--no-fail-fast"]);
        tests.args(rest);
        let doctests = cargo(&["test", "--workspace", "--doc"]);
        return if rest.is_empty() { vec![tests, doctests] } else { vec![tests] };
    }
    let mut tests = cargo(&["test", "--workspace", "--no-fail-fast"]);
    // Servers are heavy: nextest's limits stand in .config/nextest.toml.
    tests.args(rest).env("RUST_TEST_THREADS", "2");
    vec![tests]
}

pub(crate) fn has_nextest() -> bool {
    succeeds(&mut cargo(&["nextest", "--version"]))
}

/// The seed given by hand, else a fresh one.
fn seed() -> String {
    std::env::var("TOBAN_SEED").unwrap_or_else(|_| RandomState::new().hash_one(0).to_string())
}
