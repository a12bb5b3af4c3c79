//! A thousand TLS targets on the loopback, some of them silent: time and memory, beside ssl-cert-check and check_http.

use crate::measure::{Cost, cost_ending, median};
use crate::setup;
use crate::sh::{self, Context, Failure, Result};
use std::fmt::Write;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Targets in all
    #[arg(long, value_name = "N", default_value_t = 1000)]
    targets: u16,
    /// Runs of each; the table shows their medians
    #[arg(long, value_name = "N", default_value_t = 3)]
    runs: usize,
}

/// What a silent target may cost.
const TIMEOUT: u64 = 2;

pub(crate) fn run(args: &Args) -> Result<()> {
    setup::run(&setup::Args::default())?;
    let program = super::release(&["cert-checker"])?.join("cert-checker");
    let dir = std::env::temp_dir().join(format!("toban-bench-certs-{}", std::process::id()));
    std::fs::create_dir_all(&dir).doing(|| format!("create {}", dir.display()))?;
    let measured = measure(args, &dir, &program);
    let _ = std::fs::remove_dir_all(&dir);
    let page = page(args, &measured?);
    println!("{page}");
    super::record("Certificates", &page)
}

/// nginx listening on so many ports; ended when dropped.
struct Servers {
    nginx: Child,
    ports: Vec<u16>,
}

impl Drop for Servers {
    fn drop(&mut self) {
        // The master ends its workers.
        let _ = Command::new("kill").arg(self.nginx.id().to_string()).status();
        let _ = self.nginx.wait();
    }
}

fn serve(dir: &Path, count: u16) -> Result<Servers> {
    let at = dir.display();
    let subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"];
    let begin =
        ["req", "-x509", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-days", "90"];
    let files = ["-keyout", &format!("{at}/key"), "-out", &format!("{at}/crt")].map(String::from);
    sh::quietly(Command::new("openssl").args(begin).args(&files).args(subject))?;
    // Taken together, so that no port is given twice.
    let taken: std::io::Result<Vec<TcpListener>> =
        (0..count).map(|_| TcpListener::bind("127.0.0.1:0")).collect();
    let taken = taken.doing(|| "take ports".into())?;
    let ports: Vec<u16> = taken.iter().filter_map(|l| l.local_addr().ok()).map(|a| a.port()).collect();
    drop(taken);
    let listen: String = ports.iter().fold(String::new(), |mut text, port| {
        let _ = writeln!(text, "listen 127.0.0.1:{port} ssl;");
        text
    });
    let config = format!(
        "daemon off; pid {at}/pid; error_log stderr crit; worker_processes 1; worker_rlimit_nofile 8192; events {{ worker_connections 4096; }}
http {{ access_log off; client_body_temp_path {at}/b; proxy_temp_path {at}/p; fastcgi_temp_path {at}/f; uwsgi_temp_path {at}/u; scgi_temp_path {at}/s;
server {{ {listen} ssl_certificate {at}/crt; ssl_certificate_key {at}/key; location / {{ return 204; }} }} }}"
    );
    let path = dir.join("nginx.conf");
    std::fs::write(&path, config).doing(|| format!("write {}", path.display()))?;
    let program = crate::tools::dir().join("daemons/usr/sbin/nginx");
    let mut command = Command::new(&program);
    command.args(["-e", "stderr", "-p", &at.to_string(), "-c"]).arg(&path).stdin(Stdio::null());
    let nginx = command.spawn().doing(|| format!("run {}", program.display()))?;
    let servers = Servers { nginx, ports };
    let until = Instant::now() + Duration::from_secs(20);
    while std::net::TcpStream::connect(("127.0.0.1", servers.ports[0])).is_err() {
        if Instant::now() > until {
            return Err(Failure::new("nginx does not listen"));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(servers)
}

fn measure(args: &Args, dir: &Path, ours: &Path) -> Result<Vec<(String, Cost)>> {
    let servers = serve(dir, args.targets)?;
    // The kernel takes their connections, and nobody ever answers.
    let silent = silent(args.targets / 5)?;
    let quick = list(&servers.ports, &[]);
    let loud = usize::from(args.targets - args.targets / 5);
    let mixed = list(
        &servers.ports[..loud],
        &silent.iter().filter_map(|l| l.local_addr().ok()).map(|a| a.port()).collect::<Vec<_>>(),
    );
    let tenth = list(&servers.ports[..servers.ports.len().div_ceil(10)], &[]);
    for (name, text) in [("quick", &quick), ("mixed", &mixed), ("tenth", &tenth)] {
        std::fs::write(dir.join(name), text).doing(|| format!("write {name}"))?;
    }
    let check = |list: &str| {
        format!("exec {} check --any-issuer --timeout {TIMEOUT}s -f {list} >/dev/null 2>&1", ours.display())
    };
    let mut ways = vec![
        (format!("cert-checker, {} targets", args.targets), check("quick"), 0),
        (format!("cert-checker, {} of them silent", args.targets / 5), check("mixed"), 4),
    ];
    ways.extend(peers(&setup::cert_peers()?));
    let mut costs = vec![Vec::new(); ways.len()];
    for round in 1..=args.runs {
        for ((name, line, ending), costs) in ways.iter().zip(&mut costs) {
            let mut command = Command::new("sh");
            command.args(["-c", line]).current_dir(dir).env("TOBAN_STATE_DIR", dir.join("state"));
            let once = cost_ending(&mut command, *ending)?;
            println!("round {round}: {name:<44} {:>7.2} s {:>6.0} MiB", once.wall, once.rss);
            costs.push(once);
        }
    }
    Ok(ways.into_iter().zip(costs).map(|((name, ..), costs)| (name, median(&costs))).collect())
}

fn silent(count: u16) -> Result<Vec<TcpListener>> {
    let all: std::io::Result<Vec<TcpListener>> =
        (0..count).map(|_| TcpListener::bind("127.0.0.1:0")).collect();
    all.doing(|| "take ports".into())
}

fn list(ports: &[u16], silent: &[u16]) -> String {
    ports.iter().chain(silent).fold(String::new(), |mut text, port| {
        let _ = writeln!(text, "tls://127.0.0.1:{port}");
        text
    })
}

/// Both take one target at a time, so a tenth of the list tells what all of it would take.
fn peers(ssl_cert_check: &Path) -> [(String, String, i32); 2] {
    let each =
        |tool: &str| format!("while IFS=: read -r _ _ port; do {tool} >/dev/null 2>&1; done < tenth; exit 0");
    let (check, usr) =
        (ssl_cert_check.display(), ssl_cert_check.ancestors().nth(2).unwrap_or(Path::new("/usr")));
    let http = format!("{}/lib/nagios/plugins/check_http -I 127.0.0.1 -p $port -C 25,7", usr.display());
    [
        (
            "ssl-cert-check, a tenth of them one after another".into(),
            each(&format!("{check} -b -s 127.0.0.1 -p $port")),
            0,
        ),
        ("check_http -C, a tenth of them one after another".into(), each(&http), 0),
    ]
}

fn page(args: &Args, costs: &[(String, Cost)]) -> String {
    let mut text = format!(
        "Written by `cargo xtask bench certs --targets {} --runs {}`: medians of runs that take turns, servers on the same machine \
         (one nginx). A silent target takes the connection and says nothing; the timeout is {TIMEOUT} s.\n\n\
         | | wall s | CPU s | RSS MiB |\n| --- | --- | --- | --- |\n",
        args.targets, args.runs
    );
    for (name, cost) in costs {
        let _ = writeln!(text, "| {name} | {:.2} | {:.2} | {:.0} |", cost.wall, cost.cpu, cost.rss);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_a_line_for_each_way() {
        let costs = [("a".to_string(), Cost { wall: 1.0, cpu: 0.5, rss: 9.0 })];
        let text = page(&Args { targets: 7, runs: 1 }, &costs);
        assert!(
            text.contains("--targets 7 --runs 1") && text.ends_with("| a | 1.00 | 0.50 | 9 |\n"),
            "{text}"
        );
    }
}
