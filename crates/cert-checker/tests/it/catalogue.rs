//! Time, names, chain, keys and forms: every certificate shown by a server and judged, row by row.

use crate::mint::{Authority, DAY, Made, Wish, dns, ip, now, pem};
use crate::server::Server;
use crate::world::{Found, World};
use rcgen::{ExtendedKeyUsagePurpose, GeneralSubtree, IsCa, NameConstraints, SanType};

/// A chain as shown, who is trusted, the name asked for, and what must be said of it.
struct Row {
    id: &'static str,
    leaf: Made,
    more: Vec<Vec<u8>>,
    args: Vec<String>,
    said: &'static [&'static str],
}

struct Rows {
    root: Authority,
    middle: Authority,
    rows: Vec<Row>,
}

impl Rows {
    fn new() -> Rows {
        let root = Wish::authority("Test Root").root();
        let middle = Wish::authority("Test Intermediate").below(&root);
        Rows { root, middle, rows: Vec::new() }
    }

    /// A leaf of the intermediate, sent with it.
    fn leaf(&mut self, id: &'static str, wish: &Wish, args: &[&str], said: &'static [&'static str]) {
        let (leaf, more) = (wish.signed_by(&self.middle), vec![self.middle.der.clone()]);
        self.push(id, leaf, more, args, said);
    }

    #[expect(clippy::too_many_arguments, reason = "a row has so many columns")]
    fn push(
        &mut self,
        id: &'static str,
        leaf: Made,
        more: Vec<Vec<u8>>,
        args: &[&str],
        said: &'static [&'static str],
    ) {
        let args = args.iter().map(ToString::to_string).collect();
        self.rows.push(Row { id, leaf, more, args, said });
    }

    /// Shows each row's chain and compares what is said; all differences at once.
    fn judge(self) {
        let world = World::new();
        let root = world.file("root.pem", pem(&[&self.root.der])).display().to_string();
        let mut wrong = Vec::new();
        for row in &self.rows {
            let more: Vec<&[u8]> = row.more.iter().map(Vec::as_slice).collect();
            let server = Server::showing(&row.leaf, &more);
            let target = server.target();
            let own: Vec<&str> = row.args.iter().map(String::as_str).collect();
            let trust = if own.contains(&"--trust") { vec![] } else { vec!["--trust", root.as_str()] };
            let ran = world.check(&[&[target.as_str()][..], &trust, &own].concat());
            let mut said: Vec<String> = row.said.iter().map(ToString::to_string).collect();
            said.sort();
            let status = if said.iter().all(|s| s.ends_with(" ok")) { Some(0) } else { Some(4) };
            if (ran.finding_ids(), ran.status) != (said.clone(), status) {
                wrong.push(format!("{}: expected {said:?}, {}", row.id, ran.stdout));
            }
            let record = &ran.records()[0];
            let dated = record["not_after"].is_string() && record["chain"][0]["sha256"].is_string();
            assert!(dated, "{}: the certificate is lost: {record}", row.id);
        }
        assert!(wrong.is_empty(), "{} of {} rows:\n{}", wrong.len(), self.rows.len(), wrong.join("\n"));
    }
}

#[test]
fn time() {
    let mut rows = Rows::new();
    let server = |from, until| Wish::server(&[]).between(from, until);
    for (id, ago) in [("T1 1 s", 1), ("T1 5 s", 5), ("T1 1 d", DAY), ("T1 20 y", 7305 * DAY)] {
        rows.leaf(id, &server(-ago - 90 * DAY, -ago), &[], &["expired critical"]);
    }
    rows.leaf("T2 exactly at the end", &server(-90 * DAY, 0), &[], &["expires critical"]);
    rows.leaf(
        "T2 5 ms later",
        &server(-90 * DAY, 0),
        &["--at", &crate::world::judged_at().replace("00Z", "00.005Z")],
        &["expires critical"],
    );
    rows.leaf(
        "T2 1 s later",
        &server(-90 * DAY, 0),
        &["--at", &crate::world::judged_at().replace("00Z", "01Z")],
        &["expired critical"],
    );
    rows.leaf("T3", &server(1, 90 * DAY), &[], &["not-yet-valid critical"]);
    rows.leaf("T4", &server(0, 90 * DAY), &[], &[]);
    rows.leaf("T5 24 h", &server(-3600, 23 * 3600), &[], &[]);
    rows.leaf("T5 160 h", &server(-DAY, 136 * 3600), &[], &[]);
    rows.leaf("T5 47 d", &server(-DAY, 46 * DAY), &[], &[]);
    rows.leaf("T5 100 d", &server(-DAY, 99 * DAY), &[], &[]);
    rows.leaf("T5 398 d", &server(-DAY, 397 * DAY), &[], &[]);
    rows.leaf("T5 10 y, private", &server(-DAY, 3650 * DAY), &["--policy"], &[]);
    rows.leaf("T5 1970 to 2969", &server(-now(), 344_000 * DAY), &[], &[]);
    rows.leaf("T6 days, on it", &server(-DAY, 20 * DAY), &["-w", "20", "-c", "10"], &[]);
    rows.leaf("T6 days, below", &server(-DAY, 20 * DAY - 1), &["-w", "20", "-c", "10"], &["expires warning"]);
    rows.leaf("T6 hours", &server(-DAY, 47 * 3600), &["-w", "72h", "-c", "48h"], &["expires critical"]);
    rows.leaf("T6 percent", &server(-90 * DAY, 10 * DAY), &["-w", "20%", "-c", "5%"], &["expires warning"]);
    rows.leaf("T6 negative", &server(-90 * DAY, 10), &["-w", "0.5", "-c", "-0.5"], &["expires warning"]);
    rows.leaf("T7 UTCTime 1950", &Wish::server(&[]).between(-2_425_000_000, 30 * DAY), &["-w", "1"], &[]);
    rows.leaf("T7 no expiry", &server(-DAY, 253_402_300_799 - now()), &[], &[]);
    rows.judge();
}

#[test]
fn every_time_zone_judges_alike() {
    let mut rows = Rows::new();
    rows.leaf("", &Wish::server(&[]).between(-90 * DAY, 0), &[], &[]);
    let row = rows.rows.remove(0);
    let server = Server::showing(&row.leaf, &[&rows.middle.der]);
    let mut world = World::new();
    let root = world.file("root.pem", pem(&[&rows.root.der])).display().to_string();
    let mut outs = Vec::new();
    for zone in ["UTC", "Pacific/Kiritimati", "America/St_Johns", "Europe/Berlin"] {
        world.set("TZ", zone);
        outs.push(world.check(&[&server.target(), "--trust", &root]).stdout);
    }
    assert!(outs.windows(2).all(|w| w[0] == w[1]), "{outs:#?}");
}

#[test]
fn thresholds_that_cannot_be_meant() {
    let world = World::new();
    for args in [&["-w", "5", "-c", "10"][..], &["-w", "soon"], &["-c", "5d,3d"]] {
        let ran = world.run(&[&["check", "127.0.0.1:1"], args].concat());
        assert_eq!(ran.status, Some(2), "{ran:?}");
        let ran = world.run(&[&["check", "--monitoring", "127.0.0.1:1"], args].concat());
        assert_eq!(ran.status, Some(3), "{ran:?}");
    }
}

fn named(names: Vec<SanType>) -> Wish {
    let mut wish = Wish::server(&["host.example"]);
    wish.0.subject_alt_names = names;
    wish
}

#[test]
fn names() {
    let mut rows = Rows::new();
    let asks: [(&'static str, Vec<SanType>, &str, &'static [&'static str]); 22] = [
        ("N1 exact", vec![dns("a.example.org")], "a.example.org", &[]),
        ("N1 case", vec![dns("A.Example.ORG")], "a.EXAMPLE.org", &[]),
        ("N1 dot", vec![dns("a.example.org")], "a.example.org.", &[]),
        ("N2", vec![dns("a.example.org")], "b.example.org", &["name-mismatch critical"]),
        ("N3 wildcard", vec![dns("*.example.org")], "a.example.org", &[]),
        ("N3 apex", vec![dns("*.example.org")], "example.org", &["name-mismatch critical"]),
        ("N3 two labels", vec![dns("*.example.org")], "a.b.example.org", &["name-mismatch critical"]),
        ("N3 part", vec![dns("f*o.example.org")], "foo.example.org", &["name-mismatch critical"]),
        ("N3 inside", vec![dns("foo.*.example.org")], "foo.a.example.org", &["name-mismatch critical"]),
        ("N3 star", vec![dns("*")], "localhost", &["name-mismatch critical", "name-wildcard-wide warning"]),
        ("N3 *.com", vec![dns("*.com")], "a.com", &["name-mismatch critical", "name-wildcard-wide warning"]),
        ("N4", vec![dns("*.co.uk"), dns("a.co.uk")], "a.co.uk", &["name-wildcard-wide warning"]),
        ("N5 IDN", vec![dns("xn--bcher-kva.example")], "Bücher.example", &[]),
        (
            "N5 star in A-label",
            vec![dns("xn--*-kva.example.org")],
            "xn--b-kva.example.org",
            &["name-mismatch critical"],
        ),
        ("N5 emoji", vec![dns("xn--i-7iq.example.org")], "i❤.example.org", &[]),
        ("N6 v4", vec![ip("192.0.2.7")], "192.0.2.7", &[]),
        ("N6 v6", vec![ip("2001:db8::1")], "2001:0db8:0:0::1", &[]),
        ("N6 zone", vec![ip("fe80::1")], "fe80::1%lo", &[]),
        ("N6 other", vec![ip("192.0.2.7")], "192.0.2.8", &["name-mismatch critical"]),
        ("N6 as a name", vec![dns("192.0.2.7")], "192.0.2.7", &["name-mismatch critical"]),
        ("N7 CN only", vec![], "host.example", &["name-common-only critical"]),
        ("N7 none", vec![], "other.example", &["name-mismatch critical"]),
    ];
    for (id, sans, name, said) in asks {
        rows.leaf(id, &named(sans), &["--name", name, "--sni", "x.example"], said);
    }
    let mut anonymous = named(vec![dns("a.example.org")]);
    anonymous.0.distinguished_name = rcgen::DistinguishedName::new();
    rows.leaf("N8 no subject", &anonymous, &["--name", "a.example.org"], &[]);
    rows.judge();
}

#[test]
fn ten_thousand_names() {
    let names: Vec<SanType> = (0..10_000).map(|n| dns(&format!("host{n}.example.org"))).collect();
    let made = named(names).self_signed();
    let world = World::new();
    world.file("wide.pem", pem(&[&made.der]));
    let begun = std::time::Instant::now();
    let ran = world.check(&["./wide.pem", "--any-issuer", "--name", "host9999.example.org"]);
    assert_eq!((ran.finding_ids(), ran.status), (vec![], Some(0)), "{}", ran.stderr);
    assert!(begun.elapsed().as_secs_f64() < 5.0, "{:?}", begun.elapsed());
}

#[test]
fn chain() {
    let mut rows = Rows::new();
    let server = Wish::server(&[]);
    let (root, middle) = (rows.root.der.clone(), rows.middle.der.clone());
    let other = Wish::authority("Other Root").root();
    let other_middle = Wish::authority("Other Intermediate").below(&other);
    rows.push("C1", server.self_signed(), vec![], &[], &["self-signed critical"]);
    rows.push(
        "C2",
        server.signed_by(&other_middle),
        vec![other_middle.der.clone()],
        &[],
        &["untrusted-root critical"],
    );
    let stranger = server.signed_by(&other_middle);
    rows.push("C3", stranger, vec![other_middle.der.clone()], &["--any-issuer"], &[]);
    let alone = server.signed_by(&rows.middle);
    rows.push("C4", alone, vec![], &[], &["chain-incomplete critical"]);
    let second = Wish::authority("Second Intermediate").below(&rows.middle);
    let deep = server.signed_by(&second);
    rows.push("C5", deep, vec![middle.clone(), second.der.clone()], &[], &["chain-order warning"]);
    let twice = server.signed_by(&rows.middle);
    rows.push("C6 duplicate", twice, vec![middle.clone(), middle.clone()], &[], &["chain-duplicate warning"]);
    let rooted = server.signed_by(&rows.middle);
    rows.push("C6 root", rooted, vec![middle.clone(), root.clone()], &[], &["chain-root-sent ok"]);
    let extra = server.signed_by(&rows.middle);
    rows.push(
        "C6 unrelated",
        extra,
        vec![middle.clone(), other.der.clone()],
        &[],
        &["chain-unrelated warning"],
    );
    let old = Wish::authority("Test Intermediate").between(-400 * DAY, -DAY);
    let crossed = rows.middle.crossed(&old, &other);
    let dst = server.signed_by(&rows.middle);
    rows.push("C7", dst, vec![middle.clone(), crossed], &[], &["chain-expired ok"]);
    let expired = Wish::authority("Old Intermediate").between(-400 * DAY, -DAY).below(&rows.root);
    rows.push("C8", server.signed_by(&expired), vec![expired.der.clone()], &[], &["chain-expired critical"]);
    let soon = Wish::authority("Leaving Intermediate").between(-400 * DAY, 10 * DAY).below(&rows.root);
    rows.push("C8 soon", server.signed_by(&soon), vec![soon.der.clone()], &[], &["chain-expires warning"]);
    rows.judge();
}

#[test]
fn roots_that_leave() {
    let world = World::new();
    let cases: [(&str, i64, &[&str]); 3] = [
        ("C9", -DAY, &["root-expired warning"]),
        ("C10", 30 * DAY, &["root-expires warning"]),
        ("far", 200 * DAY, &[]),
    ];
    for (id, left, said) in cases {
        let root = Wish::authority("Leaving Root").between(-4000 * DAY, left).root();
        let middle = Wish::authority("Middle").below(&root);
        let server = Server::showing(&Wish::server(&[]).signed_by(&middle), &[&middle.der]);
        let trust = world.file("root.pem", pem(&[&root.der])).display().to_string();
        let ran = world.check(&[&server.target(), "--trust", &trust]);
        assert_eq!(ran.finding_ids(), said, "{id}: {}", ran.stdout);
    }
}

#[test]
fn constraints() {
    let mut rows = Rows::new();
    let tree = |name: &str| vec![GeneralSubtree::DnsName(name.into())];
    let limited = |permitted: Vec<GeneralSubtree>, excluded: Vec<GeneralSubtree>, by: &Authority| {
        let mut wish = Wish::authority("Limited");
        wish.0.name_constraints =
            Some(NameConstraints { permitted_subtrees: permitted, excluded_subtrees: excluded });
        wish.below(by)
    };
    let invalid: &[&str] = &["chain-invalid critical"];
    let cases: [(&'static str, Authority, &'static [&'static str]); 4] = [
        ("C11 permitted", limited(tree("localhost"), vec![], &rows.root), &[]),
        ("C11 not permitted", limited(tree("example.net"), vec![], &rows.root), invalid),
        ("C11 excluded", limited(vec![], tree("localhost"), &rows.root), invalid),
        ("C11 excluded, another", limited(vec![], tree("example.net"), &rows.root), &[]),
    ];
    for (id, authority, said) in cases {
        let more = vec![authority.der.clone()];
        rows.push(id, Wish::server(&[]).signed_by(&authority), more, &[], said);
    }
    let mut short = Wish::authority("Short");
    short.0.is_ca = IsCa::Ca(rcgen::BasicConstraints::Constrained(0));
    let short = short.below(&rows.root);
    let below = Wish::authority("Below").below(&short);
    let (leaf, more) = (Wish::server(&[]).signed_by(&below), vec![below.der.clone(), short.der.clone()]);
    rows.push("C11 path length", leaf, more, &[], invalid);
    let mut client = Wish::server(&[]);
    client.0.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    rows.leaf("C11 client's", &client, &[], invalid);
    let mut any = Wish::server(&[]);
    any.0.extended_key_usages = vec![ExtendedKeyUsagePurpose::Any];
    rows.leaf("C11 any usage", &any, &[], &[]);
    let critical = Wish::server(&[]).extension(&[1, 3, 6, 1, 4, 1, 99999, 1], true, &[5, 0]);
    rows.leaf(
        "C11 critical",
        &critical,
        &[],
        &["certificate-nonstandard critical", "chain-invalid critical"],
    );
    let fake = Wish::server(&["fake.example"]).signed_by(&rows.middle);
    let not_ca = Authority::of(Wish::server(&["fake.example"]), fake);
    let (leaf, more) =
        (Wish::server(&[]).signed_by(&not_ca), vec![not_ca.der.clone(), rows.middle.der.clone()]);
    rows.push("C11 no authority", leaf, more, &[], invalid);
    rows.judge();
}

#[test]
fn keys_and_forms() {
    let mut rows = Rows::new();
    rows.leaf("K2 P-256", &Wish::server(&[]), &[], &[]);
    rows.leaf("K3 negative", &Wish::server(&[]).serial(&[0xff, 1]), &[], &[]);
    rows.leaf("K3 zero", &Wish::server(&[]).serial(&[0]), &[], &["certificate-nonstandard warning"]);
    rows.leaf("K3 21 bytes", &Wish::server(&[]).serial(&[7; 21]), &[], &["certificate-nonstandard warning"]);
    rows.judge();
}

#[test]
fn a_pinned_one_needs_no_other_trust_and_still_expires() {
    let world = World::new();
    let made = Wish::server(&[]).between(-80 * DAY, 10 * DAY).self_signed();
    let server = Server::showing(&made, &[]);
    let seen = world.check(&[&server.target()]).records();
    for pin in [&seen[0]["chain"][0]["sha256"], &seen[0]["chain"][0]["key"]["spki_sha256"]] {
        let ran = world.check(&[&server.target(), "--pin", pin.as_str().expect("a hash")]);
        assert_eq!(ran.finding_ids(), ["expires warning"], "{ran:?}");
    }
    let ran = world.check(&[&server.target(), "--pin", "00:11"]);
    assert!(ran.status == Some(2) && ran.stderr.contains("is no SHA-256"), "{ran:?}");
    let ran = world.check(&["gone.pem"]);
    assert!(ran.stdout.contains("is it a file? It is not there"), "{ran:?}");
    let ran = world.check(&[&server.target(), "--pin", &"0".repeat(64), "--any-issuer"]);
    assert_eq!(ran.finding_ids(), ["expires warning", "pin-mismatch critical"], "{ran:?}");
}
