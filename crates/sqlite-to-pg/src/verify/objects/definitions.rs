//! The definitions of a copy that the run kept, compared with what is there now: so every change is found, whatever it is.

use crate::target::definitions::{Definition, Definitions, read_definitions};
use crate::verify::record::{Difference, DifferenceKind};
use crate::verify::target::release_locks_after;
use migrate::sql::query_texts;
use postgres::Client;
use std::collections::BTreeMap;
use toban_core::Result;

/// What became of the definitions that were kept.
pub(crate) fn compare_kept(
    client: &mut Client,
    schema: &str,
    names: &[String],
    kept: &Definitions,
) -> Result<Vec<Difference>> {
    // The names in a definition are qualified by what the search path does not hold; ours was this one when they were kept.
    let now = release_locks_after(client, |client| {
        query_texts(client, "set local search_path = pg_catalog")?;
        read_definitions(client, schema, names)
    })?;
    Ok(compare_definitions(kept, &now))
}

/// What no copy of a SQLite table has unless somebody switched it so; for copies of which no definitions are kept.
pub(crate) fn find_unfit(client: &mut Client, schema: &str, names: &[String]) -> Result<Vec<Difference>> {
    let now = release_locks_after(client, |client| read_definitions(client, schema, names))?;
    let unfit = |d: &&Definition| match &*d.kind {
        "row-level security" | "rule" | "enforcement of the constraint" => true,
        "trigger" => d.text.contains(" disabled "),
        "table" => d.text.contains(" unlogged"),
        kind => kind.ends_with("index") && d.text.ends_with(" INVALID"),
    };
    Ok(now.all.iter().filter(unfit).map(|d| DefinitionKey::of(d).difference("not so", &d.text)).collect())
}

/// Names of the triggers of these tables.
pub(crate) fn trigger_names(client: &mut Client, schema: &str, names: &[String]) -> Result<Vec<String>> {
    let now = release_locks_after(client, |client| read_definitions(client, schema, names))?;
    Ok(now.all.into_iter().filter(|d| d.kind == "trigger").map(|d| d.name).collect())
}

/// Pure: each definition that is gone, new or another.
fn compare_definitions(kept: &Definitions, now: &Definitions) -> Vec<Difference> {
    let by_key = |d: &Definitions| -> BTreeMap<DefinitionKey, String> {
        d.all.iter().map(|d| (DefinitionKey::of(d), d.text.clone())).collect()
    };
    let (before, after) = (by_key(kept), by_key(now));
    let mut told = Vec::new();
    for (key, was) in &before {
        match after.get(key) {
            None => told.push(key.difference(was, "not there")),
            Some(is) if !same_text(was, is, kept.major == now.major) => told.push(key.difference(was, is)),
            Some(_) => {}
        }
    }
    // What only adds to the copy, as an index that somebody needs, is no fault of it.
    let new = after.iter().filter(|(key, text)| !before.contains_key(*key) && takes_away(&key.kind, text));
    told.extend(new.map(|(key, is)| key.difference("not there", is)));
    told
}

/// What one definition is about.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct DefinitionKey {
    kind: String,
    table: String,
    name: String,
}

impl DefinitionKey {
    fn of(d: &Definition) -> DefinitionKey {
        let kind = index_family(&d.kind).to_string();
        DefinitionKey { kind, table: d.table.clone(), name: d.name.clone() }
    }

    fn difference(&self, was: &str, is: &str) -> Difference {
        let DefinitionKey { kind, table, name } = self;
        let what = if name.is_empty() { kind.clone() } else { format!("{kind} {name}") };
        Difference::of_table(table, DifferenceKind::Definition, &what).between(was, is)
    }
}

/// A unique index made plain is one index that changed.
fn index_family(kind: &str) -> &str {
    if kind == "unique index" { "index" } else { kind }
}

/// Another major may print the same in other words; that it is there is judged all the same.
fn same_text(was: &str, is: &str, same_major: bool) -> bool {
    was == is || !same_major || was.strip_suffix(" NOT VALID") == Some(is)
}

/// What is added to a copy and takes nothing away: an index that is not unique, a comment.
fn takes_away(kind: &str, text: &str) -> bool {
    match kind {
        "comment" => false,
        "index" => text.starts_with("CREATE UNIQUE"),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(major: u32, all: &[(&str, &str)]) -> Definitions {
        let one = |(name, text): &(&str, &str)| {
            let (kind, name) = name.split_once(' ').unwrap_or((name, ""));
            Definition {
                kind: kind.replace('_', " "),
                table: "t".into(),
                name: name.into(),
                text: (*text).into(),
            }
        };
        Definitions { major, all: all.iter().map(one).collect() }
    }

    fn told(before: &Definitions, after: &Definitions) -> Vec<String> {
        compare_definitions(before, after).iter().map(Difference::describe).collect()
    }

    #[test]
    fn what_is_gone_new_or_another_is_told() {
        let was = of(
            18,
            &[
                ("unique_index i", "CREATE UNIQUE INDEX i ON t (a)"),
                ("constraint f", "FOREIGN KEY (a)"),
                ("table", "plain"),
            ],
        );
        let now = of(
            18,
            &[("index i", "CREATE INDEX i ON t (a)"), ("row-level_security", "enabled"), ("table", "plain")],
        );
        assert_eq!(
            told(&was, &now),
            [
                "definition t constraint f: FOREIGN KEY (a) in the source, not there in the target",
                "definition t index i: CREATE UNIQUE INDEX i ON t (a) in the source, CREATE INDEX i ON t (a) in the target",
                "definition t row-level security: not there in the source, enabled in the target",
            ]
        );
    }

    #[test]
    fn what_takes_nothing_away_is_no_difference() {
        let was = of(17, &[("constraint f", "FOREIGN KEY (a) NOT VALID")]);
        let now = of(
            17,
            &[
                ("constraint f", "FOREIGN KEY (a)"),
                ("index j", "CREATE INDEX j ON t (b)"),
                ("comment", "words"),
            ],
        );
        assert_eq!(told(&was, &now), Vec::<String>::new());
        assert_eq!(told(&now, &was).len(), 3, "{:?}", told(&now, &was));
    }

    #[test]
    fn another_major_may_say_it_otherwise_but_not_leave_it_out() {
        let was = of(15, &[("view", "SELECT t.a"), ("constraint c", "CHECK (a)")]);
        let now = of(18, &[("view", "SELECT a")]);
        assert_eq!(
            told(&was, &now),
            ["definition t constraint c: CHECK (a) in the source, not there in the target"]
        );
    }
}
