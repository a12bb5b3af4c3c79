//! A stapled OCSP answer (RFC 6960), read by hand: few fields, and no request is ever made.

use crate::facts::{Cert, Moment, hex};
use crate::finding::Finding;
use crate::store::der::{Element, element, elements};
use x509_parser::asn1_rs::BitString;
use x509_parser::prelude::{AlgorithmIdentifier, FromDer, X509Certificate};
use x509_parser::time::ASN1Time;

/// What an answer says.
pub(super) struct Answer<'a> {
    /// The signed part, as it was sent.
    signed: &'a [u8],
    algorithm: &'a [u8],
    signature: &'a [u8],
    /// Certificates of whoever signed in the issuer's name.
    signers: Vec<&'a [u8]>,
    singles: Vec<Single>,
}

struct Single {
    serial: String,
    /// The tag: 0x80 good, 0xa1 revoked, 0x82 unknown.
    status: u8,
    this_update: Moment,
    next_update: Option<Moment>,
}

/// The answer in `staple`.
///
/// # Errors
/// What it is instead.
pub(super) fn read(staple: &[u8]) -> Result<Answer<'_>, String> {
    parse(staple).ok_or_else(|| "it cannot be read".to_string())
}

fn parse(staple: &[u8]) -> Option<Answer<'_>> {
    let outer = elements(element(staple)?.0.body);
    // ENUMERATED successful (0), then [0] with id-pkix-ocsp-basic and an octet string.
    (outer.first()?.tag == 0x0a && outer.first()?.body == [0]).then_some(())?;
    let bytes = elements(element(outer.get(1)?.body)?.0.body);
    let basic = elements(element(bytes.get(1)?.body)?.0.body);
    let (tbs, algorithm, signature) = (basic.first()?, basic.get(1)?, basic.get(2)?);
    let signers = basic.get(3).map(|e| elements(e.body)).unwrap_or_default();
    let signers = signers.first().map(|list| elements(list.body)).unwrap_or_default();
    let list = elements(tbs.body).into_iter().find(|e| e.tag == 0x30)?;
    Some(Answer {
        signed: tbs.whole,
        algorithm: algorithm.whole,
        signature: signature.body.get(1..)?,
        signers: signers.iter().map(|s| s.whole).collect(),
        singles: elements(list.body).iter().filter_map(single).collect(),
    })
}

fn single(one: &Element<'_>) -> Option<Single> {
    let parts = elements(one.body);
    let serial = elements(parts.first()?.body).get(3)?.body;
    let next = parts.iter().skip(3).find(|e| e.tag == 0xa0).and_then(|e| time(e.body));
    let this_update = time(parts.get(2)?.whole)?;
    Some(Single { serial: hex(serial), status: parts.get(1)?.tag, this_update, next_update: next })
}

fn time(der: &[u8]) -> Option<Moment> {
    ASN1Time::from_der(der).ok().map(|(_, t)| Moment(t.timestamp()))
}

impl Answer<'_> {
    /// What it says of `leaf`.
    ///
    /// # Errors
    /// Why it counts for nothing.
    pub(super) fn judge(
        &self,
        leaf: &Cert,
        issuer: Option<&Cert>,
        at: Moment,
    ) -> Result<Vec<Finding>, String> {
        let issuer = issuer.ok_or("the issuer's certificate is not known")?;
        self.proven(issuer, at)?;
        let single = self.singles.iter().find(|s| s.serial == leaf.serial);
        let single = single.ok_or("it is about another certificate")?;
        if single.this_update > at {
            return Err(format!("its time begins on {}", single.this_update));
        }
        if let Some(next) = single.next_update.filter(|next| *next < at) {
            let says = format!("the stapled OCSP answer should have been replaced on {next}");
            return Ok(vec![Finding::warning("staple-expired", says)]);
        }
        match single.status {
            0x80 => Ok(Vec::new()),
            0xa1 => {
                let says = format!("{} has revoked it, by the stapled OCSP answer", issuer.title());
                Ok(vec![Finding::critical("revoked", says).advise("replace it, and its key")])
            }
            _ => Err("its issuer does not know the certificate".into()),
        }
    }

    /// Signed by the issuer, or by somebody whom the issuer named for it: a signature that cannot be judged here names
    /// nobody, for the server sends this certificate itself.
    fn proven(&self, issuer: &Cert, at: Moment) -> Result<(), String> {
        let delegates = self
            .signers
            .iter()
            .filter_map(|der| Cert::read(der).ok())
            .filter(|c| c.signed_by(issuer) == Some(true) && (c.not_before..=c.not_after).contains(&at))
            .filter(|c| {
                c.issuer_der == issuer.subject_der && c.extensions.usages.iter().any(|u| u == "OCSPSigning")
            });
        let signers = std::iter::once(issuer.clone()).chain(delegates);
        match signers.into_iter().any(|s| self.signed_by(&s)) {
            true => Ok(()),
            false => Err("its signature is not the issuer's".into()),
        }
    }

    fn signed_by(&self, signer: &Cert) -> bool {
        let tried = || {
            let (_, by) = X509Certificate::from_der(&signer.der).ok()?;
            let (_, algorithm) = AlgorithmIdentifier::from_der(self.algorithm).ok()?;
            let signature = BitString::new(0, self.signature);
            let checked =
                x509_parser::verify::verify_signature(by.public_key(), &algorithm, &signature, self.signed);
            checked.ok()
        };
        tried().is_some()
    }
}
