//! Three servers that Patroni keeps on this machine.

use serde_json::Value;
use std::fs;
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;
use testkit::pg::{as_owner, clean, program};
use testkit::{install_program, tool, until};

/// Of a member's ports, above the first of all: of its server, of Patroni's interface, and of what it keeps its state in.
const PORT: u16 = 0;
const REST: u16 = 10;
const RAFT: u16 = 20;
/// Patroni's least time after which a leader that is silent is dead is 20 s.
const LIMIT: Duration = Duration::from_secs(120);

/// The cluster `demo` of the members n1, n2, n3; stopped and removed when dropped.
pub(super) struct PatroniCluster {
    pub(super) dir: TempDir,
    pub(super) major: u32,
    first_port: u16,
    members: [Option<Child>; 3],
}

/// A member, as Patroni describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) number: usize,
    role: String,
    state: String,
    timeline: u64,
}

impl Member {
    pub(super) fn leads(&self) -> bool {
        self.role == "leader"
    }
}

impl PatroniCluster {
    /// Folders, programs and configuration; nothing runs.
    pub(super) fn new(major: u32) -> PatroniCluster {
        let dir = tempfile::Builder::new().prefix("toban-pt-").tempdir_in(choose_place()).expect("a folder");
        let cluster = PatroniCluster { dir, major, first_port: choose_ports(), members: [None, None, None] };
        fs::set_permissions(cluster.dir.path(), PermissionsExt::from_mode(0o777)).expect("open it");
        for tool in ["pg-backup", "wal-shipper"] {
            install_program(&e2e::bins().join(tool), &cluster.path(tool));
        }
        fs::create_dir(cluster.path("repo")).expect("make it");
        fs::set_permissions(cluster.path("repo"), PermissionsExt::from_mode(0o777)).expect("open it");
        cluster
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn port(&self, of: u16, number: usize) -> u16 {
        self.first_port + of + u16::try_from(number).expect("a member")
    }

    /// A connection string with all members.
    pub(super) fn conninfo(&self) -> String {
        let ports: Vec<String> = (1..=3).map(|n| self.port(PORT, n).to_string()).collect();
        let (host, ports) = (["127.0.0.1"; 3].join(","), ports.join(","));
        format!("host={host} port={ports} user=postgres dbname=postgres connect_timeout=3")
    }

    /// Starts all three on empty folders: a new system, or the one that is in the repository.
    pub(super) fn start(&mut self, from_repository: bool) {
        for number in 1..=3 {
            let bootstrap = if from_repository { self.bootstrap(number) } else { String::new() };
            fs::write(self.path(&format!("n{number}.yml")), self.configure(number, &bootstrap))
                .expect("write");
        }
        (1..=3).for_each(|number| self.start_member(number));
        self.wait_until_healthy();
    }

    /// The guide's configuration, with shorter times.
    fn configure(&self, number: usize, bootstrap: &str) -> String {
        let dir = self.dir.path().display();
        let address = |of, number| format!("127.0.0.1:{}", self.port(of, number));
        let (server, rest, raft) = (address(PORT, number), address(REST, number), address(RAFT, number));
        let others = (1..=3).filter(|n| *n != number).map(|n| format!("'{}'", address(RAFT, n)));
        let others = others.collect::<Vec<_>>().join(", ");
        let bin_dir = program(self.major, "postgres").parent().expect("a folder").display().to_string();
        format!(
            "scope: demo
name: n{number}
restapi: {{listen: '{rest}', connect_address: '{rest}'}}
raft: {{data_dir: {dir}/raft{number}, self_addr: '{raft}', partner_addrs: [{others}]}}
bootstrap:
  dcs:
    ttl: 20
    loop_wait: 1
    retry_timeout: 3
    primary_start_timeout: 0
    synchronous_mode: true
    ignore_slots: [{{name: toban, type: physical}}]
    postgresql:
      use_pg_rewind: true
      parameters: {{max_wal_size: 128MB, max_slot_wal_keep_size: 1GB, wal_log_hints: 'on'}}
  initdb: [{{encoding: UTF8}}, {{locale: C}}]
{bootstrap}
postgresql:
  listen: '{server}'
  connect_address: '{server}'
  bin_dir: {bin_dir}
  data_dir: {dir}/data{number}
  pgpass: {dir}/pgpass{number}
  pg_hba: ['local all all trust', 'host all all 127.0.0.1/32 trust', 'host replication all 127.0.0.1/32 trust']
  parameters: {{unix_socket_directories: '{dir}', fsync: 'off', shared_buffers: 16MB, dynamic_shared_memory_type: mmap}}
  authentication:
    superuser: {{username: postgres, password: secret}}
    replication: {{username: replicator, password: secret}}
  create_replica_methods: [toban, basebackup]
  toban: {{command: '{restore}', no_params: true, no_leader: true}}
  recovery_conf: {{restore_command: '{dir}/wal-shipper fetch --repo file://{dir}/repo %f %p'}}
",
            restore = self.restore_command(number, ""),
        )
    }

    /// How the guide makes a cluster of the repository.
    fn bootstrap(&self, number: usize) -> String {
        let command = self.restore_command(number, " --target latest");
        let psql = program(self.major, "psql").display().to_string();
        format!(
            "  method: toban
  toban: {{command: '{command}', no_params: true, keep_existing_recovery_conf: true}}
  post_bootstrap: {psql} -c 'select pg_switch_wal()' -d"
        )
    }

    /// The command that fills a member's data directory from the repository.
    fn restore_command(&self, number: usize, more: &str) -> String {
        let dir = self.dir.path().display();
        format!(
            "{dir}/pg-backup restore --keep-archiving --repo file://{dir}/repo{more} --pgdata {dir}/data{number}"
        )
    }

    pub(super) fn start_member(&mut self, number: usize) {
        // The shell ends both when we do, whichever way: its stdin closes then.
        let script = "/usr/bin/env python3 -m patroni \"$1.yml\" >> \"$1.log\" 2>&1 & p=$!; echo $p > \"$1.pid\"; \
                      trap '' INT TERM HUP; read _; kill -9 $p; s=$(head -n 1 \"$2/postmaster.pid\") && kill -QUIT $s && \
                      while kill -0 $s; do sleep 0.1; done";
        let mut sh = self.as_member(Path::new("/bin/sh"));
        let (name, data) = (self.path(&format!("n{number}")), self.path(&format!("data{number}")));
        sh.args(["-c", script, "sh"]).arg(name).arg(data);
        sh.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        self.members[number - 1] = Some(sh.spawn().expect("start a shell"));
    }

    /// Whatever runs with Patroni's environment.
    fn as_member(&self, program_path: &Path) -> Command {
        let mut command = as_owner(program_path);
        let lib = program(self.major, "postgres").parent().map(|bin| bin.with_file_name("lib"));
        command
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("LC_ALL", "C.UTF-8")
            .env("HOME", self.dir.path());
        command
            .env("PYTHONPATH", tool("patroni/patroni").with_file_name(""))
            .env("PYTHONDONTWRITEBYTECODE", "1");
        // Without it a fetched server's libpqwalreceiver takes the system's older libpq.
        lib.filter(|lib| lib.join("libpq.so.5").exists()).map(|lib| command.env("LD_LIBRARY_PATH", lib));
        command.env("TOBAN_STATE_DIR", self.path("state")).env("TMPDIR", self.dir.path());
        command
    }

    /// One of our tools, with the repository and all members in its environment.
    pub(super) fn tool(&self, name: &str) -> Command {
        let mut command = self.as_member(&self.path(name));
        command.env("TOBAN_REPO", format!("file://{}", self.path("repo").display()));
        command.env("DATABASE_URL", self.conninfo()).env("TOBAN_RETRY_FOR", "10s");
        command.env("TOBAN_PG_BIN", program(self.major, "psql").parent().expect("a folder"));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs patronictl, asked of a member that lives.
    ///
    /// # Errors
    /// What it said where it did not do it.
    pub(super) fn try_patronictl(&self, args: &[&str]) -> Result<(), String> {
        let mut ctl = self.as_member(Path::new("/usr/bin/env"));
        ctl.args(["python3", "-c", "from patroni.ctl import ctl; ctl()", "-c"]);
        let number = self.members().iter().map(|m| m.number).next().expect("a member");
        let done = ctl.arg(self.path(&format!("n{number}.yml"))).args(args).stdin(Stdio::null()).output();
        let done = done.expect("run patronictl");
        let text =
            String::from_utf8_lossy(&done.stdout).into_owned() + &String::from_utf8_lossy(&done.stderr);
        if done.status.success() { Ok(()) } else { Err(text) }
    }

    /// Patroni's list of its members; empty where no member answers.
    pub(super) fn members(&self) -> Vec<Member> {
        let asked = (1..=3).find_map(|number| self.ask_cluster(number));
        let found = asked.as_ref().and_then(|c| c["members"].as_array()).cloned().unwrap_or_default();
        found.iter().filter_map(parse_member).collect()
    }

    fn ask_cluster(&self, number: usize) -> Option<Value> {
        let mut socket = TcpStream::connect(("127.0.0.1", self.port(REST, number))).ok()?;
        socket.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
        socket.write_all(b"GET /cluster HTTP/1.0\r\n\r\n").ok()?;
        let answer = std::io::read_to_string(socket).ok()?;
        serde_json::from_str(answer.split_once("\r\n\r\n")?.1).ok()
    }

    /// The number of the leader.
    pub(super) fn leader(&self) -> usize {
        let members = self.members();
        members.iter().find(|m| m.leads()).map(|m| m.number).unwrap_or_else(|| panic!("{members:?}"))
    }

    /// Waits until there are a leader, a synchronous standby and another one, all of one timeline; the leader.
    pub(super) fn wait_until_healthy(&self) -> usize {
        until("the cluster is healthy", LIMIT, || {
            let members = self.members();
            let count = |role, state| members.iter().filter(|m| m.role == role && m.state == state).count();
            let roles = [("leader", "running"), ("sync_standby", "streaming"), ("replica", "streaming")];
            let one = members.iter().all(|m| m.timeline == members[0].timeline);
            if roles.iter().all(|(role, state)| count(*role, *state) == 1) && one {
                return Ok(());
            }
            Err(format!("{members:?}\n{}", self.last_lines()))
        });
        self.leader()
    }

    /// The end of every member's log.
    pub(super) fn last_lines(&self) -> String {
        let end = |n: usize| {
            let log = self.log(n);
            let lines: Vec<&str> = log.lines().filter(|l| !l.contains("no action")).collect();
            format!("n{n}:\n{}\n", lines[lines.len().saturating_sub(12)..].join("\n"))
        };
        (1..=3).map(end).collect()
    }

    /// What a member and its server have logged.
    pub(super) fn log(&self, number: usize) -> String {
        fs::read_to_string(self.path(&format!("n{number}.log"))).unwrap_or_default()
    }

    /// What the leader's psql prints.
    pub(super) fn psql(&self, sql: &str) -> String {
        let mut psql = clean(&program(self.major, "psql"));
        let to = format!("{} target_session_attrs=read-write", self.conninfo());
        let done = psql.args(["-X", "-At", "-q", "-d", &to, "-c", sql]).output().expect("run psql");
        assert!(done.status.success(), "{sql}: {}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8_lossy(&done.stdout).trim_end().to_string()
    }

    /// SIGKILL to the postmaster; Patroni lives.
    pub(super) fn crash(&self, number: usize) {
        let lock = fs::read_to_string(self.path(&format!("data{number}/postmaster.pid"))).unwrap_or_default();
        kill_process(lock.lines().next().unwrap_or_default());
    }

    /// The whole machine is gone: SIGKILL to Patroni, then to its server.
    pub(super) fn lose(&mut self, number: usize) {
        kill_process(fs::read_to_string(self.path(&format!("n{number}.pid"))).unwrap_or_default().trim());
        self.crash(number);
        self.end_member(number);
    }

    fn end_member(&mut self, number: usize) {
        if let Some(mut sh) = self.members[number - 1].take() {
            drop(sh.stdin.take());
            let _ = sh.wait();
        }
    }

    /// Everything but the repository is gone.
    pub(super) fn destroy(&mut self) {
        (1..=3).for_each(|number| self.lose(number));
        for name in ["data", "raft"] {
            for number in 1..=3 {
                let path = self.path(&format!("{name}{number}"));
                // A child of the server may still write into it.
                until("the folder is gone", LIMIT, || match fs::remove_dir_all(&path) {
                    Err(e) if path.exists() => Err(e.to_string()),
                    _ => Ok(()),
                });
            }
        }
    }
}

impl Drop for PatroniCluster {
    fn drop(&mut self) {
        (1..=3).for_each(|number| self.end_member(number));
    }
}

fn kill_process(pid: &str) {
    if !pid.is_empty() {
        let _ = Command::new("kill").args(["-9", pid]).stderr(Stdio::null()).status();
    }
}

fn parse_member(member: &Value) -> Option<Member> {
    let text = |name: &str| member[name].as_str().unwrap_or_default().to_string();
    let number = text("name").strip_prefix('n')?.parse().ok()?;
    let timeline = member["timeline"].as_u64().unwrap_or_default();
    Some(Member { number, role: text("role"), state: text("state"), timeline })
}

/// The first of ports that are free, below those that the system gives to who connects: a member that is down comes back
/// to its own.
fn choose_ports() -> u16 {
    let start = u16::try_from(std::process::id() % 600).expect("small");
    let firsts = (0..600).map(|n| 12_000 + (start + n) % 600 * 30);
    let free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
    let mut all_free = firsts.filter(|first| (*first..first + 30).all(free));
    all_free.next().expect("thirty free ports")
}

/// Memory where there is plenty, as testkit's servers.
fn choose_place() -> PathBuf {
    let memory = PathBuf::from("/dev/shm");
    let given = std::env::var_os("TOBAN_TEST_DIR").map(PathBuf::from);
    given.unwrap_or_else(|| if memory.is_dir() { memory } else { std::env::temp_dir() })
}
