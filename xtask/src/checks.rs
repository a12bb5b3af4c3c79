//! What must hold before a test is worth running. That documents are fresh is a test, which has the binaries.

use crate::sh::{self, Result, cargo, succeeds};
use crate::tidy;

fn step(args: &[&str]) -> Result<()> {
    sh::run(&mut cargo(args))
}

pub(crate) fn run() -> Result<()> {
    step(&["fmt", "--all", "--check"])?;
    step(&["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"])?;
    tidy::run(&tidy::Args::default())?;
    sh::run(
        cargo(&["doc", "--workspace", "--no-deps", "--document-private-items"])
            .env("RUSTDOCFLAGS", "-D warnings"),
    )?;
    deny()
}

/// Licences, bans and sources need no network; advisories do: `cargo deny check advisories`, by hand.
fn deny() -> Result<()> {
    if !succeeds(&mut cargo(&["deny", "--version"])) {
        println!(
            "cargo deny is not installed: licences and bans were not checked (cargo install cargo-deny)"
        );
        return Ok(());
    }
    step(&["deny", "check", "licenses", "bans", "sources"])
}
