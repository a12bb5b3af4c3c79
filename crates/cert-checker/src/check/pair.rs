//! A file and what is being served: renewed on disk does not mean renewed.

use super::TargetJob;
use super::report::CertReport;
use super::served;
use super::stored::{StoredReports, check_files};
use crate::endpoint::Endpoint;
use crate::facts::{CertFacts, UnixSeconds, format_span};
use crate::rules;
use std::time::{SystemTime, UNIX_EPOCH};
use toban_core::check::Finding;

/// The file's certificates, what each endpoint serves, and whether they are the same.
pub(super) fn check_pair(job: &TargetJob<'_>, file: &str, endpoints: &[Endpoint]) -> Vec<CertReport> {
    let StoredReports { mut all, modified } = check_files(job, file);
    let disk: Vec<Vec<CertFacts>> = all
        .iter()
        .map(|c| c.chain.clone())
        .filter(|c| c.first().is_some_and(|l| !l.is_authority()))
        .collect();
    for endpoint in endpoints {
        for mut seen in served::check_endpoint(job, endpoint) {
            let served = seen.chain.clone();
            if !served.is_empty() && !disk.is_empty() {
                seen.add(
                    compare_chains(&disk, &served, written_since(modified, job.at)).into_iter().collect(),
                );
            }
            all.push(seen);
        }
    }
    all
}

/// What differs between the disk's chains and the one being served.
fn compare_chains(disk: &[Vec<CertFacts>], served: &[CertFacts], since: String) -> Option<Finding> {
    let leaf = &served[0];
    if let Some(same) = disk.iter().find(|d| d[0] == *leaf) {
        return compare_issuers(same, served);
    }
    // A server with an RSA and an ECDSA certificate is compared kind by kind.
    let of_kind = disk.iter().find(|d| d[0].key.kind == leaf.key.kind);
    let on_disk = &of_kind.or(disk.first())?[0];
    // By the beginning of the validity: it is the time of issue, while ends depend on how long each was issued for.
    let (ours, theirs) = (on_disk.not_before, leaf.not_before);
    let dates = format!("valid from {ours} on disk, from {theirs} being served");
    Some(match ours.cmp(&theirs) {
        std::cmp::Ordering::Greater => {
            let text = format!("renewed on disk{since}, and the old one is still being served: {dates}");
            rules::critical(&rules::NOT_SERVED, text)
        }
        std::cmp::Ordering::Less => {
            let text = format!("a newer certificate is being served than the one on disk: {dates}");
            rules::warning(&rules::SERVED_NEWER, text)
        }
        std::cmp::Ordering::Equal => {
            let text = format!("{} is being served, {} is on disk", leaf.title(), on_disk.title());
            rules::critical(&rules::SERVED_DIFFERS, text)
        }
    })
}

/// Roots do not count: servers leave them away, and the file may have them.
fn compare_issuers(disk: &[CertFacts], served: &[CertFacts]) -> Option<Finding> {
    let core = |chain: &[CertFacts]| -> Vec<String> {
        chain.iter().skip(1).filter(|c| !c.is_self_signed()).map(|c| c.sha256.clone()).collect()
    };
    let (ours, theirs) = (core(disk), core(served));
    // A file with the leaf alone says nothing about the chain.
    (disk.len() > 1 && ours != theirs).then(|| {
        let text = format!(
            "{} certificates on disk and {} being served after the same first one",
            ours.len(),
            theirs.len()
        );
        rules::warning(&rules::SERVED_CHAIN_DIFFERS, text)
    })
}

fn written_since(modified: Option<SystemTime>, at: UnixSeconds) -> String {
    let seconds = modified.and_then(|m| m.duration_since(UNIX_EPOCH).ok()).map(|d| d.as_secs());
    let Some(written) = seconds.and_then(|s| i64::try_from(s).ok()).map(UnixSeconds) else {
        return String::new();
    };
    match at.since(written) {
        age if age > 0 => format!(" {} ago, on {written}", format_span(age)),
        _ => format!(" on {written}"),
    }
}
