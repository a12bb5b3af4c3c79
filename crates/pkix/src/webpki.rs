//! The Baseline Requirements of the CA/Browser Forum, as far as they decide about validity.

use super::cert::Cert;
use super::ext::SIGN_CERTIFICATES;
use super::general::General;
use super::lint::{Role, is_self_signed, refuse};
use super::names::{self, PeerName};
use super::oid;
use super::reason::Code;
use super::request::Profile;
use super::spki::{Curve, Key};
use std::net::{Ipv4Addr, Ipv6Addr};

type Checked = Result<(), (Code, String)>;

pub(crate) fn check(cert: &Cert, role: Role, profile: Profile) -> Checked {
    key(&cert.key)?;
    root_identifiers(cert)?;
    match role {
        Role::Leaf => leaf(cert, profile),
        Role::Intermediate => Ok(()),
        Role::Anchor => {
            // 7.1.2.1.2; an anchor that is an intermediate may have one.
            let usage = cert.ext.extended.is_some() && is_self_signed(cert);
            refuse(usage, Code::ExtendedKeyUsage, "a root has an extended key usage")
        }
    }
}

/// 6.1.5: RSA from 2048 bits in whole bytes, the three curves of NIST. Keys that came after it are let through.
fn key(key: &Key) -> Checked {
    let code = Code::WeakKey;
    match key {
        Key::Rsa { .. } => {
            let bits = key.rsa_bits().unwrap_or(0);
            let odd = bits < 2048 || !bits.is_multiple_of(8);
            refuse(odd, code, &format!("an RSA key of {bits} bits is not allowed"))
        }
        Key::Ec { curve: Curve::P192 | Curve::P224, .. } => {
            refuse(true, code, "the key's curve is too small")
        }
        Key::Dsa => refuse(true, code, "DSA keys are not allowed"),
        Key::Unknown(id) => Err((code, format!("keys of algorithm {id} are not allowed"))),
        Key::Ec { .. } | Key::Ed25519(_) | Key::MlDsa { .. } | Key::OddCurve | Key::Malformed(_) => Ok(()),
    }
}

/// 7.1.2.1.3: what a root says of its own key must be that key's identifier and nothing else.
fn root_identifiers(cert: &Cert) -> Checked {
    let Some(authority) = cert.ext.authority_key.as_ref().map(|e| &e.value) else { return Ok(()) };
    if !is_self_signed(cert) {
        return Ok(());
    }
    let code = Code::KeyIdentifier;
    refuse(
        authority.issuer || authority.serial,
        code,
        "a root's authority key identifier names issuer or serial",
    )?;
    let own = cert.ext.subject_key.as_ref().map(|e| &e.value);
    refuse(authority.key_id.as_ref() != own, code, "a root's authority key identifier is not its own key's")
}

fn leaf(cert: &Cert, profile: Profile) -> Checked {
    let ca = cert.ext.is_ca();
    let signs = cert.ext.key_usage.as_ref().is_some_and(|u| u.value & SIGN_CERTIFICATES != 0);
    refuse(ca && profile == Profile::Webpki, Code::CaAsLeaf, "the certificate is an authority's")?;
    let half = ca && cert.ext.key_usage.is_some() && !signs;
    refuse(half, Code::CaAsLeaf, "the certificate is an authority's that may not sign")?;
    let names = cert.ext.names();
    refuse(names.is_empty() && profile == Profile::Webpki, Code::AltName, "there are no alternative names")?;
    let marked = cert.ext.alt_names.as_ref().is_some_and(|e| e.critical);
    refuse(
        marked && !cert.subject.is_empty(),
        Code::AltName,
        "alternative names are critical beside a subject",
    )?;
    match ca {
        true => Ok(()),
        false => cert.subject.texts(oid::COMMON_NAME).try_for_each(|text| common_name(text, names)),
    }
}

/// 3.2.2.6: no wildcard over a whole public suffix. One that is none of the names asked for harms nobody who asks;
/// where no name is asked for, any may be used.
pub(crate) fn wildcards(cert: &Cert, asked: &[PeerName]) -> Checked {
    let hosts: Vec<&str> = asked
        .iter()
        .filter_map(|n| if let PeerName::Dns(host) = n { Some(host.as_str()) } else { None })
        .collect();
    let given = cert.ext.names().iter().filter_map(|n| if let General::Dns(n) = n { Some(n) } else { None });
    let (wide, own): (Vec<&String>, Vec<&String>) =
        given.partition(|name| names::suffix_covered(name).is_some());
    let by = |all: &[&String], host: &str| all.iter().any(|name| names::presents(name, host));
    let used = |name: &&&String| {
        hosts.is_empty() || hosts.iter().any(|host| names::presents(name, host) && !by(&own, host))
    };
    match wide.iter().find(used) {
        Some(name) => Err((Code::PublicSuffix, format!("{name:?} stands for a whole public suffix"))),
        None => Ok(()),
    }
}

/// 7.1.4.3: a common name that is an address or a host must be one of the alternative names, letter by letter.
/// A host above one of them, as `example.org` beside `*.example.org`, contradicts none and is let through.
fn common_name(text: &str, names: &[General]) -> Checked {
    let agrees = match like_address(text) {
        true => names.iter().any(|n| matches!(n, General::Ip(_)) && n.text() == text),
        false if !text.contains('.') || text.contains([' ', '@']) => true,
        false => agrees_with_host(text, names),
    };
    refuse(!agrees, Code::CommonName, &format!("the common name {text:?} is none of the alternative names"))
}

fn agrees_with_host(text: &str, names: &[General]) -> bool {
    let mut hosts =
        names.iter().filter_map(|n| if let General::Dns(h) = n { Some(h) } else { None }).peekable();
    hosts.peek().is_none() || hosts.any(|h| h == text || h.ends_with(&format!(".{text}")))
}

/// Whether somebody meant an address, however it is written: `192.168.001.1`, `0xC0A80101`, `2001:DB8::1`.
fn like_address(text: &str) -> bool {
    let hexadecimal = |t: &str| {
        t.strip_prefix("0x").is_some_and(|h| !h.is_empty() && h.bytes().all(|b| b.is_ascii_hexdigit()))
    };
    let dotted = text.split('.').count() == 4
        && text.split('.').all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()));
    let canonical = text.parse::<Ipv4Addr>().is_ok() || text.parse::<Ipv6Addr>().is_ok();
    canonical || dotted || hexadecimal(text)
}
