//! Names of hosts and mailboxes: those that are asked for, and how certificates present them.

use crate::cert::Cert;
use crate::name::GeneralName;
use std::fmt;
use std::net::IpAddr;

/// A host name as it is compared: in ASCII (A-labels), in lower case, without a dot at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsName(String);

impl DnsName {
    /// Reads a host name as people write it; Unicode labels become A-labels (RFC 5890).
    ///
    /// # Errors
    /// In words, why it is none.
    pub fn parse(text: &str) -> Result<DnsName, String> {
        // A dot at the end only says that the name is complete; certificates never have it.
        let bare = text.strip_suffix('.').unwrap_or(text);
        let ascii = match bare.is_ascii() {
            true => Ok(bare.to_ascii_lowercase()),
            false => idna::domain_to_ascii_strict(bare),
        };
        // Underscores are in no host name (RFC 952), yet people ask for them; few certificates present such a name.
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        let label = |l: &str| (1..=63).contains(&l.len()) && l.bytes().all(plain);
        let fine = |name: &String| name.len() <= 253 && name.split('.').all(label);
        ascii.ok().filter(fine).map(DnsName).ok_or_else(|| format!("{text:?} is not a host name"))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether `given`, a name as a certificate gives it, is for this host. A wildcard stands for exactly the left-most
    /// label and is alone in it (RFC 9525, 6.3).
    pub fn is_presented_by(&self, given: &str) -> bool {
        let given = given.to_ascii_lowercase();
        match given.strip_prefix("*.") {
            Some(parent) => is_host(parent) && self.0.split_once('.').is_some_and(|(_, rest)| rest == parent),
            None => given == self.0,
        }
    }
}

impl fmt::Display for DnsName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A name that a certificate must be valid for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeerName {
    /// A host.
    Dns(DnsName),
    /// An address.
    Ip(IpAddr),
    /// A mailbox.
    Email(String),
}

impl PeerName {
    /// Reads an address (also in brackets), a mailbox, or a host.
    ///
    /// # Errors
    /// In words, why it is no name.
    pub fn parse(text: &str) -> Result<PeerName, String> {
        match text.contains('@') {
            true if split_mailbox(text).is_some() => Ok(PeerName::Email(text.to_string())),
            true => Err(format!("{text:?} is not a mail address")),
            false => PeerName::parse_host(text),
        }
    }

    /// Reads an address or a host.
    ///
    /// # Errors
    /// In words, why it is neither.
    pub fn parse_host(text: &str) -> Result<PeerName, String> {
        let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
        // A zone says by which interface an address is reached; no certificate knows it.
        let address = bare.split_once('%').map_or(bare, |(address, _)| address);
        match address.parse() {
            Ok(ip) => Ok(PeerName::Ip(ip)),
            Err(_) => DnsName::parse(text).map(PeerName::Dns),
        }
    }

    /// The host name, where it is one: what SNI can carry (RFC 6066, 3).
    pub fn as_dns(&self) -> Option<&DnsName> {
        match self {
            PeerName::Dns(name) => Some(name),
            PeerName::Ip(_) | PeerName::Email(_) => None,
        }
    }

    /// Whether the certificate's alternative names say so; the common name never does (RFC 9525, A).
    pub(crate) fn is_held_by(&self, cert: &Cert) -> bool {
        cert.ext.names().iter().any(|given| match (self, given) {
            (PeerName::Dns(asked), GeneralName::Dns(given)) => asked.is_presented_by(given),
            (PeerName::Ip(IpAddr::V4(asked)), GeneralName::Ip(given)) => given == &asked.octets(),
            (PeerName::Ip(IpAddr::V6(asked)), GeneralName::Ip(given)) => given == &asked.octets(),
            (PeerName::Email(asked), GeneralName::Email(given)) => is_same_mailbox(given, asked),
            _ => false,
        })
    }
}

impl fmt::Display for PeerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PeerName::Dns(name) => name.fmt(f),
            PeerName::Email(name) => f.write_str(name),
            PeerName::Ip(ip) => ip.fmt(f),
        }
    }
}

/// Who registers names below a public suffix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suffix {
    /// Everybody, below a name of one label: `com`, and any that is in no list. No client takes such a wildcard.
    TopLevel,
    /// Everybody, at a registry: `co.uk`. Browsers take no such wildcard, other clients do.
    Registry,
    /// The customers of somebody who owns it, and may have a wildcard over it: `github.io`.
    Private,
}

/// The public suffix that the wildcard `given` stands over, as `*.co.uk` does; none for other names. This is the one
/// place that knows of public suffixes. What is made of it is the profile's: the Baseline Requirements (3.2.2.6) refuse
/// all three kinds, `check` judges as clients do.
pub fn covered_suffix(given: &str) -> Option<Suffix> {
    let parent = given.strip_prefix("*.")?.to_ascii_lowercase();
    let suffix = psl::suffix(parent.as_bytes()).filter(|suffix| suffix.as_bytes() == parent.as_bytes())?;
    Some(match suffix.typ() {
        _ if !parent.contains('.') => Suffix::TopLevel,
        Some(psl::Type::Private) => Suffix::Private,
        _ => Suffix::Registry,
    })
}

/// The host has no case; the local part has (RFC 5280, 7.5).
fn is_same_mailbox(given: &str, asked: &str) -> bool {
    match (split_mailbox(given), split_mailbox(asked)) {
        (Some((a, at)), Some((b, bt))) => a == b && at.eq_ignore_ascii_case(bt),
        _ => false,
    }
}

/// Whether this is a host name as DNS has it: labels of letters, digits and inner hyphens, up to 253 characters.
pub(crate) fn is_host(name: &str) -> bool {
    let label = |l: &str| {
        (1..=63).contains(&l.len())
            && !l.starts_with('-')
            && !l.ends_with('-')
            && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    name.len() <= 253 && name.split('.').all(label)
}

/// Whether this is what a certificate may say: a host, or `*.` and a host.
pub(crate) fn is_presentable(name: &str) -> bool {
    is_host(name.strip_prefix("*.").unwrap_or(name))
}

/// Local part and host of a mail address.
pub(crate) fn split_mailbox(address: &str) -> Option<(&str, &str)> {
    let (local, host) = address.rsplit_once('@')?;
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+/=?^_`{|}~.-".contains(&b);
    let quoted = local.len() > 2 && local.starts_with('"') && local.ends_with('"');
    let dots = local.split('.').all(|part| !part.is_empty());
    let right = quoted || (local.bytes().all(plain) && dots);
    (right && is_host(host)).then_some((local, host))
}

/// The host of an absolute URI with an authority.
pub(crate) fn uri_host(uri: &str) -> Option<&str> {
    let (scheme, rest) = uri.split_once(':')?;
    let named = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
    let authority = rest.strip_prefix("//")?.split(['/', '?', '#']).next()?;
    let host = authority.rsplit('@').next()?;
    let host = match host.strip_prefix('[') {
        Some(six) => six.split(']').next()?,
        None => host.split(':').next()?,
    };
    (named && !host.is_empty()).then_some(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_stand_for_one_whole_label() {
        let cases = [
            ("example.org", "example.org", true),
            ("EXAMPLE.org", "example.org", true),
            ("example.org.", "example.org", false),
            ("*.example.org", "www.example.org", true),
            ("*.example.org", "example.org", false),
            ("*.example.org", "a.b.example.org", false),
            ("f*o.example.org", "foo.example.org", false),
            ("foo.*.example.org", "foo.a.example.org", false),
            ("*", "localhost", false),
            ("xn--*-.example.org", "xn--a-.example.org", false),
            ("*.*.example.org", "a.b.example.org", false),
        ];
        for (given, host, expected) in cases {
            let host = DnsName::parse(host).expect("a host");
            assert_eq!(host.is_presented_by(given), expected, "{given} for {host}");
        }
    }

    #[test]
    fn names_as_people_write_them() {
        let address = |text: &str| Ok(PeerName::Ip(text.parse().expect("an address")));
        let host = PeerName::parse_host("Bücher.example.").map(|name| name.to_string());
        assert_eq!(host.as_deref(), Ok("xn--bcher-kva.example"));
        assert_eq!(PeerName::parse_host("[::1]"), address("::1"));
        assert_eq!(PeerName::parse_host("fe80::1%eth0"), address("fe80::1"));
        assert!(["a b", "", "a|b", "a..b", "*.a"].iter().all(|text| PeerName::parse_host(text).is_err()));
    }

    /// By the list of public suffixes, not by what looks like one.
    #[test]
    fn suffixes() {
        let (top, registry, private) =
            (Some(Suffix::TopLevel), Some(Suffix::Registry), Some(Suffix::Private));
        for (name, expected) in [
            ("*.co.uk", registry),
            ("*.CO.uk", registry),
            ("*.org", top),
            ("*.k12.ca.us", registry),
            ("*.com.sg", registry),
            ("*.local", top),
            ("*.github.io", private),
            ("*.example.org", None),
            ("*.ab.uk", None),
            ("*.or.example", None),
            ("co.uk", None),
        ] {
            assert_eq!(covered_suffix(name), expected, "{name}");
        }
    }
}
