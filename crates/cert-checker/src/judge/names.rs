//! Whether a certificate holds a name, as RFC 9525 and browsers have it: the SAN alone counts.

use crate::facts::{Cert, San};
use crate::finding::Finding;
use pkix::{PeerName, Suffix, presents, suffix_covered};

/// Names told of in one line.
const TOLD: usize = 8;

/// What is wrong with the certificate's names for a client that asks for `wanted`.
pub(super) fn asked(cert: &Cert, wanted: &PeerName) -> Option<Finding> {
    if cert.extensions.names.iter().any(|san| holds(san, wanted)) {
        return None;
    }
    let text = wanted.to_string();
    let in_common = cert.common_names.iter().any(|cn| presents(cn, &text) || *cn == text);
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
        (San::Dns(pattern), PeerName::Dns(host)) => presents(pattern, host) && !over_one_label(pattern),
        (San::Ip(ip), PeerName::Ip(wanted)) => ip == wanted,
        _ => false,
    }
}

/// As `*.com`: no client takes it, whatever it is asked for.
fn over_one_label(pattern: &str) -> bool {
    pattern.strip_prefix("*.").is_some_and(|parent| !parent.contains('.'))
}

/// A wildcard for everybody's names. Over names that somebody owns and lends, as `*.github.io`, it is the owner's.
pub(super) fn wide(cert: &Cert) -> Option<Finding> {
    let wide = cert.extensions.names.iter().find_map(|san| match san {
        San::Dns(name) if name == "*" || suffix_covered(name) == Some(Suffix::Registry) => Some(name),
        _ => None,
    })?;
    Some(Finding::warning("name-wildcard-wide", format!("{wide} covers a public suffix")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_stand_for_one_whole_label() {
        let cases = [
            ("example.org", "example.org", true),
            ("EXAMPLE.org", "example.org", true),
            ("example.org.", "example.org", false),
            ("*.example.org", "www.example.org", true),
            ("*.example.org", "example.org", false),
            ("*.example.org", "a.b.example.org", false),
            ("f*o.example.org", "foo.example.org", false),
            ("foo.*.example.org", "foo.a.example.org", false),
            ("*", "localhost", false),
            ("*.com", "example.com", false),
            ("xn--*-.example.org", "xn--a-.example.org", false),
            ("*.*.example.org", "a.b.example.org", false),
        ];
        for (pattern, host, expected) in cases {
            let held = holds(&San::Dns(pattern.into()), &PeerName::Dns(host.into()));
            assert_eq!(held, expected, "{pattern} for {host}");
        }
    }

    #[test]
    fn names_as_people_write_them() {
        let host = |h: &str| Ok(PeerName::Dns(h.into()));
        assert_eq!(PeerName::host("Bücher.example."), host("xn--bcher-kva.example"));
        assert_eq!(PeerName::host("[::1]"), Ok(PeerName::Ip("::1".parse().expect("an address"))));
        assert_eq!(PeerName::host("fe80::1%eth0"), Ok(PeerName::Ip("fe80::1".parse().expect("an address"))));
        assert!(["a b", "", "a|b", "a..b", "*.a"].iter().all(|text| PeerName::host(text).is_err()));
    }

    /// By the list of public suffixes, not by what looks like one.
    #[test]
    fn suffixes() {
        let (registry, private) = (Some(Suffix::Registry), Some(Suffix::Private));
        for (name, expected) in [
            ("*.co.uk", registry),
            ("*.CO.uk", registry),
            ("*.org", registry),
            ("*.k12.ca.us", registry),
            ("*.com.sg", registry),
            ("*.local", registry),
            ("*.github.io", private),
            ("*.example.org", None),
            ("*.ab.uk", None),
            ("*.or.example", None),
            ("co.uk", None),
        ] {
            assert_eq!(suffix_covered(name), expected, "{name}");
        }
    }
}
