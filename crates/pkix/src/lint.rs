//! The rules for one certificate: those of path validation, and those of RFC 5280's certificate profile (section 4).

use super::cert::Cert;
use super::ext::{ENCRYPT_OR_AGREE, SIGN_CERTIFICATES};
use super::general::{self, General};
use super::oid;
use super::reason::{Code, Reason};
use super::request::Profile;
use super::sig;
use super::spki::Key;
use super::webpki;

/// The part a certificate has in a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Leaf,
    Intermediate,
    Anchor,
}

/// What is wrong and how to say it.
type Fault = (Code, String);
type Checked = Result<(), Fault>;

/// The rules of this profile for a certificate in this part.
///
/// # Errors
/// The first that is broken.
pub(crate) fn check(cert: &Cert, role: Role, profile: Profile) -> Result<(), Reason> {
    every(cert)
        .and_then(|()| if role == Role::Leaf { Ok(()) } else { authority(cert, role, profile) })
        .and_then(|()| if profile.strict() { strict(cert, role, profile) } else { Ok(()) })
        .and_then(|()| if profile.web() { webpki::check(cert, role, profile) } else { Ok(()) })
        .map_err(|(code, detail)| cert.reason(code, detail))
}

/// `Err` with that code and text when `wrong`.
pub(crate) fn refuse(wrong: bool, code: Code, detail: &str) -> Checked {
    if wrong { Err((code, detail.to_string())) } else { Ok(()) }
}

/// What no profile tolerates.
fn every(cert: &Cert) -> Checked {
    refuse(!cert.same_algorithm, Code::AlgorithmMismatch, "it names two different signature algorithms")?;
    if let Some(id) = &cert.ext.twice {
        return Err((Code::DuplicateExtension, format!("extension {} appears twice", oid::dotted(id))));
    }
    if let Some(id) = &cert.ext.unknown_critical {
        let detail = format!("critical extension {} is unknown here", oid::dotted(id));
        return Err((Code::UnknownCritical, detail));
    }
    match &cert.key {
        Key::Malformed(bad) => Err((Code::Malformed, format!("the public key {}", bad.0))),
        Key::OddCurve => Err((Code::WeakKey, "the key's curve is unknown, or is spelled out".into())),
        key => {
            let tiny = key.rsa_bits().is_some_and(|bits| bits < 1024);
            refuse(tiny, Code::WeakKey, "the RSA key has fewer than 1024 bits")
        }
    }
}

/// What lets a certificate issue others (RFC 5280, 6.1.4 k and n). An anchor of the old kind has no extensions.
fn authority(cert: &Cert, role: Role, profile: Profile) -> Checked {
    let old_anchor = role == Role::Anchor && !profile.strict() && cert.ext.basic.is_none();
    refuse(cert.version != 3 && !old_anchor, Code::Version, "only version 3 may issue certificates")?;
    refuse(
        !cert.ext.is_ca() && !old_anchor,
        Code::NotCa,
        "its basic constraints do not make it an authority",
    )?;
    refuse(
        !cert.ext.may(SIGN_CERTIFICATES),
        Code::KeyUsage,
        "its key usage does not allow signing certificates",
    )
}

fn strict(cert: &Cert, role: Role, profile: Profile) -> Checked {
    if let Some((what, bad)) = cert.ext.malformed {
        let code = match what.contains("information") {
            true => Code::InformationAccess,
            false => Code::Malformed,
        };
        return Err((code, format!("{what} {}", bad.0)));
    }
    refuse(cert.version != 3, Code::Version, "it is not of version 3")?;
    // What its own key signed is valid as an anchor or not at all, be it the leaf itself.
    if role != Role::Anchor && !is_self_signed(cert) {
        serial(cert)?;
    }
    let in_form = cert.not_before.in_its_form() && cert.not_after.in_its_form();
    refuse(!in_form, Code::Validity, "a time is in the form of other years")?;
    refuse(cert.issuer.is_empty(), Code::Issuer, "the issuer is empty")?;
    refuse(cert.ext.critical_access, Code::InformationAccess, "information access is marked critical")?;
    constraints(cert)?;
    usage(cert)?;
    identifiers(cert)?;
    alt_names(cert)?;
    name_constraints(cert, profile)?;
    policies(cert)?;
    let nameless = cert.subject.is_empty() && (role != Role::Leaf || cert.ext.is_ca());
    refuse(nameless, Code::Subject, "an authority's subject is empty")
}

/// Not asked of an anchor, which is a name and a key (RFC 5280, 6.1.1 d): roots in every store have the number 0.
fn serial(cert: &Cert) -> Checked {
    let negative = cert.serial[0] & 0x80 != 0;
    let zero = cert.serial == [0];
    let digits = cert.serial.len() - usize::from(cert.serial[0] == 0);
    refuse(negative || zero || digits > 20, Code::Serial, "it is not a positive number of at most 20 octets")
}

fn constraints(cert: &Cert) -> Checked {
    let Some(basic) = &cert.ext.basic else { return Ok(()) };
    let (ca, path_len) = (basic.value.ca, basic.value.path_len);
    let code = Code::BasicConstraints;
    refuse(!ca && path_len.is_some(), code, "a path length is given for what is no authority")?;
    refuse(ca && !basic.critical, code, "an authority's basic constraints are not critical")
}

fn usage(cert: &Cert) -> Checked {
    let Some(usage) = &cert.ext.key_usage else { return Ok(()) };
    let bits = usage.value;
    let signs = bits & SIGN_CERTIFICATES != 0;
    refuse(bits == 0, Code::KeyUsage, "the key usage is empty")?;
    refuse(
        signs && !cert.ext.is_ca(),
        Code::KeyUsage,
        "the key may sign certificates without being an authority's",
    )?;
    let seals = matches!(cert.key, Key::MlDsa { .. } | Key::Ed25519(_)) && bits & ENCRYPT_OR_AGREE != 0;
    refuse(seals, Code::KeyUsage, "the key's algorithm can only sign, its usage says more")
}

/// RFC 5280, 4.2.1.1 and 4.2.1.2: authorities say which key they have, everything says by which it was signed.
fn identifiers(cert: &Cert) -> Checked {
    let (subject, authority) = (&cert.ext.subject_key, &cert.ext.authority_key);
    let code = Code::KeyIdentifier;
    let critical =
        subject.as_ref().is_some_and(|e| e.critical) || authority.as_ref().is_some_and(|e| e.critical);
    refuse(critical, code, "a key identifier is marked critical")?;
    refuse(cert.ext.is_ca() && subject.is_none(), code, "an authority has no subject key identifier")?;
    let halved = authority.as_ref().is_some_and(|e| e.value.issuer != e.value.serial);
    refuse(halved, code, "the authority key identifier has only one of issuer and serial number")?;
    let known = authority.as_ref().is_some_and(|e| e.value.key_id.is_some());
    refuse(!known && !is_self_signed(cert), code, "the authority key identifier is missing")
}

/// Whether the certificate's own key signed it. Names tell it only where the algorithm cannot be judged here: a new
/// key of an authority is certified by its old one under the same name, and a root may name another as its issuer.
pub(crate) fn is_self_signed(cert: &Cert) -> bool {
    match sig::verify(&cert.algorithm, &cert.key, &cert.signed, &cert.signature) {
        Ok(()) => true,
        Err(sig::Fault::Wrong) => false,
        Err(sig::Fault::Unknown(_)) => cert.self_issued(),
    }
}

fn alt_names(cert: &Cert) -> Checked {
    let code = Code::AltName;
    if let Some(odd) = cert.ext.names().iter().find(|name| !is_well_formed(name)) {
        return Err((code, format!("the alternative name {:?} is malformed", odd.text())));
    }
    let marked = cert.ext.alt_names.as_ref().is_some_and(|e| e.critical);
    refuse(
        cert.subject.is_empty() && !marked,
        code,
        "the subject is empty, so alternative names must be critical",
    )
}

fn is_well_formed(name: &General) -> bool {
    match name {
        General::Dns(name) => general::is_presented(name),
        General::Email(address) => general::mailbox(address).is_some(),
        General::Ip(bytes) => bytes.len() == 4 || bytes.len() == 16,
        General::Uri(uri) => uri.split_once(':').is_some_and(|(scheme, rest)| {
            scheme.starts_with(|c: char| c.is_ascii_alphabetic()) && !rest.is_empty()
        }),
        General::Directory(_) | General::Else(_) => true,
    }
}

fn name_constraints(cert: &Cert, profile: Profile) -> Checked {
    let Some(constraints) = &cert.ext.constraints else { return Ok(()) };
    let code = Code::NameConstraints;
    refuse(!cert.ext.is_ca(), code, "name constraints are for authorities only")?;
    // The Baseline Requirements (7.1.2.5.2) allow this one against RFC 5280.
    let unmarked = !constraints.critical && profile != Profile::Webpki;
    refuse(unmarked, code, "the name constraints are not critical")?;
    match constraints.value.fault() {
        Some(fault) => Err((code, fault)),
        None => Ok(()),
    }
}

fn policies(cert: &Cert) -> Checked {
    let policies = &cert.ext.policies;
    let loose = policies.limits.as_ref().is_some_and(|e| !e.critical)
        || policies.inhibit_any.as_ref().is_some_and(|e| !e.critical);
    refuse(loose, Code::Policy, "policy constraints are not critical")?;
    let empty = cert.ext.extended.as_ref().is_some_and(|e| e.value.is_empty());
    refuse(empty, Code::ExtendedKeyUsage, "the extended key usage is empty")
}
