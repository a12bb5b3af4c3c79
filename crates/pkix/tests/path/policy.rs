//! Certificate policies.

use crate::case::*;
use crate::der::*;
use crate::pki::*;
use pkix::Code;

const ONE: &str = "2.16.840.1.101.3.2.1.48.1";
const TWO: &str = "2.16.840.1.101.3.2.1.48.2";
const ANY: &str = "2.5.29.32.0";

fn explicit(after: u32) -> Vec<u8> {
    seq(&[tlv(0x80, &[after as u8])])
}

fn no_mapping(after: u32) -> Vec<u8> {
    seq(&[tlv(0x81, &[after as u8])])
}

fn mapping(from: &str, to: &str) -> Vec<u8> {
    seq(&[seq(&[oid(from), oid(to)])])
}

/// Root, two authorities bent as given, and a leaf with these policies.
fn path(
    id: &'static str,
    upper: impl FnOnce(&mut Spec),
    lower: impl FnOnce(&mut Spec),
    leaf: &[&str],
) -> Case {
    let root = plain_root();
    let one = root.intermediate(upper);
    let two = one.intermediate(lower);
    let value = if leaf.is_empty() { vec![] } else { policies(leaf) };
    let leaf = two.leaf(|s| {
        s.put(POLICIES, false, value);
    });
    case(id, &leaf, &[&root]).via(&[&one, &two])
}

fn states(all: &[&str]) -> Vec<u8> {
    policies(all)
}

#[test]
fn none_is_needed_unless_asked_for() {
    path(
        "PKITS 4.8.1 one policy",
        |s| {
            s.put(POLICIES, false, states(&[ONE]));
        },
        |_| {},
        &[ONE],
    )
    .valid(EVERY);
    path("no policy anywhere", |_| {}, |_| {}, &[]).valid(EVERY).agrees_with_openssl(true);
    path(
        "different ones",
        |s| {
            s.put(POLICIES, false, states(&[ONE]));
        },
        |_| {},
        &[TWO],
    )
    .valid(EVERY);
}

#[test]
fn an_explicit_policy() {
    let asks = |s: &mut Spec| {
        s.put(POLICIES, false, states(&[ONE])).put(LIMITS, true, explicit(0));
    };
    let one = |s: &mut Spec| {
        s.put(POLICIES, false, states(&[ONE]));
    };
    path("PKITS 4.9.2 kept", asks, one, &[ONE]).valid(EVERY).agrees_with_openssl(true);
    path("the leaf has none", asks, one, &[]).refused(EVERY, Code::Policy).agrees_with_openssl(true);
    path("the leaf has another", asks, one, &[TWO]).refused(EVERY, Code::Policy).agrees_with_openssl(true);
    path("an issuer has none", asks, |_| {}, &[ONE]).refused(EVERY, Code::Policy).agrees_with_openssl(true);
    let any = |s: &mut Spec| {
        s.put(POLICIES, false, states(&[ANY]));
    };
    path("any policy between", asks, any, &[ONE]).valid(EVERY).agrees_with_openssl(true);
    path("any policy, another leaf", asks, any, &[TWO])
        .refused(EVERY, Code::Policy)
        .agrees_with_openssl(true);
    let late = |s: &mut Spec| {
        s.put(LIMITS, true, explicit(3));
    };
    path("PKITS 4.9.1 asked for below the leaf", late, |_| {}, &[]).valid(EVERY).agrees_with_openssl(true);
    let soon = |s: &mut Spec| {
        s.put(LIMITS, true, explicit(2));
    };
    path("PKITS 4.9.3 asked for at the leaf", soon, |_| {}, &[])
        .refused(EVERY, Code::Policy)
        .agrees_with_openssl(true);
}

#[test]
fn the_leaf_may_ask_itself() {
    let root = plain_root();
    let leaf = root.leaf(|s| {
        s.put(LIMITS, true, explicit(0));
    });
    case("at the leaf", &leaf, &[&root]).refused(EVERY, Code::Policy).agrees_with_openssl(true);
    let leaf = root.leaf(|s| {
        s.put(LIMITS, true, explicit(0)).put(POLICIES, false, states(&[ONE]));
    });
    case("at the leaf, with a policy", &leaf, &[&root]).valid(EVERY).agrees_with_openssl(true);
}

#[test]
fn mappings() {
    let maps = |limit: bool| {
        move |s: &mut Spec| {
            s.put(POLICIES, false, states(&[ONE])).put(LIMITS, true, explicit(0));
            if limit {
                s.put(LIMITS, true, seq(&[tlv(0x80, &[0]), tlv(0x81, &[0])]));
            }
        }
    };
    let lower = |s: &mut Spec| {
        s.put(POLICIES, false, states(&[ONE])).put(MAPPINGS, true, mapping(ONE, TWO));
    };
    path("PKITS 4.10.1 mapped", maps(false), lower, &[TWO]).valid(EVERY).agrees_with_openssl(true);
    path("PKITS 4.10.1 not by its old name", maps(false), lower, &[ONE])
        .refused(EVERY, Code::Policy)
        .agrees_with_openssl(true);
    path("PKITS 4.11.1 mapping inhibited", maps(true), lower, &[TWO])
        .refused(EVERY, Code::Policy)
        .agrees_with_openssl(true);
    for (from, to) in [(ANY, ONE), (ONE, ANY)] {
        let any = |s: &mut Spec| {
            s.put(POLICIES, false, states(&[ONE])).put(MAPPINGS, true, mapping(from, to));
        };
        path("PKITS 4.10.7 mapping any policy", |_| {}, any, &[]).refused(EVERY, Code::Policy);
    }
    let only = |s: &mut Spec| {
        s.put(LIMITS, true, no_mapping(0));
    };
    path("mapping inhibited, nothing asked", only, lower, &[TWO]).valid(EVERY);
}

#[test]
fn any_policy_can_be_inhibited() {
    let asks = |after: u32| {
        move |s: &mut Spec| {
            s.put(POLICIES, false, states(&[ONE])).put(LIMITS, true, explicit(0)).put(
                INHIBIT_ANY,
                true,
                int(after),
            );
        }
    };
    let any = |s: &mut Spec| {
        s.put(POLICIES, false, states(&[ANY]));
    };
    path("PKITS 4.12.1 at once", asks(0), any, &[ONE]).refused(EVERY, Code::Policy).agrees_with_openssl(true);
    path("PKITS 4.12.2 one later", asks(1), any, &[ONE]).valid(EVERY).agrees_with_openssl(true);
    path("PKITS 4.12.3 one later, the leaf", asks(1), any, &[ANY])
        .refused(EVERY, Code::Policy)
        .agrees_with_openssl(true);
}

#[test]
fn their_form() {
    let loose = |s: &mut Spec| {
        s.put(LIMITS, false, explicit(3));
    };
    path("rfc5280::pc::ica-noncritical-pc", loose, |_| {}, &[]).refused(STRICT, Code::Policy);
    let loose = |s: &mut Spec| {
        s.put(INHIBIT_ANY, false, int(3));
    };
    path("inhibitAnyPolicy that is not critical", loose, |_| {}, &[]).refused(STRICT, Code::Policy);
    let empty = |s: &mut Spec| {
        s.put(LIMITS, true, seq(&[]));
    };
    path("constraints without any", empty, |_| {}, &[]).refused(EVERY, Code::UnknownIssuer);
    let root = plain_root();
    let twice = root.leaf(|s| {
        s.put(POLICIES, false, states(&[ONE, ONE]));
    });
    case("a policy twice", &twice, &[&root]).refused(EVERY, Code::Malformed);
}
