//! What is not a column: keys, indexes, checks, views, triggers; each with what becomes of it.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// What is done with rows that a table of the application already holds; the texts are the help of `--existing`.
#[derive(ValueEnum, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Action {
    /// Refuse tables that hold rows
    #[default]
    Refuse,
    /// Delete them
    Truncate,
    /// Keep them, and add the source's
    Append,
    /// Replace those of the same primary key by the source's
    Upsert,
    /// Keep them, and leave out the source's of the same primary key
    SkipExisting,
}

/// What becomes of an object; every object of the source has exactly one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Outcome {
    /// Made as it is.
    #[default]
    Created,
    /// Made in PostgreSQL's SQL; both sides agreed on the data.
    Translated,
    /// Made NOT VALID: there were rows that break it.
    NotValid,
    /// Written to a file for a person to finish.
    Written,
    /// Not made; the reason says why.
    Skipped,
}

impl Outcome {
    /// As plans and reports name it.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Outcome::Created => "created",
            Outcome::Translated => "translated",
            Outcome::NotValid => "not valid",
            Outcome::Written => "written to a file",
            Outcome::Skipped => "skipped",
        }
    }

    /// Whether the target has the object.
    pub(crate) fn is_made(self) -> bool {
        !matches!(self, Outcome::Written | Outcome::Skipped)
    }
}

macro_rules! object_kinds {
    ($first:ident $first_name:literal, $($kind:ident $name:literal),* $(,)?) => {
        /// What an object is.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(into = "&'static str", try_from = "String")]
        pub(crate) enum ObjectKind {
            #[default]
            $first,
            $($kind,)*
        }

        impl ObjectKind {
            const ALL: &[ObjectKind] = &[ObjectKind::$first, $(ObjectKind::$kind,)*];

            /// As plans and reports name it.
            pub(crate) fn name(self) -> &'static str {
                match self {
                    ObjectKind::$first => $first_name,
                    $(ObjectKind::$kind => $name,)*
                }
            }
        }
    };
}

// A name is one that PostgreSQL does not take, an integrity check is a remark of SQLite's that is no damage, a salvage what a
// damaged file does not give.
object_kinds!(
    Table "table", VirtualTable "virtual table", ShadowTable "shadow table", Column "column", View "view",
    Trigger "trigger", Index "index", Unique "unique", PrimaryKey "primary key", ForeignKey "foreign key",
    Check "check", Default "default", NotNull "not null", GeneratedColumn "generated column",
    Sequence "sequence", Name "name", IntegrityCheck "integrity check", Salvage "salvage",
);

impl ObjectKind {
    /// The kind that `--exclude KIND:NAME` means: a hyphen stands for a blank.
    pub(crate) fn parse_option(word: &str) -> Option<ObjectKind> {
        let fits = |kind: &ObjectKind| kind.name().replace(' ', "-") == word;
        let never = [
            ObjectKind::ShadowTable,
            ObjectKind::Sequence,
            ObjectKind::Name,
            ObjectKind::IntegrityCheck,
            ObjectKind::Salvage,
        ];
        ObjectKind::ALL.iter().copied().find(fits).filter(|kind| !never.contains(kind))
    }

    /// Whether it is a table of any kind.
    pub(crate) fn is_table(self) -> bool {
        matches!(self, ObjectKind::Table | ObjectKind::VirtualTable | ObjectKind::ShadowTable)
    }
}

impl From<ObjectKind> for &'static str {
    fn from(kind: ObjectKind) -> &'static str {
        kind.name()
    }
}

impl TryFrom<String> for ObjectKind {
    type Error = String;

    fn try_from(name: String) -> Result<ObjectKind, String> {
        let found = ObjectKind::ALL.iter().copied().find(|kind| kind.name() == name);
        found.ok_or_else(|| format!("{name} is no kind of object"))
    }
}

/// What an object's outcome comes from, where that decides anything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Cause {
    /// From what the text of the reason says.
    #[default]
    Other,
    /// A person excluded it by name.
    Excluded,
    /// Another constraint says the same.
    Duplicate,
    /// The application made the tables, and their schema is its own.
    Application,
    /// The server does not take it.
    Refused,
}

/// A view, a trigger, a virtual table or whatever else holds no rows that move.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Object {
    pub(crate) kind: ObjectKind,
    /// Its name in SQLite; of a nameless one `table.column` or `table`.
    pub(crate) name: String,
    /// The table that a trigger is on.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) table: String,
    /// What becomes of it.
    pub(crate) outcome: Outcome,
    #[serde(skip_serializing_if = "is_other")]
    pub(crate) cause: Cause,
    /// Why; [`Object::reason`] is the whole of it.
    pub(crate) why: String,
    /// The statement in PostgreSQL's SQL, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sql: Option<String>,
    /// The statement in SQLite's SQL.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) source_sql: String,
    /// That the copy lacks it leaves the status at 0.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) accepted: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks with a reference")]
fn is_other(cause: &Cause) -> bool {
    *cause == Cause::Other
}

impl Object {
    /// One that is not made, and why.
    pub(crate) fn skipped(kind: ObjectKind, name: &str, why: impl Into<String>) -> Object {
        Object { kind, name: name.into(), outcome: Outcome::Skipped, why: why.into(), ..Object::default() }
    }

    /// One that a person excluded by name.
    pub(crate) fn excluded(kind: ObjectKind, name: &str) -> Object {
        Object { cause: Cause::Excluded, ..Object::skipped(kind, name, "") }
    }

    /// One that the server does not take, with its message.
    pub(crate) fn refused(kind: ObjectKind, name: &str, message: impl Into<String>) -> Object {
        Object { cause: Cause::Refused, ..Object::skipped(kind, name, message) }
    }

    /// The same with its statement in SQLite's SQL.
    pub(crate) fn with_source(self, sql: &str) -> Object {
        Object { source_sql: sql.into(), ..self }
    }

    /// Another outcome of the same object.
    pub(crate) fn with_outcome(&self, outcome: Outcome, why: impl Into<String>) -> Object {
        Object { outcome, cause: Cause::Other, why: why.into(), ..self.clone() }
    }

    /// Why it has its outcome, as a whole.
    pub(crate) fn reason(&self) -> String {
        match self.cause {
            Cause::Other => self.why.clone(),
            Cause::Excluded => "excluded".into(),
            Cause::Duplicate => "the same as another".into(),
            Cause::Application => "the application's own schema holds its counterpart".into(),
            Cause::Refused => format!("PostgreSQL refuses it: {}", self.why),
        }
    }

    /// Whether it is a table that is missing in the copy and was not excluded.
    pub(crate) fn is_lost_table(&self) -> bool {
        self.kind == ObjectKind::Table && self.outcome == Outcome::Skipped && self.cause != Cause::Excluded
    }

    /// The source has it and the copy has not, and it was not excluded by name: the one rule for the status of `run` and
    /// `verify`.
    pub(crate) fn is_missing(&self) -> bool {
        let meant = matches!(self.cause, Cause::Excluded | Cause::Duplicate | Cause::Application);
        // What a virtual table keeps for itself is no object of its own.
        let counts = self.kind != ObjectKind::ShadowTable && !self.accepted;
        counts && !meant && !self.outcome.is_made()
    }

    /// Whether it is a view that the target has.
    pub(crate) fn is_made_view(&self) -> bool {
        self.kind == ObjectKind::View && self.outcome == Outcome::Translated && self.sql.is_some()
    }

    /// As messages name it: `view v1`.
    pub(crate) fn title(&self) -> String {
        format!("{} {}", self.kind.name(), self.name)
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
pub(crate) struct Unique {
    /// Its name in PostgreSQL.
    pub(crate) name: String,
    /// Target columns.
    pub(crate) columns: Vec<String>,
}

/// An index.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Index {
    /// Its name in SQLite.
    pub(crate) source: String,
    /// Its name in PostgreSQL.
    pub(crate) target: String,
    /// Whether it is UNIQUE.
    #[serde(default)]
    pub(crate) unique: bool,
    /// `btree` or `hash`.
    pub(crate) method: String,
    /// What it orders, in order.
    pub(crate) parts: Vec<IndexPart>,
    /// The predicate of a partial index, in PostgreSQL's SQL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) predicate: Option<String>,
    /// The same in SQLite's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) source_predicate: Option<String>,
    /// A word on what differs.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) why: String,
}

/// One part of an index.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct IndexPart {
    /// A quoted column or an expression in parentheses, in PostgreSQL's SQL.
    pub(crate) sql: String,
    /// The expression in SQLite's words, when it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) source_sql: Option<String>,
    /// Whether it descends.
    #[serde(default)]
    pub(crate) descending: bool,
}

/// A foreign key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ForeignKey {
    /// Its name in PostgreSQL.
    pub(crate) name: String,
    /// Target columns of the child.
    pub(crate) columns: Vec<String>,
    /// The parent table's name in PostgreSQL.
    pub(crate) parent: String,
    /// Target columns of the parent.
    pub(crate) parent_columns: Vec<String>,
    /// `no action`, `restrict`, `cascade`, `set null`, `set default`.
    pub(crate) on_delete: String,
    /// The same for updates.
    pub(crate) on_update: String,
    /// DEFERRABLE INITIALLY DEFERRED.
    #[serde(default)]
    pub(crate) deferred: bool,
}

/// A CHECK.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CheckConstraint {
    /// Its name in PostgreSQL.
    pub(crate) name: String,
    /// The expression in PostgreSQL's SQL.
    pub(crate) sql: String,
    /// The expression in SQLite's words.
    pub(crate) source_sql: String,
}
