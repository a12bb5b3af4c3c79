//! What a comparison says: one record for each table, difference and constraint.

use serde::Serialize;
use toban_core::Record;

/// A table that was compared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Compared {
    pub(crate) table: String,
    /// Its name in the target; empty when it is not there.
    pub(crate) target: String,
    /// Rows of the source, without those that the plan left behind.
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
    pub(crate) second_way: u64,
    /// Rows that the plan left behind.
    pub(crate) rejected: u64,
    /// Values in whose place the plan put NULL or another.
    pub(crate) replaced: u64,
    /// Keys and other constraints that were looked for.
    pub(crate) constraints: u64,
    /// `equal`, `differs`, `missing`, `skipped`.
    pub(crate) verdict: String,
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
            self.verdict.clone(),
        ]
    }
}

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Difference {
    pub(crate) table: String,
    /// `id=7`; where there is no key `rowid=7` or `ctid=(0,7)`; empty when it is not about a row.
    pub(crate) row: String,
    /// What it is: see [`Kind`].
    pub(crate) kind: Kind,
    pub(crate) column: String,
    pub(crate) source: String,
    pub(crate) target: String,
}

/// What a difference is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
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
    SecondWay,
    /// A key or another constraint is not in the target.
    Constraint,
    /// The next number that the target gives was used before.
    Identity,
    /// A definition is not the one that the run left.
    Definition,
    /// The run that made the copy could not make it, and said so.
    LeftOut,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Kind::Missing => "missing",
            Kind::MissingRow => "missing-row",
            Kind::ExtraRow => "extra-row",
            Kind::RowCount => "row-count",
            Kind::Value => "value",
            Kind::SecondWay => "second-way",
            Kind::Constraint => "constraint",
            Kind::Identity => "identity",
            Kind::Definition => "definition",
            Kind::LeftOut => "left-out",
        }
    }
}

impl Difference {
    /// A difference that is about no row.
    pub(crate) fn of_table(
        table: &str,
        kind: Kind,
        column: &str,
        (source, target): (&str, &str),
    ) -> Difference {
        Difference {
            table: table.into(),
            row: String::new(),
            kind,
            column: column.into(),
            source: source.into(),
            target: target.into(),
        }
    }

    /// One line for a report: `users id=7 name: 'a' became 'b'`.
    pub(crate) fn line(&self) -> String {
        let places = [&self.table, &self.row, &self.column];
        let place: Vec<&str> = places.into_iter().map(String::as_str).filter(|p| !p.is_empty()).collect();
        let (source, target) = (&self.source, &self.target);
        format!("{} {}: {source} in the source, {target} in the target", self.kind.word(), place.join(" "))
    }
}

impl Record for Difference {
    const SCHEMA: &'static str = "sqlite-to-pg.difference/1";
    const HEAD: &'static [&'static str] = &["table", "row", "difference", "column", "source", "target"];

    fn cells(&self) -> Vec<String> {
        let kind = self.kind.word().to_string();
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
