//! What a run did: records on stdout, a page, and files for what a person must finish.

use super::ledger::Settled;
use super::{Migration, html, manual_sql};
use crate::cli::RunArgs;
use crate::load::copy::Loaded;
use crate::load::preflight::Violation;
use crate::load::rejects::Rejects;
use crate::model::{Object, ObjectKind, Outcome, Plan};
use crate::plan::build::MismatchedValues;
use crate::plan::file;
use crate::verify::CopyProof;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;
use toban_core::sign::Signer;
use toban_core::{Error, Kind, Out, Record, Result, durable, out};

/// What a run measured.
#[derive(Debug, Default)]
pub(crate) struct Summary {
    pub(crate) placed: bool,
    pub(crate) phases: Vec<(String, f64)>,
    pub(crate) seconds: f64,
    /// By the source's name of the table.
    pub(crate) loaded: BTreeMap<String, Loaded>,
    pub(crate) compared: Option<u64>,
    /// Each table that was compared, and whether its sums are equal.
    pub(crate) equal: BTreeMap<String, bool>,
    /// Differences in all, and the first of them.
    pub(crate) total: u64,
    pub(crate) differences: Vec<String>,
    pub(crate) mismatches: Vec<MismatchedValues>,
}

impl Summary {
    /// A phase ended that began then; one that had ended before went on.
    pub(crate) fn end_phase(&mut self, name: &str, began: Instant) {
        let seconds = began.elapsed().as_secs_f64();
        match self.phases.iter_mut().find(|(phase, _)| phase == name) {
            Some((_, all)) => *all += seconds,
            None => self.phases.push((name.to_string(), seconds)),
        }
    }

    pub(crate) fn note_proof(&mut self, proof: CopyProof) {
        self.compared = Some(proof.rows);
        self.total = proof.total;
        self.differences = proof.differences;
        self.equal = proof.tables.into_iter().collect();
    }
}

/// A line of the report.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct ReportLine {
    pub(crate) kind: String,
    pub(crate) name: String,
    pub(crate) rows: Option<u64>,
    pub(crate) bytes: Option<u64>,
    pub(crate) seconds: Option<f64>,
    pub(crate) rejects: Option<u64>,
    /// The sums of source and copy are equal.
    pub(crate) equal: Option<bool>,
    pub(crate) outcome: String,
    /// The outcome in the plan, where it is another one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) planned: Option<&'static str>,
    pub(crate) why: String,
}

impl Record for ReportLine {
    const SCHEMA: &'static str = "sqlite-to-pg.run/1";
    const HEAD: &'static [&'static str] =
        &["kind", "name", "rows", "bytes", "seconds", "rejects", "equal", "outcome", "why"];

    fn cells(&self) -> Vec<String> {
        let number = |n: Option<u64>| n.map(|n| n.to_string()).unwrap_or_default();
        let planned = self.planned.map(|planned| format!(" (planned: {planned})")).unwrap_or_default();
        vec![
            self.kind.clone(),
            self.name.clone(),
            number(self.rows),
            self.bytes.map(out::bytes).unwrap_or_default(),
            self.seconds.map(|s| format!("{s:.2}")).unwrap_or_default(),
            number(self.rejects),
            self.equal.map(|e| if e { "yes" } else { "no" }.to_string()).unwrap_or_default(),
            format!("{}{planned}", self.outcome),
            self.why.clone(),
        ]
    }
}

fn report_line(kind: &str, name: &str, outcome: &str, why: &str) -> ReportLine {
    ReportLine {
        kind: kind.into(),
        name: name.into(),
        outcome: outcome.into(),
        why: why.into(),
        ..ReportLine::default()
    }
}

/// Values that the target's tables do not take.
pub(crate) fn violation_line(v: &Violation) -> ReportLine {
    let name = format!("{}.{}", v.table, v.column);
    let why = format!("{}: {}", v.why, first_rows(&v.rows, v.count));
    ReportLine { rows: Some(v.count), ..report_line("violation", &name, "not loaded", &why) }
}

fn mismatch_line(values: &MismatchedValues) -> ReportLine {
    let name = format!("{}.{}", values.table, values.column);
    let why = format!("{}: {}", values.what, first_rows(&values.keys, values.count));
    ReportLine { rows: Some(values.count), ..report_line("mismatched values", &name, "", &why) }
}

fn first_rows(rows: &[String], count: u64) -> String {
    format!("{}{}", rows.join("; "), if count > rows.len() as u64 { " …" } else { "" })
}

/// One step of `--undo`.
#[derive(Serialize)]
pub(crate) struct UndoStep {
    pub(crate) step: String,
}

impl Record for UndoStep {
    const SCHEMA: &'static str = "sqlite-to-pg.undo/1";
    const HEAD: &'static [&'static str] = &["done"];

    fn cells(&self) -> Vec<String> {
        vec![self.step.clone()]
    }
}

/// All that is told of a run.
pub(crate) struct Report<'a> {
    pub(crate) args: &'a RunArgs,
    pub(crate) plan: &'a Plan,
    pub(crate) summary: &'a Summary,
    pub(crate) objects: Vec<Settled>,
    /// Values in the list of rejects, by table.
    pub(crate) reject_counts: BTreeMap<String, u64>,
    rejects: &'a Rejects,
}

impl<'a> Report<'a> {
    pub(super) fn new(migration: &'a Migration<'_>) -> Report<'a> {
        let Migration { args, plan, summary, rejects, ledger, .. } = migration;
        Report {
            args,
            plan,
            summary,
            objects: ledger.settle(plan),
            reject_counts: rejects.count_by_table(),
            rejects,
        }
    }

    /// The objects with these outcomes.
    pub(crate) fn with_outcome(&self, outcome: Outcome) -> impl Iterator<Item = &Object> {
        self.objects.iter().map(|s| &s.object).filter(move |o| o.outcome == outcome)
    }

    /// What the source has and the copy lacks.
    pub(crate) fn missing_objects(&self) -> impl Iterator<Item = &Object> {
        self.objects.iter().map(|s| &s.object).filter(|o| o.is_missing())
    }

    /// Values that were not taken as they are, in tables where the plan does not accept that.
    pub(crate) fn count_unaccepted(&self) -> u64 {
        let accepted = |table: &str| self.plan.tables.iter().any(|t| t.source == table && t.accept_rejects);
        self.reject_counts.iter().filter(|(table, _)| !accepted(table)).map(|(_, n)| n).sum()
    }

    /// Whether everything that the source has is there.
    pub(crate) fn is_whole(&self) -> bool {
        self.count_unaccepted() == 0 && self.missing_objects().next().is_none()
    }

    /// What is missing, in a few words: all tables, the first of the other objects.
    fn missing_text(&self) -> String {
        let (tables, others): (Vec<&Object>, Vec<&Object>) =
            self.missing_objects().partition(|o| o.kind == ObjectKind::Table);
        let mut parts = Vec::new();
        if !tables.is_empty() {
            let names: Vec<&str> = tables.iter().map(|o| o.name.as_str()).collect();
            parts.push(format!("the tables {}", names.join(", ")));
        }
        if !others.is_empty() {
            let more = if others.len() > 3 { ", …" } else { "" };
            let first: Vec<String> = others.iter().take(3).map(|o| o.title()).collect();
            parts.push(format!("{} objects ({}{more})", others.len(), first.join(", ")));
        }
        parts.join(" and ")
    }

    /// All lines, in the order in which a person reads them.
    fn report_lines(&self, folder: Option<&Path>) -> Vec<ReportLine> {
        let summary = self.summary;
        let mut lines = Vec::new();
        for table in &self.plan.tables {
            let Some(loaded) = summary.loaded.get(&table.source) else { continue };
            lines.push(ReportLine {
                rows: Some(loaded.rows),
                bytes: Some(loaded.bytes),
                seconds: Some(loaded.time.as_secs_f64()),
                rejects: Some(self.reject_counts.get(&table.source).copied().unwrap_or(0)),
                equal: summary.equal.get(&table.source).copied(),
                ..report_line("table", &table.source, self.table_outcome(), "")
            });
        }
        lines.extend(self.objects.iter().map(|settled| object_line(settled, folder)));
        lines.extend(summary.mismatches.iter().map(mismatch_line));
        lines.extend(summary.differences.iter().map(|d| report_line("difference", d, "", "")));
        let phase = |(name, s): &(String, f64)| ReportLine {
            seconds: Some(*s),
            ..report_line("phase", name, "", "")
        };
        lines.extend(summary.phases.iter().map(phase));
        let source = self.args.db.display().to_string();
        lines.push(ReportLine {
            rows: Some(summary.loaded.values().map(|l| l.rows).sum()),
            bytes: Some(summary.loaded.values().map(|l| l.bytes).sum()),
            seconds: Some(summary.seconds),
            rejects: Some(self.reject_counts.values().sum()),
            ..report_line("total", &source, self.table_outcome(), &self.verdict_text())
        });
        lines
    }

    /// What was compared, and what is not there.
    fn verdict_text(&self) -> String {
        let mut parts = vec![match (self.summary.compared, self.summary.total) {
            (Some(rows), 0) => format!("{rows} rows compared, all that were copied are equal"),
            (Some(rows), n) => format!("{rows} rows compared, {n} differences"),
            (None, _) => "not compared".into(),
        }];
        let (lost, missing): (u64, String) = (self.reject_counts.values().sum(), self.missing_text());
        parts.extend((lost > 0).then(|| format!("{lost} values are not there as they were")));
        parts.extend((!missing.is_empty()).then(|| format!("not there: {missing}")));
        parts.join("; ")
    }

    fn table_outcome(&self) -> &'static str {
        match (self.summary.placed, self.args.trial) {
            (true, _) => "created",
            (false, true) => "trial",
            (false, false) => "not kept",
        }
    }

    /// Prints the lines, and writes the folder when one is named or something must not be lost; its page is signed where
    /// somebody signs.
    pub(crate) fn write_report(
        &self,
        target: &str,
        signer: Option<&Signer>,
        out: &mut Out<'_>,
    ) -> Result<()> {
        let folder = self.report_folder();
        let lines = self.report_lines(folder.as_deref());
        lines.iter().try_for_each(|line| out.emit(line))?;
        let Some(folder) = folder else { return Ok(()) };
        durable::create_dirs(&folder)?;
        if !self.reject_counts.is_empty() {
            self.rejects.save(&folder.join("rejects.jsonl"))?;
        }
        file::write_plan(self.plan, &folder.join("plan.toml"))?;
        manual_sql::write_files(self, &folder)?;
        let page = folder.join("report.html");
        html::Page { report: self, lines: &lines, target, folder: &folder }.write(&page)?;
        signer.map_or(Ok(()), |signer| signer.sign_file(&page, 0o644))?;
        log::info!("the report is in {}", folder.display());
        Ok(())
    }

    /// Where the report goes; none when none was asked for and nothing would be lost without it.
    fn report_folder(&self) -> Option<PathBuf> {
        let must = !self.reject_counts.is_empty() || self.missing_objects().next().is_some();
        let stem = self.args.db.file_stem().unwrap_or_default().to_string_lossy();
        let default = || Path::new(".").join(format!("{stem}-migration"));
        self.args.report.clone().or_else(|| must.then(default))
    }

    /// Success means that everything the source has is there, or was excluded by name.
    ///
    /// # Errors
    /// Partial, saying what is missing.
    pub(crate) fn final_status(&self) -> Result<()> {
        let n = self.count_unaccepted();
        let list = self.report_folder().unwrap_or_default().join("rejects.jsonl");
        let kept = format!("{n} values, whose originals are in {}", list.display());
        let missing = self.missing_text();
        let what = match (n, missing.is_empty()) {
            (0, true) => return Ok(()),
            (_, true) => kept,
            (0, false) => missing,
            (_, false) => format!("{kept}, and {missing}"),
        };
        let hint = match n {
            0 => {
                "the lines above say why; --exclude KIND:NAME says that one may be missing (view:NAME, default:TABLE.COLUMN)"
            }
            _ => {
                "--rejects with that file and a new rule loads them; --accept-rejects, or accept_rejects = true in the plan's [[table]], makes this a success"
            }
        };
        Err(Error::new(Kind::Partial, format!("all is there but {what}")).hint(hint))
    }
}

fn object_line(settled: &Settled, folder: Option<&Path>) -> ReportLine {
    let object = &settled.object;
    let mut why = object.reason();
    if let Some(folder) = folder.filter(|_| object.outcome == Outcome::Written) {
        let file = folder.join(format!("{}s.sql", object.kind.name()));
        why = format!("{why}; in {}", file.display());
    }
    ReportLine {
        planned: settled.planned.map(Outcome::text),
        ..report_line(object.kind.name(), &object.name, object.outcome.text(), &why)
    }
}
