//! How good a server's TLS is, reported with the first certificate of its address.

use super::TargetJob;
use super::report::CertReport;
use crate::endpoint::Protocol;
use crate::grade::{self, Grade, Graded};
use crate::net::http::{Hsts, fetch_hsts};
use crate::net::probe::ProbeRequest;
use crate::net::survey::{Survey, survey_server};
use crate::rules;
use toban_core::Severity;
use toban_core::check::{Finding, Rule};

/// Versions, ciphers, header and grade, reported with the first certificate of the address.
pub(super) fn add_grade(job: &TargetJob<'_>, ask: &ProbeRequest<'_>, all: &mut [CertReport]) {
    let options = &job.target.options;
    let https = ask.endpoint.protocol == Protocol::Https || options.hsts;
    // A web server that accepts and then says nothing must not cost the survey its time.
    let quick = ProbeRequest { deadline: ask.deadline.halved(), ..ask.clone() };
    let hsts = if https { fetch_hsts(&quick).unwrap_or(Hsts::NotAsked) } else { Hsts::NotAsked };
    let Some(first) = all.first_mut() else { return };
    if options.hsts {
        first.add(hsts_findings(hsts));
    }
    if !options.grade {
        return;
    }
    let survey = survey_server(ask);
    if survey.cut {
        first.add(vec![rules::unknown(&rules::TIMEOUT, "no answer in time: listing versions and ciphers")]);
    }
    if let Some(graded) = grade_server(first, &survey, hsts) {
        first.add(grade_findings(&survey, &graded, options.least_grade));
        first.grade = Some(graded);
    }
    first.accepts = Some(survey);
}

fn grade_server(report: &CertReport, survey: &Survey, hsts: Hsts) -> Option<Graded> {
    let leaf = report.chain.first()?;
    let found = |rules: &[&Rule]| {
        report.findings.iter().any(|f| rules.contains(&f.rule) && f.severity == Severity::Critical)
    };
    let untrusted = [
        &rules::EXPIRED,
        &rules::NOT_YET_VALID,
        &rules::SELF_SIGNED,
        &rules::UNTRUSTED_ROOT,
        &rules::CHAIN_INVALID,
        &rules::CHAIN_EXPIRED,
        &rules::REVOKED,
    ];
    let facts = grade::GradeFacts {
        versions: &survey.versions,
        ciphers: &survey.ciphers,
        dh_bits: survey.dh_bits,
        key: &leaf.key,
        trusted: !found(&untrusted),
        named: !found(&[&rules::NAME_MISMATCH, &rules::NAME_COMMON_ONLY]),
        chain_complete: !found(&[&rules::CHAIN_INCOMPLETE]),
        old_signature: found(&[&rules::SIGNATURE_MD5, &rules::SIGNATURE_SHA1]),
        hsts,
    };
    Some(grade::compute_grade(&facts))
}

fn hsts_findings(hsts: Hsts) -> Vec<Finding> {
    match hsts {
        Hsts::Missing => vec![rules::warning(&rules::HSTS_MISSING, "no Strict-Transport-Security header")],
        Hsts::NotAsked => {
            let text = "no answer in HTTP/1.1, so that no one knows of a Strict-Transport-Security header";
            vec![rules::warning(&rules::HSTS_MISSING, text)]
        }
        Hsts::For(seconds) if seconds < grade::HSTS_LONG => {
            let text = format!("Strict-Transport-Security is for {seconds} s: half a year is the least");
            vec![rules::warning(&rules::HSTS_WEAK, text)]
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
        found.push(rules::warning(&rules::PROTOCOL_OLD, format!("{} is spoken", old.join(", "))));
    }
    if !survey.versions.contains(&TLS13) {
        found.push(rules::info(&rules::PROTOCOL_NO_TLS13, "TLS 1.3 is not spoken"));
    }
    let ciphers = survey.ciphers.iter().filter_map(|(_, id)| Cipher::by_number(*id));
    let mut weak: Vec<&str> = ciphers.filter(|c| c.is_insecure() || c.bits() < 128).map(|c| c.name).collect();
    weak.sort_unstable();
    weak.dedup();
    if !weak.is_empty() {
        found.push(rules::warning(
            &rules::CIPHER_WEAK,
            format!("weak ciphers are taken: {}", weak.join(", ")),
        ));
    }
    let why =
        if graded.because.is_empty() { String::new() } else { format!(": {}", graded.because.join("; ")) };
    let text = format!("grade {}{why}", graded.grade);
    found.push(match least.is_some_and(|least| graded.grade > least) {
        true => rules::warning(&rules::GRADE, text),
        false => rules::info(&rules::GRADE, text),
    });
    found
}
