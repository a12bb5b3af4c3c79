//! What a run says: a line for each file and each table.

use crate::load::copy::{LoadedFile, LoadedTable};
use crate::model::{FilePlan, FilledTable};
use jiff::Timestamp;
use serde::Serialize;
use std::path::Path;
use toban_core::out::Format;
use toban_core::sign::Signer;
use toban_core::{Out, Record, Result, durable, machine};

/// The first line of the file of a report: which run it is of.
#[derive(Serialize)]
pub(crate) struct ReportHead {
    by: &'static str,
    host: String,
    at: Timestamp,
    folder: String,
    /// Database, role and host.
    target: String,
}

impl ReportHead {
    /// Of a run that ended now.
    pub(crate) fn new(target: &str, folder: &Path) -> ReportHead {
        ReportHead {
            by: concat!("json-to-pg ", env!("CARGO_PKG_VERSION")),
            host: machine::host_name(),
            at: Timestamp::now(),
            folder: folder.display().to_string(),
            target: target.into(),
        }
    }
}

impl Record for ReportHead {
    const SCHEMA: &'static str = "json-to-pg.report/1";
    const HEAD: &'static [&'static str] = &["by", "host", "at", "folder", "target"];

    fn cells(&self) -> Vec<String> {
        let texts = [self.host.clone(), self.at.to_string(), self.folder.clone(), self.target.clone()];
        [vec![self.by.into()], texts.to_vec()].concat()
    }
}

/// Writes what `emit` does as JSON into the file `path`, and its signature beside it where somebody signs.
///
/// # Errors
/// Those of the file system, of `emit` and of the key.
pub(crate) fn write_report(
    path: &Path,
    signer: Option<&Signer>,
    emit: impl FnOnce(&mut Out<'_>) -> Result<()>,
) -> Result<()> {
    durable::replace(path, 0o644, |file| emit(&mut Out::new(Box::new(file), Format::Json)))?;
    signer.map_or(Ok(()), |signer| signer.sign_file(path, 0o644))
}

/// A file that was moved, or would be.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct FileLine {
    pub(crate) file: String,
    pub(crate) table: String,
    pub(crate) records: u64,
    /// Records left out as sample data, as repeated ones, as not fitting.
    pub(crate) samples: u64,
    pub(crate) repeated: u64,
    pub(crate) rejects: u64,
    pub(crate) sha256: String,
    pub(crate) outcome: &'static str,
}

impl FileLine {
    pub(crate) fn of_loaded(file: &FilePlan, loaded: &LoadedFile) -> FileLine {
        FileLine {
            file: file.name.clone(),
            table: file.table.clone(),
            records: loaded.records,
            samples: loaded.samples,
            repeated: loaded.repeated,
            rejects: loaded.rejects.len() as u64,
            sha256: loaded.identity.sha256.clone(),
            outcome: "loaded and proven",
        }
    }
}

impl Record for FileLine {
    const SCHEMA: &'static str = "json-to-pg.file/1";
    const HEAD: &'static [&'static str] =
        &["file", "table", "records", "samples", "repeated", "rejects", "outcome"];

    fn cells(&self) -> Vec<String> {
        let counts = [self.records, self.samples, self.repeated, self.rejects].map(|n| n.to_string());
        let [records, samples, repeated, rejects] = counts;
        vec![self.file.clone(), self.table.clone(), records, samples, repeated, rejects, self.outcome.into()]
    }
}

/// A table that rows went into.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct TableLine {
    pub(crate) file: String,
    pub(crate) table: String,
    pub(crate) inserted: u64,
    /// Equal rows that were there already.
    pub(crate) skipped: u64,
    pub(crate) updated: u64,
    /// Rows that differ and stayed as they were.
    pub(crate) kept: u64,
}

impl TableLine {
    pub(crate) fn of_loaded(file: &FilePlan, table: &LoadedTable) -> TableLine {
        TableLine {
            file: file.name.clone(),
            table: table.name.clone(),
            inserted: table.inserted,
            skipped: table.skipped,
            updated: table.updated,
            kept: table.kept.len() as u64,
        }
    }
}

impl Record for TableLine {
    const SCHEMA: &'static str = "json-to-pg.table/1";
    const HEAD: &'static [&'static str] = &["file", "table", "inserted", "skipped", "updated", "kept"];

    fn cells(&self) -> Vec<String> {
        let counts = [self.inserted, self.skipped, self.updated, self.kept].map(|n| n.to_string());
        [vec![self.file.clone(), self.table.clone()], counts.to_vec()].concat()
    }
}

/// What a run would do with a file.
///
/// # Errors
/// Those of the output.
pub(crate) fn emit_planned(file: &FilePlan, table: &FilledTable, out: &mut Out<'_>) -> Result<()> {
    out.emit(&FileLine {
        file: file.name.clone(),
        table: file.table.clone(),
        records: file.records,
        samples: 0,
        repeated: 0,
        rejects: 0,
        sha256: file.source.sha256.clone(),
        outcome: if table.create { "would be loaded into a new table" } else { "would be loaded" },
    })
}
