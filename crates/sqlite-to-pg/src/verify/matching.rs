//! Which table and column of the target is which of the source: by the plan, or by name.

use super::expected::{
    ExpectedObjects, WantedExpression, WantedForeignKey, nullable_columns, planned_objects,
};
use super::objects::expressions::SourceCheck;
use super::pair::{
    ColumnBounds, Element, Form, PairColumn, PairOrphans, Rule, TablePair, find_name, target_names,
};
use super::record::{Difference, DifferenceKind};
use super::{source, target};
use crate::model::{self, Action, Mode, Outcome, Plan, Policy};
use crate::source::orphans::orphan_sql;
use rusqlite::Connection;

/// What is compared, and what cannot be.
#[derive(Debug, Default)]
pub(crate) struct Matched {
    pub(crate) pairs: Vec<TablePair>,
    /// What the target must have beside rows; one for each pair.
    pub(crate) expected: Vec<ExpectedObjects>,
    /// Tables and columns that the target lacks.
    pub(crate) gaps: Vec<Difference>,
    /// Views that the target lacks.
    pub(crate) views: Vec<Difference>,
    /// Tables without rows of their own, or left out by the plan: name and reason.
    pub(crate) skipped: Vec<(String, String)>,
    /// Tables whose rows only the application can read: what is there of them is not known.
    pub(crate) unread: Vec<Difference>,
}

impl Matched {
    /// The views that the copy must have: those of the plan, or all that SQLite can run.
    pub(crate) fn wanted_views(&self, plan: Option<&Plan>, source: &source::Schema) -> Vec<String> {
        let Some(plan) = plan else { return source.views.clone() };
        let made = |o: &&model::Object| o.is_made_view() && plan.mode == Mode::Create;
        plan.objects.iter().filter(made).map(model::Object::view_name).collect()
    }

    fn add_planned(
        &mut self,
        plan: &Plan,
        table: &model::Table,
        target: &target::TargetTable,
        own: Option<&source::SourceTable>,
    ) {
        let mut columns = Vec::new();
        for column in &table.columns {
            match target.columns.iter().find(|c| c.name == column.target) {
                Some(c) => columns.push(PairColumn {
                    source: column.source.clone(),
                    target: c.name.clone(),
                    form: match (column.conversion, c.form) {
                        // Prepared as a text, until the application's table says what the elements are.
                        (model::Conversion::Array, Form::Text) => Form::Array(Element::Text),
                        (_, form) => form,
                    },
                    rule: Rule::Plan(column.conversion),
                    policy: column.policy,
                    bounds: c.bounds,
                }),
                None => self.gaps.push(missing_in_target(&table.source, &column.source)),
            }
        }
        self.expected.push(planned_objects(plan, table, target));
        let mut pair = new_pair(&table.source, &plan.schema, target, columns);
        pair.rowid.clone_from(&table.rowid);
        (pair.action, pair.accepts) = (table.action, table.accept_rejects);
        let orphans = table
            .orphans
            .iter()
            .enumerate()
            .map(|(at, rule)| PairOrphans { sql: orphan_sql(table, at), nulled: rule.nulled.clone() });
        pair.orphans = orphans.collect();
        order_key_first(&mut pair, &table.key);
        let by_rowid = own.is_some_and(|t| t.numbered && t.key == table.key);
        pair.numbered = by_rowid && pair.key == 1 && pair.columns[0].form.is_integer();
        self.pairs.push(pair);
    }
}

/// Matches by name. `reader` is asked what a check says of a value.
pub(crate) fn match_by_name(
    reader: &Connection,
    source: &source::Schema,
    targets: &[target::TargetTable],
    schema: &str,
) -> Matched {
    let unread = |name: &String| {
        Difference::of_table(name, DifferenceKind::LeftOut, "virtual table")
            .between("a virtual table", "its rows only the application can read: not compared")
    };
    let mut matched = Matched { unread: source.unread.iter().map(unread).collect(), ..Matched::default() };
    let names: Vec<&str> = targets.iter().map(|t| t.name.as_str()).collect();
    matched.skipped = source.others.clone();
    for table in &source.tables {
        let found = find_name(&table.name, &names).and_then(|name| targets.iter().find(|t| t.name == name));
        match found {
            Some(target) => {
                let named = NameMatcher { reader, schema, source, targets, names: &names };
                named.match_table(table, target, &mut matched);
            }
            None => matched.gaps.push(missing_in_target(&table.name, "")),
        }
    }
    matched
}

fn missing_in_target(table: &str, column: &str) -> Difference {
    Difference::of_table(table, DifferenceKind::Missing, column)
}

/// What matching by name looks at.
struct NameMatcher<'a> {
    reader: &'a Connection,
    schema: &'a str,
    source: &'a source::Schema,
    targets: &'a [target::TargetTable],
    names: &'a [&'a str],
}

impl NameMatcher<'_> {
    fn match_table(&self, table: &source::SourceTable, target: &target::TargetTable, matched: &mut Matched) {
        let names: Vec<&str> = target.columns.iter().map(|c| c.name.as_str()).collect();
        let mut columns = Vec::new();
        for name in &table.columns {
            let found = find_name(name, &names).and_then(|n| target.columns.iter().find(|c| c.name == n));
            match found {
                Some(c) => columns.push(PairColumn {
                    source: name.clone(),
                    target: c.name.clone(),
                    form: c.form,
                    rule: Rule::Auto,
                    policy: Policy::Stop,
                    bounds: ColumnBounds::default(),
                }),
                None => matched.gaps.push(missing_in_target(&table.name, name)),
            }
        }
        // Not one of its columns is there: nothing can be compared.
        if columns.is_empty() {
            return;
        }
        matched.expected.push(self.expected_objects(table, target, &columns));
        // Any unique key will do to tell rows apart, where the primary key has no counterpart.
        let keys = std::iter::once(&table.key).chain(&table.uniques);
        let key = keys.filter(|k| !k.is_empty()).find_map(|k| target_names(k, &columns).map(|_| k.clone()));
        let mut pair = new_pair(&table.name, self.schema, target, columns);
        pair.rowid.clone_from(&table.rowid);
        order_key_first(&mut pair, &key.unwrap_or_default());
        pair.numbered = table.numbered && pair.key == 1 && pair.columns[0].form.is_integer();
        matched.pairs.push(pair);
    }

    fn expected_objects(
        &self,
        table: &source::SourceTable,
        target: &target::TargetTable,
        columns: &[PairColumn],
    ) -> ExpectedObjects {
        let known = |keys: &[String]| target_names(keys, columns);
        let own = known(&table.key).unwrap_or_default();
        let numbering = own.first().filter(|_| table.numbered);
        let named = table.not_null.iter().filter_map(|c| known(std::slice::from_ref(c)));
        let not_null: Vec<String> = named.flatten().collect();
        let check =
            |text: &String| SourceCheck { reader: self.reader, text }.wanted(&table.columns, columns, target);
        ExpectedObjects {
            oid: target.oid,
            uniques: table.uniques.iter().filter_map(|u| known(u)).collect(),
            foreign_keys: table
                .foreign_keys
                .iter()
                .filter_map(|f| self.wanted_reference(f, columns))
                .collect(),
            nullable: nullable_columns(&not_null, target),
            not_null,
            identity: numbering.and_then(|n| target.columns.iter().find(|c| c.name == *n)).cloned(),
            used: table.sequence,
            primary_key: own,
            checks: table.checks.iter().filter_map(check).collect(),
            indexes: table.indexes.iter().filter_map(|i| wanted_index(i, columns)).collect(),
            defaults: table.defaults.len(),
            no_default: no_default(&table.defaults, columns, target),
            foreign: false,
        }
    }

    /// None for one that SQLite itself could not enforce: no such parent, or its columns are not unique.
    fn wanted_reference(
        &self,
        key: &source::SourceForeignKey,
        columns: &[PairColumn],
    ) -> Option<WantedForeignKey> {
        let parent = self.source.tables.iter().find(|t| t.name.eq_ignore_ascii_case(&key.parent))?;
        let wanted = if key.parent_columns.is_empty() { &parent.key } else { &key.parent_columns };
        let same = |a: &[String]| {
            a.len() == wanted.len() && a.iter().all(|c| wanted.iter().any(|w| w.eq_ignore_ascii_case(c)))
        };
        let unique = same(&parent.key) || parent.uniques.iter().any(|u| same(u));
        let name = find_name(&parent.name, self.names).filter(|_| unique && !wanted.is_empty())?;
        let target = self.targets.iter().find(|t| t.name == name)?;
        let names: Vec<&str> = target.columns.iter().map(|c| c.name.as_str()).collect();
        let parent_columns =
            wanted.iter().map(|c| find_name(c, &names).map(String::from)).collect::<Option<_>>()?;
        let source = (parent.name.clone(), wanted.clone());
        Some(WantedForeignKey {
            columns: target_names(&key.columns, columns)?,
            parent: name.into(),
            parent_columns,
            source,
            actions: key.actions.clone(),
        })
    }
}

fn wanted_index(wanted: &WantedExpression, columns: &[PairColumn]) -> Option<WantedExpression> {
    let own: Vec<String> = wanted.columns.iter().cloned().collect();
    let order = target_names(&wanted.order, columns)?;
    let columns = target_names(&own, columns)?.into_iter().collect();
    Some(WantedExpression { columns, order, ..wanted.clone() })
}

/// Of these columns those whose counterpart has no default.
fn no_default(names: &[String], columns: &[PairColumn], target: &target::TargetTable) -> Vec<String> {
    let lacks = |name: &&String| {
        let own = columns.iter().find(|c| c.source == **name).map(|c| &c.target);
        own.is_some_and(|own| target.columns.iter().any(|c| c.name == *own && !c.has_default))
    };
    names.iter().filter(lacks).cloned().collect()
}

fn new_pair(source: &str, schema: &str, target: &target::TargetTable, columns: Vec<PairColumn>) -> TablePair {
    TablePair {
        source: source.into(),
        schema: schema.into(),
        target: target.name.clone(),
        columns,
        key: 0,
        rowid: None,
        numbered: false,
        bounds: None,
        blocks: target.blocks,
        action: Action::Refuse,
        accepts: false,
        inherited: target.inherited,
        orphans: Vec::new(),
        filter: None,
    }
}

/// Puts the columns of the key first.
fn order_key_first(pair: &mut TablePair, key: &[String]) {
    let place =
        |c: &PairColumn| key.iter().position(|k| k.eq_ignore_ascii_case(&c.source)).unwrap_or(key.len());
    pair.columns.sort_by_key(place);
    pair.key = pair.columns.iter().filter(|c| place(c) < key.len()).count();
    if pair.key < key.len() {
        pair.key = 0;
    }
}

/// Matches as the plan says.
pub(crate) fn match_by_plan(
    plan: &Plan,
    source: &source::Schema,
    targets: &[target::TargetTable],
) -> Matched {
    let mut matched = Matched::default();
    for table in &plan.tables {
        match targets.iter().find(|t| t.name == table.target) {
            Some(target) => {
                let own = source.tables.iter().find(|t| t.name == table.source);
                matched.add_planned(plan, table, target, own);
            }
            None => matched.gaps.push(missing_in_target(&table.source, "")),
        }
    }
    let skipped = plan.objects.iter().filter(|o| o.kind.is_table() && o.outcome == Outcome::Skipped);
    matched.skipped = skipped.map(|o| (o.name.clone(), o.reason())).collect();
    for table in &source.tables {
        let known = plan.tables.iter().any(|t| t.source == table.name)
            || matched.skipped.iter().any(|(name, _)| *name == table.name);
        if !known {
            matched.skipped.push((table.name.clone(), "not in the plan".into()));
        }
    }
    matched
}
