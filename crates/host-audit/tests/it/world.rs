//! A host made of files, on which nothing is wrong.

use serde_json::Value;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};
use tempfile::TempDir;

/// The time by which every test judges.
pub(crate) const AT: &str = "2026-12-01T06:30:00Z";
const AT_SECONDS: u64 = 1_796_106_600;

const NET_HEAD: &str =
    "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n";
const RULESET: &str = r#"{"nftables":[{"metainfo":{"version":"1.0.6","json_schema_version":1}},
{"table":{"family":"inet","name":"filter","handle":1}},
{"chain":{"family":"inet","table":"filter","name":"input","handle":1,"type":"filter","hook":"input","prio":0,"policy":"drop"}},
{"rule":{"family":"inet","table":"filter","chain":"input","handle":2,"expr":[{"match":{"op":"in","left":{"ct":{"key":"state"}},"right":["established","related"]}},{"accept":null}]}},
{"rule":{"family":"inet","table":"filter","chain":"input","handle":3,"expr":[{"match":{"op":"==","left":{"meta":{"key":"iif"}},"right":"lo"}},{"accept":null}]}},
{"rule":{"family":"inet","table":"filter","chain":"input","handle":4,"expr":[{"match":{"op":"==","left":{"payload":{"protocol":"tcp","field":"dport"}},"right":22}},{"counter":{"packets":COUNT,"bytes":0}},{"accept":null}]}}]}"#;
const SSHD: &str = "port 22\npermitrootlogin no\npasswordauthentication no\npermitemptypasswords no\nciphers aes256-gcm@openssh.com\nstrictmodes yes\n";

/// How a run of the tool ended.
pub(crate) struct HostRun {
    pub(crate) status: i32,
    pub(crate) lines: Vec<Value>,
    pub(crate) text: String,
    pub(crate) errors: String,
}

impl HostRun {
    /// `id key severity` of everything that needs attention, and of every change.
    pub(crate) fn told(&self) -> Vec<String> {
        let word = |v: &Value, name: &str| v[name].as_str().unwrap_or_default().to_string();
        let change = |v: &Value| ["new", "changed", "gone"].contains(&word(v, "id").as_str());
        let told = self.lines.iter().filter(|v| word(v, "severity") != "ok" || change(v));
        told.map(|v| format!("{} {} {}", word(v, "id"), word(v, "key"), word(v, "severity"))).collect()
    }

    /// What changed.
    pub(crate) fn changes(&self) -> Vec<String> {
        self.told()
            .into_iter()
            .filter(|t| ["new ", "changed ", "gone "].iter().any(|c| t.starts_with(c)))
            .collect()
    }
}

/// One host and the tool's state beside it.
pub(crate) struct FileHost {
    pub(crate) dir: TempDir,
}

impl FileHost {
    /// A quiet one: sshd, a database on the loopback address, an application without a package that was accepted.
    pub(crate) fn new() -> FileHost {
        let host = FileHost { dir: tempfile::tempdir().expect("a folder") };
        host.write("etc/machine-id", "0123456789abcdef0123456789abcdef\n");
        host.write("etc/hostname", "db1\n");
        host.write("etc/os-release", "ID=debian\nVERSION_ID=\"12\"\n");
        host.write("etc/passwd", "root:x:0:0:root:/root:/bin/bash\nsshd:x:105:65534::/run/sshd:/usr/sbin/nologin\npostgres:x:106:110::/var/lib/postgresql:/bin/bash\nanna:x:1000:1000::/home/anna:/bin/bash\n");
        host.write(
            "etc/shadow",
            "root:*:1:0:9:7:::\nsshd:!:1::::::\npostgres:!:1::::::\nanna:$y$j9T$abc:1:0:9:7:::\n",
        );
        host.write("etc/group", "root:x:0:\nsudo:x:27:anna\nshadow:x:42:\nanna:x:1000:\n");
        host.write("etc/sudoers", "Defaults env_reset\nroot ALL=(ALL:ALL) ALL\n%sudo ALL=(ALL:ALL) ALL\n@includedir /etc/sudoers.d\n");
        host.write("etc/sudoers.d/README", "# nothing\n");
        host.write(
            "home/anna/.ssh/authorized_keys",
            "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJiZ5vlQBv5l8Rxn0d4WmYb1m0YxYd4wq2G0qK2l0hVn anna@pc\n",
        );
        for secret in ["etc/shadow", "etc/sudoers", "etc/sudoers.d/README", "home/anna/.ssh/authorized_keys"]
        {
            host.set_mode(secret, 0o600);
        }
        host.write_programs();
        host.write_system();
        host.write_processes(0);
        host.write_sockets(0);
        host.write_logs(&[]);
        host
    }

    fn write_programs(&self) {
        self.write("programs/nft-ruleset.json", &RULESET.replace("COUNT", "7"));
        self.write("programs/sshd-T", SSHD);
        self.write("programs/apt-upgrade", "Reading package lists...\n");
        self.write("programs/apt-held", "");
        self.write("programs/dpkg-audit", "");
        self.write("programs/systemctl-failed", "");
        self.write("etc/ssh/sshd_config", "Port 22\n");
    }

    fn write_system(&self) {
        self.write("run/systemd/system/x", "");
        self.write("var/lib/dpkg/info/openssh-server.list", "/.\n/usr/sbin/sshd\n");
        self.write("var/lib/dpkg/info/postgresql-15.list", "/usr/lib/postgresql/15/bin/postgres\n");
        self.write("var/lib/dpkg/info/systemd.list", "/usr/lib/systemd/systemd\n/lib/systemd/systemd\n");
        self.write("var/lib/dpkg/info/sudo.list", "/usr/bin/sudo\n");
        self.write("var/lib/dpkg/info/nodejs.list", "/usr/bin/node\n");
        self.write("var/lib/dpkg/info/avahi-daemon.list", "/usr/sbin/avahi-daemon\n");
        self.write(
            "var/lib/dpkg/status",
            "Package: linux-image-6.1.0-37-amd64\nStatus: install ok installed\nVersion: 6.1.140-1\n\n",
        );
        self.write("var/lib/apt/periodic/update-success-stamp", "");
        self.touch("var/lib/apt/periodic/update-success-stamp", 3600);
        self.write("usr/bin/sudo", "");
        self.set_mode("usr/bin/sudo", 0o4755);
        for (name, value) in [
            ("kernel/randomize_va_space", "2"),
            ("kernel/kptr_restrict", "1"),
            ("kernel/dmesg_restrict", "1"),
            ("fs/protected_symlinks", "1"),
            ("net/ipv4/ip_forward", "0"),
            ("net/ipv4/tcp_syncookies", "1"),
            ("net/ipv4/ip_local_port_range", "32768\t60999"),
            ("net/ipv6/bindv6only", "0"),
            ("net/ipv6/conf/all/disable_ipv6", "0"),
        ] {
            self.write(&format!("proc/sys/{name}"), &format!("{value}\n"));
        }
        self.write(
            "proc/version",
            "Linux version 6.1.0-37-amd64 (x@y) #1 SMP PREEMPT_DYNAMIC Debian 6.1.140-1 (2025-05-22)\n",
        );
        self.write("proc/uptime", "100000.00 1.0\n");
    }

    /// The usual processes; `shift` moves every number that means nothing.
    pub(crate) fn write_processes(&self, shift: u32) {
        for entry in std::fs::read_dir(self.path("proc")).expect("proc") {
            let entry = entry.expect("an entry");
            if entry.file_name().to_string_lossy().parse::<u32>().is_ok() {
                std::fs::remove_dir_all(entry.path()).expect("remove");
            }
        }
        let inode = u64::from(shift) * 10;
        self.add_process(&FileProcess {
            pid: 1,
            exe: "/usr/lib/systemd/systemd",
            unit: "init.scope",
            ..FileProcess::default()
        });
        self.add_process(&FileProcess { pid: 2, kernel: true, arguments: "", ..FileProcess::default() });
        self.add_process(&FileProcess {
            pid: 700 + shift,
            exe: "/usr/sbin/sshd",
            unit: "ssh.service",
            sockets: &[1001 + inode, 1002 + inode],
            ..FileProcess::default()
        });
        self.add_process(&FileProcess {
            pid: 800 + shift,
            exe: "/usr/lib/postgresql/15/bin/postgres",
            uid: 106,
            unit: "postgresql@15-main.service",
            sockets: &[1003 + inode],
            ..FileProcess::default()
        });
        self.add_process(&FileProcess {
            pid: 900 + shift,
            exe: "/usr/bin/node",
            arguments: "node\0/srv/app/server.js\0",
            uid: 1000,
            unit: "app.service",
            ..FileProcess::default()
        });
        self.add_process(&FileProcess {
            pid: 950 + shift,
            exe: "/usr/sbin/avahi-daemon",
            unit: "avahi-daemon.service",
            sockets: &[1004 + inode],
            ..FileProcess::default()
        });
    }

    /// The usual sockets, and some connections.
    pub(crate) fn write_sockets(&self, shift: u32) {
        let inode = u64::from(shift) * 10;
        let line = |address: &str, port: u16, state: &str, uid: u32, inode: u64| {
            format!(
                "   0: {address}:{port:04X} 00000000:0000 {state} 00000000:00000000 00:00000000 00000000 {uid} 0 {inode} 1 0\n"
            )
        };
        let tcp = line("00000000", 22, "0A", 0, 1001 + inode)
            + &line("0100007F", 5432, "0A", 106, 1003 + inode)
            + &line("0700000A", 22, "01", 0, 0).repeat(shift as usize % 5);
        self.write("proc/net/tcp", &format!("{NET_HEAD}{tcp}"));
        self.write(
            "proc/net/tcp6",
            &format!("{NET_HEAD}{}", line(&"0".repeat(32), 22, "0A", 0, 1002 + inode)),
        );
        self.write(
            "proc/net/udp",
            &format!(
                "{NET_HEAD}{}",
                line("00000000", 40000 + u16::try_from(shift % 20000).unwrap_or(0), "07", 0, 1004 + inode)
            ),
        );
        self.write("proc/net/udp6", NET_HEAD);
    }

    /// Counters of the firewall, which change by themselves.
    pub(crate) fn count_packets(&self, count: u32) {
        self.write("programs/nft-ruleset.json", &RULESET.replace("COUNT", &count.to_string()));
    }

    /// The usual log, and these lines after it.
    pub(crate) fn write_logs(&self, more: &[String]) {
        let usual = [
            "2026-11-30T08:00:00+00:00 db1 sshd[1]: Accepted publickey for anna from 10.1.2.3 port 4711 ssh2: ED25519 SHA256:x",
            "2026-11-30T08:01:00+00:00 db1 sudo:     anna : TTY=pts/0 ; PWD=/home/anna ; USER=root ; COMMAND=/usr/bin/apt update",
        ];
        let lines: Vec<&str> = usual.into_iter().chain(more.iter().map(String::as_str)).collect();
        self.write("var/log/auth.log", &(lines.join("\n") + "\n"));
        self.touch("var/log/auth.log", 60);
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.dir.path().join("root").join(path)
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.path(path);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("mkdir");
        std::fs::write(path, text).expect("write");
    }

    pub(crate) fn append(&self, path: &str, text: &str) {
        let before = std::fs::read_to_string(self.path(path)).unwrap_or_default();
        self.write(path, &(before + text));
    }

    pub(crate) fn replace(&self, path: &str, from: &str, to: &str) {
        let before = std::fs::read_to_string(self.path(path)).expect("read");
        assert!(before.contains(from), "{path} holds no {from:?}");
        self.write(path, &before.replacen(from, to, 1));
    }

    pub(crate) fn remove(&self, path: &str) {
        std::fs::remove_file(self.path(path)).expect("remove");
    }

    pub(crate) fn set_mode(&self, path: &str, mode: u32) {
        std::fs::set_permissions(self.path(path), std::fs::Permissions::from_mode(mode)).expect("chmod");
    }

    /// Makes a file as old as this before the time of judgement.
    pub(crate) fn touch(&self, path: &str, seconds: u64) {
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(AT_SECONDS - seconds);
        std::fs::File::options()
            .write(true)
            .open(self.path(path))
            .and_then(|f| f.set_modified(at))
            .expect("touch");
    }

    pub(crate) fn add_process(&self, p: &FileProcess<'_>) {
        let folder = format!("proc/{}", p.pid);
        let flags = if p.kernel { 0x0020_8040 } else { 4_194_560 };
        self.write(
            &format!("{folder}/stat"),
            &format!(
                "{} ({}) S 1 1 1 0 -1 {flags} 0 0 0 0 0 0 0 0 20 0 1 0 {} 0 0\n",
                p.pid, p.comm, p.start
            ),
        );
        self.write(
            &format!("{folder}/status"),
            &format!("Name:\t{}\nUid:\t{1}\t{1}\t{1}\t{1}\n", p.comm, p.uid),
        );
        self.write(&format!("{folder}/cmdline"), p.arguments);
        self.write(&format!("{folder}/cgroup"), &format!("0::/system.slice/{}\n", p.unit));
        self.write(&format!("{folder}/maps"), p.maps);
        if !p.exe.is_empty() {
            symlink(p.exe, self.path(&format!("{folder}/exe"))).expect("link");
        }
        std::fs::create_dir_all(self.path(&format!("{folder}/fd"))).expect("mkdir");
        for (at, inode) in p.sockets.iter().enumerate() {
            symlink(format!("socket:[{inode}]"), self.path(&format!("{folder}/fd/{}", at + 3)))
                .expect("link");
        }
    }

    pub(crate) fn tool(&self, args: &[&str]) -> HostRun {
        self.tool_at(args, AT)
    }

    pub(crate) fn tool_at(&self, args: &[&str], at: &str) -> HostRun {
        let mut command = Command::new(env!("CARGO_BIN_EXE_host-audit"));
        command.args(args);
        if ["run", "accept"].contains(&args[0]) {
            command.args(["--at", at]);
        }
        command.arg("--root").arg(self.dir.path().join("root")).arg("--state").arg(self.state());
        command.env("TOBAN_STATE_DIR", self.dir.path().join("records")).env_remove("TOBAN_CONFIG");
        run_command(&mut command)
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    /// Looks once, and accepts everything.
    pub(crate) fn accept_all(&self) {
        self.tool(&["run"]);
        let accepted = self.tool(&["accept", "--all", "--reviewer", "A. Mo", "--ticket", "SEC-1"]);
        assert_eq!(accepted.status, 0, "{}{}", accepted.text, accepted.errors);
    }

    pub(crate) fn run(&self) -> HostRun {
        self.tool(&["run", "--json"])
    }
}

pub(crate) fn run_command(command: &mut Command) -> HostRun {
    let done = command.output().expect("the tool runs");
    let text = String::from_utf8(done.stdout).expect("UTF-8");
    let lines = text.lines().filter_map(|l| serde_json::from_str(l).ok()).collect();
    let errors = String::from_utf8_lossy(&done.stderr).into_owned();
    HostRun { status: done.status.code().unwrap_or(-1), lines, text, errors }
}

/// A process made of files.
pub(crate) struct FileProcess<'a> {
    pub(crate) pid: u32,
    pub(crate) comm: &'a str,
    pub(crate) exe: &'a str,
    pub(crate) arguments: &'a str,
    pub(crate) uid: u32,
    pub(crate) unit: &'a str,
    pub(crate) kernel: bool,
    pub(crate) start: u64,
    pub(crate) sockets: &'a [u64],
    pub(crate) maps: &'a str,
}

impl Default for FileProcess<'_> {
    fn default() -> Self {
        FileProcess {
            pid: 5000,
            comm: "x",
            exe: "",
            arguments: "x\0",
            uid: 0,
            unit: "x.service",
            kernel: false,
            start: 100,
            sockets: &[],
            maps: "",
        }
    }
}

/// Whether a path is below another: for tests that look at what was written where.
pub(crate) fn list_below(folder: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() && !path.is_symlink() { folders.push(path) } else { all.push(path) }
        }
    }
    all
}
