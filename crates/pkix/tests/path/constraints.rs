//! Name constraints.

use crate::case::*;
use crate::der::*;
use crate::pki::*;
use pkix::{Code, Profile};

/// A root with these constraints and a leaf with these names.
fn names(id: &'static str, permitted: &[Vec<u8>], excluded: &[Vec<u8>], leaf: &[Vec<u8>]) -> Case {
    let value = nc(permitted, excluded);
    let root = root(move |s| {
        s.put(NC, true, value);
    });
    let leaf = root.leaf(|s| {
        s.subject = name("CN=leaf");
        s.put(SAN, false, san(leaf));
    });
    case(id, &leaf, &[&root]).names(&[])
}

fn good(id: &'static str, permitted: &[Vec<u8>], excluded: &[Vec<u8>], leaf: &[Vec<u8>]) {
    names(id, permitted, excluded, leaf).valid(EVERY).agrees_with_openssl(true);
}

fn bad(id: &'static str, permitted: &[Vec<u8>], excluded: &[Vec<u8>], leaf: &[Vec<u8>]) {
    names(id, permitted, excluded, leaf).refused(EVERY, Code::NotPermitted).agrees_with_openssl(true);
}

const NET: [u8; 8] = [192, 0, 2, 0, 255, 255, 255, 0];

fn six(last: u8) -> Vec<u8> {
    [[0; 15].as_slice(), &[last]].concat()
}

#[test]
fn hosts() {
    let com = || dns("example.com");
    bad("rfc5280::nc::permitted-dns-mismatch", &[com()], &[], &[dns("not-example.com")]);
    bad("rfc5280::nc::excluded-dns-match", &[], &[com()], &[com()]);
    good("rfc5280::nc::permitted-dns-match", &[com()], &[], &[com()]);
    good("rfc5280::nc::permitted-dns-match-more", &[com()], &[], &[dns("foo.bar.example.com")]);
    good("case does not matter", &[dns("EXAMPLE.com")], &[], &[dns("www.example.COM")]);
    let second = dns("not-allowed.example.com");
    bad(
        "rfc5280::nc::excluded-dns-match-second",
        &[],
        std::slice::from_ref(&second),
        &[com(), second.clone()],
    );
    bad("rfc5280::nc::excluded-match-permitted-and-excluded", &[com()], &[com()], &[com()]);
    good("one of two", &[dns("example.org"), com()], &[], &[com()]);
    good("every host", &[dns("")], &[], &[com()]);
    bad("no host", &[], &[dns("")], &[com()]);
}

#[test]
fn wildcards() {
    let star = || dns("*.example.com");
    names("cve::cve-2025-61727", &[dns("example.com")], &[dns("bar.example.com")], &[star()])
        .refused(EVERY, Code::NotPermitted);
    names("cve::cve-2025-61727-nc-permits-variant", &[dns("foo.example.com")], &[], &[star()])
        .refused(EVERY, Code::NotPermitted);
    good("within", &[dns("example.com")], &[], &[star()]);
    good("apart", &[], &[dns("bar.example.org")], &[star()]);
    good("too deep to be meant", &[], &[dns("a.b.example.com")], &[star()]);
    bad("all of it", &[], &[dns("com")], &[star()]);
}

#[test]
fn addresses() {
    bad("rfc5280::nc::permitted-ip-mismatch", &[ip(&NET)], &[], &[ip(&[192, 0, 3, 1])]);
    bad("rfc5280::nc::excluded-ipv4-match", &[], &[ip(&NET)], &[ip(&[192, 0, 2, 1])]);
    good("rfc5280::nc::permitted-ipv4-match", &[ip(&NET)], &[], &[ip(&[192, 0, 2, 1])]);
    let one = [six(1), vec![255; 16]].concat();
    bad("rfc5280::nc::excluded-ipv6-match", &[], &[ip(&one)], &[ip(&six(1))]);
    good("rfc5280::nc::permitted-ipv6-match", &[ip(&one)], &[], &[ip(&six(1))]);
    bad("another IPv6 address", &[ip(&one)], &[], &[ip(&six(2))]);
    bad("IPv6 where only IPv4 is permitted", &[ip(&NET)], &[], &[ip(&six(1))]);
    good("rfc5280::nc::permitted-different-constraint-type", &[ip(&NET)], &[], &[dns("example.com")]);
    good("rfc5280::nc::excluded-different-constraint-type", &[], &[ip(&NET)], &[dns("example.com")]);
}

#[test]
fn directory_names() {
    let case_of = |id, permitted: &[Vec<u8>], excluded: &[Vec<u8>], subject: &str, alt: &str| {
        let (value, subject) = (nc(permitted, excluded), name(subject));
        let root = root(move |s| {
            s.put(NC, true, value);
        });
        let leaf = root.leaf(|s| {
            s.subject = subject;
            s.put(SAN, false, san(&[dir(alt)]));
        });
        case(id, &leaf, &[&root]).names(&[])
    };
    let foo = || vec![dir("CN=foo")];
    let code = Code::NotPermitted;
    case_of("rfc5280::nc::permitted-dn-mismatch", &foo(), &[], "CN=not-foo", "CN=not-foo")
        .refused(EVERY, code);
    case_of("rfc5280::nc::excluded-dn-match", &[], &foo(), "CN=foo", "CN=foo").refused(EVERY, code);
    case_of("rfc5280::nc::permitted-dn-match", &foo(), &[], "CN=foo", "CN=foo")
        .valid(EVERY)
        .agrees_with_openssl(true);
    case_of("rfc5280::nc::permitted-dn-match-subject-san-mismatch", &foo(), &[], "CN=not-foo", "CN=foo")
        .refused(EVERY, code)
        .agrees_with_openssl(true);
    case_of("rfc5280::nc::excluded-dn-match-sub-mismatch", &[], &foo(), "CN=foo", "CN=not-foo")
        .refused(EVERY, code)
        .agrees_with_openssl(true);
    case_of("PKITS 4.13 below", &[dir("C=US,O=Test")], &[], "C=US,O=Test,CN=x", "C=us,O=TEST,CN=y")
        .valid(EVERY)
        .agrees_with_openssl(true);
    case_of("PKITS 4.13 beside", &[dir("C=US,O=Test")], &[], "C=US,O=Tester", "C=US,O=Test")
        .refused(EVERY, code)
        .agrees_with_openssl(true);
}

#[test]
fn mail_addresses() {
    let user = || vec![email("foo@example.com")];
    good("rfc5280::nc::nc-permits-email-exact", &user(), &[], &user());
    good("rfc5280::nc::nc-permits-email-domain", &[email("example.com")], &[], &user());
    good("below the domain", &[email(".example.com")], &[], &[email("foo@mail.example.com")]);
    bad("the domain is not below itself", &[email(".example.com")], &[], &user());
    bad("below, where the host is meant", &[email("example.com")], &[], &[email("foo@mail.example.com")]);
    bad("another user", &[email("bar@example.com")], &[], &user());
    bad("an excluded host", &[], &[email("example.com")], &user());
    names(
        "rfc5280::nc::nc-permits-invalid-email-san",
        &[email("example.com")],
        &[],
        &[email("a@b@example.com")],
    )
    .refused(STRICT, Code::AltName)
    .refused(&[Profile::Basic], Code::NotPermitted);
    let value = nc(&[email("example.com")], &[]);
    let root = root(move |s| {
        s.put(NC, true, value);
    });
    let in_subject = root.leaf(|s| s.subject = name("CN=x,E=foo@example.org"));
    case("PKITS 4.13.26 an address in the subject", &in_subject, &[&root]).refused(EVERY, Code::NotPermitted);
}

#[test]
fn resources() {
    let page = |host: &str| vec![uri(&format!("https://{host}:8443/page"))];
    good("PKITS 4.13.34 below the host", &[uri(".example.com")], &[], &page("www.example.com"));
    bad("PKITS 4.13.35 the host itself", &[uri(".example.com")], &[], &page("example.com"));
    good("the exact host", &[uri("example.com")], &[], &page("example.com"));
    bad("below, where the host is meant", &[uri("example.com")], &[], &page("www.example.com"));
    bad("PKITS 4.13.36 excluded", &[], &[uri(".example.com")], &page("www.example.com"));
    names("an address as host", &[uri("example.com")], &[], &page("192.0.2.1"))
        .refused(EVERY, Code::NotPermitted);
    names("no host", &[uri("example.com")], &[], &[uri("urn:isbn:0")]).refused(EVERY, Code::NotPermitted);
}

#[test]
fn forms_that_are_unknown() {
    let form = || other("1.3.6.1.4.1.55738.666.3");
    let com = || dns("example.com");
    names("rfc5280::nc::nc-forbids-othername", &[com()], &[form()], &[com(), form()])
        .refused(EVERY, Code::NotPermitted);
    names("rfc5280::nc::nc-forbids-othername-noop", &[com()], &[form()], &[com()]).valid(EVERY);
}

#[test]
fn malformed_constraints() {
    let faulty = |id, permitted: &[Vec<u8>], leaf: &[Vec<u8>]| {
        names(id, permitted, &[], leaf).refused(STRICT, Code::NameConstraints)
    };
    faulty("rfc5280::nc::invalid-dnsname", &[dns("*.example.com")], &[dns("foo.example.com")])
        .refused(&[Profile::Basic], Code::NotPermitted);
    faulty("rfc5280::nc::invalid-dnsname-leading-period", &[dns(".example.com")], &[dns("foo.example.com")])
        .valid(&[Profile::Basic]);
    faulty("rfc5280::nc::invalid-ipv4-address", &[ip(&[127, 0, 0, 1])], &[ip(&[127, 0, 0, 1])])
        .refused(&[Profile::Basic], Code::NotPermitted);
    faulty("rfc5280::nc::invalid-ipv6-address", &[ip(&six(1))], &[ip(&six(1))])
        .refused(&[Profile::Basic], Code::NotPermitted);
    faulty("a mask with a hole", &[ip(&[10, 0, 0, 0, 255, 0, 255, 0])], &[ip(&[10, 0, 0, 1])]);
    let with = |value: Vec<u8>| {
        let root = plain_root();
        let ica = root.intermediate(move |s| {
            s.put(NC, true, value);
        });
        case("webpki::nc::intermediate-permitted-excluded-subtrees-…", &ica.leaf(|_| {}), &[&root])
            .via(&[&ica])
    };
    with(seq(&[])).refused(STRICT, Code::NameConstraints);
    with(seq(&[tlv(0xa0, &[]), tlv(0xa1, &[])])).refused(STRICT, Code::NameConstraints);
    let minimum = seq(&[tlv(0xa0, &seq(&[dns("example.com"), tlv(0x80, &[1])]))]);
    with(minimum).refused(EVERY, Code::UnknownIssuer);
}

#[test]
fn malformed_names_lie_nowhere() {
    let spoilt = |id, permitted: Vec<u8>, names: &[Vec<u8>]| {
        let root = plain_root();
        let ica = root.intermediate(|s| {
            s.put(NC, true, nc(&[permitted], &[]));
        });
        case(id, &ica.leaf_for(names), &[&root]).via(&[&ica]).names(&[]).refused(EVERY, Code::NotPermitted)
    };
    // In the strict profiles the name itself is refused first; the constraint would refuse it as well.
    let root = plain_root();
    let ica = root.intermediate(|s| {
        s.put(NC, true, nc(&[dns("example.com")], &[]));
    });
    let leaf = ica.leaf_for(&[dns(".example.com"), dns("foo.example.com")]);
    case("rfc5280::nc::nc-permits-invalid-dns-san", &leaf, &[&root])
        .via(&[&ica])
        .name("foo.example.com")
        .refused(STRICT, Code::AltName)
        .refused(&[Profile::Basic], Code::NotPermitted);
    let ica = root.intermediate(|s| {
        s.put(NC, true, nc(&[ip(&NET)], &[]));
    });
    let leaf = ica.leaf_for(&[ip(&NET), ip(&[192, 0, 2, 1])]);
    case("rfc5280::nc::nc-permits-invalid-ip-san", &leaf, &[&root])
        .via(&[&ica])
        .name("192.0.2.1")
        .refused(STRICT, Code::AltName)
        .refused(&[Profile::Basic], Code::NotPermitted);
    spoilt("a name beside", dns("example.org"), &[dns("example.com")]);
}

#[test]
fn where_they_stand() {
    let com = || nc(&[dns("example.com")], &[]);
    let loose = root(|s| {
        s.put(NC, false, com());
    });
    case("nc::permitted-dns-match-noncritical", &loose.leaf(|_| {}), &[&loose])
        .refused(&[Profile::Both, Profile::Rfc5280], Code::NameConstraints)
        .valid(&[Profile::Webpki, Profile::Basic]);
    let root = plain_root();
    for critical in [false, true] {
        let leaf = root.leaf(|s| {
            s.put(NC, critical, com());
        });
        case("rfc5280::nc::not-allowed-in-ee", &leaf, &[&root])
            .refused(STRICT, Code::NameConstraints)
            .valid(&[Profile::Basic]);
    }
}

#[test]
fn they_hold_for_all_below_and_only_narrow() {
    let split = || nc(&[dns("permitted.example.com")], &[dns("forbidden.example.com")]);
    let forbidden = |s: &mut Spec| {
        s.put(SAN, false, san(&[dns("forbidden.example.com")]));
    };
    let leaf_of = |ica: &Pair| ica.leaf_for(&[dns("permitted.example.com")]);
    let root = plain_root();
    let ica1 = root.intermediate(|s| {
        s.put(NC, true, split());
    });
    let ica2 = ica1.intermediate(forbidden);
    case("rfc5280::nc::intermediate-with-san-rejected-by-intermediate-nc", &leaf_of(&ica2), &[&root])
        .via(&[&ica1, &ica2])
        .name("permitted.example.com")
        .refused(EVERY, Code::NotPermitted);
    let bound = crate::pki::root(|s| {
        s.put(NC, true, split());
    });
    let ica1 = bound.intermediate(|s| {
        s.put(SAN, false, vec![]);
    });
    let ica2 = ica1.intermediate(forbidden);
    case("rfc5280::nc::intermediate-with-san-rejected-by-root-nc", &leaf_of(&ica2), &[&bound])
        .via(&[&ica1, &ica2])
        .name("permitted.example.com")
        .refused(EVERY, Code::NotPermitted);
    let (foo, bar) = (|| dns("foo.example.com"), || dns("bar.example.com"));
    for (id, upper, lower) in [
        ("rfc5280::nc::restrictive-permits-in-intermediates-narrows", vec![foo(), bar()], vec![bar()]),
        ("rfc5280::nc::restrictive-permits-in-intermediates-widens", vec![bar()], vec![foo(), bar()]),
    ] {
        let ica1 = root.intermediate(|s| {
            s.put(NC, true, nc(&upper, &[]));
        });
        let ica2 = ica1.intermediate(|s| {
            s.put(NC, true, nc(&lower, &[])).put(SAN, false, vec![]);
        });
        case(id, &ica2.leaf_for(&[foo()]), &[&root])
            .via(&[&ica1, &ica2])
            .name("foo.example.com")
            .refused(EVERY, Code::NotPermitted)
            .agrees_with_openssl(true);
    }
}

#[test]
fn self_issued_certificates() {
    let own = || name("CN=not-example.com");
    let beside = |s: &mut Spec| {
        s.put(SAN, false, san(&[dns("not-example.com")]));
    };
    let root = root(|s| {
        (s.subject, s.issuer) = (own(), own());
        beside(s);
        s.put(NC, true, nc(&[dns("example.com")], &[]));
    });
    let ica = root.intermediate(|s| {
        s.subject = own();
        beside(s);
    });
    case("rfc5280::nc::permitted-self-issued", &ica.leaf(|_| {}), &[&root])
        .via(&[&ica])
        .valid(EVERY)
        .agrees_with_openssl(true);
    let bound = crate::pki::root(|s| {
        s.put(NC, true, nc(&[dns("example.com")], &[]));
    });
    let ica = bound.intermediate(|s| {
        s.subject = own();
        s.put(SAN, false, vec![]);
    });
    let leaf = ica.leaf(|s| {
        s.subject = own();
        beside(s);
    });
    case("rfc5280::nc::excluded-self-issued-leaf", &leaf, &[&bound])
        .via(&[&ica])
        .name("not-example.com")
        .refused(EVERY, Code::NotPermitted);
}

#[test]
fn too_many_to_compare() {
    let hosts =
        |prefix: &str, n: usize| (0..n).map(|i| dns(&format!("{prefix}{i}.test"))).collect::<Vec<_>>();
    let root = root(|s| {
        s.put(NC, true, nc(&hosts("t", 513), &hosts("x", 513)));
    });
    let leaf = root.leaf(|s| {
        s.subject = name("");
        s.put(SAN, true, san(&hosts("t", 513)));
    });
    let began = std::time::Instant::now();
    case("pathological::nc-dos-1", &leaf, &[&root]).name("t0.test").refused(EVERY, Code::TooMuchWork);
    assert!(began.elapsed().as_secs() < 4, "{:?} for four profiles", began.elapsed());
    let fewer = root.leaf(|s| {
        s.subject = name("CN=leaf");
        s.put(SAN, false, san(&hosts("t", 100)));
    });
    case("what can be compared", &fewer, &[&root]).name("t0.test").valid(EVERY);
}
