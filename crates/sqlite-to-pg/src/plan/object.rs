//! What is not a column: keys, indexes, checks, views, triggers; each with its fate.

use serde::{Deserialize, Serialize};

/// What is done with rows that a table of the application already holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// There must be none.
    #[default]
    Refuse,
    /// They go.
    Truncate,
    /// They stay, and ours are added.
    Append,
    /// Ours replace those of the same primary key; others stay.
    Upsert,
    /// Ours of the same primary key stay behind; others are added.
    SkipExisting,
}

/// What becomes of an object; every object of the source has exactly one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fate {
    /// Made as it is.
    #[default]
    Created,
    /// Made in PostgreSQL's words; both sides agreed on the data.
    Translated,
    /// Made NOT VALID: rows that break it were there.
    NotValid,
    /// Written to a file for a person to finish.
    Written,
    /// Not made; the reason says why.
    Skipped,
}

/// A view, a trigger, a virtual table or whatever else holds no rows that move.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Object {
    /// `view`, `trigger`, `virtual table`, `shadow table`, `table`, `index`, `check`, `default`, `foreign key`.
    pub kind: String,
    /// Its name in SQLite; of a nameless one `table.column` or `table`.
    pub name: String,
    /// What becomes of it.
    pub fate: Fate,
    /// Why.
    #[serde(default)]
    pub why: String,
    /// The statement in PostgreSQL's words, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sql: Option<String>,
    /// The statement in SQLite's words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub source_sql: String,
    /// That the copy lacks it leaves the status at 0.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub accepted: bool,
}

/// Why an object of the source has no fate where the application made the tables.
pub(crate) const APPLICATIONS: &str = "the application's own schema holds its counterpart";

/// Why a constraint that says what another says is not made once more.
pub(crate) const SAME: &str = "the same as another";

/// How the reason begins of what the server did not take.
pub(crate) const REFUSED: &str = "PostgreSQL refuses it";

impl Object {
    /// A table that stays behind though nobody asked for that.
    pub(crate) fn is_lost(&self) -> bool {
        self.kind == "table" && self.fate == Fate::Skipped && self.why != super::build::EXCLUDED
    }

    /// The source has it and the copy has not, and nobody said by name that it may lack: the one rule for the status
    /// of `run` and `verify`.
    pub(crate) fn is_missing(&self) -> bool {
        let made = !matches!(self.fate, Fate::Skipped | Fate::Written);
        let meant = [super::build::EXCLUDED, SAME, APPLICATIONS].contains(&&*self.why);
        // What a virtual table keeps for itself is no object of its own.
        !(made || meant || self.accepted || self.kind == "shadow table")
    }

    /// As messages name it: `view v1`, but a table by its name alone.
    pub(crate) fn shown(&self) -> String {
        format!("{} {}", self.kind, self.name)
    }

    /// Of a view its name in the target, at the head of `"name" (…) as select …`.
    pub(crate) fn view_name(&self) -> String {
        let sql = self.sql.as_deref().unwrap_or_default();
        let mut name = String::new();
        let mut rest = sql.chars().skip(1).peekable();
        while let Some(c) = rest.next() {
            match (c, rest.peek()) {
                ('"', Some('"')) => {
                    rest.next();
                    name.push('"');
                }
                ('"', _) => break,
                (c, _) => name.push(c),
            }
        }
        name
    }
}

/// A UNIQUE constraint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unique {
    /// Its name in PostgreSQL.
    pub name: String,
    /// Target columns.
    pub columns: Vec<String>,
}

/// An index.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Index {
    /// Its name in SQLite.
    pub source: String,
    /// Its name in PostgreSQL.
    pub target: String,
    /// Whether it is UNIQUE.
    #[serde(default)]
    pub unique: bool,
    /// `btree` or `hash`.
    pub method: String,
    /// What it orders, in order.
    pub parts: Vec<IndexPart>,
    /// The predicate of a partial index, in PostgreSQL's SQL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub predicate: Option<String>,
    /// The same in SQLite's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_predicate: Option<String>,
    /// A word on what differs.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub why: String,
}

/// One part of an index.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IndexPart {
    /// A quoted column or an expression in parentheses, in PostgreSQL's SQL.
    pub sql: String,
    /// The expression in SQLite's words, when it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_sql: Option<String>,
    /// Whether it descends.
    #[serde(default)]
    pub descending: bool,
}

/// A foreign key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ForeignKey {
    /// Its name in PostgreSQL.
    pub name: String,
    /// Target columns of the child.
    pub columns: Vec<String>,
    /// The parent table's name in PostgreSQL.
    pub parent: String,
    /// Target columns of the parent.
    pub parent_columns: Vec<String>,
    /// `no action`, `restrict`, `cascade`, `set null`, `set default`.
    pub on_delete: String,
    /// The same for updates.
    pub on_update: String,
    /// DEFERRABLE INITIALLY DEFERRED.
    #[serde(default)]
    pub deferred: bool,
}

/// A CHECK.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Check {
    /// Its name in PostgreSQL.
    pub name: String,
    /// The expression in PostgreSQL's SQL.
    pub sql: String,
    /// The expression in SQLite's words.
    pub source_sql: String,
}
