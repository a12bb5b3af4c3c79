//! What a plan says to people: a line for each path and each question.

use crate::census::scan::Census;
use crate::model::{FilePlan, OpenQuestion};
use serde::Serialize;
use toban_core::Record;

/// A path and its fate.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct PathLine {
    pub(crate) file: String,
    pub(crate) path: String,
    /// Records that have it, and records in all.
    pub(crate) present: u64,
    pub(crate) records: u64,
    pub(crate) found: String,
    pub(crate) fate: String,
}

impl Record for PathLine {
    const SCHEMA: &'static str = "json-to-pg.path/1";
    const HEAD: &'static [&'static str] = &["file", "path", "present", "records", "found", "fate"];

    fn cells(&self) -> Vec<String> {
        let (present, records) = (self.present.to_string(), self.records.to_string());
        vec![self.file.clone(), self.path.clone(), present, records, self.found.clone(), self.fate.clone()]
    }
}

/// A question without an answer.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct QuestionLine {
    pub(crate) file: String,
    pub(crate) about: String,
    pub(crate) ask: String,
    pub(crate) choices: Vec<String>,
}

impl Record for QuestionLine {
    const SCHEMA: &'static str = "json-to-pg.question/1";
    const HEAD: &'static [&'static str] = &["file", "about", "question", "choices"];

    fn cells(&self) -> Vec<String> {
        vec![self.file.clone(), self.about.clone(), self.ask.clone(), self.choices.join(" | ")]
    }
}

impl From<&OpenQuestion> for QuestionLine {
    fn from(question: &OpenQuestion) -> QuestionLine {
        QuestionLine {
            file: question.file.clone(),
            about: question.about.clone(),
            ask: question.ask.clone(),
            choices: question.choices.clone(),
        }
    }
}

/// The lines of a file's paths.
pub(crate) fn path_lines(file: &FilePlan, census: &Census) -> Vec<PathLine> {
    let line = |plan: &crate::model::PathPlan| {
        let stats = census.tree.find_path(&plan.path).map(|node| &node.stats);
        let kinds = stats
            .map(|s| s.kinds().iter().map(|(kind, n)| format!("{n} {kind}")).collect::<Vec<_>>().join(", "));
        PathLine {
            file: file.name.clone(),
            path: plan.path.clone(),
            present: stats.map_or(0, |s| s.present),
            records: census.records,
            found: kinds.filter(|k| !k.is_empty()).unwrap_or_else(|| "null".into()),
            fate: if file.drop.is_empty() {
                plan.describe_fate()
            } else {
                format!("dropped with the file: {}", file.drop)
            },
        }
    };
    file.paths.iter().map(line).collect()
}
