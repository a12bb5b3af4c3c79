//! A server that archives, a repository, and the tool between them.

use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;
use tempfile::TempDir;
use testkit::{Pg, until};

/// Everything one test needs; gone when dropped.
pub(crate) struct World {
    pub(crate) pg: Pg,
    pub(crate) dir: TempDir,
}

impl World {
    /// A server whose archive_command is ours, with the repository `repo`.
    pub(crate) fn archiving(major: u32) -> World {
        let world = World::new(major);
        world.archive_by(&format!("{} %p", world.command("push")));
        world
    }

    /// A server with archiving on that keeps everything for later.
    pub(crate) fn new(major: u32) -> World {
        let pg = Pg::builder_major(major)
            .set("archive_mode=on")
            .set("archive_command=false")
            .set("wal_level=replica")
            .start();
        let dir = tempfile::tempdir().expect("a folder");
        std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o755)).expect("open it");
        let world = World { pg, dir };
        testkit::install_program(env!("CARGO_BIN_EXE_wal-shipper").as_ref(), &world.path("wal-shipper"));
        world.folder("repo");
        world
    }

    /// A path in this world's folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A folder that the server's user may write to.
    pub(crate) fn folder(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(&path).expect("make a folder");
        let owner = std::fs::metadata(self.pg.data_dir()).expect("look at the data directory");
        chown(&path, Some(owner.uid()), Some(owner.gid())).expect("give it away");
        path
    }

    /// `wal-shipper VERB --repo …`, as PostgreSQL's settings name it.
    pub(crate) fn command(&self, verb: &str) -> String {
        let repo = self.path("repo");
        format!("{} {verb} --repo {}", self.path("wal-shipper").display(), repo.display())
    }

    /// Changes the archive_command while the server runs.
    pub(crate) fn archive_by(&self, command: &str) {
        let sql = format!("alter system set archive_command = '{}'", command.replace('\'', "''"));
        self.pg.psql("postgres", &sql);
        self.pg.psql("postgres", "select pg_reload_conf()");
    }

    /// Ends the current segment; its name.
    pub(crate) fn switch(&self) -> String {
        let sql = "create table if not exists filler (n int); insert into filler values (1); select pg_walfile_name(pg_switch_wal())";
        self.pg.psql("postgres", sql).lines().last().expect("a name").to_string()
    }

    /// Waits until PostgreSQL knows that `segment` is archived.
    pub(crate) fn archived(&self, segment: &str) {
        until("archived", Duration::from_secs(60), || {
            if self.is_archived(segment) { Ok(()) } else { Err(self.pg.log()) }
        });
    }

    pub(crate) fn is_archived(&self, segment: &str) -> bool {
        let wal = self.pg.data_dir().join("pg_wal");
        wal.join(format!("archive_status/{segment}.done")).exists() || !wal.join(segment).exists()
    }

    /// Runs the tool as ourselves.
    pub(crate) fn run(&self, args: &[&str]) -> Output {
        self.run_in(self.dir.path(), args)
    }

    /// Runs the tool in a folder, as PostgreSQL does in its data directory.
    pub(crate) fn run_in(&self, folder: &Path, args: &[&str]) -> Output {
        let mut command = Command::new(self.path("wal-shipper"));
        command.args(args).env_clear().env("PATH", "/usr/bin:/bin").env("TOBAN_REPO", self.path("repo"));
        command.env("DATABASE_URL", self.pg.url()).env("TOBAN_RETRY_FOR", "2s");
        command.current_dir(folder).stdin(Stdio::null()).output().expect("run wal-shipper")
    }
}

/// Ended with `status`, and said `words`.
#[track_caller]
pub(crate) fn ended(done: &Output, status: i32, words: &str) {
    let said = format!("{}{}", text(&done.stdout), text(&done.stderr));
    assert_eq!(done.status.code(), Some(status), "{said}");
    assert!(said.contains(words), "{words:?} is not in: {said}");
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
