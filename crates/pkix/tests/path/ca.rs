//! What makes an authority: basic constraints, key usage, the length of paths.

use crate::case::*;
use crate::der::*;
use crate::pki::*;
use pkix::{Code, Profile};

fn through(id: &'static str, bend: impl FnOnce(&mut Spec)) -> Case {
    let root = plain_root();
    let ica = root.intermediate(bend);
    case(id, &ica.leaf(|_| {}), &[&root]).via(&[&ica])
}

fn below(id: &'static str, bend: impl FnOnce(&mut Spec)) -> Case {
    let root = root(bend);
    case(id, &root.leaf(|_| {}), &[&root])
}

#[test]
fn only_authorities_issue() {
    through("rfc5280::intermediate-ca-without-ca-bit", |s| {
        s.put(BASIC, true, basic(false, None));
    })
    .refused(EVERY, Code::NotCa)
    .agrees_with_openssl(true);
    through("rfc5280::intermediate-ca-missing-basic-constraints", |s| {
        s.without(BASIC);
    })
    .refused(EVERY, Code::NotCa)
    .agrees_with_openssl(true);
    below("rfc5280::root-missing-basic-constraints", |s| {
        s.without(BASIC);
    })
    .refused(STRICT, Code::NotCa)
    .valid(&[Profile::Basic]);
    below("rfc5280::root-non-critical-basic-constraints", |s| {
        s.mark(BASIC, false);
    })
    .refused(STRICT, Code::BasicConstraints)
    .valid(&[Profile::Basic])
    .agrees_with_openssl(true);
    through("a leaf as issuer", |s| {
        s.without(BASIC).put(USAGE, true, usage(&[0]));
    })
    .refused(EVERY, Code::NotCa)
    .agrees_with_openssl(true);
    through("a default spelled out", |s| {
        s.put(BASIC, true, seq(&[boolean(false)]));
    })
    .refused(EVERY, Code::NotCa)
    .agrees_with_openssl(true);
}

#[test]
fn key_usage_of_authorities() {
    below("rfc5280::root-inconsistent-ca-extensions", |s| {
        s.put(USAGE, false, usage(&[]));
    })
    .refused(EVERY, Code::KeyUsage);
    through("rfc5280::ica-ku-keycertsign", |s| {
        s.put(BASIC, true, basic(true, Some(0))).put(USAGE, false, usage(&[0]));
    })
    .refused(EVERY, Code::KeyUsage)
    .agrees_with_openssl(true);
    through("PKITS 4.7.1 critical, without keyCertSign", |s| {
        s.put(USAGE, true, usage(&[6]));
    })
    .refused(EVERY, Code::KeyUsage)
    .agrees_with_openssl(true);
    through("without any key usage", |s| {
        s.without(USAGE);
    })
    .valid(EVERY);
}

#[test]
fn leaves() {
    let root = plain_root();
    let signs = root.leaf(|s| {
        s.put(BASIC, true, basic(false, None)).put(USAGE, false, usage(&[0, 5]));
    });
    case("rfc5280::leaf-ku-keycertsign", &signs, &[&root])
        .refused(STRICT, Code::KeyUsage)
        .agrees_with_openssl(true);
    case(
        "rfc5280::no-keyusage",
        &root.leaf(|s| {
            s.without(USAGE);
        }),
        &[&root],
    )
    .valid(EVERY)
    .agrees_with_openssl(true);
    case("rfc5280::no-basicconstraints", &root.leaf(|_| {}), &[&root]).valid(EVERY);
    let empty = root.leaf(|s| {
        s.put(BASIC, false, basic(false, None));
    });
    case("basic constraints that say nothing", &empty, &[&root]).valid(EVERY).agrees_with_openssl(true);
    let long = root.leaf(|s| {
        s.put(BASIC, false, basic(false, Some(0)));
    });
    case("a path length for a leaf", &long, &[&root]).refused(STRICT, Code::BasicConstraints);
    let ca = root.leaf(|s| {
        s.put(BASIC, true, basic(true, None));
    });
    case("webpki::ee-basicconstraints-ca", &ca, &[&root]).refused(WEB, Code::CaAsLeaf);
    let none = root.leaf(|s| {
        s.put(USAGE, true, usage(&[]));
    });
    case("webpki::ku::ee-rsa-without-any-usages", &none, &[&root]).refused(STRICT, Code::KeyUsage);
}

#[test]
fn an_authority_as_leaf() {
    let root = plain_root();
    let ca = root.intermediate(|s| {
        s.put(SAN, false, san(&[dns("ca.example.com")]));
    });
    case("rfc5280::ca-as-leaf", &ca, &[&root])
        .name("ca.example.com")
        .valid(&[Profile::Both, Profile::Rfc5280, Profile::Basic])
        .refused(&[Profile::Webpki], Code::CaAsLeaf);
    case("rfc5280::ca-as-leaf-wrong-san", &ca, &[&root])
        .name("some-other-ca.example.com")
        .refused(EVERY, Code::NameMismatch);
}

/// A chain of authorities with these path lengths, the topmost below the root first, and a leaf.
fn chain(lengths: &[Option<u32>]) -> (Pair, Vec<Pair>, Pair) {
    let root = plain_root();
    let mut all = vec![root.clone()];
    for length in lengths {
        let next = all[all.len() - 1].intermediate(|s| {
            s.put(BASIC, true, basic(true, *length));
        });
        all.push(next);
    }
    let leaf = all[all.len() - 1].leaf(|_| {});
    (root, all[1..].to_vec(), leaf)
}

fn with_lengths(id: &'static str, lengths: &[Option<u32>]) -> Case {
    let (root, all, leaf) = chain(lengths);
    case(id, &leaf, &[&root]).via(&all.iter().collect::<Vec<_>>())
}

#[test]
fn path_lengths() {
    for (id, n) in [
        ("pathlen::ee-with-intermediate-pathlen-0", 0),
        ("pathlen::ee-with-intermediate-pathlen-1", 1),
        ("pathlen::ee-with-intermediate-pathlen-2", 2),
    ] {
        with_lengths(id, &[Some(n)]).valid(EVERY).agrees_with_openssl(true);
    }
    with_lengths("pathlen::intermediate-violates-pathlen-0", &[Some(0), Some(0)])
        .refused(EVERY, Code::PathLength)
        .agrees_with_openssl(true);
    with_lengths("pathlen::intermediate-pathlen-may-increase", &[Some(1), Some(2)])
        .valid(EVERY)
        .agrees_with_openssl(true);
    with_lengths("pathlen::intermediate-pathlen-too-long", &[Some(1), Some(0), Some(0)])
        .refused(EVERY, Code::PathLength)
        .agrees_with_openssl(true);
    let (root, all, _) = chain(&[Some(0), Some(0)]);
    case("pathlen::validation-ignores-pathlen-in-leaf", &all[1], &[&root])
        .via(&[&all[0]])
        .valid(&[Profile::Both, Profile::Rfc5280, Profile::Basic])
        .refused(&[Profile::Webpki], Code::CaAsLeaf);
    let short = crate::pki::root(|s| {
        s.put(BASIC, true, basic(true, Some(0)));
    });
    case("an anchor's length, kept", &short.leaf(|_| {}), &[&short]).valid(EVERY);
    let ica = short.intermediate(|_| {});
    case("an anchor's length, broken", &ica.leaf(|_| {}), &[&short])
        .via(&[&ica])
        .refused(EVERY, Code::PathLength);
}

#[test]
fn self_issued_certificates_do_not_count() {
    let root = plain_root();
    let first = root.intermediate(|s| {
        s.put(BASIC, true, basic(true, Some(1)));
    });
    let second = first.intermediate(|s| {
        s.put(BASIC, true, basic(true, Some(1)));
        s.subject = first.subject.clone();
    });
    let third = second.intermediate(|s| {
        s.put(BASIC, true, basic(true, Some(0)));
    });
    case("pathlen::self-issued-certs-pathlen", &third.leaf(|_| {}), &[&root])
        .via(&[&first, &second, &third])
        .valid(EVERY)
        .agrees_with_openssl(true);
}

#[test]
fn depth_can_be_bounded() {
    let (root, all, leaf) = chain(&[None, None]);
    let ask = || case("max-chain-depth", &leaf, &[&root]).via(&all.iter().collect::<Vec<_>>());
    ask().depth(2).valid(EVERY);
    ask().depth(1).refused(EVERY, Code::UnknownIssuer);
    let old = root.intermediate(|_| {});
    let new = old.intermediate(|s| s.subject = s.issuer.clone());
    case("pathlen::max-chain-depth-1-self-issued", &new.leaf(|_| {}), &[&root])
        .via(&[&old, &new])
        .depth(1)
        .valid(EVERY)
        .depth(0)
        .refused(EVERY, Code::UnknownIssuer);
    case("depth 0", &root.leaf(|_| {}), &[&root]).depth(0).valid(EVERY);
}
