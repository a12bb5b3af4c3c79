//! One certificate, read strictly.

use super::alg::Algorithm;
use super::der::{self, Bad, Der, Result, context, explicit};
use super::dn::Name;
use super::ext::Extensions;
use super::reason::{Code, Reason};
use super::spki::Key;
use super::time::Time;

/// A certificate that is well-formed; nothing else is said of it yet.
#[derive(Clone, Debug)]
pub struct Cert {
    pub(crate) der: Vec<u8>,
    /// The signed part.
    pub(crate) signed: Vec<u8>,
    /// 1, 2 or 3.
    pub(crate) version: u8,
    /// The serial number's content bytes.
    pub(crate) serial: Vec<u8>,
    pub(crate) algorithm: Algorithm,
    /// Whether the signed part and the signature name the same algorithm.
    pub(crate) same_algorithm: bool,
    pub(crate) issuer: Name,
    pub(crate) subject: Name,
    pub(crate) not_before: Time,
    pub(crate) not_after: Time,
    /// The content of the SubjectPublicKeyInfo.
    pub(crate) spki: Vec<u8>,
    pub(crate) key: Key,
    pub(crate) ext: Extensions,
    pub(crate) signature: Vec<u8>,
}

impl Cert {
    /// Reads one certificate.
    ///
    /// # Errors
    /// `malformed`, when the bytes are not one certificate in DER, or an extension that decides is not what it must be.
    pub fn parse(bytes: &[u8]) -> std::result::Result<Cert, Reason> {
        read(bytes).map_err(|Bad(why)| Reason::new(Code::Malformed, "", format!("the certificate {why}")))
    }

    /// The certificate's DER.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The subject for people; the first alternative name where the subject is empty.
    pub fn subject(&self) -> String {
        match self.subject.is_empty() {
            false => self.subject.text(),
            true => self.ext.names().first().map(super::general::General::text).unwrap_or_default(),
        }
    }

    /// When its time begins and ends, in seconds since 1970; both moments belong to it.
    pub fn validity(&self) -> (i64, i64) {
        (self.not_before.at, self.not_after.at)
    }

    /// Whether subject and issuer are the same name.
    pub(crate) fn self_issued(&self) -> bool {
        self.subject == self.issuer
    }

    pub(crate) fn reason(&self, code: Code, detail: impl Into<String>) -> Reason {
        Reason::new(code, self.subject(), detail)
    }
}

fn read(bytes: &[u8]) -> Result<Cert> {
    let mut whole = Der::new(bytes);
    let mut outer = whole.sequence()?;
    whole.end()?;
    let signed = outer.read()?;
    let algorithm = outer.expect(der::SEQUENCE)?;
    let signature = der::octets(outer.expect(der::BIT_STRING)?)?.to_vec();
    outer.end()?;
    if signed.tag != der::SEQUENCE {
        return Err(Bad("has no signed part"));
    }
    let mut cert = signed_part(Der::new(signed.value), algorithm)?;
    cert.der = bytes.to_vec();
    cert.signed = signed.whole.to_vec();
    cert.signature = signature;
    Ok(cert)
}

fn signed_part(mut tbs: Der<'_>, outer_algorithm: &[u8]) -> Result<Cert> {
    let version = tbs.optional(explicit(0))?.map(version).transpose()?.unwrap_or(1);
    let serial = der::integer(tbs.expect(der::INTEGER)?)?.to_vec();
    let inner_algorithm = tbs.expect(der::SEQUENCE)?;
    let issuer = Name::read(&mut tbs)?;
    let mut times = tbs.sequence()?;
    let (not_before, not_after) = (Time::read(&mut times)?, Time::read(&mut times)?);
    times.end()?;
    let subject = Name::read(&mut tbs)?;
    let spki = tbs.expect(der::SEQUENCE)?.to_vec();
    unique_ids(&mut tbs, version)?;
    let ext = extensions(&mut tbs, version)?;
    tbs.end()?;
    Ok(Cert {
        der: Vec::new(),
        signed: Vec::new(),
        version,
        serial,
        algorithm: Algorithm::read(outer_algorithm)?,
        same_algorithm: inner_algorithm == outer_algorithm,
        issuer,
        subject,
        not_before,
        not_after,
        key: Key::read(&spki)?,
        spki,
        ext,
        signature: Vec::new(),
    })
}

fn version(value: &[u8]) -> Result<u8> {
    match der::small(der::only(value, der::INTEGER)?)? {
        // DER leaves out the default; every validator takes it spelled out, here and below.
        n @ 0..=2 => Ok(u8::try_from(n + 1).unwrap_or(3)),
        _ => Err(Bad("has an unknown version")),
    }
}

fn unique_ids(tbs: &mut Der<'_>, version: u8) -> Result<()> {
    let issuer = tbs.optional(context(1))?;
    let subject = tbs.optional(context(2))?;
    match version == 1 && (issuer.is_some() || subject.is_some()) {
        true => Err(Bad("has unique identifiers that its version does not know")),
        false => Ok(()),
    }
}

fn extensions(tbs: &mut Der<'_>, version: u8) -> Result<Extensions> {
    match tbs.optional(explicit(3))? {
        Some(_) if version != 3 => Err(Bad("has extensions that its version does not know")),
        Some(value) => Extensions::read(value),
        None => Ok(Extensions::default()),
    }
}
