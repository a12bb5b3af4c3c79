//! Whoever answers may be an enemy: stalls, drips, junk, early words, names that would break what we write.

use crate::mint::{Wish, pem};
use crate::server::Server;
use crate::world::{Found, World, judged_at};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// Waits until the other side ends.
fn silence(mut stream: TcpStream) {
    let _ = stream.read_to_end(&mut Vec::new());
}

fn answering(words: &'static [u8]) -> impl Fn(TcpStream) + Send + Sync {
    move |mut stream: TcpStream| {
        let _ = stream.write_all(words);
        silence(stream);
    }
}

/// One line, then for each line that comes the next answer; after the last silence.
fn talking(lines: &'static [&'static str]) -> impl Fn(TcpStream) + Send + Sync {
    move |mut stream: TcpStream| {
        for line in lines {
            if stream.write_all(line.as_bytes()).is_err() || stream.read(&mut [0; 512]).is_err() {
                return;
            }
        }
        silence(stream);
    }
}

/// What a busy machine may add; what hangs takes longer.
const BUSY: Duration = Duration::from_secs(4);
const TIMEOUT: Duration = Duration::from_millis(1500);

/// What is said of a server, within the timeout and half a second.
#[track_caller]
fn within(world: &World, target: &str, expected: &str) {
    let begun = Instant::now();
    let ran = world.check(&[target, "--any-issuer", "--timeout", "1500ms"]);
    let took = begun.elapsed();
    assert_eq!(ran.finding_ids(), [expected], "{target}: {ran:?}");
    assert!(took < TIMEOUT + BUSY, "{target}: {took:?}");
}

#[test]
fn stalls_end_with_the_timeout() {
    let world = World::new();
    let silent = Server::start(silence);
    let drip = Server::start(|mut stream| {
        while stream.write_all(&[22]).is_ok() {
            let (_, wait) =
                (stream.set_read_timeout(Some(Duration::from_millis(300))), stream.read(&mut [0; 4096]));
            if wait.is_ok_and(|n| n == 0) {
                return;
            }
        }
    });
    let greeting = Server::start(talking(&["220 hello\r\n"]));
    let schemes = ["smtp", "imap", "pop3", "ftp", "ldap", "postgres", "mysql", "tls", "https"];
    for scheme in schemes {
        within(&world, &format!("{scheme}://{}", silent.target()), "timeout unknown");
    }
    within(&world, &format!("smtp://{}", greeting.target()), "timeout unknown");
    let begun = Instant::now();
    let ran = world.check(&[&drip.target(), "--timeout", "1500ms"]);
    assert!(begun.elapsed() < TIMEOUT + BUSY, "{ran:?}");
    assert!(ran.finding_ids()[0].ends_with("unknown"), "{ran:?}");
}

#[test]
fn junk_is_told_as_junk() {
    let world = World::new();
    let http = Server::start(answering(b"HTTP/1.1 400 Bad Request\r\n\r\n"));
    within(&world, &http.target(), "not-tls unknown");
    let flood = Server::start(|mut stream: TcpStream| {
        let junk = [0xa5_u8; 65536];
        for _ in 0..256 {
            if stream.write_all(&junk).is_err() {
                return;
            }
        }
    });
    within(&world, &flood.target(), "not-tls unknown");
    within(&world, &format!("smtp://{}", flood.target()), "not-tls unknown");
    let oversized = Server::start(answering(&[22, 3, 3, 0xff, 0xff]));
    within(&world, &oversized.target(), "not-tls unknown");
    let closing = Server::start(|mut stream: TcpStream| {
        let _ = stream.read(&mut [0; 64]);
    });
    within(&world, &closing.target(), "closed unknown");
    let alert = Server::start(answering(&[21, 3, 3, 0, 2, 2, 40]));
    within(&world, &alert.target(), "handshake-failed critical");
}

#[test]
fn starttls_that_is_refused_or_spoiled() {
    let world = World::new();
    let cases: [(&str, &'static [&'static str], &str); 14] = [
        ("smtp", &["220 a\r\n", "250-a\r\n250 SIZE\r\n"], "starttls-refused unknown"),
        ("smtp", &["220 a\r\n", "250-a\r\n250 STARTTLS\r\n", "454 later\r\n"], "starttls-refused unknown"),
        ("smtp", &["554 no\r\n"], "starttls-refused unknown"),
        (
            "smtp",
            &["220 a\r\n", "250 STARTTLS\r\n", "220 go\r\n250 injected\r\n"],
            "starttls-injected critical",
        ),
        ("imap", &["* PREAUTH hello\r\n"], "starttls-refused unknown"),
        ("imap", &["* BYE\r\n"], "starttls-refused unknown"),
        ("imap", &["* OK\r\n", "a BAD\r\n"], "starttls-refused unknown"),
        ("imap", &["* OK\r\n", "a OK go\r\n* 1 EXISTS\r\n"], "starttls-injected critical"),
        ("pop3", &["+OK\r\n", "-ERR\r\n"], "starttls-refused unknown"),
        ("pop3", &["+OK\r\n", "+OK\r\n+OK injected\r\n"], "starttls-injected critical"),
        ("ftp", &["220 a\r\n", "502 no\r\n"], "starttls-refused unknown"),
        ("ftp", &["220-a\r\n220 a\r\n", "234 go\r\n200 injected\r\n"], "starttls-injected critical"),
        ("mysql", &["\x05\0\0\0\u{0a}5.7\0"], "not-tls unknown"),
        ("ftp", &["220 a\r\n", "234"], "closed unknown"),
    ];
    for (scheme, lines, expected) in cases {
        let server = Server::start(talking(lines));
        let ran =
            world.check(&[&format!("{scheme}://{}", server.target()), "--any-issuer", "--timeout", "1s"]);
        let stalled = ran.finding_ids() == ["timeout unknown"] && expected == "closed unknown";
        assert!(stalled || ran.finding_ids() == [expected], "{scheme} {lines:?}: {ran:?}");
    }
    let postgres: [(&'static [u8], &str); 4] = [
        (b"N", "starttls-refused unknown"),
        (b"E", "starttls-refused unknown"),
        (b"Sinjected", "starttls-injected critical"),
        (b"X", "not-tls unknown"),
    ];
    for (words, expected) in postgres {
        let server = Server::start(move |mut stream: TcpStream| {
            let _ = stream.read(&mut [0; 8]);
            let _ = stream.write_all(words);
            silence(stream);
        });
        within(&world, &format!("postgres://{}", server.target()), expected);
    }
}

/// Names that would end a line, a cell, a string, a label or a terminal's peace.
#[test]
fn names_break_no_renderer() {
    let mut world = World::new();
    let nasty = [
        "a|b'c\"d\\e",
        "line\nbreak\r\nand\ttab",
        "\u{1b}[31mred\u{1b}]0;title\u{7}",
        "nul\0and\u{85}c1\u{9b}31m",
        "\u{202e}right to left",
        "=cmd|' /C calc'!A0",
    ];
    let long = "x".repeat(64 << 10);
    let textfiles = world.path("metrics");
    std::fs::create_dir(&textfiles).expect("a folder");
    let config = world.file("toban.toml", format!("textfile_dir = {textfiles:?}\n"));
    world.set("TOBAN_CONFIG", &config.display().to_string());
    for name in nasty.iter().copied().chain([long.as_str()]) {
        let mut wish = Wish::server(&[]);
        wish.0.distinguished_name = rcgen::DistinguishedName::new();
        wish.0.distinguished_name.push(rcgen::DnType::CommonName, name);
        wish.0.distinguished_name.push(rcgen::DnType::OrganizationName, name);
        let made = wish.self_signed();
        let server = Server::showing(&made, &[]);
        world.file("x.pem", pem(&[&made.der]));
        let target = server.target();
        for format in [&[][..], &["--json"], &["--monitoring"]] {
            let ran = world.run(&[&["check", "--at", judged_at(), &target, "./x.pem"], format].concat());
            let controls = ran
                .stdout
                .chars()
                .chain(ran.stderr.chars())
                .filter(|c| c.is_control() && *c != '\n' && *c != '\t');
            assert_eq!(controls.count(), 0, "{name:?} {format:?}: {ran:?}");
            let lines = ran.stdout.lines().count();
            assert_eq!(
                lines,
                if format == ["--monitoring"] { 1 } else { 2 },
                "{name:?} {format:?}: {}",
                ran.stdout
            );
            match format {
                [] => assert!(
                    ran.stdout.lines().all(|l| l.split('\t').count() == 7),
                    "{name:?}: {}",
                    ran.stdout
                ),
                ["--json"] => assert_eq!(ran.records().len(), 2),
                _ => perfdata(&ran.stdout),
            }
            assert!(ran.stdout.len() < 64 << 10, "{}", ran.stdout.len());
        }
        metrics(&textfiles);
    }
}

/// `text | 'label'=value;warn:;crit: … critical=n unknown=n warning=n`, and nothing else after the one bar.
fn perfdata(line: &str) {
    let (_, data) = line.trim_end().split_once(" | ").expect("perfdata");
    assert!(!data.contains('|'), "{line}");
    for series in data.split(' ') {
        let (label, values) = series.rsplit_once('=').expect("label=values");
        if ["critical", "unknown", "warning"].contains(&label) {
            assert!(values.parse::<u64>().is_ok(), "{series}");
            continue;
        }
        assert!(label.starts_with('\'') && label.ends_with('\'') && label.len() > 2, "{series}");
        let numbers: Vec<&str> = values.split(';').map(|v| v.trim_end_matches(':')).collect();
        assert!(numbers.len() == 3 && numbers.iter().all(|n| n.parse::<f64>().is_ok()), "{series}");
    }
}

/// Every line a comment or a sample, no series twice.
fn metrics(folder: &str) {
    let text = std::fs::read_to_string(format!("{folder}/toban_cert-checker_check_main.prom"));
    let text = text.unwrap_or_else(|e| {
        panic!(
            "{e}: {:?}",
            std::fs::read_dir(folder).map(|d| d.flatten().map(|e| e.path()).collect::<Vec<_>>())
        )
    });
    let mut series: Vec<&str> = text
        .lines()
        .filter(|l| !l.starts_with('#'))
        .map(|l| l.rsplit_once(' ').expect("a sample").0)
        .collect();
    let all = series.len();
    series.sort_unstable();
    series.dedup();
    assert_eq!(series.len(), all, "{text}");
    assert!(text.contains("toban_cert_checker_not_after_timestamp_seconds{"), "{text}");
}
