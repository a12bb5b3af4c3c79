//! Whether a certificate is for a host: its subjectAltNames, else its common name, as libpq has it.

use std::net::IpAddr;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;

/// The names a certificate was made for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Names {
    dns: Vec<String>,
    addresses: Vec<IpAddr>,
    common: Option<String>,
}

impl Names {
    pub(super) fn read_names(cert: &X509Certificate<'_>) -> Names {
        let common =
            cert.subject().iter_common_name().last().and_then(|cn| cn.as_str().ok()).map(String::from);
        let mut names = Names { common, ..Names::default() };
        let alternative = cert.subject_alternative_name().ok().flatten();
        for name in alternative.iter().flat_map(|a| &a.value.general_names) {
            match name {
                GeneralName::DNSName(name) => names.dns.push((*name).to_string()),
                GeneralName::IPAddress(bytes) => names.addresses.extend(parse_address(bytes)),
                _ => {}
            }
        }
        names
    }

    /// The common name counts only when there is no subjectAltName of the host's kind (RFC 6125 6.4.4, and for
    /// addresses libpq since 15).
    pub(super) fn cover_host(&self, host: &str) -> bool {
        let common = || self.common.as_deref().is_some_and(|cn| matches_host(cn, host));
        match host.parse::<IpAddr>() {
            Ok(ip) => {
                self.addresses.contains(&ip)
                    || self.dns.iter().any(|n| matches_host(n, host))
                    || (self.addresses.is_empty() && common())
            }
            Err(_) => self.dns.iter().any(|n| matches_host(n, host)) || (self.dns.is_empty() && common()),
        }
    }

    /// Whether there is any subjectAltName.
    pub(super) fn has_alternatives(&self) -> bool {
        !self.dns.is_empty() || !self.addresses.is_empty()
    }

    /// All of them, for people.
    pub(super) fn list_names(&self) -> String {
        let addresses = self.addresses.iter().map(IpAddr::to_string);
        let all: Vec<String> = self.dns.iter().cloned().chain(addresses).collect();
        match (all.is_empty(), &self.common) {
            (false, _) => all.join(", "),
            (true, Some(common)) => format!("CN={common}"),
            (true, None) => "no name".into(),
        }
    }
}

fn parse_address(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
}

/// `*` stands for exactly the first label.
fn matches_host(pattern: &str, host: &str) -> bool {
    if pattern.eq_ignore_ascii_case(host) {
        return true;
    }
    let Some(rest) = pattern.strip_prefix("*.") else { return false };
    host.split_once('.').is_some_and(|(label, tail)| !label.is_empty() && tail.eq_ignore_ascii_case(rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(dns: &[&str], ips: &[&str], common: Option<&str>) -> Names {
        Names {
            dns: dns.iter().map(ToString::to_string).collect(),
            addresses: ips.iter().map(|ip| ip.parse().expect("an address")).collect(),
            common: common.map(String::from),
        }
    }

    #[test]
    fn names_are_matched_as_libpq_does() {
        let cases = [
            (names(&["db1.example.org"], &[], None), "DB1.example.org", true),
            (names(&["*.example.org"], &[], None), "db1.example.org", true),
            (names(&["*.example.org"], &[], None), "a.b.example.org", false),
            (names(&["*.example.org"], &[], None), "example.org", false),
            (names(&["other"], &[], Some("db1")), "db1", false),
            (names(&[], &[], Some("db1")), "db1", true),
            (names(&["db1"], &[], Some("127.0.0.1")), "127.0.0.1", true),
            (names(&[], &["127.0.0.2"], Some("127.0.0.1")), "127.0.0.1", false),
            (names(&[], &["::1"], None), "::1", true),
        ];
        for (names, host, expected) in cases {
            assert_eq!(names.cover_host(host), expected, "{names:?} {host}");
        }
    }
}
