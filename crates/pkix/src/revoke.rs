//! Whether the certificates of a path are revoked (RFC 5280, 6.3), by the lists of their issuers: complete ones, and
//! deltas with their bases.

use super::cert::Cert;
use super::crl::{Crl, Entry, Scope};
use super::ext::SIGN_CRLS;
use super::general::General;
use super::reason::{Code, Reason};
use super::request::{Profile, Request};
use super::sig;

/// What lists say of one certificate. Only `Good` says that it is not revoked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// A genuine list has its number.
    Revoked(Entry),
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
pub(crate) fn check(path: &[&Cert], ask: &Request<'_>) -> Result<(), Reason> {
    for (place, pair) in path.windows(2).enumerate() {
        let leaf_due = place == 0 && (!ask.crls.is_empty() || ask.unreadable_crl.is_some());
        one(pair[0], pair[1], leaf_due || ask.need_crl, ask)?;
    }
    Ok(())
}

fn one(cert: &Cert, issuer: &Cert, due: bool, ask: &Request<'_>) -> Result<(), Reason> {
    let reading = Reading { at: ask.at, profile: ask.profile };
    let why = match standing(cert, issuer, ask.crls, reading) {
        Standing::Revoked(_) => {
            return Err(cert.reason(Code::Revoked, "the issuer's list revokes the certificate"));
        }
        Standing::Good => return Ok(()),
        Standing::NoList if !due => return Ok(()),
        Standing::NoList => match ask.unreadable_crl {
            Some(why) => format!("its issuer has no revocation list here that can be read: {why}"),
            None => "its issuer has no revocation list here".into(),
        },
        Standing::Stale(_) => "the issuer's revocation list cannot be used: its time is over".into(),
        Standing::Unknown(why) => format!("the issuer's revocation list cannot be used: {why}"),
    };
    Err(cert.reason(Code::RevocationUnknown, why))
}

/// What `lists` say of `cert`.
pub fn standing<'l>(
    cert: &Cert,
    issuer: &Cert,
    lists: impl IntoIterator<Item = &'l Crl>,
    reading: Reading,
) -> Standing {
    let lists: Vec<&Crl> = lists.into_iter().filter(|list| list.issuer == cert.issuer).collect();
    if lists.is_empty() {
        return Standing::NoList;
    }
    let mut faults: Vec<Fault> = Vec::new();
    let mut genuine: Vec<&Crl> = Vec::new();
    for list in lists {
        match sound(list, issuer, reading) {
            Ok(()) => genuine.push(list),
            Err(why) => faults.push(Fault::Other(why)),
        }
    }
    if let Some(entry) = revoked(cert, &genuine, reading) {
        return Standing::Revoked(entry);
    }
    for list in genuine {
        match covers(list, cert, reading) {
            Ok(()) => return Standing::Good,
            Err(why) => faults.push(why),
        }
    }
    // What is nearest to an answer is told: a list that was right and is old.
    faults.sort();
    match faults.pop() {
        Some(Fault::Stale(next)) => Standing::Stale(next),
        Some(Fault::Other(why)) => Standing::Unknown(why),
        None => Standing::NoList,
    }
}

/// Why a list does not answer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fault {
    Other(String),
    Stale(i64),
}

/// An issuer numbers each certificate once, so that whatever list of its has the number speaks of this one: also one of
/// another shard, a delta, or one about some reasons only. Only "not revoked" takes a list that covers the certificate.
fn revoked(cert: &Cert, genuine: &[&Crl], reading: Reading) -> Option<Entry> {
    let found: Vec<(Entry, &Crl)> =
        genuine.iter().filter_map(|list| Some((*list.revoked.get(&cert.serial)?, *list))).collect();
    // A list that is over is outdone by one that covers the certificate and is newer.
    let outdone = |list: &Crl| {
        genuine.iter().any(|new| new.this_update >= list.this_update && covers(new, cert, reading).is_ok())
    };
    let now: Vec<&(Entry, &Crl)> =
        found.iter().filter(|(_, list)| current(list, reading) || !outdone(list)).collect();
    let standing = |(entry, list): &&&(Entry, &Crl)| {
        !entry.takes_back() && !now.iter().any(|(other, delta)| other.takes_back() && changes(delta, list))
    };
    now.iter().find(standing).map(|(entry, _)| *entry)
}

fn current(list: &Crl, reading: Reading) -> bool {
    list.next_update.is_none_or(|next| reading.at <= next)
}

/// Whether `delta` tells what has changed since `base` (RFC 5280, 5.2.4): of the same scope, from that number or an
/// earlier one on, and itself newer.
fn changes(delta: &Crl, base: &Crl) -> bool {
    let (Some(from), Some(own), Some(number)) = (&delta.base, &delta.number, &base.number) else {
        return false;
    };
    let order = |number: &Vec<u8>| (number.len(), number.clone());
    let newer = order(&own.value) > order(&number.value) && delta.this_update >= base.this_update;
    base.base.is_none() && delta.points == base.points && order(from) <= order(&number.value) && newer
}

/// Whether the list is the issuer's, is understood, and has begun.
fn sound(list: &Crl, issuer: &Cert, reading: Reading) -> Result<(), String> {
    if reading.at < list.this_update {
        return Err("its time has not begun".into());
    }
    if list.unknown_critical {
        return Err("it has a critical extension that is unknown here".into());
    }
    if let Some(why) = list.odd_entry {
        return Err(why.into());
    }
    // An indirect list's entries may be of other issuers.
    if list.points.as_ref().is_some_and(|scope| scope.indirect) {
        return Err("it is indirect".into());
    }
    authentic(list, issuer)
}

fn authentic(list: &Crl, issuer: &Cert) -> Result<(), String> {
    if !issuer.ext.may(SIGN_CRLS) {
        return Err("its issuer may not sign revocation lists".into());
    }
    let fits = sig::verify(&list.algorithm, &issuer.key, &list.signed, &list.signature);
    match list.same_algorithm && fits.is_ok() {
        true => Ok(()),
        false => Err("its signature does not fit its issuer's key".into()),
    }
}

/// Whether a certificate that is not on this list is not revoked.
fn covers(list: &Crl, cert: &Cert, reading: Reading) -> Result<(), Fault> {
    if list.base.is_some() {
        return Err(Fault::Other(
            "it only tells what has changed since another list, which is not here".into(),
        ));
    }
    let numbered = list.number.as_ref().is_some_and(|number| !number.critical);
    let unnumbered = (!numbered).then_some("it has no number, or a critical one");
    if let Some(why) = list.informal.or(unnumbered).filter(|_| reading.profile.strict()) {
        return Err(Fault::Other(why.into()));
    }
    if let Some(scope) = &list.points {
        about(scope, cert, reading.profile).map_err(Fault::Other)?;
    }
    match list.next_update {
        Some(next) if reading.at > next => Err(Fault::Stale(next)),
        _ => Ok(()),
    }
}

fn about(scope: &Scope, cert: &Cert, profile: Profile) -> Result<(), String> {
    let authority = cert.ext.is_ca();
    if scope.only_attributes || (scope.only_leaves && authority) || (scope.only_authorities && !authority) {
        return Err("it is about other certificates".into());
    }
    if scope.only_some_reasons {
        return Err("it is about some reasons only".into());
    }
    match &scope.names {
        Some(names) => published_there(names, cert, profile),
        None => Ok(()),
    }
}

/// The list must be one of those that the certificate names.
fn published_there(names: &[General], cert: &Cert, profile: Profile) -> Result<(), String> {
    let given: Vec<&General> = cert.ext.crl_points.iter().flatten().flatten().collect();
    let uri = |name: &General| matches!(name, General::Uri(_));
    if profile.web() && !(names.iter().all(uri) && given.iter().all(|n| uri(n))) {
        return Err("it, or the certificate, names a distribution point that is no URI".into());
    }
    match names.iter().any(|name| given.contains(&name)) {
        true => Ok(()),
        false => Err("it is for another distribution point than the certificate's".into()),
    }
}
