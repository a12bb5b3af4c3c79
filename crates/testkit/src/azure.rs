//! Azure Blob Storage as Microsoft's own emulator, Azurite, serves it.

use crate::{tool, until};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;
use tempfile::TempDir;
use toban_core::sync::lock;

/// The account that Azurite serves, and its well-known key.
const ACCOUNT: &str = "devstoreaccount1";
const KEY: &str = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

/// A running Azurite that keeps everything in memory; it ends with its owner.
pub struct Azure {
    server: Child,
    folder: TempDir,
    addr: SocketAddr,
}

impl Azure {
    /// The service that the tests of this process share; it ends with the last that holds it.
    pub fn shared() -> Arc<Azure> {
        static SHARED: Mutex<Weak<Azure>> = Mutex::new(Weak::new());
        let mut shared = lock(&SHARED);
        let azure = shared.upgrade().unwrap_or_else(|| Arc::new(Azure::start()));
        *shared = Arc::downgrade(&azure);
        azure
    }

    /// Starts a service on a free port and waits until it answers.
    pub fn start() -> Azure {
        let folder = tempfile::Builder::new().prefix("toban-azure-").tempdir().expect("temporary folder");
        let free = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let addr = free.local_addr().expect("address");
        drop(free);
        let log = std::fs::File::create(folder.path().join("log")).expect("create the log");
        let mut command = Command::new("node");
        command.arg(tool("azurite/node_modules/azurite/dist/src/blob/main.js"));
        command.args(["--blobHost", "127.0.0.1", "--blobPort", &addr.port().to_string()]);
        command.args(["--inMemoryPersistence", "--disableTelemetry", "--silent"]);
        command.current_dir(folder.path()).env("HOME", folder.path()).stdin(Stdio::null());
        command.stdout(log.try_clone().expect("clone")).stderr(log);
        let server = command.spawn().expect("start node");
        let mut azure = Azure { server, folder, addr };
        until("Azurite answers", Duration::from_secs(60), || azure.answers());
        azure
    }

    fn answers(&mut self) -> Result<(), String> {
        if let Ok(Some(status)) = self.server.try_wait() {
            let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
            panic!("azurite ended: {status}; {log}");
        }
        TcpStream::connect(self.addr).map(drop).map_err(|e| e.to_string())
    }

    /// Makes the container; `az://container`.
    pub fn url(&self, container: &str) -> String {
        let (status, body) = self.http("PUT", &format!("/{container}?restype=container"), &[]);
        assert!(matches!(status, 201 | 409), "create container {container}: {status} {body}");
        format!("az://{container}")
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// What a child process needs to reach it by the standard environment.
    pub fn env(&self) -> Vec<(String, String)> {
        Azure::env_at(self.addr)
    }

    /// The same through another address, such as that of a [`crate::Cable`].
    pub fn env_at(addr: SocketAddr) -> Vec<(String, String)> {
        let endpoint = format!("http://{addr}/{ACCOUNT}");
        let pairs = [
            ("AZURE_STORAGE_ACCOUNT", ACCOUNT),
            ("AZURE_STORAGE_KEY", KEY),
            ("AZURE_STORAGE_ENDPOINT", &endpoint),
        ];
        pairs.iter().map(|(n, v)| ((*n).to_string(), (*v).to_string())).collect()
    }

    /// One signed request that is not our client's: status and body of the answer. `path` as in `/container/blob`.
    pub fn http(&self, method: &str, path: &str, headers: &[&str]) -> (u16, String) {
        azure_http(self.addr, method, path, headers)
    }
}

/// One signed request without a body to the Azurite at `addr`.
pub fn azure_http(addr: SocketAddr, method: &str, path: &str, headers: &[&str]) -> (u16, String) {
    let url = format!("http://{addr}/{ACCOUNT}{path}");
    let mut python = Command::new("python3");
    python.args(["-c", include_str!("azure.py"), method, &url]).args(headers);
    let out = python.output().expect("run python3");
    assert!(out.status.success(), "{method} {url}: {}", String::from_utf8_lossy(&out.stderr));
    let told = String::from_utf8_lossy(&out.stdout);
    let (status, body) = told.split_once('\n').expect("a status");
    (status.parse().expect("a number"), body.to_string())
}

impl Drop for Azure {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}
