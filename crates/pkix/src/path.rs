//! A whole path, judged (RFC 5280, 6.1), and what must hold of the leaf itself: time, names, use.

use crate::cert::Cert;
use crate::constraint::{MOST_COMPARISONS, constrained_names};
use crate::crl::check_revocation;
use crate::der::format_time;
use crate::extensions::SIGN_CRLS;
use crate::key::{Algorithm, Hash, PssParams};
use crate::oid;
use crate::policy::check_policies;
use crate::profile::{Profile, Role, check_certificate, check_wildcards};
use crate::request::{Code, Purpose, Reason, Request};

/// digitalSignature, keyEncipherment, keyAgreement: what a TLS server's key may be used for.
const TLS_BITS: u16 = 1 | 4 | 16;

/// A whole path, the leaf first and the anchor last, whose signatures fit and whose leaf was judged by itself.
///
/// # Errors
/// The first thing that does not hold.
pub(crate) fn check_path(path: &[&Cert], ask: &Request<'_>, comparisons: &mut usize) -> Result<(), Reason> {
    let below = &path[..path.len() - 1];
    for (place, cert) in path.iter().enumerate().skip(1) {
        let role = if place == below.len() { Role::Anchor } else { Role::Intermediate };
        check_issuer(cert, role, ask)?;
    }
    // The anchor is a name and a key: whoever signed it, and how, proves nothing (6.1.1 d).
    below.iter().try_for_each(|cert| check_signature_strength(cert, ask.profile))?;
    check_lengths(path)?;
    check_constraints(path, comparisons)?;
    check_policies(below)?;
    check_revocation(path, ask)
}

/// What must hold of an issuer by itself.
///
/// # Errors
/// The first thing that does not.
pub(crate) fn check_issuer(cert: &Cert, role: Role, ask: &Request<'_>) -> Result<(), Reason> {
    check_certificate(cert, role, ask.profile)?;
    check_time(cert, ask.at)?;
    // An issuer of mail certificates must be able to take them back (S/MIME Baseline Requirements, 7.1.2.2 e).
    let mail = ask.purpose == Some(Purpose::Email) && ask.profile.is_web();
    if role == Role::Intermediate && mail && !cert.ext.allows_usage(SIGN_CRLS) {
        return Err(cert.reason(Code::KeyUsage, "an issuer for mail may not sign revocation lists"));
    }
    match &cert.ext.extended {
        Some(given) => check_issuer_purpose(cert, &given.value, ask),
        None => Ok(()),
    }
}

/// An issuer's extended key usage limits everything below it: what all clients do, though RFC 5280 does not say so.
fn check_issuer_purpose(cert: &Cert, given: &[Vec<u8>], ask: &Request<'_>) -> Result<(), Reason> {
    let purpose = ask.wanted_purpose();
    if !has_purpose(given, purpose) {
        let detail = "an issuer's extended key usage does not allow this use";
        return Err(cert.reason(Code::NotForPurpose, detail));
    }
    // Only mail's requirements (7.1.2.2 g) forbid other uses in issuers that exist today.
    let mail = matches!(purpose, Purpose::Email | Purpose::Mailbox) && ask.profile.is_web();
    match mail && has_forbidden_use(given, purpose) {
        true => {
            let detail = "an issuer's extended key usage mixes mail with other uses";
            Err(cert.reason(Code::ExtendedKeyUsage, detail))
        }
        false => Ok(()),
    }
}

fn check_signature_strength(cert: &Cert, profile: Profile) -> Result<(), Reason> {
    let old = match cert.signed.algorithm {
        Algorithm::Broken => true,
        Algorithm::RsaPkcs1(Hash::Sha1)
        | Algorithm::Ecdsa(Hash::Sha1)
        | Algorithm::RsaPss(PssParams { hash: Hash::Sha1, .. }) => profile != Profile::Rfc5280,
        _ => false,
    };
    match old {
        true => Err(cert.reason(Code::WeakSignature, "the signature's digest is no longer allowed")),
        false => Ok(()),
    }
}

/// How many certificates may follow: the leaf never counts, self-issued ones do not (4.2.1.9).
fn check_lengths(path: &[&Cert]) -> Result<(), Reason> {
    // From the leaf upward: what lies below an issuer is known when it is reached.
    let mut below = 0;
    for cert in &path[1..] {
        let most = cert.ext.basic.as_ref().and_then(|b| b.value.path_len);
        if let Some(most) = most.filter(|most| below > *most) {
            let detail = format!("{below} authorities follow, {most} may");
            return Err(cert.reason(Code::PathLength, detail));
        }
        below += u32::from(!cert.is_self_issued());
    }
    Ok(())
}

/// Every issuer's constraints hold for all below it, but not for self-issued ones above the leaf (6.1.3 b): a new key of
/// an authority has the authority's own name, which need not lie in what it may certify.
fn check_constraints(path: &[&Cert], comparisons: &mut usize) -> Result<(), Reason> {
    for (place, issuer) in path.iter().enumerate().skip(1) {
        let Some(constraints) = &issuer.ext.constraints else { continue };
        for (below, cert) in path[..place].iter().enumerate() {
            if below > 0 && cert.is_self_issued() {
                continue;
            }
            let names = constrained_names(cert);
            // A few thousand names below a few thousand constraints would keep a validator busy for minutes.
            *comparisons = comparisons.saturating_add(constraints.value.count_comparisons(names.len()));
            if *comparisons > MOST_COMPARISONS {
                return Err(issuer.reason(Code::TooMuchWork, "too many names and name constraints"));
            }
            constraints.value.check_names(&names).map_err(|why| cert.reason(Code::NotPermitted, why))?;
        }
    }
    Ok(())
}

/// Everything that is wrong with the leaf, whatever its path.
pub(crate) fn leaf_faults(leaf: &Cert, ask: &Request<'_>) -> Vec<Reason> {
    let checks = [
        check_certificate(leaf, Role::Leaf, ask.profile),
        check_time(leaf, ask.at),
        check_leaf_usage(leaf, ask),
        check_leaf_purpose(leaf, ask),
        check_wildcards(leaf, ask),
    ];
    let mut all: Vec<Reason> = checks.into_iter().filter_map(Result::err).collect();
    let missing = ask.names.iter().filter(|name| !name.is_held_by(leaf));
    let mismatch = |name| leaf.reason(Code::NameMismatch, format!("the certificate is not for {name}"));
    all.extend(missing.map(mismatch));
    all
}

/// Both ends belong to the validity, to the second (RFC 5280, 4.1.2.5).
fn check_time(cert: &Cert, at: i64) -> Result<(), Reason> {
    let (begin, end) = cert.validity();
    if at > end {
        return Err(cert.reason(Code::Expired, format!("its time was over {}", format_time(end))));
    }
    match at < begin {
        true => Err(cert.reason(Code::NotYetValid, format!("its time begins {}", format_time(begin)))),
        false => Ok(()),
    }
}

fn check_leaf_usage(leaf: &Cert, ask: &Request<'_>) -> Result<(), Reason> {
    // The S/MIME Baseline Requirements, 7.1.2.3 e: there, and critical.
    let mail = ask.wanted_purpose() == Purpose::Email && ask.profile.is_web();
    let Some(usage) = &leaf.ext.key_usage else {
        return if mail { Err(leaf.reason(Code::KeyUsage, "the key usage is missing")) } else { Ok(()) };
    };
    if mail && !usage.critical {
        return Err(leaf.reason(Code::KeyUsage, "a mail key's usage is not critical"));
    }
    let server = ask.wanted_purpose() == Purpose::Server && ask.profile.is_web() && !leaf.ext.is_ca();
    match server && usage.value & TLS_BITS == 0 {
        true => Err(leaf.reason(Code::KeyUsage, "the key usage allows nothing that TLS needs")),
        false => Ok(()),
    }
}

fn check_leaf_purpose(leaf: &Cert, ask: &Request<'_>) -> Result<(), Reason> {
    let purpose = ask.wanted_purpose();
    let fault = |detail| Err(leaf.reason(Code::ExtendedKeyUsage, detail));
    let Some(given) = &leaf.ext.extended else {
        return match ask.profile == Profile::Webpki && purpose != Purpose::Any && !leaf.ext.is_ca() {
            true => fault("the extended key usage is missing"),
            false => Ok(()),
        };
    };
    if !has_purpose(&given.value, purpose) {
        return Err(leaf.reason(Code::NotForPurpose, "its extended key usage does not allow this use"));
    }
    if !ask.profile.is_web() || leaf.ext.is_ca() {
        return Ok(());
    }
    // BR 7.1.2.7.6 wants it not critical, so that clients that do not know it take the certificate.
    if given.critical && purpose == Purpose::Server {
        return fault("a server's extended key usage is critical");
    }
    match has_forbidden_use(&given.value, purpose) {
        true => fault("the extended key usage has a use that may not be beside this"),
        false => Ok(()),
    }
}

/// Whether the list has the purpose or all purposes.
fn has_purpose(given: &[Vec<u8>], purpose: Purpose) -> bool {
    let accepted = purpose.accepted_usages();
    accepted.is_empty() || given.iter().any(|g| g == oid::ANY_EKU || accepted.contains(&g.as_slice()))
}

/// Whether the list has a use that may not stand beside this one (Baseline Requirements 7.1.2.7.10; S/MIME 7.1.2.3 f).
fn has_forbidden_use(given: &[Vec<u8>], purpose: Purpose) -> bool {
    let forbidden: &[&[u8]] = match purpose {
        Purpose::Server => &[
            oid::ANY_EKU,
            oid::CODE_SIGNING,
            oid::EMAIL_PROTECTION,
            oid::TIME_STAMPING,
            oid::OCSP_SIGNING,
            oid::PRECERTIFICATE,
        ],
        Purpose::Email | Purpose::Mailbox => {
            &[oid::ANY_EKU, oid::SERVER_AUTH, oid::CODE_SIGNING, oid::TIME_STAMPING]
        }
        _ => &[],
    };
    given.iter().any(|use_| forbidden.contains(&use_.as_slice()))
}
