//! Certificate revocation lists, and whether they revoke a certificate (RFC 5280, 5 and 6.3).

use crate::cert::Cert;
use crate::der::{self, Der, Malformed, Result, Time, context_tag, explicit_tag};
use crate::extensions::{RawExtension, SIGN_CRLS, read_full_names};
use crate::name::{DistinguishedName, GeneralName};
use crate::oid;
use crate::profile::Profile;
use crate::request::{Code, Reason, Request};
use crate::signature::{Frame, Signed};
use std::collections::HashMap;

/// A revocation list that is well-formed; whether it may be used for a certificate is decided at each use.
#[derive(Clone, Debug)]
pub struct Crl {
    signed: Signed,
    issuer: DistinguishedName,
    this_update: i64,
    /// None in a list that no one promised to replace.
    next_update: Option<i64>,
    /// By serial number.
    revoked: HashMap<Vec<u8>, Revocation>,
    /// What RFC 5280 (5.1.2) wants otherwise in the list's form, and common clients take.
    informal: Option<&'static str>,
    /// A serial number that is listed twice, or an entry with a critical extension that is unknown here.
    bad_entry: Option<&'static str>,
    scope: Option<Scope>,
    number: Option<CrlNumber>,
    /// The number of the list whose changes it tells; a complete list has none.
    base: Option<Vec<u8>>,
    unknown_critical: bool,
}

/// The number of a list, without its sign byte.
#[derive(Clone, Debug)]
struct CrlNumber {
    critical: bool,
    value: Vec<u8>,
}

/// What a list says of one certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Revocation {
    /// When it was revoked, in seconds since 1970.
    pub at: i64,
    /// The reason's number (RFC 5280, 5.3.1), where one is given.
    pub reason: Option<u8>,
}

impl Revocation {
    /// removeFromCRL: a delta list takes back what its base says.
    fn takes_back(self) -> bool {
        self.reason == Some(8)
    }

    /// The reason for people.
    pub fn reason_text(self) -> Option<&'static str> {
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
struct Scope {
    /// The names it is published at; none in the list when they are relative to its issuer.
    names: Option<Vec<GeneralName>>,
    only_leaves: bool,
    only_authorities: bool,
    only_some_reasons: bool,
    indirect: bool,
    only_attributes: bool,
}

impl Crl {
    /// Reads one list.
    ///
    /// # Errors
    /// `malformed`, when the bytes are not one list in DER.
    pub fn parse(bytes: &[u8]) -> std::result::Result<Crl, Reason> {
        let malformed =
            |Malformed(why)| Reason::new(Code::Malformed, "", format!("the revocation list {why}"));
        read_list(bytes).map_err(malformed)
    }

    /// When it was made and when its successor is due, in seconds since 1970; some lists promise none.
    pub fn validity(&self) -> (i64, Option<i64>) {
        (self.this_update, self.next_update)
    }
}

fn read_list(bytes: &[u8]) -> Result<Crl> {
    let frame = Frame::read_der(bytes)?;
    let mut tbs = Der::new(frame.body.value);
    let version = tbs.read_optional(der::INTEGER)?.map(der::read_small).transpose()?;
    // Lists of version 1 have no extensions and are still made; what they lack matters only to strict profiles.
    if version.is_some_and(|v| v > 1) {
        return Err(Malformed("is of an unknown version"));
    }
    let algorithm = tbs.expect_tag(der::SEQUENCE)?;
    let issuer = DistinguishedName::read_der(&mut tbs)?;
    let this_update = Time::read_der(&mut tbs)?;
    let next_update = match tbs.starts_with(der::UTC_TIME) || tbs.starts_with(der::GENERALIZED_TIME) {
        true => Some(Time::read_der(&mut tbs)?),
        false => None,
    };
    let informal = match next_update {
        _ if version != Some(1) => Some("it is not of version 2"),
        None => Some("it has no next update"),
        Some(next) if !(next.has_right_form() && this_update.has_right_form()) => {
            Some("a time is in the wrong form")
        }
        Some(_) => None,
    };
    let mut crl = Crl {
        signed: frame.into_signed(algorithm)?,
        issuer,
        this_update: this_update.at,
        next_update: next_update.map(|t| t.at),
        revoked: HashMap::new(),
        informal,
        bad_entry: None,
        scope: None,
        number: None,
        base: None,
        unknown_critical: false,
    };
    if let Some(list) = tbs.read_optional(der::SEQUENCE)? {
        Der::new(list).read_each(|d| crl.read_entry(d))?;
    }
    if let Some(list) = tbs.read_optional(explicit_tag(0))? {
        der::read_sequence(list)?.read_each(|d| crl.read_extension(d))?;
    }
    tbs.expect_end()?;
    Ok(crl)
}

impl Crl {
    fn read_entry(&mut self, list: &mut Der<'_>) -> Result<()> {
        let mut parts = list.read_sequence()?;
        let serial = der::check_integer(parts.expect_tag(der::INTEGER)?)?.to_vec();
        let mut entry = Revocation { at: Time::read_der(&mut parts)?.at, reason: None };
        if let Some(extensions) = parts.read_optional(der::SEQUENCE)? {
            for raw in Der::new(extensions).read_each(RawExtension::read_der)? {
                if raw.oid == oid::REASON_CODE {
                    let [reason] = der::read_value(raw.value, der::ENUMERATED)? else {
                        return Err(Malformed("has a malformed reason"));
                    };
                    entry.reason = Some(*reason);
                }
                // An entry's critical extension may say that it is not about this issuer's certificate at all (5.3.3), so that
                // one that is unknown here spoils the whole list (5.3).
                let known = matches!(raw.oid, oid::REASON_CODE | oid::INVALIDITY_DATE);
                if raw.critical && !known {
                    self.bad_entry = Some("an entry has a critical extension that is unknown here");
                }
            }
        }
        // Two entries for one number contradict each other or nothing; which one counts is not ours to guess.
        if self.revoked.insert(serial, entry).is_some() {
            self.bad_entry = Some("a serial number is listed twice");
        }
        parts.expect_end()
    }

    fn read_extension(&mut self, list: &mut Der<'_>) -> Result<()> {
        let raw = RawExtension::read_der(list)?;
        match raw.oid {
            oid::CRL_NUMBER => {
                self.number = Some(CrlNumber { critical: raw.critical, value: read_number(raw.value)? });
            }
            oid::DELTA_CRL => self.base = Some(read_number(raw.value)?),
            oid::ISSUING_POINT => self.scope = Some(read_scope(raw.value)?),
            oid::AUTHORITY_KEY_ID | oid::ISSUER_ALT_NAME | oid::FRESHEST_CRL | oid::AUTHORITY_INFO => {}
            _ => self.unknown_critical |= raw.critical,
        }
        Ok(())
    }
}

fn read_number(value: &[u8]) -> Result<Vec<u8>> {
    let value = der::check_integer(der::read_value(value, der::INTEGER)?)?;
    Ok(value.strip_prefix(&[0]).unwrap_or(value).to_vec())
}

fn read_scope(value: &[u8]) -> Result<Scope> {
    let mut parts = der::read_sequence(value)?;
    let scope = Scope {
        names: parts.read_optional(explicit_tag(0))?.map(read_full_names).transpose()?,
        only_leaves: der::read_flag(&mut parts, context_tag(1))?,
        only_authorities: der::read_flag(&mut parts, context_tag(2))?,
        only_some_reasons: parts.read_optional(context_tag(3))?.is_some(),
        indirect: der::read_flag(&mut parts, context_tag(4))?,
        only_attributes: der::read_flag(&mut parts, context_tag(5))?,
    };
    parts.expect_end()?;
    Ok(scope)
}

/// What lists say of one certificate. Only `Good` says that it is not revoked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// A genuine list has its number.
    Revoked(Revocation),
    /// A complete, current list covers it and has not its number.
    Good,
    /// Nothing is wrong with the best list but its age: it should have been replaced then.
    Stale(i64),
    /// No list here is of the issuer.
    NoList,
    /// Lists of the issuer are here and none tells, for this reason.
    Unknown(String),
}

/// By whose rules and at what time lists are read.
#[derive(Clone, Copy, Debug)]
pub struct Reading {
    /// Seconds since 1970.
    pub at: i64,
    /// Whose rules.
    pub profile: Profile,
}

/// Looks up every certificate below the anchor.
///
/// # Errors
/// `revoked`, or `revocation-unknown` where a list is due and none can be used.
pub(crate) fn check_revocation(path: &[&Cert], ask: &Request<'_>) -> std::result::Result<(), Reason> {
    for (place, pair) in path.windows(2).enumerate() {
        let leaf_due = place == 0 && (!ask.crls.is_empty() || ask.unreadable_crl.is_some());
        let due = leaf_due || ask.need_crl;
        let reading = Reading { at: ask.at, profile: ask.profile };
        let why = match find_standing(pair[0], pair[1], ask.crls, reading) {
            Standing::Revoked(_) => {
                return Err(pair[0].reason(Code::Revoked, "the issuer's list revokes the certificate"));
            }
            Standing::Good => continue,
            Standing::NoList if !due => continue,
            Standing::NoList => match ask.unreadable_crl {
                Some(why) => format!("its issuer has no revocation list here that can be read: {why}"),
                None => "its issuer has no revocation list here".into(),
            },
            Standing::Stale(_) => "the issuer's revocation list cannot be used: its time is over".into(),
            Standing::Unknown(why) => format!("the issuer's revocation list cannot be used: {why}"),
        };
        return Err(pair[0].reason(Code::RevocationUnknown, why));
    }
    Ok(())
}

/// What `lists` say of `cert` (RFC 5280, 6.3.3).
pub fn find_standing<'l>(
    cert: &Cert,
    issuer: &Cert,
    lists: impl IntoIterator<Item = &'l Crl>,
    reading: Reading,
) -> Standing {
    let mut faults: Vec<ListFault> = Vec::new();
    let mut genuine: Vec<&Crl> = Vec::new();
    // By the issuer's name first: whatever else is wrong with another issuer's list says nothing about this one.
    for list in lists.into_iter().filter(|list| list.issuer == cert.issuer) {
        match list.check_genuine(issuer, reading) {
            Ok(()) => genuine.push(list),
            Err(why) => faults.push(ListFault::Other(why)),
        }
    }
    if let Some(revocation) = find_revocation(cert, &genuine, reading) {
        return Standing::Revoked(revocation);
    }
    for list in genuine {
        // Silence of a list is an answer only where the list would have to speak: complete, of this scope, and in its time.
        match list.check_coverage(cert, reading) {
            Ok(()) => return Standing::Good,
            Err(why) => faults.push(why),
        }
    }
    // What is nearest to an answer is told: a list that was right and is old.
    match faults.into_iter().max() {
        Some(ListFault::Stale(next)) => Standing::Stale(next),
        Some(ListFault::Other(why)) => Standing::Unknown(why),
        None => Standing::NoList,
    }
}

/// Why a list does not answer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum ListFault {
    Other(String),
    Stale(i64),
}

/// An issuer numbers each certificate once, so that whatever list of its has the number speaks of this one: also one of
/// another shard, a delta, or one about some reasons only. Only "not revoked" takes a list that covers the certificate.
fn find_revocation(cert: &Cert, genuine: &[&Crl], reading: Reading) -> Option<Revocation> {
    let found: Vec<(Revocation, &Crl)> =
        genuine.iter().filter_map(|list| Some((*list.revoked.get(&cert.serial)?, *list))).collect();
    // A list that is over is outdone by one that covers the certificate and is newer.
    let is_outdone = |list: &Crl| {
        let newer = |new: &Crl| new.this_update >= list.this_update;
        genuine.iter().any(|new| newer(new) && new.check_coverage(cert, reading).is_ok())
    };
    let now: Vec<&(Revocation, &Crl)> =
        found.iter().filter(|(_, list)| list.is_current(reading) || !is_outdone(list)).collect();
    // A delta takes back only what its own base says (removeFromCRL, 5.3.1): of any other list it knows nothing.
    let stands = |(entry, list): &&&(Revocation, &Crl)| {
        let undone = |(other, delta): &&(Revocation, &Crl)| other.takes_back() && delta.is_delta_of(list);
        !entry.takes_back() && !now.iter().any(undone)
    };
    now.iter().find(stands).map(|(entry, _)| *entry)
}

impl Crl {
    fn is_current(&self, reading: Reading) -> bool {
        self.next_update.is_none_or(|next| reading.at <= next)
    }

    /// Whether this delta tells what has changed since `base` (RFC 5280, 5.2.4): of the same scope, from that number or
    /// an earlier one on, and itself newer.
    fn is_delta_of(&self, base: &Crl) -> bool {
        let (Some(from), Some(own), Some(number)) = (&self.base, &self.number, &base.number) else {
            return false;
        };
        // Without leading zeros the longer number is the larger one.
        let order = |number: &Vec<u8>| (number.len(), number.clone());
        let newer = order(&own.value) > order(&number.value) && self.this_update >= base.this_update;
        base.base.is_none() && self.scope == base.scope && order(from) <= order(&number.value) && newer
    }

    /// Whether the list is the issuer's, is understood, and has begun.
    fn check_genuine(&self, issuer: &Cert, reading: Reading) -> std::result::Result<(), String> {
        if reading.at < self.this_update {
            return Err("its time has not begun".into());
        }
        if self.unknown_critical {
            return Err("it has a critical extension that is unknown here".into());
        }
        if let Some(why) = self.bad_entry {
            return Err(why.into());
        }
        // An indirect list's entries may be of other issuers (RFC 5280, 5.3.3).
        if self.scope.as_ref().is_some_and(|scope| scope.indirect) {
            return Err("it is indirect".into());
        }
        if !issuer.ext.allows_usage(SIGN_CRLS) {
            return Err("its issuer may not sign revocation lists".into());
        }
        match self.signed.same_algorithm && self.signed.verify_with(&issuer.key).is_ok() {
            true => Ok(()),
            false => Err("its signature does not fit its issuer's key".into()),
        }
    }

    /// Whether a certificate that is not on this list is not revoked.
    fn check_coverage(&self, cert: &Cert, reading: Reading) -> std::result::Result<(), ListFault> {
        if self.base.is_some() {
            return Err(ListFault::Other(
                "it only tells what has changed since another list, which is not here".into(),
            ));
        }
        let numbered = self.number.as_ref().is_some_and(|number| !number.critical);
        let unnumbered = (!numbered).then_some("it has no number, or a critical one");
        if let Some(why) = self.informal.or(unnumbered).filter(|_| reading.profile.is_strict()) {
            return Err(ListFault::Other(why.into()));
        }
        if let Some(scope) = &self.scope {
            scope.check_certificate(cert, reading.profile).map_err(ListFault::Other)?;
        }
        match self.next_update {
            Some(next) if reading.at > next => Err(ListFault::Stale(next)),
            _ => Ok(()),
        }
    }
}

impl Scope {
    /// Whether the list is about such a certificate (RFC 5280, 6.3.3 b).
    fn check_certificate(&self, cert: &Cert, profile: Profile) -> std::result::Result<(), String> {
        let authority = cert.ext.is_ca();
        if self.only_attributes || (self.only_leaves && authority) || (self.only_authorities && !authority) {
            return Err("it is about other certificates".into());
        }
        if self.only_some_reasons {
            return Err("it is about some reasons only".into());
        }
        match &self.names {
            Some(names) => check_published_at(names, cert, profile),
            None => Ok(()),
        }
    }
}

/// The list must be one of those that the certificate names: otherwise an old shard of a list would clear a certificate
/// that another shard revokes.
fn check_published_at(
    names: &[GeneralName],
    cert: &Cert,
    profile: Profile,
) -> std::result::Result<(), String> {
    let given: Vec<&GeneralName> = cert.ext.crl_points.iter().flatten().flatten().collect();
    let uri = |name: &GeneralName| matches!(name, GeneralName::Uri(_));
    if profile.is_web() && !(names.iter().all(uri) && given.iter().all(|n| uri(n))) {
        return Err("it, or the certificate, names a distribution point that is no URI".into());
    }
    match names.iter().any(|name| given.contains(&name)) {
        true => Ok(()),
        false => Err("it is for another distribution point than the certificate's".into()),
    }
}
