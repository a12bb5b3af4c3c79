//! The project's own tasks: `cargo xtask TASK`. Each file is one task; this one is their table.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "tasks talk to the person who started them")]

mod bench;
mod checks;
mod demo;
pub mod docs;
mod measure;
pub mod new_tool;
mod scratch;
mod setup;
mod sh;
mod soak;
mod test;
pub mod tidy;
pub mod tools;

pub use sh::{Failure, Result, root};

use clap::{Parser, Subcommand};
use std::process::ExitCode;

#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", about = "The project's own tasks")]
struct Args {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Install and download what the tests need, after saying what and where
    Setup(setup::Args),
    /// Show the tools at work on a scratch PostgreSQL, as a story
    Demo,
    /// Set up, then run every test
    Test(test::Args),
    /// What must hold before a test is worth running: format, lints, tidy, rustdoc, licences
    Checks,
    /// `checks`, then `test`
    Ci,
    /// Write the manual pages, completions and tables from the binaries
    Docs(docs::Args),
    /// Plain checks on the tree, and a table of figures
    Tidy(tidy::Args),
    /// Write the skeleton of a new tool
    NewTool(new_tool::Args),
    /// Run a random test with its full count
    Soak(soak::Args),
    /// Measure a tool beside what it replaces
    Bench(bench::Args),
}

/// Runs the task that the command line names; the status is 0 when it is done, else 1.
pub fn main() -> ExitCode {
    match run(Args::parse().task) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("xtask: {e}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> Result<()> {
    match task {
        Task::Setup(args) => setup::run(&args),
        Task::Demo => demo::run(),
        Task::Test(args) => test::run(&args),
        Task::Checks => checks::run(),
        Task::Ci => checks::run().and_then(|()| test::run(&test::Args::default())),
        Task::Docs(args) => docs::run(&args),
        Task::Tidy(args) => tidy::run(&args),
        Task::NewTool(args) => new_tool::run(&args),
        Task::Soak(args) => soak::run(&args),
        Task::Bench(args) => bench::run(&args),
    }
}
