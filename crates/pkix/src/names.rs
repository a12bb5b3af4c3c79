//! The names that are asked for, and whether a certificate is for them.

use super::cert::Cert;
use super::general::{self, General};
use std::net::IpAddr;

/// A name that a certificate must be valid for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeerName {
    /// A host, in ASCII (A-labels) and lower case, without a dot at the end.
    Dns(String),
    /// An address.
    Ip(IpAddr),
    /// A mailbox.
    Email(String),
}

impl PeerName {
    /// Reads an address (also in brackets), a mailbox, or a host, whose Unicode labels become A-labels.
    ///
    /// # Errors
    /// In words, why it is no name.
    pub fn parse(text: &str) -> Result<PeerName, String> {
        match text.contains('@') {
            true => mail(text),
            false => PeerName::host(text),
        }
    }

    /// Reads an address or a host.
    ///
    /// # Errors
    /// In words, why it is neither.
    pub fn host(text: &str) -> Result<PeerName, String> {
        let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
        // A zone says by which interface an address is reached; no certificate knows it.
        let address = bare.split_once('%').map_or(bare, |(address, _)| address);
        match address.parse() {
            Ok(ip) => Ok(PeerName::Ip(ip)),
            Err(_) => host(text),
        }
    }

    /// Whether the certificate's alternative names say so; the common name never does.
    pub(crate) fn fits(&self, cert: &Cert) -> bool {
        cert.ext.names().iter().any(|given| match (self, given) {
            (PeerName::Dns(asked), General::Dns(given)) => presents(given, asked),
            (PeerName::Ip(IpAddr::V4(asked)), General::Ip(given)) => given == &asked.octets(),
            (PeerName::Ip(IpAddr::V6(asked)), General::Ip(given)) => given == &asked.octets(),
            (PeerName::Email(asked), General::Email(given)) => email(given, asked),
            _ => false,
        })
    }
}

impl std::fmt::Display for PeerName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            PeerName::Dns(name) | PeerName::Email(name) => f.write_str(name),
            PeerName::Ip(ip) => ip.fmt(f),
        }
    }
}

fn mail(text: &str) -> Result<PeerName, String> {
    match general::mailbox(text) {
        Some(_) => Ok(PeerName::Email(text.to_string())),
        None => Err(format!("{text:?} is not a mail address")),
    }
}

fn host(text: &str) -> Result<PeerName, String> {
    let bare = text.strip_suffix('.').unwrap_or(text);
    let ascii = match bare.is_ascii() {
        true => bare.to_ascii_lowercase(),
        false => idna::domain_to_ascii_strict(bare).map_err(|_| format!("{text:?} is not a host name"))?,
    };
    // Underscores are no host name's, yet people ask for them; such a name simply fits few certificates.
    match loose(&ascii) {
        true => Ok(PeerName::Dns(ascii)),
        false => Err(format!("{text:?} is not a host name")),
    }
}

fn loose(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    name.len() <= 253 && name.split('.').all(|l| (1..=63).contains(&l.len()) && l.bytes().all(plain))
}

/// Whether a name as a certificate gives it is for a host as [`PeerName`] has it. A wildcard stands for exactly the
/// left-most label and is alone in it (RFC 6125, 6.4.3).
pub fn presents(given: &str, asked: &str) -> bool {
    let given = given.to_ascii_lowercase();
    match given.strip_prefix("*.") {
        Some(parent) => {
            general::is_host(parent) && asked.split_once('.').is_some_and(|(_, rest)| rest == parent)
        }
        None => given == asked,
    }
}

/// Who registers names below a public suffix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suffix {
    /// Everybody, at a registry: `co.uk`; a name of one label that is in no list is one too.
    Registry,
    /// The customers of somebody who owns it: `github.io`.
    Private,
}

/// The kind of public suffix that a wildcard stands over, as `*.co.uk` does; none for other names.
pub fn suffix_covered(name: &str) -> Option<Suffix> {
    let parent = name.strip_prefix("*.")?.to_ascii_lowercase();
    let suffix = psl::suffix(parent.as_bytes()).filter(|suffix| suffix.as_bytes() == parent.as_bytes())?;
    Some(if suffix.typ() == Some(psl::Type::Private) { Suffix::Private } else { Suffix::Registry })
}

/// The host has no case; the local part has (RFC 5280, 7.5).
fn email(given: &str, asked: &str) -> bool {
    match (general::mailbox(given), general::mailbox(asked)) {
        (Some((a, at)), Some((b, bt))) => a == b && at.eq_ignore_ascii_case(bt),
        _ => false,
    }
}
