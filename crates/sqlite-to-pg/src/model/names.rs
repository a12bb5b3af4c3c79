//! Names in PostgreSQL: kept, renamed by rule, made snake_case, and short enough.

use migrate::names::{short_name, snake_case};
use toban_core::{Error, Result};

/// Names that every table of PostgreSQL has for columns of its own.
const SYSTEM: [&str; 6] = ["ctid", "xmin", "xmax", "cmin", "cmax", "tableoid"];

/// The rules of one run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Naming {
    pub(crate) snake_case: bool,
    /// `OLD=NEW` or `TABLE.OLD=NEW`.
    pub(crate) renames: Vec<(String, String)>,
}

impl Naming {
    /// Reads `--rename`'s values.
    ///
    /// # Errors
    /// Usage, for one without `=`.
    pub(crate) fn new(snake_case: bool, renames: &[String]) -> Result<Naming> {
        let pair = |text: &String| {
            let (old, new) = text.rsplit_once('=').filter(|(old, new)| !old.is_empty() && !new.is_empty())?;
            Some((old.to_string(), new.to_string()))
        };
        let renames = renames.iter().map(|r| {
            pair(r).ok_or_else(|| {
                Error::usage(format!("--rename {r}")).hint("OLD=NEW, or TABLE.OLD=NEW for a column")
            })
        });
        Ok(Naming { snake_case, renames: renames.collect::<Result<_>>()? })
    }

    /// A table's, an index's or a view's name.
    pub(crate) fn object_name(&self, name: &str) -> String {
        self.apply_rules(name, name)
    }

    /// A column's name.
    pub(crate) fn column_name(&self, table: &str, name: &str) -> String {
        let made = self.apply_rules(&format!("{table}.{name}"), name);
        if SYSTEM.contains(&made.as_str()) { made + "_" } else { made }
    }

    /// Whether a rule of the command line has a say in the names.
    pub(crate) fn has_rules(&self) -> bool {
        self.snake_case || !self.renames.is_empty()
    }

    fn apply_rules(&self, whole: &str, name: &str) -> String {
        if let Some((_, new)) = self.renames.iter().find(|(old, _)| old == whole) {
            return short_name(new);
        }
        let name = if self.snake_case { snake_case(name) } else { name.to_string() };
        // PostgreSQL has no empty name.
        short_name(if name.is_empty() { "_" } else { &name })
    }
}

/// Makes names that PostgreSQL forced upon us (`""` becomes `_`) differ from all others of `pairs` (old, new).
pub(crate) fn settle_forced(pairs: &mut [(String, String)]) {
    for at in 0..pairs.len() {
        let mut n = 1;
        let forced = pairs[at].1.clone();
        while pairs[at].0 != pairs[at].1 && (0..pairs.len()).any(|o| o != at && pairs[o].1 == pairs[at].1) {
            n += 1;
            pairs[at].1 = short_name(&format!("{forced}_{n}"));
        }
    }
}

/// Fails when two of `pairs` (old, new) have the same new name.
pub(crate) fn check_distinct(what: &str, pairs: &[(&str, &str)]) -> Result<()> {
    for (at, (old, new)) in pairs.iter().enumerate() {
        if let Some((other, _)) = pairs[..at].iter().find(|(_, n)| n == new) {
            return Err(Error::usage(format!("{what} {other} and {old} would both be called {new}"))
                .hint("give one of them another name with --rename"));
        }
    }
    Ok(())
}

/// Whether `name` fits a pattern of `*` and `?`.
pub(crate) fn matches_glob(pattern: &str, name: &str) -> bool {
    match pattern.chars().next() {
        None => name.is_empty(),
        Some('*') => {
            let rest = &pattern[1..];
            (0..=name.len()).filter(|at| name.is_char_boundary(*at)).any(|at| matches_glob(rest, &name[at..]))
        }
        Some(c) => {
            let mut chars = name.chars();
            chars.next().is_some_and(|n| c == '?' || c == n)
                && matches_glob(&pattern[c.len_utf8()..], chars.as_str())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_names_stay_apart() {
        let (a, b) = (short_name(&"x".repeat(70)), short_name(&("x".repeat(69) + "y")));
        assert!(a.len() <= 63 && b.len() <= 63 && a != b, "{a} {b}");
        let e = check_distinct("tables", &[("a", "x"), ("b", "x")]).unwrap_err();
        assert!(e.chain().contains("a and b would both be called x"));
    }

    #[test]
    fn names_that_postgresql_has_not_stay_apart() {
        let mut pairs: Vec<(String, String)> = ["", "_", "a\0", "a"]
            .iter()
            .map(|n| (n.to_string(), Naming::default().column_name("t", n)))
            .collect();
        settle_forced(&mut pairs);
        let new: Vec<&str> = pairs.iter().map(|p| p.1.as_str()).collect();
        assert_eq!(new, ["__2", "_", "a_2", "a"]);
        assert_eq!(Naming::default().column_name("t", "xmin"), "xmin_");
    }

    #[test]
    fn globs() {
        assert!(
            matches_glob("a*c", "abbc")
                && matches_glob("*", "")
                && matches_glob("?x", "äx")
                && !matches_glob("a?", "a")
                && !matches_glob("b*", "ab")
        );
    }
}
