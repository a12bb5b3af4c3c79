//! Making a cluster and starting it.

use super::system::{as_owner, folder, free_port, give, owner_spec, program, run};
use super::{Pg, template};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What a server shall be like; [`Builder::start`] makes it so.
#[derive(Debug)]
pub struct Builder {
    pub(super) major: u32,
    pub(super) settings: Vec<String>,
    pub(super) hba: Vec<String>,
    pub(super) files: Vec<(String, Vec<u8>)>,
    pub(super) tcp: bool,
    pub(super) primary: Option<(PathBuf, String)>,
    pub(super) served: Option<PathBuf>,
    pub(super) segment_mib: Option<u32>,
}

impl Builder {
    /// A line of postgresql.conf, `name=value` unquoted. `fsync=off` unless asked otherwise.
    #[must_use]
    pub fn set(mut self, setting: &str) -> Builder {
        self.settings.push(setting.to_string());
        self
    }

    /// Listens on a free port of 127.0.0.1 too.
    #[must_use]
    pub fn tcp(mut self) -> Builder {
        self.tcp = true;
        self
    }

    /// A line of pg_hba.conf. The superuser `postgres` is always let in by the socket; other lines only when given
    /// here, and `host all all 127.0.0.1/32 trust` when none is.
    #[must_use]
    pub fn hba(mut self, line: &str) -> Builder {
        self.hba.push(line.to_string());
        self
    }

    /// A file in the data directory, mode 0600, with the folder it lies in: `server.crt`, `hba/more.conf` …
    #[must_use]
    pub fn file(mut self, name: &str, content: impl Into<Vec<u8>>) -> Builder {
        self.files.push((name.to_string(), content.into()));
        self
    }

    /// TLS with this chain and key (PEM).
    #[must_use]
    pub fn tls(self, chain: &str, key: &str) -> Builder {
        self.tcp().set("ssl=on").file("server.crt", chain).file("server.key", key)
    }

    /// A streaming standby of `primary`, by pg_basebackup.
    #[must_use]
    pub fn standby_of(mut self, primary: &Pg) -> Builder {
        self.major = primary.major;
        self.primary = Some((primary.bin("pg_basebackup"), primary.conninfo("postgres")));
        self
    }

    /// Segments of the WAL of so many MiB, of a new cluster.
    #[must_use]
    pub fn segments_of(mut self, mib: u32) -> Builder {
        self.segment_mib = Some(mib);
        self
    }

    /// Serves this data directory (a restored one) as it is; it is chowned to the server's user, and not removed.
    #[must_use]
    pub fn serve(mut self, data_dir: &Path) -> Builder {
        self.served = Some(data_dir.to_path_buf());
        self
    }

    /// Makes the cluster and starts it; returns when it takes connections.
    ///
    /// # Panics
    /// When the server is not installed or does not start; the message holds its log.
    pub fn start(self) -> Pg {
        let dir = folder();
        let data = self.served.clone().unwrap_or_else(|| dir.path().join("data"));
        match (&self.primary, &self.served) {
            (Some((program, source)), _) => base_backup(program, source, &data),
            (None, None) => {
                template::copy(self.major, &data);
                let resize = |mib: u32| {
                    let mut resetwal = as_owner(&program(self.major, "pg_resetwal"));
                    run(resetwal.arg(format!("--wal-segsize={mib}")).arg("-D").arg(&data));
                };
                self.segment_mib.into_iter().for_each(resize);
            }
            (None, Some(_)) => run(Command::new("chown").arg("-R").arg(owner_spec()).arg(&data)),
        }
        self.configure(&data);
        let port = if self.tcp { free_port() } else { 5432 };
        let mut pg = Pg { major: self.major, dir, data, port, tcp: self.tcp, server: None, watch: None };
        pg.watch = Some(pg.watchdog());
        let mut tries = 0;
        // Between our look and the server's bind anybody may take the port.
        while let Err(log) = pg.boot() {
            tries += 1;
            assert!(tries < 4 && log.contains("Address already in use"), "{log}");
            pg.port = free_port();
        }
        pg
    }

    fn configure(&self, data: &Path) {
        append(&data.join("postgresql.conf"), &self.settings.iter().map(|s| quoted(s)).collect::<String>());
        for (name, content) in &self.files {
            let path = data.join(name);
            if let Some(folder) = path.parent().filter(|f| !f.exists()) {
                fs::create_dir(folder).expect("make a folder of the server");
                give(folder);
            }
            write_owned(&path, content);
        }
        if self.served.is_none() {
            write_owned(&data.join("pg_hba.conf"), self.hba_text().as_bytes());
        }
    }

    fn hba_text(&self) -> String {
        let open = "host all all 127.0.0.1/32 trust\nlocal all all trust\n";
        let always = "local all postgres trust\nlocal replication postgres trust\n";
        let asked: String = self.hba.iter().map(|l| format!("{l}\n")).collect();
        format!("{always}{}", if asked.is_empty() { open } else { &asked })
    }
}

fn write_owned(path: &Path, content: &[u8]) {
    fs::write(path, content).expect("write a server's file");
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("chmod a server's file");
    give(path);
}

fn append(path: &Path, text: &str) {
    let old = fs::read_to_string(path).expect("read postgresql.conf");
    write_owned(path, format!("{old}\n{text}").as_bytes());
}

/// `a=b` as postgresql.conf wants it.
fn quoted(setting: &str) -> String {
    let (name, value) = setting.split_once('=').expect("a setting is name=value");
    format!("{} = '{}'\n", name.trim(), value.trim().replace('\\', r"\\").replace('\'', "''"))
}

fn base_backup(program: &Path, source: &str, data: &Path) {
    run(as_owner(program)
        .args(["-R", "-X", "stream", "-c", "fast", "--no-sync", "-d", source, "-D"])
        .arg(data));
}
