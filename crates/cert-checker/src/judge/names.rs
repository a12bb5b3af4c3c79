//! Whether a certificate holds a name, as RFC 9525 and browsers have it: the SAN alone counts.

use crate::facts::{Cert, San};
use crate::finding::Finding;
use pkix::{PeerName, Suffix, covered_suffix};

/// Names told of in one line.
const TOLD: usize = 8;

/// What is wrong with the certificate's names for a client that asks for `wanted`.
pub(super) fn asked(cert: &Cert, wanted: &PeerName) -> Option<Finding> {
    if cert.extensions.names.iter().any(|san| holds(san, wanted)) {
        return None;
    }
    let in_common = cert.common_names.iter().any(|cn| match wanted {
        PeerName::Dns(host) => host.is_presented_by(cn),
        other => *cn == other.to_string(),
    });
    if !cert.extensions.has_names && in_common {
        let says = format!("{wanted} is only in the CN, and no subjectAltName is there");
        return Some(Finding::critical("name-common-only", says).advise("issue it with a subjectAltName"));
    }
    Some(Finding::critical("name-mismatch", format!("{wanted} is not among its names: {}", list(cert))))
}

fn list(cert: &Cert) -> String {
    let names = &cert.extensions.names;
    if names.is_empty() {
        return "it has none".into();
    }
    let told: Vec<String> = names.iter().take(TOLD).map(ToString::to_string).collect();
    match names.len() > TOLD {
        true => format!("{} and {} more", told.join(", "), names.len() - TOLD),
        false => told.join(", "),
    }
}

fn holds(san: &San, wanted: &PeerName) -> bool {
    match (san, wanted) {
        // As `*.com`: no client takes it, whatever it is asked for.
        (San::Dns(given), PeerName::Dns(host)) => {
            host.is_presented_by(given) && covered_suffix(given) != Some(Suffix::TopLevel)
        }
        (San::Ip(ip), PeerName::Ip(wanted)) => ip == wanted,
        _ => false,
    }
}

/// A wildcard for everybody's names. Over names that somebody owns and lends, as `*.github.io`, it is the owner's.
pub(super) fn wide(cert: &Cert) -> Option<Finding> {
    let wide = cert.extensions.names.iter().find_map(|san| match san {
        San::Dns(name) if name == "*" => Some(name),
        San::Dns(name) if matches!(covered_suffix(name), Some(Suffix::TopLevel | Suffix::Registry)) => {
            Some(name)
        }
        _ => None,
    })?;
    Some(Finding::warning("name-wildcard-wide", format!("{wide} covers a public suffix")))
}
