//! The type of a column that the run makes: one that holds every value that was seen, exactly. Pure.

use crate::census::paths::{PathNode, PathTree};
use crate::census::stats::PathStats;

/// The type for a path's values.
pub(crate) fn infer_type(tree: &PathTree, node: &PathNode) -> String {
    let stats = &node.stats;
    let kinds: Vec<&str> = stats.kinds().iter().map(|(kind, _)| *kind).collect();
    match kinds.as_slice() {
        [] | ["string"] => infer_text(stats).into(),
        ["boolean"] => "boolean".into(),
        ["integer"] if stats.huge == 0 => "bigint".into(),
        // Not double precision: JSON's numbers are decimals, and most fractions of ten have no double (RFC 8259,
        // section 6).
        ["integer"] | ["fraction"] | ["integer", "fraction"] => "numeric".into(),
        ["list"] => infer_list(tree, node),
        _ => "jsonb".into(),
    }
}

/// Digits stay text: postal codes and telephone numbers begin with zeros. So do UUIDs in another form than
/// PostgreSQL's: an MD5 digest is 32 hexadecimal digits too, and would come back with hyphens.
fn infer_text(stats: &PathStats) -> &'static str {
    let filled = stats.strings;
    match filled {
        0 => "text",
        n if stats.uuids == n => "uuid",
        n if stats.days == n => "date",
        n if stats.times() == n => "timestamptz",
        _ => "text",
    }
}

fn infer_list(tree: &PathTree, node: &PathNode) -> String {
    let Some(items) = node.items.map(|at| &tree.nodes[at]).filter(|_| node.stats.mixed_lists == 0) else {
        return "jsonb".into();
    };
    let kinds: Vec<&str> = items.stats.kinds().iter().map(|(kind, _)| *kind).collect();
    match kinds.as_slice() {
        ["string"] => "text[]",
        ["boolean"] => "boolean[]",
        ["integer"] if items.stats.huge == 0 => "bigint[]",
        ["integer"] | ["fraction"] | ["integer", "fraction"] => "numeric[]",
        _ => "jsonb",
    }
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::Parser;

    #[test]
    fn every_value_fits_its_type() {
        let cases: [(&[&str], &str); 22] = [
            (&["1", "2"], "bigint"),
            (&["1", "2.5"], "numeric"),
            (&["1.0", "1E5"], "bigint"),
            (&["18446744073709551616"], "numeric"),
            (&["true", "false", "null"], "boolean"),
            (&["true", "1"], "jsonb"),
            (&["\"01234\"", "\"99\""], "text"),
            (&["\"2024-06-23\""], "date"),
            (&["\"2024-06-23\"", "\"2024-06-23T10:00:00\""], "timestamptz"),
            (&["\"2024-06-23\"", "\"\""], "text"),
            (&["\"2024/06/23\""], "text"),
            (&["\"00112233-4455-6677-8899-aabbccddeeff\""], "uuid"),
            (&["\"d41d8cd98f00b204e9800998ecf8427e\""], "text"),
            (&["\"00112233-4455-6677-8899-AABBCCDDEEFF\""], "text"),
            (
                &["\"00112233-4455-6677-8899-aabbccddeeff\"", "\"{00112233-4455-6677-8899-aabbccddeeff}\""],
                "text",
            ),
            (&["[\"a\"]", "[]"], "text[]"),
            (&["[\"a\",null]"], "jsonb"),
            (&["[1,2]"], "bigint[]"),
            (&["[1,\"a\"]"], "jsonb"),
            (&["[{\"a\":1}]"], "jsonb"),
            (&["{}"], "jsonb"),
            (&["null"], "text"),
        ];
        for (values, expected) in cases {
            let mut tree = PathTree::new();
            for (number, value) in (1..).zip(values) {
                let text = format!("{{\"x\":{value}}}");
                tree.count_record(Parser::default().parse_text(text.as_bytes()).expect("JSON"), number);
            }
            assert_eq!(infer_type(&tree, tree.find_path("x").expect("x")), expected, "{values:?}");
        }
    }
}
