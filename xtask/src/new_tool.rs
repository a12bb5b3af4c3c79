//! `cargo xtask new-tool NAME`: the skeleton that every tool begins as.

use crate::sh::{Context, Failure, Result, root};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Name of the crate and of the binary, as user-audit
    name: String,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let folder = root().join("crates").join(checked(&args.name)?);
    if folder.exists() {
        return Err(Failure::new(format!("{} is already there", folder.display())));
    }
    std::fs::create_dir_all(folder.join("src")).doing(|| format!("create {}", folder.display()))?;
    for (path, text) in skeleton(&args.name) {
        let path = folder.join(path);
        std::fs::write(&path, text).doing(|| format!("write {}", path.display()))?;
        println!("wrote {}", path.display());
    }
    println!("next: write what it does in src/cli.rs, then run: cargo xtask docs");
    Ok(())
}

fn checked(name: &str) -> Result<&str> {
    let fine = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let ok =
        name.starts_with(|c: char| c.is_ascii_lowercase()) && name.chars().all(fine) && !name.ends_with('-');
    ok.then_some(name)
        .ok_or_else(|| Failure::new(format!("{name:?}: lower-case letters, digits and '-' only")))
}

/// The files of a new tool: path inside the crate, text.
pub fn skeleton(name: &str) -> [(&'static str, String); 4] {
    let module = name.replace('-', "_");
    let fill = |text: &str| {
        text.replace("NAME", name).replace("MODULE", &module).replace("TYPE", &type_prefix(name))
    };
    [
        ("Cargo.toml", fill(MANIFEST)),
        ("src/main.rs", fill(MAIN)),
        ("src/cli.rs", fill(CLI)),
        ("src/lib.rs", fill(LIB)),
    ]
}

/// `CatHerder` for `cat-herder`.
fn type_prefix(name: &str) -> String {
    let capitalise = |word: &str| word[..1].to_uppercase() + &word[1..];
    name.split('-').filter(|word| !word.is_empty()).map(capitalise).collect()
}

const MANIFEST: &str = r#"[package]
name = "NAME"
description = "One sentence: what NAME does"
version.workspace = true
edition.workspace = true
rust-version.workspace = true
license.workspace = true
repository.workspace = true
publish.workspace = true

[dependencies]
toban-core.workspace = true
clap.workspace = true
serde.workspace = true

[lints]
workspace = true
"#;

const MAIN: &str = "fn main() -> std::process::ExitCode {
    toban_core::main(MODULE::run)
}
";

const CLI: &str = r#"//! What the command line takes; the doc comments are the help and the manual page.

use clap::{Args as Group, Parser, Subcommand};
use toban_core::{Cli, Common};

/// One sentence: what NAME does.
#[derive(Parser, Debug)]
#[command(version, name = "NAME", max_term_width = 100)]
pub struct TYPEArgs {
    #[command(flatten)]
    pub common: Common,
    #[command(subcommand)]
    pub verb: TYPEVerb,
}

impl Cli for TYPEArgs {
    fn common(&self) -> &Common {
        &self.common
    }
}

/// What to do.
#[derive(Subcommand, Debug)]
pub enum TYPEVerb {
    /// Look at one thing and say what it is
    Check(Check),
}

#[derive(Group, Debug)]
pub struct Check {
    /// The thing
    #[arg(value_name = "TARGET")]
    pub target: String,
}
"#;

const LIB: &str = r#"//! One sentence: what NAME does.

mod cli;

pub use cli::TYPEArgs;

use cli::{Check, TYPEVerb};
use serde::Serialize;
use toban_core::{Out, Record, Result};

/// Runs the verb.
///
/// # Errors
/// Those of the verbs; docs/EXIT-STATUS.md lists the kinds.
pub fn run(args: TYPEArgs, out: &mut Out<'_>) -> Result<()> {
    match args.verb {
        TYPEVerb::Check(check) => out.emit(&judge(&check)),
    }
}

fn judge(check: &Check) -> Verdict {
    Verdict { target: check.target.clone() }
}

#[derive(Serialize)]
struct Verdict {
    target: String,
}

impl Record for Verdict {
    const SCHEMA: &'static str = "NAME.check/1";
    const HEAD: &'static [&'static str] = &["target"];

    fn cells(&self) -> Vec<String> {
        vec![self.target.clone()]
    }
}
"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_tool_costs_less_than_100_lines() {
        let lines: usize = skeleton("cat-herder").iter().map(|(_, text)| text.lines().count()).sum();
        assert!(lines < 100, "{lines} lines");
    }

    #[test]
    fn names_are_those_of_crates() {
        assert!(checked("user-audit").is_ok());
        for bad in ["", "-a", "a-", "User", "a_b", "../x"] {
            assert!(checked(bad).is_err(), "{bad:?}");
        }
    }
}
