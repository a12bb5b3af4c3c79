//! A whole path, judged (RFC 5280, 6.1).

use super::alg::{Algorithm, Hash};
use super::cert::Cert;
use super::constraint::{MOST_COMPARISONS, names_of};
use super::ext::SIGN_CRLS;
use super::leaf;
use super::lint::{self, Role};
use super::policy;
use super::purpose::Purpose;
use super::reason::{Code, Reason};
use super::request::{Profile, Request};
use super::revoke;

/// What must hold of an issuer by itself.
///
/// # Errors
/// The first thing that does not.
pub(crate) fn issuer(cert: &Cert, role: Role, ask: &Request<'_>) -> Result<(), Reason> {
    lint::check(cert, role, ask.profile)?;
    leaf::time(cert, ask.at)?;
    if role == Role::Intermediate {
        signs_lists(cert, ask)?;
    }
    match &cert.ext.extended {
        Some(given) => extended(cert, &given.value, ask),
        None => Ok(()),
    }
}

/// A whole path, the leaf first and the anchor last, whose signatures fit and whose leaf was judged by itself.
///
/// # Errors
/// The first thing that does not hold.
pub(crate) fn check(path: &[&Cert], ask: &Request<'_>, comparisons: &mut usize) -> Result<(), Reason> {
    for (place, cert) in path.iter().enumerate().skip(1) {
        let role = if place + 1 == path.len() { Role::Anchor } else { Role::Intermediate };
        issuer(cert, role, ask)?;
    }
    path[..path.len() - 1].iter().try_for_each(|cert| signature_strength(cert, ask.profile))?;
    lengths(path)?;
    constraints(path, comparisons)?;
    policies(path)?;
    revoke::check(path, ask)
}

/// An issuer of mail certificates must be able to take them back (S/MIME Baseline Requirements, 7.1.2.2 e).
fn signs_lists(cert: &Cert, ask: &Request<'_>) -> Result<(), Reason> {
    let mail = ask.purpose == Some(Purpose::Email) && ask.profile.web();
    match mail && !cert.ext.may(SIGN_CRLS) {
        true => Err(cert.reason(Code::KeyUsage, "an issuer for mail may not sign revocation lists")),
        false => Ok(()),
    }
}

/// An issuer's extended key usage limits everything below it: what all clients do, though RFC 5280 does not say so.
fn extended(cert: &Cert, given: &[Vec<u8>], ask: &Request<'_>) -> Result<(), Reason> {
    let purpose = ask.purpose.unwrap_or_else(|| Purpose::suggested(ask.names));
    if !leaf::allows(given, purpose) {
        return Err(
            cert.reason(Code::NotForPurpose, "an issuer's extended key usage does not allow this use")
        );
    }
    // Only mail's requirements (7.1.2.2 g) forbid other uses in issuers that exist today.
    let mixed = matches!(purpose, Purpose::Email | Purpose::Mailbox)
        && ask.profile.web()
        && leaf::forbidden(purpose).iter().any(|bad| given.iter().any(|g| g == bad));
    match mixed {
        true => {
            Err(cert
                .reason(Code::ExtendedKeyUsage, "an issuer's extended key usage mixes mail with other uses"))
        }
        false => Ok(()),
    }
}

fn signature_strength(cert: &Cert, profile: Profile) -> Result<(), Reason> {
    let old = match cert.algorithm {
        Algorithm::Broken => true,
        Algorithm::RsaPkcs1(Hash::Sha1) | Algorithm::Ecdsa(Hash::Sha1) => profile != Profile::Rfc5280,
        Algorithm::RsaPss { hash: Hash::Sha1, .. } => profile != Profile::Rfc5280,
        _ => false,
    };
    match old {
        true => Err(cert.reason(Code::WeakSignature, "the signature's digest is no longer allowed")),
        false => Ok(()),
    }
}

/// How many certificates may follow: the leaf never counts, self-issued ones do not (4.2.1.9).
fn lengths(path: &[&Cert]) -> Result<(), Reason> {
    let mut below = 0;
    for cert in &path[1..] {
        let most = cert.ext.basic.as_ref().and_then(|b| b.value.path_len);
        if most.is_some_and(|most| below > most) {
            let detail = format!("{below} authorities follow, {} may", most.unwrap_or(0));
            return Err(cert.reason(Code::PathLength, detail));
        }
        below += u32::from(!cert.self_issued());
    }
    Ok(())
}

/// Every issuer's constraints hold for all below it, but not for self-issued ones above the leaf (6.1.3 b).
fn constraints(path: &[&Cert], comparisons: &mut usize) -> Result<(), Reason> {
    for (place, issuer) in path.iter().enumerate().skip(1) {
        let Some(constraints) = &issuer.ext.constraints else { continue };
        for (below, cert) in path[..place].iter().enumerate() {
            if below > 0 && cert.self_issued() {
                continue;
            }
            let names = names_of(cert);
            *comparisons = comparisons.saturating_add(constraints.value.cost(names.len()));
            if *comparisons > MOST_COMPARISONS {
                return Err(issuer.reason(Code::TooMuchWork, "too many names and name constraints"));
            }
            constraints.value.check(&names).map_err(|why| cert.reason(Code::NotPermitted, why))?;
        }
    }
    Ok(())
}

fn policies(path: &[&Cert]) -> Result<(), Reason> {
    policy::check(&path[..path.len() - 1]).map_err(|(place, why)| path[place].reason(Code::Policy, why))
}
