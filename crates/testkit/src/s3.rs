//! A real S3 service: SeaweedFS with all its servers in one process.

use crate::{tool, until};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;
use tempfile::TempDir;
use toban_core::sum::{hex, sha256};
use toban_core::sync::lock;

const ACCESS: &str = "AKTEST";
const SECRET: &str = "the-secret-of-the-tests";

/// The signed identity is ours; requests without a signature may do everything too, so that [`S3::http`] can look
/// from outside without our own client.
const IDENTITIES: &str = r#"{"identities":[
 {"name":"admin","credentials":[{"accessKey":"AKTEST","secretKey":"the-secret-of-the-tests"}],
  "actions":["Admin","Read","Write","List","Tagging"]},
 {"name":"anonymous","actions":["Admin","Read","Write","List","Tagging"]}]}"#;

/// The keys of an identity.
#[derive(Clone, Debug)]
pub struct S3Keys {
    pub access: String,
    pub secret: String,
}

impl S3Keys {
    /// Of the identity that may do everything.
    pub fn admin() -> S3Keys {
        S3Keys { access: ACCESS.into(), secret: SECRET.into() }
    }
}

/// A running SeaweedFS in a temporary folder of its own; it ends with its owner.
pub struct S3 {
    server: Child,
    folder: TempDir,
    port: u16,
    sockets: Vec<String>,
}

impl S3 {
    /// The service that the tests of this process share; it ends with the last that holds it.
    pub fn shared() -> Arc<S3> {
        static SHARED: Mutex<Weak<S3>> = Mutex::new(Weak::new());
        let mut shared = lock(&SHARED);
        let s3 = shared.upgrade().unwrap_or_else(|| Arc::new(S3::start()));
        *shared = Arc::downgrade(&s3);
        s3
    }

    /// Starts a service on free ports and waits until it answers.
    pub fn start() -> S3 {
        // Another process may take a port between our look and the server's start.
        let mut last = String::new();
        for _ in 0..3 {
            match S3::try_start() {
                Ok(s3) => return s3,
                Err(why) => last = why,
            }
        }
        panic!("SeaweedFS did not start: {last}");
    }

    fn try_start() -> Result<S3, String> {
        let folder = tempfile::Builder::new().prefix("toban-s3-").tempdir().expect("temporary folder");
        std::fs::write(folder.path().join("s3.json"), IDENTITIES).expect("write s3.json");
        let ports = free_ports(PORTS.len());
        let server = command(folder.path(), &ports).spawn().expect("start weed");
        let mut s3 = S3 { server, folder, port: ports[0], sockets: sockets(&ports) };
        let up = until("SeaweedFS answers", Duration::from_secs(60), || s3.answers());
        up.map(|()| s3)
    }

    /// Outer error: not yet. Inner error: never.
    fn answers(&mut self) -> Result<Result<(), String>, String> {
        if let Ok(Some(status)) = self.server.try_wait() {
            return Ok(Err(format!("weed ended: {status}; {}", self.log())));
        }
        match try_http(self.addr(), "PUT", "/ready", &[]) {
            Ok((200, _)) => Ok(Ok(())),
            other => Err(format!("{other:?}")),
        }
    }

    /// Makes the bucket; `s3://bucket`.
    pub fn url(&self, bucket: &str) -> String {
        self.bucket(bucket, &[]);
        format!("s3://{bucket}")
    }

    /// Makes a bucket whose objects can be locked; `s3://bucket`.
    pub fn locked_url(&self, bucket: &str) -> String {
        self.bucket(bucket, &["x-amz-bucket-object-lock-enabled: true"]);
        format!("s3://{bucket}")
    }

    fn bucket(&self, bucket: &str, headers: &[&str]) {
        let (status, body) = self.http("PUT", &format!("/{bucket}"), headers);
        assert!(matches!(status, 200 | 409), "create bucket {bucket}: {status} {body}");
    }

    /// `http://127.0.0.1:PORT`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.addr())
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    /// What a child process needs to reach it by the standard AWS environment.
    pub fn env(&self) -> Vec<(String, String)> {
        S3::env_at(&self.endpoint())
    }

    /// The same through another `endpoint`, such as that of a [`crate::Cable`].
    pub fn env_at(endpoint: &str) -> Vec<(String, String)> {
        let pairs = [
            ("AWS_ACCESS_KEY_ID", ACCESS),
            ("AWS_SECRET_ACCESS_KEY", SECRET),
            ("AWS_REGION", "us-east-1"),
            ("AWS_ENDPOINT_URL_S3", endpoint),
            ("AWS_EC2_METADATA_DISABLED", "true"),
        ];
        pairs.iter().map(|(n, v)| ((*n).to_string(), (*v).to_string())).collect()
    }

    /// Makes a user who may do what the IAM policy says and nothing else.
    pub fn add_user(&self, name: &str, policy: &str) -> S3Keys {
        let ask = |action: &str, more: &[(&str, &str)]| {
            let mut curl = self.curl(&S3Keys::admin(), "iam");
            curl.arg(format!("{}/", self.endpoint()));
            let fixed = [("Action", action), ("Version", "2010-05-08"), ("UserName", name)];
            for (field, value) in fixed.iter().chain(more) {
                curl.args(["--data-urlencode", &format!("{field}={value}")]);
            }
            let (status, xml) = asked(curl);
            assert_eq!(status, 200, "{action}: {xml}");
            xml
        };
        ask("CreateUser", &[]);
        ask("PutUserPolicy", &[("PolicyName", "least"), ("PolicyDocument", policy)]);
        let xml = ask("CreateAccessKey", &[]);
        let part = |tag: &str| {
            let (_, rest) = xml.split_once(&format!("<{tag}>")).expect("an answer with keys");
            rest.split('<').next().unwrap_or_default().to_string()
        };
        S3Keys { access: part("AccessKeyId"), secret: part("SecretAccessKey") }
    }

    /// One request that curl signs with these keys. `path` as in `/bucket/key?retention=`.
    pub fn signed(&self, keys: &S3Keys, request: &S3Request<'_>) -> (u16, String) {
        let mut curl = self.curl(keys, "s3");
        curl.args(["-X", request.method]);
        let sum = hex(&sha256(request.body.as_bytes()));
        let sum = format!("x-amz-content-sha256: {sum}");
        for header in request.headers.iter().copied().chain([&*sum]) {
            curl.args(["-H", header]);
        }
        if !request.body.is_empty() {
            curl.args(["-H", "Content-Type: application/xml", "--data-binary", request.body]);
        }
        asked({
            curl.arg(format!("{}{}", self.endpoint(), request.path));
            curl
        })
    }

    fn curl(&self, keys: &S3Keys, service: &str) -> Command {
        let mut curl = Command::new("curl");
        curl.args(["-sS", "--max-time", "20", "-w", "\n%{http_code}", "--aws-sigv4"]);
        curl.arg(format!("aws:amz:us-east-1:{service}"))
            .args(["-u", &format!("{}:{}", keys.access, keys.secret)]);
        curl.stdin(Stdio::null());
        curl
    }

    /// One request without a signature: an opinion that is not our client's. `path` as in `/bucket/key?uploads`.
    pub fn http(&self, method: &str, path: &str, headers: &[&str]) -> (u16, String) {
        http(self.addr(), method, path, headers)
    }

    fn log(&self) -> String {
        let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        log.lines().rev().take(5).collect::<Vec<_>>().join(" / ")
    }
}

impl Drop for S3 {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
        for socket in &self.sockets {
            let _ = std::fs::remove_file(socket);
        }
    }
}

/// A request to sign.
#[derive(Clone, Copy, Debug, Default)]
pub struct S3Request<'a> {
    pub method: &'a str,
    pub path: &'a str,
    pub headers: &'a [&'a str],
    pub body: &'a str,
}

/// Status and body of the answer to curl's request.
fn asked(mut curl: Command) -> (u16, String) {
    let done = curl.output().expect("run curl");
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    let (body, status) = said.rsplit_once('\n').unwrap_or(("", &said));
    let status = status.parse().unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&done.stderr)));
    (status, body.to_string())
}

/// The names in [`PORTS`] that are for gRPC; for these weed leaves a socket in /tmp, whatever TMPDIR says.
fn sockets(ports: &[u16]) -> Vec<String> {
    let named =
        PORTS.iter().zip(ports).filter_map(|(name, port)| Some((name.strip_suffix(".port.grpc")?, port)));
    named.map(|(server, port)| format!("/tmp/seaweedfs-{server}-grpc-{port}.sock")).collect()
}

const PORTS: [&str; 8] = [
    "s3.port",
    "s3.port.grpc",
    "filer.port",
    "filer.port.grpc",
    "volume.port",
    "volume.port.grpc",
    "master.port",
    "master.port.grpc",
];

/// One HTTP/1.1 request without a body or a signature to `addr`: status and body of the answer.
pub fn http(addr: SocketAddr, method: &str, path: &str, headers: &[&str]) -> (u16, String) {
    try_http(addr, method, path, headers).unwrap_or_else(|e| panic!("{method} {path}: {e}"))
}

fn try_http(addr: SocketAddr, method: &str, path: &str, headers: &[&str]) -> Result<(u16, String), String> {
    let mut stream = TcpStream::connect(addr).map_err(|e| e.to_string())?;
    let _ = stream.set_read_timeout(Some(Duration::from_secs(20)));
    let headers: String = headers.iter().map(|h| format!("{h}\r\n")).collect();
    let fixed = "Content-Length: 0\r\nConnection: close\r\n";
    let head = format!("{method} {path} HTTP/1.1\r\nHost: {addr}\r\n{fixed}{headers}\r\n");
    stream.write_all(head.as_bytes()).map_err(|e| e.to_string())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).map_err(|e| e.to_string())?;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let status = answer.split(' ').nth(1).and_then(|s| s.parse().ok()).ok_or("no status")?;
    Ok((status, answer.split_once("\r\n\r\n").map_or("", |(_, body)| body).to_string()))
}

fn command(folder: &Path, ports: &[u16]) -> Command {
    let log = std::fs::File::create(folder.join("log")).expect("create the log");
    let mut command = Command::new(tool("weed/weed"));
    let path = |name: &str| folder.join(name).display().to_string();
    std::fs::create_dir_all(folder.join("data")).expect("create the data folder");
    command.arg("server").arg(format!("-dir={}", path("data"))).args(["-ip=127.0.0.1", "-ip.bind=127.0.0.1"]);
    for (name, port) in PORTS.iter().zip(ports) {
        command.arg(format!("-{name}={port}"));
    }
    // Nothing leaves this machine, and a missing bucket is missing.
    command.args(["-master.telemetry=false", "-s3.autoCreateBucket=false", "-filer", "-s3"]);
    command.args(["-s3.port.iceberg=0", "-s3.port.lance=0", "-s3.iam=true", "-s3.iam.readOnly=false"]);
    command.args(["-volume.max=2000", "-master.volumeSizeLimitMB=256", "-volume.preStopSeconds=0"]);
    command.arg(format!("-s3.config={}", path("s3.json")));
    command.arg(format!("-s3.localSocket={}", path("s3.sock")));
    command.arg(format!("-filer.localSocket={}", path("filer.sock")));
    command.current_dir(folder).env("TMPDIR", folder).env("HOME", folder);
    command.stdin(Stdio::null()).stdout(log.try_clone().expect("clone")).stderr(log);
    command
}

fn free_ports(count: usize) -> Vec<u16> {
    let bind = |_| TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    let listeners: Vec<TcpListener> = (0..count).map(bind).collect();
    listeners.iter().map(|l| l.local_addr().expect("address").port()).collect()
}
