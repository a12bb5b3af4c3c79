//! The matrix of edge cases: every row has a test that carries its id in its name (`v9_to_v11_times`).

use std::collections::BTreeSet;

const TESTS: [&str; 8] = [
    include_str!("bad.rs"),
    include_str!("existing.rs"),
    include_str!("keys.rs"),
    include_str!("live.rs"),
    include_str!("objects.rs"),
    include_str!("odd.rs"),
    include_str!("rejects.rs"),
    include_str!("values.rs"),
];

/// Letter and last number of each part.
const ROWS: [(char, u32); 4] = [('v', 27), ('k', 19), ('d', 21), ('t', 7)];

#[test]
fn every_row_of_the_matrix_has_a_test() {
    let names = TESTS.iter().flat_map(|text| text.lines()).filter_map(|line| line.strip_prefix("fn "));
    let tested: BTreeSet<(char, u32)> = names.flat_map(ids).collect();
    let rows = ROWS.iter().flat_map(|(part, last)| (1..=*last).map(move |n| (*part, n)));
    let missing: Vec<String> =
        rows.filter(|id| !tested.contains(id)).map(|(c, n)| format!("{c}{n}")).collect();
    assert_eq!(missing, Vec::<String>::new());
}

/// The ids at the head of a test's name, ranges spelt out.
fn ids(name: &str) -> Vec<(char, u32)> {
    let mut found: Vec<(char, u32)> = Vec::new();
    let mut range = false;
    for word in name.split(|c: char| !c.is_alphanumeric()) {
        match (id(word), found.last().copied()) {
            (Some((c, n)), Some((_, from))) if range => found.extend((from + 1..=n).map(|n| (c, n))),
            (Some(id), _) => found.push(id),
            (None, _) if word == "to" || word == "and" => {}
            (None, _) => break,
        }
        range = word == "to";
    }
    found
}

fn id(word: &str) -> Option<(char, u32)> {
    let part = word.chars().next().filter(|c| ROWS.iter().any(|(part, _)| part == c))?;
    Some((part, word[1..].parse().ok()?))
}
