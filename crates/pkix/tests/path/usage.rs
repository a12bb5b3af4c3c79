//! Extended key usage, of leaves and of issuers.

use crate::case::*;
use crate::der::*;
use crate::pki::*;
use pkix::{Code, Profile, Purpose};

fn leaf_with(id: &'static str, uses: &[&str]) -> Case {
    let root = plain_root();
    let value = eku(uses);
    case(
        id,
        &root.leaf(move |s| {
            s.put(EKU, false, value);
        }),
        &[&root],
    )
}

const RFC: &[Profile] = &[Profile::Rfc5280, Profile::Basic];

#[test]
fn servers() {
    leaf_with("rfc5280::eku::ee-wrong-eku", &[CLIENT])
        .refused(EVERY, Code::NotForPurpose)
        .agrees_with_openssl(true);
    leaf_with("webpki::eku::ee-serverauth-with-additional", &[SERVER, CLIENT])
        .valid(EVERY)
        .agrees_with_openssl(true);
    leaf_with("anyExtendedKeyUsage alone", &[ANY_EKU]).valid(RFC).refused(WEB, Code::ExtendedKeyUsage);
    leaf_with("webpki::eku::ee-precertificate-only", &["1.3.6.1.4.1.11129.2.4.4"])
        .refused(EVERY, Code::NotForPurpose);
    for (id, other) in [
        ("webpki::eku::ee-anyeku", ANY_EKU),
        ("webpki::eku::ee-precertificate-with-serverauth", "1.3.6.1.4.1.11129.2.4.4"),
        ("webpki::eku::ee-codesigning-with-serverauth", CODE),
        ("webpki::eku::ee-emailprotection-with-serverauth", EMAIL),
        ("webpki::eku::ee-timestamping-with-serverauth", STAMP),
        ("webpki::eku::ee-ocspsigning-with-serverauth", OCSP),
    ] {
        leaf_with(id, &[SERVER, other]).valid(RFC).refused(WEB, Code::ExtendedKeyUsage);
    }
    let root = plain_root();
    let critical = root.leaf(|s| {
        s.mark(EKU, true);
    });
    case("webpki::eku::ee-critical-eku", &critical, &[&root]).valid(RFC).refused(WEB, Code::ExtendedKeyUsage);
    case(
        "rfc5280::eku::ee-without-eku",
        &root.leaf(|s| {
            s.without(EKU);
        }),
        &[&root],
    )
    .valid(&[Profile::Both, Profile::Rfc5280, Profile::Basic])
    .refused(&[Profile::Webpki], Code::ExtendedKeyUsage)
    .agrees_with_openssl(true);
    leaf_with("rfc5280::eku::ee-eku-empty", &[]).refused(EVERY, Code::Malformed);
}

#[test]
fn other_purposes() {
    leaf_with("a client", &[CLIENT]).purpose(Purpose::Client).valid(EVERY);
    leaf_with("a server as client", &[SERVER]).purpose(Purpose::Client).refused(EVERY, Code::NotForPurpose);
    leaf_with("code", &[CODE]).purpose(Purpose::CodeSigning).valid(EVERY);
    leaf_with("time stamps", &[STAMP]).purpose(Purpose::TimeStamping).valid(EVERY);
    leaf_with("answers", &[OCSP]).purpose(Purpose::OcspSigning).valid(EVERY);
    leaf_with("whatever", &[CODE]).purpose(Purpose::Any).valid(EVERY);
}

#[test]
fn issuers_limit_what_is_below() {
    let root = plain_root();
    let through = |id, uses: &[&str]| {
        let value = eku(uses);
        let ica = root.intermediate(move |s| {
            s.put(EKU, false, value);
        });
        case(id, &ica.leaf(|_| {}), &[&root]).via(&[&ica])
    };
    through("an issuer for servers", &[SERVER]).valid(EVERY).agrees_with_openssl(true);
    through("an issuer for all", &[ANY_EKU]).valid(EVERY);
    through("an issuer for clients", &[CLIENT]).refused(EVERY, Code::NotForPurpose).agrees_with_openssl(true);
    let bound = crate::pki::root(|s| {
        s.put(EKU, false, eku(&[SERVER]));
    });
    case("webpki::eku::root-has-eku", &bound.leaf(|_| {}), &[&bound])
        .valid(RFC)
        .refused(WEB, Code::ExtendedKeyUsage);
}

fn mail(id: &'static str, uses: &[&str], issuer: &[&str]) -> Case {
    let root = plain_root();
    let (uses, issuer) = (eku(uses), if issuer.is_empty() { vec![] } else { eku(issuer) });
    let ica = root.intermediate(move |s| {
        s.put(EKU, false, issuer);
    });
    let leaf = ica.leaf(move |s| {
        s.put(EKU, false, uses).put(SAN, false, san(&[email("user@example.com")])).mark(USAGE, true);
    });
    case(id, &leaf, &[&root]).via(&[&ica]).name("user@example.com").purpose(Purpose::Email)
}

#[test]
fn mail_keys() {
    mail("smime::eku::ee-email-protection", &[EMAIL], &[]).valid(EVERY);
    mail("smime::eku::ee-missing-email-protection", &[CLIENT], &[]).refused(EVERY, Code::NotForPurpose);
    for (id, other) in [
        ("smime::eku::ee-has-server-auth", SERVER),
        ("smime::eku::ee-has-code-signing", CODE),
        ("smime::eku::ee-has-time-stamping", STAMP),
        ("smime::eku::ee-has-any-eku", ANY_EKU),
    ] {
        mail(id, &[EMAIL, other], &[]).valid(RFC).refused(WEB, Code::ExtendedKeyUsage);
        mail("smime::eku::intermediate-has-…", &[EMAIL], &[EMAIL, other])
            .valid(RFC)
            .refused(WEB, Code::ExtendedKeyUsage);
    }
    mail("smime::eku::intermediate-missing-email-protection", &[EMAIL], &[SERVER])
        .refused(EVERY, Code::NotForPurpose);
    let root = plain_root();
    let unmarked = |s: &mut Spec| {
        s.put(EKU, false, eku(&[EMAIL])).put(SAN, false, san(&[email("user@example.com")]));
    };
    case("smime::ku::ee-key-usage-not-critical", &root.leaf(unmarked), &[&root])
        .name("user@example.com")
        .purpose(Purpose::Email)
        .valid(RFC)
        .refused(WEB, Code::KeyUsage);
    let mute = root.intermediate(|s| {
        s.put(USAGE, true, usage(&[5]));
    });
    let marked = mute.leaf(|s| {
        unmarked(s);
        s.mark(USAGE, true);
    });
    case("smime::ku::intermediate-missing-crl-sign", &marked, &[&root])
        .via(&[&mute])
        .name("user@example.com")
        .purpose(Purpose::Email)
        .valid(RFC)
        .refused(WEB, Code::KeyUsage);
    let bare = root.leaf(|s| {
        s.without(USAGE).put(EKU, false, eku(&[EMAIL])).put(SAN, false, san(&[email("user@example.com")]));
    });
    case("smime::ku::ee-missing-key-usage", &bare, &[&root])
        .name("user@example.com")
        .purpose(Purpose::Email)
        .refused(WEB, Code::KeyUsage);
}

#[test]
fn a_mail_address_asks_for_a_mailbox() {
    let root = plain_root();
    for (uses, right) in [(CLIENT, true), (EMAIL, true), (SERVER, false)] {
        let leaf = root.leaf(|s| {
            s.put(EKU, false, eku(&[uses])).put(SAN, false, san(&[email("user@example.com")]));
        });
        let ask = case("rfc5280::nc::nc-permits-email-exact", &leaf, &[&root]).name("user@example.com");
        if right {
            ask.valid(EVERY)
        } else {
            ask.refused(EVERY, Code::NotForPurpose)
        };
    }
}
