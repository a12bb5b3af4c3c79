//! The evidence pack: findings, facts, what the host's programs said, and a page for people.

use crate::cli::Lang;
use crate::finding::HostFinding;
use crate::japanese;
use crate::memory::LastLook;
use crate::subject::HostSubject;
use jiff::Timestamp;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::Path;
use toban_core::evidence::{EvidenceFolder, Made, csv_cell, pack_name};
use toban_core::sign::Signer;
use toban_core::{Context, Result, Severity, durable, out};

const STYLE: &str = "body{font:14px/1.4 sans-serif;margin:2em}table{border-collapse:collapse}\
td,th{border:1px solid #bbb;padding:.2em .5em;text-align:left;vertical-align:top}\
.CRITICAL{background:#f8d0d0}.WARNING{background:#fdf0c8}.UNKNOWN{background:#e4dcf4}";
const CSV_HEAD: &str = "subject,severity,id,object,since,finding,advice,items,accepted,key\r\n";

/// A pack that is being written.
pub(crate) struct HostPack(EvidenceFolder);

/// What goes into it.
pub(crate) struct PackFacts<'a> {
    pub(crate) run: &'a LastLook,
    pub(crate) findings: &'a [HostFinding],
    pub(crate) raw: &'a BTreeMap<String, String>,
    pub(crate) host: &'a str,
    pub(crate) lang: Lang,
}

/// What `run.json` holds: which host was looked at when, by what, and what all lines together count.
#[derive(Serialize)]
struct HostRun<'a> {
    schema: &'static str,
    version: &'static str,
    host: &'a str,
    machine: &'a str,
    at: Timestamp,
    /// Of each subject: `passed`, `finding`, `not applicable`, or `not seen`.
    subjects: BTreeMap<HostSubject, &'static str>,
    findings: BTreeMap<&'static str, BTreeMap<&'static str, u64>>,
}

impl HostPack {
    /// Begins the pack below `dir`.
    ///
    /// # Errors
    /// When it cannot be written, or is there already.
    pub(crate) fn begin(dir: &Path, at: Timestamp) -> Result<HostPack> {
        EvidenceFolder::begin(dir, pack_name("host", at)).map(HostPack)
    }

    /// Writes everything, and gives the folder its name.
    ///
    /// # Errors
    /// When any of it cannot be written; then there is no pack.
    pub(crate) fn close_pack(self, facts: &PackFacts<'_>, signer: Option<&Signer>) -> Result<Made> {
        let csv: String = facts.findings.iter().map(csv_line).collect();
        self.write_file("findings.json", &json_text(&facts.findings)?)?;
        self.write_file("findings.csv", &format!("{CSV_HEAD}{csv}"))?;
        self.write_file("run.json", &json_text(&summarise_run(facts))?)?;
        self.write_file("report.html", &page_html(facts))?;
        for (label, text) in facts.raw {
            self.write_file(&format!("program.{label}"), text)?;
        }
        facts.run.save(self.0.path())?;
        self.0.publish(signer)
    }

    fn write_file(&self, name: &str, text: &str) -> Result<()> {
        durable::replace(&self.0.path().join(name), 0o600, |w| {
            w.write_all(text.as_bytes()).doing(|| format!("write {name}"))
        })
    }
}

fn json_text(value: &impl Serialize) -> Result<String> {
    let text = serde_json::to_string_pretty(value).doing(|| "write the pack's JSON".into())?;
    Ok(text + "\n")
}

fn summarise_run<'a>(facts: &PackFacts<'a>) -> HostRun<'a> {
    let mut findings: BTreeMap<&'static str, BTreeMap<&'static str, u64>> = BTreeMap::new();
    for f in facts.findings {
        *findings.entry(f.base.rule.id).or_default().entry(f.base.severity.name()).or_default() += 1;
    }
    HostRun {
        schema: "host-audit.report/1",
        version: env!("CARGO_PKG_VERSION"),
        host: facts.host,
        machine: &facts.run.machine,
        at: facts.run.at,
        subjects: facts.run.subjects.keys().map(|s| (*s, word_for(*s, facts))).collect(),
        findings,
    }
}

/// One of four words: what was not seen has not passed.
fn word_for(subject: HostSubject, facts: &PackFacts<'_>) -> &'static str {
    let own = || {
        facts.findings.iter().filter(|f| f.subject == Some(subject) && f.base.key.starts_with(subject.name()))
    };
    let gaps = facts.run.subjects.get(&subject).is_some_and(|s| !s.gaps.is_empty());
    match (
        own().any(|f| f.base.rule == &crate::rules::CHECKED && f.base.text.contains("not applicable: ")),
        gaps,
    ) {
        (true, _) => "not applicable",
        (false, true) => "not seen",
        (false, false) if own().all(|f| f.base.severity == Severity::Ok) => "passed",
        (false, false) => "finding",
    }
}

fn csv_line(f: &HostFinding) -> String {
    let (base, severity) = (&f.base, f.base.severity.to_string());
    let accepted = base.accepted.as_ref().map(ToString::to_string).unwrap_or_default();
    let (since, items) = (f.since_text(), f.items.join("; "));
    let cells = [
        f.subject_name(),
        &severity,
        base.rule.id,
        &base.object,
        &since,
        &base.text,
        &base.advice,
        &items,
        &accepted,
        &base.key,
    ];
    format!("{}\r\n", cells.map(csv_cell).join(","))
}

/// One page that needs nothing else: no script, no picture, no font from anywhere.
fn page_html(facts: &PackFacts<'_>) -> String {
    let words = page_words(facts.lang);
    let subjects: String = facts
        .run
        .subjects
        .keys()
        .map(|s| {
            let word = word_for(*s, facts);
            let (title, word) = match facts.lang {
                Lang::En => (s.words().title, word),
                Lang::Ja => (s.words().japanese, japanese::translate_word(word)),
            };
            format!("<tr><td>{title}</td><td>{word}</td><td>{}</td></tr>\n", s.words().items.join(", "))
        })
        .collect();
    let rows: String = facts.findings.iter().map(|f| row_html(f, facts.lang)).collect();
    format!(
        "<!DOCTYPE html>\n<html lang=\"{}\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <title>host-audit {host}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n\
         <h1>{}: {host}</h1>\n<p>{}: {}; machine-id {}; host-audit {}. <code>sha256sum -c SHA256SUMS</code></p>\n\
         <h2>{}</h2>\n<table>\n{subjects}</table>\n<h2>{}</h2>\n<p>{}</p>\n<table>\n<thead><tr>{}</tr></thead>\n\
         <tbody>\n{rows}</tbody>\n</table>\n</body>\n</html>\n",
        words.lang,
        words.title,
        words.at,
        facts.run.at.strftime("%Y-%m-%d %H:%M:%S UTC"),
        out::html(&facts.run.machine),
        env!("CARGO_PKG_VERSION"),
        words.subjects,
        words.findings,
        words.order,
        words.head.map(|h| format!("<th>{h}</th>")).concat(),
        host = out::html(facts.host),
    )
}

struct PageWords {
    lang: &'static str,
    title: &'static str,
    at: &'static str,
    subjects: &'static str,
    findings: &'static str,
    order: &'static str,
    head: [&'static str; 7],
}

fn page_words(lang: Lang) -> PageWords {
    match lang {
        Lang::En => PageWords {
            lang: "en",
            title: "Audit of the host",
            at: "Judged as of",
            subjects: "What was looked at",
            findings: "Every finding",
            order: "What changed since the last review comes first, then the most urgent.",
            head: ["subject", "severity", "id", "object", "since", "finding", "advice"],
        },
        Lang::Ja => PageWords {
            lang: "ja",
            title: "ホスト監査",
            at: "判定時刻",
            subjects: "監査した項目",
            findings: "すべての所見",
            order: "前回の承認から変わったものを先に、次に緊急度の高い順に示す。",
            head: ["項目", "重大度", "ID", "対象", "いつから", "所見", "対処"],
        },
    }
}

fn row_html(f: &HostFinding, lang: Lang) -> String {
    let severity = f.base.severity.to_string();
    let shown = match lang {
        Lang::En => severity.clone(),
        Lang::Ja => japanese::translate_severity(f.base.severity).into(),
    };
    let (since, text) = (f.since_text(), f.base.full_text());
    let cells = [f.subject_name(), &shown, f.base.rule.id, &f.base.object, &since, &text, &f.base.advice];
    let cells = cells.map(|c| format!("<td>{}</td>", out::html(c))).concat();
    format!("<tr class=\"{severity}\">{cells}</tr>\n")
}
