//! How good a server's TLS is, told with the first certificate of its address.

use super::Job;
use super::report::Checked;
use crate::finding::Finding;
use crate::grade::{self, Grade, Graded, Hsts};
use crate::net::http;
use crate::net::probe::Ask;
use crate::net::survey::{self, Survey};
use crate::target::Protocol;
use std::net::SocketAddr;
use toban_core::Severity;

/// Versions, ciphers, header and grade, told with the first certificate of the address.
pub(super) fn tell(job: &Job<'_>, ask: &Ask<'_>, at: SocketAddr, all: &mut [Checked]) {
    let wishes = &job.target.wishes;
    let https = ask.endpoint.protocol == Protocol::Https || wishes.hsts;
    // A web server that accepts and then says nothing must not cost the survey its time.
    let quick = Ask { deadline: ask.deadline.half(), ..ask.clone() };
    let hsts = if https { http::hsts(&quick, at).unwrap_or(Hsts::NotAsked) } else { Hsts::NotAsked };
    let Some(first) = all.first_mut() else { return };
    if wishes.hsts {
        first.add(hsts_findings(hsts));
    }
    if !wishes.grade {
        return;
    }
    let survey = survey::survey(ask, at);
    if survey.cut {
        first.add(vec![Finding::unknown("timeout", "no answer in time: listing versions and ciphers")]);
    }
    if let Some(graded) = rate(first, &survey, hsts) {
        first.add(grade_findings(&survey, &graded, wishes.least_grade));
        first.grade = Some(graded);
    }
    first.accepts = Some(survey);
}

fn rate(checked: &Checked, survey: &Survey, hsts: Hsts) -> Option<Graded> {
    let leaf = checked.chain.first()?;
    let said = |codes: &[&str]| {
        checked.findings.iter().any(|f| codes.contains(&f.code) && f.severity == Severity::Critical)
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
    let facts = grade::Facts {
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
    Some(grade::grade(&facts))
}

fn hsts_findings(hsts: Hsts) -> Vec<Finding> {
    match hsts {
        Hsts::Missing => vec![Finding::warning("hsts-missing", "no Strict-Transport-Security header")],
        Hsts::NotAsked => {
            let says = "no answer in HTTP/1.1, so nobody knows of a Strict-Transport-Security header";
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
    let ciphers = survey.ciphers.iter().filter_map(|(_, id)| Cipher::of(*id));
    let mut weak: Vec<&str> = ciphers.filter(|c| c.insecure() || c.bits() < 128).map(|c| c.name).collect();
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
