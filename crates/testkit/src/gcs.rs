//! Google Cloud Storage as fake-gcs-server serves it.

use crate::{Cable, http, tool, until};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// A running fake-gcs-server that keeps everything in memory; it ends with its owner.
pub struct Gcs {
    server: Child,
    folder: TempDir,
    addr: SocketAddr,
    cable: Cable,
}

impl Gcs {
    /// Starts a service with these buckets on a free port, behind a cable, and waits until it answers.
    pub fn start(buckets: &[&str]) -> Gcs {
        let folder = tempfile::Builder::new().prefix("toban-gcs-").tempdir().expect("temporary folder");
        for bucket in buckets {
            // The one way to a bucket without a request that has a body.
            std::fs::create_dir_all(folder.path().join("data").join(bucket)).expect("create the bucket");
        }
        let free = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let addr = free.local_addr().expect("address");
        drop(free);
        // Uploads go where the service says: through the cable too.
        let cable = Cable::http(addr);
        let server = command(folder.path(), addr, &cable).spawn().expect("start fake-gcs-server");
        let mut gcs = Gcs { server, folder, addr, cable };
        until("fake-gcs-server answers", Duration::from_secs(30), || gcs.answers());
        gcs
    }

    fn answers(&mut self) -> Result<(), String> {
        if let Ok(Some(status)) = self.server.try_wait() {
            let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
            panic!("fake-gcs-server ended: {status}; {log}");
        }
        TcpStream::connect(self.addr).map(drop).map_err(|e| e.to_string())
    }

    /// The cable through which it is reached.
    pub fn cable(&self) -> &Cable {
        &self.cable
    }

    /// What a child process needs to reach it.
    pub fn env(&self) -> Vec<(String, String)> {
        vec![("STORAGE_EMULATOR_HOST".into(), self.cable.endpoint())]
    }

    /// One request from outside: status and body. `path` as in `/storage/v1/b/bucket/o`.
    pub fn http(&self, method: &str, path: &str) -> (u16, String) {
        http(self.addr, method, path, &[])
    }
}

fn command(folder: &Path, addr: SocketAddr, cable: &Cable) -> Command {
    let log = std::fs::File::create(folder.join("log")).expect("create the log");
    let mut command = Command::new(tool("fake-gcs/fake-gcs-server"));
    command.args(["-backend", "memory", "-scheme", "http", "-host", "127.0.0.1"]);
    command.args(["-port", &addr.port().to_string(), "-external-url", &cable.endpoint()]);
    command.arg("-data").arg(folder.join("data")).arg("-public-host").arg(cable.addr().to_string());
    command.stdin(Stdio::null()).stdout(log.try_clone().expect("clone")).stderr(log);
    command
}

impl Drop for Gcs {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}
