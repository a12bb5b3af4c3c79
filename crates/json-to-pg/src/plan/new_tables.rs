//! A file's plan where the run makes its table.

use super::infer::infer_type;
use crate::census::identity::NAMES;
use crate::census::paths::{PathNode, PathTree};
use crate::census::scan::Census;
use crate::model::compiled::{join_table, split_table};
use crate::model::{FilePlan, PathPlan};
use crate::source::folder::stem_of;
use crate::source::records::KEY;
use migrate::names::{free_name, short_name, snake_case};
use std::collections::BTreeSet;
use toban_core::{Error, Result};

/// What the command line says of tables that are made.
#[derive(Clone, Debug)]
pub(crate) struct NewTableRules<'a> {
    pub(crate) schema: &'a str,
    pub(crate) snake_case: bool,
    pub(crate) keep_order: bool,
    /// `FILE:PATH`
    pub(crate) explode: &'a [String],
    pub(crate) split: &'a [String],
}

impl NewTableRules<'_> {
    fn has(list: &[String], file: &str, path: &str) -> bool {
        list.iter().any(|rule| rule.split_once(':') == Some((file, path)))
    }

    fn name_of(&self, name: &str) -> String {
        short_name(&if self.snake_case { snake_case(name) } else { name.to_string() })
    }
}

/// The fate of every path: columns of a new table, and tables below it.
///
/// # Errors
/// Usage for a rule that names a path which is no list or no object.
pub(crate) fn plan_new_table(
    census: &Census,
    mut file: FilePlan,
    rules: &NewTableRules<'_>,
) -> Result<FilePlan> {
    let table = rules.name_of(stem_of(&census.name));
    file.table = join_table(rules.schema, &table);
    file.create = true;
    for (flag, rule) in
        rules.explode.iter().map(|r| ("--explode", r)).chain(rules.split.iter().map(|r| ("--split", r)))
    {
        if let Some((name, path)) = rule.split_once(':')
            && name == census.name
            && census.tree.find_path(path).is_none()
        {
            return Err(Error::usage(format!("{flag} {rule}: {name} has no path {path}"))
                .hint("`json-to-pg plan` without it lists the paths"));
        }
    }
    let mut planner = NewTablePlanner { census, rules, paths: Vec::new(), taken: BTreeSet::new() };
    planner.plan_members(0, &file.table)?;
    file.paths = planner.paths;
    if census.identities.is_key() {
        let member = census.identities.member.unwrap_or(NAMES[0]);
        if let Some(path) = file.paths.iter_mut().find(|p| p.path == member && !p.column.is_empty()) {
            path.not_null = true;
            file.key = vec![path.column.clone()];
        }
    }
    if rules.keep_order {
        file.order = free_name("source_ord", &mut planner.taken);
    }
    Ok(file)
}

struct NewTablePlanner<'a> {
    census: &'a Census,
    rules: &'a NewTableRules<'a>,
    paths: Vec<PathPlan>,
    taken: BTreeSet<String>,
}

impl NewTablePlanner<'_> {
    fn tree(&self) -> &PathTree {
        &self.census.tree
    }

    /// The members of the node `at`, as columns of `table`.
    fn plan_members(&mut self, at: usize, table: &str) -> Result<()> {
        let members = self.tree().nodes[at].members.clone();
        members.into_iter().try_for_each(|member| self.plan_path(member, table))
    }

    fn plan_path(&mut self, at: usize, table: &str) -> Result<()> {
        let node = self.tree().nodes[at].clone();
        let file = &self.census.name;
        let wrong = |what: &str| {
            Err(Error::usage(format!("{file}:{} is {what}", node.path))
                .hint("its values are named in the plan: json-to-pg plan"))
        };
        let mut plan = describe_path(self.census, &node);
        if NewTableRules::has(self.rules.explode, file, &node.path) {
            let Some(items) =
                node.items.filter(|i| is_only(&self.tree().nodes[*i], "object") && is_only(&node, "list"))
            else {
                return wrong("no list of objects");
            };
            plan.explode = short_table(table, &self.rules.name_of(&node.name));
            let child = plan.explode.clone();
            self.paths.push(plan);
            let taken = std::mem::take(&mut self.taken);
            self.plan_members(items, &child)?;
            self.taken = taken;
            return Ok(());
        }
        if NewTableRules::has(self.rules.split, file, &node.path) {
            if !is_only(&node, "object") || node.is_map {
                return wrong("no object");
            }
            plan.split = true;
            self.paths.push(plan);
            return self.plan_members(at, table);
        }
        plan.pg_type = infer_type(self.tree(), &node);
        let name = match node.name.as_str() {
            KEY if self.tree().find_path("id").is_none() => "id".to_string(),
            KEY => "key".to_string(),
            _ => {
                let inner = node.path.rsplit("[].").next().unwrap_or(&node.path);
                self.rules.name_of(&inner.replace('.', "_").replace('\\', ""))
            }
        };
        plan.column = free_name(&name, &mut self.taken);
        self.paths.push(plan);
        Ok(())
    }
}

fn short_table(parent: &str, name: &str) -> String {
    let (schema, table) = split_table(parent);
    join_table(&schema, &short_name(&format!("{table}_{name}")))
}

/// Whether all values but null are of this kind.
fn is_only(node: &PathNode, kind: &str) -> bool {
    matches!(node.stats.kinds().as_slice(), [(only, _)] if *only == kind)
}

/// What is known of a path whatever its fate: forms, order of members, what was found.
pub(crate) fn describe_path(census: &Census, node: &PathNode) -> PathPlan {
    let above = match node.path.rfind("[].") {
        Some(at) => census.tree.find_path(&node.path[..at + 2]).map_or(0, |items| items.stats.objects),
        None => census.records,
    };
    let mut forms: Vec<(&String, &u64)> = node.stats.forms.iter().collect();
    forms.sort_by_key(|(_, n)| std::cmp::Reverse(**n));
    let times_only = node.stats.times() == node.stats.strings && node.stats.strings > 0;
    PathPlan {
        path: node.path.clone(),
        forms: if times_only {
            forms.into_iter().map(|(form, _)| form.clone()).collect()
        } else {
            Vec::new()
        },
        members: census.tree.inner_names(node),
        absent: node.stats.present < above && node.stats.nulls == 0,
        found: node.stats.classes(),
        ..PathPlan::default()
    }
}
