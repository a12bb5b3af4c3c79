//! What a certificate must be in itself: version, serial number, names, extensions.

use crate::case::*;
use crate::der::*;
use crate::pki::*;
use pkix::{Code, Profile};

#[test]
fn the_plain_chain_is_valid() {
    let root = plain_root();
    case("webpki::san::exact-dns-san", &root.leaf(|_| {}), &[&root]).valid(EVERY).agrees_with_openssl(true);
    let ica = root.intermediate(|_| {});
    let leaf = ica.leaf(|_| {});
    case("through an intermediate", &leaf, &[&root]).via(&[&ica]).valid(EVERY).agrees_with_openssl(true);
    case("rfc5280::root-and-intermediate-swapped", &leaf, &[&ica])
        .via(&[&root])
        .valid(EVERY)
        .agrees_with_openssl(true);
    case("webpki::cryptographydotio-chain-missing-intermediate", &leaf, &[&root])
        .refused(EVERY, Code::UnknownIssuer)
        .agrees_with_openssl(true);
    let stranger = crate::pki::root(|s| s.subject = name("CN=unrelated"));
    case("rfc5280::chain-untrusted-root", &leaf, &[&stranger])
        .via(&[&root, &ica])
        .refused(EVERY, Code::UnknownIssuer)
        .agrees_with_openssl(true);
    case("no root at all", &leaf, &[]).via(&[&root, &ica]).refused(EVERY, Code::UnknownIssuer);
}

#[test]
fn versions() {
    let root = plain_root();
    let v1 = root.leaf(|s| {
        s.version = vec![];
        s.extensions.clear();
    });
    case("webpki::v1-cert", &v1, &[&root]).names(&[]).refused(STRICT, Code::Version).valid(&[Profile::Basic]);
    let spelled = root.leaf(|s| {
        s.version = tlv(0xa0, &int(0));
        s.extensions.clear();
    });
    case("version 1 spelled out", &spelled, &[&root])
        .names(&[])
        .refused(STRICT, Code::Version)
        .valid(&[Profile::Basic])
        .agrees_with_openssl(false);
    let spelled = root.leaf(|s| s.version = tlv(0xa0, &int(0)));
    case("version 1 with extensions", &spelled, &[&root]).refused(EVERY, Code::Malformed);
    let v2 = root.leaf(|s| s.version = tlv(0xa0, &int(1)));
    case("version 2 with extensions", &v2, &[&root]).refused(EVERY, Code::Malformed);
    let v4 = root.leaf(|s| s.version = tlv(0xa0, &int(3)));
    case("version 4", &v4, &[&root]).refused(EVERY, Code::Malformed);
    let old = |s: &mut Spec| {
        s.version = vec![];
        s.extensions =
            [BASIC, USAGE, SAN, SKI, AKI].iter().map(|id| (id.to_string(), false, vec![])).collect();
    };
    let old_ca = root.intermediate(old);
    case("a version 1 authority", &old_ca.leaf(|_| {}), &[&root])
        .via(&[&old_ca])
        .refused(EVERY, Code::Version);
    let old_root = crate::pki::root(old);
    case("a version 1 anchor", &old_root.leaf(|_| {}), &[&old_root])
        .refused(STRICT, Code::Version)
        .valid(&[Profile::Basic]);
}

#[test]
fn serial_numbers() {
    let root = plain_root();
    let with = |bytes: &[u8]| {
        let serial = tlv(2, bytes);
        root.leaf(move |s| s.serial = serial)
    };
    let bad = |id, bytes: &[u8]| {
        case(id, &with(bytes), &[&root]).refused(STRICT, Code::Serial).valid(&[Profile::Basic]);
    };
    bad("rfc5280::serial::zero", &[0]);
    bad("rfc5280::serial::negative", &[0x80]);
    bad("rfc5280::serial::too-long", &[0x11; 22]);
    bad("of 21 octets", &[0x11; 21]);
    case("of 20 octets", &with(&[0x7f; 20]), &[&root]).valid(EVERY);
    case("of 20 octets and a sign", &with(&[&[0], [0xff; 20].as_slice()].concat()), &[&root]).valid(EVERY);
    case("not minimal", &with(&[0, 1]), &[&root]).refused(EVERY, Code::Malformed);
    case("empty", &with(&[]), &[&root]).refused(EVERY, Code::Malformed);
}

/// An anchor is a name and a key: eight roots in stores have the number 0.
#[test]
fn the_serial_number_of_an_anchor() {
    for bytes in [&[0][..], &[0x80], &[0x11; 21]] {
        let serial = tlv(2, bytes);
        let root = crate::pki::root(|s| s.serial = serial.clone());
        let ica = root.intermediate(|_| {});
        case("an anchor's", &root.leaf(|_| {}), &[&root]).valid(EVERY).agrees_with_openssl(true);
        case("an anchor as the leaf", &root, &[&root]).names(&[]).valid(&[Profile::Rfc5280, Profile::Basic]);
        case("a root's above", &ica.leaf(|_| {}), &[&root]).via(&[&ica]).valid(EVERY);
        let ica = root.intermediate(|s| s.serial = serial);
        case("an intermediate's", &ica.leaf(|_| {}), &[&root]).via(&[&ica]).refused(STRICT, Code::Serial);
    }
}

/// DER leaves defaults out; authorities write them, and every validator takes them.
#[test]
fn defaults_that_are_spelled_out() {
    let no_ca = || seq(&[boolean(false)]);
    let root = plain_root();
    let with = |id: &'static str, critical, value: Vec<u8>| {
        root.leaf(move |s| {
            s.put(id, critical, value);
        })
    };
    let ask = |id, leaf: &Pair| case(id, leaf, &[&root]).valid(EVERY).agrees_with_openssl(true);
    ask("cA FALSE", &with(BASIC, false, no_ca()));
    ask("cA FALSE, critical", &with(BASIC, true, no_ca()));
    for id in [SAN, USAGE, EKU, AKI, SKI] {
        ask("critical FALSE", &root.leaf(|s| s.spelled.push(id)));
    }
    let ica = root.intermediate(|s| s.spelled.extend([USAGE, AKI, SKI]));
    case("critical FALSE in an authority", &ica.leaf(|_| {}), &[&root])
        .via(&[&ica])
        .valid(EVERY)
        .agrees_with_openssl(true);
    let odd = with(BASIC, false, seq(&[tlv(1, &[1])]));
    case("neither true nor false", &odd, &[&root]).refused(EVERY, Code::Malformed);
}

/// Self-signed is what its own key signed, whatever the names say.
#[test]
fn self_signed_by_signature() {
    let top = plain_root();
    // Another issuer's name over its own signature, and no authority key identifier: a root all the same.
    let renamed = crate::pki::root(|s| s.issuer = name("CN=somebody-else"));
    case("cve::cve-2024-0567's root", &renamed.leaf(|_| {}), &[&renamed])
        .valid(EVERY)
        .agrees_with_openssl(false);
    // Its own name over another key's signature: no root, so the identifier is due.
    let rolled = |aki: bool| {
        top.intermediate(move |s| {
            s.subject = s.issuer.clone();
            if !aki {
                s.without(AKI);
            }
        })
    };
    let (with, without) = (rolled(true), rolled(false));
    case("a new key under the old name", &with.leaf(|_| {}), &[&top]).via(&[&with]).valid(EVERY);
    case("the same without identifier", &without.leaf(|_| {}), &[&top])
        .via(&[&without])
        .refused(STRICT, Code::KeyIdentifier);
    case("as anchor", &with.leaf(|_| {}), &[&with]).valid(EVERY);
}

#[test]
fn subjects_and_issuers() {
    let root = plain_root();
    let nobody = root.leaf(|s| s.issuer = name(""));
    case("rfc5280::ee-empty-issuer", &nobody, &[&root]).refused(STRICT, Code::Issuer);
    let blank = crate::pki::root(|s| (s.subject, s.issuer) = (name(""), name("")));
    case("rfc5280::ca-empty-subject", &blank.leaf(|_| {}), &[&blank]).refused(STRICT, Code::Issuer);
    let blank = root.intermediate(|s| {
        s.subject = name("");
        s.mark(SAN, true);
    });
    case("an intermediate without subject", &blank.leaf(|s| s.issuer = name("")), &[&root])
        .via(&[&blank])
        .refused(STRICT, Code::Subject);
    let bare = |critical| {
        root.leaf(move |s| {
            s.subject = name("");
            s.mark(SAN, critical);
        })
    };
    case("rfc5280::san::noncritical-with-empty-subject", &bare(false), &[&root])
        .refused(STRICT, Code::AltName);
    case("critical with an empty subject", &bare(true), &[&root]).valid(EVERY).agrees_with_openssl(true);
}

#[test]
fn names_are_compared_as_rfc_5280_says() {
    let root = crate::pki::root(|s| {
        let both = seq(&[
            set(&[seq(&[oid("2.5.4.10"), tlv(0x13, b"Some  Company")])]),
            set(&[seq(&[oid("2.5.4.3"), tlv(0x13, b"Root")])]),
        ]);
        (s.subject, s.issuer) = (both.clone(), both);
    });
    let leaf = root.leaf(|s| s.issuer = name("O=some company ,CN=ROOT"));
    case("PKITS 4.3.3 case and blanks", &leaf, &[&root]).valid(EVERY);
    let order = root.leaf(|s| s.issuer = name("CN=Root,O=Some Company"));
    case("PKITS 4.3.2 order", &order, &[&root]).refused(EVERY, Code::UnknownIssuer).agrees_with_openssl(true);
}

#[test]
fn unknown_and_double_extensions() {
    let odd = |s: &mut Spec| {
        s.put(PRIVATE, true, vec![4, 0]);
    };
    let root = plain_root();
    case("rfc5280::unknown-critical-extension-ee", &root.leaf(odd), &[&root])
        .refused(EVERY, Code::UnknownCritical)
        .agrees_with_openssl(true);
    let ica = root.intermediate(odd);
    case("rfc5280::unknown-critical-extension-intermediate", &ica.leaf(|_| {}), &[&root])
        .via(&[&ica])
        .refused(EVERY, Code::UnknownCritical)
        .agrees_with_openssl(true);
    let bad_root = crate::pki::root(odd);
    case("rfc5280::unknown-critical-extension-root", &bad_root.leaf(|_| {}), &[&bad_root])
        .refused(EVERY, Code::UnknownCritical);
    let harmless = root.leaf(|s| {
        s.put(PRIVATE, false, vec![4, 0]);
    });
    case("unknown and not critical", &harmless, &[&root]).valid(EVERY).agrees_with_openssl(true);
    let twice = root.leaf(|s| s.extensions.push((SAN.into(), false, san(&[dns("example.com")]))));
    case("rfc5280::duplicate-extensions", &twice, &[&root]).refused(EVERY, Code::DuplicateExtension);
    let poison = root.leaf(|s| {
        s.put("1.3.6.1.4.1.11129.2.4.3", true, null());
    });
    case("a precertificate", &poison, &[&root])
        .refused(EVERY, Code::UnknownCritical)
        .agrees_with_openssl(true);
}

#[test]
fn key_identifiers() {
    let code = Code::KeyIdentifier;
    let root = plain_root();
    case("rfc5280::aki::self-signed-root-missing-aki", &root.leaf(|_| {}), &[&root])
        .valid(EVERY)
        .agrees_with_openssl(true);
    case(
        "rfc5280::aki::leaf-missing-aki",
        &root.leaf(|s| {
            s.without(AKI);
        }),
        &[&root],
    )
    .refused(STRICT, code)
    .valid(&[Profile::Basic]);
    let ica = root.intermediate(|s| {
        s.without(AKI);
    });
    case("rfc5280::aki::intermediate-missing-aki", &ica.leaf(|_| {}), &[&root])
        .via(&[&ica])
        .refused(STRICT, code);
    case("rfc5280::aki::cross-signed-root-missing-aki", &ica.leaf(|_| {}), &[&ica]).refused(STRICT, code);
    let ica = root.intermediate(|s| {
        s.put(SKI, false, vec![]);
    });
    case("rfc5280::ski::intermediate-missing-ski", &ica.leaf(|_| {}), &[&root])
        .via(&[&ica])
        .refused(STRICT, code);
    let critical = |id: &'static str| {
        crate::pki::root(move |s| {
            let value = if id == SKI { ski(&s.key) } else { aki(&s.key) };
            s.put(id, true, value);
        })
    };
    for (id, ext) in [("rfc5280::aki::critical-aki", AKI), ("rfc5280::ski::critical-ski", SKI)] {
        let root = critical(ext);
        case(id, &root.leaf(|_| {}), &[&root]).refused(STRICT, code);
    }
    let bare = crate::pki::root(|s| {
        s.put(SKI, false, vec![]);
    });
    case("rfc5280::ski::root-missing-ski", &bare.leaf(|_| {}), &[&bare]).refused(STRICT, code);
}

#[test]
fn information_access() {
    let place = |how: Vec<u8>| seq(&[seq(&[oid("1.3.6.1.5.5.7.48.2"), how])]);
    let root = plain_root();
    let with = |critical, value: Vec<u8>| {
        root.leaf(move |s| {
            s.put(AIA, critical, value);
        })
    };
    let good = || place(dns("example.com"));
    case("rfc5280::ee-aia", &with(false, good()), &[&root]).valid(EVERY);
    case("rfc5280::ee-critical-aia-invalid", &with(true, good()), &[&root])
        .refused(STRICT, Code::InformationAccess);
    for value in [b"malformed".to_vec(), seq(&[])] {
        case("webpki::malformed-aia", &with(false, value), &[&root])
            .refused(STRICT, Code::InformationAccess)
            .valid(&[Profile::Basic]);
    }
}

#[test]
fn bytes_that_are_no_certificate() {
    let root = plain_root();
    let good = root.leaf(|_| {});
    let bent = |bend: &dyn Fn(&mut Vec<u8>)| {
        let mut leaf = good.clone();
        bend(&mut leaf.der);
        leaf
    };
    case("a byte too much", &bent(&|d| d.push(0)), &[&root]).refused(EVERY, Code::Malformed);
    case(
        "a byte too few",
        &bent(&|d| {
            d.pop();
        }),
        &[&root],
    )
    .refused(EVERY, Code::Malformed);
    case("an indefinite length", &bent(&|d| d[1] = 0x80), &[&root]).refused(EVERY, Code::Malformed);
    case("nothing", &bent(&Vec::clear), &[&root]).refused(EVERY, Code::Malformed);
    let empty = root.leaf(|s| {
        s.put(SAN, false, seq(&[]));
    });
    case("no alternative name in the list", &empty, &[&root]).refused(EVERY, Code::Malformed);
    let text = root.leaf(|s| {
        s.put(SAN, false, b"example.com".to_vec());
    });
    case("rfc5280::san::malformed", &text, &[&root]).refused(EVERY, Code::Malformed);
}
