//! Redirects of web servers: the certificate of one on the way may end unseen while the last one's is watched. Without
//! TLS: does a web server lead to https, and is a browser made to stay there?

use super::report::CertReport;
use super::{TargetJob, served};
use crate::endpoint::{Endpoint, Protocol, parse_endpoint};
use crate::net::connection::{Deadline, resolve_host};
use crate::net::failure::ProbeFailure;
use crate::net::http;
use crate::net::probe::ProbeRequest;
use crate::options::Options;
use crate::rules;
use crate::target::{CheckTarget, TargetKind};
use pkix::DnsName;
use std::net::SocketAddr;
use std::sync::Arc;

/// As many as browsers follow at least.
const MOST_REDIRECTS: usize = 20;

/// A place on the way that redirects lead.
struct RedirectHop {
    endpoint: Endpoint,
    path: String,
}

/// What the servers show to which redirects of `from` lead, each once; `seen` is what `from` showed.
pub(super) fn check_redirects(
    job: &TargetJob<'_>,
    from: &Endpoint,
    seen: &[CertReport],
    deadline: Deadline,
) -> Vec<CertReport> {
    let mut all: Vec<CertReport> = Vec::new();
    let mut known = vec![from.clone()];
    let mut here = RedirectHop { endpoint: from.clone(), path: "/".into() };
    for _ in 0..MOST_REDIRECTS {
        let shown = if all.is_empty() { seen } else { &all };
        let Some(next) = next_hop(job, &here, shown, deadline) else { break };
        // From here on nothing is encrypted: that is reported, and whether it leads back.
        if next.endpoint.protocol == Protocol::Http {
            let target = redirect_target(job, &next.endpoint);
            all.extend(check_plain_http(&redirect_job(job, &target), &next.endpoint, deadline));
            break;
        }
        // Redirects between two servers, or in a circle, check each server once.
        if !known.contains(&next.endpoint) {
            all.extend(check_redirected(job, &next.endpoint, deadline));
            known.push(next.endpoint.clone());
        }
        here = next;
    }
    all
}

/// Asks the first address that showed a certificate where it leads.
fn next_hop(
    job: &TargetJob<'_>,
    here: &RedirectHop,
    shown: &[CertReport],
    deadline: Deadline,
) -> Option<RedirectHop> {
    let mut places = shown.iter().rev().filter(|c| c.connection.is_some()).flat_map(|c| &c.places);
    let at = places.find_map(|place| {
        place.parse().ok().filter(|at: &std::net::SocketAddr| at.port() == here.endpoint.port)
    })?;
    let first = matches!(&job.target.kind, TargetKind::Served(first) if *first == here.endpoint);
    let sni =
        if first { served::sni_name(job, &here.endpoint) } else { here.endpoint.peer.as_dns().cloned() };
    let ask = ProbeRequest {
        endpoint: &here.endpoint,
        at,
        sni: sni.as_ref().map(DnsName::as_str),
        own: None,
        deadline,
    };
    let location = http::fetch_location(&ask, &here.path)?;
    resolve_location(here, &location)
}

/// What the server shows to whom a redirect led there.
fn check_redirected(job: &TargetJob<'_>, endpoint: &Endpoint, deadline: Deadline) -> Vec<CertReport> {
    let target = redirect_target(job, endpoint);
    served::check_addresses(&redirect_job(job, &target), endpoint, deadline)
}

/// The place that `location` names, as a server writes it; none where that is no web server's.
fn resolve_location(here: &RedirectHop, location: &str) -> Option<RedirectHop> {
    if location.starts_with('/') && !location.starts_with("//") {
        return Some(RedirectHop { endpoint: here.endpoint.clone(), path: location.into() });
    }
    let own = if here.endpoint.protocol == Protocol::Http { "http" } else { "https" };
    let (scheme, rest) = match location.strip_prefix("//") {
        Some(rest) => (own, rest),
        None => location.split_once("://")?,
    };
    let endpoint = parse_endpoint(&format!("{scheme}://{rest}")).ok()?;
    let path = rest.find('/').map_or("/", |at| &rest[at..]);
    matches!(endpoint.protocol, Protocol::Http | Protocol::Https)
        .then(|| RedirectHop { endpoint, path: path.into() })
}

fn redirect_target(job: &TargetJob<'_>, endpoint: &Endpoint) -> CheckTarget {
    // The name and the address that are given are the first server's, not the next one's.
    let own = job.target.options.clone();
    // Who asks without TLS asks whether browsers are kept from it next time.
    let plain = matches!(&job.target.kind, TargetKind::Served(first) if first.protocol == Protocol::Http);
    let hsts = own.hsts || plain;
    let options = Options { name: None, sni: None, connect_to: None, pin: Vec::new(), hsts, ..own };
    CheckTarget {
        text: format!("{} > {endpoint}", job.target.text),
        kind: TargetKind::Served(endpoint.clone()),
        options,
    }
}

fn redirect_job<'t>(job: &TargetJob<'_>, target: &'t CheckTarget) -> TargetJob<'t> {
    TargetJob {
        target,
        thresholds: job.thresholds,
        roots: Arc::clone(&job.roots),
        lists: Arc::clone(&job.lists),
        at: job.at,
        unreachable: job.unreachable,
        identity: None,
        own: None,
        password: None,
    }
}

/// A record for each address, and those of the web servers to which they lead.
pub(super) fn check_plain_http(
    job: &TargetJob<'_>,
    endpoint: &Endpoint,
    deadline: Deadline,
) -> Vec<CertReport> {
    let addresses = match served::find_addresses(job, endpoint, deadline) {
        Ok(addresses) => addresses,
        Err(failure) => {
            let place = endpoint.to_string();
            return vec![CertReport::unseen(&job.target.text, &place, failure.to_finding(job.unreachable))];
        }
    };
    let mut all = Vec::new();
    let mut ends: Vec<Endpoint> = Vec::new();
    for at in addresses {
        let mut checked = CertReport::new(&job.target.text, &at.to_string(), Vec::new(), job.at);
        let start = RedirectHop { endpoint: endpoint.clone(), path: "/".into() };
        match follow_to_https(start, at, deadline) {
            Ok(RedirectEnd::Https(end)) => {
                checked.subject = Some("plain HTTP".into());
                ends.extend((!ends.contains(&end)).then_some(end));
            }
            Ok(RedirectEnd::Nowhere(text)) => {
                checked.subject = Some("plain HTTP".into());
                let finding = rules::warning(&rules::HTTP_NO_REDIRECT, text);
                checked.add(vec![finding]);
            }
            Err(failure) => checked.add(vec![failure.to_finding(job.unreachable)]),
        }
        all.push(checked);
    }
    all.extend(ends.iter().flat_map(|end| check_redirected(job, end, deadline)));
    all
}

/// Where redirects end.
enum RedirectEnd {
    Https(Endpoint),
    /// In words, where it stays without TLS.
    Nowhere(String),
}

/// Follows redirects from the first address up to https.
fn follow_to_https(
    mut here: RedirectHop,
    first: SocketAddr,
    deadline: Deadline,
) -> Result<RedirectEnd, ProbeFailure> {
    let mut at = first;
    for _ in 0..MOST_REDIRECTS {
        let ask = ProbeRequest { endpoint: &here.endpoint, at, sni: None, own: None, deadline };
        let answer = http::ask_without_tls(&ask, &here.path)?;
        let next = answer.location.as_deref().and_then(|location| resolve_location(&here, location));
        let Some(next) = next else {
            let text = format!(
                "{}{} answers with status {} and does not lead to https",
                here.endpoint, here.path, answer.status
            );
            return Ok(RedirectEnd::Nowhere(crate::facts::shorten(&text)));
        };
        if next.endpoint.protocol == Protocol::Https {
            return Ok(RedirectEnd::Https(next.endpoint));
        }
        if next.endpoint != here.endpoint {
            let all = resolve_host(&next.endpoint.host, next.endpoint.port, deadline)?;
            at = all.first().copied().ok_or_else(|| {
                ProbeFailure::new(&rules::DNS_NOT_FOUND, "the redirect's host has no address")
            })?;
        }
        here = next;
    }
    Ok(RedirectEnd::Nowhere("its redirects lead in a circle, and not to https".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_as_servers_write_them() {
        let here =
            RedirectHop { endpoint: parse_endpoint("https://a.example").expect("one"), path: "/".into() };
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
            let found = resolve_location(&here, location).map(|h| (h.endpoint.to_string(), h.path));
            let expected = expected.map(|(e, p)| (e.to_string(), p.to_string()));
            assert_eq!(found, expected, "{location}");
        }
    }
}
