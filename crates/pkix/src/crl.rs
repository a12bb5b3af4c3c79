//! One certificate revocation list, read strictly.

use super::alg::Algorithm;
use super::der::{self, Bad, Der, Result, context, explicit};
use super::dn::Name;
use super::ext::{self, Raw};
use super::general::General;
use super::oid;
use super::reason::{Code, Reason};
use super::time::Time;
use std::collections::HashMap;

/// A revocation list that is well-formed; whether it may be used for a certificate is decided at each use.
#[derive(Clone, Debug)]
pub struct Crl {
    pub(crate) signed: Vec<u8>,
    pub(crate) algorithm: Algorithm,
    pub(crate) same_algorithm: bool,
    pub(crate) signature: Vec<u8>,
    pub(crate) issuer: Name,
    pub(crate) this_update: i64,
    /// None in a list that nobody promised to replace.
    pub(crate) next_update: Option<i64>,
    /// By serial number.
    pub(crate) revoked: HashMap<Vec<u8>, Entry>,
    /// What RFC 5280 (5.1.2) wants otherwise in the list's form, and common clients take.
    pub(crate) informal: Option<&'static str>,
    /// A serial number that is listed twice, or an entry with a critical extension that is unknown here.
    pub(crate) odd_entry: Option<&'static str>,
    pub(crate) points: Option<Scope>,
    pub(crate) number: Option<Number>,
    /// The number of the list whose changes it tells; a complete list has none.
    pub(crate) base: Option<Vec<u8>>,
    pub(crate) unknown_critical: bool,
}

/// The number of a list, without its sign byte.
#[derive(Clone, Debug)]
pub(crate) struct Number {
    pub(crate) critical: bool,
    pub(crate) value: Vec<u8>,
}

/// What a list says of one certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// When it was revoked, in seconds since 1970.
    pub at: i64,
    /// The reason's number (RFC 5280, 5.3.1), where one is given.
    pub reason: Option<u8>,
}

impl Entry {
    /// removeFromCRL: a delta list takes back what its base says.
    pub(crate) fn takes_back(self) -> bool {
        self.reason == Some(8)
    }

    /// The reason for people.
    pub fn reason(self) -> Option<&'static str> {
        Some(match self.reason? {
            1 => "its key is compromised",
            2 => "its authority is compromised",
            3 => "its affiliation has changed",
            4 => "it is superseded",
            5 => "it is no longer in operation",
            6 => "it is on hold",
            9 => "its privilege is withdrawn",
            _ => return None,
        })
    }
}

/// What a list is about (issuing distribution point).
#[derive(Clone, Debug, Default, PartialEq)]
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
    /// `malformed`, when the bytes are not one list in DER.
    pub fn parse(bytes: &[u8]) -> std::result::Result<Crl, Reason> {
        read(bytes).map_err(|Bad(why)| Reason::new(Code::Malformed, "", format!("the revocation list {why}")))
    }

    /// Who issued it, for people.
    pub fn issuer(&self) -> String {
        self.issuer.text()
    }

    /// When it was made and when its successor is due, in seconds since 1970; some lists promise none.
    pub fn validity(&self) -> (i64, Option<i64>) {
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
    let version = tbs.optional(der::INTEGER)?.map(der::small).transpose()?;
    if version.is_some_and(|v| v > 1) {
        return Err(Bad("is of an unknown version"));
    }
    let inner_algorithm = tbs.expect(der::SEQUENCE)?;
    let issuer = Name::read(&mut tbs)?;
    let this_update = Time::read(&mut tbs)?;
    let next_update = match tbs.starts_with(der::UTC_TIME) || tbs.starts_with(der::GENERALIZED_TIME) {
        true => Some(Time::read(&mut tbs)?),
        false => None,
    };
    let informal = match next_update {
        _ if version != Some(1) => Some("it is not of version 2"),
        None => Some("it has no next update"),
        Some(next) if !(next.in_its_form() && this_update.in_its_form()) => {
            Some("a time is in the wrong form")
        }
        Some(_) => None,
    };
    let mut crl = Crl {
        signed: Vec::new(),
        algorithm: Algorithm::read(outer_algorithm)?,
        same_algorithm: inner_algorithm == outer_algorithm,
        signature: Vec::new(),
        issuer,
        this_update: this_update.at,
        next_update: next_update.map(|t| t.at),
        revoked: HashMap::new(),
        informal,
        odd_entry: None,
        points: None,
        number: None,
        base: None,
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

impl Crl {
    fn entry(&mut self, list: &mut Der<'_>) -> Result<()> {
        let mut parts = list.sequence()?;
        let serial = der::integer(parts.expect(der::INTEGER)?)?.to_vec();
        let mut entry = Entry { at: Time::read(&mut parts)?.at, reason: None };
        if let Some(extensions) = parts.optional(der::SEQUENCE)? {
            for raw in Der::new(extensions).each(Raw::read)? {
                if raw.oid == oid::REASON_CODE {
                    let [reason] = der::only(raw.value, der::ENUMERATED)? else {
                        return Err(Bad("has a malformed reason"));
                    };
                    entry.reason = Some(*reason);
                }
                let known = matches!(raw.oid, oid::REASON_CODE | oid::INVALIDITY_DATE);
                if raw.critical && !known {
                    self.odd_entry = Some("an entry has a critical extension that is unknown here");
                }
            }
        }
        if self.revoked.insert(serial, entry).is_some() {
            self.odd_entry = Some("a serial number is listed twice");
        }
        parts.end()
    }

    fn extension(&mut self, list: &mut Der<'_>) -> Result<()> {
        let raw = Raw::read(list)?;
        match raw.oid {
            oid::CRL_NUMBER => {
                self.number = Some(Number { critical: raw.critical, value: number(raw.value)? });
            }
            oid::DELTA_CRL => self.base = Some(number(raw.value)?),
            oid::ISSUING_POINT => self.points = Some(scope(raw.value)?),
            oid::AUTHORITY_KEY_ID | oid::ISSUER_ALT_NAME | oid::FRESHEST_CRL | oid::AUTHORITY_INFO => {}
            _ => self.unknown_critical |= raw.critical,
        }
        Ok(())
    }
}

fn number(value: &[u8]) -> Result<Vec<u8>> {
    let value = der::integer(der::only(value, der::INTEGER)?)?;
    Ok(value.strip_prefix(&[0]).unwrap_or(value).to_vec())
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
