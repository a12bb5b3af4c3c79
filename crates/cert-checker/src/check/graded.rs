//! How good a server's TLS is, reported with the first certificate of its address.

use super::TargetJob;
use super::report::CertReport;
use crate::endpoint::Protocol;
use crate::finding::Finding;
use crate::grade::{self, Grade, Graded};
use crate::net::http::{Hsts, fetch_hsts};
use crate::net::probe::ProbeRequest;
use crate::net::survey::{Survey, survey_server};
use std::net::SocketAddr;
use toban_core::Severity;

/// Versions, ciphers, header and grade, reported with the first certificate of the address.
pub(super) fn add_grade(job: &TargetJob<'_>, ask: &ProbeRequest<'_>, at: SocketAddr, all: &mut [CertReport]) {
    let options = &job.target.options;
    let https = ask.endpoint.protocol == Protocol::Https || options.hsts;
    // A web server that accepts and then says nothing must not cost the survey its time.
    let quick = ProbeRequest { deadline: ask.deadline.halved(), ..ask.clone() };
    let hsts = if https { fetch_hsts(&quick, at).unwrap_or(Hsts::NotAsked) } else { Hsts::NotAsked };
    let Some(first) = all.first_mut() else { return };
    if options.hsts {
        first.add(hsts_findings(hsts));
    }
    if !options.grade {
        return;
    }
    let survey = survey_server(ask, at);
    if survey.cut {
        first.add(vec![Finding::unknown("timeout", "no answer in time: listing versions and ciphers")]);
    }
    if let Some(graded) = grade_server(first, &survey, hsts) {
        first.add(grade_findings(&survey, &graded, options.least_grade));
        first.grade = Some(graded);
    }
    first.accepts = Some(survey);
}

fn grade_server(report: &CertReport, survey: &Survey, hsts: Hsts) -> Option<Graded> {
    let leaf = report.chain.first()?;
    let said = |codes: &[&str]| {
        report.findings.iter().any(|f| codes.contains(&f.code) && f.severity == Severity::Critical)
    };
    let untrusted = [
        "expired",
        "not-yet-valid",
        "self-signed",
        "untrusted-root",
        "chain-invalid",
        "chain-expired",
        "revoked",
    ];
    let facts = grade::GradeFacts {
        versions: &survey.versions,
        ciphers: &survey.ciphers,
        dh_bits: survey.dh_bits,
        key: &leaf.key,
        trusted: !said(&untrusted),
        named: !said(&["name-mismatch", "name-common-only"]),
        chain_complete: !said(&["chain-incomplete"]),
        old_signature: said(&["signature-md5", "signature-sha1"]),
        hsts,
    };
    Some(grade::compute_grade(&facts))
}

fn hsts_findings(hsts: Hsts) -> Vec<Finding> {
    match hsts {
        Hsts::Missing => vec![Finding::warning("hsts-missing", "no Strict-Transport-Security header")],
        Hsts::NotAsked => {
            let says = "no answer in HTTP/1.1, so that no one knows of a Strict-Transport-Security header";
            vec![Finding::warning("hsts-missing", says)]
        }
        Hsts::For(seconds) if seconds < grade::HSTS_LONG => {
            let says = format!("Strict-Transport-Security is for {seconds} s: half a year is the least");
            vec![Finding::warning("hsts-weak", says)]
        }
        Hsts::For(_) => Vec::new(),
    }
}

fn grade_findings(survey: &Survey, graded: &Graded, least: Option<Grade>) -> Vec<Finding> {
    use crate::net::ciphers::Cipher;
    use crate::net::hello::{TLS12, TLS13, version_name};
    let mut found = Vec::new();
    let old: Vec<String> = survey.versions.iter().filter(|v| **v < TLS12).map(|v| version_name(*v)).collect();
    if !old.is_empty() {
        found.push(Finding::warning("protocol-old", format!("{} is spoken", old.join(", "))));
    }
    if !survey.versions.contains(&TLS13) {
        found.push(Finding::info("protocol-no-tls13", "TLS 1.3 is not spoken"));
    }
    let ciphers = survey.ciphers.iter().filter_map(|(_, id)| Cipher::by_number(*id));
    let mut weak: Vec<&str> = ciphers.filter(|c| c.is_insecure() || c.bits() < 128).map(|c| c.name).collect();
    weak.sort_unstable();
    weak.dedup();
    if !weak.is_empty() {
        found.push(Finding::warning("cipher-weak", format!("weak ciphers are taken: {}", weak.join(", "))));
    }
    let why =
        if graded.because.is_empty() { String::new() } else { format!(": {}", graded.because.join("; ")) };
    let says = format!("grade {}{why}", graded.grade);
    found.push(match least.is_some_and(|least| graded.grade > least) {
        true => Finding::warning("grade", says),
        false => Finding::info("grade", says),
    });
    found
}
