//! Server certificates of every kind × sslmode, against psql's verdict.

use super::*;
use testkit::tls::{Authority, Certificate, Wish};

const MODES: [&str; 6] = ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"];

/// What a server shows, what the client holds as sslrootcert (none: no such file), and the hosts to ask for.
struct Case {
    name: &'static str,
    chain: String,
    key: String,
    roots: Option<String>,
    /// What our error under verify-full on `localhost` says; empty when it must connect.
    says: &'static str,
}

fn case(
    name: &'static str,
    server: &Certificate,
    extra: &str,
    roots: Option<&str>,
    says: &'static str,
) -> Case {
    let chain = format!("{}{extra}", server.pem);
    Case { name, chain, key: server.key.clone(), roots: roots.map(String::from), says }
}

fn cases() -> Vec<Case> {
    let (root, other) = (Authority::root("Test root"), Authority::root("Other root"));
    let middle = root.intermediate("Test intermediate");
    let local = Wish::new("localhost", &["localhost", "127.0.0.1"]);
    let leaf = root.sign(&local);
    let common_only = root.sign(&Wish::new("localhost", &[]));
    let wrong = root.sign(&Wish::new("db1", &["db1.example.org", "10.0.0.1"]));
    let wild = root.sign(&Wish::new("x", &["*.localhost"]));
    let expired = root.sign(&Wish { expired: true, ..local.clone() });
    let below = middle.sign(&local);
    let own = local.self_signed();
    let own_ca = Wish { authority: true, ..Wish::new("localhost", &[]) }.self_signed();
    let own_expired = Wish { expired: true, authority: true, ..local.clone() }.self_signed();
    let issued_ca = root.sign(&Wish { authority: true, ..local });
    let (both, roots) = (format!("{}{}", other.pem, root.pem), &root.pem);
    vec![
        case("signed by the root", &leaf, "", Some(roots), ""),
        case("one of two roots", &leaf, "", Some(&both), ""),
        case("no root file", &leaf, "", None, "without a root certificate"),
        case("unknown root", &leaf, "", Some(&other.pem), "which ROOTS does not know"),
        case("CN only", &common_only, "", Some(roots), ""),
        case("wrong name", &wrong, "", Some(roots), "is for db1.example.org, 10.0.0.1, not for localhost"),
        case("wildcard that does not reach", &wild, "", Some(roots), "is for *.localhost, not for localhost"),
        case("expired", &expired, "", Some(roots), "certificate expired Jan  1"),
        case("intermediate sent", &below, &middle.pem, Some(roots), ""),
        case("intermediate missing", &below, "", Some(roots), "signed by \"CN=Test intermediate\""),
        case("self-signed", &own, "", Some(&own.pem), ""),
        case("the manual's self-signed CA:TRUE", &own_ca, "", Some(&own_ca.pem), ""),
        case("self-signed, not trusted", &own_ca, "", Some(roots), "which ROOTS does not know"),
        case("self-signed and expired", &own_expired, "", Some(&own_expired.pem), "certificate expired"),
        case("a CA as server", &issued_ca, "", Some(roots), ""),
    ]
}

#[test]
fn every_certificate_under_every_sslmode_is_judged_as_by_psql() {
    let all: Vec<Case> = cases().into_iter().chain(manuals()).collect();
    let mut wrong = Vec::new();
    for case in &all {
        wrong.extend(judge(case).into_iter().map(|w| format!("{}: {w}", case.name)));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn judge(case: &Case) -> Vec<String> {
    let dir = temp();
    let pg = server(&[]).tls(&case.chain, &case.key).start();
    let roots = dir.path().join("roots.crt");
    case.roots.iter().for_each(|text| file(&roots, 0o644, text));
    let around = around(&[], dir.path());
    let uri = |mode: &str, host: &str| {
        let rest = format!("sslmode={mode}&sslrootcert={}", roots.display());
        format!("postgresql://postgres@{host}:{}/postgres?{rest}", pg.port())
    };
    let mut wrong = Vec::new();
    for mode in MODES {
        // Only verify-full looks at the name.
        for host in if mode == "verify-full" { &["localhost", "127.0.0.1"][..] } else { &["localhost"] } {
            let given = uri(mode, host);
            if let Err(e) = agree(&newest_psql(), Some(&given), &around) {
                wrong.push(format!("{mode} {host}: {e}"));
            }
        }
    }
    let verified = ours(Some(&uri("verify-full", "localhost")), &around);
    wrong.extend(unexpected(case, &roots, verified));
    wrong
}

/// The message names the cause.
fn unexpected(case: &Case, roots: &Path, verified: Result<String>) -> Option<String> {
    let says = case.says.replace("ROOTS", &roots.display().to_string());
    match verified {
        Ok(_) if says.is_empty() => None,
        Err(e) if !says.is_empty() && e.chain().contains(&says) && e.find_hint().is_some() => None,
        other => Some(format!("verify-full gives {other:?}, not \"{says}\"")),
    }
}

/// Made with the commands of PostgreSQL's manual (SSL server support), by the openssl of this machine: the last one
/// is of X.509 version 1 where openssl is older than 3.2.
fn manuals() -> Vec<Case> {
    let dir = temp();
    let run = |line: &str| {
        let done = said(Command::new("sh").args(["-ec", line]).current_dir(dir.path()));
        done.unwrap_or_else(|e| panic!("{line}: {e}"));
    };
    run("openssl req -new -x509 -days 365 -nodes -text -out self.crt -keyout self.key -subj /CN=localhost");
    run("openssl req -new -nodes -text -out root.csr -keyout root.key -subj /CN=root.localhost
         openssl x509 -req -in root.csr -text -days 3650 -extfile /etc/ssl/openssl.cnf -extensions v3_ca \
             -signkey root.key -out root.crt");
    run("openssl req -new -nodes -text -out server.csr -keyout server.key -subj /CN=localhost
         openssl x509 -req -in server.csr -text -days 365 -CA root.crt -CAkey root.key -CAcreateserial -out server.crt");
    run(
        "openssl req -new -x509 -newkey rsa:1024 -nodes -out small.crt -keyout small.key -subj /CN=localhost",
    );
    let read = |name: &str| std::fs::read_to_string(dir.path().join(name)).expect("openssl wrote it");
    let made =
        |name: &str| Certificate { pem: read(&format!("{name}.crt")), key: read(&format!("{name}.key")) };
    vec![
        case("the manual's self-signed", &made("self"), "", Some(&read("self.crt")), ""),
        case("the manual's CA and server", &made("server"), "", Some(&read("root.crt")), ""),
        case(
            "the manual's server, other root",
            &made("server"),
            "",
            Some(&read("self.crt")),
            "which ROOTS does not know",
        ),
    ]
}

#[test]
fn a_version_1_certificate_over_tls_1_2_is_refused_with_the_cause() {
    let manual = manuals().into_iter().find(|c| c.name == "the manual's CA and server").expect("it is made");
    let (dir, pg) = (temp(), server(&[]).tls(&manual.chain, &manual.key).start());
    let at = |version: &str| {
        let rest = format!("sslmode=require&ssl_max_protocol_version={version}");
        format!("postgresql://postgres@localhost:{}/postgres?{rest}", pg.port())
    };
    ours(Some(&at("TLSv1.3")), &around(&[], dir.path())).expect("TLS 1.3 works");
    match ours(Some(&at("TLSv1.2")), &around(&[], dir.path())) {
        // openssl makes version 3 from 3.2 on.
        Ok(_) => {}
        Err(e) => assert!(e.chain().contains("X.509 version 1"), "{e:?}"),
    }
}

#[test]
fn a_revoked_certificate_is_refused() {
    let (dir, root) = (temp(), Authority::root("Test root"));
    let leaf = root.sign(&Wish::new("localhost", &["localhost"]));
    let pg = server(&[]).tls(&leaf.pem, &leaf.key).start();
    let (roots, list) = (dir.path().join("roots.crt"), dir.path().join("list.crl"));
    file(&roots, 0o644, &root.pem);
    file(&list, 0o644, &root.revoke_all());
    let given = format!(
        "host=localhost port={} user=postgres sslmode=verify-full sslrootcert={} sslcrl={}",
        pg.port(),
        roots.display(),
        list.display()
    );
    let around = around(&[], dir.path());
    agree(&newest_psql(), Some(&given), &around).expect("as psql");
    assert!(ours(Some(&given), &around).expect_err("it is refused").chain().contains("was revoked"));
}

#[test]
fn a_client_certificate_is_shown_and_its_key_kept_private() {
    let (dir, root) = (temp(), Authority::root("Test root"));
    let leaf = root.sign(&Wish::new("localhost", &["localhost"]));
    let alice = root.sign(&Wish::new("alice", &[]));
    let pg = server(&["hostssl all alice all cert"]).tls(&leaf.pem, &leaf.key);
    let pg = pg.set("ssl_ca_file=ca.crt").file("ca.crt", root.pem.clone()).start();
    pg.psql("postgres", "create role alice login");
    file(&dir.path().join("alice.crt"), 0o644, &alice.pem);
    let given = |key: &str| {
        let (dir, port) = (dir.path().display(), pg.port());
        format!(
            "host=localhost port={port} user=alice dbname=postgres sslmode=require sslcert={dir}/alice.crt sslkey={dir}/{key}"
        )
    };
    let around = around(&[], dir.path());
    for (key, mode, works) in [("a.key", 0o600, true), ("b.key", 0o640, true), ("c.key", 0o644, false)] {
        file(&dir.path().join(key), mode, &alice.key);
        let root_may = works && (mode == 0o600 || rustix::process::geteuid().is_root());
        agree(&newest_psql(), Some(&given(key)), &around).expect("as psql");
        assert_eq!(ours(Some(&given(key)), &around).is_ok(), root_may, "{key}");
    }
    let without = format!("host=localhost port={} user=alice dbname=postgres sslmode=require", pg.port());
    let e = ours(Some(&without), &around).expect_err("it is refused");
    assert!(e.find_hint().is_some_and(|c| c.contains("sslcert=")), "{e:?}");
}
