//! A web server that is asked without TLS: does it lead to https, and is a browser told to stay there?

use super::redirects::{self, Hop};
use super::report::Checked;
use super::{Job, served};
use crate::finding::Finding;
use crate::net::connect;
use crate::net::deadline::Deadline;
use crate::net::http;
use crate::net::probe::Ask;
use crate::net::trouble::Trouble;
use crate::target::{Endpoint, Protocol};
use std::net::SocketAddr;

/// A record for each address, and those of the web servers to which they lead.
pub(super) fn check(job: &Job<'_>, endpoint: &Endpoint, deadline: Deadline) -> Vec<Checked> {
    let addresses = match served::addresses(job, endpoint, deadline) {
        Ok(addresses) => addresses,
        Err(trouble) => {
            let place = endpoint.to_string();
            return vec![Checked::nothing(&job.target.text, &place, trouble.finding(job.reach))];
        }
    };
    let mut all = Vec::new();
    let mut ends: Vec<Endpoint> = Vec::new();
    for at in addresses {
        let mut checked = Checked::of(&job.target.text, &at.to_string(), Vec::new(), job.at);
        let start = Hop { endpoint: endpoint.clone(), path: "/".into() };
        match way(start, at, deadline) {
            Ok(Led::Https(end)) => {
                checked.subject = Some("plain HTTP".into());
                ends.extend((!ends.contains(&end)).then_some(end));
            }
            Ok(Led::Nowhere(says)) => {
                checked.subject = Some("plain HTTP".into());
                let finding = Finding::warning("http-no-redirect", says);
                checked
                    .add(vec![finding.advise("let it answer with a redirect to https:// and nothing else")]);
            }
            Err(trouble) => checked.add(vec![trouble.finding(job.reach)]),
        }
        all.push(checked);
    }
    all.extend(ends.iter().flat_map(|end| redirects::arrived(job, end, deadline)));
    all
}

/// Where a way ends.
enum Led {
    Https(Endpoint),
    /// In words, where it stays without TLS.
    Nowhere(String),
}

/// Follows redirects from the first address up to https.
fn way(mut here: Hop, first: SocketAddr, deadline: Deadline) -> Result<Led, Trouble> {
    let mut at = first;
    for _ in 0..redirects::MOST {
        let ask = Ask { endpoint: &here.endpoint, sni: None, own: None, deadline };
        let answer = http::plain(&ask, at, &here.path)?;
        let next = answer.location.as_deref().and_then(|location| redirects::resolved(&here, location));
        let Some(next) = next else {
            let says = format!(
                "{}{} answers with status {} and does not lead to https",
                here.endpoint, here.path, answer.status
            );
            return Ok(Led::Nowhere(crate::facts::short(&says)));
        };
        if next.endpoint.protocol == Protocol::Https {
            return Ok(Led::Https(next.endpoint));
        }
        if next.endpoint != here.endpoint {
            let all = connect::resolve(&next.endpoint.host, next.endpoint.port, deadline)?;
            at = all
                .first()
                .copied()
                .ok_or_else(|| Trouble::new("dns-not-found", "the redirect's host has no address"))?;
        }
        here = next;
    }
    Ok(Led::Nowhere("its redirects lead in a circle, and not to https".into()))
}
