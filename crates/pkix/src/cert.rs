//! One certificate, read strictly (RFC 5280, 4.1).

use crate::der::{self, Der, Malformed, Result, Time, context_tag, explicit_tag};
use crate::extensions::Extensions;
use crate::key::Key;
use crate::name::{DistinguishedName, GeneralName};
use crate::request::{Code, Reason};
use crate::signature::{Frame, SignatureFault, Signed};

/// A certificate that is well-formed; nothing else is said of it yet.
#[derive(Clone, Debug)]
pub struct Cert {
    pub(crate) der: Vec<u8>,
    pub(crate) signed: Signed,
    /// 1, 2 or 3.
    pub(crate) version: u8,
    /// The serial number's content bytes.
    pub(crate) serial: Vec<u8>,
    pub(crate) issuer: DistinguishedName,
    pub(crate) subject: DistinguishedName,
    pub(crate) not_before: Time,
    pub(crate) not_after: Time,
    /// The content of the SubjectPublicKeyInfo.
    pub(crate) spki: Vec<u8>,
    pub(crate) key: Key,
    pub(crate) ext: Extensions,
}

impl Cert {
    /// Reads one certificate.
    ///
    /// # Errors
    /// `malformed`, when the bytes are not one certificate in DER, or an extension that decides is not what it must be.
    pub fn parse(bytes: &[u8]) -> std::result::Result<Cert, Reason> {
        let malformed = |Malformed(why)| Reason::new(Code::Malformed, "", format!("the certificate {why}"));
        read_certificate(bytes).map_err(malformed)
    }

    /// The subject for people; the first alternative name where the subject is empty (RFC 5280, 4.1.2.6).
    pub fn subject(&self) -> String {
        match self.subject.is_empty() {
            false => self.subject.text(),
            true => self.ext.names().first().map(GeneralName::text).unwrap_or_default(),
        }
    }

    /// When its validity begins and ends, in seconds since 1970; both moments belong to it (RFC 5280, 4.1.2.5).
    pub fn validity(&self) -> (i64, i64) {
        (self.not_before.at, self.not_after.at)
    }

    /// Whether subject and issuer are the same name.
    pub(crate) fn is_self_issued(&self) -> bool {
        self.subject == self.issuer
    }

    /// Whether the certificate's own key signed it. Names tell it only where the algorithm cannot be judged here: a new
    /// key of an authority is certified by its old one under the same name, and a root may name another as its issuer.
    pub(crate) fn is_self_signed(&self) -> bool {
        match self.signed.verify_with(&self.key) {
            Ok(()) => true,
            Err(SignatureFault::Wrong) => false,
            Err(SignatureFault::Unknown(_)) => self.is_self_issued(),
        }
    }

    pub(crate) fn reason(&self, code: Code, detail: impl Into<String>) -> Reason {
        Reason::new(code, self.subject(), detail)
    }
}

fn read_certificate(bytes: &[u8]) -> Result<Cert> {
    let frame = Frame::read_der(bytes)?;
    let mut tbs = Der::new(frame.body.value);
    let version = tbs.read_optional(explicit_tag(0))?.map(read_version).transpose()?.unwrap_or(1);
    let serial = der::check_integer(tbs.expect_tag(der::INTEGER)?)?.to_vec();
    let algorithm = tbs.expect_tag(der::SEQUENCE)?;
    let issuer = DistinguishedName::read_der(&mut tbs)?;
    let mut times = tbs.read_sequence()?;
    let (not_before, not_after) = (Time::read_der(&mut times)?, Time::read_der(&mut times)?);
    times.expect_end()?;
    let subject = DistinguishedName::read_der(&mut tbs)?;
    let spki = tbs.expect_tag(der::SEQUENCE)?.to_vec();
    read_unique_ids(&mut tbs, version)?;
    let ext = read_extensions(&mut tbs, version)?;
    tbs.expect_end()?;
    // A key that is malformed or unknown does not make the certificate malformed: it may be a stranger's on no path.
    let key = Key::read_der(&spki)?;
    let signed = frame.into_signed(algorithm)?;
    let der = bytes.to_vec();
    Ok(Cert { der, signed, version, serial, issuer, subject, not_before, not_after, spki, key, ext })
}

fn read_version(value: &[u8]) -> Result<u8> {
    match der::read_small(der::read_value(value, der::INTEGER)?)? {
        // DER leaves out the default; every validator takes it spelled out, here and below.
        n @ 0..=2 => Ok(u8::try_from(n + 1).unwrap_or(3)),
        _ => Err(Malformed("has an unknown version")),
    }
}

fn read_unique_ids(tbs: &mut Der<'_>, version: u8) -> Result<()> {
    let issuer = tbs.read_optional(context_tag(1))?;
    let subject = tbs.read_optional(context_tag(2))?;
    match version == 1 && (issuer.is_some() || subject.is_some()) {
        true => Err(Malformed("has unique identifiers that its version does not know")),
        false => Ok(()),
    }
}

fn read_extensions(tbs: &mut Der<'_>, version: u8) -> Result<Extensions> {
    match tbs.read_optional(explicit_tag(3))? {
        Some(_) if version != 3 => Err(Malformed("has extensions that its version does not know")),
        Some(value) => Extensions::read_der(value),
        None => Ok(Extensions::default()),
    }
}
