//! Servers as people write them: `host`, `host:port`, `smtp://host`.

use pkix::PeerName;
use toban_core::{Error, Result};

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
    if text.parse::<std::net::Ipv6Addr>().is_ok() {
        return Some((text, None));
    }
    match text.split_once(':') {
        Some((host, port)) => (!host.is_empty()).then_some((host, Some(port.parse().ok()?))),
        None => (!text.is_empty()).then_some((text, None)),
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
}
