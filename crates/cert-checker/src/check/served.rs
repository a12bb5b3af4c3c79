//! A target on the network: all its addresses, all its kinds of certificate.

use super::report::Checked;
use super::{Job, graded, plain, redirects};
use crate::facts::Cert;
use crate::finding::Finding;
use crate::judge::{self, Question, Trusted};
use crate::net::collect::{self, Only};
use crate::net::connect;
use crate::net::deadline::Deadline;
use crate::net::http;
use crate::net::probe::{self, Ask, Presented};
use crate::net::trouble::Trouble;
use crate::revocation;
use crate::target::{Endpoint, Protocol, What};
use pkix::PeerName;
use std::net::SocketAddr;
use toban_core::Severity;

/// Every certificate that the endpoint shows, one record each; one for each address that shows none. Where redirects
/// are followed, the same of every server on the way.
pub(crate) fn check(job: &Job<'_>, endpoint: &Endpoint) -> Vec<Checked> {
    let deadline = job.deadline();
    if endpoint.protocol == Protocol::Http {
        return plain::check(job, endpoint, deadline);
    }
    let mut all = asked(job, endpoint, deadline);
    if job.target.wishes.redirects && endpoint.protocol == Protocol::Https {
        let hops = redirects::followed(job, endpoint, &all, deadline);
        all.extend(hops);
    }
    all
}

/// The endpoint itself.
pub(super) fn asked(job: &Job<'_>, endpoint: &Endpoint, deadline: Deadline) -> Vec<Checked> {
    let addresses = match addresses(job, endpoint, deadline) {
        Ok(addresses) => addresses,
        Err(trouble) => {
            let finding = trouble.finding(job.reach).advise(if looks_like_file(&endpoint.host) {
                "is it a file? It is not there"
            } else {
                ""
            });
            return vec![Checked::nothing(&job.shown(endpoint), &endpoint.to_string(), finding)];
        }
    };
    let sni = asked_name(job, endpoint);
    let ask = Ask { endpoint, sni: sni.as_deref(), own: job.identity.clone(), deadline };
    let mut all: Vec<Checked> = Vec::new();
    match addresses.as_slice() {
        [one] => all.extend(address(job, &ask, *one)),
        many => std::thread::scope(|scope| {
            let asked: Vec<_> = many.iter().map(|at| scope.spawn(|| address(job, &ask, *at))).collect();
            all.extend(asked.into_iter().flat_map(|a| a.join().unwrap_or_default()));
        }),
    }
    soften(&mut all);
    all
}

/// No host is called `server.pem`.
fn looks_like_file(host: &str) -> bool {
    let ending = host.rsplit_once('.').map_or("", |(_, ending)| ending);
    ["pem", "crt", "cer", "der", "key", "p12", "pfx", "p7b", "jks", "crl"].contains(&ending)
}

pub(super) fn addresses(
    job: &Job<'_>,
    endpoint: &Endpoint,
    deadline: Deadline,
) -> Result<Vec<SocketAddr>, Trouble> {
    let (host, port) = match &job.target.wishes.connect_to {
        None => (endpoint.host.clone(), endpoint.port),
        Some(to) => match to.parse::<SocketAddr>() {
            Ok(at) => (at.ip().to_string(), at.port()),
            Err(_) => match to.rsplit_once(':').and_then(|(h, p)| Some((h, p.parse().ok()?))) {
                Some((host, port)) if !host.contains(':') => (host.to_string(), port),
                _ => (to.trim_matches(['[', ']']).to_string(), endpoint.port),
            },
        },
    };
    connect::resolve(&host, port, deadline)
}

/// What goes into SNI: a host name, never an address.
pub(super) fn asked_name(job: &Job<'_>, endpoint: &Endpoint) -> Option<String> {
    let wishes = &job.target.wishes;
    let name = wishes.sni.as_deref().or(wishes.name.as_deref()).unwrap_or(&endpoint.host);
    PeerName::parse_host(name).ok()?.as_dns().map(ToString::to_string)
}

/// One address: its certificate, and those that it shows to other clients.
fn address(job: &Job<'_>, ask: &Ask<'_>, at: SocketAddr) -> Vec<Checked> {
    let first = match probe::certificate(ask, at, None) {
        Ok(mut presented) => {
            let web = ask.endpoint.protocol == Protocol::Https && ask.own.is_some();
            if web && presented.shown.asked.is_some() && presented.refused.is_none() {
                let quick = Ask { deadline: ask.deadline.half(), ..ask.clone() };
                presented.refused = http::refusal_of_ours(&quick, at);
            }
            presented
        }
        Err(trouble) => {
            return vec![Checked::nothing(
                &job.shown(ask.endpoint),
                &at.to_string(),
                trouble.finding(job.reach),
            )];
        }
    };
    let others = if first.legacy { Vec::new() } else { others(ask, at, &first) };
    let mut all: Vec<Checked> = vec![one(job, ask, at, first)];
    for presented in others {
        let other = one(job, ask, at, presented);
        if all.iter().all(|seen| seen.chain.first() != other.chain.first()) {
            all.push(other);
        }
    }
    if job.target.wishes.grade || job.target.wishes.hsts {
        graded::tell(job, ask, at, &mut all);
    }
    all
}

/// What the server shows to clients that take only the other kind of key, or no TLS 1.3.
fn others(ask: &Ask<'_>, at: SocketAddr, first: &Presented) -> Vec<Presented> {
    let leaf = first.shown.chain.first().and_then(|der| Cert::read(der).ok());
    let key = leaf.and_then(|leaf| collect::other_kind(&leaf.key));
    let version = (first.version == "TLSv1.3").then_some(Only::Tls12);
    let shown =
        key.into_iter().chain(version).filter_map(|only| probe::certificate(ask, at, Some(only)).ok());
    shown.filter(|p| p.trouble.is_none()).collect()
}

fn one(job: &Job<'_>, ask: &Ask<'_>, at: SocketAddr, presented: Presented) -> Checked {
    let (chain, unreadable) = read(&presented.shown.chain);
    let mut checked = Checked::of(&job.shown(ask.endpoint), &at.to_string(), chain, job.at);
    let wanted = wanted(job, ask.endpoint);
    let question = Question { rules: &job.rules, roots: &job.roots, at: job.at, name: wanted.as_ref() };
    let (trusted, found) = judge::judge(&checked.chain, &question);
    checked.add(found);
    checked.add(unreadable);
    checked.add(transport(job, ask.endpoint.protocol, &presented));
    let above = trusted.as_ref().map(Trusted::above).unwrap_or_default();
    let staple = Some(presented.shown.staple.as_slice());
    let seen = revocation::Seen { chain: &checked.chain, above: &above, staple };
    let revoked = revocation::judge(job, &seen, ask.deadline);
    checked.add(revoked);
    checked.under(&job.rules);
    let to = job.target.wishes.connect_to.as_deref().unwrap_or_default();
    checked.asked = format!("{} {to}", ask.sni.unwrap_or_default());
    checked.client_authorities = authorities(&presented);
    checked.connection = Some(presented);
    checked
}

/// The name that a client would ask for; of a port found here nobody knows it.
fn wanted(job: &Job<'_>, endpoint: &Endpoint) -> Option<PeerName> {
    let own = job.target.wishes.name.as_deref();
    let host = Some(endpoint.host.as_str()).filter(|_| !matches!(job.target.what, What::Discovered(_)));
    own.or(host).and_then(|name| PeerName::parse_host(name).ok())
}

/// The chain's certificates; one that cannot be read hides no other, and the first one's place is kept.
pub(super) fn read(sent: &[Vec<u8>]) -> (Vec<Cert>, Vec<Finding>) {
    let (mut chain, mut unreadable) = (Vec::new(), Vec::new());
    for (at, der) in sent.iter().enumerate() {
        match Cert::read(der) {
            Ok(cert) => chain.push(cert),
            Err(why) => {
                let says = format!("certificate {} of {} cannot be read: {why}", at + 1, sent.len());
                unreadable.push(Finding::critical("certificate-unreadable", crate::facts::short(&says)));
            }
        }
    }
    (chain, unreadable)
}

/// What the handshake itself tells.
fn transport(job: &Job<'_>, protocol: Protocol, presented: &Presented) -> Vec<Finding> {
    let mut found: Vec<Finding> = large(&presented.shown.chain).into_iter().collect();
    let (version, cipher) = (&presented.version, &presented.cipher);
    let agreed = presented.protocol.as_deref() == Some("postgresql");
    if protocol == Protocol::PostgresDirect && !presented.legacy && !agreed {
        let says = "the server does not agree on the protocol postgresql (ALPN), so that libpq refuses the connection";
        found.push(
            Finding::critical("alpn-missing", says).advise("is it PostgreSQL 17 or newer that answers?"),
        );
    }
    if presented.legacy && presented.trouble.is_none() {
        found.push(match version.as_str() {
            "TLSv1.2" => {
                Finding::critical("cipher-weak", format!("only weak ciphers are taken, as {cipher}"))
            }
            _ => Finding::critical("protocol-old", format!("nothing newer than {version} is spoken")),
        });
    }
    if let Some(why) = &presented.shown.unproven {
        let says = format!("the server's proof that it has the key does not hold: {why}");
        found.push(Finding::critical("signature-unproven", says));
    }
    if let Some(why) = &presented.refused {
        let says = format!("the server does not take our client certificate: {why}");
        let advice = "is it of an authority that the server trusts for clients, and of today?";
        found.push(Finding::critical("client-certificate-refused", says).advise(advice));
    }
    if let Some(trouble) = &presented.trouble
        && found.iter().all(|f| f.code != "chain-large")
    {
        found.push(trouble.finding(Severity::Critical));
    }
    match (presented.shown.asked.is_some(), job.target.wishes.expect_client_auth) {
        (true, _) => found
            .push(Finding::info("client-certificate-requested", "the server asks for a client certificate")),
        (false, true) => found.push(Finding::critical(
            "client-certificate-not-requested",
            "the server does not ask for a client certificate",
        )),
        (false, false) => {}
    }
    found.extend(job.own_expiry());
    found
}

/// Messages of this size are the largest that many clients take (Go, rustls); OpenSSL and browsers take 100 KiB.
const LARGE: usize = 64 << 10;
const TOO_LARGE: usize = 100 << 10;

/// A chain that clients refuse for its size, whatever is in it.
fn large(sent: &[Vec<u8>]) -> Option<Finding> {
    // Each certificate stands behind its length, and all behind theirs.
    let size = 3 + sent.iter().map(|der| der.len() + 3).sum::<usize>();
    let says = |who: &str| format!("the certificates sent take {} KiB, more than {who}", size >> 10);
    let finding = match size {
        ..LARGE => return None,
        LARGE..=TOO_LARGE => Finding::warning("chain-large", says("the 64 KiB that many clients take")),
        _ => Finding::critical("chain-large", says("the 100 KiB that any common client takes")),
    };
    Some(finding.advise("send only the leaf and the issuers between it and the root"))
}

fn authorities(presented: &Presented) -> Vec<String> {
    let hints = presented.shown.asked.as_deref().unwrap_or_default();
    hints.iter().filter_map(|der| crate::facts::name_of(der)).collect()
}

/// A dead address beside a live one is no reason to wake anybody.
fn soften(all: &mut [Checked]) {
    if all.iter().all(|c| c.chain.is_empty()) {
        return;
    }
    for dead in all.iter_mut().filter(|c| c.chain.is_empty() && c.state == Severity::Unknown) {
        let says = dead.findings.first().map(|f| format!("{} ({})", f.says, f.code)).unwrap_or_default();
        dead.findings.clear();
        dead.add(vec![Finding::warning("address-dead", says)]);
    }
}
