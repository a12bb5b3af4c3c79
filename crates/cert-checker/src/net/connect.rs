//! From a host to all its addresses.

use super::deadline::Deadline;
use super::trouble::Trouble;
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::mpsc;

/// Addresses of one name that are asked; a name with more is a mistake or an attack.
const ADDRESSES: usize = 16;

/// Every address of `host`, those of IPv4 first, each once.
///
/// # Errors
/// `dns-not-found`, `dns-failed` or `timeout`.
pub(crate) fn resolve(host: &str, port: u16, deadline: Deadline) -> Result<Vec<SocketAddr>, Trouble> {
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(ip, port)]);
    }
    if host.parse::<std::net::SocketAddrV6>().is_err() && host.contains('%') {
        let found = format!("[{host}]:{port}").to_socket_addrs();
        return found.map(Iterator::collect).map_err(|e| Trouble::new("dns-failed", e.to_string()));
    }
    let name = idna::domain_to_ascii(host).unwrap_or_else(|_| host.to_string());
    look_up(name, port, deadline)
}

/// The system's resolver knows no deadline, so a thread of its own waits for it.
fn look_up(name: String, port: u16, deadline: Deadline) -> Result<Vec<SocketAddr>, Trouble> {
    let (tell, told) = mpsc::channel();
    let asked = name.clone();
    let spawned = std::thread::Builder::new().stack_size(256 << 10).spawn(move || {
        let found = (asked.as_str(), port).to_socket_addrs();
        let _ = tell.send(found.map(Iterator::collect::<BTreeSet<_>>));
    });
    spawned.map_err(|e| Trouble::new("dns-failed", format!("look up {name}: {e}")))?;
    let left = deadline.left().map_err(|e| Trouble::of("look up the name", &e))?;
    match told.recv_timeout(left) {
        Ok(Ok(found)) => Ok(found.into_iter().take(ADDRESSES).collect()),
        Ok(Err(e)) => Err(refused(&name, &e)),
        Err(_) => Err(Trouble::new("timeout", format!("no answer in time: look up {name}"))),
    }
}

/// The resolver's codes come as text only.
fn refused(name: &str, e: &std::io::Error) -> Trouble {
    let text = e.to_string();
    let absent = ["not known", "No address associated"].iter().any(|w| text.contains(w));
    match absent {
        true => Trouble::new("dns-not-found", format!("{name} has no address")),
        false => Trouble::new("dns-failed", format!("look up {name}: {text}")),
    }
}
