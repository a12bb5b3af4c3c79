//! Methods of pg_hba.conf that ask somebody else, or take another proof than they seem to: each with a real connection.

use crate::world::{World, of, text};
use std::io::{Read, Write};
use std::net::{TcpListener, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::time::Duration;
use testkit::Pg;
use testkit::tls::{Authority, Wish};

/// psql over TCP as this role, with a password.
fn psql(world: &World, role: &str, more: &str) -> Command {
    let mut psql = testkit::pg::clean(&world.pg.bin("psql"));
    let to = format!(
        "host=127.0.0.1 port={} user={role} dbname=postgres connect_timeout=10 {more}",
        world.pg.port()
    );
    psql.env("PGPASSWORD", "geheim").args(["-XAtqw", "-d", &to, "-c", "select 1"]).stdin(Stdio::null());
    psql
}

fn enters(world: &World, role: &str, more: &str) -> bool {
    psql(world, role, more).output().expect("run psql").status.success()
}

/// What is said of the line that holds these words.
fn said(world: &World, rule: &str, words: &str) -> Option<String> {
    let records = world.records(&["roles"]);
    let one = of(&records, rule).into_iter().find(|r| text(r, "object").contains(words));
    one.map(|r| format!("{} {}", text(r, "severity"), text(r, "text")))
}

#[test]
fn an_ldap_server_gets_the_password_as_it_is() {
    let ldap = TcpListener::bind("127.0.0.1:0").expect("bind");
    let port = ldap.local_addr().expect("an address").port();
    let line =
        format!("host all anna 127.0.0.1/32 ldap ldapserver=127.0.0.1 ldapport={port} ldapprefix=uid=");
    let world = World::with(Pg::builder().tcp().hba(&line).start());
    world.pg.psql("postgres", "create role anna login");
    let mut client = psql(&world, "anna", "").stdout(Stdio::null()).spawn().expect("run psql");
    let (mut stream, _) = ldap.accept().expect("PostgreSQL asks");
    let mut asked = [0; 1024];
    let n = stream.read(&mut asked).expect("a bind request");
    // BindResponse: message 1, success, no name, no text.
    stream.write_all(&[0x30, 0x0c, 2, 1, 1, 0x61, 7, 0x0a, 1, 0, 4, 0, 4, 0]).expect("answer");
    assert!(client.wait().expect("psql ends").success(), "the directory said yes");
    assert!(String::from_utf8_lossy(&asked[..n]).contains("geheim"), "as it is");
    assert_eq!(
        said(&world, "hba-cleartext", "anna").as_deref(),
        Some("warning line 3: the password goes to LDAP without TLS")
    );
}

#[test]
fn a_radius_server_is_believed() {
    let radius = UdpSocket::bind("127.0.0.1:0").expect("bind");
    radius.set_read_timeout(Some(Duration::from_secs(10))).expect("set a limit");
    let port = radius.local_addr().expect("an address").port();
    let line = format!(
        "host all anna 127.0.0.1/32 radius radiusservers=127.0.0.1 radiussecrets=secret radiusports={port}"
    );
    let world = World::with(Pg::builder().tcp().hba(&line).start());
    world.pg.psql("postgres", "create role anna login");
    let mut client = psql(&world, "anna", "").stdout(Stdio::null()).spawn().expect("run psql");
    let mut asked = [0; 1024];
    let (_, from) = radius.recv_from(&mut asked).expect("PostgreSQL asks");
    // Access-Accept; its authenticator is the MD5 of head, the request's authenticator and the secret (RFC 2865).
    let head = [2, asked[1], 0, 20];
    let hex: String =
        [&head[..], &asked[4..20], b"secret"].concat().iter().map(|b| format!("{b:02x}")).collect();
    let sum = world.pg.psql("postgres", &format!("select md5(decode('{hex}', 'hex'))"));
    let sum: Vec<u8> =
        (0..32).step_by(2).map(|i| u8::from_str_radix(&sum[i..i + 2], 16).expect("hex")).collect();
    radius.send_to(&[&head[..], &sum].concat(), from).expect("answer");
    assert!(client.wait().expect("psql ends").success(), "the server said yes");
    assert!(
        said(&world, "hba-cleartext", "anna")
            .is_some_and(|s| s.contains("RADIUS hides the password by MD5 alone"))
    );
}

#[test]
fn ident_asks_the_other_machine() {
    let world = World::with(Pg::builder().tcp().hba("host all anna 127.0.0.1/32 ident").start());
    world.pg.psql("postgres", "create role anna login");
    let _ = enters(&world, "anna", "");
    assert!(world.pg.log().to_lowercase().contains("ident"), "{}", world.pg.log());
    assert!(
        said(&world, "hba-ident", "anna").is_some_and(|s| s.contains("believes what the other machine says"))
    );
}

#[test]
fn a_certificate_of_anybody_is_not_ones_own() {
    let root = Authority::root("toban test root");
    let server = root.sign(&Wish::new("localhost", &["localhost"]));
    let mallory = root.sign(&Wish::new("mallory", &["mallory"]));
    let builder = Pg::builder()
        .tls(&server.pem, &server.key)
        .file("ca.crt", root.pem.clone())
        .set("ssl_ca_file=ca.crt");
    let world = World::with(
        builder
            .hba("hostssl all anna 127.0.0.1/32 trust clientcert=verify-ca")
            .hba("hostssl all bert,mallory 127.0.0.1/32 trust clientcert=verify-full")
            .hba("hostssl all carl 127.0.0.1/32 cert")
            .start(),
    );
    world.pg.psql(
        "postgres",
        "create role anna login; create role bert login; create role carl login; create role mallory login",
    );
    for (name, text) in [("c.crt", &mallory.pem), ("c.key", &mallory.key)] {
        std::fs::write(world.path(name), text).expect("write");
        std::fs::set_permissions(world.path(name), PermissionsExt::from_mode(0o600)).expect("chmod");
    }
    let proof = format!(
        "sslmode=require sslcert={} sslkey={}",
        world.path("c.crt").display(),
        world.path("c.key").display()
    );
    let inside = ["anna", "bert", "carl", "mallory"].map(|role| enters(&world, role, &proof));
    assert_eq!(inside, [true, false, false, true], "mallory's certificate lets in as anna too");
    assert!(!enters(&world, "anna", "sslmode=require sslcert=/none"), "but none does not");
    let told = said(&world, "hba-trust", "anna").expect("it is told");
    assert!(told.starts_with("warning") && told.contains("any certificate of the authority"), "{told}");
    assert_eq!((said(&world, "hba-trust", "bert"), said(&world, "hba-trust", "carl")), (None, None));
}
