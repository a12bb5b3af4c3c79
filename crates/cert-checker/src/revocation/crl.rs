//! A revocation list: whose it is, how fresh, and whether a serial number is on it.

use crate::facts::{Cert, Moment, hex};
use crate::finding::Finding;
use x509_parser::extensions::ParsedExtension;
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::revocation_list::CertificateRevocationList;

/// What the list says of `leaf`; none, when it is another issuer's.
///
/// # Errors
/// Why it cannot be used, in words.
pub(super) fn judge(
    list: &[u8],
    leaf: &Cert,
    issuer: Option<&Cert>,
    at: Moment,
) -> Result<Option<Vec<Finding>>, String> {
    let (_, crl) = CertificateRevocationList::from_der(list).map_err(|_| "no revocation list".to_string())?;
    if crl.issuer().as_raw() != leaf.issuer_der {
        return Ok(None);
    }
    let issuer =
        issuer.ok_or("the issuer's certificate is not known, so nobody can tell whose list it is")?;
    signed(&crl, issuer)?;
    let mut found = Vec::new();
    let revoked = crl.iter_revoked_certificates().find(|r| hex(r.raw_serial()) == leaf.serial);
    if let Some(revoked) = revoked {
        let when = Moment(revoked.revocation_date.timestamp());
        let reason = revoked.reason_code().map(|(_, r)| format!(", {r}")).unwrap_or_default();
        let says = format!("{} has revoked it on {when}{reason}", issuer.title());
        found.push(Finding::critical("revoked", says).advise("replace it, and its key"));
    } else if is_delta(&crl) {
        return Err("a delta list says nothing without its base".into());
    }
    if let Some(next) = crl.next_update().map(|t| Moment(t.timestamp())).filter(|next| *next < at) {
        let says = format!("the revocation list of {} should have been replaced on {next}", issuer.title());
        found.push(Finding::warning("crl-expired", says));
    }
    Ok(Some(found))
}

fn signed(crl: &CertificateRevocationList<'_>, issuer: &Cert) -> Result<(), String> {
    if issuer.extensions.may_sign_lists == Some(false) {
        return Err("its issuer may not sign revocation lists".into());
    }
    let (_, by) = X509Certificate::from_der(&issuer.der).map_err(|e| e.to_string())?;
    crl.verify_signature(by.public_key()).map_err(|_| "its signature is not the issuer's".to_string())
}

fn is_delta(crl: &CertificateRevocationList<'_>) -> bool {
    crl.extensions().iter().any(|e| match e.parsed_extension() {
        ParsedExtension::UnsupportedExtension { oid } => oid.to_id_string() == "2.5.29.27",
        _ => e.oid.to_id_string() == "2.5.29.27",
    })
}
