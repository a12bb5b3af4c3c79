//! One certificate revocation list, read strictly.

use super::alg::Algorithm;
use super::der::{self, Bad, Der, Result, context, explicit};
use super::dn::Name;
use super::ext::{self, Raw};
use super::general::General;
use super::oid;
use super::reason::{Code, Reason};
use super::time::Time;
use std::collections::HashSet;

/// A revocation list that is well-formed; whether it may be used for a certificate is decided at each use.
#[derive(Clone, Debug)]
pub struct Crl {
    pub(crate) signed: Vec<u8>,
    pub(crate) algorithm: Algorithm,
    pub(crate) same_algorithm: bool,
    pub(crate) signature: Vec<u8>,
    pub(crate) issuer: Name,
    pub(crate) this_update: i64,
    pub(crate) next_update: i64,
    pub(crate) revoked: HashSet<Vec<u8>>,
    /// A serial number that is listed twice, or an entry with a critical extension that is unknown here.
    pub(crate) odd_entry: Option<&'static str>,
    pub(crate) points: Option<Scope>,
    /// The number's criticality, if there is a number.
    pub(crate) number: Option<bool>,
    pub(crate) delta: bool,
    pub(crate) unknown_critical: bool,
}

/// What a list is about (issuing distribution point).
#[derive(Clone, Debug, Default)]
pub(crate) struct Scope {
    /// The names it is published at; none in the list when they are relative to its issuer.
    pub(crate) names: Option<Vec<General>>,
    pub(crate) only_leaves: bool,
    pub(crate) only_authorities: bool,
    pub(crate) only_some_reasons: bool,
    pub(crate) indirect: bool,
    pub(crate) only_attributes: bool,
}

impl Crl {
    /// Reads one list.
    ///
    /// # Errors
    /// `malformed`, when the bytes are not one list of version 2 in DER, with a next update and with times in the
    /// form that RFC 5280 (5.1.2) demands.
    pub fn parse(bytes: &[u8]) -> std::result::Result<Crl, Reason> {
        read(bytes).map_err(|Bad(why)| Reason::new(Code::Malformed, "", format!("the revocation list {why}")))
    }

    /// Who issued it, for people.
    pub fn issuer(&self) -> String {
        self.issuer.text()
    }

    /// When it was made and when its successor is due, in seconds since 1970.
    pub fn validity(&self) -> (i64, i64) {
        (self.this_update, self.next_update)
    }

    /// How many certificates it revokes.
    pub fn len(&self) -> usize {
        self.revoked.len()
    }

    /// Whether it revokes none.
    pub fn is_empty(&self) -> bool {
        self.revoked.is_empty()
    }
}

fn read(bytes: &[u8]) -> Result<Crl> {
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
    let mut crl = signed_part(Der::new(signed.value), algorithm)?;
    crl.signed = signed.whole.to_vec();
    crl.signature = signature;
    Ok(crl)
}

fn signed_part(mut tbs: Der<'_>, outer_algorithm: &[u8]) -> Result<Crl> {
    if tbs.optional(der::INTEGER)?.map(der::small).transpose()? != Some(1) {
        return Err(Bad("is not of version 2"));
    }
    let inner_algorithm = tbs.expect(der::SEQUENCE)?;
    let issuer = Name::read(&mut tbs)?;
    let this_update = moment(&mut tbs)?;
    let next_update = match tbs.is_empty() {
        false => moment(&mut tbs).map_err(|_| Bad("has no next update in its form"))?,
        true => return Err(Bad("has no next update")),
    };
    let mut crl = Crl {
        signed: Vec::new(),
        algorithm: Algorithm::read(outer_algorithm)?,
        same_algorithm: inner_algorithm == outer_algorithm,
        signature: Vec::new(),
        issuer,
        this_update,
        next_update,
        revoked: HashSet::new(),
        odd_entry: None,
        points: None,
        number: None,
        delta: false,
        unknown_critical: false,
    };
    if let Some(list) = tbs.optional(der::SEQUENCE)? {
        Der::new(list).each(|d| crl.entry(d))?;
    }
    if let Some(list) = tbs.optional(explicit(0))? {
        der::only_sequence(list)?.each(|d| crl.extension(d))?;
    }
    tbs.end()?;
    Ok(crl)
}

fn moment(tbs: &mut Der<'_>) -> Result<i64> {
    match Time::read(tbs)? {
        time if time.in_its_form() => Ok(time.at),
        _ => Err(Bad("has a time in the wrong form")),
    }
}

impl Crl {
    fn entry(&mut self, list: &mut Der<'_>) -> Result<()> {
        let mut parts = list.sequence()?;
        let serial = der::integer(parts.expect(der::INTEGER)?)?.to_vec();
        Time::read(&mut parts)?;
        if let Some(extensions) = parts.optional(der::SEQUENCE)? {
            for raw in Der::new(extensions).each(Raw::read)? {
                let known = matches!(raw.oid, oid::REASON_CODE | oid::INVALIDITY_DATE);
                if raw.critical && !known {
                    self.odd_entry = Some("an entry has a critical extension that is unknown here");
                }
            }
        }
        if !self.revoked.insert(serial) {
            self.odd_entry = Some("a serial number is listed twice");
        }
        parts.end()
    }

    fn extension(&mut self, list: &mut Der<'_>) -> Result<()> {
        let raw = Raw::read(list)?;
        match raw.oid {
            oid::CRL_NUMBER => {
                der::integer(der::only(raw.value, der::INTEGER)?)?;
                self.number = Some(raw.critical);
            }
            oid::DELTA_CRL => self.delta = true,
            oid::ISSUING_POINT => self.points = Some(scope(raw.value)?),
            oid::AUTHORITY_KEY_ID | oid::ISSUER_ALT_NAME | oid::FRESHEST_CRL | oid::AUTHORITY_INFO => {}
            _ => self.unknown_critical |= raw.critical,
        }
        Ok(())
    }
}

fn scope(value: &[u8]) -> Result<Scope> {
    let mut parts = der::only_sequence(value)?;
    let names = parts.optional(explicit(0))?.map(ext::full_names).transpose()?;
    let mut flag = |n| parts.optional(context(n))?.map(der::boolean).transpose().map(|f| f.unwrap_or(false));
    let (only_leaves, only_authorities) = (flag(1)?, flag(2)?);
    let only_some_reasons = parts.optional(context(3))?.is_some();
    let mut flag = |n| parts.optional(context(n))?.map(der::boolean).transpose().map(|f| f.unwrap_or(false));
    let (indirect, only_attributes) = (flag(4)?, flag(5)?);
    parts.end()?;
    Ok(Scope { names, only_leaves, only_authorities, only_some_reasons, indirect, only_attributes })
}
