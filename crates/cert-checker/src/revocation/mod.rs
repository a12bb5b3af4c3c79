//! Whether the issuer has taken a certificate back: by lists and by stapled answers.

mod crl;
mod fetch;
#[cfg(test)]
mod mutants;
mod ocsp;

use crate::check::Job;
use crate::facts::Cert;
use crate::finding::Finding;
use crate::net::deadline::Deadline;
use crate::store::pem;
use std::path::Path;
use toban_core::Severity;

/// What lists and staple say of the first certificate. `staple` is none for a file, empty when a server sent none.
pub(crate) fn judge(
    job: &Job<'_>,
    chain: &[Cert],
    issuer: Option<&Cert>,
    staple: Option<&[u8]>,
    deadline: Deadline,
) -> Vec<Finding> {
    let Some(leaf) = chain.first() else { return Vec::new() };
    let issuer = issuer.or_else(|| chain.iter().skip(1).find(|c| leaf.issued_by(c)));
    let mut found = staple.map(|s| stapled(leaf, issuer, s, job)).unwrap_or_default();
    found.extend(files(job, leaf, issuer));
    if job.target.wishes.fetch_crl {
        found.extend(fetched(job, leaf, issuer, deadline));
    }
    found
}

fn stapled(leaf: &Cert, issuer: Option<&Cert>, staple: &[u8], job: &Job<'_>) -> Vec<Finding> {
    if staple.is_empty() {
        let says = "it demands a stapled OCSP answer (must-staple), and the server sent none";
        let missing = leaf.extensions.must_staple;
        return missing.then(|| Finding::critical("staple-missing", says)).into_iter().collect();
    }
    let severity = if leaf.extensions.must_staple { Severity::Critical } else { Severity::Warning };
    match ocsp::read(staple).and_then(|answer| answer.judge(leaf, issuer, job.at)) {
        Ok(found) => found,
        Err(why) => {
            vec![Finding::new("staple-unusable", severity, format!("the stapled OCSP answer: {why}"))]
        }
    }
}

fn files(job: &Job<'_>, leaf: &Cert, issuer: Option<&Cert>) -> Vec<Finding> {
    let lists = &job.target.wishes.crl;
    let mut found = Vec::new();
    let mut used = false;
    for path in lists {
        for list in read(path) {
            match crl::judge(&list, leaf, issuer, job.at) {
                Ok(Some(said)) => {
                    used = true;
                    found.extend(said);
                }
                Ok(None) => {}
                Err(why) => found.push(unusable(job, &format!("{}: {why}", path.display()))),
            }
        }
    }
    if !lists.is_empty() && !used && found.is_empty() {
        found.push(unusable(job, "no list given is of the certificate's issuer"));
    }
    found
}

fn unusable(job: &Job<'_>, why: &str) -> Finding {
    let severity = if job.target.wishes.require_crl { Severity::Critical } else { Severity::Warning };
    Finding::new("crl-unusable", severity, why)
}

/// The lists in a file; what cannot be read is one empty list, which nobody can use.
fn read(path: &Path) -> Vec<Vec<u8>> {
    let Ok(bytes) = std::fs::read(path) else { return vec![Vec::new()] };
    let blocks = pem::blocks(&bytes);
    match blocks.is_empty() {
        true => vec![bytes],
        false => {
            let lists = blocks.into_iter().filter(|b| b.label == "X509 CRL");
            lists.map(|b| b.der.unwrap_or_default()).collect()
        }
    }
}

fn fetched(job: &Job<'_>, leaf: &Cert, issuer: Option<&Cert>, deadline: Deadline) -> Vec<Finding> {
    let severity = if job.target.wishes.require_crl { Severity::Critical } else { Severity::Ok };
    if leaf.extensions.crl_urls.is_empty() {
        let says = "it names no revocation list";
        // Short-lived certificates have none on purpose (Baseline Requirements, 7.1.2.11.2).
        let short = leaf.life() <= 10 * 86_400;
        return (!short).then(|| Finding::new("crl-unreachable", severity, says)).into_iter().collect();
    }
    let mut troubles = Vec::new();
    for url in &leaf.extensions.crl_urls {
        match fetch::list(url, job.at, deadline).and_then(|list| crl::judge(&list, leaf, issuer, job.at)) {
            Ok(Some(found)) => return found,
            Ok(None) => troubles.push(format!("{url}: another issuer's list")),
            Err(why) => troubles.push(format!("{url}: {why}")),
        }
    }
    vec![Finding::new("crl-unreachable", severity, troubles.join("; "))]
}
