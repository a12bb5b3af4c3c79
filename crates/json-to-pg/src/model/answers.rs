//! Answers become fates. Pure.

use super::plan::{FilePlan, MovePlan, OpenQuestion, PathPlan, QuestionKind, ValueConversion, ValuePlan};
use super::zone::Zone;
use toban_core::{Error, Result};

/// The plan with every answer carried out.
///
/// # Errors
/// Usage, listing all questions that have no answer, or all answers that are none.
pub(crate) fn apply_answers(mut plan: MovePlan) -> Result<MovePlan> {
    let questions = std::mem::take(&mut plan.questions);
    let open: Vec<String> =
        questions.iter().filter(|q| q.answer.trim().is_empty()).map(describe_question).collect();
    if !open.is_empty() {
        let count = open.len();
        return Err(Error::usage(format!(
            "questions of the plan without an answer ({count}): {}",
            open.join("; ")
        ))
        .hint("fill in answer = \"…\" of each [[question]] in the plan"));
    }
    let mut wrong = Vec::new();
    for question in &questions {
        if let Err(why) = apply_answer(&mut plan, question) {
            wrong.push(format!("{}: {:?}: {why}", describe_question(question), question.answer));
        }
    }
    for file in plan.moving_files() {
        let undecided = file.paths.iter().filter(|p| !p.is_decided());
        wrong
            .extend(undecided.map(|p| {
                format!("{} {}: no fate: give it column, explode, link or drop", file.name, p.path)
            }));
        if file.table.is_empty() {
            wrong.push(format!(
                "{}: no table: plan again with --table {}=TABLE, or give drop",
                file.name, file.name
            ));
        }
    }
    plan.questions = questions;
    match wrong.is_empty() {
        true => Ok(plan),
        false => Err(Error::usage(wrong.join("; ")).hint("each [[question]] of the plan lists its choices")),
    }
}

/// A question in a few words.
pub(crate) fn describe_question(question: &OpenQuestion) -> String {
    let parts = [question.file.as_str(), question.about.as_str(), question.ask.as_str()];
    parts.into_iter().filter(|p| !p.is_empty()).collect::<Vec<_>>().join(" ")
}

fn apply_answer(plan: &mut MovePlan, question: &OpenQuestion) -> std::result::Result<(), String> {
    let answer = question.answer.trim();
    match question.kind {
        QuestionKind::Zone => {
            Zone::parse_zone(answer)?;
            plan.zone = answer.into();
        }
        QuestionKind::ColumnZone => {
            Zone::parse_zone(answer)?;
            plan.column_zone = answer.into();
        }
        QuestionKind::Copy => expect_word(answer, "this file")?,
        QuestionKind::Table => file_of(plan, question)?.drop = reason_of(answer)?,
        QuestionKind::Samples => {
            let file = file_of(plan, question)?;
            match answer {
                "load" => file.leave_out_samples = false,
                "leave out" => file.leave_out_samples = true,
                _ => return Err("load, or: leave out".into()),
            }
        }
        QuestionKind::Link => {
            let path = path_of(file_of(plan, question)?, &question.about)?;
            match answer {
                "link" => {}
                other => {
                    let own = PathPlan {
                        path: path.path.clone(),
                        found: path.found.clone(),
                        ..PathPlan::default()
                    };
                    *path = own;
                    set_fate(path, other)?;
                }
            }
        }
        QuestionKind::Path if answer == "leave out" => file_of(plan, question)?.accept_rejects = true,
        QuestionKind::Path => set_fate(path_of(file_of(plan, question)?, &question.about)?, answer)?,
        QuestionKind::Value => {
            let value = value_of(&question.about, answer);
            file_of(plan, question)?.values.push(value);
        }
    }
    Ok(())
}

fn expect_word(answer: &str, word: &str) -> std::result::Result<(), String> {
    if answer == word { Ok(()) } else { Err(format!("{word}; else correct the files and plan again")) }
}

fn file_of<'p>(
    plan: &'p mut MovePlan,
    question: &OpenQuestion,
) -> std::result::Result<&'p mut FilePlan, String> {
    plan.files.iter_mut().find(|f| f.name == question.file).ok_or_else(|| "the plan has no such file".into())
}

fn path_of<'f>(file: &'f mut FilePlan, path: &str) -> std::result::Result<&'f mut PathPlan, String> {
    file.paths.iter_mut().find(|p| p.path == path).ok_or_else(|| "the plan has no such path".into())
}

/// The rest behind a word and a colon.
fn after_word<'a>(answer: &'a str, word: &str) -> Option<&'a str> {
    answer.strip_prefix(word)?.trim_start().strip_prefix(':').map(str::trim).filter(|rest| !rest.is_empty())
}

fn reason_of(answer: &str) -> std::result::Result<String, String> {
    after_word(answer, "drop").map(String::from).ok_or_else(|| "drop: REASON".into())
}

fn set_fate(path: &mut PathPlan, answer: &str) -> std::result::Result<(), String> {
    let conversions = [
        ("round", ValueConversion::Round),
        ("numbers", ValueConversion::Numbers),
        ("text", ValueConversion::Text),
        ("replace", ValueConversion::Replace),
        ("epoch-s", ValueConversion::EpochS),
        ("epoch-ms", ValueConversion::EpochMs),
    ];
    if answer == "accept plain" {
        return Ok(());
    }
    if let Some((_, conversion)) = conversions.iter().find(|(word, _)| *word == answer) {
        path.convert = Some(*conversion);
    } else if let Some(column) = after_word(answer, "column") {
        path.column = column.into();
    } else if let Some(rest) = after_word(answer, "lookup") {
        let (column, table) = rest.split_once(' ').ok_or("lookup: COLUMN SCHEMA.TABLE.COLUMN")?;
        (path.column, path.lookup) = (column.into(), table.trim().into());
    } else {
        let reason = reason_of(answer).map_err(|_| "one of the question's choices".to_string())?;
        let (path_name, found) = (path.path.clone(), path.found.clone());
        *path = PathPlan { path: path_name, found, drop: reason, ..PathPlan::default() };
    }
    Ok(())
}

fn value_of(column: &str, answer: &str) -> ValuePlan {
    let column = column.to_string();
    if answer == "null" {
        return ValuePlan { column, null: true, ..ValuePlan::default() };
    }
    if let Some(from) = after_word(answer, "from") {
        let (from, lookup) = from.split_once(" lookup ").unwrap_or((from, ""));
        let (from, lookup) = (from.trim().into(), lookup.trim().into());
        return ValuePlan {
            column,
            from,
            lookup,
            convert: Some(ValueConversion::Text),
            ..ValuePlan::default()
        };
    }
    let value = after_word(answer, "value").unwrap_or(answer);
    ValuePlan { column, value: value.into(), ..ValuePlan::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(kind: QuestionKind, about: &str, answer: &str) -> MovePlan {
        let path = PathPlan { path: "x".into(), ..PathPlan::default() };
        let file =
            FilePlan { name: "f".into(), table: "public.f".into(), paths: vec![path], ..FilePlan::default() };
        let question = OpenQuestion {
            kind,
            file: "f".into(),
            about: about.into(),
            answer: answer.into(),
            ..OpenQuestion::default()
        };
        MovePlan { files: vec![file], questions: vec![question], ..MovePlan::default() }
    }

    #[test]
    fn answers_become_fates() {
        let fate = |answer: &str| {
            apply_answers(plan(QuestionKind::Path, "x", answer)).expect(answer).files[0].paths[0].clone()
        };
        assert_eq!(fate("drop: not needed").drop, "not needed");
        assert_eq!(fate("column: title").column, "title");
        let found = fate("lookup: owner_id auth.users.full_name");
        assert_eq!((found.column.as_str(), found.lookup.as_str()), ("owner_id", "auth.users.full_name"));
        assert!(apply_answers(plan(QuestionKind::Zone, "", "Asia/Tokyo")).is_err(), "x has no fate yet");
    }

    #[test]
    fn what_has_no_answer_is_listed_at_once() {
        let mut open = plan(QuestionKind::Path, "x", "");
        open.questions.push(OpenQuestion { ask: "which zone?".into(), ..OpenQuestion::default() });
        let e = apply_answers(open).expect_err("open questions");
        assert!(
            e.chain().contains("without an answer (2)") && e.chain().contains("which zone?"),
            "{}",
            e.chain()
        );
        let cases = [
            (QuestionKind::Path, "drop"),
            (QuestionKind::Path, "column:"),
            (QuestionKind::Zone, "Mars/Base"),
            (QuestionKind::Samples, "maybe"),
        ];
        for (kind, answer) in cases {
            assert!(apply_answers(plan(kind, "x", answer)).is_err(), "{answer}");
        }
    }
}
