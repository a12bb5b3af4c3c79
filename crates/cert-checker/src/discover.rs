//! The TCP ports that listen on this host, as the kernel tells, and how TLS begins on each.

use crate::endpoint::{Endpoint, Protocol};
use pkix::PeerName;
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use toban_core::{Context, Result};

/// Ports where TLS begins after some plain words (IANA's registry of ports).
const STARTTLS: [(u16, Protocol); 13] = [
    (25, Protocol::Smtp),
    (587, Protocol::Smtp),
    (24, Protocol::Lmtp),
    (4190, Protocol::Sieve),
    (5222, Protocol::Xmpp),
    (5269, Protocol::XmppServer),
    (143, Protocol::Imap),
    (110, Protocol::Pop3),
    (21, Protocol::Ftp),
    (389, Protocol::Ldap),
    (5432, Protocol::Postgres),
    (3306, Protocol::Mysql),
    (443, Protocol::Https),
];

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
    let protocol = STARTTLS.iter().find(|(p, _)| *p == port).map_or(Protocol::Tls, |(_, protocol)| *protocol);
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
}
