//! The verdict as a record.

use pkix::{Cert, PathVerdict, Reason, Request, format_time};
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::path::Path;
use toban_core::Record;

/// One certificate, judged.
#[derive(Debug, Serialize)]
pub(super) struct Judged {
    leaf: String,
    valid: bool,
    /// The weightiest reason's code; none when valid.
    code: Option<&'static str>,
    reasons: Vec<Told>,
    profile: &'static str,
    at: String,
    names: Vec<String>,
    path: Vec<Member>,
    others: Vec<OtherPath>,
}

#[derive(Debug, Serialize)]
struct Told {
    code: &'static str,
    subject: String,
    detail: String,
}

#[derive(Debug, Serialize)]
struct Member {
    subject: String,
    not_before: String,
    not_after: String,
    sha256: String,
}

#[derive(Debug, Serialize)]
struct OtherPath {
    path: Vec<Member>,
    reason: Option<Told>,
}

impl Judged {
    pub(super) fn new(leaf: &Path, ask: &Request<'_>, verdict: &PathVerdict) -> Judged {
        let other =
            |o: &pkix::OtherPath| OtherPath { path: members(&o.path), reason: o.reason.as_ref().map(told) };
        Judged {
            leaf: leaf.display().to_string(),
            valid: verdict.valid,
            code: verdict.reasons.first().map(|r| r.code.as_str()),
            reasons: verdict.reasons.iter().map(told).collect(),
            profile: ask.profile.as_str(),
            at: format_time(ask.at),
            names: ask.names.iter().map(ToString::to_string).collect(),
            path: members(&verdict.path),
            others: verdict.others.iter().map(other).collect(),
        }
    }
}

fn told(reason: &Reason) -> Told {
    let Reason { code, subject, detail } = reason.clone();
    Told { code: code.as_str(), subject, detail }
}

fn members(path: &[Vec<u8>]) -> Vec<Member> {
    path.iter().map(|der| member(der)).collect()
}

fn member(der: &[u8]) -> Member {
    let sha256 = toban_core::sum::hex(&Sha256::digest(der));
    match Cert::parse(der) {
        Ok(cert) => {
            let (begin, end) = cert.validity();
            Member {
                subject: cert.subject(),
                not_before: format_time(begin),
                not_after: format_time(end),
                sha256,
            }
        }
        Err(_) => {
            Member { subject: String::new(), not_before: String::new(), not_after: String::new(), sha256 }
        }
    }
}

impl Record for Judged {
    const SCHEMA: &'static str = "cert-checker.verify/1";
    const HEAD: &'static [&'static str] = &["verdict", "code", "reason", "path"];

    fn cells(&self) -> Vec<String> {
        let verdict = if self.valid { "valid" } else { "not-valid" };
        let reason = self.reasons.iter().map(|r| r.detail.as_str()).collect::<Vec<_>>().join("; ");
        let path = self.path.iter().map(|m| m.subject.as_str()).collect::<Vec<_>>().join(" < ");
        vec![
            verdict.into(),
            self.code.unwrap_or("-").into(),
            if self.valid { "-".into() } else { reason },
            path,
        ]
    }
}
