//! What must hold of the leaf itself, whatever its path: time, names, use.

use super::cert::Cert;
use super::lint::{self, Role};
use super::oid;
use super::purpose::Purpose;
use super::reason::{Code, Reason};
use super::request::{Profile, Request};
use super::webpki;

/// digitalSignature, keyEncipherment, keyAgreement: what a TLS server's key may be used for.
const TLS_BITS: u16 = 1 | 4 | 16;

/// Everything that is wrong with the leaf.
pub(crate) fn faults(leaf: &Cert, ask: &Request<'_>) -> Vec<Reason> {
    let mut all: Vec<Reason> = [
        lint::check(leaf, Role::Leaf, ask.profile),
        time(leaf, ask.at),
        usage(leaf, ask),
        extended(leaf, ask),
        wildcards(leaf, ask),
    ]
    .into_iter()
    .filter_map(Result::err)
    .collect();
    all.extend(
        ask.names
            .iter()
            .filter(|name| !name.fits(leaf))
            .map(|name| leaf.reason(Code::NameMismatch, format!("the certificate is not for {name}"))),
    );
    all
}

fn wildcards(leaf: &Cert, ask: &Request<'_>) -> Result<(), Reason> {
    match ask.profile.web() {
        true => webpki::wildcards(leaf, ask.names).map_err(|(code, detail)| leaf.reason(code, detail)),
        false => Ok(()),
    }
}

/// Both ends belong to the validity, to the second (RFC 5280, 4.1.2.5).
pub(crate) fn time(cert: &Cert, at: i64) -> Result<(), Reason> {
    let (begin, end) = cert.validity();
    if at > end {
        let over = format!("its time was over {}", day(end));
        return Err(cert.reason(Code::Expired, over));
    }
    match at < begin {
        true => Err(cert.reason(Code::NotYetValid, format!("its time begins {}", day(begin)))),
        false => Ok(()),
    }
}

fn day(at: i64) -> String {
    jiff::Timestamp::from_second(at).map_or_else(|_| format!("at second {at}"), |t| t.to_string())
}

fn purpose(ask: &Request<'_>) -> Purpose {
    ask.purpose.unwrap_or_else(|| Purpose::suggested(ask.names))
}

fn usage(leaf: &Cert, ask: &Request<'_>) -> Result<(), Reason> {
    // The S/MIME Baseline Requirements, 7.1.2.3 e: there, and critical.
    let mail = purpose(ask) == Purpose::Email && ask.profile.web();
    let Some(usage) = &leaf.ext.key_usage else {
        return match mail {
            true => Err(leaf.reason(Code::KeyUsage, "the key usage is missing")),
            false => Ok(()),
        };
    };
    if mail && !usage.critical {
        return Err(leaf.reason(Code::KeyUsage, "a mail key's usage is not critical"));
    }
    let server = purpose(ask) == Purpose::Server && ask.profile.web() && !leaf.ext.is_ca();
    match server && usage.value & TLS_BITS == 0 {
        true => Err(leaf.reason(Code::KeyUsage, "the key usage allows nothing that TLS needs")),
        false => Ok(()),
    }
}

fn extended(leaf: &Cert, ask: &Request<'_>) -> Result<(), Reason> {
    let purpose = purpose(ask);
    let Some(given) = &leaf.ext.extended else {
        return match ask.profile == Profile::Webpki && purpose != Purpose::Any && !leaf.ext.is_ca() {
            true => Err(leaf.reason(Code::ExtendedKeyUsage, "the extended key usage is missing")),
            false => Ok(()),
        };
    };
    if !allows(&given.value, purpose) {
        return Err(leaf.reason(Code::NotForPurpose, "its extended key usage does not allow this use"));
    }
    if !ask.profile.web() || leaf.ext.is_ca() {
        return Ok(());
    }
    if given.critical && purpose == Purpose::Server {
        return Err(leaf.reason(Code::ExtendedKeyUsage, "a server's extended key usage is critical"));
    }
    match forbidden(purpose).iter().any(|bad| given.value.iter().any(|use_| use_ == bad)) {
        true => Err(leaf
            .reason(Code::ExtendedKeyUsage, "the extended key usage has a use that may not be beside this")),
        false => Ok(()),
    }
}

/// Whether the list has the purpose or all purposes.
pub(crate) fn allows(given: &[Vec<u8>], purpose: Purpose) -> bool {
    let accepted = purpose.accepted();
    accepted.is_empty() || given.iter().any(|g| g == oid::ANY_EKU || accepted.contains(&g.as_slice()))
}

/// Uses that may not stand beside this one (Baseline Requirements 7.1.2.7.10; S/MIME 7.1.2.3 f).
pub(crate) fn forbidden(purpose: Purpose) -> &'static [&'static [u8]] {
    match purpose {
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
    }
}
