//! What tests of backups and of the WAL ask of a server again and again.

use super::Pg;
use super::system::give;
use crate::until;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long a server may do nothing at all.
const LIMIT: Duration = Duration::from_secs(60);

impl Pg {
    /// Sets a parameter while the server runs.
    pub fn set_parameter(&self, name: &str, value: &str) {
        self.psql("postgres", &format!("alter system set {name} = '{}'", value.replace('\'', "''")));
        self.psql("postgres", "select pg_reload_conf()");
    }

    /// Changes the archive_command while the server runs.
    pub fn archive_by(&self, command: &str) {
        self.set_parameter("archive_command", command);
    }

    /// The system identifier.
    pub fn system_identifier(&self) -> String {
        self.psql("postgres", "select system_identifier from pg_control_system()")
    }

    /// Up to where it has written WAL.
    pub fn wal_position(&self) -> String {
        self.psql("postgres", "select pg_current_wal_lsn()")
    }

    /// Ends the current segment, which is not empty; its name.
    pub fn switch_wal(&self) -> String {
        let sql = "create table if not exists filler (n int); insert into filler values (1); \
                   select pg_walfile_name(pg_switch_wal())";
        self.psql("postgres", sql).lines().last().expect("a name").to_string()
    }

    /// Whether it knows that the file is archived.
    pub fn is_archived(&self, name: &str) -> bool {
        let wal = self.data_dir().join("pg_wal");
        wal.join(format!("archive_status/{name}.done")).exists() || !wal.join(name).exists()
    }

    /// Waits until it knows that the file is archived, and those of its timeline before it: a push looks ahead, and one that is
    /// killed may have stored a later one.
    #[track_caller]
    pub fn wait_until_archived(&self, name: &str) {
        let list_marks = || {
            let marks = fs::read_dir(self.data_dir().join("pg_wal/archive_status")).into_iter().flatten();
            marks.flatten().map(|m| m.file_name().to_string_lossy().into_owned()).collect::<Vec<_>>()
        };
        let waits = |mark: &String| {
            let waiting = mark.strip_suffix(".ready").filter(|of| of.len() == name.len());
            waiting.is_some_and(|of| of[..8] == name[..8] && of < name)
        };
        until(&format!("{name} is archived"), LIMIT, || match list_marks() {
            marks if self.is_archived(name) && !marks.iter().any(waits) => Ok(()),
            // What was archived meanwhile is progress, too.
            marks => Err(format!("{marks:?}\n{}", self.log())),
        });
    }

    /// Ends the current segment; its name, when it is archived.
    #[track_caller]
    pub fn ship_wal(&self) -> String {
        let name = self.switch_wal();
        self.wait_until_archived(&name);
        name
    }

    /// Waits until this standby has replayed what `primary` has written.
    #[track_caller]
    pub fn wait_for_replay(&self, primary: &Pg) {
        let at = primary.wal_position();
        let sql = format!("select pg_last_wal_replay_lsn() >= '{at}', pg_last_wal_replay_lsn()");
        until(&format!("the standby has replayed {at}"), LIMIT, || {
            let replayed = self.psql("postgres", &sql);
            // Its log tells of each try to find a source, also of one that leads over to a new timeline.
            if replayed.starts_with('t') { Ok(()) } else { Err(format!("{replayed}\n{}", self.log())) }
        });
    }

    /// Waits until recovery has ended.
    #[track_caller]
    pub fn wait_for_promotion(&self) {
        until("it is promoted", LIMIT, || {
            match self.psql("postgres", "select pg_is_in_recovery(), pg_last_wal_replay_lsn()").as_str() {
                state if state.starts_with('f') => Ok(()),
                state => Err(format!("{state}\n{}", self.log())),
            }
        });
    }

    /// Starts a server of this major in a restored folder, and waits until it is promoted.
    #[track_caller]
    pub fn promoted(major: u32, data_dir: &Path) -> Pg {
        let pg = Pg::builder_major(major).serve(data_dir).start();
        pg.wait_for_promotion();
        pg
    }

    /// A base backup by PostgreSQL's own program, without WAL: recovery needs an archive.
    pub fn base_backup(&self, target: &Path) {
        let mut program = super::clean(&self.bin("pg_basebackup"));
        program.args(["-X", "none", "-c", "fast", "--no-sync", "-d", &self.url(), "-D"]).arg(target);
        let done = program.output().expect("run pg_basebackup");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }

    /// The object of a segment in the repository `repo`, a folder, of the cluster `main`.
    pub fn object_in(&self, repo: &Path, segment: &str) -> PathBuf {
        let folder = format!("main/{}/wal/{}/{}", self.system_identifier(), &segment[..8], &segment[8..16]);
        repo.join(folder).join(segment)
    }

    /// Makes a folder that the server's user owns.
    pub fn make_folder(&self, path: &Path) {
        fs::create_dir_all(path).expect("make a folder");
        self.give(path);
    }

    /// What we wrote becomes the server's user's.
    pub fn give(&self, path: &Path) {
        give(path);
    }
}
