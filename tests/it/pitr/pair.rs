//! A primary and its standby, the stream from both, and the ways in which a dead server is rebuilt.

use e2e::bins;
use serde_json::Value;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;
use tempfile::TempDir;
use testkit::pg::as_owner;
use testkit::{Cable, Dice, Pg, Ran, S3, ended, until};

/// A primary and its standby, at two places that keep their names, and a stream from both.
pub(crate) struct Pair {
    pub(crate) dir: TempDir,
    servers: [Option<Pg>; 2],
    primary: usize,
    stream: Child,
    pub(crate) written: i32,
    rebuilt: usize,
    repo: Place,
}

/// What kind of servers, and where their WAL goes.
pub(crate) struct Kind<'k> {
    pub(crate) major: u32,
    /// MiB of a segment.
    pub(crate) mib: u32,
    pub(crate) settings: &'k [&'k str],
    /// A bucket behind a cable; none: a folder.
    pub(crate) bucket: Option<(&'k S3, &'k str)>,
}

/// Where the WAL goes.
struct Place {
    url: String,
    env: Vec<(String, String)>,
    cable: Option<Cable>,
}

/// How a dead server becomes a standby again.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Rebuild {
    BaseBackup,
    Rewind,
    Restore,
}

const SETTINGS: [&str; 5] = [
    "wal_level=replica",
    "wal_log_hints=on",
    "wal_keep_size=256MB",
    "max_slot_wal_keep_size=1GB",
    "min_wal_size=160MB",
];

impl Pair {
    pub(crate) fn start(kind: &Kind<'_>) -> Pair {
        let dir = tempfile::tempdir().expect("a folder");
        fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o755)).expect("open it");
        let settings = SETTINGS.iter().chain(kind.settings);
        let build = settings.fold(Pg::builder_major(kind.major), |b, s| b.set(s));
        let primary = build.segments_of(kind.mib).start();
        ["", "mount", "mount/repo", "tmp"]
            .iter()
            .for_each(|name| primary.make_folder(&dir.path().join(name)));
        for tool in ["pg-backup", "wal-shipper"] {
            testkit::install_program(&bins().join(tool), &dir.path().join(tool));
        }
        let repo = match kind.bucket {
            None => {
                Place { url: dir.path().join("mount/repo").display().to_string(), env: vec![], cable: None }
            }
            Some((s3, bucket)) => {
                let cable = Cable::http(s3.addr());
                Place { url: s3.url(bucket), env: S3::env_at(&cable.endpoint()), cable: Some(cable) }
            }
        };
        // Made before commits wait for anybody.
        let sql = "set synchronous_commit = local; create table ledger (n int); create table filler (t text)";
        primary.psql("postgres", sql);
        let standby = Pg::builder().standby_of(&primary).start();
        let stream = Pair::stream(&dir, &repo);
        let (servers, primary, written, rebuilt) = ([Some(primary), Some(standby)], 0, 0, 0);
        let pair = Pair { dir, servers, primary, stream, written, rebuilt, repo };
        pair.name(0);
        pair.name(1);
        pair
    }

    /// The repository does not answer, or it does again.
    pub(crate) fn store_is(&self, there: bool, dice: &mut Dice) {
        let (mount, away) = (self.dir.path().join("mount"), self.dir.path().join("away"));
        match (&self.repo.cable, there) {
            (Some(cable), true) => cable.mend(),
            (Some(cable), false) if dice.below(2) == 0 => cable.stall(),
            (Some(cable), false) => cable.refuse(),
            (None, true) => fs::rename(away, mount).expect("mount it"),
            (None, false) => fs::rename(mount, away).expect("unmount it"),
        }
    }

    pub(crate) fn kill_stream(&mut self) {
        let _ = self.stream.kill();
        let _ = self.stream.wait();
    }

    pub(crate) fn start_stream(&mut self) {
        self.stream = Pair::stream(&self.dir, &self.repo);
    }

    /// The primary crashes and comes back.
    pub(crate) fn crash(&mut self) {
        self.servers[self.primary].as_mut().expect("it is there").kill();
        self.servers[self.primary].as_mut().expect("it is there").restart();
    }

    /// Everything but the repository is gone.
    pub(crate) fn destroy(&mut self) {
        self.kill_stream();
        for server in self.servers.iter_mut().flatten() {
            server.kill();
        }
    }

    fn stream(dir: &TempDir, repo: &Place) -> Child {
        let hosts = format!("{0}/a,{0}/b", dir.path().display());
        let mut command = Pair::tool(dir, repo, "wal-shipper");
        command.args(["stream", "-v", "--interval", "200ms", "--db"]);
        command.arg(format!("host={hosts} user=postgres dbname=postgres"));
        let log = fs::File::options().create(true).append(true).open(dir.path().join("log")).expect("a log");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().expect("start wal-shipper")
    }

    fn tool(dir: &TempDir, repo: &Place, name: &str) -> std::process::Command {
        let mut command = as_owner(&dir.path().join(name));
        command.env_clear().env("PATH", "/usr/bin:/bin").env("TOBAN_REPO", &repo.url);
        command.envs(repo.env.iter().cloned());
        command.env("HOME", dir.path()).env("TMPDIR", dir.path().join("tmp"));
        command.env("TOBAN_STATE_DIR", dir.path().join("tmp"));
        command
    }

    /// The server at place `at` answers under the name of the place.
    fn name(&self, at: usize) {
        let (name, server) = (self.dir.path().join(["a", "b"][at]), self.server(at));
        let _ = fs::remove_file(&name);
        symlink(server.socket_dir(), name).expect("name a server");
    }

    fn server(&self, at: usize) -> &Pg {
        self.servers[at].as_ref().expect("it is there")
    }

    pub(crate) fn primary(&self) -> &Pg {
        self.server(self.primary)
    }

    pub(crate) fn standby(&self) -> &Pg {
        self.server(1 - self.primary)
    }

    pub(crate) fn log(&self) -> String {
        let log = fs::read_to_string(self.dir.path().join("log")).unwrap_or_default();
        log.lines().rev().take(12).collect::<Vec<_>>().join("\n")
    }

    pub(crate) fn run(&self, tool: &str, args: &[&str]) -> Ran {
        let mut command = Pair::tool(&self.dir, &self.repo, tool);
        command.args(args).env("DATABASE_URL", self.primary().url());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        ended(command.spawn().expect("start the tool"))
    }

    /// Writes the next row, and now and then more, or a segment that is not full.
    pub(crate) fn write(&mut self, dice: &mut Dice) {
        self.written += 1;
        // Whoever waits for the stream does so elsewhere.
        let row = format!("set synchronous_commit = local; insert into ledger values ({})", self.written);
        let more = match dice.below(4) {
            0 => "select pg_switch_wal()",
            1 => "insert into filler select repeat(md5(n::text), 50) from generate_series(1, 800) n",
            2 => "checkpoint",
            _ => "select 1",
        };
        self.primary().psql("postgres", &format!("{row}; {more}"));
    }

    pub(crate) fn caught_up(&self) {
        self.server(1 - self.primary).wait_for_replay(self.primary());
    }

    /// Waits until the slot says that everything is stored.
    pub(crate) fn stored(&self) {
        let at = self.primary().wal_position();
        let sql = format!(
            "select coalesce(bool_or(restart_lsn >= '{at}'), false), max(restart_lsn) from pg_replication_slots where active"
        );
        until("the stream has it", Duration::from_secs(60), || match self.primary().psql("postgres", &sql) {
            state if state.starts_with('t') => Ok(()),
            state => Err(format!("{state}\n{}", self.log())),
        });
    }

    /// The primary dies, its standby takes over, and the dead one is rebuilt.
    pub(crate) fn fail_over(&mut self, rebuild: Rebuild, dice: &mut Dice) {
        self.caught_up();
        let dead = self.primary;
        self.servers[dead].as_mut().expect("it is there").kill();
        self.primary = 1 - dead;
        assert_eq!(self.primary().psql("postgres", "select pg_promote()"), "t", "{}", self.primary().log());
        self.write(dice);
        if dice.below(2) == 0 {
            // The next may die before this one's checkpoint, too.
            self.primary().psql("postgres", "checkpoint");
        }
        let rebuilt = match rebuild {
            Rebuild::BaseBackup => Pg::builder().standby_of(self.primary()).start(),
            Rebuild::Rewind => self.rewound(dead),
            Rebuild::Restore => self.restored(),
        };
        self.servers[dead] = Some(rebuilt);
        self.name(dead);
        until("the standby streams", Duration::from_secs(60), || {
            let sql = "select count(*) from pg_stat_replication where application_name = 'walreceiver'";
            match self.primary().psql("postgres", sql).as_str() {
                "0" => Err(self.server(dead).log()),
                _ => Ok(()),
            }
        });
    }

    fn source(&self) -> String {
        format!("primary_conninfo = '{}'\n", self.primary().conninfo("postgres").replace('\'', "''"))
    }

    fn rewound(&mut self, dead: usize) -> Pg {
        self.primary().psql("postgres", "checkpoint");
        let mut old = self.servers[dead].take().expect("it is there");
        let mut rewind = as_owner(&old.bin("pg_rewind"));
        rewind.arg("--target-pgdata").arg(old.data_dir());
        rewind.args(["--no-sync", "--source-server", &self.primary().conninfo("postgres")]);
        let done = rewind.output().expect("run pg_rewind");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        standby(&old, old.data_dir(), &self.source());
        old.restart();
        old
    }

    /// A backup of the new primary, and a restore of it to the latest moment.
    fn restored(&mut self) -> Pg {
        self.run("pg-backup", &["run"]).fine();
        self.stored();
        self.rebuilt += 1;
        let target = self.dir.path().join(format!("restored-{}", self.rebuilt));
        self.restore(&[], &target);
        let _ = fs::remove_file(target.join("recovery.signal"));
        standby(self.primary(), &target, &self.source());
        Pg::builder_major(self.primary().major()).serve(&target).start()
    }
}

impl Pair {
    /// Restores to the end of the WAL.
    pub(crate) fn restore(&self, id: &[&str], target: &Path) {
        let to = target.display().to_string();
        let args = [&["restore"], id, &["--target", "latest", "--pgdata", &to]].concat();
        let ran = self.run("pg-backup", &args);
        // That credentials are in the environment alone is told.
        assert_eq!(ran.status, Some(0), "{ran:?}\n{}", self.log());
        self.let_fetch(target);
    }

    /// The server that recovers in `target` gets the environment that reaches the repository.
    fn let_fetch(&self, target: &Path) {
        let env: String = self.repo.env.iter().map(|(n, v)| format!("{n}={v} ")).collect();
        let auto = target.join("postgresql.auto.conf");
        let text = fs::read_to_string(&auto).expect("read");
        fs::write(auto, text.replace("restore_command = '/", &format!("restore_command = '{env}/")))
            .expect("write");
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        let _ = self.stream.kill();
        let _ = self.stream.wait();
    }
}

/// Makes a standby of a data directory.
fn standby(pg: &Pg, data: &Path, source: &str) {
    let auto = data.join("postgresql.auto.conf");
    let mut text = fs::read_to_string(&auto).expect("read");
    text.push_str(source);
    text.push_str("recovery_target_timeline = 'latest'\n");
    fs::write(&auto, text).expect("write");
    let signal = data.join("standby.signal");
    fs::write(&signal, "").expect("write");
    [auto, signal].iter().for_each(|p| pg.give(p));
}

/// The stretches of a list that say that something is missing.
pub(crate) fn gaps(listed: &[Value]) -> Vec<&Value> {
    listed.iter().filter(|s| s["state"] == "gap" || s["state"] == "missing").collect()
}
