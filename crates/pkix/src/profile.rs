//! Whose rules a certificate is held to: path validation's (RFC 5280, 6), the certificate profile's (RFC 5280, 4), and the
//! Baseline Requirements' (BR) of the CA/Browser Forum, as far as they decide about validity.

use crate::cert::Cert;
use crate::extensions::{ENCRYPT_OR_AGREE, SIGN_CERTIFICATES};
use crate::host::{self, DnsName, PeerName, covered_suffix};
use crate::key::{Curve, EcKey, Key};
use crate::name::{GeneralName, hosts_of};
use crate::oid;
use crate::request::{Code, Reason, Request};
use std::net::{Ipv4Addr, Ipv6Addr};

/// Whose rules a path is judged by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Profile {
    /// RFC 5280 and the Web PKI's rules together; what RFC 5280 expressly permits (a CA certificate as the leaf,
    /// no extended key usage) stays permitted.
    #[default]
    Both,
    /// The certificate profile and the path validation of RFC 5280.
    Rfc5280,
    /// The same with the CA/Browser Forum's Baseline Requirements, where these differ as they say.
    Webpki,
    /// Path validation alone (RFC 5280, section 6): what common TLS clients enforce.
    Basic,
}

impl Profile {
    /// Every profile, by the word of the command line.
    pub const ALL: [(&'static str, Profile); 4] = [
        ("both", Profile::Both),
        ("rfc5280", Profile::Rfc5280),
        ("webpki", Profile::Webpki),
        ("basic", Profile::Basic),
    ];

    /// The word of the command line.
    pub fn as_str(self) -> &'static str {
        Profile::ALL.iter().find(|(_, profile)| *profile == self).map_or("", |(word, _)| word)
    }

    /// Whether the certificate profile of RFC 5280 (section 4) is enforced, not only path validation.
    pub(crate) fn is_strict(self) -> bool {
        self != Profile::Basic
    }

    /// Whether the Baseline Requirements are enforced.
    pub(crate) fn is_web(self) -> bool {
        matches!(self, Profile::Both | Profile::Webpki)
    }
}

/// The part a certificate has in a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Leaf,
    Intermediate,
    Anchor,
}

/// What is wrong, and in words.
type Checked = Result<(), (Code, String)>;

/// The rules of this profile for a certificate in this part.
///
/// # Errors
/// The first that is broken.
pub(crate) fn check_certificate(cert: &Cert, role: Role, profile: Profile) -> Result<(), Reason> {
    check_form(cert)
        .and_then(|()| if role == Role::Leaf { Ok(()) } else { check_authority(cert, role, profile) })
        .and_then(|()| if profile.is_strict() { check_rfc5280(cert, role, profile) } else { Ok(()) })
        .and_then(|()| if profile.is_web() { check_baseline(cert, role, profile) } else { Ok(()) })
        .map_err(|(code, detail)| cert.reason(code, detail))
}

/// `Err` with that code and text when `wrong`.
fn refuse_if(wrong: bool, code: Code, detail: &str) -> Checked {
    if wrong { Err((code, detail.to_string())) } else { Ok(()) }
}

/// What no profile tolerates.
fn check_form(cert: &Cert) -> Checked {
    refuse_if(
        !cert.signed.same_algorithm,
        Code::AlgorithmMismatch,
        "it names two different signature algorithms",
    )?;
    if let Some(id) = &cert.ext.twice {
        return Err((Code::DuplicateExtension, format!("extension {} appears twice", oid::format_oid(id))));
    }
    if let Some(id) = &cert.ext.unknown_critical {
        let detail = format!("critical extension {} is unknown here", oid::format_oid(id));
        return Err((Code::UnknownCritical, detail));
    }
    match &cert.key {
        Key::Malformed(bad) => Err((Code::Malformed, format!("the public key {}", bad.0))),
        Key::UnknownCurve => Err((Code::WeakKey, "the key's curve is unknown, or is spelled out".into())),
        key => {
            let tiny = key.rsa_bits().is_some_and(|bits| bits < 1024);
            refuse_if(tiny, Code::WeakKey, "the RSA key has fewer than 1024 bits")
        }
    }
}

/// What lets a certificate issue others (RFC 5280, 6.1.4 k and n). An anchor of the old kind has no extensions.
fn check_authority(cert: &Cert, role: Role, profile: Profile) -> Checked {
    // Roots of version 1 are still in stores; path validation (6.1.1 d) takes only their name and key.
    let old_anchor = role == Role::Anchor && !profile.is_strict() && cert.ext.basic.is_none();
    refuse_if(cert.version != 3 && !old_anchor, Code::Version, "only version 3 may issue certificates")?;
    refuse_if(
        !cert.ext.is_ca() && !old_anchor,
        Code::NotCa,
        "its basic constraints do not make it an authority",
    )?;
    refuse_if(
        !cert.ext.allows_usage(SIGN_CERTIFICATES),
        Code::KeyUsage,
        "its key usage does not allow signing certificates",
    )
}

fn check_rfc5280(cert: &Cert, role: Role, profile: Profile) -> Checked {
    if let Some((what, bad)) = cert.ext.malformed {
        let code = if what.contains("information") { Code::InformationAccess } else { Code::Malformed };
        return Err((code, format!("{what} {}", bad.0)));
    }
    refuse_if(cert.version != 3, Code::Version, "it is not of version 3")?;
    // What its own key signed is valid as an anchor or not at all, be it the leaf itself.
    if role != Role::Anchor && !cert.is_self_signed() {
        check_serial(cert)?;
    }
    let in_form = cert.not_before.has_right_form() && cert.not_after.has_right_form();
    refuse_if(!in_form, Code::Validity, "a time is in the form of other years")?;
    refuse_if(cert.issuer.is_empty(), Code::Issuer, "the issuer is empty")?;
    refuse_if(cert.ext.critical_access, Code::InformationAccess, "information access is marked critical")?;
    check_basic_constraints(cert)?;
    check_key_usage(cert)?;
    check_key_identifiers(cert)?;
    check_alt_names(cert)?;
    check_name_constraints(cert, profile)?;
    check_policy_marks(cert)?;
    let nameless = cert.subject.is_empty() && (role != Role::Leaf || cert.ext.is_ca());
    refuse_if(nameless, Code::Subject, "an authority's subject is empty")
}

/// Not asked of an anchor, which is a name and a key (RFC 5280, 6.1.1 d): roots in every store have the number 0.
fn check_serial(cert: &Cert) -> Checked {
    let negative = cert.serial[0] & 0x80 != 0;
    let zero = cert.serial == [0];
    let digits = cert.serial.len() - usize::from(cert.serial[0] == 0);
    refuse_if(
        negative || zero || digits > 20,
        Code::Serial,
        "it is not a positive number of at most 20 octets",
    )
}

fn check_basic_constraints(cert: &Cert) -> Checked {
    let Some(basic) = &cert.ext.basic else { return Ok(()) };
    let (ca, path_len) = (basic.value.ca, basic.value.path_len);
    let code = Code::BasicConstraints;
    refuse_if(!ca && path_len.is_some(), code, "a path length is given for what is no authority")?;
    refuse_if(ca && !basic.critical, code, "an authority's basic constraints are not critical")
}

fn check_key_usage(cert: &Cert) -> Checked {
    let Some(usage) = &cert.ext.key_usage else { return Ok(()) };
    let bits = usage.value;
    let signs = bits & SIGN_CERTIFICATES != 0;
    refuse_if(bits == 0, Code::KeyUsage, "the key usage is empty")?;
    refuse_if(
        signs && !cert.ext.is_ca(),
        Code::KeyUsage,
        "the key may sign certificates without being an authority's",
    )?;
    let seals = matches!(cert.key, Key::MlDsa { .. } | Key::Ed25519(_)) && bits & ENCRYPT_OR_AGREE != 0;
    refuse_if(seals, Code::KeyUsage, "the key's algorithm can only sign, its usage says more")
}

/// RFC 5280, 4.2.1.1 and 4.2.1.2: authorities say which key they have, everything says by which it was signed.
fn check_key_identifiers(cert: &Cert) -> Checked {
    let (subject, authority) = (&cert.ext.subject_key, &cert.ext.authority_key);
    let code = Code::KeyIdentifier;
    let critical =
        subject.as_ref().is_some_and(|e| e.critical) || authority.as_ref().is_some_and(|e| e.critical);
    refuse_if(critical, code, "a key identifier is marked critical")?;
    refuse_if(cert.ext.is_ca() && subject.is_none(), code, "an authority has no subject key identifier")?;
    let halved = authority.as_ref().is_some_and(|e| e.value.issuer != e.value.serial);
    refuse_if(halved, code, "the authority key identifier has only one of issuer and serial number")?;
    let known = authority.as_ref().is_some_and(|e| e.value.key_id.is_some());
    refuse_if(!known && !cert.is_self_signed(), code, "the authority key identifier is missing")
}

fn check_alt_names(cert: &Cert) -> Checked {
    let code = Code::AltName;
    if let Some(bad) = cert.ext.names().iter().find(|name| !is_well_formed(name)) {
        return Err((code, format!("the alternative name {:?} is malformed", bad.text())));
    }
    let marked = cert.ext.alt_names.as_ref().is_some_and(|e| e.critical);
    refuse_if(
        cert.subject.is_empty() && !marked,
        code,
        "the subject is empty, so alternative names must be critical",
    )
}

fn is_well_formed(name: &GeneralName) -> bool {
    match name {
        GeneralName::Dns(name) => host::is_presentable(name),
        GeneralName::Email(address) => host::split_mailbox(address).is_some(),
        GeneralName::Ip(bytes) => bytes.len() == 4 || bytes.len() == 16,
        GeneralName::Uri(uri) => uri.split_once(':').is_some_and(|(scheme, rest)| {
            scheme.starts_with(|c: char| c.is_ascii_alphabetic()) && !rest.is_empty()
        }),
        GeneralName::Directory(_) | GeneralName::Else(_) => true,
    }
}

fn check_name_constraints(cert: &Cert, profile: Profile) -> Checked {
    let Some(constraints) = &cert.ext.constraints else { return Ok(()) };
    let code = Code::NameConstraints;
    refuse_if(!cert.ext.is_ca(), code, "name constraints are for authorities only")?;
    // The Baseline Requirements (7.1.2.5.2) allow this one against RFC 5280.
    let unmarked = !constraints.critical && profile != Profile::Webpki;
    refuse_if(unmarked, code, "the name constraints are not critical")?;
    match constraints.value.find_fault() {
        Some(fault) => Err((code, fault)),
        None => Ok(()),
    }
}

fn check_policy_marks(cert: &Cert) -> Checked {
    let policies = &cert.ext.policies;
    let loose = policies.limits.as_ref().is_some_and(|e| !e.critical)
        || policies.inhibit_any.as_ref().is_some_and(|e| !e.critical);
    refuse_if(loose, Code::Policy, "policy constraints are not critical")?;
    let empty = cert.ext.extended.as_ref().is_some_and(|e| e.value.is_empty());
    refuse_if(empty, Code::ExtendedKeyUsage, "the extended key usage is empty")
}

fn check_baseline(cert: &Cert, role: Role, profile: Profile) -> Checked {
    check_key(&cert.key)?;
    check_root_identifiers(cert)?;
    match role {
        Role::Leaf => check_leaf(cert, profile),
        Role::Intermediate => Ok(()),
        Role::Anchor => {
            // BR 7.1.2.1.2; an anchor that is an intermediate may have one.
            let usage = cert.ext.extended.is_some() && cert.is_self_signed();
            refuse_if(usage, Code::ExtendedKeyUsage, "a root has an extended key usage")
        }
    }
}

/// BR 6.1.5: RSA from 2048 bits in whole bytes, the three curves of NIST. Keys that came after it are let through.
fn check_key(key: &Key) -> Checked {
    let code = Code::WeakKey;
    match key {
        Key::Rsa { .. } => {
            let bits = key.rsa_bits().unwrap_or(0);
            let weak = bits < 2048 || !bits.is_multiple_of(8);
            refuse_if(weak, code, &format!("an RSA key of {bits} bits is not allowed"))
        }
        Key::Ec(EcKey { curve: Curve::P192 | Curve::P224, .. }) => {
            refuse_if(true, code, "the key's curve is too small")
        }
        Key::Dsa => refuse_if(true, code, "DSA keys are not allowed"),
        Key::Unknown(id) => Err((code, format!("keys of algorithm {id} are not allowed"))),
        Key::Ec(_) | Key::Ed25519(_) | Key::MlDsa { .. } | Key::UnknownCurve | Key::Malformed(_) => Ok(()),
    }
}

/// BR 7.1.2.1.3: what a root says of its own key must be that key's identifier and nothing else.
fn check_root_identifiers(cert: &Cert) -> Checked {
    let Some(authority) = cert.ext.authority_key.as_ref().map(|e| &e.value) else { return Ok(()) };
    if !cert.is_self_signed() {
        return Ok(());
    }
    let code = Code::KeyIdentifier;
    refuse_if(
        authority.issuer || authority.serial,
        code,
        "a root's authority key identifier names issuer or serial",
    )?;
    let own = cert.ext.subject_key.as_ref().map(|e| &e.value);
    refuse_if(
        authority.key_id.as_ref() != own,
        code,
        "a root's authority key identifier is not its own key's",
    )
}

fn check_leaf(cert: &Cert, profile: Profile) -> Checked {
    let ca = cert.ext.is_ca();
    let signs = cert.ext.key_usage.as_ref().is_some_and(|u| u.value & SIGN_CERTIFICATES != 0);
    refuse_if(ca && profile == Profile::Webpki, Code::CaAsLeaf, "the certificate is an authority's")?;
    let half = ca && cert.ext.key_usage.is_some() && !signs;
    refuse_if(half, Code::CaAsLeaf, "the certificate is an authority's that may not sign")?;
    let names = cert.ext.names();
    refuse_if(
        names.is_empty() && profile == Profile::Webpki,
        Code::AltName,
        "there are no alternative names",
    )?;
    let marked = cert.ext.alt_names.as_ref().is_some_and(|e| e.critical);
    refuse_if(
        marked && !cert.subject.is_empty(),
        Code::AltName,
        "alternative names are critical beside a subject",
    )?;
    match ca {
        true => Ok(()),
        false => cert.subject.texts(oid::COMMON_NAME).try_for_each(|text| check_common_name(text, names)),
    }
}

/// BR 3.2.2.6: no wildcard over a whole public suffix. One that is none of the names asked for harms no one who asks;
/// where no name is asked for, any may be used.
///
/// # Errors
/// The wildcard by which a name that is asked for would be taken.
pub(crate) fn check_wildcards(cert: &Cert, ask: &Request<'_>) -> Result<(), Reason> {
    if !ask.profile.is_web() {
        return Ok(());
    }
    let hosts: Vec<&DnsName> = ask.names.iter().filter_map(PeerName::as_dns).collect();
    let (wide, own): (Vec<&str>, Vec<&str>) =
        hosts_of(cert.ext.names()).partition(|name| covered_suffix(name).is_some());
    let by_own = |host: &DnsName| own.iter().any(|name| host.is_presented_by(name));
    let used = |name: &&&str| {
        hosts.is_empty() || hosts.iter().any(|host| host.is_presented_by(name) && !by_own(host))
    };
    match wide.iter().find(used) {
        Some(name) => {
            Err(cert.reason(Code::PublicSuffix, format!("{name:?} stands for a whole public suffix")))
        }
        None => Ok(()),
    }
}

/// BR 7.1.4.3: a common name that is an address or a host must be one of the alternative names, letter by letter.
/// A host above one of them, as `example.org` beside `*.example.org`, contradicts none and is let through.
fn check_common_name(text: &str, names: &[GeneralName]) -> Checked {
    let agrees = match looks_like_address(text) {
        true => names.iter().any(|n| matches!(n, GeneralName::Ip(_)) && n.text() == text),
        false if !text.contains('.') || text.contains([' ', '@']) => true,
        false => agrees_with_host(text, names),
    };
    refuse_if(
        !agrees,
        Code::CommonName,
        &format!("the common name {text:?} is none of the alternative names"),
    )
}

fn agrees_with_host(text: &str, names: &[GeneralName]) -> bool {
    let mut hosts = hosts_of(names).peekable();
    hosts.peek().is_none() || hosts.any(|h| h == text || h.ends_with(&format!(".{text}")))
}

/// Whether an address is meant, however it is written: `192.168.001.1`, `0xC0A80101`, `2001:DB8::1`.
fn looks_like_address(text: &str) -> bool {
    let hexadecimal = |t: &str| {
        t.strip_prefix("0x").is_some_and(|h| !h.is_empty() && h.bytes().all(|b| b.is_ascii_hexdigit()))
    };
    let dotted = text.split('.').count() == 4
        && text.split('.').all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()));
    let canonical = text.parse::<Ipv4Addr>().is_ok() || text.parse::<Ipv6Addr>().is_ok();
    canonical || dotted || hexadecimal(text)
}
