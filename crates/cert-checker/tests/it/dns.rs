//! Names with several addresses, or with none: a name server of the test's own answers, in a mount namespace where
//! the system's resolver asks it.

use crate::mint::{DAY, Wish, pem};
use crate::server::{self, Server};
use crate::world::{Found, World, findings};
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};
use testkit::Ran;

/// A name server on an address of this process's own.
struct Resolver {
    world: World,
    setup: String,
}

impl Resolver {
    fn start() -> Resolver {
        // Its own for each of those that run at the same time, in one process or in several.
        static STARTED: AtomicU8 = AtomicU8::new(53);
        let [_, _, high, low] = std::process::id().to_be_bytes();
        let at = Ipv4Addr::new(127, STARTED.fetch_add(1, Ordering::Relaxed), high, low);
        let socket = UdpSocket::bind((at, 53)).expect("port 53, which root may take");
        std::thread::spawn(move || serve(&socket));
        let world = World::new();
        let resolv = world.file("resolv.conf", format!("nameserver {at}\noptions timeout:30 attempts:1\n"));
        let order = world.file("nsswitch.conf", "hosts: files dns\n");
        let setup = format!(
            "mount --bind {} /etc/resolv.conf && mount --bind {} /etc/nsswitch.conf",
            resolv.display(),
            order.display()
        );
        Resolver { world, setup }
    }

    fn check(&self, args: &[&str]) -> Ran {
        let begin = ["check", "--json", "--at", crate::world::judged_at(), "--timeout", "2s"];
        self.world.run_after(&self.setup, &[&begin, args].concat())
    }
}

/// Answers until the process ends.
fn serve(socket: &UdpSocket) {
    let mut query = [0; 512];
    while let Ok((n, from)) = socket.recv_from(&mut query) {
        if let Some(answer) = answer(&query[..n]) {
            let _ = socket.send_to(&answer, from);
        }
    }
}

fn answer(query: &[u8]) -> Option<Vec<u8>> {
    let end = 12 + query[12..].iter().position(|b| *b == 0)? + 5;
    let first = usize::from(query[12]);
    let name = String::from_utf8_lossy(&query[13..13 + first]).into_owned();
    let v6 = query[end - 3] == 28;
    let (code, addresses): (u8, Vec<Vec<u8>>) = match (name.as_str(), v6) {
        ("silent", _) => return None,
        ("broken", _) => (2, vec![]),
        ("two", false) => (0, vec![vec![127, 0, 0, 1], vec![127, 0, 0, 2]]),
        ("half", false) | ("six", false) => (0, vec![vec![127, 0, 0, 1]]),
        ("half", true) => (0, vec![std::net::Ipv6Addr::LOCALHOST.octets().to_vec()]),
        ("two" | "six", true) => (0, vec![]),
        _ => (3, vec![]),
    };
    let mut answer = [&query[..2], &[0x81, 0x80 | code, 0, 1, 0, addresses.len() as u8, 0, 0, 0, 0]].concat();
    answer.extend_from_slice(&query[12..end]);
    for address in addresses {
        answer.extend([0xc0, 12, 0, if v6 { 28 } else { 1 }, 0, 1, 0, 0, 0, 9, 0, address.len() as u8]);
        answer.extend(address);
    }
    Some(answer)
}

#[test]
fn one_of_several_addresses_serves_the_old_certificate() {
    let resolver = Resolver::start();
    let root = Wish::authority("Root").root();
    let old = Wish::server(&["two.test"]).between(-60 * DAY, 40 * DAY).signed_by(&root);
    let new = Wish::server(&["two.test"]).between(-DAY, 89 * DAY).signed_by(&root);
    let fresh = Server::showing(&new, &[]);
    let port = fresh.at.port();
    let config = Arc::new(server::config(&server::chain(&old, &[]), &old, rustls::ALL_VERSIONS));
    let _stale = Server::listen(&format!("127.0.0.2:{port}"), move |s| server::handshake(&config, s));
    let trust = resolver.world.file("root.pem", pem(&[&root.der])).display().to_string();
    let disk = resolver.world.file("new.pem", pem(&[&new.der])).display().to_string();
    let ran = resolver.check(&[&format!("{disk}=two.test:{port}"), "--trust", &trust]);
    let told: Vec<(String, Vec<String>)> = ran
        .records()
        .iter()
        .map(|r| (r["places"][0].as_str().expect("a place").to_string(), findings(r)))
        .collect();
    let expected = [
        (disk, vec![]),
        (format!("127.0.0.1:{port}"), vec![]),
        (format!("127.0.0.2:{port}"), vec!["not-served critical".to_string()]),
    ];
    assert_eq!(told, expected, "X11, D5: {ran:?}");
}

#[test]
fn a_dead_address_beside_a_live_one() {
    let resolver = Resolver::start();
    let made = Wish::server(&["half.test", "six.test"]).self_signed();
    let server = Server::showing(&made, &[]);
    let ran = resolver.check(&[&format!("half.test:{}", server.at.port()), "--any-issuer"]);
    assert_eq!(
        (ran.finding_ids(), ran.status),
        (vec!["address-dead warning".into()], Some(4)),
        "X11 {ran:?}"
    );
    let ran = resolver.check(&[&format!("six.test:{}", server.at.port()), "--any-issuer"]);
    assert_eq!((ran.finding_ids(), ran.status), (vec![], Some(0)), "X11: only IPv4 {ran:?}");
}

#[test]
fn names_without_an_address() {
    let resolver = Resolver::start();
    let cases = [
        ("nowhere.test", "dns-not-found unknown", 1),
        ("broken.test", "dns-failed unknown", 75),
        ("silent.test", "timeout unknown", 75),
    ];
    for (name, said, status) in cases {
        let began = Instant::now();
        let ran = resolver.check(&[name]);
        assert_eq!(
            (ran.finding_ids(), ran.status),
            (vec![said.to_string()], Some(status)),
            "X12 {name}: {ran:?}"
        );
        assert!(began.elapsed() < Duration::from_millis(2500), "X12 {name}: {:?}", began.elapsed());
    }
}

/// A full queue of connections drops every further SYN, as a firewall does.
#[test]
fn a_black_hole() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let at = listener.local_addr().expect("an address");
    let mut held = Vec::new();
    while let Ok(stream) = std::net::TcpStream::connect_timeout(&at, Duration::from_millis(300)) {
        held.push(stream);
    }
    let world = World::new();
    let began = Instant::now();
    let ran = world.check(&[&at.to_string(), "--timeout", "1500ms"]);
    assert_eq!(ran.finding_ids(), ["timeout unknown"], "X13 {ran:?}");
    assert!(began.elapsed() < Duration::from_millis(2000), "X13: {:?}", began.elapsed());
}
