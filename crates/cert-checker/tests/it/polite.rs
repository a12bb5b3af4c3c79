//! Protocols that begin in plain text and have no server among the daemons here: spoken by the test, up to a real
//! handshake, and spoiled in every way.

use crate::mint::{DAY, Made, Wish, pem};
use crate::server::{self, Server};
use crate::world::{Found, World};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};
use testkit::Pg;

/// What nobody says.
const NEVER: &str = "nobody says this";

/// What one side says and what it must hear before the next line.
type Script = &'static [(&'static str, &'static str)];

const LMTP: Script = &[
    ("220 mx LMTP\r\n", "LHLO localhost\r\n"),
    ("250-mx\r\n250-8BITMIME\r\n250 STARTTLS\r\n", "STARTTLS\r\n"),
    ("220 go\r\n", ""),
];
const SIEVE: Script = &[
    (
        "\"IMPLEMENTATION\" \"x\"\r\n\"SASL\" \"\"\r\n\"STARTTLS\"\r\n\"VERSION\" \"1.0\"\r\nOK\r\n",
        "STARTTLS\r\n",
    ),
    ("OK \"begin\"\r\n", ""),
];
const STREAM: &str =
    "<?xml version='1.0'?><stream:stream id='1' from='x' xmlns='jabber:client' version='1.0'>";
const OFFER: &str = "<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls></stream:features>";
const NONE: &str = "<stream:features><mechanisms/></stream:features>";
const PROCEED: &str = "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>";
const XMPP: Script = &[
    ("", "version='1.0'>"),
    (STREAM, ""),
    (OFFER, "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"),
    (PROCEED, ""),
];

/// Speaks the script; whether the other side said what it must.
fn spoken(stream: &mut TcpStream, script: Script) -> bool {
    script.iter().all(|(say, hear)| {
        let mut heard = Vec::new();
        let mut byte = [0];
        stream.write_all(say.as_bytes()).is_ok()
            && (hear.is_empty() || {
                while !heard.ends_with(hear.as_bytes()) && stream.read(&mut byte).is_ok_and(|n| n == 1) {
                    heard.push(byte[0]);
                }
                heard.ends_with(hear.as_bytes())
            })
    })
}

fn speaking(script: Script, made: &Made) -> Server {
    let config = Arc::new(server::config(&server::chain(made, &[]), made, rustls::ALL_VERSIONS));
    Server::start(move |mut stream| {
        if spoken(&mut stream, script) {
            server::handshake(&config, stream);
        }
    })
}

#[test]
fn protocols_up_to_the_certificate() {
    let world = World::new();
    let made = Wish::server(&[]).self_signed();
    for (scheme, script) in [("lmtp", LMTP), ("sieve", SIEVE), ("xmpp", XMPP), ("xmpp-server", XMPP)] {
        let server = speaking(script, &made);
        let ran = world.check(&[&format!("{scheme}://{}", server.target()), "--any-issuer"]);
        assert_eq!((ran.finding_ids(), ran.status), (vec![], Some(0)), "X9 {scheme}: {ran:?}");
    }
}

#[test]
fn refusals_and_injections() {
    let world = World::new();
    let made = Wish::server(&[]).self_signed();
    let (refused, injected) = ("starttls-refused unknown", "starttls-injected critical");
    let cases: [(&str, Script, &str); 9] = [
        ("lmtp", &[("220 a\r\n", "\r\n"), ("250 SIZE\r\n", "")], refused),
        (
            "lmtp",
            &[("220 a\r\n", "\r\n"), ("250 STARTTLS\r\n", "\r\n"), ("220 go\r\n250 x\r\n", NEVER)],
            injected,
        ),
        ("sieve", &[("\"SASL\" \"\"\r\nOK\r\n", NEVER)], refused),
        ("sieve", &[("BYE \"busy\"\r\n", NEVER)], refused),
        ("sieve", &[("\"STARTTLS\"\r\nOK\r\n", "\r\n"), ("NO\r\n", NEVER)], refused),
        ("sieve", &[("\"STARTTLS\"\r\nOK\r\n", "\r\n"), ("OK\r\n\"SASL\" \"\"\r\n", NEVER)], injected),
        ("xmpp", &[("", ">"), (STREAM, ""), (NONE, NEVER)], refused),
        ("xmpp", &[("", ">"), (STREAM, ""), (OFFER, "/>"), ("<failure/>", NEVER)], refused),
        ("xmpp", &[("", "0'>"), (STREAM, ""), (OFFER, "/>"), ("<proceed/><message/>", NEVER)], injected),
    ];
    for (scheme, script, said) in cases {
        let server = speaking(script, &made);
        let ran =
            world.check(&[&format!("{scheme}://{}", server.target()), "--any-issuer", "--timeout", "2s"]);
        assert_eq!(ran.finding_ids(), [said], "X9 {scheme} {script:?}: {ran:?}");
    }
}

#[test]
fn silence_ends_with_the_timeout() {
    let world = World::new();
    let made = Wish::server(&[]).self_signed();
    let cases: [(&str, Script); 5] = [
        ("lmtp", &[("220 a\r\n", NEVER)]),
        ("sieve", &[("\"SASL\" \"\"\r\n", NEVER)]),
        ("xmpp", &[("", NEVER)]),
        ("xmpp", &[("", ">"), ("<stream:features>", NEVER)]),
        ("postgres-direct", &[("", NEVER)]),
    ];
    for (scheme, script) in cases {
        let server = speaking(script, &made);
        let began = Instant::now();
        let ran = world.check(&[&format!("{scheme}://{}", server.target()), "--timeout", "1s"]);
        assert_eq!(ran.finding_ids(), ["timeout unknown"], "X13 {scheme}: {ran:?}");
        assert!(began.elapsed() < Duration::from_millis(1500), "X13 {scheme}: {:?}", began.elapsed());
    }
}

/// PostgreSQL takes TLS from the first byte since 17, by ALPN; older ones close.
#[test]
fn postgresql_from_the_first_byte() {
    let world = World::new();
    let made = Wish::server(&[]).self_signed();
    let (chain, key) = (pem(&[&made.der]), made.key.serialize_pem());
    let (clients, strangers) = (Wish::authority("Clients").root(), Wish::authority("Strangers").root());
    let new = Pg::builder_major(18).tls(&chain, &key).file("clients.crt", pem(&[&clients.der]));
    let new = new.set("ssl_ca_file=clients.crt").start();
    let direct = format!("postgres-direct://127.0.0.1:{}", new.port());
    let ran = world.check(&[&direct, "--any-issuer"]);
    assert_eq!(
        (ran.finding_ids(), ran.status),
        (vec!["client-certificate-requested ok".into()], Some(0)),
        "X9 {ran:?}"
    );
    // PostgreSQL sends no ticket: from the one that takes our certificate comes nothing at all.
    for (by, refused) in [(&clients, false), (&strangers, true)] {
        let mut wish = Wish::server(&["me"]).between(-30 * DAY, 300 * DAY);
        wish.0.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
        let own = wish.signed_by(by);
        world.file("me.pem", pem(&[&own.der]));
        world.file("me.key", own.key.serialize_pem());
        for target in [&direct, &direct.replace("postgres-direct", "postgres")] {
            let ran = world.check(&[target, "--any-issuer", "--cert", "me.pem", "--key", "me.key"]);
            let told = ran.finding_ids().contains(&"client-certificate-refused critical".to_string());
            assert_eq!(told, refused, "X7 {target}: {ran:?}");
        }
    }
    let old = Pg::builder_major(16).tls(&chain, &key).start();
    let ran = world.check(&[&format!("postgres-direct://127.0.0.1:{}", old.port()), "--any-issuer"]);
    assert_eq!(ran.finding_ids(), ["closed unknown"], "X9 {ran:?}");
}
