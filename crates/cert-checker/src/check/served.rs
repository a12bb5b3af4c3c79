//! A target on the network: all its addresses, all its kinds of certificate.

use super::report::CertReport;
use super::{TargetJob, graded, redirects};
use crate::endpoint::{Endpoint, Protocol};
use crate::facts::CertFacts;
use crate::judge::{self, TrustedPath};
use crate::net::collect::{self, Restriction};
use crate::net::connection::{Deadline, resolve_host};
use crate::net::failure::ProbeFailure;
use crate::net::http;
use crate::net::probe::{Presented, ProbeRequest, fetch_certificate};
use crate::revocation::SeenChain;
use crate::rules;
use crate::target::TargetKind;
use pkix::{DnsName, PeerName};
use std::net::SocketAddr;
use toban_core::Severity;
use toban_core::check::Finding;

/// Every certificate that the endpoint shows, one record each; one for each address that shows none. Where redirects
/// are followed, the same of every server on the way.
pub(super) fn check_endpoint(job: &TargetJob<'_>, endpoint: &Endpoint) -> Vec<CertReport> {
    let deadline = job.deadline();
    if endpoint.protocol == Protocol::Http {
        return redirects::check_plain_http(job, endpoint, deadline);
    }
    let mut all = check_addresses(job, endpoint, deadline);
    if job.target.options.redirects && endpoint.protocol == Protocol::Https {
        let hops = redirects::check_redirects(job, endpoint, &all, deadline);
        all.extend(hops);
    }
    all
}

/// The endpoint itself.
pub(super) fn check_addresses(
    job: &TargetJob<'_>,
    endpoint: &Endpoint,
    deadline: Deadline,
) -> Vec<CertReport> {
    let addresses = match find_addresses(job, endpoint, deadline) {
        Ok(addresses) => addresses,
        Err(failure) => {
            let mut finding = failure.to_finding(job.unreachable);
            if looks_like_file(&endpoint.host) {
                finding = finding.advise("is it a file? It is not there");
            }
            return vec![CertReport::unseen(&job.label_for(endpoint), &endpoint.to_string(), finding)];
        }
    };
    let sni = sni_name(job, endpoint);
    let check_one = |at: &SocketAddr| {
        let (sni, own) = (sni.as_ref().map(DnsName::as_str), job.identity.clone());
        check_address(job, &ProbeRequest { endpoint, at: *at, sni, own, deadline })
    };
    let mut all: Vec<CertReport> = match addresses.as_slice() {
        [one] => check_one(one),
        many => std::thread::scope(|scope| {
            let asked: Vec<_> = many.iter().map(|at| scope.spawn(|| check_one(at))).collect();
            asked.into_iter().flat_map(|a| a.join().unwrap_or_default()).collect()
        }),
    };
    soften_dead_addresses(&mut all);
    all
}

/// No host is called `server.pem`.
fn looks_like_file(host: &str) -> bool {
    let ending = host.rsplit_once('.').map_or("", |(_, ending)| ending);
    ["pem", "crt", "cer", "der", "key", "p12", "pfx", "p7b", "jks", "crl"].contains(&ending)
}

pub(super) fn find_addresses(
    job: &TargetJob<'_>,
    endpoint: &Endpoint,
    deadline: Deadline,
) -> Result<Vec<SocketAddr>, ProbeFailure> {
    let (host, port) = match &job.target.options.connect_to {
        None => (endpoint.host.clone(), endpoint.port),
        Some(to) => match to.parse::<SocketAddr>() {
            Ok(at) => (at.ip().to_string(), at.port()),
            Err(_) => match to.rsplit_once(':').and_then(|(h, p)| Some((h, p.parse().ok()?))) {
                Some((host, port)) if !host.contains(':') => (host.to_string(), port),
                _ => (to.trim_matches(['[', ']']).to_string(), endpoint.port),
            },
        },
    };
    resolve_host(&host, port, deadline)
}

/// What goes into SNI: a host name, never an address (RFC 6066, 3).
pub(super) fn sni_name(job: &TargetJob<'_>, endpoint: &Endpoint) -> Option<DnsName> {
    let options = &job.target.options;
    options.sni.as_ref().or(options.name.as_ref()).unwrap_or(&endpoint.peer).as_dns().cloned()
}

/// One address: its certificate, and those that it shows to other clients.
fn check_address(job: &TargetJob<'_>, ask: &ProbeRequest<'_>) -> Vec<CertReport> {
    let first = match fetch_certificate(ask, None) {
        Ok(mut presented) => {
            let web = ask.endpoint.protocol == Protocol::Https && ask.own.is_some();
            if web && presented.shown.asked.is_some() && presented.refused.is_none() {
                let quick = ProbeRequest { deadline: ask.deadline.halved(), ..ask.clone() };
                presented.refused = http::fetch_client_refusal(&quick);
            }
            presented
        }
        Err(failure) => {
            return vec![CertReport::unseen(
                &job.label_for(ask.endpoint),
                &ask.at.to_string(),
                failure.to_finding(job.unreachable),
            )];
        }
    };
    // A server may hold an RSA and an ECDSA certificate, and renew only one; which one a client sees depends on what the
    // client offers. So each is asked for.
    let others = if first.legacy { Vec::new() } else { fetch_others(ask, &first) };
    let mut all: Vec<CertReport> = vec![judge_presented(job, ask, first)];
    for presented in others {
        let other = judge_presented(job, ask, presented);
        if all.iter().all(|seen| seen.chain.first() != other.chain.first()) {
            all.push(other);
        }
    }
    if job.target.options.grade || job.target.options.hsts {
        graded::add_grade(job, ask, &mut all);
    }
    all
}

/// What the server shows to clients that take only the other kind of key, or no TLS 1.3.
fn fetch_others(ask: &ProbeRequest<'_>, first: &Presented) -> Vec<Presented> {
    let leaf = first.shown.chain.first().and_then(|der| CertFacts::read_der(der).ok());
    let key = leaf.and_then(|leaf| collect::other_key_kind(&leaf.key));
    let version = (first.version == "TLSv1.3").then_some(Restriction::Tls12);
    let shown = key.into_iter().chain(version).filter_map(|only| fetch_certificate(ask, Some(only)).ok());
    shown.filter(|p| p.failure.is_none()).collect()
}

fn judge_presented(job: &TargetJob<'_>, ask: &ProbeRequest<'_>, presented: Presented) -> CertReport {
    let (chain, unreadable) = read_chain(&presented.shown.chain);
    let mut report = CertReport::new(&job.label_for(ask.endpoint), &ask.at.to_string(), chain, job.at);
    let (trusted, found) = judge::judge_chain(&report.chain, &job.question(wanted_name(job, ask.endpoint)));
    report.add(found);
    report.add(unreadable);
    report.add(judge_transport(job, ask.endpoint.protocol, &presented));
    let above = trusted.as_ref().map(TrustedPath::issuers).unwrap_or_default();
    let staple = Some(presented.shown.staple.as_slice());
    let seen = SeenChain { chain: &report.chain, above: &above, staple };
    let revoked = job.revocation_check(ask.deadline).judge_chain(&seen);
    report.add(revoked);
    report.set_thresholds(&job.thresholds);
    let to = job.target.options.connect_to.as_deref().unwrap_or_default();
    report.asked = format!("{} {to}", ask.sni.unwrap_or_default());
    report.client_authorities = client_authorities(&presented);
    report.connection = Some(presented);
    report
}

/// The name that a client would ask for; of a port found here it is not known.
fn wanted_name<'t>(job: &'t TargetJob<'_>, endpoint: &'t Endpoint) -> Option<&'t PeerName> {
    let host = Some(&endpoint.peer).filter(|_| !matches!(job.target.kind, TargetKind::Discovered(_)));
    job.target.options.name.as_ref().or(host)
}

/// The chain's certificates; one that cannot be read hides no other, and the first one's place is kept.
fn read_chain(sent: &[Vec<u8>]) -> (Vec<CertFacts>, Vec<Finding>) {
    let (mut chain, mut unreadable) = (Vec::new(), Vec::new());
    for (at, der) in sent.iter().enumerate() {
        match CertFacts::read_der(der) {
            Ok(cert) => chain.push(cert),
            Err(why) => {
                let text = format!("certificate {} of {} cannot be read: {why}", at + 1, sent.len());
                unreadable
                    .push(rules::critical(&rules::CERTIFICATE_UNREADABLE, crate::facts::shorten(&text)));
            }
        }
    }
    (chain, unreadable)
}

/// What the handshake itself tells.
fn judge_transport(job: &TargetJob<'_>, protocol: Protocol, presented: &Presented) -> Vec<Finding> {
    let mut found: Vec<Finding> = judge_size(&presented.shown.chain).into_iter().collect();
    let (version, cipher) = (&presented.version, &presented.cipher);
    let agreed = presented.protocol.as_deref() == Some("postgresql");
    if protocol == Protocol::PostgresDirect && !presented.legacy && !agreed {
        let text = "the server does not agree on the protocol postgresql (ALPN), so that libpq refuses the connection";
        found.push(rules::critical(&rules::ALPN_MISSING, text));
    }
    if presented.legacy && presented.failure.is_none() {
        found.push(match version.as_str() {
            "TLSv1.2" => {
                rules::critical(&rules::CIPHER_WEAK, format!("only weak ciphers are taken, as {cipher}"))
            }
            _ => rules::critical(&rules::PROTOCOL_OLD, format!("nothing newer than {version} is spoken")),
        });
    }
    if let Some(why) = &presented.shown.unproven {
        let text = format!("the server's proof that it has the key does not hold: {why}");
        found.push(rules::critical(&rules::SIGNATURE_UNPROVEN, text));
    }
    if let Some(why) = &presented.refused {
        let text = format!("the server does not take our client certificate: {why}");
        let advice = "is it of an authority that the server trusts for clients, and of today?";
        found.push(rules::critical(&rules::CLIENT_CERTIFICATE_REFUSED, text).advise(advice));
    }
    if let Some(failure) = &presented.failure
        && found.iter().all(|f| f.rule != &rules::CHAIN_LARGE)
    {
        found.push(failure.to_finding(Severity::Critical));
    }
    match (presented.shown.asked.is_some(), job.target.options.expect_client_auth) {
        (true, _) => found.push(rules::info(
            &rules::CLIENT_CERTIFICATE_REQUESTED,
            "the server asks for a client certificate",
        )),
        (false, true) => found.push(rules::critical(
            &rules::CLIENT_CERTIFICATE_NOT_REQUESTED,
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
fn judge_size(sent: &[Vec<u8>]) -> Option<Finding> {
    // Each certificate follows its length, and all follow theirs (RFC 5246, 7.4.2).
    let size = 3 + sent.iter().map(|der| der.len() + 3).sum::<usize>();
    let text = |who: &str| format!("the certificates sent take {} KiB, more than {who}", size >> 10);
    let finding = match size {
        ..LARGE => return None,
        LARGE..=TOO_LARGE => rules::warning(&rules::CHAIN_LARGE, text("the 64 KiB that many clients take")),
        _ => rules::critical(&rules::CHAIN_LARGE, text("the 100 KiB that any common client takes")),
    };
    Some(finding)
}

fn client_authorities(presented: &Presented) -> Vec<String> {
    let hints = presented.shown.asked.as_deref().unwrap_or_default();
    hints.iter().filter_map(|der| crate::facts::format_name(der)).collect()
}

/// A dead address beside a live one is no reason to wake anybody.
fn soften_dead_addresses(all: &mut [CertReport]) {
    if all.iter().all(|c| c.chain.is_empty()) {
        return;
    }
    for dead in all.iter_mut().filter(|c| c.chain.is_empty() && c.state == Severity::Unknown) {
        let text = dead.findings.first().map(|f| format!("{} ({})", f.text, f.rule.id)).unwrap_or_default();
        dead.findings.clear();
        dead.add(vec![rules::warning(&rules::ADDRESS_DEAD, text)]);
    }
}
