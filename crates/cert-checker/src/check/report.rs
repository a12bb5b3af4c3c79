//! One record per certificate that was seen or missed, and the run told in each form.

use crate::facts::{Cert, UnixSeconds, format_span};
use crate::finding::Finding;
use crate::grade::Graded;
use crate::judge::Rules;
use crate::net::probe::Presented;
use crate::net::survey::Survey;
use serde::Serialize;
use std::collections::BTreeMap;
use toban_core::{Error, Kind, Out, Record, Result, Severity, run::Report};

/// What was seen at one place.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct CertReport {
    /// The target, as it was written.
    pub(crate) target: String,
    /// The address that was asked, or the files that hold the certificate.
    pub(crate) places: Vec<String>,
    /// The worst of the findings.
    pub(crate) state: Severity,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) subject: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) not_after: Option<UnixSeconds>,
    /// Seconds from the moment of the judgement; negative after the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) remaining_seconds: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) connection: Option<Presented>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) accepts: Option<Survey>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) grade: Option<Graded>,
    pub(crate) findings: Vec<Finding>,
    /// As sent, or as it lies in the file, leaf first.
    pub(crate) chain: Vec<Cert>,
    /// Names of authorities whose client certificates the server wants.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) client_authorities: Vec<String>,
    /// The name that a server was asked for, and the address that was asked in place of the target's: what it shows is
    /// another thing for another name.
    #[serde(skip)]
    pub(crate) asked: String,
    #[serde(skip)]
    pub(crate) thresholds: Option<(i64, i64)>,
}

impl CertReport {
    /// A place where no certificate was seen.
    pub(crate) fn unseen(target: &str, place: &str, finding: Finding) -> CertReport {
        let mut report = CertReport::new(target, place, Vec::new(), UnixSeconds(0));
        report.add(vec![finding]);
        report
    }

    /// A chain that was seen at a place.
    pub(crate) fn new(target: &str, place: &str, chain: Vec<Cert>, at: UnixSeconds) -> CertReport {
        let leaf = chain.first();
        CertReport {
            target: target.into(),
            places: vec![place.into()],
            state: Severity::Ok,
            subject: leaf.map(Cert::title),
            not_after: leaf.map(|c| c.not_after),
            remaining_seconds: leaf.map(|c| c.not_after.since(at)),
            connection: None,
            accepts: None,
            grade: None,
            findings: Vec::new(),
            chain,
            client_authorities: Vec::new(),
            asked: String::new(),
            thresholds: None,
        }
    }

    /// Adds findings, the worst first.
    pub(crate) fn add(&mut self, found: Vec<Finding>) {
        self.findings.extend(found);
        self.findings.sort_by_key(|f| rank(f.severity));
        self.state = self.findings.first().map_or(Severity::Ok, |f| f.severity);
    }

    /// Remembers the thresholds for perfdata.
    pub(crate) fn set_thresholds(&mut self, rules: &Rules) {
        self.thresholds = self.chain.first().map(|c| rules.thresholds.seconds(c.lifetime()));
    }

    fn sentence(&self) -> String {
        let worst = self.findings.first().map_or("", |f| &f.says);
        format!("{} ({}): {worst}", self.target, self.places.join(", "))
    }
}

/// The plugin contract's order: CRITICAL before UNKNOWN before WARNING.
fn rank(severity: Severity) -> u8 {
    match severity {
        Severity::Critical => 0,
        Severity::Unknown => 1,
        Severity::Warning => 2,
        Severity::Ok => 3,
    }
}

impl Record for CertReport {
    const SCHEMA: &'static str = "cert-checker.certificate/1";
    const HEAD: &'static [&'static str] =
        &["target", "place", "state", "expires", "left", "subject", "findings"];

    fn cells(&self) -> Vec<String> {
        let told = |f: &Finding| match f.advice.is_empty() {
            true => format!("{}: {}", f.code, f.says),
            false => format!("{}: {} ({})", f.code, f.says, f.advice),
        };
        let findings: Vec<String> = self.findings.iter().map(told).collect();
        vec![
            self.target.clone(),
            self.places.join(", "),
            self.state.to_string(),
            self.not_after.map_or("-".into(), |m| m.to_string()),
            self.remaining_seconds.map_or("-".into(), format_span),
            self.subject.clone().unwrap_or("-".into()),
            if findings.is_empty() { "-".into() } else { findings.join("; ") },
        ]
    }
}

/// A run in numbers.
#[derive(Debug, Default)]
pub(crate) struct RunTotals {
    states: BTreeMap<u8, u64>,
    /// Certificates and revocation lists that were seen.
    seen: u64,
    /// What went wrong where nothing was seen.
    unseen: Vec<&'static str>,
    sentences: Vec<(u8, String)>,
    perfdata: Vec<String>,
    expiries: Vec<(Vec<(&'static str, String)>, i64)>,
}

/// Sentences and series of one run: a plugin's line has an end.
const SENTENCES: usize = 20;

impl RunTotals {
    /// Counts one record.
    pub(crate) fn count(&mut self, report: &CertReport) {
        *self.states.entry(rank(report.state)).or_default() += 1;
        self.seen += u64::from(report.subject.is_some());
        match report.chain.first() {
            Some(leaf) => {
                let labels = vec![
                    ("target", report.target.clone()),
                    ("place", report.places.join(", ")),
                    ("fingerprint", leaf.sha256[..16].to_string()),
                ];
                self.expiries.push((labels, leaf.not_after.0));
                self.perfdata.extend(perfdata_of(report));
            }
            None => self.unseen.extend(report.findings.iter().map(|f| f.code)),
        }
        if report.state != Severity::Ok {
            self.sentences.push((rank(report.state), report.sentence()));
            self.sentences.sort();
            self.sentences.truncate(SENTENCES);
        }
    }

    fn number_of(&self, severity: Severity) -> u64 {
        self.states.get(&rank(severity)).copied().unwrap_or(0)
    }

    fn all(&self) -> u64 {
        self.states.values().sum()
    }

    /// The worst of all; nothing checked is unknown.
    pub(crate) fn worst(&self) -> Severity {
        let judged = if self.seen == 0 { Severity::Unknown } else { Severity::Ok };
        Severity::TROUBLES.into_iter().find(|s| self.number_of(*s) > 0).unwrap_or(judged)
    }

    /// The plugin's line.
    pub(crate) fn write_plugin_line(&self, out: &mut Out<'_>) -> Result<()> {
        let wrong = self.all() - self.number_of(Severity::Ok);
        let text = match (self.all(), wrong) {
            (0, _) => "nothing was checked".to_string(),
            (all, 0) => format!("{all} certificates, none needs attention"),
            (all, n) => {
                let told: Vec<&str> = self.sentences.iter().map(|(_, s)| s.as_str()).collect();
                format!("{n} of {all} certificates need attention: {}", told.join("; "))
            }
        };
        out.plugin(self.worst(), &text, &self.perfdata)
    }

    /// Notes and metrics for the run's record.
    pub(crate) fn report_to(&self, report: &mut Report) {
        self.sentences.iter().for_each(|(_, s)| report.note(s));
        let help = "When the certificate expires, in seconds since 1970.";
        for (labels, seconds) in &self.expiries {
            let labels: Vec<(&str, &str)> = labels.iter().map(|(l, v)| (*l, v.as_str())).collect();
            report.gauge("cert_checker_not_after_timestamp_seconds", help, &labels, *seconds as f64);
        }
        for (name, severity) in [
            ("ok", Severity::Ok),
            ("warning", Severity::Warning),
            ("critical", Severity::Critical),
            ("unknown", Severity::Unknown),
        ] {
            let help = "Certificates of the last check.";
            report.gauge(
                "cert_checker_certificates",
                help,
                &[("state", name)],
                self.number_of(severity) as f64,
            );
        }
    }

    /// The exit status.
    ///
    /// # Errors
    /// Findings, when anything needs attention; Retry or Failed, when nothing was seen at all.
    pub(crate) fn verdict(&self) -> Result<()> {
        let wrong = self.all() - self.number_of(Severity::Ok);
        match (self.seen, wrong) {
            (0, _) => Err(self.nothing_seen()),
            (_, 0) => Ok(()),
            (_, n) => {
                Err(Error::new(Kind::Findings, format!("{n} of {} certificates need attention", self.all())))
            }
        }
    }

    fn nothing_seen(&self) -> Error {
        let passing = ["refused", "timeout", "unreachable", "closed", "dns-failed", "address-dead"];
        let retry = !self.unseen.is_empty() && self.unseen.iter().all(|c| passing.contains(c));
        let kind = if retry { Kind::Retry } else { Kind::Failed };
        let why = self.sentences.first().map_or("no target", |(_, s)| s.as_str());
        Error::new(kind, format!("no certificate was seen: {why}"))
    }
}

/// `'example.org:443'=24.50;25:;7:`: days left, with the thresholds as ranges.
fn perfdata_of(report: &CertReport) -> Option<String> {
    let (left, (warning, critical)) = report.remaining_seconds.zip(report.thresholds)?;
    let plain = |c: char| c.is_ascii_alphanumeric() || ".:-_/[]".contains(c);
    let text = format!("{} {}", report.target, report.places.join(" "));
    let label: String = text.chars().take(200).map(|c| if plain(c) { c } else { '_' }).collect();
    let days = |s: i64| s as f64 / 86_400.0;
    Some(format!("'{label}'={:.2};{:.2}:;{:.2}:", days(left), days(warning), days(critical)))
}
