//! The judgement: pure, of facts and a moment. Whoever gathered them, the same words come out.

mod chain;
mod crypto;
mod names;
mod time;
mod trust;

pub(crate) use trust::{Roots, Trusted};

use crate::facts::{Cert, Moment, Oddity};
use crate::finding::Finding;
use crate::threshold::Thresholds;
use pkix::PeerName;

/// What is demanded of a certificate.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    pub(crate) thresholds: Thresholds,
    /// SHA-256 of certificates or public keys; one of them is expected, and it needs no other trust.
    pub(crate) pins: Vec<String>,
    /// Whoever issued it: only time and names are judged.
    pub(crate) any_issuer: bool,
    /// A leaf that its own key signed is trusted.
    pub(crate) self_signed: bool,
    /// The browsers' rules for public authorities too: life, transparency.
    pub(crate) policy: bool,
}

/// Facts beside the certificates that a judgement needs.
pub(crate) struct Question<'a> {
    pub(crate) rules: &'a Rules,
    pub(crate) roots: &'a Roots,
    pub(crate) at: Moment,
    /// The name a client would ask for; none is asked of a file without one.
    pub(crate) name: Option<&'a PeerName>,
}

/// Judges a chain as it was sent or lies in a file, leaf first.
pub(crate) fn judge(sent: &[Cert], q: &Question<'_>) -> (Option<Trusted>, Vec<Finding>) {
    let Some(leaf) = sent.first() else { return (None, Vec::new()) };
    let mut found: Vec<Finding> = time::leaf(leaf, q).into_iter().collect();
    found.extend(q.name.and_then(|name| names::asked(leaf, name)));
    let pinned = pinned(leaf, q.rules);
    found.extend(pinned.as_ref().err().cloned());
    let own_signature = q.rules.self_signed && leaf.self_signed();
    if q.rules.any_issuer || own_signature || pinned == Ok(true) {
        found.extend(chain::times(sent, q));
        return (None, found);
    }
    found.extend(self::own(leaf));
    let (trusted, led) = match q.roots.holds(leaf) {
        true => (None, chain::times(sent, q)),
        false => chain::led(sent, q),
    };
    found.extend(chain::as_sent(sent));
    found.extend(led);
    if trusted.as_ref().is_some_and(|t| t.public) && q.rules.policy {
        found.extend(policy(leaf));
    }
    (trusted, found)
}

/// Judges a certificate that is no server's: an authority's in a file.
pub(crate) fn judge_authority(cert: &Cert, q: &Question<'_>) -> Vec<Finding> {
    let mut found: Vec<Finding> = time::leaf(cert, q).into_iter().collect();
    if !cert.self_signed() {
        found.extend(crypto::signature(cert, "it"));
    }
    found.extend(crypto::key(cert, "it"));
    // A root is a name and a key: nobody asks for its number, and eight in every store have 0.
    let asked = |o: &Oddity| !cert.self_signed() || *o != Oddity::SerialZero;
    found.extend(crypto::form(cert, "it", asked));
    found
}

/// What the leaf alone tells.
fn own(leaf: &Cert) -> Vec<Finding> {
    let mut found: Vec<Finding> = crypto::signature(leaf, "it").into_iter().collect();
    found.extend(crypto::key(leaf, "it"));
    found.extend(crypto::form(leaf, "it", |_| true));
    found.extend(names::wide(leaf));
    found
}

/// What browsers demand of public authorities' certificates.
fn policy(leaf: &Cert) -> Vec<Finding> {
    let mut found: Vec<Finding> = time::life(leaf).into_iter().collect();
    if leaf.extensions.timestamps == 0 {
        let says = "it carries no timestamps of transparency logs, which browsers demand";
        found.push(Finding::warning("ct-missing", says));
    }
    found
}

/// Whether it is pinned.
///
/// # Errors
/// The finding, when another one is.
fn pinned(leaf: &Cert, rules: &Rules) -> Result<bool, Finding> {
    if rules.pins.is_empty() {
        return Ok(false);
    }
    let fits = |pin: &String| *pin == leaf.sha256 || *pin == leaf.key.spki_sha256;
    match rules.pins.iter().any(fits) {
        true => Ok(true),
        false => {
            let says = format!(
                "certificate {} with key {} is not the pinned one",
                leaf.sha256, leaf.key.spki_sha256
            );
            Err(Finding::critical("pin-mismatch", says))
        }
    }
}
