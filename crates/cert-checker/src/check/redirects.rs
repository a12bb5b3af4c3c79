//! Redirects of web servers: the certificate of a hop may end unseen while the last one's is watched.

use super::report::Checked;
use super::{Job, plain, served};
use crate::judge::Rules;
use crate::net::deadline::Deadline;
use crate::net::http;
use crate::net::probe::Ask;
use crate::target::{self, Endpoint, Protocol, Target, What};
use crate::wishes::Wishes;
use pkix::PeerName;
use std::sync::Arc;

/// As many as browsers follow at least.
pub(super) const MOST: usize = 20;

/// A place on the way.
pub(super) struct Hop {
    pub(super) endpoint: Endpoint,
    pub(super) path: String,
}

/// What the servers show to which redirects of `from` lead, each once; `seen` is what `from` showed.
pub(super) fn followed(job: &Job<'_>, from: &Endpoint, seen: &[Checked], deadline: Deadline) -> Vec<Checked> {
    let mut all: Vec<Checked> = Vec::new();
    let mut known = vec![from.clone()];
    let mut here = Hop { endpoint: from.clone(), path: "/".into() };
    for _ in 0..MOST {
        let shown = if all.is_empty() { seen } else { &all };
        let Some(next) = next(job, &here, shown, deadline) else { break };
        // From here on nothing is encrypted: that is told, and whether it leads back.
        if next.endpoint.protocol == Protocol::Http {
            let target = target(job, &next.endpoint);
            all.extend(plain::check(&hop(job, &target), &next.endpoint, deadline));
            break;
        }
        if !known.contains(&next.endpoint) {
            all.extend(arrived(job, &next.endpoint, deadline));
            known.push(next.endpoint.clone());
        }
        here = next;
    }
    all
}

/// Asks the first address that showed a certificate where it leads.
fn next(job: &Job<'_>, here: &Hop, shown: &[Checked], deadline: Deadline) -> Option<Hop> {
    let mut places = shown.iter().rev().filter(|c| c.connection.is_some()).flat_map(|c| &c.places);
    let at = places.find_map(|place| {
        place.parse().ok().filter(|at: &std::net::SocketAddr| at.port() == here.endpoint.port)
    })?;
    let first = matches!(&job.target.what, What::Served(first) if *first == here.endpoint);
    let sni = if first { served::asked_name(job, &here.endpoint) } else { host_of(&here.endpoint) };
    let ask = Ask { endpoint: &here.endpoint, sni: sni.as_deref(), own: None, deadline };
    let location = http::location(&ask, at, &here.path)?;
    resolved(here, &location)
}

/// What the server shows to whom a redirect led there.
pub(super) fn arrived(job: &Job<'_>, endpoint: &Endpoint, deadline: Deadline) -> Vec<Checked> {
    let target = target(job, endpoint);
    served::asked(&hop(job, &target), endpoint, deadline)
}

fn host_of(endpoint: &Endpoint) -> Option<String> {
    PeerName::parse_host(&endpoint.host).ok()?.as_dns().map(ToString::to_string)
}

/// The place that `location` names, as a server writes it; none where that is no web server's.
pub(super) fn resolved(here: &Hop, location: &str) -> Option<Hop> {
    if location.starts_with('/') && !location.starts_with("//") {
        return Some(Hop { endpoint: here.endpoint.clone(), path: location.into() });
    }
    let own = if here.endpoint.protocol == Protocol::Http { "http" } else { "https" };
    let (scheme, rest) = match location.strip_prefix("//") {
        Some(rest) => (own, rest),
        None => location.split_once("://")?,
    };
    let endpoint = target::endpoint(&format!("{scheme}://{rest}")).ok()?;
    let path = rest.find('/').map_or("/", |at| &rest[at..]);
    matches!(endpoint.protocol, Protocol::Http | Protocol::Https).then(|| Hop { endpoint, path: path.into() })
}

fn target(job: &Job<'_>, endpoint: &Endpoint) -> Target {
    // What the user said of the first server's name and address says nothing about the next one's.
    let own = job.target.wishes.clone();
    // Who asks without TLS asks whether browsers are kept from it next time.
    let plain = matches!(&job.target.what, What::Served(first) if first.protocol == Protocol::Http);
    let hsts = own.hsts || plain;
    let wishes = Wishes { name: None, sni: None, connect_to: None, pin: Vec::new(), hsts, ..own };
    Target { text: format!("{} > {endpoint}", job.target.text), what: What::Served(endpoint.clone()), wishes }
}

fn hop<'t>(job: &Job<'_>, target: &'t Target) -> Job<'t> {
    Job {
        target,
        rules: Rules { pins: Vec::new(), ..job.rules.clone() },
        roots: Arc::clone(&job.roots),
        lists: Arc::clone(&job.lists),
        at: job.at,
        reach: job.reach,
        identity: None,
        own: None,
        password: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_as_servers_write_them() {
        let here = Hop { endpoint: target::endpoint("https://a.example").expect("one"), path: "/".into() };
        let cases = [
            ("https://b.example/x?y", Some(("b.example:443", "/x?y"))),
            ("https://b.example:8443", Some(("b.example:8443", "/"))),
            ("//c.example/z", Some(("c.example:443", "/z"))),
            ("/login", Some(("a.example:443", "/login"))),
            ("HTTPS://b.example/", Some(("b.example:443", "/"))),
            ("http://b.example/", Some(("http://b.example:80", "/"))),
            ("smtp://b.example/", None),
            ("mailto:x", None),
        ];
        for (location, expected) in cases {
            let found = resolved(&here, location).map(|h| (h.endpoint.to_string(), h.path));
            let expected = expected.map(|(e, p)| (e.to_string(), p.to_string()));
            assert_eq!(found, expected, "{location}");
        }
    }
}
