//! What people should know of a file, beside its plan.

use crate::census::paths::PathNode;
use crate::census::scan::Census;
use crate::census::secrets::is_password;
use crate::model::{FilePlan, OpenQuestion, QuestionKind};
use crate::rules;
use toban_core::Severity;
use toban_core::check::{Finding, Rule};

/// Whole numbers from here on are not all doubles.
const DOUBLE: u64 = 1 << 53;

/// Everything that was seen in a file.
pub(crate) fn find_all(census: &Census, file: &FilePlan) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut add = |rule: &'static Rule, severity, object: &str, text: String| {
        found.push(Finding::new(rule, severity).in_source(&*census.name).about(object).says(text));
    };
    let ids = &census.identities;
    let counts = [
        (&rules::SAMPLE_DATA, Severity::Warning, census.samples, "records with texts of sample data"),
        (
            &rules::DOUBLED_KEY,
            Severity::Warning,
            census.doubled_keys,
            "keys that stand twice over equal values",
        ),
        (
            &rules::REPEATED_RECORD,
            Severity::Warning,
            ids.repeated.len() as u64,
            "records that stand twice, equal",
        ),
        (&rules::UNNAMED_RECORD, Severity::Warning, ids.unnamed, "records without a name"),
    ];
    for (rule, severity, count, what) in counts.into_iter().filter(|(_, _, count, _)| *count > 0) {
        add(rule, severity, "", format!("{count} {what}"));
    }
    if census.records == 0 {
        add(&rules::NO_RECORDS, Severity::Warning, "", "no records".into());
    }
    if !ids.rises && census.records > 1 && file.order.is_empty() && file.create {
        add(
            &rules::ORDER_LOST,
            Severity::Warning,
            "",
            "the records do not stand in the order of their ids".into(),
        );
    }
    for node in census.tree.nodes.iter().skip(1) {
        for (rule, severity, text) in find_of_path(node) {
            add(rule, severity, &node.path, text);
        }
    }
    found
}

fn find_of_path(node: &PathNode) -> Vec<(&'static Rule, Severity, String)> {
    let stats = &node.stats;
    let mut found = Vec::new();
    if is_password(&node.name) && !stats.schemes.is_empty() {
        let shown: Vec<String> = stats.schemes.iter().map(|(scheme, n)| format!("{n} {scheme}")).collect();
        let (rule, severity) = match stats.schemes.contains_key("plain") {
            true => (&rules::PLAIN_PASSWORD, Severity::Critical),
            false => (&rules::PASSWORD_SCHEME, Severity::Ok),
        };
        found.push((rule, severity, shown.join(", ")));
    }
    if stats.naive > 0 && stats.zoned > 0 {
        let text = format!("times without a zone: {}, with one: {}", stats.naive, stats.zoned);
        found.push((&rules::MIXED_TIMES, Severity::Warning, text));
    }
    let counts = [
        (&rules::UNREADABLE_TIME, Severity::Warning, stats.bad_times, "times that cannot be read"),
        (&rules::PRINTED_VALUE, Severity::Warning, stats.printed, "texts that a program made of a value"),
    ];
    found.extend(
        counts
            .into_iter()
            .filter(|(_, _, n, _)| *n > 0)
            .map(|(rule, s, n, what)| (rule, s, format!("{n} {what}"))),
    );
    let largest = stats.greatest.unwrap_or(0).unsigned_abs().max(stats.least.unwrap_or(0).unsigned_abs());
    if largest > DOUBLE {
        found.push((&rules::ROUND_NUMBER, Severity::Ok, format!("up to {largest}")));
    }
    found
}

/// Members that are null here and not there.
pub(crate) fn find_null_or_absent(census: &Census) -> Vec<Finding> {
    let both = census.tree.members().filter(|n| n.stats.nulls > 0 && n.stats.present < census.records);
    both.map(|node| {
        let text = format!(
            "null in {} records, absent in {}",
            node.stats.nulls,
            census.records - node.stats.present
        );
        Finding::new(&rules::NULL_OR_ABSENT, Severity::Ok)
            .in_source(&*census.name)
            .about(&*node.path)
            .says(text)
    })
    .collect()
}

/// Questions that follow from findings: sample data, passwords in plain text.
pub(crate) fn ask_findings(census: &Census) -> Vec<OpenQuestion> {
    let file = census.name.clone();
    let mut questions = Vec::new();
    if census.samples > 0 {
        questions.push(OpenQuestion {
            kind: QuestionKind::Samples,
            file: file.clone(),
            ask: format!(
                "{} of {} records hold texts of sample data: do they go to production?",
                census.samples, census.records
            ),
            choices: vec!["load".into(), "leave out".into()],
            ..OpenQuestion::default()
        });
    }
    for node in census.tree.members() {
        if let Some(n) = node.stats.schemes.get("plain") {
            questions.push(OpenQuestion {
                kind: QuestionKind::Path,
                file: file.clone(),
                about: node.path.clone(),
                ask: format!("passwords in plain text: {n}"),
                choices: vec!["accept plain".into(), "drop: REASON".into()],
                answer: String::new(),
            });
        }
    }
    questions
}
