//! The tree of paths: each member and each list's items by themselves, in the order in which they were first seen.

use super::secrets::is_password;
use super::stats::PathStats;
use crate::json::{Shape, Value};

/// Members of one object path; what has more is a map by keys, and moves whole.
const MOST_MEMBERS: usize = 400;

/// One path.
#[derive(Clone, Debug, Default)]
pub(crate) struct PathNode {
    /// From the record: `address.city`, `comments[].text`; a point in a name stands behind a backslash.
    pub(crate) path: String,
    /// The member's own name; `[]` for a list's items.
    pub(crate) name: String,
    pub(crate) stats: PathStats,
    pub(crate) members: Vec<usize>,
    pub(crate) items: Option<usize>,
    /// More members than a table has columns.
    pub(crate) is_map: bool,
    depth: usize,
}

/// All paths of a file's records; the first one is the record itself.
#[derive(Clone, Debug)]
pub(crate) struct PathTree {
    pub(crate) nodes: Vec<PathNode>,
}

impl PathTree {
    pub(crate) fn new() -> PathTree {
        PathTree { nodes: vec![PathNode::default()] }
    }

    /// Counts a record with all that is inside of it.
    pub(crate) fn count_record(&mut self, record: Value<'_>, number: u64) {
        self.count_value(0, record, number);
    }

    fn count_value(&mut self, at: usize, value: Value<'_>, number: u64) {
        let keeps = self.nodes[at].depth <= 1;
        self.nodes[at].stats.count_value(value, keeps);
        match value.shape() {
            Shape::Object => self.count_members(at, value, number),
            Shape::Array => self.count_items(at, value, number),
            _ => {}
        }
    }

    fn count_members(&mut self, at: usize, value: Value<'_>, number: u64) {
        for (place, (key, member)) in value.members().enumerate() {
            if self.nodes[at].is_map {
                return;
            }
            let Some(child) = self.find_member(at, key, place) else { return };
            let stats = &mut self.nodes[child].stats;
            if stats.present == 0 {
                stats.first_record = number;
            }
            self.count_value(child, member, number);
            let node = &mut self.nodes[child];
            if node.depth == 1 && is_password(&node.name) {
                node.stats.count_scheme(member);
            }
        }
    }

    fn count_items(&mut self, at: usize, value: Value<'_>, number: u64) {
        let mut shapes = [false; 4];
        for item in value.items() {
            let child = match self.nodes[at].items {
                Some(child) => child,
                None => {
                    let child = self.add_node(at, "[]", format!("{}[]", self.nodes[at].path));
                    self.nodes[at].items = Some(child);
                    self.nodes[child].stats.first_record = number;
                    child
                }
            };
            shapes[match item.shape() {
                Shape::Null | Shape::Array => 0,
                Shape::True | Shape::False => 1,
                Shape::Number => 2,
                Shape::String | Shape::Object => 3,
            }] = true;
            self.count_value(child, item, number);
        }
        let mixed = shapes[0] || shapes.iter().filter(|s| **s).count() > 1;
        self.nodes[at].stats.mixed_lists += u64::from(mixed);
    }

    /// The member of this key, made when it is new. Members mostly come in the order of the first record.
    fn find_member(&mut self, at: usize, key: Value<'_>, place: usize) -> Option<usize> {
        let guess = self.nodes[at].members.get(place).copied();
        if let Some(child) = guess.filter(|c| key.is_named(&self.nodes[*c].name)) {
            return Some(child);
        }
        let found = self.nodes[at].members.iter().copied().find(|c| key.is_named(&self.nodes[*c].name));
        if found.is_some() {
            return found;
        }
        if self.nodes[at].members.len() >= MOST_MEMBERS && at > 0 {
            self.nodes[at].is_map = true;
            return None;
        }
        let name = key.nearest_text().into_owned();
        let path = join_path(&self.nodes[at].path, &name);
        let child = self.add_node(at, &name, path);
        self.nodes[at].members.push(child);
        Some(child)
    }

    fn add_node(&mut self, parent: usize, name: &str, path: String) -> usize {
        let depth = self.nodes[parent].depth + 1;
        self.nodes.push(PathNode { path, name: name.into(), depth, ..PathNode::default() });
        self.nodes.len() - 1
    }

    /// The members of the record itself.
    pub(crate) fn members(&self) -> impl Iterator<Item = &PathNode> {
        self.nodes[0].members.iter().map(|at| &self.nodes[*at])
    }

    /// The node of a path.
    pub(crate) fn find_path(&self, path: &str) -> Option<&PathNode> {
        self.nodes.iter().skip(1).find(|node| node.path == path)
    }

    /// Names of members below a path, in the order of their first sight, each from that path: what jsonb does not keep.
    pub(crate) fn inner_names(&self, node: &PathNode) -> Vec<String> {
        let mut names = Vec::new();
        let mut waiting: Vec<&PathNode> = vec![node];
        while let Some(node) = waiting.pop() {
            names.extend(node.members.iter().map(|at| self.nodes[*at].name.clone()));
            waiting.extend(node.members.iter().chain(&node.items).rev().map(|at| &self.nodes[*at]));
        }
        let mut seen = std::collections::HashSet::new();
        names.retain(|name| seen.insert(name.clone()));
        names
    }
}

/// The path of a member.
pub(crate) fn join_path(parent: &str, name: &str) -> String {
    let mut path = parent.to_string();
    if !path.is_empty() {
        path.push('.');
    }
    for c in name.chars() {
        if matches!(c, '.' | '\\' | '[') {
            path.push('\\');
        }
        path.push(c);
    }
    path
}

/// The names along a path without lists: `address.city` gives both.
pub(crate) fn split_path(path: &str) -> Vec<String> {
    let (mut names, mut name) = (Vec::new(), String::new());
    let mut chars = path.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => name.extend(chars.next()),
            '.' => names.push(std::mem::take(&mut name)),
            _ => name.push(c),
        }
    }
    names.push(name);
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::Parser;

    fn tree(records: &[&str]) -> PathTree {
        let mut tree = PathTree::new();
        for (number, text) in (1..).zip(records) {
            tree.count_record(Parser::default().parse_text(text.as_bytes()).expect("JSON"), number);
        }
        tree
    }

    #[test]
    fn every_path_of_every_record_with_its_counts() {
        let tree = tree(&[
            r#"{"id":1,"tags":["a",null],"address":{"city":"x","a.b":1}}"#,
            r#"{"id":2.5,"steps":[{"text":"t","done":true}],"late":"2026-01-05"}"#,
        ]);
        let paths: Vec<&str> = tree.nodes.iter().map(|n| n.path.as_str()).collect();
        let expected = [
            "",
            "id",
            "tags",
            "tags[]",
            "address",
            "address.city",
            "address.a\\.b",
            "steps",
            "steps[]",
            "steps[].text",
            "steps[].done",
            "late",
        ];
        assert_eq!(paths, expected);
        let stats = |path: &str| &tree.find_path(path).expect(path).stats;
        assert_eq!((stats("id").integers, stats("id").fractions), (1, 1));
        assert_eq!((stats("tags").mixed_lists, stats("late").days, stats("late").first_record), (1, 1, 2));
        assert_eq!(tree.inner_names(tree.find_path("steps").expect("steps")), ["text", "done"]);
        assert_eq!(split_path("address.a\\.b"), ["address", "a.b"]);
    }

    #[test]
    fn a_map_by_keys_does_not_grow_without_end() {
        let many: Vec<String> = (0..1000).map(|n| format!("\"k{n}\":1")).collect();
        let tree = tree(&[&format!("{{\"scores\":{{{}}}}}", many.join(","))]);
        assert!(tree.find_path("scores").is_some_and(|n| n.is_map) && tree.nodes.len() < 410);
    }
}
