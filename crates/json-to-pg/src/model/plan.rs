//! The plan as people edit it: every path of every record has one fate.

use crate::source::file::Identity;
use crate::source::layout::Layout;
use crate::source::records::FileShape;
use serde::{Deserialize, Serialize};

/// The version of the plan file.
pub(crate) const FORMAT: u32 = 1;

/// What becomes of an application's files.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct MovePlan {
    pub(crate) format: u32,
    /// Where the files lie.
    pub(crate) folder: String,
    /// It was planned as a whole: one more file in it is a difference.
    pub(crate) whole_folder: bool,
    /// The zone of times that name none, as Asia/Tokyo.
    pub(crate) zone: String,
    /// The zone that columns of type timestamp (without time zone) are in.
    pub(crate) column_zone: String,
    /// What the application's migrations say of themselves, as alembic_version.
    pub(crate) migrations: Vec<String>,
    #[serde(rename = "question")]
    pub(crate) questions: Vec<OpenQuestion>,
    #[serde(rename = "file")]
    pub(crate) files: Vec<FilePlan>,
}

/// What a question is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum QuestionKind {
    /// The zone of times that name none.
    #[default]
    Zone,
    /// The zone of timestamp columns.
    ColumnZone,
    /// The table of a file.
    Table,
    /// A path without a column, or one whose values do not fit it.
    Path,
    /// Rows of a link table that are proposed for a list.
    Link,
    /// A column that no path fills.
    Value,
    /// Records of sample data.
    Samples,
    /// Another copy of the file that differs, or a newer temporary file.
    Copy,
}

/// What only people know. A run needs the answer to each.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct OpenQuestion {
    pub(crate) kind: QuestionKind,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) file: String,
    /// The path or column.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) about: String,
    pub(crate) ask: String,
    pub(crate) choices: Vec<String>,
    pub(crate) answer: String,
}

/// What happens to a row of the target that has the key of a record and differs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum OnConflict {
    /// The run ends, and names it.
    #[default]
    Refuse,
    /// The record takes its place.
    TakeFile,
    /// It stays.
    KeepDatabase,
}

/// A file's fate.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct FilePlan {
    pub(crate) name: String,
    /// `schema.table`; empty when the file does not move.
    pub(crate) table: String,
    /// The run makes the table.
    pub(crate) create: bool,
    /// Why the file does not move.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) drop: String,
    pub(crate) shape: FileShape,
    pub(crate) records: u64,
    /// Columns of the primary key.
    pub(crate) key: Vec<String>,
    pub(crate) on_conflict: OnConflict,
    /// Records that do not fit are left out and listed.
    pub(crate) accept_rejects: bool,
    /// Records of sample data are left out.
    pub(crate) leave_out_samples: bool,
    /// Names that stand twice over equal records: one row each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) repeated: Vec<String>,
    /// A column that keeps the order of the records.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) order: String,
    pub(crate) source: Identity,
    pub(crate) layout: Layout,
    #[serde(rename = "path")]
    pub(crate) paths: Vec<PathPlan>,
    #[serde(rename = "value", skip_serializing_if = "Vec::is_empty")]
    pub(crate) values: Vec<ValuePlan>,
}

/// What is done to a value that is not of the column's kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ValueConversion {
    /// Fractions are rounded half up, times to what the column keeps.
    Round,
    /// Strings of digits are numbers.
    Numbers,
    /// Numbers and booleans become their text.
    Text,
    /// U+2400 for `\u0000`, U+FFFD for half a surrogate pair.
    Replace,
    /// Numbers are seconds, milliseconds since 1970.
    EpochS,
    EpochMs,
}

/// A path's fate: a column, rows of their own, rows of a link table, or nothing with the reason.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct PathPlan {
    pub(crate) path: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) column: String,
    #[serde(rename = "type", skip_serializing_if = "String::is_empty")]
    pub(crate) pg_type: String,
    #[serde(skip_serializing_if = "is_false")]
    pub(crate) not_null: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) convert: Option<ValueConversion>,
    /// `schema.table.column` in which the value is looked up; the column gets that row's key.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) lookup: String,
    /// `schema.table.column` that the column refers to, in a table that the run makes.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) references: String,
    /// The table whose rows the objects of the list become.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) explode: String,
    /// The link table, its columns for this record and for what `lookup` finds.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) link: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) own: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) other: String,
    /// The members of the object have fates of their own.
    #[serde(skip_serializing_if = "is_false")]
    pub(crate) split: bool,
    /// Why it does not move.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) drop: String,
    /// How times are written, for export.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) forms: Vec<String>,
    /// Members inside of it in their order, for export: jsonb does not keep it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) members: Vec<String>,
    /// Where the member is not there the file has no null either.
    #[serde(skip_serializing_if = "is_false")]
    pub(crate) absent: bool,
    /// What was found; one more kind at the run is a difference.
    pub(crate) found: Vec<String>,
}

impl PathPlan {
    /// Whether a fate is given.
    pub(crate) fn is_decided(&self) -> bool {
        [&self.column, &self.explode, &self.link, &self.drop].iter().any(|fate| !fate.is_empty())
            || self.split
    }

    /// The fate in words.
    pub(crate) fn describe_fate(&self) -> String {
        match self {
            PathPlan { drop, .. } if !drop.is_empty() => format!("dropped: {drop}"),
            PathPlan { explode, .. } if !explode.is_empty() => format!("rows of {explode}"),
            PathPlan { link, lookup, .. } if !link.is_empty() => format!("rows of {link} by {lookup}"),
            PathPlan { split: true, .. } => "its members by themselves".into(),
            PathPlan { column, pg_type, lookup, .. } if !lookup.is_empty() => {
                format!("{column} {pg_type} by {lookup}")
            }
            PathPlan { column, pg_type, .. } if !column.is_empty() => format!("{column} {pg_type}"),
            _ => "asked".into(),
        }
    }
}

/// A column that no path fills by its name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ValuePlan {
    pub(crate) column: String,
    /// The same for each row, as JSON; a text needs no quotes.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) value: String,
    /// Or the value of this path.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) from: String,
    /// It stays NULL, or as the server's default has it.
    #[serde(skip_serializing_if = "is_false")]
    pub(crate) null: bool,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) lookup: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) convert: Option<ValueConversion>,
}

fn is_false(flag: &bool) -> bool {
    !flag
}

impl MovePlan {
    /// The files that move.
    pub(crate) fn moving_files(&self) -> impl Iterator<Item = &FilePlan> {
        self.files.iter().filter(|f| f.drop.is_empty())
    }
}
