//! Whether a certificate holds a name, as RFC 9525 and browsers have it: the SAN alone counts.

use crate::facts::{Cert, San};
use crate::finding::Finding;
use std::net::IpAddr;

/// Names told of in one line.
const TOLD: usize = 8;

/// What a client asks for: a host name in A-labels, lower case, without the last dot; or an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    Host(String),
    Ip(IpAddr),
}

impl Wanted {
    /// Reads a name as people write it: `Bücher.example.`, `[2001:db8::1]`, `fe80::1%eth0`.
    ///
    /// # Errors
    /// What cannot be a host name, in words.
    pub(crate) fn read(text: &str) -> Result<Wanted, String> {
        let bare = text.trim_start_matches('[').trim_end_matches(']');
        let unzoned = bare.split_once('%').map_or(bare, |(address, _)| address);
        if let Ok(ip) = unzoned.parse() {
            return Ok(Wanted::Ip(ip));
        }
        // Not every name in use is one of IDNA's: what is ASCII already is asked for as it stands.
        let ascii = || text.is_ascii().then(|| text.to_ascii_lowercase());
        let name = idna::domain_to_ascii(text).ok().or_else(ascii);
        let name = name.ok_or_else(|| format!("{text:?} is no host name"))?;
        let name = name.strip_suffix('.').unwrap_or(&name);
        let fine = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        match !name.is_empty() && name.len() <= 253 && name.chars().all(fine) {
            true => Ok(Wanted::Host(name.to_string())),
            false => Err(format!("{text:?} is no host name")),
        }
    }
}

impl std::fmt::Display for Wanted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Wanted::Host(name) => f.pad(name),
            Wanted::Ip(ip) => f.pad(&ip.to_string()),
        }
    }
}

/// What is wrong with the certificate's names for a client that asks for `wanted`.
pub(super) fn asked(cert: &Cert, wanted: &Wanted) -> Option<Finding> {
    if cert.extensions.names.iter().any(|san| holds(san, wanted)) {
        return None;
    }
    let text = wanted.to_string();
    let in_common = cert.common_names.iter().any(|cn| fits(cn, &text) || *cn == text);
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

fn holds(san: &San, wanted: &Wanted) -> bool {
    match (san, wanted) {
        (San::Dns(pattern), Wanted::Host(host)) => fits(pattern, host),
        (San::Ip(ip), Wanted::Ip(wanted)) => ip == wanted,
        _ => false,
    }
}

/// A wildcard stands for one whole label, the first, and two more must follow.
fn fits(pattern: &str, host: &str) -> bool {
    let pattern = pattern.strip_suffix('.').unwrap_or(pattern);
    match pattern.strip_prefix("*.") {
        None => pattern.eq_ignore_ascii_case(host) && !pattern.contains('*'),
        Some(rest) => {
            let below = host.split_once('.').map(|(_, below)| below);
            rest.contains('.') && !rest.contains('*') && below.is_some_and(|b| b.eq_ignore_ascii_case(rest))
        }
    }
}

/// Second-level names under which a country sells names, as `co` in `*.co.uk`: a whole list would be out of date.
const SOLD: [&str; 12] = ["ac", "co", "com", "edu", "gob", "gov", "go", "ne", "net", "or", "org", "gv"];

/// A wildcard for everybody's names.
pub(super) fn wide(cert: &Cert) -> Option<Finding> {
    let wide = cert.extensions.names.iter().find_map(|san| match san {
        San::Dns(name) if covers_suffix(name) => Some(name),
        _ => None,
    })?;
    Some(Finding::warning("name-wildcard-wide", format!("{wide} covers a public suffix")))
}

fn covers_suffix(name: &str) -> bool {
    let Some(rest) = name.strip_prefix("*.") else { return name == "*" };
    match rest.split('.').collect::<Vec<_>>()[..] {
        [_] => true,
        [second, top] => top.len() == 2 && SOLD.contains(&second),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_stand_for_one_whole_label() {
        let cases = [
            ("example.org", "example.org", true),
            ("EXAMPLE.org", "example.org", true),
            ("example.org.", "example.org", true),
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
            assert_eq!(fits(pattern, host), expected, "{pattern} for {host}");
        }
    }

    #[test]
    fn names_as_people_write_them() {
        let host = |h: &str| Ok(Wanted::Host(h.into()));
        assert_eq!(Wanted::read("Bücher.example."), host("xn--bcher-kva.example"));
        assert_eq!(Wanted::read("[::1]"), Ok(Wanted::Ip("::1".parse().expect("an address"))));
        assert_eq!(Wanted::read("fe80::1%eth0"), Ok(Wanted::Ip("fe80::1".parse().expect("an address"))));
        assert!(Wanted::read("a b").is_err() && Wanted::read("").is_err() && Wanted::read("a|b").is_err());
    }

    #[test]
    fn suffixes() {
        for (name, expected) in
            [("*.co.uk", true), ("*.org", true), ("*", true), ("*.example.org", false), ("*.ab.uk", false)]
        {
            assert_eq!(covers_suffix(name), expected, "{name}");
        }
    }
}
