//! Web servers that are asked without TLS, and the options by which check_ssl_cert's users ask.

use crate::mint::{Wish, pem};
use crate::server::{self, Server};
use crate::transport::Bench;
use crate::world::Found;
use std::io::{Read, Write};
use std::sync::{Arc, Mutex};

/// A web server without TLS that answers every request with `answer`.
fn answering(answer: &Arc<Mutex<String>>) -> Server {
    let answer = Arc::clone(answer);
    Server::start(move |mut stream| {
        let _ = stream.read(&mut [0; 2048]);
        let _ = stream.write_all(answer.lock().expect("whole").as_bytes());
    })
}

fn redirect(status: u16, to: &str) -> String {
    format!("HTTP/1.1 {status} Moved\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n")
}

/// A web server with TLS that answers with this header.
fn web(bench: &Bench, header: &'static str) -> Server {
    let config = Arc::new(server::config(&bench.chain(), &bench.leaf, rustls::ALL_VERSIONS));
    Server::start(move |mut stream| {
        let Ok(mut connection) = rustls::ServerConnection::new(Arc::clone(&config)) else { return };
        let mut tls = rustls::Stream::new(&mut connection, &mut stream);
        if tls.read(&mut [0; 1024]).is_ok_and(|n| n > 0) {
            let _ = tls.write_all(format!("HTTP/1.1 200 OK\r\n{header}Content-Length: 0\r\n\r\n").as_bytes());
        }
    })
}

#[test]
fn from_http_to_https() {
    let bench = Bench::new();
    let good = web(&bench, "Strict-Transport-Security: max-age=31536000\r\n");
    let (bare, short) = (web(&bench, ""), web(&bench, "Strict-Transport-Security: max-age=60\r\n"));
    let https = |server: &Server| format!("https://{}/x", server.target());
    let other = answering(&Arc::new(Mutex::new(redirect(301, &https(&good)))));
    let junk = answering(&Arc::new(Mutex::new("SSH-2.0-x\r\n".into())));
    let said = Arc::new(Mutex::new(String::new()));
    let plain = answering(&said);
    let (lost, target) = ("http-no-redirect warning", format!("http://{}/path", plain.target()));
    let cases: Vec<(&str, String, Vec<&str>, usize)> = vec![
        ("a redirect", redirect(301, &https(&good)), vec![], 2),
        ("of another status", redirect(308, &https(&good).to_uppercase().replace("/X", "/x")), vec![], 2),
        ("through another server", redirect(302, &format!("http://{}/", other.target())), vec![], 2),
        ("no header there", redirect(301, &https(&bare)), vec!["hsts-missing warning"], 2),
        ("for too short a time", redirect(301, &https(&short)), vec!["hsts-weak warning"], 2),
        ("a page", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".into(), vec![lost], 1),
        (
            "a header that counts for nothing here",
            "HTTP/1.1 200 OK\r\nStrict-Transport-Security: max-age=31536000\r\n\r\n".into(),
            vec![lost],
            1,
        ),
        ("a refusal", "HTTP/1.1 403 Forbidden\r\n\r\n".into(), vec![lost], 1),
        ("elsewhere on the same", redirect(301, "/other"), vec![lost], 1),
        ("a circle", redirect(301, &target), vec![lost], 1),
        ("to nowhere", redirect(301, "mailto:x"), vec![lost], 1),
        ("no HTTP", "SSH-2.0-x\r\n".into(), vec!["not-http unknown"], 1),
        (
            "to what is no HTTP",
            redirect(301, &format!("http://{}/", junk.target())),
            vec!["not-http unknown"],
            1,
        ),
        ("nothing", String::new(), vec!["closed unknown"], 1),
    ];
    for (id, answer, expected, records) in cases {
        *said.lock().expect("whole") = answer;
        let (told, all) = bench.said(&target, &[]);
        let told: Vec<&str> = told.iter().map(String::as_str).collect();
        assert_eq!((told, all.len()), (expected, records), "{id}: {all:?}");
    }
    *said.lock().expect("whole") = "HTTP/1.1 200 OK\r\n\r\n".into();
    let ran = bench.world.check(&[&target]);
    assert_eq!(ran.status, Some(4), "what was seen is a finding, not a failure: {ran:?}");
    // The other way round: from https back to where nothing is encrypted.
    let down = server::config(&bench.chain(), &bench.leaf, rustls::ALL_VERSIONS);
    let down = server::redirecting(down, Arc::new(Mutex::new(target.clone())));
    let from = format!("https://{}", down.target());
    assert_eq!(bench.said(&from, &["--redirects"]).0, [lost]);
    *said.lock().expect("whole") = redirect(301, &https(&good));
    let (told, records) = bench.said(&from, &["--redirects"]);
    assert_eq!((told.len(), records.len()), (0, 3), "and back again: {records:?}");
    let dead = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    let ran = bench.world.check(&[&format!("http://{dead}")]);
    assert_eq!((ran.finding_ids(), ran.status), (vec!["refused unknown".to_string()], Some(75)), "{ran:?}");
}

/// The options of check_ssl_cert that the guide names, in its spelling.
#[test]
fn options_of_check_ssl_cert() {
    let bench = Bench::new();
    let own = Wish::server(&["own.example"]).self_signed();
    let staple = Arc::new({
        let mut certified = (*server::certified(&bench.chain(), &bench.leaf.key)).clone();
        certified.ocsp = Some(b"junk".to_vec());
        certified
    });
    let signed = Server::showing(&own, &[]);
    let stapled = Server::tls(server::several(vec![staple]));
    let port = |server: &Server| server.at.port().to_string();
    let (p, q) = (port(&signed), port(&stapled));
    let root = bench.world.path("root.pem");
    bench.world.file("roots/README", "no certificate");
    std::fs::copy(&root, bench.world.path("roots/root.pem")).expect("copied");
    bench.world.file("own.pem", pem(&[&own.der]));
    bench.world.file("own.der", &own.der);
    let h = ["-H", "127.0.0.1"];
    let signed = |more: &[&'static str]| [&h[..], &["-p", &p], more].concat().join(" ");
    let stapled = |more: &[&'static str]| [&h[..], &["-p", &q], more].concat().join(" ");
    let (critical, warning, fine) = (2, 1, 0);
    let cases: Vec<(String, i32)> = vec![
        (signed(&[]), critical),
        (signed(&["-A"]), fine),
        (signed(&["--noauth"]), fine),
        (signed(&["-s"]), fine),
        (signed(&["--selfsigned"]), fine),
        (signed(&["-A", "-n", "own.example"]), fine),
        (signed(&["-A", "--cn", "other.example"]), critical),
        (signed(&["-A", "-t", "5"]), fine),
        (signed(&["-A", "-t", "5s", "-P", "https"]), fine),
        (signed(&["-A", "-P", "http"]), fine),
        (signed(&["-A", "-P", "tls"]), fine),
        (signed(&["-A", "-P", "smtp", "-t", "1"]), 3),
        (signed(&["-A", "-P", "gopher"]), 3),
        (signed(&["-A", "-w", "70"]), warning),
        (signed(&["-A", "-w", "80", "-c", "70"]), critical),
        (stapled(&["-r", "root.pem"]), warning),
        (stapled(&["-r", "root.pem", "--ignore-ocsp"]), fine),
        (stapled(&["--rootcert", "roots", "--ignore-ocsp"]), fine),
        (stapled(&["--selfsigned", "--ignore-ocsp"]), critical),
        ("-A -f own.pem".into(), fine),
        ("-A -f own.der".into(), fine),
        ("-f own.pem".into(), critical),
        ("-A -f own.pem -n other.example".into(), critical),
        ("-f gone.pem".into(), 3),
    ];
    for (args, status) in cases {
        let begin = ["check", "--monitoring", "--at", crate::world::judged_at()];
        let all: Vec<&str> = begin.into_iter().chain(args.split(' ')).collect();
        let ran = bench.world.run(&all);
        assert_eq!(ran.status, Some(status), "{args}: {ran:?}");
        assert_eq!(ran.stdout.lines().count(), 1, "{args}: {ran:?}");
    }
}
