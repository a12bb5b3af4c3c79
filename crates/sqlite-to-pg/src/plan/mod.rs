//! The plan: what each table and column becomes, as a value that a person can edit (TOML) and `run` and `verify` read.

pub(crate) mod build;
mod casts;
mod chosen;
mod column;
pub(crate) mod expressions;
pub(crate) mod file;
pub(crate) mod foreign;
pub(crate) mod keys;
pub(crate) mod names;
mod object;
pub(crate) mod show;
pub(crate) mod verb;

pub use column::{Census, Column, Conversion, Policy};
pub(crate) use object::{APPLICATIONS, REFUSED};
pub use object::{Action, Check, Fate, ForeignKey, Index, IndexPart, Object, Unique};

use serde::{Deserialize, Serialize};

/// The version of the file's form.
pub const FORMAT: u32 = 1;

/// A whole migration, decided: nothing in it is looked up again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// [`FORMAT`].
    pub format: u32,
    /// The schema of the target that holds the tables.
    pub schema: String,
    /// Whether the tables are made, or were made by the application's own migrations.
    pub mode: Mode,
    /// What the source looked like.
    pub source: Source,
    /// Every table that moves.
    #[serde(default, rename = "table")]
    pub tables: Vec<Table>,
    /// Views, triggers and whatever else does not hold rows, each with its fate; also tables that do not move.
    #[serde(default, rename = "object")]
    pub objects: Vec<Object>,
}

/// Who makes the target's tables.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// We do, in an empty schema (or one without tables of these names).
    #[default]
    Create,
    /// The application did: names, types and constraints are the target's.
    Existing,
}

/// The SQLite file when it was planned.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// Its path.
    pub path: String,
    /// Its size in bytes, without the WAL.
    pub bytes: u64,
    /// `PRAGMA schema_version`: grows with every change of the schema, and with VACUUM.
    pub schema_version: i64,
    /// SHA-256 of all of `sqlite_schema`'s texts: the same schema, whatever was done in between.
    pub schema_sum: String,
    /// `PRAGMA encoding`.
    pub encoding: String,
}

/// One table of the source and what it becomes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Table {
    /// Its name in SQLite.
    pub source: String,
    /// Its name in PostgreSQL.
    pub target: String,
    /// Rows when it was planned.
    #[serde(default)]
    pub rows: u64,
    /// Bytes of all values when it was planned.
    #[serde(default)]
    pub bytes: u64,
    /// The name by which SQLite gives the rowid (`rowid`, `_rowid_`, `oid`, whichever no column shadows); none in a
    /// table WITHOUT ROWID.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rowid: Option<String>,
    /// SQLite columns that tell the rows apart: the primary key, when none of it is NULL. Empty: only the rowid does,
    /// or nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub key: Vec<String>,
    /// What is done with rows that the target already holds; only in [`Mode::Existing`].
    #[serde(default)]
    pub action: Action,
    /// Values that could not be represented in this table leave the status at 0.
    #[serde(default)]
    pub accept_rejects: bool,
    /// `sqlite_sequence.seq`: the next id is greater.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequence: Option<i64>,
    /// COMMENT ON TABLE, from the statement's own comments.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// The columns, in SQLite's order.
    #[serde(default, rename = "column")]
    pub columns: Vec<Column>,
    /// Columns of the target that the source has not, and what they get; only in [`Mode::Existing`].
    #[serde(default, rename = "set", skip_serializing_if = "Vec::is_empty")]
    pub sets: Vec<Set>,
    /// Target columns of the primary key, in its order; empty: none is made.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub primary_key: Vec<String>,
    /// What it is called, where the usual name is taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub primary_key_name: Option<String>,
    /// Unique constraints.
    #[serde(default, rename = "unique", skip_serializing_if = "Vec::is_empty")]
    pub uniques: Vec<Unique>,
    /// Indexes.
    #[serde(default, rename = "index", skip_serializing_if = "Vec::is_empty")]
    pub indexes: Vec<Index>,
    /// Foreign keys.
    #[serde(default, rename = "foreign_key", skip_serializing_if = "Vec::is_empty")]
    pub foreign_keys: Vec<ForeignKey>,
    /// Checks.
    #[serde(default, rename = "check", skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<Check>,
}

/// What a column of the target gets that has no counterpart in the source.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Set {
    /// The target's column.
    pub column: String,
    /// An expression in PostgreSQL's SQL; it may name the target's columns.
    pub expression: String,
}

impl Table {
    /// The columns whose values are copied: all but those that PostgreSQL computes itself.
    pub fn copied(&self) -> impl Iterator<Item = &Column> {
        self.columns.iter().filter(|c| c.generated.is_none())
    }
}
