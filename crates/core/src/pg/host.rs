//! The servers a connection may go to.

use super::settings::Settings;
use crate::error::{Error, Result};
use std::fmt;
use std::net::IpAddr;
use std::path::Path;

/// One server: a name to look up and to verify, an address instead of the look-up, a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Host {
    /// A host name, an address, or the folder of a Unix socket (`/…`, or `@…` for an abstract one).
    pub(super) name: String,
    /// `hostaddr`.
    pub(super) address: Option<IpAddr>,
    pub(super) port: u16,
}

impl Host {
    /// Whether this is a Unix socket, where TLS is never spoken.
    pub(super) fn is_socket(&self) -> bool {
        self.address.is_none() && self.name.starts_with(['/', '@'])
    }

    /// What a password file calls it: the default socket folder is `localhost` there.
    pub(super) fn in_passfile(&self, socket_dir: &Path) -> String {
        match (&self.name, self.address) {
            (name, Some(address)) if name.is_empty() => address.to_string(),
            (name, _) if name.is_empty() || Path::new(name) == socket_dir => "localhost".into(),
            (name, _) => name.clone(),
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.name, self.address) {
            (name, None) if self.is_socket() => write!(f, "socket {name}/.s.PGSQL.{}", self.port),
            (name, Some(IpAddr::V6(a))) if name.is_empty() => write!(f, "[{a}]:{}", self.port),
            (name, Some(a)) if name.is_empty() => write!(f, "{a}:{}", self.port),
            (name, _) if name.contains(':') => write!(f, "[{name}]:{}", self.port),
            (name, _) => write!(f, "{name}:{}", self.port),
        }
    }
}

/// The servers in the order given; the default socket when none is.
///
/// # Errors
/// Usage: lists of different length, a bad port or address.
pub(super) fn parse_hosts(settings: &Settings, socket_dir: &Path) -> Result<Vec<Host>> {
    let (names, addresses, ports) =
        (split_list(settings, "host"), split_list(settings, "hostaddr"), split_list(settings, "port"));
    // Hosts and addresses go in pairs; one port serves all, several must be as many as they (libpq, "Specifying
    // Multiple Hosts").
    let count = names.len().max(addresses.len()).max(1);
    for (key, values, may_be_one) in
        [("host", &names, false), ("hostaddr", &addresses, false), ("port", &ports, true)]
    {
        if !values.is_empty() && values.len() != count && !(may_be_one && values.len() == 1) {
            return Err(Error::usage(format!("{} values of \"{key}\" for {count} hosts", values.len())));
        }
    }
    let at = |values: &[&str], i: usize| values.get(i).or(values.first()).copied().unwrap_or("").to_string();
    let one = |i| make_host(at(&names, i), &at(&addresses, i), &at(&ports, i), socket_dir);
    (0..count).map(one).collect()
}

fn split_list<'a>(settings: &'a Settings, key: &str) -> Vec<&'a str> {
    settings.get(key).map(|v| v.split(',').collect()).unwrap_or_default()
}

/// Messages show no port or host that could be a piece of a password whose `/` or `@` was not encoded.
fn make_host(name: String, address: &str, port: &str, socket_dir: &Path) -> Result<Host> {
    let encode = "in a URI write a password's / as %2F and @ as %40";
    let bad = || Error::usage("a port is a number from 1 to 65535").hint(encode);
    let port = match port.trim() {
        "" => 5432,
        text => text.parse().ok().filter(|p| *p > 0).ok_or_else(bad)?,
    };
    if name.rfind('@').is_some_and(|at| at > 0) && !name.starts_with(['/', '@']) {
        return Err(Error::usage("a host name with an @ in it").hint(encode));
    }
    let bad = |_| Error::usage(format!("hostaddr is an IP address, not \"{address}\""));
    let address: Option<IpAddr> = if address.is_empty() { None } else { Some(address.parse().map_err(bad)?) };
    let name = match (name.as_str(), address) {
        ("", None) => socket_dir.display().to_string(),
        _ => name,
    };
    Ok(Host { name, address, port })
}
