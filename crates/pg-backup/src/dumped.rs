//! The record that `dump` writes for each dump in each repository.

use crate::manifest::{Id, Manifest};
use serde::Serialize;
use toban_core::{Record, out};

/// A dump in a repository.
#[derive(Serialize)]
pub(crate) struct Dumped {
    repo: String,
    database: String,
    id: Id,
    stored_bytes: u64,
    tables: u64,
    rows: u64,
    seconds: f64,
}

impl Record for Dumped {
    const SCHEMA: &'static str = "pg-backup.dump/1";
    const HEAD: &'static [&'static str] = &["dumped", "id", "to", "stored", "tables", "rows", "seconds"];
    fn cells(&self) -> Vec<String> {
        vec![
            self.database.clone(),
            self.id.to_string(),
            self.repo.clone(),
            out::bytes(self.stored_bytes),
            self.tables.to_string(),
            self.rows.to_string(),
            format!("{:.1}", self.seconds),
        ]
    }
}

impl Manifest {
    /// The record of this dump in `repo`.
    pub(crate) fn dumped(&self, repo: &str) -> Dumped {
        Dumped {
            repo: repo.into(),
            database: self.database.name.clone(),
            id: self.id.clone(),
            stored_bytes: self.stored_bytes(),
            tables: self.tables,
            rows: self.rows,
            seconds: self.seconds(),
        }
    }
}
