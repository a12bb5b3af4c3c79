//! A table on both sides: which columns are compared, in which form, and what tells the rows apart.

use crate::model::{Action, Conversion, Policy};
use toban_core::pg::Ident;

/// How a source value is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rule {
    /// By the target's type and the value itself: the copy is somebody else's.
    Auto,
    /// As the plan says.
    Plan(Conversion),
}

/// A column on both sides.
#[derive(Clone, Debug)]
pub(crate) struct PairColumn {
    pub(crate) source: String,
    pub(crate) target: String,
    pub(crate) form: Form,
    pub(crate) rule: Rule,
    /// What became of a value that does not fit.
    pub(crate) policy: Policy,
    /// What else the target's column asks of a value.
    pub(crate) bounds: ColumnBounds,
}

/// Bounds that a column's declaration puts on its values. They matter where the plan says what becomes of others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ColumnBounds {
    /// Characters of varchar(n) and char(n).
    pub(crate) length: Option<usize>,
    /// Digits in all and after the point of numeric(p,s).
    pub(crate) digits: Option<(i32, i32)>,
    /// Microseconds of the least step of a time, where the type keeps less than six digits.
    pub(crate) step: Option<i64>,
    pub(crate) not_null: bool,
}

impl ColumnBounds {
    /// As `pg_attribute` has them.
    pub(crate) fn of_typmod(form: Form, typmod: i32, not_null: bool) -> ColumnBounds {
        // The modifier counts a header of four bytes along (VARHDRSZ), for varchar, char and numeric alike.
        let bound = (typmod >= 4).then_some(typmod - 4);
        let length =
            bound.filter(|_| matches!(form, Form::Text | Form::Padded)).and_then(|n| usize::try_from(n).ok());
        // The scale is a number of eleven bits with its sign.
        let digits =
            bound.filter(|_| form == Form::Numeric).map(|n| (n >> 16, ((n & 0x7FF) ^ 0x400) - 0x400));
        let times = [Form::Timestamp, Form::TimestampTz, Form::Time, Form::Interval];
        // Of an interval the fields stand in the upper half.
        let precision = u32::try_from(typmod).ok().map(|n| n & 0xFFFF).filter(|n| *n < 6);
        let step = precision.filter(|_| times.contains(&form)).map(|n| 10_i64.pow(6 - n));
        ColumnBounds { length, digits, step, not_null }
    }
}

/// Which rows of a table are compared, where not all are: a condition in the SQL of each side.
#[derive(Clone, Debug)]
pub(crate) struct RowFilter {
    pub(crate) source: String,
    pub(crate) target: String,
}

/// A table on both sides.
#[derive(Clone, Debug)]
pub(crate) struct TablePair {
    pub(crate) source: String,
    pub(crate) schema: String,
    pub(crate) target: String,
    /// The columns compared; those of the key come first.
    pub(crate) columns: Vec<PairColumn>,
    /// How many of them are the key. None: rows are told apart by all they hold.
    pub(crate) key: usize,
    /// How SQLite calls the rowid here; none in a table WITHOUT ROWID.
    pub(crate) rowid: Option<String>,
    /// The key is the rowid, and a whole number in the target too.
    pub(crate) numbered: bool,
    /// The least and the greatest rowid; none without rows or rowid.
    pub(crate) bounds: Option<(i64, i64)>,
    /// Pages of the target; none when they cannot be read apart.
    pub(crate) blocks: Option<u32>,
    /// What was done with rows that the target held before.
    pub(crate) action: Action,
    /// Rejected rows are accepted.
    pub(crate) accepts: bool,
    /// Others inherit from the target, and their rows are not its own.
    pub(crate) inherited: bool,
    /// What becomes of rows whose foreign key has no parent.
    pub(crate) orphans: Vec<PairOrphans>,
    /// Only these rows are compared.
    pub(crate) filter: Option<RowFilter>,
}

/// Rows of a table that have no parent.
#[derive(Clone, Debug)]
pub(crate) struct PairOrphans {
    /// Whether a row is one of them, as an expression of SQLite's.
    pub(crate) sql: String,
    /// Columns that are NULL in the target; none: the row is left out.
    pub(crate) nulled: Vec<String>,
}

impl PairOrphans {
    /// Whether this sets a column to NULL.
    pub(crate) fn nulls(&self, column: &PairColumn) -> bool {
        self.nulled.contains(&column.source)
    }
}

impl TablePair {
    /// Whether the target may hold rows of its own.
    pub(crate) fn is_loose(&self) -> bool {
        matches!(self.action, Action::Append | Action::Upsert | Action::SkipExisting)
    }

    /// The target as a query names it.
    pub(crate) fn relation_sql(&self) -> String {
        let only = if self.inherited { "only " } else { "" };
        format!("{only}{}.{}", Ident::new(&self.schema), Ident::new(&self.target))
    }

    /// Whether the bytes of a COPY are compared as they come.
    pub(crate) fn is_plain(&self) -> bool {
        self.columns.iter().all(|c| c.form.is_plain())
    }

    /// About how many rows there are, by the rowids.
    pub(crate) fn guess_rows(&self) -> u64 {
        match self.bounds {
            Some((first, last)) => last.abs_diff(first).saturating_add(1),
            None => u64::from(self.blocks.unwrap_or(0)) * 60,
        }
    }
}

/// The target's names of source columns; None when one is not there.
pub(crate) fn target_names(names: &[String], columns: &[PairColumn]) -> Option<Vec<String>> {
    let one =
        |n: &String| columns.iter().find(|c| c.source.eq_ignore_ascii_case(n)).map(|c| c.target.clone());
    names.iter().map(one).collect()
}

/// The one of `names` that `wanted` means: the same, the same but for case, the same but for case and underscores,
/// or what PostgreSQL makes of a name that is too long.
pub(crate) fn find_name<'a>(wanted: &str, names: &[&'a str]) -> Option<&'a str> {
    let only = |same: &dyn Fn(&str) -> bool| {
        let mut fitting = names.iter().filter(|n| same(n));
        fitting.next().filter(|_| fitting.next().is_none()).copied()
    };
    only(&|n| n == wanted)
        .or_else(|| only(&|n| n.to_lowercase() == wanted.to_lowercase()))
        .or_else(|| only(&|n| bare_name(n) == bare_name(wanted)))
        .or_else(|| only(&|n| n == shorten_name(wanted) || n == shorten_name(&wanted.to_lowercase())))
}

fn bare_name(name: &str) -> String {
    name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// PostgreSQL cuts names at 63 bytes, and never through a character.
fn shorten_name(name: &str) -> &str {
    &name[..name.floor_char_boundary(63)]
}

/// What the bytes of a compared value are. They are what PostgreSQL sends in a binary COPY, except where the comment
/// says otherwise: there two spellings of one value would differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Int2,
    Int4,
    Int8,
    /// The double that the shortest digits of the float4 name: 0.1 is 0.1.
    Float4,
    Float8,
    /// Weight, sign and base-10000 digits, without the display scale.
    Numeric,
    Bool,
    Text,
    /// char(n), without the blanks at its end.
    Padded,
    Bytes,
    Timestamp,
    TimestampTz,
    Date,
    Time,
    Interval,
    /// money as the numeric that it is.
    Money,
    /// An array, element by element; empty arrays of any shape are one.
    Array(Element),
    Uuid,
    Json,
    /// Keys sorted, no blanks, numbers without a scale.
    Jsonb,
    /// Any other type: the text that the server prints.
    Printed,
}

/// What the elements of an array are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Element {
    Number,
    Bool,
    Json,
    Moment,
    Uuid,
    Text,
}

impl Element {
    fn of(name: &str) -> Element {
        match name {
            "_int2" | "_int4" | "_int8" | "_float4" | "_float8" | "_numeric" | "_oid" => Element::Number,
            "_bool" => Element::Bool,
            "_json" | "_jsonb" => Element::Json,
            "_timestamp" | "_timestamptz" => Element::Moment,
            "_uuid" => Element::Uuid,
            _ => Element::Text,
        }
    }
}

impl Form {
    /// The form for a type that is no domain. `kind` is `pg_type.typtype`.
    pub(crate) fn of(oid: u32, name: &str, kind: &str) -> Form {
        match oid {
            21 => Form::Int2,
            23 => Form::Int4,
            20 => Form::Int8,
            700 => Form::Float4,
            701 => Form::Float8,
            1700 => Form::Numeric,
            16 => Form::Bool,
            25 | 1043 | 19 => Form::Text,
            1042 => Form::Padded,
            17 => Form::Bytes,
            1114 => Form::Timestamp,
            1184 => Form::TimestampTz,
            1082 => Form::Date,
            1083 => Form::Time,
            1186 => Form::Interval,
            790 => Form::Money,
            2950 => Form::Uuid,
            114 => Form::Json,
            3802 => Form::Jsonb,
            _ if kind == "e" || name == "citext" => Form::Text,
            // PostgreSQL itself calls the type of arrays like this.
            _ if name.starts_with('_') => Form::Array(Element::of(name)),
            _ => Form::Printed,
        }
    }

    /// The expression that a binary COPY selects; `column` is quoted.
    pub(crate) fn select_sql(self, column: &str) -> String {
        match self {
            Form::Printed | Form::Array(_) => print_sql(column),
            Form::Money => format!("{column}::numeric"),
            _ => column.to_string(),
        }
    }

    /// Whether the values are whole numbers of fixed width.
    pub(crate) fn is_integer(self) -> bool {
        matches!(self, Form::Int2 | Form::Int4 | Form::Int8)
    }

    /// Whether the bytes of a COPY are compared as they come.
    pub(crate) fn is_plain(self) -> bool {
        !matches!(
            self,
            Form::Float4 | Form::Numeric | Form::Money | Form::Padded | Form::Jsonb | Form::Array(_)
        )
    }
}

/// What psql would show of `column`: a cast to text says other things for inet and char(n).
pub(crate) fn print_sql(column: &str) -> String {
    format!("case when {column} is null then null else pg_catalog.format('%s', {column}) end")
}

/// The same for people: the beginning of what may be up to 1 GB.
pub(crate) fn print_beginning_sql(form: Form, column: &str) -> String {
    match form {
        Form::Bytes => print_sql(&format!("pg_catalog.substr({column}, 1, 250)")),
        Form::Text | Form::Padded => print_sql(&format!("pg_catalog.left({column}::text, 250)")),
        Form::Money => print_sql(&format!("{column}::numeric")),
        _ => print_sql(column),
    }
}

/// The same for a comparison as text, which leaves long values out: `X`.
pub(crate) fn print_short_sql(form: Form, column: &str) -> String {
    match form {
        Form::Bytes | Form::Text | Form::Padded => {
            let size = format!(
                "pg_catalog.octet_length({column}{})",
                if form == Form::Bytes { "" } else { "::text" }
            );
            format!("case when {size} > 1000000 then 'X' else {} end", print_sql(column))
        }
        Form::Money => print_sql(&format!("{column}::numeric")),
        _ => print_sql(column),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found() {
        let names = ["Users", "user_roles", "createdat", "A", "a"];
        assert_eq!(find_name("Users", &names), Some("Users"));
        assert_eq!(find_name("users", &names), Some("Users"));
        assert_eq!(find_name("userRoles", &names), Some("user_roles"));
        assert_eq!(find_name("created_at", &names), Some("createdat"));
        assert_eq!(find_name("a", &names), Some("a"));
        assert_eq!(find_name("nobody", &names), None);
    }

    #[test]
    fn two_that_might_be_meant_are_none() {
        assert_eq!(find_name("user_id", &["userId", "USERID"]), None);
    }

    #[test]
    fn long_names_are_cut() {
        let long = "é".repeat(40);
        assert_eq!(find_name(&long, &["é".repeat(31).as_str()]).map(str::len), Some(62));
    }
}
