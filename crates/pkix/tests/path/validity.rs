//! Times: both ends belong, to the second; the forms of time.

use crate::case::*;
use crate::pki::*;
use pkix::{Code, Profile};

const MARCH: i64 = 1_709_251_200;
const APRIL: i64 = 1_711_929_600;

#[test]
fn both_ends_belong() {
    let spring = |s: &mut Spec| {
        s.lasting("240301000000Z", "240401000000Z");
    };
    let root = root(spring);
    let ica = root.intermediate(spring);
    let leaf = ica.leaf(spring);
    let ask = || case("rfc5280::validity", &leaf, &[&root]).via(&[&ica]);
    ask().at(MARCH).valid(EVERY).agrees_with_openssl(true);
    // openssl ends a certificate one second early.
    ask().at(APRIL).valid(EVERY);
    ask().at(MARCH - 1).refused(EVERY, Code::NotYetValid).agrees_with_openssl(true);
    ask().at(APRIL + 1).refused(EVERY, Code::Expired).agrees_with_openssl(true);
}

#[test]
fn every_member_must_be_in_time() {
    let long = |s: &mut Spec| {
        s.lasting("160101000000Z", "260101000000Z");
    };
    let short = |s: &mut Spec| {
        s.lasting("160101000000Z", "200101000000Z");
    };
    let (good_root, old_root) = (root(long), root(short));
    let old = good_root.intermediate(short);
    case("rfc5280::validity::expired-intermediate", &old.leaf(long), &[&good_root])
        .via(&[&old])
        .refused(EVERY, Code::Expired)
        .agrees_with_openssl(true);
    let ica = old_root.intermediate(long);
    case("rfc5280::validity::expired-root", &ica.leaf(long), &[&old_root])
        .via(&[&ica])
        .refused(EVERY, Code::Expired)
        .agrees_with_openssl(true);
    case("rfc5280::validity::expired-leaf", &good_root.leaf(short), &[&good_root])
        .refused(EVERY, Code::Expired)
        .agrees_with_openssl(true);
}

#[test]
fn forms_of_time() {
    let root = plain_root();
    let early = root.leaf(|s| {
        s.lasting("20200101000000Z", "20300101000000Z");
    });
    case("a GeneralizedTime before 2050", &early, &[&root])
        .refused(STRICT, Code::Validity)
        .valid(&[Profile::Basic]);
    let odd = |end: &'static str| {
        root.leaf(move |s| {
            s.lasting("200101000000Z", end);
        })
    };
    for end in ["20500101000000.5Z", "205001010000Z", "20501301000000Z"] {
        case("a malformed time", &odd(end), &[&root]).refused(EVERY, Code::Malformed);
    }
    let never = root.leaf(|s| {
        s.lasting("500101000000Z", "99991231235959Z");
    });
    case("from 1950 to never", &never, &[&root]).valid(EVERY).agrees_with_openssl(true);
}
