//! Whether the certificates of a path are revoked (RFC 5280, 6.3), by complete lists of their issuers.

use super::cert::Cert;
use super::crl::{Crl, Scope};
use super::ext::SIGN_CRLS;
use super::general::General;
use super::reason::{Code, Reason};
use super::request::{Profile, Request};
use super::sig;

/// Looks up every certificate below the anchor.
///
/// # Errors
/// `revoked`, or `revocation-unknown` where a list is due and none can be used.
pub(crate) fn check(path: &[&Cert], ask: &Request<'_>) -> Result<(), Reason> {
    for (place, pair) in path.windows(2).enumerate() {
        one(pair[0], pair[1], place == 0, ask)?;
    }
    Ok(())
}

fn one(cert: &Cert, issuer: &Cert, leaf: bool, ask: &Request<'_>) -> Result<(), Reason> {
    let of_issuer: Vec<&Crl> = ask.crls.iter().filter(|crl| crl.issuer == cert.issuer).collect();
    let due = ask.need_crl || !of_issuer.is_empty() || (leaf && !ask.crls.is_empty());
    let mut why = "its issuer has no revocation list here".to_string();
    let mut covered = false;
    for crl in of_issuer {
        match usable(crl, cert, issuer, ask) {
            Ok(()) if crl.revoked.contains(&cert.serial) => {
                return Err(cert.reason(Code::Revoked, "the issuer's list revokes the certificate"));
            }
            Ok(()) => covered = true,
            Err(because) => why = format!("the issuer's revocation list cannot be used: {because}"),
        }
    }
    match due && !covered {
        true => Err(cert.reason(Code::RevocationUnknown, why)),
        false => Ok(()),
    }
}

/// Whether the list says whether this certificate is revoked, at that time.
fn usable(crl: &Crl, cert: &Cert, issuer: &Cert, ask: &Request<'_>) -> Result<(), String> {
    if ask.at < crl.this_update {
        return Err("its time has not begun".into());
    }
    if ask.at > crl.next_update {
        return Err("its time is over".into());
    }
    if crl.unknown_critical {
        return Err("it has a critical extension that is unknown here".into());
    }
    if crl.delta {
        return Err("it only tells what has changed".into());
    }
    if let Some(why) = crl.odd_entry {
        return Err(why.into());
    }
    if ask.profile.strict() && crl.number != Some(false) {
        return Err("it has no number, or a critical one".into());
    }
    if let Some(scope) = &crl.points {
        about(scope, cert, ask.profile)?;
    }
    authentic(crl, issuer)
}

fn authentic(crl: &Crl, issuer: &Cert) -> Result<(), String> {
    if !issuer.ext.may(SIGN_CRLS) {
        return Err("its issuer may not sign revocation lists".into());
    }
    let fits = sig::verify(&crl.algorithm, &issuer.key, &crl.signed, &crl.signature);
    match crl.same_algorithm && fits.is_ok() {
        true => Ok(()),
        false => Err("its signature does not fit its issuer's key".into()),
    }
}

fn about(scope: &Scope, cert: &Cert, profile: Profile) -> Result<(), String> {
    let authority = cert.ext.is_ca();
    if scope.only_attributes || (scope.only_leaves && authority) || (scope.only_authorities && !authority) {
        return Err("it is about other certificates".into());
    }
    if scope.indirect || scope.only_some_reasons {
        return Err("it is indirect, or about some reasons only".into());
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
