//! The forms of a GeneralName, in alternative names and in name constraints.

use super::der::{self, Bad, Der, Result, context, explicit};
use super::dn::Name;

/// One name of any form.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum General {
    Email(String),
    Dns(String),
    Directory(Name),
    Uri(String),
    /// 4 or 16 bytes in alternative names, 8 or 32 in constraints; other lengths are kept to be refused later.
    Ip(Vec<u8>),
    /// otherName, x400Address, ediPartyName or registeredID, with its tag.
    Else(u8),
}

impl General {
    /// Reads the next element.
    pub(crate) fn read(der: &mut Der<'_>) -> Result<General> {
        let found = der.read()?;
        let text = || der::ascii(found.value).map(str::to_string);
        match found.tag {
            t if t == context(1) => text().map(General::Email),
            t if t == context(2) => text().map(General::Dns),
            t if t == explicit(4) => directory(found.value).map(General::Directory),
            t if t == context(6) => text().map(General::Uri),
            t if t == context(7) => Ok(General::Ip(found.value.to_vec())),
            t if [explicit(0), explicit(3), explicit(5), context(8)].contains(&t) => Ok(General::Else(t)),
            _ => Err(Bad("has a name of an unknown form")),
        }
    }

    /// The form, as a number that equal forms share.
    pub(crate) fn form(&self) -> u8 {
        match self {
            General::Email(_) => 1,
            General::Dns(_) => 2,
            General::Directory(_) => 4,
            General::Uri(_) => 6,
            General::Ip(_) => 7,
            General::Else(tag) => *tag,
        }
    }

    /// The name for people.
    pub(crate) fn text(&self) -> String {
        match self {
            General::Email(text) | General::Dns(text) | General::Uri(text) => text.clone(),
            General::Directory(name) => name.text(),
            General::Ip(bytes) => ip(bytes),
            General::Else(_) => "a name of another form".into(),
        }
    }
}

fn directory(value: &[u8]) -> Result<Name> {
    let mut inner = Der::new(value);
    let name = Name::read(&mut inner)?;
    inner.end()?;
    Ok(name)
}

fn ip(bytes: &[u8]) -> String {
    if let Ok(four) = <[u8; 4]>::try_from(bytes) {
        return std::net::Ipv4Addr::from(four).to_string();
    }
    match <[u8; 16]>::try_from(bytes) {
        Ok(sixteen) => std::net::Ipv6Addr::from(sixteen).to_string(),
        Err(_) => format!("an address of {} bytes", bytes.len()),
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
pub(crate) fn is_presented(name: &str) -> bool {
    is_host(name.strip_prefix("*.").unwrap_or(name))
}

/// Local part and host of a mail address.
pub(crate) fn mailbox(address: &str) -> Option<(&str, &str)> {
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
