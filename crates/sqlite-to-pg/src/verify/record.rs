//! What a comparison says: one record for each table, difference and constraint.

use serde::Serialize;
use toban_core::Record;

/// What a comparison says of a table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(into = "String")]
pub(crate) enum TableVerdict {
    #[default]
    Equal,
    Differs,
    Missing,
    /// Not compared, and why.
    Skipped(String),
}

impl From<TableVerdict> for String {
    fn from(verdict: TableVerdict) -> String {
        match verdict {
            TableVerdict::Equal => "equal".into(),
            TableVerdict::Differs => "differs".into(),
            TableVerdict::Missing => "missing".into(),
            TableVerdict::Skipped(why) => format!("skipped: {why}"),
        }
    }
}

/// A table that was compared.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Compared {
    pub(crate) table: String,
    /// Its name in the target; empty when it is not there.
    pub(crate) target: String,
    /// Rows of the source, without those that the plan left out.
    pub(crate) rows: u64,
    pub(crate) target_rows: u64,
    /// The sum over all rows of the source, hexadecimal.
    pub(crate) sum: String,
    pub(crate) target_sum: String,
    /// Ranges of keys, and those whose sums differ.
    pub(crate) ranges: usize,
    pub(crate) ranges_differing: usize,
    /// Rows that are missing, extra or different; with `more` there are more.
    pub(crate) rows_differing: u64,
    pub(crate) more: bool,
    /// Rows that were compared a second way, as text.
    pub(crate) cross_checked: u64,
    /// Rows that the plan left out.
    pub(crate) rejected: u64,
    /// Values in whose place the plan put NULL or another.
    pub(crate) replaced: u64,
    /// Keys and other constraints that were looked for.
    pub(crate) constraints: u64,
    pub(crate) verdict: TableVerdict,
}

impl Record for Compared {
    const SCHEMA: &'static str = "sqlite-to-pg.table/1";
    const HEAD: &'static [&'static str] =
        &["table", "rows", "in target", "ranges", "differing", "differences", "verdict"];

    fn cells(&self) -> Vec<String> {
        let more = if self.more { "+" } else { "" };
        vec![
            self.table.clone(),
            self.rows.to_string(),
            self.target_rows.to_string(),
            self.ranges.to_string(),
            self.ranges_differing.to_string(),
            format!("{}{more}", self.rows_differing),
            self.verdict.clone().into(),
        ]
    }
}

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Difference {
    pub(crate) table: String,
    /// `id=7`; where there is no key `rowid=7` or `ctid=(0,7)`; empty when it is not about a row.
    pub(crate) row: String,
    /// What it is: see [`DifferenceKind`].
    pub(crate) kind: DifferenceKind,
    pub(crate) column: String,
    pub(crate) source: String,
    pub(crate) target: String,
}

/// What a difference is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum DifferenceKind {
    /// The table or column is not in the target.
    Missing,
    /// The row is not in the target.
    MissingRow,
    /// The row is in the target alone.
    ExtraRow,
    /// The row is there another number of times.
    RowCount,
    /// The value differs.
    Value,
    /// Compared as text the value differs, though the sums are equal.
    CrossCheck,
    /// A key or another constraint is not in the target.
    Constraint,
    /// The next number that the target gives was used before.
    Identity,
    /// A definition is not the one that the run left.
    Definition,
    /// The run that made the copy could not make it, and reported it.
    LeftOut,
}

impl DifferenceKind {
    fn name(self) -> &'static str {
        match self {
            DifferenceKind::Missing => "missing",
            DifferenceKind::MissingRow => "missing-row",
            DifferenceKind::ExtraRow => "extra-row",
            DifferenceKind::RowCount => "row-count",
            DifferenceKind::Value => "value",
            DifferenceKind::CrossCheck => "second-way",
            DifferenceKind::Constraint => "constraint",
            DifferenceKind::Identity => "identity",
            DifferenceKind::Definition => "definition",
            DifferenceKind::LeftOut => "left-out",
        }
    }
}

impl Difference {
    /// A difference that is about no row: what the target lacks.
    pub(crate) fn of_table(table: &str, kind: DifferenceKind, column: &str) -> Difference {
        Difference {
            table: table.into(),
            row: String::new(),
            kind,
            column: column.into(),
            source: "there".into(),
            target: "not there".into(),
        }
    }

    /// What the two sides have.
    pub(crate) fn between(self, source: &str, target: &str) -> Difference {
        Difference { source: source.into(), target: target.into(), ..self }
    }

    /// One line for a report: `users id=7 name: 'a' became 'b'`.
    pub(crate) fn describe(&self) -> String {
        let places = [&self.table, &self.row, &self.column];
        let place: Vec<&str> = places.into_iter().map(String::as_str).filter(|p| !p.is_empty()).collect();
        let (source, target) = (&self.source, &self.target);
        format!("{} {}: {source} in the source, {target} in the target", self.kind.name(), place.join(" "))
    }
}

impl Record for Difference {
    const SCHEMA: &'static str = "sqlite-to-pg.difference/1";
    const HEAD: &'static [&'static str] = &["table", "row", "difference", "column", "source", "target"];

    fn cells(&self) -> Vec<String> {
        let kind = self.kind.name().to_string();
        vec![
            self.table.clone(),
            self.row.clone(),
            kind,
            self.column.clone(),
            self.source.clone(),
            self.target.clone(),
        ]
    }
}
