//! A server, and a folder beside it that its user may enter.

use crate::Pg;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// Both are gone when it is dropped.
#[derive(Debug)]
pub struct Site {
    /// The server.
    pub pg: Pg,
    /// The folder.
    pub dir: TempDir,
}

impl Site {
    /// A new folder beside `pg`, with what `programs` names in its folder `bin`.
    pub fn new(pg: Pg, programs: &[&Path]) -> Site {
        Site::in_folder(pg, tempfile::tempdir().expect("a folder"), programs)
    }

    /// The same in this folder.
    pub fn in_folder(pg: Pg, dir: TempDir, programs: &[&Path]) -> Site {
        fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).expect("open it");
        let site = Site { pg, dir };
        fs::create_dir(site.path("bin")).expect("make a folder");
        for program in programs {
            assert!(program.exists(), "{} is not there; run: cargo build --workspace", program.display());
            let to = site.path("bin").join(program.file_name().expect("a name"));
            // A link where that is possible: the programs are large.
            if fs::hard_link(program, &to).is_err() {
                crate::install_program(program, &to);
            }
        }
        site
    }

    /// A path in the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The same as text.
    pub fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    /// A folder in it, of the server's user.
    pub fn folder(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        self.pg.make_folder(&path);
        path
    }

    /// What lies below the system's root in the repository `repo`, a folder.
    pub fn system_root(&self) -> PathBuf {
        self.path("repo/main").join(self.pg.system_identifier())
    }

    /// The object of a segment in the repository `repo`, a folder.
    pub fn object(&self, segment: &str) -> PathBuf {
        self.pg.object_in(&self.path("repo"), segment)
    }

    /// What we wrote below `name` becomes the server's user's.
    pub fn give_all(&self, name: &str) {
        let mut chown = std::process::Command::new("chown");
        chown.arg("-R").arg("--reference").arg(self.pg.data_dir()).arg(self.path(name));
        assert!(chown.status().expect("run chown").success());
    }
}
