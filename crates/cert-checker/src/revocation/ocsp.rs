//! A stapled OCSP answer (RFC 6960), read by hand: few fields, and no request is ever made.

use crate::facts::{CertFacts, UnixSeconds};
use crate::files::containers::{Element, read_element, read_elements};
use crate::rules;
use toban_core::check::Finding;
use toban_core::sum::hex;
use x509_parser::prelude::FromDer;
use x509_parser::time::ASN1Time;

/// What an answer says.
pub(crate) struct OcspAnswer<'a> {
    /// The BasicOCSPResponse: what is signed, how, and the signature.
    basic: &'a [u8],
    /// Certificates of whoever signed in the issuer's name.
    signers: Vec<&'a [u8]>,
    singles: Vec<SingleResponse>,
}

struct SingleResponse {
    serial: String,
    /// The tag: 0x80 good, 0xa1 revoked, 0x82 unknown.
    status: u8,
    this_update: UnixSeconds,
    next_update: Option<UnixSeconds>,
}

/// The answer in `staple`.
pub(crate) fn read_answer(staple: &[u8]) -> Result<OcspAnswer<'_>, String> {
    parse_answer(staple).ok_or_else(|| "it cannot be read".to_string())
}

fn parse_answer(staple: &[u8]) -> Option<OcspAnswer<'_>> {
    let outer = read_elements(read_element(staple)?.0.body);
    // ENUMERATED successful (0), then [0] with id-pkix-ocsp-basic and an octet string.
    (outer.first()?.tag == 0x0a && outer.first()?.body == [0]).then_some(())?;
    let bytes = read_elements(read_element(outer.get(1)?.body)?.0.body);
    let basic = read_element(bytes.get(1)?.body)?.0;
    let parts = read_elements(basic.body);
    let (tbs, _algorithm, _signature) = (parts.first()?, parts.get(1)?, parts.get(2)?);
    let signers = parts.get(3).map(|e| read_elements(e.body)).unwrap_or_default();
    let signers = signers.first().map(|list| read_elements(list.body)).unwrap_or_default();
    let list = read_elements(tbs.body).into_iter().find(|e| e.tag == 0x30)?;
    Some(OcspAnswer {
        basic: basic.whole,
        signers: signers.iter().map(|s| s.whole).collect(),
        singles: read_elements(list.body).iter().filter_map(read_single).collect(),
    })
}

fn read_single(one: &Element<'_>) -> Option<SingleResponse> {
    let parts = read_elements(one.body);
    let serial = read_elements(parts.first()?.body).get(3)?.body;
    let next = parts.iter().skip(3).find(|e| e.tag == 0xa0).and_then(|e| read_time(e.body));
    let this_update = read_time(parts.get(2)?.whole)?;
    Some(SingleResponse { serial: hex(serial), status: parts.get(1)?.tag, this_update, next_update: next })
}

fn read_time(der: &[u8]) -> Option<UnixSeconds> {
    ASN1Time::from_der(der).ok().map(|(_, t)| UnixSeconds(t.timestamp()))
}

impl OcspAnswer<'_> {
    /// What it says of `leaf`.
    pub(crate) fn judge_certificate(
        &self,
        leaf: &CertFacts,
        issuer: Option<&CertFacts>,
        at: UnixSeconds,
    ) -> Result<Vec<Finding>, String> {
        let issuer = issuer.ok_or("the issuer's certificate is not known")?;
        self.check_signature(issuer, at)?;
        // By the serial number alone: the signature has proven the issuer, and an issuer numbers each certificate once.
        let single = self.singles.iter().find(|s| s.serial == leaf.serial);
        let single = single.ok_or("it is about another certificate")?;
        // RFC 6960, 3.2, 5 and 6: an answer from the future or past its next update may hide what was revoked since.
        if single.this_update > at {
            return Err(format!("its time begins on {}", single.this_update));
        }
        if let Some(next) = single.next_update.filter(|next| *next < at) {
            let text = format!("the stapled OCSP answer should have been replaced on {next}");
            return Ok(vec![rules::warning(&rules::STAPLE_EXPIRED, text)]);
        }
        match single.status {
            0x80 => Ok(Vec::new()),
            0xa1 => {
                let text = format!("{} has revoked it, by the stapled OCSP answer", issuer.title());
                Ok(vec![rules::critical(&rules::REVOKED, text)])
            }
            _ => Err("its issuer does not know the certificate".into()),
        }
    }

    /// Signed by the issuer, or by a delegate whom the issuer named for it (RFC 6960, 4.2.2.2). A delegate whose own signature
    /// cannot be judged here is none, for it is the server that sends this certificate.
    fn check_signature(&self, issuer: &CertFacts, at: UnixSeconds) -> Result<(), String> {
        let delegates = self
            .signers
            .iter()
            .filter_map(|der| CertFacts::read_der(der).ok())
            .filter(|c| c.signed_by(issuer) == Some(true) && (c.not_before..=c.not_after).contains(&at))
            .filter(|c| {
                c.issuer_der == issuer.subject_der && c.extensions.usages.iter().any(|u| u == "OCSPSigning")
            });
        let signers = std::iter::once(issuer.clone()).chain(delegates);
        let signed_by = |signer: CertFacts| pkix::is_signed_by(self.basic, &signer.key.spki) == Some(true);
        match signers.into_iter().any(signed_by) {
            true => Ok(()),
            false => Err("its signature is not the issuer's".into()),
        }
    }
}
