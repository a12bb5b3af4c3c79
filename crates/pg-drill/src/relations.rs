//! What of the live server must be in a restored one, whatever was written since. Pure.
//!
//! A row version or an object that a transaction made which had ended before the backup's checkpoint, and that is there
//! today, was there at every moment between: it must be in the restored cluster. What is newer is left out, what was
//! deleted since does not count, so that no amount of work on the live server makes a false alarm.

use std::collections::BTreeMap;

/// A table, index, view or sequence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Relation {
    pub(crate) schema: String,
    pub(crate) name: String,
    pub(crate) kind: String,
    /// Made, and last altered, before the backup's checkpoint.
    pub(crate) older: bool,
    /// A table whose rows outlast a crash.
    pub(crate) countable: bool,
    pub(crate) bytes: u64,
}

pub(crate) type Relations = BTreeMap<i64, Relation>;

/// SQL that is true where the transaction in `column` had ended below `below`. Numbers of transactions go round: what
/// is half way round away is taken for newer, on both sides alike.
pub(crate) fn older_than(column: &str, below: u64) -> String {
    // xmin has 32 bits and wraps (manual, "Preventing Transaction ID Wraparound Failures"). 1 and 2 are the bootstrap and the
    // frozen transaction, older than every other; the offset keeps the operand of % positive.
    let below = below & 0xFFFF_FFFF;
    format!(
        "({column}::text in ('1', '2') or (({column}::text::int8 - {below} + 6442450944) % 4294967296) - 2147483648 < 0)"
    )
}

/// What is missing of `live` in `restored`, by number: name and kind must be the same.
pub(crate) fn find_missing(live: &Relations, restored: &Relations) -> Vec<i64> {
    let there = |number: &i64, o: &Relation| {
        restored.get(number).is_some_and(|r| (&r.name, &r.kind) == (&o.name, &o.kind))
    };
    live.iter().filter(|(n, o)| o.older && !there(n, o)).map(|(n, _)| *n).collect()
}

/// What a person calls it.
pub(crate) fn describe(database: &str, relation: &Relation) -> String {
    let kind = match relation.kind.as_str() {
        "r" | "p" => "table",
        "i" | "I" => "index",
        "S" => "sequence",
        "v" => "view",
        "m" => "materialized view",
        _ => "relation",
    };
    format!("{kind} {}.{} of database {database}", relation.schema, relation.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn relation(name: &str, older: bool) -> Relation {
        Relation {
            schema: "public".into(),
            name: name.into(),
            kind: "r".into(),
            older,
            countable: true,
            bytes: 0,
        }
    }

    #[test]
    fn only_what_was_there_before_the_backup_can_be_missing() {
        let live: Relations =
            [(1, relation("a", true)), (2, relation("b", false)), (3, relation("c", true))].into();
        let restored: Relations = [(1, relation("a", true)), (4, relation("dropped since", true))].into();
        assert_eq!(find_missing(&live, &restored), [3]);
        let renamed: Relations = [(1, relation("x", true)), (3, relation("c", true))].into();
        assert_eq!(find_missing(&live, &renamed), [1]);
        assert_eq!(describe("app", &live[&3]), "table public.c of database app");
    }

    /// The same arithmetic as the SQL's.
    #[test]
    fn transactions_go_round() {
        let says = |xid: i64, below: i64| (xid - below + 6_442_450_944) % 4_294_967_296 - 2_147_483_648 < 0;
        assert!(says(700, 724) && !says(724, 724) && !says(800, 724));
        assert!(says(4_294_967_290, 5) && !says(5, 4_294_967_290));
        assert!(older_than("xmin", 1 << 32 | 724).contains("- 724 +"));
    }
}
