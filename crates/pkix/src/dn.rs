//! Distinguished names: comparing them (RFC 5280, 7.1) and showing them.

use super::der::{self, Bad, Der, Result};
use super::oid;

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
pub(crate) struct Name {
    pub(crate) rdns: Vec<Vec<Attribute>>,
    canon: Vec<Vec<u8>>,
}

impl PartialEq for Name {
    fn eq(&self, other: &Name) -> bool {
        self.canon == other.canon
    }
}

impl Name {
    /// Reads the next element as a name.
    pub(crate) fn read(der: &mut Der<'_>) -> Result<Name> {
        let found = der.read()?;
        if found.tag != der::SEQUENCE {
            return Err(Bad("has something else where a name must be"));
        }
        let mut rdns = Vec::new();
        let mut parts = Der::new(found.value);
        while !parts.is_empty() {
            rdns.push(Der::new(parts.expect(der::SET)?).each(attribute)?);
        }
        let canon = rdns.iter().map(|rdn| canon_of(rdn)).collect();
        Ok(Name { rdns, canon })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rdns.is_empty()
    }

    /// What equal names share, for maps.
    pub(crate) fn key(&self) -> &[Vec<u8>] {
        &self.canon
    }

    /// Whether this name lies in the subtree below `base`.
    pub(crate) fn is_below(&self, base: &Name) -> bool {
        self.canon.starts_with(&base.canon)
    }

    /// The texts of every attribute of that type.
    pub(crate) fn texts<'a>(&'a self, oid: &'a [u8]) -> impl Iterator<Item = &'a str> {
        self.rdns.iter().flatten().filter(move |a| a.oid == oid).filter_map(|a| a.text.as_deref())
    }

    /// The name for people, in the order of the certificate: `C=DE, O=Example, CN=example.org`.
    pub(crate) fn text(&self) -> String {
        let part = |a: &Attribute| format!("{}={}", label(&a.oid), a.text.as_deref().unwrap_or("?"));
        let rdn = |r: &Vec<Attribute>| r.iter().map(part).collect::<Vec<_>>().join("+");
        self.rdns.iter().map(rdn).collect::<Vec<_>>().join(", ")
    }
}

fn attribute(set: &mut Der<'_>) -> Result<Attribute> {
    let mut pair = set.sequence()?;
    let oid = der::oid(pair.expect(der::OID)?)?.to_vec();
    let value = pair.read()?;
    pair.end()?;
    let text = text(value.tag, value.value)?;
    let canon = canonical(&oid, value.tag, value.value, text.as_deref());
    Ok(Attribute { oid, text, canon })
}

/// The text of a value; none for types that hold no text, or bytes of an old type that are none.
fn text(tag: u8, value: &[u8]) -> Result<Option<String>> {
    match tag {
        UTF8 => std::str::from_utf8(value)
            .map(|t| Some(t.to_string()))
            .map_err(|_| Bad("has a name that is not UTF-8")),
        PRINTABLE | IA5 => match value.is_ascii() {
            true => Ok(Some(String::from_utf8_lossy(value).into_owned())),
            false => Err(Bad("has a name whose characters its type does not allow")),
        },
        TELETEX => Ok(Some(value.iter().map(|b| char::from(*b)).collect())),
        BMP => units(value, 2),
        UNIVERSAL => units(value, 4),
        _ => Ok(None),
    }
}

fn units(value: &[u8], size: usize) -> Result<Option<String>> {
    let one = |unit: &[u8]| char::from_u32(unit.iter().fold(0, |n, b| n << 8 | u32::from(*b)));
    let text: Option<String> = value.chunks(size).map(one).collect();
    match text.filter(|_| value.len().is_multiple_of(size)) {
        Some(text) => Ok(Some(text)),
        None => Err(Bad("has a name whose characters its type does not allow")),
    }
}

/// Text is compared without regard to case, to its type and to repeated blanks; anything else byte by byte.
fn canonical(oid: &[u8], tag: u8, value: &[u8], text: Option<&str>) -> Vec<u8> {
    let mut all = oid.to_vec();
    all.push(0);
    match text {
        Some(text) => {
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
fn canon_of(rdn: &[Attribute]) -> Vec<u8> {
    let mut parts: Vec<&[u8]> = rdn.iter().map(|a| a.canon.as_slice()).collect();
    parts.sort_unstable();
    let mut all = Vec::new();
    for part in parts {
        all.extend_from_slice(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        all.extend_from_slice(part);
    }
    all
}

fn label(oid: &[u8]) -> String {
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
        _ => return oid::dotted(oid),
    };
    known.to_string()
}
