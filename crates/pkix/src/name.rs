//! Distinguished names (RFC 5280, 7.1) and the forms of a GeneralName (4.2.1.6).

use crate::der::{self, Der, Malformed, Result, context_tag, explicit_tag};
use crate::oid;

const UTF8: u8 = 12;
const PRINTABLE: u8 = 19;
const TELETEX: u8 = 20;
const IA5: u8 = 22;
const UNIVERSAL: u8 = 28;
const BMP: u8 = 30;

/// One attribute of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Attribute {
    pub(crate) oid: Vec<u8>,
    /// The value as text, where its type is one of text.
    pub(crate) text: Option<String>,
    /// What it is compared by.
    canon: Vec<u8>,
}

/// A distinguished name.
#[derive(Clone, Debug, Default)]
pub(crate) struct DistinguishedName {
    pub(crate) rdns: Vec<Vec<Attribute>>,
    canon: Vec<Vec<u8>>,
}

impl PartialEq for DistinguishedName {
    fn eq(&self, other: &DistinguishedName) -> bool {
        self.canon == other.canon
    }
}

impl DistinguishedName {
    /// Reads the next element as a name.
    pub(crate) fn read_der(der: &mut Der<'_>) -> Result<DistinguishedName> {
        let found = der.read_element()?;
        if found.tag != der::SEQUENCE {
            return Err(Malformed("has something else where a name must be"));
        }
        let mut rdns = Vec::new();
        let mut parts = Der::new(found.value);
        while !parts.is_empty() {
            rdns.push(Der::new(parts.expect_tag(der::SET)?).read_each(read_attribute)?);
        }
        let canon = rdns.iter().map(|rdn| canonical_rdn(rdn)).collect();
        Ok(DistinguishedName { rdns, canon })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rdns.is_empty()
    }

    /// What equal names share, for maps.
    pub(crate) fn canonical(&self) -> &[Vec<u8>] {
        &self.canon
    }

    /// Whether this name lies in the subtree below `base`.
    pub(crate) fn is_below(&self, base: &DistinguishedName) -> bool {
        self.canon.starts_with(&base.canon)
    }

    /// The texts of every attribute of that type.
    pub(crate) fn texts<'a>(&'a self, oid: &'a [u8]) -> impl Iterator<Item = &'a str> {
        self.rdns.iter().flatten().filter(move |a| a.oid == oid).filter_map(|a| a.text.as_deref())
    }

    /// The name for people, in the order of the certificate: `C=DE, O=Example, CN=example.org`.
    pub(crate) fn text(&self) -> String {
        let part =
            |a: &Attribute| format!("{}={}", attribute_label(&a.oid), a.text.as_deref().unwrap_or("?"));
        let rdn = |r: &Vec<Attribute>| r.iter().map(part).collect::<Vec<_>>().join("+");
        self.rdns.iter().map(rdn).collect::<Vec<_>>().join(", ")
    }
}

fn read_attribute(set: &mut Der<'_>) -> Result<Attribute> {
    let mut pair = set.read_sequence()?;
    let oid = der::check_oid(pair.expect_tag(der::OID)?)?.to_vec();
    let value = pair.read_element()?;
    pair.expect_end()?;
    let text = read_text(value.tag, value.value)?;
    let canon = canonical_value(&oid, value.tag, value.value, text.as_deref());
    Ok(Attribute { oid, text, canon })
}

/// The text of a value; none for types that hold no text, or bytes of an old type that are none.
fn read_text(tag: u8, value: &[u8]) -> Result<Option<String>> {
    match tag {
        UTF8 => std::str::from_utf8(value)
            .map(|t| Some(t.to_string()))
            .map_err(|_| Malformed("has a name that is not UTF-8")),
        PRINTABLE | IA5 => match value.is_ascii() {
            true => Ok(Some(String::from_utf8_lossy(value).into_owned())),
            false => Err(Malformed("has a name whose characters its type does not allow")),
        },
        // T.61 in the letter, Latin-1 in all certificates that there are.
        TELETEX => Ok(Some(value.iter().map(|b| char::from(*b)).collect())),
        BMP => read_units(value, 2),
        UNIVERSAL => read_units(value, 4),
        _ => Ok(None),
    }
}

fn read_units(value: &[u8], size: usize) -> Result<Option<String>> {
    let one = |unit: &[u8]| char::from_u32(unit.iter().fold(0, |n, b| n << 8 | u32::from(*b)));
    let text: Option<String> = value.chunks(size).map(one).collect();
    match text.filter(|_| value.len().is_multiple_of(size)) {
        Some(text) => Ok(Some(text)),
        None => Err(Malformed("has a name whose characters its type does not allow")),
    }
}

/// Text is compared without regard to case, to its type and to repeated blanks; anything else byte by byte.
fn canonical_value(oid: &[u8], tag: u8, value: &[u8], text: Option<&str>) -> Vec<u8> {
    let mut all = oid.to_vec();
    all.push(0);
    match text {
        Some(text) => {
            // RFC 5280, 7.1, compares by stringprep (RFC 4518), of which case and blanks are what certificates differ in. An
            // authority that renews as UTF8String what was a PrintableString is still the same issuer.
            all.push(UTF8);
            let folded = text.to_lowercase();
            let words: Vec<&str> = folded.split_whitespace().collect();
            all.extend_from_slice(words.join(" ").as_bytes());
        }
        None => {
            all.push(tag);
            all.extend_from_slice(value);
        }
    }
    all
}

/// A set has no order.
fn canonical_rdn(rdn: &[Attribute]) -> Vec<u8> {
    // DER sorts a set by its encoding, which differs when the same text stands in two string types.
    let mut parts: Vec<&[u8]> = rdn.iter().map(|a| a.canon.as_slice()).collect();
    parts.sort_unstable();
    let mut all = Vec::new();
    for part in parts {
        all.extend_from_slice(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        all.extend_from_slice(part);
    }
    all
}

fn attribute_label(oid: &[u8]) -> String {
    let known = match oid {
        [0x55, 4, 3] => "CN",
        [0x55, 4, 5] => "serialNumber",
        [0x55, 4, 6] => "C",
        [0x55, 4, 7] => "L",
        [0x55, 4, 8] => "ST",
        [0x55, 4, 10] => "O",
        [0x55, 4, 11] => "OU",
        oid::EMAIL_ADDRESS => "emailAddress",
        [0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 25] => "DC",
        _ => return oid::format_oid(oid),
    };
    known.to_string()
}

/// One name of any form.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum GeneralName {
    Email(String),
    Dns(String),
    Directory(DistinguishedName),
    Uri(String),
    /// 4 or 16 bytes in alternative names, 8 or 32 in constraints; other lengths are kept to be refused later.
    Ip(Vec<u8>),
    /// otherName, x400Address, ediPartyName or registeredID, with its tag.
    Else(u8),
}

impl GeneralName {
    /// Reads the next element.
    pub(crate) fn read_der(der: &mut Der<'_>) -> Result<GeneralName> {
        let found = der.read_element()?;
        let text = || der::read_ascii(found.value).map(str::to_string);
        match found.tag {
            t if t == context_tag(1) => text().map(GeneralName::Email),
            t if t == context_tag(2) => text().map(GeneralName::Dns),
            t if t == explicit_tag(4) => read_directory(found.value).map(GeneralName::Directory),
            t if t == context_tag(6) => text().map(GeneralName::Uri),
            t if t == context_tag(7) => Ok(GeneralName::Ip(found.value.to_vec())),
            t if [explicit_tag(0), explicit_tag(3), explicit_tag(5), context_tag(8)].contains(&t) => {
                Ok(GeneralName::Else(t))
            }
            _ => Err(Malformed("has a name of an unknown form")),
        }
    }

    /// The form, as a number that equal forms share.
    pub(crate) fn form(&self) -> u8 {
        match self {
            GeneralName::Email(_) => 1,
            GeneralName::Dns(_) => 2,
            GeneralName::Directory(_) => 4,
            GeneralName::Uri(_) => 6,
            GeneralName::Ip(_) => 7,
            GeneralName::Else(tag) => *tag,
        }
    }

    /// The name for people.
    pub(crate) fn text(&self) -> String {
        match self {
            GeneralName::Email(text) | GeneralName::Dns(text) | GeneralName::Uri(text) => text.clone(),
            GeneralName::Directory(name) => name.text(),
            GeneralName::Ip(bytes) => format_address(bytes),
            GeneralName::Else(_) => "a name of another form".into(),
        }
    }
}

fn read_directory(value: &[u8]) -> Result<DistinguishedName> {
    let mut inner = Der::new(value);
    let name = DistinguishedName::read_der(&mut inner)?;
    inner.expect_end()?;
    Ok(name)
}

fn format_address(bytes: &[u8]) -> String {
    if let Ok(four) = <[u8; 4]>::try_from(bytes) {
        return std::net::Ipv4Addr::from(four).to_string();
    }
    match <[u8; 16]>::try_from(bytes) {
        Ok(sixteen) => std::net::Ipv6Addr::from(sixteen).to_string(),
        Err(_) => format!("an address of {} bytes", bytes.len()),
    }
}

/// The host names among these, as they are given.
pub(crate) fn hosts_of(names: &[GeneralName]) -> impl Iterator<Item = &str> {
    names.iter().filter_map(|name| if let GeneralName::Dns(host) = name { Some(host.as_str()) } else { None })
}
