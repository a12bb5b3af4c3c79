//! The judgement: pure, of facts and a moment. Whoever gathered them, the same words come out.

mod certificate;
mod chain;
mod trust;

pub(crate) use trust::{Roots, TrustedPath, load_system_roots};

use crate::facts::{CertFacts, FormFault, UnixSeconds};
use crate::options::{Options, Pin};
use crate::rules;
use crate::threshold::Thresholds;
use pkix::PeerName;
use toban_core::check::Finding;

/// Facts beside the certificates that a judgement needs.
pub(crate) struct Question<'a> {
    pub(crate) options: &'a Options,
    pub(crate) thresholds: &'a Thresholds,
    pub(crate) roots: &'a Roots,
    pub(crate) at: UnixSeconds,
    /// The name a client would ask for; none is asked of a file without one.
    pub(crate) name: Option<&'a PeerName>,
}

/// Judges a chain as it was sent or lies in a file, leaf first.
pub(crate) fn judge_chain(sent: &[CertFacts], q: &Question<'_>) -> (Option<TrustedPath>, Vec<Finding>) {
    let Some(leaf) = sent.first() else { return (None, Vec::new()) };
    let mut found: Vec<Finding> = certificate::judge_expiry(leaf, q).into_iter().collect();
    found.extend(q.name.and_then(|name| certificate::judge_names(leaf, name)));
    let pins = &q.options.pin;
    let pinned = is_pinned(leaf, pins);
    if !pins.is_empty() && !pinned {
        let text =
            format!("certificate {} with key {} is not the pinned one", leaf.sha256, leaf.key.spki_sha256);
        found.push(rules::critical(&rules::PIN_MISMATCH, text));
    }
    // Three ways to say that the issuer does not matter. Expiry and names do all the same: a pin does not renew.
    let own_signature = q.options.self_signed && leaf.is_self_signed();
    if q.options.any_issuer || own_signature || pinned {
        found.extend(chain::judge_times(sent, q));
        return (None, found);
    }
    found.extend(judge_own(leaf));
    let (trusted, led) = match q.roots.holds(leaf) {
        true => (None, chain::judge_times(sent, q)),
        false => chain::judge_path(sent, q),
    };
    found.extend(chain::judge_order(sent));
    found.extend(led);
    if trusted.as_ref().is_some_and(|t| t.public) && q.options.policy {
        found.extend(judge_policy(leaf));
    }
    (trusted, found)
}

/// Judges a certificate that is no server's: an authority's in a file.
pub(crate) fn judge_authority(cert: &CertFacts, q: &Question<'_>) -> Vec<Finding> {
    let mut found: Vec<Finding> = certificate::judge_expiry(cert, q).into_iter().collect();
    if !cert.is_self_signed() {
        found.extend(certificate::judge_signature(cert, "it"));
    }
    found.extend(certificate::judge_key(cert, "it"));
    // A root is a name and a key (RFC 5280, 6.1.1 d): its number decides nothing, and eight in every store have 0.
    let asked = |o: &FormFault| !cert.is_self_signed() || *o != FormFault::SerialZero;
    found.extend(certificate::judge_form(cert, "it", asked));
    found
}

/// What the leaf alone tells.
fn judge_own(leaf: &CertFacts) -> Vec<Finding> {
    let mut found: Vec<Finding> = certificate::judge_signature(leaf, "it").into_iter().collect();
    found.extend(certificate::judge_key(leaf, "it"));
    found.extend(certificate::judge_form(leaf, "it", |_| true));
    found.extend(certificate::judge_wildcards(leaf));
    found
}

/// What browsers demand of public authorities' certificates.
fn judge_policy(leaf: &CertFacts) -> Vec<Finding> {
    let mut found: Vec<Finding> = certificate::judge_lifetime(leaf).into_iter().collect();
    if leaf.extensions.timestamps == 0 {
        let text = "it carries no timestamps of transparency logs, which browsers demand";
        found.push(rules::warning(&rules::CT_MISSING, text));
    }
    found
}

/// Whether one of the pins is the certificate's or its key's.
fn is_pinned(leaf: &CertFacts, pins: &[Pin]) -> bool {
    let fits = |pin: &Pin| [&leaf.sha256, &leaf.key.spki_sha256].iter().any(|sum| *sum == pin.as_str());
    pins.iter().any(fits)
}
