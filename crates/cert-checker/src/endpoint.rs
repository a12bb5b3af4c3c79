//! Servers, as people write them (`host`, `host:port`, `smtp://host`) and as the kernel lists those that listen here.

use pkix::PeerName;
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use toban_core::{Context, Error, Result};

/// Where a TLS server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Endpoint {
    pub(crate) protocol: Protocol,
    /// As it was written.
    pub(crate) host: String,
    /// The same as certificates have it.
    pub(crate) peer: PeerName,
    pub(crate) port: u16,
}

/// What is spoken before and inside TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// Without TLS: whether it leads to https is asked.
    Http,
    Https,
    Tls,
    Smtp,
    Smtps,
    Imap,
    Imaps,
    Pop3,
    Pop3s,
    Ftp,
    Ftps,
    Ldap,
    Ldaps,
    Lmtp,
    Sieve,
    Xmpp,
    XmppServer,
    Postgres,
    /// TLS from the first byte, as PostgreSQL 17 takes it.
    PostgresDirect,
    Mysql,
}

/// Schemes, and the port where none is given.
const SCHEMES: [(&str, Protocol, u16); 21] = [
    ("http", Protocol::Http, 80),
    ("https", Protocol::Https, 443),
    ("tls", Protocol::Tls, 443),
    ("smtp", Protocol::Smtp, 25),
    ("smtps", Protocol::Smtps, 465),
    ("imap", Protocol::Imap, 143),
    ("imaps", Protocol::Imaps, 993),
    ("pop3", Protocol::Pop3, 110),
    ("pop3s", Protocol::Pop3s, 995),
    ("ftp", Protocol::Ftp, 21),
    ("ftps", Protocol::Ftps, 990),
    ("ldap", Protocol::Ldap, 389),
    ("ldaps", Protocol::Ldaps, 636),
    ("lmtp", Protocol::Lmtp, 24),
    ("sieve", Protocol::Sieve, 4190),
    ("xmpp", Protocol::Xmpp, 5222),
    ("xmpp-server", Protocol::XmppServer, 5269),
    ("postgres", Protocol::Postgres, 5432),
    ("postgresql", Protocol::Postgres, 5432),
    ("postgres-direct", Protocol::PostgresDirect, 5432),
    ("mysql", Protocol::Mysql, 3306),
];

impl Protocol {
    /// Whether TLS begins after some plain words.
    fn begins_in_plain_text(self) -> bool {
        use Protocol::{Ftp, Imap, Ldap, Lmtp, Mysql, Pop3, Postgres, Sieve, Smtp, Xmpp, XmppServer};
        matches!(self, Smtp | Lmtp | Sieve | Xmpp | XmppServer | Imap | Pop3 | Ftp | Ldap | Postgres | Mysql)
    }
}

impl std::fmt::Display for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        match self.protocol {
            Protocol::Https | Protocol::Tls => write!(f, "{host}:{}", self.port),
            other => {
                let scheme = SCHEMES.iter().find(|(_, p, _)| *p == other).map_or("tls", |(s, ..)| s);
                write!(f, "{scheme}://{host}:{}", self.port)
            }
        }
    }
}

/// Reads an endpoint.
pub(crate) fn parse_endpoint(text: &str) -> Result<Endpoint> {
    let bad = |why: &str| {
        Error::usage(format!("target {text:?}: {why}"))
            .hint("HOST, HOST:PORT, smtp://HOST and the like, FILE, or FILE=HOST:PORT")
    };
    let (scheme, rest) = text.split_once("://").map_or((None, text), |(s, r)| (Some(s), r));
    let known = SCHEMES.iter().find(|(name, ..)| scheme.is_some_and(|s| s.eq_ignore_ascii_case(name)));
    if scheme.is_some() && known.is_none() {
        return Err(bad("unknown scheme"));
    }
    // A URL may be pasted as it is: user, path and query say nothing about the endpoint.
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    let authority = authority.rsplit_once('@').map_or(authority, |(_, a)| a);
    let (host, port) = split_host_port(authority).ok_or_else(|| bad("no HOST:PORT"))?;
    let (protocol, default) = match (known, port) {
        (Some((_, protocol, port)), _) => (*protocol, *port),
        (None, None | Some(443)) => (Protocol::Https, 443),
        (None, Some(port)) => (Protocol::Tls, port),
    };
    let peer = PeerName::parse_host(host).map_err(|why| bad(&why))?;
    Ok(Endpoint { protocol, host: host.to_string(), peer, port: port.unwrap_or(default) })
}

fn split_host_port(text: &str) -> Option<(&str, Option<u16>)> {
    if let Some(rest) = text.strip_prefix('[') {
        let (host, after) = rest.split_once(']')?;
        let port = after.strip_prefix(':').map(str::parse).transpose().ok()?;
        return (!host.is_empty()).then_some((host, port));
    }
    if text.parse::<Ipv6Addr>().is_ok() {
        return Some((text, None));
    }
    match text.split_once(':') {
        Some((host, port)) => (!host.is_empty()).then_some((host, Some(port.parse().ok()?))),
        None => (!text.is_empty()).then_some((text, None)),
    }
}

/// Every listening endpoint; whether it speaks TLS, the check will see.
pub(crate) fn listening_endpoints() -> Result<Vec<Endpoint>> {
    let v4 = std::fs::read_to_string("/proc/self/net/tcp").doing(|| "read /proc/self/net/tcp".into())?;
    // Without IPv6 in the kernel the file is not there.
    let v6 = std::fs::read_to_string("/proc/self/net/tcp6").unwrap_or_default();
    let all: BTreeSet<(u16, IpAddr)> = v4.lines().chain(v6.lines()).filter_map(parse_listening).collect();
    // A socket on every address is asked on the loopback, and once.
    let mut ports = BTreeSet::new();
    let once = all.into_iter().filter(|(port, ip)| !ip.is_loopback() || ports.insert(*port));
    Ok(once.map(|(port, ip)| endpoint_at(ip, port)).collect())
}

fn endpoint_at(ip: IpAddr, port: u16) -> Endpoint {
    // Submission of mail has a port beside SMTP's own (RFC 6409, 3.1).
    let wanted = if port == 587 { 25 } else { port };
    let plain = |p: &Protocol| *p == Protocol::Https || p.begins_in_plain_text();
    let known = SCHEMES.iter().find(|(_, protocol, default)| *default == wanted && plain(protocol));
    let protocol = known.map_or(Protocol::Tls, |(_, protocol, _)| *protocol);
    Endpoint { protocol, host: ip.to_string(), peer: PeerName::Ip(ip), port }
}

/// `0: 0100007F:1F90 00000000:0000 0A …`: the address in the machine's order, the port, and 0A for listening.
fn parse_listening(line: &str) -> Option<(u16, IpAddr)> {
    let mut words = line.split_whitespace().skip(1);
    let (address, port) = words.next()?.split_once(':')?;
    (words.nth(1)? == "0A").then_some(())?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |at: usize| u32::from_str_radix(address.get(at..at + 8)?, 16).ok().map(u32::to_ne_bytes);
    let ip = match address.len() {
        8 => IpAddr::from(word(0)?),
        32 => {
            let words = [word(0)?, word(8)?, word(16)?, word(24)?];
            let bytes: Vec<u8> = words.concat();
            IpAddr::from(<[u8; 16]>::try_from(bytes).ok()?)
        }
        _ => return None,
    };
    Some((port, loopback_for_any(ip.to_canonical())))
}

fn loopback_for_any(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(v4) if v4.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(v6) if v6.is_unspecified() => {
            // A socket on [::] takes IPv4 too, unless it was set otherwise; [::1] is asked when nothing listens there.
            Ipv6Addr::LOCALHOST.into()
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_as_people_write_them() {
        let cases = [
            ("example.org", "example.org:443", Protocol::Https),
            ("example.org:8443", "example.org:8443", Protocol::Tls),
            ("https://u@example.org/path?x", "example.org:443", Protocol::Https),
            ("[::1]:993", "[::1]:993", Protocol::Tls),
            ("::1", "[::1]:443", Protocol::Https),
            ("http://example.org/x", "http://example.org:80", Protocol::Http),
            ("smtp://mx", "smtp://mx:25", Protocol::Smtp),
            ("IMAPS://mx:1993", "imaps://mx:1993", Protocol::Imaps),
            ("postgresql://db/app", "postgres://db:5432", Protocol::Postgres),
        ];
        for (text, shown, protocol) in cases {
            let end = parse_endpoint(text).expect(text);
            assert_eq!((end.to_string().as_str(), end.protocol), (shown, protocol), "{text}");
        }
        for bad in ["", ":443", "h:port", "gopher://x", "[::1", "h:99999"] {
            assert!(parse_endpoint(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn lines_of_the_kernel() {
        let cases = [
            ("   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000", Some((8080, "127.0.0.1"))),
            ("   1: 00000000:01BB 00000000:0000 0A 0", Some((443, "127.0.0.1"))),
            ("   2: 0100007F:1F90 0100007F:C000 01 0", None),
            (
                "   3: 00000000000000000000000001000000:0016 00000000000000000000000000000000:0000 0A",
                Some((22, "::1")),
            ),
            ("  sl  local_address rem_address   st", None),
        ];
        for (line, expected) in cases {
            let expected = expected.map(|(port, ip)| (port, ip.parse().expect("an address")));
            assert_eq!(parse_listening(line), expected, "{line}");
        }
    }

    #[test]
    fn ports_tell_how_tls_begins() {
        let cases = [
            (587, Protocol::Smtp),
            (25, Protocol::Smtp),
            (5432, Protocol::Postgres),
            (443, Protocol::Https),
            (80, Protocol::Tls),
            (465, Protocol::Tls),
        ];
        for (port, protocol) in cases {
            assert_eq!(endpoint_at(Ipv4Addr::LOCALHOST.into(), port).protocol, protocol, "{port}");
        }
    }
}
