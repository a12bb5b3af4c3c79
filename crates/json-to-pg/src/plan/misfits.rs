//! Every value of every record against its column, before anything is written: what does not fit is asked.

use crate::load::encode::Zones;
use crate::load::misfit::Misfit;
use crate::load::rows::RowWriter;
use crate::model::compiled::compile_file;
use crate::model::{FilePlan, KnownTables, OpenQuestion, QuestionKind};
use crate::source::stream::RecordFile;
use std::collections::BTreeMap;
use std::path::Path;
use toban_core::Result;

/// What was found of one reason at one path.
struct FoundMisfit {
    count: u64,
    record: u64,
    shown: String,
}

/// Asks what becomes of values that do not fit their columns.
///
/// # Errors
/// Those of reading, and of a plan that names what is not there.
pub(crate) fn ask_misfits(
    path: &Path,
    file: &FilePlan,
    known: &KnownTables,
    zones: &Zones,
) -> Result<Vec<OpenQuestion>> {
    let mut decided = file.clone();
    // Links and lookups need rows of the target, and a run reports each name that it does not find.
    decided.paths.retain(|p| p.is_decided() && p.link.is_empty() && p.lookup.is_empty());
    decided.key.retain(|key| decided.paths.iter().any(|p| p.column == *key));
    let table = compile_file(&decided, known)?;
    let mut writer = RowWriter::new(&table, zones)?;
    let mut found: BTreeMap<(String, Misfit), FoundMisfit> = BTreeMap::new();
    let records = RecordFile { path, name: &file.name, shape: &file.shape };
    records.for_each_record(|record| {
        writer.for_each_misfit(record.value, &mut |bad| {
            let new = || FoundMisfit { count: 0, record: record.place.record, shown: bad.shown.clone() };
            found.entry((bad.label.clone(), bad.why)).or_insert_with(new).count += 1;
        });
        Ok(())
    })?;
    let ask = |((label, why), misfit): ((String, Misfit), FoundMisfit)| {
        let column =
            file.paths.iter().find(|p| p.path == label).map(|p| format!("{} {}", p.column, p.pg_type));
        let mut choices: Vec<String> = why.conversions().iter().map(|c| (*c).to_string()).collect();
        choices.extend(["drop: REASON".to_string(), "leave out".to_string()]);
        let shown = if misfit.shown.is_empty() { String::new() } else { format!(": {}", misfit.shown) };
        OpenQuestion {
            kind: QuestionKind::Path,
            file: file.name.clone(),
            about: label,
            ask: format!(
                "values that do not fit {}: {} (record {}{shown}): {}",
                column.unwrap_or_default(),
                misfit.count,
                misfit.record,
                why.text()
            ),
            choices,
            answer: String::new(),
        }
    };
    Ok(found.into_iter().map(ask).collect())
}
