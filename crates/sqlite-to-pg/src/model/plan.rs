//! A migration, decided: a value that a person can edit (TOML) and `run` and `verify` read.

use super::types::staged_type;
use super::{Action, CheckConstraint, Column, ForeignKey, Index, Object, Unique};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The version of the file's form.
pub(crate) const FORMAT: u32 = 1;

/// A whole migration, decided: nothing in it is looked up again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Plan {
    /// [`FORMAT`].
    pub(crate) format: u32,
    /// The schema of the target that holds the tables.
    pub(crate) schema: String,
    /// Whether the tables are made, or were made by the application's own migrations.
    pub(crate) mode: Mode,
    /// What the source looked like.
    pub(crate) source: SourceFile,
    /// Every table that moves.
    #[serde(default, rename = "table")]
    pub(crate) tables: Vec<Table>,
    /// Views, triggers and whatever else does not hold rows, each with its fate; also tables that do not move.
    #[serde(default, rename = "object")]
    pub(crate) objects: Vec<Object>,
}

/// Who makes the target's tables.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Mode {
    /// We do, in an empty schema (or one without tables of these names).
    #[default]
    Create,
    /// The application did: names, types and constraints are the target's.
    Existing,
}

/// The SQLite file when it was planned.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SourceFile {
    /// Its path.
    pub(crate) path: String,
    /// Its size in bytes, without the WAL.
    pub(crate) bytes: u64,
    /// `PRAGMA schema_version`: grows with every change of the schema, and with VACUUM.
    pub(crate) schema_version: i64,
    /// SHA-256 of all of `sqlite_schema`'s texts: the same schema, whatever was done in between.
    pub(crate) schema_sum: String,
    /// `PRAGMA encoding`.
    pub(crate) encoding: String,
}

/// One table of the source and what it becomes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Table {
    /// Its name in SQLite.
    pub(crate) source: String,
    /// Its name in PostgreSQL.
    pub(crate) target: String,
    /// Rows when it was planned.
    #[serde(default)]
    pub(crate) rows: u64,
    /// Bytes of all values when it was planned.
    #[serde(default)]
    pub(crate) bytes: u64,
    /// The name by which SQLite gives the rowid (`rowid`, `_rowid_`, `oid`, whichever no column shadows); none in a
    /// table WITHOUT ROWID.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) rowid: Option<String>,
    /// SQLite columns that tell the rows apart: the primary key, when none of it is NULL. Empty: only the rowid does,
    /// or nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) key: Vec<String>,
    /// What is done with rows that the target already holds; only in [`Mode::Existing`].
    #[serde(default)]
    pub(crate) action: Action,
    /// Values that could not be represented in this table leave the status at 0.
    #[serde(default)]
    pub(crate) accept_rejects: bool,
    /// `sqlite_sequence.seq`: the next id is greater.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) sequence: Option<i64>,
    /// COMMENT ON TABLE, from the statement's own comments.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) comment: Option<String>,
    /// What becomes of rows whose foreign key has no parent; where no rule says it, they move as they are.
    #[serde(default, rename = "orphans", skip_serializing_if = "Vec::is_empty")]
    pub(crate) orphans: Vec<OrphanRule>,
    /// The columns, in SQLite's order.
    #[serde(default, rename = "column")]
    pub(crate) columns: Vec<Column>,
    /// Columns of the target that the source has not, and what they get; only in [`Mode::Existing`].
    #[serde(default, rename = "set", skip_serializing_if = "Vec::is_empty")]
    pub(crate) sets: Vec<Set>,
    /// Target columns of the primary key, in its order; empty: none is made.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) primary_key: Vec<String>,
    /// What it is called, where the usual name is taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) primary_key_name: Option<String>,
    /// Unique constraints.
    #[serde(default, rename = "unique", skip_serializing_if = "Vec::is_empty")]
    pub(crate) uniques: Vec<Unique>,
    /// Indexes.
    #[serde(default, rename = "index", skip_serializing_if = "Vec::is_empty")]
    pub(crate) indexes: Vec<Index>,
    /// Foreign keys.
    #[serde(default, rename = "foreign_key", skip_serializing_if = "Vec::is_empty")]
    pub(crate) foreign_keys: Vec<ForeignKey>,
    /// Checks.
    #[serde(default, rename = "check", skip_serializing_if = "Vec::is_empty")]
    pub(crate) checks: Vec<CheckConstraint>,
}

/// Rows of one foreign key that have no parent; names are SQLite's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OrphanRule {
    /// Columns of the key.
    pub(crate) columns: Vec<String>,
    /// The table that it refers to.
    pub(crate) parent: String,
    /// The columns there.
    pub(crate) parent_columns: Vec<String>,
    /// Columns of the key that become NULL; none: the row is left out.
    #[serde(default)]
    pub(crate) nulled: Vec<String>,
}

impl OrphanRule {
    /// Whether it leaves rows out.
    pub(crate) fn leaves_out(&self) -> bool {
        self.nulled.is_empty()
    }
}

/// What a column of the target gets that has no counterpart in the source.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Set {
    /// The target's column.
    pub(crate) column: String,
    /// An expression in PostgreSQL's SQL; it may name the target's columns.
    pub(crate) expression: String,
}

impl Plan {
    /// The plan as it was carried out: each of `outcomes` takes the place of the object that was planned.
    pub(crate) fn with_outcomes(&self, outcomes: &[Object]) -> Plan {
        let mut plan = self.clone();
        let key = |object: &Object| (object.kind, object.name.clone());
        let mut places: BTreeMap<_, usize> =
            plan.objects.iter().enumerate().map(|(at, o)| (key(o), at)).collect();
        for outcome in outcomes {
            match places.get(&key(outcome)) {
                Some(at) => {
                    let planned = &mut plan.objects[*at];
                    let accepted = planned.accepted;
                    let source =
                        [&planned.source_sql, &outcome.source_sql].into_iter().find(|sql| !sql.is_empty());
                    let source_sql = source.cloned().unwrap_or_default();
                    *planned = Object { accepted, source_sql, ..outcome.clone() };
                }
                None => {
                    places.insert(key(outcome), plan.objects.len());
                    plan.objects.push(outcome.clone());
                }
            }
        }
        plan
    }

    /// The same tables as they are prepared before rows go into those of the application: without a key or constraint,
    /// and of types that we write.
    pub(crate) fn staged(&self) -> Plan {
        let mut staged = Plan { tables: self.tables.iter().map(Table::staged).collect(), ..self.clone() };
        staged.tables.iter_mut().flat_map(|t| &mut t.columns).for_each(|c| c.not_null = false);
        staged
    }
}

impl Table {
    /// The columns that are copied, of types that we write.
    pub(crate) fn staged(&self) -> Table {
        let of_column = |c: &Column| Column { pg_type: staged_type(c), ..c.clone() };
        Table { columns: self.copied_columns().map(of_column).collect(), ..self.clone() }
    }

    /// Whether CREATE TABLE and the values of its rows are the same as those of `other`.
    pub(crate) fn is_made_like(&self, other: &Table) -> bool {
        let alike = |(a, b): (&Column, &Column)| a.is_made_like(b);
        let names = |t: &Table| (t.source.clone(), t.target.clone(), t.comment.clone());
        names(self) == names(other)
            && self.orphans == other.orphans
            && self.columns.len() == other.columns.len()
            && self.columns.iter().zip(&other.columns).all(alike)
    }

    /// What names a row of the source: its rowid, or its key where it has none.
    pub(crate) fn row_identity(&self) -> &[String] {
        self.rowid.as_ref().map_or(&self.key, std::slice::from_ref)
    }

    /// The columns whose values are copied: all but those that PostgreSQL computes itself.
    pub(crate) fn copied_columns(&self) -> impl Iterator<Item = &Column> {
        self.columns.iter().filter(|c| c.generated.is_none())
    }
}
