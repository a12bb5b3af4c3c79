//! What only the Web PKI's rules refuse.

use crate::case::*;
use crate::der::*;
use crate::pki::*;
use pkix::{Code, Profile};

const RFC: &[Profile] = &[Profile::Rfc5280, Profile::Basic];

fn common(id: &'static str, cn: &str, names: &[Vec<u8>], asked: &str) -> Case {
    let root = plain_root();
    let leaf = root.leaf(|s| {
        s.subject = name(&format!("CN={cn}"));
        s.put(SAN, false, san(names));
    });
    case(id, &leaf, &[&root]).name(asked)
}

#[test]
fn the_common_name_contradicts_nothing() {
    let v4 = || vec![ip(&[192, 168, 1, 1])];
    let v6 = |text: &str| vec![ip(&text.parse::<std::net::Ipv6Addr>().expect("an address").octets())];
    let odd = |id, cn, names: Vec<Vec<u8>>, asked| {
        common(id, cn, &names, asked).valid(RFC).refused(WEB, Code::CommonName);
    };
    odd("webpki::cn::ipv4-hex-mismatch", "0xC0A80101", v4(), "192.168.1.1");
    odd("webpki::cn::ipv4-leading-zeros-mismatch", "192.168.001.001", v4(), "192.168.1.1");
    let long = "2001:db8::8a2e:370:7334";
    odd("webpki::cn::ipv6-uppercase-mismatch", "2001:DB8::8A2E:370:7334", v6(long), long);
    let full = "2001:0db8:0000:0000:0000:0000:0000:0001";
    odd("webpki::cn::ipv6-uncompressed-mismatch", full, v6("2001:db8::1"), "2001:db8::1");
    let gap = "2001:db8::1:0:0:1";
    odd("webpki::cn::ipv6-non-rfc5952-mismatch", "2001:db8:0:0:1:0:0:1", v6(gap), gap);
    odd("webpki::cn::punycode-not-in-san", "xn--nxasmq6b.com", vec![dns("xn--n3h.com")], "xn--n3h.com");
    let puny = "xn--test--wg5h0h.com";
    odd("webpki::cn::utf8-vs-punycode-mismatch", "test-測試.com", vec![dns(puny)], puny);
    let two = vec![dns("valid.example.com"), dns("another.example.com")];
    odd("webpki::cn::not-in-san", "notinsan.example.com", two, "valid.example.com");
    odd("webpki::cn::case-mismatch", "Example.COM", vec![dns("example.com")], "example.com");
    for (cn, names, asked) in [
        ("192.168.1.1", v4(), "192.168.1.1"),
        (long, v6(long), long),
        ("example.com", vec![dns("*.example.com")], "foo.example.com"),
        ("example.com", v4(), "192.168.1.1"),
        ("My Server", vec![dns("example.com")], "example.com"),
        ("localhost", vec![dns("example.com")], "example.com"),
    ] {
        common("a common name that agrees", cn, &names, asked).valid(EVERY);
    }
}

#[test]
fn wildcards_over_public_suffixes() {
    for (id, given, asked) in [
        ("webpki::san::public-suffix-wildcard-san", "*.com", "example.com"),
        ("webpki::san::public-suffix-multi-label-wildcard-san", "*.co.uk", "example.co.uk"),
        ("webpki::san::public-suffix-private-namespace-wildcard-san", "*.github.io", "example.github.io"),
    ] {
        common(id, "x", &[dns(given)], asked).valid(RFC).refused(WEB, Code::PublicSuffix);
    }
    // One that is not the name asked for harms nobody who asks.
    for (given, asked) in [
        (["*.co.uk", "www.example.org"], "www.example.org"),
        (["*.github.io", "example.github.io"], "example.github.io"),
        (["*.com", "*.example.com"], "a.example.com"),
    ] {
        let names: Vec<Vec<u8>> = given.iter().map(|n| dns(n)).collect();
        common("beside another wildcard", "x", &names, asked).valid(EVERY).agrees_with_openssl(false);
        common("no name asked for", "x", &names, asked)
            .names(&[])
            .valid(RFC)
            .refused(WEB, Code::PublicSuffix);
        let both = [asked, "other.co.uk"];
        if given[0] == "*.co.uk" {
            common("two names asked for", "x", &names, asked).names(&both).refused(WEB, Code::PublicSuffix);
        }
    }
    common("below a public suffix", "x", &[dns("*.example.co.uk")], "a.example.co.uk").valid(EVERY);
    common("a private network", "x", &[dns("*.db.internal")], "a.db.internal").valid(EVERY);
}

#[test]
fn alternative_names() {
    let root = plain_root();
    let marked = root.leaf(|s| {
        s.subject = name("CN=something-else");
        s.mark(SAN, true);
    });
    case("webpki::san::san-critical-with-nonempty-subject", &marked, &[&root])
        .valid(RFC)
        .refused(WEB, Code::AltName);
}

#[test]
fn what_a_root_says_of_its_key() {
    let says = |id, value: fn(&Key) -> Vec<u8>, code: Option<Code>| {
        let root = root(|s| {
            let value = value(&s.key);
            s.put(AKI, false, value);
        });
        let ask = case(id, &root.leaf(|_| {}), &[&root]);
        match code {
            Some(code) => ask.refused(WEB, code),
            None => ask.valid(EVERY),
        }
    };
    let code = Some(Code::KeyIdentifier);
    says("a root's own key", aki, None);
    says("webpki::aki::root-with-aki-missing-keyidentifier", |_| seq(&[]), code);
    says("webpki::aki::root-with-aki-ski-mismatch", |_| aki(&Key::new()), code);
    says(
        "webpki::aki::root-with-aki-authoritycertissuer",
        |k| seq(&[tlv(0x80, &k.id()), tlv(0xa1, &dir("CN=myCN"))]),
        code,
    )
    .refused(&[Profile::Rfc5280], Code::KeyIdentifier);
    says(
        "webpki::aki::root-with-aki-authoritycertserialnumber",
        |k| seq(&[tlv(0x80, &k.id()), tlv(0x82, &[4, 210])]),
        code,
    )
    .refused(&[Profile::Rfc5280], Code::KeyIdentifier);
    says(
        "webpki::aki::root-with-aki-all-fields",
        |k| seq(&[tlv(0x80, &k.id()), tlv(0xa1, &dir("CN=myCN")), tlv(0x82, &[4, 210])]),
        code,
    )
    .valid(RFC);
}
