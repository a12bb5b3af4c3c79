//! One record per certificate that was seen or missed, and the run in each form.

use crate::facts::{CertFacts, UnixSeconds, format_span};
use crate::grade::Graded;
use crate::net::probe::Presented;
use crate::net::survey::Survey;
use crate::rules;
use crate::threshold::Thresholds;
use serde::Serialize;
use toban_core::check::{AcceptList, Finding, Rule, Totals};
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
    pub(crate) chain: Vec<CertFacts>,
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
    pub(crate) fn new(target: &str, place: &str, chain: Vec<CertFacts>, at: UnixSeconds) -> CertReport {
        let leaf = chain.first();
        CertReport {
            target: target.into(),
            places: vec![place.into()],
            state: Severity::Ok,
            subject: leaf.map(CertFacts::title),
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
        let place = self.places.first().cloned().unwrap_or_default();
        let here = |finding: Finding| finding.about(&self.target).in_source(&place);
        self.findings.extend(found.into_iter().map(here));
        self.sort_findings();
    }

    /// Has those count as OK that the configuration accepts.
    pub(crate) fn accept(&mut self, accepted: &mut AcceptList) {
        self.findings.iter_mut().for_each(|finding| accepted.apply(finding));
        self.sort_findings();
    }

    fn sort_findings(&mut self) {
        self.findings.sort_by_key(|f| f.severity.rank());
        self.state = self.findings.first().map_or(Severity::Ok, |f| f.severity);
    }

    /// Remembers the thresholds for perfdata.
    pub(crate) fn set_thresholds(&mut self, thresholds: &Thresholds) {
        self.thresholds = self.chain.first().map(|c| thresholds.seconds(c.lifetime()));
    }

    /// That it was seen, as a finding beside the others: whatever they say, its expiry is a number for graphs.
    fn expiry(&self) -> Option<Finding> {
        let text = format!("expires on {}", self.not_after?);
        let finding =
            rules::info(&rules::EXPIRES, text).about(&self.target).in_source(self.places.join(", "));
        Some(match self.perfdata() {
            Some(perf) => finding.with_perf(perf),
            None => finding,
        })
    }

    /// `'example.org:443'=24.50;25:;7:`: days left, with the thresholds as ranges.
    fn perfdata(&self) -> Option<String> {
        let (left, (warning, critical)) = self.remaining_seconds.zip(self.thresholds)?;
        // A label ends at `=` or a quotation mark, and the performance data at `|`.
        let plain = |c: char| c.is_ascii_alphanumeric() || ".:-_/[]".contains(c);
        let text = format!("{} {}", self.target, self.places.join(" "));
        let label: String = text.chars().take(200).map(|c| if plain(c) { c } else { '_' }).collect();
        let days = |s: i64| s as f64 / 86_400.0;
        Some(format!("'{label}'={:.2};{:.2}:;{:.2}:", days(left), days(warning), days(critical)))
    }
}

impl Record for CertReport {
    const SCHEMA: &'static str = "cert-checker.certificate/1";
    const HEAD: &'static [&'static str] =
        &["target", "place", "state", "expires", "left", "subject", "findings"];

    fn cells(&self) -> Vec<String> {
        let line = |f: &Finding| match f.advice.is_empty() || f.accepted.is_some() {
            true => format!("{}: {}", f.rule.id, f.full_text()),
            false => format!("{}: {} ({})", f.rule.id, f.full_text(), f.advice),
        };
        let findings: Vec<String> = self.findings.iter().map(line).collect();
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
    findings: Totals,
    /// Certificates and revocation lists that were seen.
    seen: u64,
    /// What went wrong where nothing was seen.
    unseen: Vec<&'static Rule>,
    expiries: Vec<(Vec<(&'static str, String)>, i64)>,
}

impl RunTotals {
    /// Counts one record.
    pub(crate) fn count(&mut self, report: &CertReport) {
        report.findings.iter().for_each(|finding| self.findings.count(finding));
        self.seen += u64::from(report.subject.is_some());
        match report.chain.first() {
            Some(leaf) => {
                let labels = vec![
                    ("target", report.target.clone()),
                    ("place", report.places.join(", ")),
                    ("fingerprint", leaf.sha256[..16].to_string()),
                ];
                self.expiries.push((labels, leaf.not_after.0));
            }
            None => {
                let own = report.findings.iter().filter(|f| rules::RULES.contains(&f.rule));
                self.unseen.extend(own.map(|f| f.rule));
            }
        }
        report.expiry().iter().for_each(|finding| self.findings.count(finding));
    }

    /// Answers as a monitoring plugin. Where nothing was seen, that is never OK, whatever is accepted.
    pub(crate) fn write_plugin_line(mut self, out: &mut Out<'_>) -> Result<()> {
        if self.seen == 0 && self.findings.worst() == Severity::Ok {
            self.findings.count(&rules::unknown(&rules::NOTHING_FOUND, "no certificate was seen"));
        }
        self.findings.write_plugin_line(out)
    }

    /// Notes and metrics for the run's record.
    pub(crate) fn report_to(&self, report: &mut Report) {
        self.findings.report_to("cert_checker", report);
        let help = "When the certificate expires, in seconds since 1970.";
        for (labels, seconds) in &self.expiries {
            let labels: Vec<(&str, &str)> = labels.iter().map(|(l, v)| (*l, v.as_str())).collect();
            report.gauge("cert_checker_not_after_timestamp_seconds", help, &labels, *seconds as f64);
        }
    }

    /// The exit status.
    ///
    /// # Errors
    /// Findings, when anything needs attention; Retry or Failed, when nothing was seen at all.
    pub(crate) fn end(&self) -> Result<()> {
        if self.seen > 0 {
            return self.findings.end();
        }
        // What may be over the next time is worth a restart by systemd (status 75); a wrong name or a missing file is not.
        let passing = [
            &rules::REFUSED,
            &rules::TIMEOUT,
            &rules::UNREACHABLE,
            &rules::CLOSED,
            &rules::DNS_FAILED,
            &rules::ADDRESS_DEAD,
        ];
        let retry = !self.unseen.is_empty() && self.unseen.iter().all(|rule| passing.contains(rule));
        let kind = if retry { Kind::Retry } else { Kind::Failed };
        let why = self.findings.urgent().next().unwrap_or("no target");
        Err(Error::new(kind, format!("no certificate was seen: {why}")))
    }
}
