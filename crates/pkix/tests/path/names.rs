//! Whether a certificate is for a name.

use crate::case::*;
use crate::der::*;
use crate::pki::*;
use pkix::{Code, PeerName, Profile};

fn named(id: &'static str, names: &[Vec<u8>], asked: &str) -> Case {
    let root = plain_root();
    let leaf = root.leaf(|s| {
        s.subject = name("CN=leaf");
        s.put(SAN, false, san(names));
    });
    case(id, &leaf, &[&root]).name(asked)
}

#[test]
fn hosts() {
    let fits = |id, given: &str, asked: &str| {
        named(id, &[dns(given)], asked).valid(EVERY).agrees_with_openssl(true);
    };
    let not = |id, given: &str, asked: &str| {
        named(id, &[dns(given)], asked).refused(EVERY, Code::NameMismatch).agrees_with_openssl(true);
    };
    fits("webpki::san::exact-dns-san", "example.com", "example.com");
    fits("without regard to case", "Example.COM", "eXample.com");
    fits("webpki::san::leftmost-wildcard-san", "*.example.com", "foo.example.com");
    fits("a wildcard for an A-label", "*.example.com", "xn--bcher-kva.example.com");
    not("webpki::san::mismatch-domain-san", "example.com", "example2.com");
    not("webpki::san::mismatch-subdomain-san", "abc.example.com", "def.example.com");
    not("webpki::san::mismatch-subdomain-apex-san", "example.com", "abc.example.com");
    not("webpki::san::mismatch-apex-subdomain-san", "abc.example.com", "example.com");
    not("webpki::san::wildcard-match-across-labels-san", "*.example.com", "foo.bar.example.com");
    not("a wildcard for the apex", "*.example.com", "example.com");
    not("the end of a label", "ample.com", "example.com");
}

#[test]
fn what_is_asked_is_made_ascii() {
    named("a dot at the end", &[dns("example.com")], "example.com.").valid(EVERY);
    named("a U-label", &[dns("xn--bcher-kva.example")], "Bücher.example").valid(EVERY);
    let parsed = |text: &str| PeerName::parse(text);
    assert_eq!(parsed("BÜCHER.example").map(|n| n.to_string()).as_deref(), Ok("xn--bcher-kva.example"));
    assert_eq!(parsed("[::1]"), Ok(PeerName::Ip("::1".parse().expect("an address"))));
    assert_eq!(parsed("fe80::1%eth0"), Ok(PeerName::Ip("fe80::1".parse().expect("an address"))));
    assert_eq!(parsed("a@example.com"), Ok(PeerName::Email("a@example.com".into())));
    for bad in ["", ".", "a..b", "a b", "*.example.com", "a@b@c", "@example.com", "a@", "http://x", "a\0b"] {
        assert!(parsed(bad).is_err(), "{bad:?}");
    }
}

/// What RFC 5280 does not let a certificate say: such a one is refused, and for clients it fits no name.
#[test]
fn malformed_names() {
    let odd = |id, given: &[u8], asked: &str| {
        named(id, &[tlv(0x82, given)], asked)
            .refused(STRICT, Code::NameMismatch)
            .refused(&[Profile::Basic], Code::NameMismatch);
        named(id, &[tlv(0x82, given), dns("good.example")], "good.example").refused(STRICT, Code::AltName);
    };
    odd("webpki::san::wildcard-embedded-leftmost-san", b"ba*.example.com", "baz.example.com");
    odd("webpki::san::wildcard-not-in-leftmost-san", b"foo.*.example.com", "foo.bar.example.com");
    odd(
        "webpki::san::wildcard-embedded-ulabel-san",
        b"xn--*-1b3c148a.example.com",
        "xn--bliss-1b3c148a.example.com",
    );
    odd("webpki::san::san-wildcard-only", b"*", "example.com");
    odd("webpki::san::san-wildcard-only-tld", b"*", "com");
    odd("two wildcards", b"*.*.example.com", "a.b.example.com");
    odd("a NUL", b"example.com\0.evil.com", "example.com");
    odd("a dot at the end", b"example.com.", "example.com");
    odd("a dot at the beginning", b".example.com", "example.com");
    odd("nothing", b"", "example.com");
    odd("a blank", b" example.com", "example.com");
    named("webpki::san::unicode-emoji-san", &[dns("😜.example.com")], "xn--628h.example.com")
        .refused(EVERY, Code::Malformed);
    named("rfc5280::san::underscore-dns", &[dns("foo_bar.example.com")], "foo_bar.example.com")
        .refused(STRICT, Code::AltName)
        .valid(&[Profile::Basic]);
}

#[test]
fn addresses() {
    let v6 = "2001:db8::1".parse::<std::net::Ipv6Addr>().expect("an address").octets();
    named("webpki::san::exact-localhost-ip-san", &[ip(&[127, 0, 0, 1])], "127.0.0.1")
        .valid(EVERY)
        .agrees_with_openssl(true);
    named("IPv6", &[ip(&v6)], "2001:0db8:0:0::1").valid(EVERY).agrees_with_openssl(true);
    named("another address", &[ip(&[127, 0, 0, 1])], "127.0.0.2")
        .refused(EVERY, Code::NameMismatch)
        .agrees_with_openssl(true);
    named("an address as dNSName", &[dns("127.0.0.1")], "127.0.0.1").refused(EVERY, Code::NameMismatch);
    named("IPv4 inside of IPv6", &[ip(&v6)], "127.0.0.1").refused(EVERY, Code::NameMismatch);
    named("five bytes", &[ip(&[127, 0, 0, 1, 0]), dns("example.com")], "example.com")
        .refused(STRICT, Code::AltName);
}

#[test]
fn the_common_name_names_nothing() {
    let root = plain_root();
    let bare = root.leaf(|s| {
        s.without(SAN);
    });
    case("webpki::san::no-san", &bare, &[&root]).refused(EVERY, Code::NameMismatch);
    case("nobody asked for a name", &bare, &[&root])
        .names(&[])
        .valid(&[Profile::Both, Profile::Rfc5280, Profile::Basic])
        .refused(&[Profile::Webpki], Code::AltName);
    let address = root.leaf(|s| {
        s.subject = name("CN=192.0.2.1");
        s.put(SAN, false, san(&[dns("example.com")]));
    });
    case("an address in the common name", &address, &[&root])
        .name("192.0.2.1")
        .refused(EVERY, Code::NameMismatch);
}

#[test]
fn mail_addresses() {
    let root = plain_root();
    let mail = |names: &[Vec<u8>]| {
        let names = san(names);
        root.leaf(move |s| {
            s.put(EKU, false, eku(&[EMAIL])).put(SAN, false, names);
        })
    };
    let user = || mail(&[email("other@example.com"), email("user@example.com")]);
    let ask = |id, leaf: &Pair, asked| case(id, leaf, &[&root]).name(asked);
    ask("smime::san::multiple-rfc822-sans", &user(), "user@example.com").valid(EVERY);
    ask("the host without regard to case", &user(), "user@EXAMPLE.com").valid(EVERY);
    ask("smime::san::mismatch-rfc822-san", &user(), "mine@example.com").refused(EVERY, Code::NameMismatch);
    ask("smime::san::mismatch-domain-rfc822-san", &user(), "user@example.org")
        .refused(EVERY, Code::NameMismatch);
    ask("the local part has a case", &user(), "User@example.com").refused(EVERY, Code::NameMismatch);
    ask("smime::san::san-without-rfc822name", &mail(&[dns("example.com")]), "user@example.com")
        .refused(EVERY, Code::NameMismatch);
    let two = case("all names", &user(), &[&root]);
    two.names(&["user@example.com", "other@example.com"]).valid(EVERY);
    let two = case("one of the names", &user(), &[&root]);
    two.names(&["user@example.com", "third@example.com"]).refused(EVERY, Code::NameMismatch);
    let marked = root.leaf(|s| {
        s.put(EKU, false, eku(&[EMAIL])).put(SAN, true, san(&[email("user@example.com")]));
    });
    ask("smime::san::san-critical-with-nonempty-subject", &marked, "user@example.com")
        .refused(WEB, Code::AltName);
    let empty = root.leaf(|s| {
        s.subject = name("");
        s.put(EKU, false, eku(&[EMAIL])).put(SAN, true, san(&[email("user@example.com")]));
    });
    ask("smime::san::san-critical-with-empty-subject", &empty, "user@example.com").valid(EVERY);
}

#[test]
fn ten_thousand_names() {
    let root = plain_root();
    let names: Vec<Vec<u8>> = (0..10_000).map(|n| dns(&format!("host{n}.example.com"))).collect();
    let began = std::time::Instant::now();
    case("the last of them", &root.leaf_for(&names), &[&root]).name("host9999.example.com").valid(EVERY);
    assert!(began.elapsed().as_secs() < 4, "{:?} for four profiles", began.elapsed());
}
