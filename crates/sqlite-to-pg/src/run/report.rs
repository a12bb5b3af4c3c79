//! What a run did: records on stdout, a page, and files for what a person must finish.

use super::{html, written};
use crate::cli::Run;
use crate::load::copy::Loaded;
use crate::load::preflight::Violation;
use crate::load::rejects::Rejects;
use crate::plan::build::Oddity;
use crate::plan::{Fate, Object, Plan, show};
use crate::verify::Proof;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;
use toban_core::{Out, Record, Result, durable, out};

/// Everything that is told of a run.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Summary {
    pub(crate) source: String,
    /// Database, role and host.
    pub(crate) target: String,
    pub(crate) schema: String,
    pub(crate) rehearsal: bool,
    pub(crate) placed: bool,
    pub(crate) phases: Vec<(String, f64)>,
    pub(crate) seconds: f64,
    #[serde(skip)]
    pub(crate) loaded: Vec<Loaded>,
    pub(crate) compared: Option<u64>,
    /// Each table that was compared, and whether its sums are equal.
    pub(crate) equal: BTreeMap<String, bool>,
    /// Differences in all, and the first of them.
    pub(crate) total: u64,
    pub(crate) differences: Vec<String>,
    #[serde(skip)]
    pub(crate) oddities: Vec<Oddity>,
}

impl Summary {
    pub(crate) fn new(args: &Run, target: String, plan: &Plan, oddities: Vec<Oddity>) -> Summary {
        let source = args.db.display().to_string();
        Summary {
            source,
            target,
            schema: plan.schema.clone(),
            rehearsal: args.rehearse,
            oddities,
            ..Summary::default()
        }
    }

    /// A phase ended that began then.
    pub(crate) fn phase(&mut self, name: &str, began: Instant) {
        self.phases.push((name.to_string(), began.elapsed().as_secs_f64()));
    }

    pub(crate) fn finish(&mut self, began: Instant) {
        self.seconds = began.elapsed().as_secs_f64();
    }

    pub(crate) fn compared(&mut self, proof: Proof) {
        self.compared = Some(proof.rows);
        self.total = proof.total;
        self.differences = proof.differences;
        self.equal = proof.tables.into_iter().collect();
    }
}

/// A line of the report.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Line {
    pub(crate) kind: String,
    pub(crate) name: String,
    pub(crate) rows: Option<u64>,
    pub(crate) bytes: Option<u64>,
    pub(crate) seconds: Option<f64>,
    pub(crate) rejects: Option<u64>,
    /// The sums of source and copy are equal.
    pub(crate) equal: Option<bool>,
    pub(crate) fate: String,
    pub(crate) why: String,
}

impl Record for Line {
    const SCHEMA: &'static str = "sqlite-to-pg.run/1";
    const HEAD: &'static [&'static str] =
        &["kind", "name", "rows", "bytes", "seconds", "rejects", "equal", "fate", "why"];

    fn cells(&self) -> Vec<String> {
        let number = |n: Option<u64>| n.map(|n| n.to_string()).unwrap_or_default();
        vec![
            self.kind.clone(),
            self.name.clone(),
            number(self.rows),
            self.bytes.map(out::bytes).unwrap_or_default(),
            self.seconds.map(|s| format!("{s:.2}")).unwrap_or_default(),
            number(self.rejects),
            self.equal.map(|e| if e { "yes" } else { "no" }.to_string()).unwrap_or_default(),
            self.fate.clone(),
            self.why.clone(),
        ]
    }
}

impl Line {
    /// What a person must finish is of no use when he does not know where it is.
    fn names_its_file(&mut self, folder: Option<&Path>) {
        let Some(folder) = folder.filter(|_| self.fate == show::fate(Fate::Written)) else { return };
        let file = folder.join(format!("{}s.sql", self.kind));
        self.why = format!("{}; in {}", self.why, file.display());
    }
}

/// One step of `--undo`.
#[derive(Serialize)]
pub(crate) struct Step {
    pub(crate) step: String,
}

impl Record for Step {
    const SCHEMA: &'static str = "sqlite-to-pg.undo/1";
    const HEAD: &'static [&'static str] = &["done"];

    fn cells(&self) -> Vec<String> {
        vec![self.step.clone()]
    }
}

/// All lines, in the order in which a person reads them.
pub(crate) fn lines(plan: &Plan, summary: &Summary, rejects: &Rejects) -> Vec<Line> {
    let counts = rejects.counts();
    let mut lines = Vec::new();
    for (table, loaded) in plan.tables.iter().zip(&summary.loaded) {
        let rejected = counts.get(&table.source).copied().unwrap_or(0);
        lines.push(Line {
            rows: Some(loaded.rows),
            bytes: Some(loaded.bytes),
            seconds: Some(loaded.time.as_secs_f64()),
            rejects: Some(rejected),
            equal: summary.equal.get(&table.source).copied(),
            ..line("table", &table.source, fate_of(summary), "")
        });
    }
    lines.extend(plan.objects.iter().map(of_object));
    lines.extend(summary.oddities.iter().map(of_oddity));
    lines.extend(summary.differences.iter().map(|d| line("difference", d, "", "")));
    lines.extend(
        summary.phases.iter().map(|(name, s)| Line { seconds: Some(*s), ..line("phase", name, "", "") }),
    );
    let compared = verdict(plan, summary, rejects).join("; ");
    lines.push(Line {
        rows: Some(summary.loaded.iter().map(|l| l.rows).sum()),
        bytes: Some(summary.loaded.iter().map(|l| l.bytes).sum()),
        seconds: Some(summary.seconds),
        rejects: Some(counts.values().sum()),
        ..line("total", &summary.source, fate_of(summary), &compared)
    });
    lines
}

/// What happened, in parts of a sentence: what was compared, and what is not there.
pub(crate) fn verdict(plan: &Plan, summary: &Summary, rejects: &Rejects) -> Vec<String> {
    let mut parts = vec![match (summary.compared, summary.total) {
        (Some(rows), 0) => format!("{rows} rows compared, all that were copied are equal"),
        (Some(rows), n) => format!("{rows} rows compared, {n} differences"),
        (None, _) => "not compared".into(),
    }];
    let (lost, missing): (u64, String) = (rejects.counts().values().sum(), behind(plan));
    parts.extend((lost > 0).then(|| format!("{lost} values are not there as they were")));
    parts.extend((!missing.is_empty()).then(|| format!("not there: {missing}")));
    parts
}

/// Values that were not taken as they are, in tables where the plan does not accept that.
pub(crate) fn unaccepted(plan: &Plan, rejects: &Rejects) -> u64 {
    let accepted = |table: &str| plan.tables.iter().any(|t| t.source == table && t.accept_rejects);
    rejects.counts().iter().filter(|(table, _)| !accepted(table)).map(|(_, n)| n).sum()
}

/// What the source has and the copy lacks, in words: all tables, the first of the other objects.
pub(crate) fn behind(plan: &Plan) -> String {
    let missing = || plan.objects.iter().filter(|o| o.is_missing());
    let tables: Vec<&str> = missing().filter(|o| o.kind == "table").map(|o| o.name.as_str()).collect();
    let others: Vec<String> = missing().filter(|o| o.kind != "table").map(Object::shown).collect();
    let mut parts = Vec::new();
    parts.extend((!tables.is_empty()).then(|| format!("the tables {}", tables.join(", "))));
    parts.extend((!others.is_empty()).then(|| {
        let more = if others.len() > 3 { ", …" } else { "" };
        let first: Vec<&str> = others.iter().take(3).map(String::as_str).collect();
        format!("{} objects ({}{more})", others.len(), first.join(", "))
    }));
    parts.join(" and ")
}

fn fate_of(summary: &Summary) -> &'static str {
    match (summary.placed, summary.rehearsal) {
        (true, _) => "created",
        (false, true) => "rehearsed",
        (false, false) => "not kept",
    }
}

fn line(kind: &str, name: &str, fate: &str, why: &str) -> Line {
    Line {
        kind: kind.into(),
        name: name.into(),
        rows: None,
        bytes: None,
        seconds: None,
        rejects: None,
        equal: None,
        fate: fate.into(),
        why: why.into(),
    }
}

/// Values that the target's tables do not take.
pub(crate) fn violation(v: &Violation) -> Line {
    let more = if v.count > v.rows.len() as u64 { " …" } else { "" };
    let why = format!("{}: {}{more}", v.why, v.rows.join("; "));
    Line {
        rows: Some(v.count),
        ..line("violation", &format!("{}.{}", v.table, v.column), "not loaded", &why)
    }
}

fn of_oddity(odd: &Oddity) -> Line {
    let more = if odd.count > odd.keys.len() as u64 { " …" } else { "" };
    let why = format!("{}: {}{more}", odd.what, odd.keys.join("; "));
    Line { rows: Some(odd.count), ..line("odd values", &format!("{}.{}", odd.table, odd.column), "", &why) }
}

fn of_object(object: &Object) -> Line {
    line(&object.kind, &object.name, show::fate(object.fate), &object.why)
}

/// Prints the lines, and writes the folder when one is named or something must not be lost.
///
/// # Errors
/// Those of stdout and of the file system.
pub(crate) fn write(
    args: &Run,
    plan: &Plan,
    summary: &Summary,
    rejects: &Rejects,
    out: &mut Out<'_>,
) -> Result<()> {
    let folder = folder(args, plan, rejects);
    let mut lines = lines(plan, summary, rejects);
    lines.iter_mut().for_each(|line| line.names_its_file(folder.as_deref()));
    for line in &lines {
        out.emit(line)?;
    }
    let Some(folder) = folder else { return Ok(()) };
    durable::create_dirs(&folder)?;
    if !rejects.counts().is_empty() {
        rejects.save(&folder.join("rejects.jsonl"))?;
    }
    written::write(plan, &folder)?;
    html::write(
        &html::Page { lines: &lines, plan, summary, rejects, folder: &folder },
        &folder.join("report.html"),
    )?;
    log::info!("the report is in {}", folder.display());
    Ok(())
}

/// Where the report goes; none when nobody asked for one and nothing would be lost without it.
pub(crate) fn folder(args: &Run, plan: &Plan, rejects: &Rejects) -> Option<PathBuf> {
    let must = !rejects.counts().is_empty() || plan.objects.iter().any(Object::is_missing);
    let stem = args.db.file_stem().unwrap_or_default().to_string_lossy();
    let default = || Path::new(".").join(format!("{stem}-migration"));
    args.report.clone().or_else(|| must.then(default))
}
