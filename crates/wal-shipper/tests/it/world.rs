//! A server that archives, a repository, and the tool between them.

use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::process::Command;
use testkit::{Pg, Ran, Site, run_in};

/// Where the tool lies.
pub(crate) fn program() -> &'static Path {
    env!("CARGO_BIN_EXE_wal-shipper").as_ref()
}

/// Everything one test needs; gone when dropped.
pub(crate) struct World(Site);

impl Deref for World {
    type Target = Site;
    fn deref(&self) -> &Site {
        &self.0
    }
}

impl DerefMut for World {
    fn deref_mut(&mut self) -> &mut Site {
        &mut self.0
    }
}

impl World {
    /// A server whose archive_command is ours, with the repository `repo`.
    pub(crate) fn archiving(major: u32) -> World {
        let world = World::new(major);
        world.pg.archive_by(&format!("{} %p", world.command("push")));
        world
    }

    /// A server with archiving on that keeps everything for later.
    pub(crate) fn new(major: u32) -> World {
        let pg = Pg::builder_major(major)
            .set("archive_mode=on")
            .set("archive_command=false")
            .set("wal_level=replica")
            .start();
        let world = World(Site::new(pg, &[program()]));
        world.folder("repo");
        world
    }

    /// The tool.
    pub(crate) fn program(&self) -> PathBuf {
        self.path("bin/wal-shipper")
    }

    /// `wal-shipper VERB --repo …`, as PostgreSQL's settings name it.
    pub(crate) fn command(&self, verb: &str) -> String {
        format!("{} {verb} --repo {}", self.program().display(), self.text("repo"))
    }

    /// Ends `n` segments; their names, when all are archived.
    pub(crate) fn ship(&self, n: usize) -> Vec<String> {
        let names: Vec<String> = (0..n).map(|_| self.pg.switch_wal()).collect();
        names.iter().for_each(|name| self.pg.wait_until_archived(name));
        names
    }

    /// Runs the tool as ourselves.
    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        self.run_in(self.dir.path(), args)
    }

    /// Runs the tool in a folder, as PostgreSQL does in its data directory.
    pub(crate) fn run_in(&self, folder: &Path, args: &[&str]) -> Ran {
        let mut command = Command::new(self.program());
        command.args(args).env_clear().env("PATH", "/usr/bin:/bin").env("TOBAN_REPO", self.path("repo"));
        command.env("DATABASE_URL", self.pg.url()).env("TOBAN_RETRY_FOR", "2s");
        run_in(folder, command)
    }
}
