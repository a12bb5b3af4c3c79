//! A table on both sides: which columns are compared, in which form, and what tells the rows apart.

use super::form::Form;
use crate::plan::{Action, Conversion, Policy};
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
pub(crate) struct Column {
    pub(crate) source: String,
    pub(crate) target: String,
    pub(crate) form: Form,
    pub(crate) rule: Rule,
    /// What became of a value that does not fit.
    pub(crate) policy: Policy,
    /// What else the target's column asks of a value.
    pub(crate) bounds: Bounds,
}

/// Bounds that a column's declaration puts on its values. They matter where the plan says what becomes of others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// Characters of varchar(n) and char(n).
    pub(crate) length: Option<usize>,
    /// Digits in all and after the point of numeric(p,s).
    pub(crate) digits: Option<(i32, i32)>,
    /// Microseconds of the least step of a time, where the type keeps less than six digits.
    pub(crate) step: Option<i64>,
    pub(crate) not_null: bool,
}

impl Bounds {
    /// As `pg_attribute` has them.
    pub(crate) fn of(form: Form, typmod: i32, not_null: bool) -> Bounds {
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
        Bounds { length, digits, step, not_null }
    }
}

/// A table on both sides.
#[derive(Clone, Debug)]
pub(crate) struct Pair {
    pub(crate) source: String,
    pub(crate) schema: String,
    pub(crate) target: String,
    /// The columns compared; those of the key come first.
    pub(crate) columns: Vec<Column>,
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
}

impl Pair {
    /// Whether the target may hold rows of its own.
    pub(crate) fn is_loose(&self) -> bool {
        matches!(self.action, Action::Append | Action::Upsert | Action::SkipExisting)
    }

    /// The target as a query names it.
    pub(crate) fn relation(&self) -> String {
        let only = if self.inherited { "only " } else { "" };
        format!("{only}{}.{}", Ident::new(&self.schema), Ident::new(&self.target))
    }

    /// Whether the bytes of a COPY are compared as they come.
    pub(crate) fn is_plain(&self) -> bool {
        self.columns.iter().all(|c| c.form.is_plain())
    }

    /// About how many rows there are, by the rowids.
    pub(crate) fn guess(&self) -> u64 {
        match self.bounds {
            Some((first, last)) => last.abs_diff(first).saturating_add(1),
            None => u64::from(self.blocks.unwrap_or(0)) * 60,
        }
    }
}

/// The one of `names` that `wanted` means: the same, the same but for case, the same but for case and underscores,
/// or what PostgreSQL makes of a name that is too long.
pub(crate) fn find<'a>(wanted: &str, names: &[&'a str]) -> Option<&'a str> {
    let only = |same: &dyn Fn(&str) -> bool| {
        let mut fitting = names.iter().filter(|n| same(n));
        fitting.next().filter(|_| fitting.next().is_none()).copied()
    };
    only(&|n| n == wanted)
        .or_else(|| only(&|n| n.to_lowercase() == wanted.to_lowercase()))
        .or_else(|| only(&|n| bare(n) == bare(wanted)))
        .or_else(|| only(&|n| n == shortened(wanted) || n == shortened(&wanted.to_lowercase())))
}

fn bare(name: &str) -> String {
    name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// PostgreSQL cuts names at 63 bytes, and never through a character.
fn shortened(name: &str) -> &str {
    &name[..name.floor_char_boundary(63)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found() {
        let names = ["Users", "user_roles", "createdat", "A", "a"];
        assert_eq!(find("Users", &names), Some("Users"));
        assert_eq!(find("users", &names), Some("Users"));
        assert_eq!(find("userRoles", &names), Some("user_roles"));
        assert_eq!(find("created_at", &names), Some("createdat"));
        assert_eq!(find("a", &names), Some("a"));
        assert_eq!(find("nobody", &names), None);
    }

    #[test]
    fn two_that_might_be_meant_are_none() {
        assert_eq!(find("user_id", &["userId", "USERID"]), None);
    }

    #[test]
    fn long_names_are_cut() {
        let long = "é".repeat(40);
        assert_eq!(find(&long, &["é".repeat(31).as_str()]).map(str::len), Some(62));
    }
}
