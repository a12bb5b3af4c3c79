//! Revocation lists.

use crate::case::*;
use crate::der::*;
use crate::pki::*;
use pkix::{Code, Crl, Profile};

const URI: &str = "http://example.com/partition.crl";

fn point(names: &[Vec<u8>]) -> Vec<u8> {
    seq(&[seq(&[tlv(0xa0, &tlv(0xa0, &names.concat()))])])
}

/// An issuing distribution point: full names, and flags by their numbers.
fn scope(names: &[Vec<u8>], flags: &[u8]) -> Vec<u8> {
    let names = if names.is_empty() { vec![] } else { tlv(0xa0, &tlv(0xa0, &names.concat())) };
    let flags =
        flags.iter().map(|n| tlv(0x80 | n, if *n == 3 { &[6, 0x40] } else { &[0xff] })).collect::<Vec<_>>();
    seq(&[names, flags.concat()])
}

/// A leaf with these distribution points below a root, and the root's list.
fn with(id: &'static str, cdp: Vec<u8>, bend: impl FnOnce(&mut CrlSpec, &Pair)) -> Case {
    let root = plain_root();
    let leaf = root.leaf(|s| {
        s.put(CDP, false, cdp);
    });
    let crl = root.crl(|c| bend(c, &leaf));
    case(id, &leaf, &[&root]).crls(&[&crl])
}

fn plain(id: &'static str, bend: impl FnOnce(&mut CrlSpec, &Pair)) -> Case {
    with(id, vec![], bend)
}

const UNKNOWN: Code = Code::RevocationUnknown;

fn stranger() -> Vec<u8> {
    entry(&int(0x0077_7777), "231231000000Z", &[])
}

#[test]
fn revoked_or_not() {
    plain("crl::crl-empty", |_, _| {}).valid(EVERY);
    plain("crl::certificate-not-on-crl", |c, _| c.revoked = vec![stranger()]).valid(EVERY);
    for (id, when) in [
        ("crl::revoked-certificate-with-crl", "231231000000Z"),
        ("crl::revocation-date-in-future", "240102000000Z"),
        ("crl::revocation-date-before-not-before", "600101000000Z"),
    ] {
        plain(id, |c, leaf| c.revoked = vec![entry(&leaf.serial, when, &[])]).refused(EVERY, Code::Revoked);
    }
    plain("crl::crl-very-large", |c, _| {
        c.revoked = (0..10_000).map(|n| entry(&int(0x0a00_0000 + n), "700101000000Z", &[])).collect();
    })
    .valid(EVERY);
}

#[test]
fn whose_list_it_is() {
    let (one, two) = (root(|s| rename(s, "CN=Root CA 1")), root(|s| rename(s, "CN=Root CA 2")));
    let leaf = one.leaf(|_| {});
    let (own, other) =
        (one.crl(|_| {}), two.crl(|c| c.revoked = vec![entry(&leaf.serial, "231231000000Z", &[])]));
    case("crl::certificate-serial-on-crl-different-issuer", &leaf, &[&one, &two])
        .crls(&[&own, &other])
        .valid(EVERY);
    case("only a stranger's list", &leaf, &[&one, &two]).crls(&[&other]).refused(EVERY, UNKNOWN);
    case("no list", &leaf, &[&one]).valid(EVERY);
    case("no list where one is required", &leaf, &[&one]).need_crl().refused(EVERY, UNKNOWN);
    let wrong = one.crl(|c| c.signer = two.key.clone());
    case("crl::crl-wrong-signing-key", &leaf, &[&one, &two]).crls(&[&wrong]).refused(EVERY, UNKNOWN);
    let random = one.crl(|c| c.signer = Key::new());
    case("crl::crl-invalid-signature", &leaf, &[&one]).crls(&[&random]).refused(EVERY, UNKNOWN);
}

fn rename(s: &mut Spec, to: &str) {
    (s.subject, s.issuer) = (name(to), name(to));
}

#[test]
fn who_may_sign_it() {
    let signed = |id, value: Vec<u8>| {
        let root = root(|s| {
            s.put(USAGE, false, value);
        });
        case(id, &root.leaf(|_| {}), &[&root]).crls(&[&root.crl(|_| {})])
    };
    signed("crl::issuer-missing-crlsign", usage(&[5])).refused(EVERY, UNKNOWN);
    signed("crl::issuer-no-keyusage-extension", vec![]).valid(EVERY);
    signed("crl::issuer-valid-crlsign-and-keycertsign", usage(&[5, 6])).valid(EVERY);
}

#[test]
fn its_time() {
    let times = |id, from: &'static str, to: &'static str| {
        plain(id, move |c, _| (c.this_update, c.next_update) = (time(from), time(to)))
    };
    times("crl::this-update-in-future", "240102000000Z", "240201000000Z").refused(EVERY, UNKNOWN);
    times("crl::next-update-in-past", "231101000000Z", "231201000000Z").refused(EVERY, UNKNOWN);
    times("crl::crl-validity-no-overlap", "230101000000Z", "230701000000Z").refused(EVERY, UNKNOWN);
    times("to the second", "240101000000Z", "240101000000Z").valid(EVERY);
}

/// A list that cannot be read says nothing, least of all that all is well; what only lacks form still revokes.
#[test]
fn lists_that_lack_form() {
    let revokes = |c: &mut CrlSpec, leaf: &Pair| c.revoked = vec![entry(&leaf.serial, "231231000000Z", &[])];
    type Bend = fn(&mut CrlSpec);
    let forms: [(&'static str, Bend); 4] = [
        ("crl::crl-update-generalizedtime-2025", |c| {
            (c.this_update, c.next_update) = (time("20231201000000Z"), time("20240301000000Z"));
        }),
        ("crl::crl-missing-next-update", |c| c.next_update = vec![]),
        ("of version 1", |c| (c.version, c.extensions) = (vec![], vec![])),
        ("crl::crlnumber-missing", |c| c.extensions.retain(|(id, ..)| id == AKI)),
    ];
    for (id, bend) in forms {
        plain(id, |c, leaf| {
            revokes(c, leaf);
            bend(c);
        })
        .refused(EVERY, Code::Revoked);
        plain(id, |c, _| bend(c)).refused(STRICT, UNKNOWN).valid(&[Profile::Basic]);
    }
    let root = plain_root();
    let leaf = root.leaf(|_| {});
    let broken = root.crl(|c| c.version = int(4));
    let good = root.crl(|_| {});
    for junk in [&broken, &b"no list".to_vec(), &vec![]] {
        assert!(Crl::parse(junk).is_err());
        case("crl::crl-invalid-version", &leaf, &[&root]).crls(&[junk]).refused(EVERY, UNKNOWN);
        case("beside one that can be read", &leaf, &[&root]).crls(&[junk, &good]).valid(EVERY);
    }
}

const DELTA: &str = "2.5.29.27";
const NUMBER: &str = "2.5.29.20";
const HOLD: u8 = 6;
const REMOVED: u8 = 8;

/// A list of this number, a delta from `base` on where one is given, with the leaf on it for a reason.
fn numbered(root: &Pair, leaf: &Pair, number: u32, base: Option<u32>, reason: Option<u8>) -> Vec<u8> {
    root.crl(|c| {
        c.extensions[0] = (NUMBER.into(), false, int(number));
        c.extensions.extend(base.map(|base| (DELTA.into(), true, int(base))));
        let why =
            |code: u8| entry(&leaf.serial, "231231000000Z", &[("2.5.29.21", false, tlv(0x0a, &[code]))]);
        c.revoked = reason.map(why).into_iter().collect();
    })
}

/// Every pair of a complete list and a delta, in both orders: only a complete list says that all is well, and whatever
/// list has the number revokes, but for a hold that a later delta of that very list takes back.
#[test]
fn complete_lists_and_deltas() {
    let root = plain_root();
    let leaf = root.leaf(|_| {});
    let list = |number, base, reason| numbered(&root, &leaf, number, base, reason);
    let revoked = Some(Code::Revoked);
    type Row = (&'static str, Vec<Vec<u8>>, Option<Code>);
    let cases: [Row; 12] = [
        ("a delta alone", vec![list(8, Some(7), None)], Some(UNKNOWN)),
        ("a delta alone that revokes", vec![list(8, Some(7), Some(1))], revoked),
        ("a delta alone that takes back", vec![list(8, Some(7), Some(REMOVED))], Some(UNKNOWN)),
        ("base and delta", vec![list(7, None, None), list(8, Some(7), None)], None),
        ("the delta revokes", vec![list(7, None, None), list(8, Some(7), Some(1))], revoked),
        ("the base revokes", vec![list(7, None, Some(1)), list(8, Some(7), None)], revoked),
        ("the delta takes back", vec![list(7, None, Some(HOLD)), list(8, Some(7), Some(REMOVED))], None),
        (
            "a delta of another base",
            vec![list(7, None, Some(HOLD)), list(9, Some(8), Some(REMOVED))],
            revoked,
        ),
        ("an older delta", vec![list(7, None, Some(HOLD)), list(6, Some(5), Some(REMOVED))], revoked),
        ("a delta from before on", vec![list(7, None, Some(HOLD)), list(9, Some(3), Some(REMOVED))], None),
        (
            "numbers of two bytes",
            vec![list(255, None, Some(HOLD)), list(256, Some(200), Some(REMOVED))],
            None,
        ),
        ("two deltas", vec![list(8, Some(7), None), list(9, Some(7), None)], Some(UNKNOWN)),
    ];
    for (id, lists, code) in cases {
        let turned: Vec<&Vec<u8>> = lists.iter().rev().collect();
        for lists in [lists.iter().collect(), turned] {
            let ask = case(id, &leaf, &[&root]).crls(&lists);
            match code {
                Some(code) => drop(ask.refused(EVERY, code)),
                None => drop(ask.valid(EVERY)),
            }
        }
    }
}

/// A list of a part of the certificates may revoke, and never says of the others' that they are well.
#[test]
fn lists_of_a_part() {
    let root = plain_root();
    let leaf = root.leaf(|s| {
        s.put(CDP, false, point(&[uri(URI)]));
    });
    let part = |value: Vec<u8>, revokes: bool| {
        root.crl(|c| {
            c.extensions.push(("2.5.29.28".into(), true, value));
            c.revoked = revokes.then(|| entry(&leaf.serial, "231231000000Z", &[])).into_iter().collect();
        })
    };
    let other = || scope(&[uri("http://example.com/2.crl")], &[]);
    let own = || scope(&[uri(URI)], &[]);
    for value in [other(), scope(&[], &[2]), scope(&[], &[3]), scope(&[], &[5])] {
        let ask = |lists: &[&Vec<u8>]| case("a part", &leaf, &[&root]).crls(lists);
        ask(&[&part(value.clone(), false)]).refused(EVERY, UNKNOWN).agrees_with_openssl(false);
        ask(&[&part(value.clone(), true)]).refused(EVERY, Code::Revoked);
        ask(&[&part(own(), false), &part(value.clone(), true)]).refused(EVERY, Code::Revoked);
        ask(&[&part(value, false), &part(own(), false)]).valid(EVERY).agrees_with_openssl(false);
    }
    let spelled = seq(&[tlv(0xa0, &tlv(0xa0, &uri(URI))), tlv(0x81, &[0]), tlv(0x84, &[0])]);
    case("flags spelled out", &leaf, &[&root]).crls(&[&part(spelled, false)]).valid(EVERY);
}

#[test]
fn its_extensions() {
    let extra = |id, critical| plain(id, move |c, _| c.extensions.push((PRIVATE.into(), critical, vec![])));
    extra("crl::crl-unknown-critical-extension", true).refused(EVERY, UNKNOWN);
    extra("crl::crl-unknown-noncritical-extension", false).valid(EVERY);
    plain("crl::crlnumber-missing", |c, _| c.extensions.retain(|(id, ..)| id == AKI))
        .refused(STRICT, UNKNOWN)
        .valid(&[Profile::Basic]);
    plain("crl::crlnumber-critical", |c, _| c.extensions[0].1 = true).refused(STRICT, UNKNOWN);
    plain("a list of changes", |c, _| c.extensions.push(("2.5.29.27".into(), true, int(3))))
        .refused(EVERY, UNKNOWN);
    let of_entry = |id, critical| {
        plain(id, move |c, leaf| {
            c.revoked = vec![entry(&leaf.serial, "231231000000Z", &[(PRIVATE, critical, vec![])])];
        })
    };
    of_entry("crl::entry-unknown-critical-extension", true).refused(EVERY, UNKNOWN);
    of_entry("crl::entry-unknown-noncritical-extension", false).refused(EVERY, Code::Revoked);
    plain("webpki::crl::crl-duplicate-revoked-serial", |c, _| c.revoked = vec![stranger(), stranger()])
        .refused(EVERY, UNKNOWN);
}

fn scoped(id: &'static str, cdp: Vec<u8>, value: Vec<u8>) -> Case {
    with(id, cdp, move |c, _| c.extensions.push(("2.5.29.28".into(), true, value)))
}

#[test]
fn its_distribution_point() {
    let here = || point(&[uri(URI)]);
    scoped("crl::idp-cdp-scope-match", here(), scope(&[uri(URI)], &[])).valid(EVERY);
    scoped("crl::idp-cdp-scope-mismatch", here(), scope(&[uri("http://example.com/other.crl")], &[]))
        .refused(EVERY, UNKNOWN);
    scoped("crl::idp-present-certificate-missing-cdp", vec![], scope(&[uri(URI)], &[]))
        .refused(EVERY, UNKNOWN);
    scoped("crl::idp-only-contains-ca-certs-ee-target", vec![], scope(&[], &[2])).refused(EVERY, UNKNOWN);
    scoped("only leaves, for a leaf", vec![], scope(&[], &[1])).valid(EVERY);
    scoped("crl::idp-only-contains-attribute-certs", vec![], scope(&[], &[5])).refused(EVERY, UNKNOWN);
    scoped("crl::idp-indirect-crl", here(), scope(&[uri(URI)], &[4])).refused(EVERY, UNKNOWN);
    scoped("crl::idp-only-some-reasons-no-complete-crl", here(), scope(&[uri(URI)], &[3]))
        .refused(EVERY, UNKNOWN);
    let two = || [uri(URI), dns("example.com")];
    scoped("crl::idp-present-certificate-cdp-non-uri-generalname", point(&two()), scope(&[uri(URI)], &[]))
        .refused(WEB, UNKNOWN)
        .valid(&[Profile::Rfc5280]);
    scoped("crl::idp-fullname-non-uri-generalname", here(), scope(&two(), &[])).refused(WEB, UNKNOWN);
    let relative = seq(&[tlv(0xa0, &tlv(0xa1, &seq(&[oid("2.5.4.3"), tlv(0x0c, b"partition")])))]);
    scoped("crl::idp-name-relative-to-crl-issuer", vec![], relative).refused(EVERY, UNKNOWN);
    let coded = point(&[uri("http://example.com/crls/%73hard.crl")]);
    scoped("crl::idp-uri-not-byte-identical", coded, scope(&[uri("http://example.com/crls/shard.crl")], &[]))
        .refused(EVERY, UNKNOWN);
}

#[test]
fn intermediates() {
    let root = plain_root();
    let ica = root.intermediate(|_| {});
    let leaf = ica.leaf(|_| {});
    let ask = |id, lists: &[&Vec<u8>]| case(id, &leaf, &[&root]).via(&[&ica]).crls(lists);
    let lower = ica.crl(|_| {});
    let leaves_only = root.crl(|c| c.extensions.push(("2.5.29.28".into(), true, scope(&[], &[1]))));
    ask("crl::idp-only-contains-user-certs-ca-target", &[&leaves_only, &lower]).refused(EVERY, UNKNOWN);
    let revokes = root.crl(|c| c.revoked = vec![entry(&ica.serial, "231231000000Z", &[])]);
    ask("a revoked intermediate", &[&revokes, &lower]).refused(EVERY, Code::Revoked);
    ask("the leaf's list alone", &[&lower]).valid(EVERY);
    ask("all lists", &[&lower, &root.crl(|_| {})]).need_crl().valid(EVERY);
    ask("the leaf's list alone, all required", &[&lower]).need_crl().refused(EVERY, UNKNOWN);
}
