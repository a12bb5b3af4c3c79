//! A file's plan where the application made its table: names lead to columns, and what they leave open is asked.

use super::new_tables::describe_path;
use crate::census::paths::PathNode;
use crate::census::scan::Census;
use crate::load::order::TableReference;
use crate::model::compiled::split_table;
use crate::model::{FilePlan, KnownTables, OpenQuestion, PathPlan, QuestionKind};
use crate::source::folder::stem_of;
use crate::source::records::KEY;
use migrate::catalog::{ExistingColumn, ExistingTable, find_matching};
use toban_core::{Error, Result};

/// What the target has.
pub(crate) struct TargetFacts<'a> {
    pub(crate) known: &'a KnownTables,
    pub(crate) references: &'a [TableReference],
}

/// Tables whose names mean the file.
fn find_tables<'k>(known: &'k KnownTables, stem: &str) -> Vec<&'k str> {
    let plain = |n: &str| n.chars().filter(|c| *c != '_').flat_map(char::to_lowercase).collect::<String>();
    let names = |short: &str| [plain(short), plain(short).trim_end_matches('s').to_string()];
    let wanted = names(stem);
    let fits = |name: &&str| names(split_table(name).1).iter().any(|n| wanted.contains(n) && !n.is_empty());
    known.keys().map(String::as_str).filter(fits).collect()
}

/// The fate of every path of a file, for tables that are there; the questions that are left.
///
/// # Errors
/// Usage for a rule that names a table which is not there.
pub(crate) fn plan_existing(
    census: &Census,
    mut file: FilePlan,
    facts: &TargetFacts<'_>,
    rules: &[String],
) -> Result<(FilePlan, Vec<OpenQuestion>)> {
    let ruled = rules.iter().filter_map(|r| r.split_once('=')).find(|(name, _)| *name == census.name);
    let name = match ruled {
        Some((_, table)) if facts.known.contains_key(table) => table.to_string(),
        Some((_, table)) => {
            return Err(Error::usage(format!("--table {}={table}: there is no such table", census.name))
                .hint("name it with its schema: --table users.json=auth.users"));
        }
        None => match find_tables(facts.known, stem_of(&census.name)).as_slice() {
            [one] => (*one).to_string(),
            several => {
                let question = ask_table(census, several);
                file.paths = census.tree.members().map(|node| describe_path(census, node)).collect();
                return Ok((file, vec![question]));
            }
        },
    };
    let Some(table) = facts.known.get(&name) else { return Err(Error::failed(format!("no table {name}"))) };
    file.table = name;
    let mut planner = ExistingPlanner { census, facts, table, file, questions: Vec::new() };
    planner.plan_paths();
    planner.ask_values();
    Ok((planner.file, planner.questions))
}

fn ask_table(census: &Census, candidates: &[&str]) -> OpenQuestion {
    let (ask, mut choices) = match candidates {
        [] => (format!("no table is called like the file ({} records)", census.records), Vec::new()),
        several => (
            "several tables are called like the file".to_string(),
            several.iter().map(|t| format!("plan again with --table {}={t}", census.name)).collect(),
        ),
    };
    choices.push("drop: REASON".into());
    if candidates.is_empty() {
        choices.push(format!("plan again with --table {}=SCHEMA.TABLE", census.name));
        choices.push("plan again without --for: the run makes the tables".into());
    }
    OpenQuestion {
        kind: QuestionKind::Table,
        file: census.name.clone(),
        ask,
        choices,
        ..OpenQuestion::default()
    }
}

struct ExistingPlanner<'a> {
    census: &'a Census,
    facts: &'a TargetFacts<'a>,
    table: &'a ExistingTable,
    file: FilePlan,
    questions: Vec<OpenQuestion>,
}

impl ExistingPlanner<'_> {
    fn plan_paths(&mut self) {
        let census = self.census;
        for node in census.tree.members() {
            let mut plan = describe_path(census, node);
            let free: Vec<&ExistingColumn> = self
                .table
                .columns
                .iter()
                .filter(|c| c.generated.is_none() && !self.file.paths.iter().any(|p| p.column == c.name))
                .collect();
            // What a record is found by in its file is the key of its row, unless a member of the record is.
            let own = match (node.name.as_str(), self.table.key.as_slice()) {
                (KEY, [key]) if !census.tree.members().any(|m| is_named_like(&m.name, key)) => key.as_str(),
                (name, _) => name,
            };
            match find_matching(&free, |c| c.name.as_str(), own) {
                Some(column) => {
                    plan.column.clone_from(&column.name);
                    plan.pg_type.clone_from(&column.pg_type);
                }
                None => self.ask_path(node, &mut plan),
            }
            self.file.paths.push(plan);
        }
        let filled = |column: &String| self.file.paths.iter().any(|p| p.column == *column);
        // A key that no path fills is numbered by the server, or asked for.
        let numbered =
            |column: &String| self.table.columns.iter().any(|c| c.name == *column && c.fills_itself);
        if self.table.key.iter().all(|k| filled(k) || !numbered(k)) {
            self.file.key.clone_from(&self.table.key);
        }
    }

    /// A path without a column: a link where there is a table for it, else a question.
    fn ask_path(&mut self, node: &PathNode, plan: &mut PathPlan) {
        let kinds: Vec<String> = node.stats.kinds().iter().map(|(kind, n)| format!("{n} {kind}")).collect();
        let found = if kinds.is_empty() { "only null".to_string() } else { kinds.join(", ") };
        let mut question = OpenQuestion {
            kind: QuestionKind::Path,
            file: self.census.name.clone(),
            about: node.path.clone(),
            ask: format!("{} has no column of this name ({found})", self.file.table),
            choices: vec![
                "drop: REASON".into(),
                "column: NAME".into(),
                "lookup: COLUMN SCHEMA.TABLE.COLUMN".into(),
            ],
            answer: String::new(),
        };
        if let Some(link) = self.propose_link(node) {
            question.kind = QuestionKind::Link;
            question.ask = format!("{found}: rows of {} by {}?", link.link, link.lookup);
            question.choices = vec!["link".into(), "drop: REASON".into()];
            (plan.link, plan.own, plan.other, plan.lookup) = (link.link, link.own, link.other, link.lookup);
        } else if let Some(other) = self.find_complement(node) {
            question.ask = format!(
                "{}; it and {other} together have a value for each record: two generations?",
                question.ask
            );
            question.choices.insert(0, format!("column: {other}"));
        }
        self.questions.push(question);
    }

    /// A link table between this table and one that is called like the path, for a list of texts.
    fn propose_link(&self, node: &PathNode) -> Option<PathPlan> {
        let items = &self.census.tree.nodes[node.items?].stats;
        if items.strings + items.integers != items.present {
            return None;
        }
        let mine = |r: &&TableReference| r.to == self.file.table && r.columns.len() == 1;
        self.facts.references.iter().filter(mine).find_map(|own| {
            let other = self.facts.references.iter().find(|r| {
                r.from == own.from
                    && r.name != own.name
                    && r.columns.len() == 1
                    && is_called_like(&r.to, &node.name)
            })?;
            let named = self.facts.known.get(&other.to)?;
            let is_name = |c: &&ExistingColumn| {
                let words = ["name", "code", "slug", "key", "title"];
                words.contains(&c.name.as_str()) && c.pg_type.starts_with(['c', 't', 'v'])
            };
            let name = match items.strings {
                0 => named.key.first()?,
                _ => &named.columns.iter().find(is_name)?.name,
            };
            Some(PathPlan {
                link: own.from.clone(),
                own: own.columns[0].clone(),
                other: other.columns[0].clone(),
                lookup: format!("{}.{name}", other.to),
                ..PathPlan::default()
            })
        })
    }

    /// A member with a column that is there exactly where this one is not.
    fn find_complement(&self, node: &PathNode) -> Option<String> {
        let filled = |n: &PathNode| n.stats.present - n.stats.nulls;
        let fits = |other: &&PathNode| {
            other.name != node.name
                && filled(other) + filled(node) == self.census.records
                && filled(node) > 0
                && filled(other) > 0
                && (other.stats.times() > 0) == (node.stats.times() > 0)
        };
        let free: Vec<&ExistingColumn> =
            self.table.columns.iter().filter(|c| c.generated.is_none()).collect();
        let other = self.census.tree.members().find(fits)?;
        find_matching(&free, |c| c.name.as_str(), &other.name).map(|c| c.name.clone())
    }

    /// Columns that no path fills and the server has no default for: what the application fills in itself.
    fn ask_values(&mut self) {
        for column in self.table.columns.iter().filter(|c| !c.fills_itself && c.generated.is_none()) {
            if self.file.paths.iter().any(|p| p.column == column.name) {
                continue;
            }
            let (why, choices): (&str, Vec<String>) = match (column.not_null, column.pg_type.as_str()) {
                (true, _) => (
                    "is NOT NULL, has no default, and no path fills it",
                    vec![
                        "value: VALUE".into(),
                        "from: PATH".into(),
                        "from: PATH lookup SCHEMA.TABLE.COLUMN".into(),
                    ],
                ),
                (false, "boolean") => (
                    "has no default in the database, and no path fills it: the application's own default?",
                    vec!["true".into(), "false".into(), "null".into()],
                ),
                (false, _) => (
                    "has no default in the database, and no path fills it: the application's own default?",
                    vec!["null".into(), "value: VALUE".into(), "from: PATH".into()],
                ),
            };
            self.questions.push(OpenQuestion {
                kind: QuestionKind::Value,
                file: self.census.name.clone(),
                about: column.name.clone(),
                ask: format!("{} {why}", column.pg_type),
                choices,
                answer: String::new(),
            });
        }
    }
}

/// Whether a path of this name would get the column.
fn is_named_like(name: &str, column: &str) -> bool {
    find_matching(&[column], |c| *c, name).is_some()
}

fn is_called_like(table: &str, path: &str) -> bool {
    let (_, short) = split_table(table);
    let plain = |n: &str| n.to_ascii_lowercase().trim_end_matches('s').to_string();
    plain(short) == plain(path)
}
