//! A real mail server: aiosmtpd as a child, with a certificate made for the test.

use crate::tools;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// The name and the password that [`Smtp`] takes when it asks for them.
pub const LOGIN: (&str, &str) = ("ops@example.org", "canary-smtp-password");

/// How the server behaves.
#[derive(Clone, Debug)]
pub struct SmtpOptions {
    /// `starttls` (offered and required), `implicit` (from the first byte), or `none` (stripped).
    pub tls: &'static str,
    /// Whether one must log in with [`LOGIN`].
    pub auth: bool,
    /// Answers this many mails with 451 before it takes one.
    pub defer: u32,
    /// Answers these recipients with 550.
    pub refuse: Vec<&'static str>,
}

impl Default for SmtpOptions {
    fn default() -> SmtpOptions {
        SmtpOptions { tls: "starttls", auth: true, defer: 0, refuse: Vec::new() }
    }
}

/// A running mail server on 127.0.0.1 (`localhost` in its certificate); ended on drop.
pub struct Smtp {
    child: Child,
    folder: tempfile::TempDir,
    port: u16,
}

impl Smtp {
    /// Starts one.
    pub fn start(options: &SmtpOptions) -> Smtp {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let made = rcgen::generate_simple_self_signed(["localhost".to_string(), "127.0.0.1".to_string()])
            .expect("a certificate");
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("ca.pem"), made.cert.pem()).expect("write the certificate");
        std::fs::write(path("key.pem"), made.signing_key.serialize_pem()).expect("write the key");
        let mut child = Command::new("python3")
            .args(["-c", include_str!("smtp.py")])
            .arg(folder.path())
            .arg(settings(options, &path("ca.pem"), &path("key.pem")))
            .env("PYTHONPATH", tools().join("aiosmtpd"))
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(path("server.log")).expect("a log"))
            .spawn()
            .expect("python3 runs; run: cargo xtask setup");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("was piped");
        BufReader::new(stdout).read_line(&mut line).expect("the server says its port");
        let port = line.trim().parse().unwrap_or_else(|_| {
            let log = std::fs::read_to_string(path("server.log")).unwrap_or_default();
            panic!("aiosmtpd did not start; run: cargo xtask setup\n{log}")
        });
        Smtp { child, folder, port }
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its certificate, PEM.
    pub fn ca_file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// How often somebody tried to log in.
    pub fn logins(&self) -> u32 {
        let count = std::fs::read_to_string(self.folder.path().join("logins")).unwrap_or_default();
        count.parse().unwrap_or(0)
    }

    /// The mails it took, in order, each with its headers; `X-Tls`, `X-Login` and `X-Rcpt` tell how each came.
    pub fn mails(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.folder.path()).expect("the folder is there");
        let mut paths: Vec<PathBuf> = entries.map(|e| e.expect("an entry").path()).collect();
        paths.retain(|p| p.extension().is_some_and(|e| e == "eml"));
        paths.sort();
        paths.iter().map(|p| std::fs::read_to_string(p).expect("a mail")).collect()
    }
}

impl Drop for Smtp {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn settings(options: &SmtpOptions, cert: &std::path::Path, key: &std::path::Path) -> String {
    let (user, password) = if options.auth { LOGIN } else { ("", "") };
    let refuse: Vec<String> = options.refuse.iter().map(|r| format!("{r:?}")).collect();
    let (tls, defer, refuse) = (options.tls, options.defer, refuse.join(","));
    format!(
        r#"{{"cert":{cert:?},"key":{key:?},"tls":"{tls}","user":"{user}","password":"{password}","defer":{defer},"refuse":[{refuse}]}}"#
    )
}
