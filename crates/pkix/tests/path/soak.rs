//! Bytes bent at random: nothing panics, nothing takes long, and nothing bent is taken for good.

use crate::case::*;
use crate::der::*;
use crate::pki::*;
use pkix::{Cert, Crl, Profile};
use std::time::{Duration, Instant};
use testkit::{Dice, seed, spell};

/// One to three random changes.
fn bent(dice: &mut Dice, good: &[u8]) -> Vec<u8> {
    let mut bytes = good.to_vec();
    for _ in 0..=dice.index(3) {
        let place = dice.index(bytes.len());
        match dice.index(6) {
            0 => bytes[place] ^= 1 << dice.index(8),
            1 => bytes[place] = [0, 1, 0x30, 0x7f, 0x80, 0x81, 0x84, 0xa0, 0xff][dice.index(9)],
            2 => bytes.truncate(place.max(1)),
            3 => bytes.insert(place, u8::try_from(dice.index(256)).unwrap_or(0)),
            4 => drop(bytes.remove(place)),
            _ => {
                let from = dice.index(bytes.len());
                let piece: Vec<u8> = bytes[from..(from + dice.index(40)).min(bytes.len())].to_vec();
                bytes.splice(place..place, piece);
            }
        }
        if bytes.is_empty() {
            bytes.push(0x30);
        }
    }
    bytes
}

/// Everything that a certificate can carry.
fn rich(root: &Pair) -> Pair {
    root.intermediate(|s| {
        s.put(
            NC,
            true,
            nc(&[dns("example.com"), dir("C=DE,O=X"), ip(&[10, 0, 0, 0, 255, 0, 0, 0])], &[email("x.org")]),
        );
        s.put(POLICIES, false, policies(&["2.5.29.32.0", "1.2.3"])).put(
            LIMITS,
            true,
            seq(&[tlv(0x80, &[3])]),
        );
        s.put(MAPPINGS, true, seq(&[seq(&[oid("1.2.3"), oid("1.2.4")])])).put(INHIBIT_ANY, true, int(2));
        s.put(AIA, false, seq(&[seq(&[oid("1.3.6.1.5.5.7.48.2"), uri("http://x.org/ca")])]));
        s.put(
            SAN,
            false,
            san(&[dns("a.example.com"), ip(&[10, 0, 0, 1]), uri("https://example.com/"), other("1.2.3")]),
        );
        s.put(CDP, false, seq(&[seq(&[tlv(0xa0, &tlv(0xa0, &uri("http://x.org/crl")))])]));
        s.put(EKU, false, eku(&[SERVER, CLIENT]));
    })
}

#[test]
fn bent_certificates() {
    let (root, seed) = (plain_root(), seed());
    let mut dice = Dice::new(seed);
    let ica = rich(&root);
    let leaf = ica.leaf(|_| {});
    let (began, mut rounds) = (Instant::now(), 0);
    for round in spell(2_000) {
        rounds += 1;
        let (mut this, mut above, mut top) = (leaf.clone(), ica.clone(), root.clone());
        let one = [&mut this, &mut above, &mut top].into_iter().nth(dice.index(3)).expect("one of three");
        one.der = bent(&mut dice, &one.der);
        let changed = this.der != leaf.der || above.der != ica.der;
        let ask = case("bent", &this, &[&top]).via(&[&above]).names(&[]);
        let profile = [Profile::Both, Profile::Basic][dice.index(2)];
        let valid = ask.verdict(profile).valid;
        assert!(!(changed && valid), "round {round} of seed {seed}: a bent certificate is valid");
    }
    assert!(began.elapsed() < Duration::from_millis(20) * rounds, "{:?}", began.elapsed());
}

#[test]
fn bent_revocation_lists() {
    let (root, seed) = (plain_root(), seed());
    let mut dice = Dice::new(seed);
    let leaf = root.leaf(|_| {});
    let good = root.crl(|c| {
        c.revoked = vec![
            entry(&leaf.serial, "231231000000Z", &[("2.5.29.21", false, tlv(0x0a, &[1]))]),
            entry(&int(77), "231231000000Z", &[]),
        ];
        let here = tlv(0xa0, &tlv(0xa0, &uri("http://x.org/crl")));
        c.extensions.push(("2.5.29.28".into(), true, seq(&[here, tlv(0x81, &[0xff])])));
    });
    for round in spell(2_000) {
        let bytes = bent(&mut dice, &good);
        let read = Crl::parse(&bytes).is_ok();
        let valid = case("bent", &leaf, &[&root]).crls(&[&bytes]).verdict(Profile::Basic).valid;
        assert!(
            !(read && valid && bytes != good),
            "round {round} of seed {seed}: a bent list clears the leaf"
        );
    }
}

#[test]
fn bytes_at_random() {
    let mut dice = Dice::new(seed());
    for _ in spell(10_000) {
        let tags = [0x30, 0x31, 0x02, 0x03, 0x04, 0x06, 0x17, 0xa0, 0xa3, 0x82, 0x01, 0x00, 0x80, 0xff];
        let bytes: Vec<u8> = (0..dice.index(120)).map(|_| tags[dice.index(tags.len())]).collect();
        assert!(Cert::parse(&bytes).is_err() && Crl::parse(&bytes).is_err(), "{bytes:02x?}");
    }
}
