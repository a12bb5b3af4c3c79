//! pgbouncer, as the tools' users have it between an application and its server.

use crate::pg::{Pg, as_owner};
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// pgbouncer in front of a server; ended when dropped.
pub struct Pooler {
    child: Child,
    port: u16,
    _dir: TempDir,
}

impl Pooler {
    /// One that pools `transaction`, `session` or `statement`.
    pub fn start(pg: &Pg, mode: &str) -> Pooler {
        Pooler::with(pg, &[&format!("pool_mode = {mode}")])
    }

    /// One with these settings.
    pub fn with(pg: &Pg, settings: &[&str]) -> Pooler {
        let dir = tempfile::Builder::new().prefix("toban-pooler-").tempdir_in("/tmp").expect("a folder");
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).expect("open it");
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
        let port = listener.local_addr().expect("an address").port();
        drop(listener);
        let ini = format!(
            "[databases]\n* = host={} port={} user=postgres\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n\
             unix_socket_dir =\nauth_type = any\nignore_startup_parameters = extra_float_digits,options\n{}\n",
            pg.socket_dir().display(),
            pg.port(),
            settings.join("\n")
        );
        let path = dir.path().join("pgbouncer.ini");
        fs::write(&path, ini).expect("write");
        let child = bouncer(&path);
        crate::until("pgbouncer listens", Duration::from_secs(20), || {
            std::net::TcpStream::connect(("127.0.0.1", port)).map(drop).map_err(|e| e.to_string())
        });
        Pooler { child, port, _dir: dir }
    }

    /// How to connect through it.
    pub fn conninfo(&self) -> String {
        format!("host=127.0.0.1 port={} user=postgres dbname=postgres", self.port)
    }
}

fn bouncer(ini: &Path) -> Child {
    let program = crate::tool("pgbouncer/usr/sbin/pgbouncer");
    let libraries = crate::tool("pgbouncer/usr/lib");
    let libraries = fs::read_dir(libraries).expect("list").flatten().map(|e| e.path()).find(|p| p.is_dir());
    let mut command = as_owner(&program);
    command.env("LD_LIBRARY_PATH", libraries.expect("the folder of libraries")).arg("-q").arg(ini);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().expect("start pgbouncer")
}

impl Drop for Pooler {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
