//! The verb `verify`: the files beside what the last run loaded, as it is now.

use crate::cli::JsonVerifyArgs;
use crate::ledger;
use crate::model::compiled::compile_file;
use crate::proof::compare::{FileComparison, RecordDifference};
use crate::run::differs::{FolderState, compare_folder};
use crate::run::plan_zones;
use crate::source::stream::RecordFile;
use crate::target;
use migrate::session;
use serde::Serialize;
use std::path::PathBuf;
use toban_core::pg::ConnInfo;
use toban_core::{Context, Error, Kind, Out, Record, Result};

/// What a comparison says of a file.
#[derive(Clone, Debug, Serialize)]
struct VerifiedFile {
    file: String,
    table: String,
    records: u64,
    rows: u64,
    differences: usize,
    changed: usize,
    /// Rows of the application's own.
    foreign: u64,
}

impl Record for VerifiedFile {
    const SCHEMA: &'static str = "json-to-pg.verified/1";
    const HEAD: &'static [&'static str] =
        &["file", "table", "records", "rows", "differences", "changed since"];

    fn cells(&self) -> Vec<String> {
        let counts = [self.records.to_string(), self.rows.to_string(), self.differences.to_string()];
        [vec![self.file.clone(), self.table.clone()], counts.to_vec(), vec![self.changed.to_string()]]
            .concat()
    }
}

/// Compares every record of every file of the last run.
///
/// # Errors
/// Findings when something differs or is missing; Partial when rows were changed since, and nothing else; those of reading.
pub(crate) fn run(args: &JsonVerifyArgs, out: &mut Out<'_>) -> Result<()> {
    let to = ConnInfo::resolve(args.against.as_deref(), "json-to-pg")?;
    let mut client = session::open_session(&to)?;
    // One moment of the database for all tables.
    client
        .batch_execute("begin isolation level repeatable read, read only")
        .doing(|| "begin a read-only transaction".into())?;
    let last = ledger::read_last_run(&mut client)?;
    let folder = args.from.clone().unwrap_or_else(|| PathBuf::from(&last.plan.folder));
    let known = target::read_known(&mut client)?;
    let zones = plan_zones(&last.plan)?;
    let (mut differing, mut changed, mut more) = (0, 0, false);
    // What the plan does not know is in no row, so that no comparison of rows would find it.
    let FolderState { differences: unknown, sums } = compare_folder(&last.plan, &folder)?;
    unknown.iter().for_each(|what| log::warn!("{what}"));
    for (file, sum) in last.plan.moving_files().zip(&sums) {
        let table = compile_file(file, &known)?;
        let path = folder.join(&file.name);
        let comparison = FileComparison {
            file: RecordFile { path: &path, name: &file.name, shape: &file.shape },
            plan: file,
            table: &table,
            zones: &zones,
            filter: "",
            transaction: &last.transaction,
        };
        let outcome = comparison.compare_sides(&mut client)?;
        // Looked at in one state and compared in another.
        if outcome.identity.sha256 != *sum {
            return Err(crate::source::file::file_changed(&path));
        }
        let since = outcome.differences.iter().filter(|d| d.kind == RecordDifference::Changed).count();
        let line = VerifiedFile {
            file: file.name.clone(),
            table: file.table.clone(),
            records: outcome.records,
            rows: outcome.rows,
            differences: outcome.differences.len() - since,
            changed: since,
            foreign: outcome.foreign,
        };
        (differing, changed) = (differing + line.differences, changed + line.changed);
        out.emit(&line)?;
        outcome.differences.iter().try_for_each(|d| out.emit(d))?;
        if outcome.more {
            log::warn!("{}: there are more differences than are named", file.name);
            more = true;
        }
    }
    let at_least = if more { "at least " } else { "" };
    match (differing, changed) {
        // Before all that rows say: whoever deletes the files next would lose what no table has.
        _ if !unknown.is_empty() => Err(Error::new(
            Kind::Findings,
            format!("the files hold what the run did not load: {}", unknown.join("; ")),
        )
        .hint("keep the files: no table has this; plan and run again, or say in the plan why it is dropped")),
        (0, 0) => Ok(()),
        (0, n) => Err(Error::new(
            Kind::Partial,
            format!("{at_least}{n} values were changed since the run; all others are equal"),
        )),
        (n, _) => Err(Error::new(
            Kind::Findings,
            format!("differences between the files and the database: {at_least}{n}"),
        )),
    }
}
