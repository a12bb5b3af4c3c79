//! What files say of each other: references by id and by name, shared ids, another copy.

use crate::census::scan::Census;
use crate::census::stats::PathStats;
use crate::model::{FilePlan, OpenQuestion, QuestionKind};
use crate::source::folder::{JsonFile, stem_of};
use std::path::Path;
use toban_core::Result;

/// The share of values that must be found before a reference by name is shown.
const SHOWN: f64 = 0.8;

/// Gives columns of new tables their references: `author_id` holds nothing but ids of `authors`.
pub(crate) fn add_references(files: &mut [FilePlan], censuses: &[Census]) {
    let keys: Vec<(String, Option<(String, String)>)> = files
        .iter()
        .map(|file| {
            let key = match file.key.as_slice() {
                [key] if file.create => file.paths.iter().find(|p| p.column == *key),
                _ => None,
            };
            let target = key.map(|p| (format!("{}.{}", file.table, p.column), p.pg_type.clone()));
            (stem_of(&file.name).to_string(), target)
        })
        .collect();
    for (file, census) in files.iter_mut().zip(censuses).filter(|(file, _)| file.create) {
        for path in file.paths.iter_mut().filter(|p| !p.column.is_empty() && !p.path.contains(['[', '.'])) {
            let Some(base) = path.path.strip_suffix("_id").or_else(|| path.path.strip_suffix("Id")) else {
                continue;
            };
            let Some(node) = census.tree.find_path(&path.path) else { continue };
            let found = keys.iter().zip(censuses).find_map(|((stem, target), other)| {
                let (target, pg_type) = target.as_ref()?;
                let named = stem.to_ascii_lowercase().starts_with(&base.to_ascii_lowercase());
                (named && *pg_type == path.pg_type && hit_rate(&node.stats, other) >= Some(1.0))
                    .then(|| target.clone())
            });
            path.references = found.unwrap_or_default();
        }
    }
}

/// The share of different values that are names of the other file's records; none where too many were seen to know.
fn hit_rate(stats: &PathStats, other: &Census) -> Option<f64> {
    let unknown = stats.more_distinct || other.identities.more || stats.distinct.is_empty();
    let hits = stats.distinct.iter().filter(|hash| other.identities.known.contains_key(hash)).count();
    (!unknown).then(|| hits as f64 / stats.distinct.len() as f64)
}

/// Adds to questions about paths which member of another file has their values: `requester` are names of users.
pub(crate) fn hint_names(questions: &mut [OpenQuestion], censuses: &[Census]) {
    for question in questions.iter_mut().filter(|q| q.kind == QuestionKind::Path) {
        let own = censuses.iter().find(|c| c.name == question.file);
        let Some(node) = own.and_then(|c| c.tree.find_path(&question.about)) else { continue };
        if node.stats.strings == 0 || node.stats.distinct.is_empty() || node.stats.more_distinct {
            continue;
        }
        for other in censuses.iter().filter(|c| c.name != question.file) {
            for member in other
                .tree
                .members()
                .filter(|m| m.stats.strings > 0 && m.stats.distinct.len() as u64 == other.records)
            {
                let hits =
                    node.stats.distinct.iter().filter(|hash| member.stats.distinct.contains(hash)).count();
                let all = node.stats.distinct.len();
                if hits as f64 >= SHOWN * all as f64 {
                    question.ask +=
                        &format!("; {hits} of {all} different values are {} of {}", member.path, other.name);
                }
            }
        }
    }
}

/// Of a file that is called like another with more behind it: how many ids both have, and whether they speak of the same.
pub(crate) fn describe_details(census: &Census, all: &[Census]) -> Option<String> {
    let stem = stem_of(&census.name);
    let main = all.iter().find(|c| {
        let other = stem_of(&c.name);
        c.name != census.name && stem.strip_prefix(other).is_some_and(|rest| rest.starts_with(['_', '-']))
    })?;
    let (common, same) = census.identities.count_agreement(&main.identities);
    (common > 0).then(|| {
        format!("shares {common} ids with {}, and under {same} of them stands the same title", main.name)
    })
}

/// Asks which copy of a file is right, and whether a newer half-written one is.
///
/// # Errors
/// Those of reading the copy.
pub(crate) fn ask_copies(
    found: &JsonFile,
    census: &Census,
    copy: Option<&Path>,
) -> Result<Vec<OpenQuestion>> {
    let ask = |ask: String| OpenQuestion {
        kind: QuestionKind::Copy,
        file: census.name.clone(),
        ask,
        choices: vec!["this file".into()],
        ..OpenQuestion::default()
    };
    let mut questions = Vec::new();
    if let Some(name) = found.find_newer_temporary() {
        questions.push(ask(format!("{name} beside it is newer: was the last save cut off?")));
    }
    let Some(path) = copy.map(|folder| folder.join(&census.name)) else { return Ok(questions) };
    if path.is_file() {
        let other = Census::read_file(&path, &path.display().to_string(), &census.shape)?;
        if other.identity.sha256 != census.identity.sha256 {
            let n = census.identities.count_differing(&other.identities);
            questions.push(ask(format!(
                "{} differs in {n} records ({} there, {} here)",
                path.display(),
                other.records,
                census.records
            )));
        }
    }
    Ok(questions)
}
