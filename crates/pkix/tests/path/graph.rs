//! Finding a path among many, in bounded time.

use crate::case::*;
use crate::der::*;
use crate::pki::*;
use pkix::{Code, Profile};
use std::time::{Duration, Instant};

/// A certificate of `this` authority, signed by `by`.
fn cross(this: &Pair, by: &Pair) -> Pair {
    by.intermediate(|s| {
        s.key = this.key.clone();
        s.subject = this.subject.clone();
    })
}

fn called(name_of: &str) -> Pair {
    let name = name(name_of);
    root(|s| (s.subject, s.issuer) = (name.clone(), name))
}

#[test]
fn an_expired_cross_signature_does_not_matter() {
    let (one, two) = (called("CN=One"), called("CN=Two"));
    let old = two.intermediate(|s| {
        s.key = one.key.clone();
        s.subject = one.subject.clone();
        s.lasting("700101000000Z", "881125000000Z");
    });
    let leaf = one.leaf(|_| {});
    case("pathological::multiple-chains-expired-intermediate", &leaf, &[&one, &two])
        .via(&[&old])
        .valid(EVERY);
    let verdict = case("the other way is told", &leaf, &[&one, &two]).via(&[&old]).verdict(Profile::Both);
    assert_eq!(verdict.path, [leaf.der.clone(), one.der.clone()]);
    assert_eq!(verdict.others.len(), 1);
    assert_eq!(verdict.others[0].reason.as_ref().map(|r| r.code), Some(Code::Expired));
    case("and is the only one", &leaf, &[&two]).via(&[&old]).refused(EVERY, Code::Expired);
}

#[test]
fn circles() {
    let root = plain_root();
    let (a, b) = (called("CN=A"), called("CN=B"));
    let (a_by_b, b_by_a) = (cross(&a, &b), cross(&b, &a));
    let leaf = a.leaf(|_| {});
    case("pathological::intermediate-cycle-distinct-cas", &leaf, &[&root])
        .via(&[&a_by_b, &b_by_a])
        .refused(EVERY, Code::UnknownIssuer);
    case("pathological::intermediate-cycle-distinct-cas-max-depth", &leaf, &[&root])
        .via(&[&a_by_b, &b_by_a])
        .depth(255)
        .refused(EVERY, Code::UnknownIssuer);
    let (a, b) = (called("CN=Same"), called("CN=Same"));
    case("pathological::intermediate-cycle-same-logical-ca", &a.leaf(|_| {}), &[&root])
        .via(&[&cross(&a, &b), &cross(&b, &a)])
        .refused(EVERY, Code::UnknownIssuer);
}

#[test]
fn a_triangle_of_cross_signatures() {
    let (a, b, c) = (called("CN=Root A"), called("CN=Root B"), called("CN=Root C"));
    let a1 = a.intermediate(|_| {});
    let all = [cross(&a, &b), cross(&a, &c), cross(&b, &a), cross(&b, &c), cross(&c, &a), cross(&c, &b)];
    let leaf = a1.leaf(|s| {
        s.subject = name("");
        s.mark(SAN, true);
    });
    let via: Vec<&Pair> = std::iter::once(&a1).chain(&all).collect();
    case("cve::cve-2024-0567", &leaf, &[&a]).via(&via).valid(EVERY);
    case("the long way round", &leaf, &[&c]).via(&via).valid(EVERY);
}

#[test]
fn the_same_name_with_other_keys() {
    let (right, wrong) = (called("CN=Twin"), called("CN=Twin"));
    let leaf = right.leaf(|_| {});
    case("bettertls pathbuilding: two roots of one name", &leaf, &[&wrong, &right])
        .valid(EVERY)
        .agrees_with_openssl(true);
    case("only the wrong one", &leaf, &[&wrong]).refused(EVERY, Code::BadSignature).agrees_with_openssl(true);
    let unnamed = right.leaf(|s| {
        s.without(AKI);
    });
    case("without a hint", &unnamed, &[&wrong, &right]).valid(&[Profile::Basic]);
}

#[test]
fn a_name_constraint_on_one_of_two_ways() {
    let (root_a, root_b) = (called("CN=Root A"), called("CN=Root B"));
    let ica_a = root_a.intermediate(|s| {
        s.put(NC, true, nc(&[], &[dns("forbidden.example.com")])).put(SAN, false, vec![]);
    });
    let key = Key::new();
    let b = |by: &Pair, host: &str| {
        by.intermediate(|s| {
            s.key = key.clone();
            s.subject = name("CN=an-intermediate");
            s.put(SAN, false, san(&[dns(host)]));
        })
    };
    let (b1, b2) = (b(&ica_a, "forbidden.example.com"), b(&root_b, "other.example.com"));
    let leaf = b1.leaf(|_| {});
    case("rfc5280::nc::nc-forbids-same-chain-ica", &leaf, &[&root_a, &root_b])
        .via(&[&ica_a, &b1, &b2])
        .valid(EVERY);
    case("with the forbidden way alone", &leaf, &[&root_a])
        .via(&[&ica_a, &b1, &b2])
        .refused(EVERY, Code::NotPermitted);
    let (lost, allowed) = (b(&called("CN=Lost"), "forbidden.example.com"), b(&ica_a, "fine.example.com"));
    case("rfc5280::nc::nc-forbids-alternate-chain-ica", &leaf, &[&root_a])
        .via(&[&ica_a, &lost, &allowed])
        .valid(EVERY);
}

type Bend = fn(&mut Spec);

/// BetterTLS asks the same of every fault: the good way must be found wherever the bad one stands.
#[test]
fn a_fault_on_one_of_two_ways() {
    let root = plain_root();
    let key = Key::new();
    let same = |s: &mut Spec| {
        s.key = key.clone();
        s.subject = name("CN=Both Ways");
    };
    let good = root.intermediate(same);
    let leaf = good.leaf(|_| {});
    let bends: [(&'static str, Bend); 6] = [
        ("bettertls EXPIRED", |s| {
            s.lasting("700101000000Z", "880101000000Z");
        }),
        ("bettertls NOT_A_CA", |s| {
            s.put(BASIC, true, basic(false, None));
        }),
        ("bettertls MISSING_BASIC_CONSTRAINTS", |s| {
            s.without(BASIC);
        }),
        ("bettertls BAD_EKU", |s| {
            s.put(EKU, false, eku(&[CLIENT]));
        }),
        ("bettertls NAME_CONSTRAINTS", |s| {
            s.put(NC, true, nc(&[dns("example.org")], &[]));
        }),
        ("a broken signature", |s| s.break_signature = true),
    ];
    for (id, bend) in bends {
        let bad = root.intermediate(|s| {
            same(s);
            bend(s);
        });
        case(id, &leaf, &[&root]).via(&[&bad, &good]).valid(EVERY);
        case(id, &leaf, &[&root]).via(&[&good, &bad]).valid(EVERY);
        let refused = case(id, &leaf, &[&root]).via(&[&bad]);
        EVERY.iter().for_each(|p| assert!(!refused.verdict(*p).valid, "{id} in {p:?}"));
    }
}

#[test]
fn anchors_of_every_kind() {
    let root = plain_root();
    let own = crate::pki::root(|s| {
        s.subject = name("CN=example.com");
        s.issuer = name("CN=example.com");
        s.put(BASIC, true, basic(false, None)).put(USAGE, true, usage(&[0])).put(EKU, false, eku(&[SERVER]));
    });
    case("a self-signed leaf that is trusted", &own, &[&own]).valid(EVERY);
    case("a self-signed leaf that is not", &own, &[&root])
        .refused(EVERY, Code::UnknownIssuer)
        .agrees_with_openssl(true);
    case("trusted, for another name", &own, &[&own]).name("example.org").refused(EVERY, Code::NameMismatch);
    case("trusted, too late", &own, &[&own]).at(40_000_000_000).refused(EVERY, Code::Expired);
    let leaf = root.leaf(|_| {});
    case("a leaf that is trusted itself", &leaf, &[&leaf]).valid(EVERY).agrees_with_openssl(true);
    let ica = root.intermediate(|_| {});
    case("an intermediate as anchor", &ica.leaf(|_| {}), &[&ica]).valid(EVERY).agrees_with_openssl(true);
    case("the root among the intermediates", &ica.leaf(|_| {}), &[&root])
        .via(&[&root, &ica, &ica])
        .valid(EVERY);
}

/// Authorities of one name that all sign each other: no way out, and very many ways to go on.
#[test]
fn a_mesh_ends_soon() {
    let one_name = |id, names: &dyn Fn(usize) -> String| {
        let all: Vec<Pair> = (0..14).map(|n| called(&names(n))).collect();
        let signed: Vec<Pair> = (0..14)
            .flat_map(|a| (0..14).filter(move |b| *b != a).map(move |b| (a, b)))
            .map(|(a, b)| cross(&all[a], &all[b]))
            .collect();
        let via: Vec<&Pair> = signed.iter().collect();
        let leaf = all[0].leaf(|_| {});
        let root = plain_root();
        let began = Instant::now();
        let verdict = case(id, &leaf, &[&root]).via(&via).verdict(Profile::Both);
        assert!(!verdict.valid && began.elapsed() < Duration::from_secs(2), "{id}: {:?}", began.elapsed());
        let began = Instant::now();
        let top = cross(&all[13], &root);
        let with_top: Vec<&Pair> = via.iter().copied().chain([&top]).collect();
        let verdict = case(id, &leaf, &[&root]).via(&with_top).verdict(Profile::Both);
        assert!(began.elapsed() < Duration::from_secs(2), "{id}: {:?}", began.elapsed());
        assert!(verdict.valid, "{id}: {:?}", verdict.reasons);
    };
    one_name("a mesh of different names", &|n| format!("CN=Mesh {n}"));
}

#[test]
fn a_mesh_of_one_name_ends_soon() {
    let all: Vec<Pair> = (0..20).map(|_| called("CN=Mesh")).collect();
    let signed: Vec<Pair> = (0..20)
        .flat_map(|a| (0..20).filter(move |b| *b != a).map(move |b| (a, b)))
        .map(|(a, b)| cross(&all[a], &all[b]))
        .collect();
    let via: Vec<&Pair> = signed.iter().collect();
    let began = Instant::now();
    let false_root = called("CN=Mesh");
    let verdict = case("a mesh", &all[0].leaf(|_| {}), &[&false_root]).via(&via).verdict(Profile::Both);
    assert!(!verdict.valid && began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
}

#[test]
fn a_hundred_in_a_row() {
    let root = plain_root();
    let mut all = vec![root.clone()];
    for _ in 0..100 {
        let next = all[all.len() - 1].intermediate(|_| {});
        all.push(next);
    }
    let via: Vec<&Pair> = all[1..].iter().collect();
    let leaf = all[100].leaf(|_| {});
    let began = Instant::now();
    case("a chain of 100", &leaf, &[&root]).via(&via).refused(EVERY, Code::UnknownIssuer);
    assert!(began.elapsed() < Duration::from_secs(4), "{:?} for four profiles", began.elapsed());
    let leaf = all[10].leaf(|_| {});
    case("a chain of 10", &leaf, &[&root]).via(&via).valid(EVERY);
}
