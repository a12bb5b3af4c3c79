//! How the demo speaks: why, the command as one types it, its own output.

use crate::scratch::Scratch;
use crate::sh::{Context, Failure, Result};
use std::path::Path;
use std::process::Command;

/// The steps of the demo, numbered as they go.
pub(super) struct Story<'s> {
    scratch: &'s Scratch,
    step: u32,
}

impl Story<'_> {
    pub(super) fn new(scratch: &Scratch) -> Story<'_> {
        Story { scratch, step: 0 }
    }

    pub(super) fn dir(&self) -> &Path {
        self.scratch.dir()
    }

    /// The lines that make a shell like ours.
    pub(super) fn environment(&self) -> String {
        let dir = self.dir().display();
        format!(
            "    cd {dir}\n    export PATH={dir}/bin:$PATH PGHOST={dir}/run PGUSER=postgres TOBAN_CONFIG={dir}/toban.toml"
        )
    }

    pub(super) fn chapter(&self, title: &str) {
        println!("\n== {title} ==");
    }

    /// A command that must succeed.
    pub(super) fn step(&mut self, why: &str, line: &str) -> Result<()> {
        match self.run(why, line)? {
            0 => Ok(()),
            status => Err(Failure::new(format!("the demo stops: `{line}` ended with {status}"))),
        }
    }

    /// A command that must fail, and whose status is shown.
    pub(super) fn fails(&mut self, why: &str, line: &str) -> Result<()> {
        match self.run(why, line)? {
            0 => Err(Failure::new(format!("the demo stops: `{line}` should have failed"))),
            status => {
                println!("(exit status {status})");
                Ok(())
            }
        }
    }

    /// The output goes straight to our terminal, so that the reader sees what a user sees.
    fn run(&mut self, why: &str, line: &str) -> Result<i32> {
        self.step += 1;
        println!("\n{}. {why}\n\n$ {line}", self.step);
        let status = self.shell(line).status().doing(|| format!("run {line}"))?;
        status.code().ok_or_else(|| Failure::new(format!("`{line}`: {status}")))
    }

    fn shell(&self, line: &str) -> Command {
        // A pipe's status is its first failure's, and stderr comes where a terminal would show it.
        let mut command = self.scratch.command("bash");
        command.args(["-o", "pipefail", "-c", &format!("{{ {line}\n}} 2>&1")]);
        command.env("TOBAN_CONFIG", self.dir().join("toban.toml"));
        command
    }
}
