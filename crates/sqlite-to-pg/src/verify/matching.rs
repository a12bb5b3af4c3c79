//! Which table and column of the target is which of the source: by the plan, or by name.

use super::expressions::{self, SourceCheck, WantedExpression};
use super::pair::{ColumnBounds, Element, Form, PairColumn, Rule, TablePair, find_name};
use super::record::{Difference, DifferenceKind};
use super::{source, target};
use crate::model::{self, Action, Mode, ObjectKind, Outcome, Plan, Policy};
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

/// Keys and constraints of one table, by the target's names.
#[derive(Clone, Debug, Default)]
pub(crate) struct ExpectedObjects {
    /// The table's number in the target's catalogue.
    pub(crate) oid: u32,
    pub(crate) primary_key: Vec<String>,
    pub(crate) uniques: Vec<Vec<String>>,
    pub(crate) foreign_keys: Vec<WantedForeignKey>,
    pub(crate) not_null: Vec<String>,
    /// Those of them that the target lets be NULL.
    pub(crate) nullable: Vec<String>,
    /// The column that numbers the rows.
    pub(crate) identity: Option<target::TargetColumn>,
    /// The greatest number that was ever given.
    pub(crate) used: Option<i64>,
    pub(crate) checks: Vec<WantedExpression>,
    pub(crate) indexes: Vec<WantedExpression>,
    /// How many columns must have a default, and those that have none.
    pub(crate) defaults: usize,
    pub(crate) no_default: Vec<String>,
    /// The target's schema is the application's own: what it lacks is not counted.
    pub(crate) foreign: bool,
}

/// A foreign key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct WantedForeignKey {
    pub(crate) columns: Vec<String>,
    pub(crate) parent: String,
    pub(crate) parent_columns: Vec<String>,
    /// The parent and its columns in the source.
    pub(crate) source: (String, Vec<String>),
    /// ON DELETE and ON UPDATE, in lower case.
    pub(crate) actions: [String; 2],
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
    Some(WantedExpression { columns: target_names(&own, columns)?.into_iter().collect(), ..wanted.clone() })
}

/// Of these columns those whose counterpart has no default.
fn no_default(names: &[String], columns: &[PairColumn], target: &target::TargetTable) -> Vec<String> {
    let lacks = |name: &&String| {
        let own = columns.iter().find(|c| c.source == **name).map(|c| &c.target);
        own.is_some_and(|own| target.columns.iter().any(|c| c.name == *own && !c.has_default))
    };
    names.iter().filter(lacks).cloned().collect()
}

fn nullable_columns(columns: &[String], target: &target::TargetTable) -> Vec<String> {
    let lax = |name: &&String| target.columns.iter().any(|c| c.name == **name && !c.bounds.not_null);
    columns.iter().filter(lax).cloned().collect()
}

/// The target's names of source columns; None when one is not there.
pub(super) fn target_names(names: &[String], columns: &[PairColumn]) -> Option<Vec<String>> {
    let one =
        |n: &String| columns.iter().find(|c| c.source.eq_ignore_ascii_case(n)).map(|c| c.target.clone());
    names.iter().map(one).collect()
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

/// The columns of an index of all rows that has no expression.
fn plain_columns(index: &model::Index) -> Option<expressions::Columns> {
    let name = |part: &model::IndexPart| {
        let inner = part.sql.strip_prefix('"')?.strip_suffix('"')?;
        Some(inner.replace("\"\"", "\""))
    };
    index.parts.iter().map(name).collect::<Option<_>>().filter(|_| index.predicate.is_none())
}

/// The parent of a key in the source, and its columns there.
fn parent_in_source(plan: &Plan, key: &model::ForeignKey) -> (String, Vec<String>) {
    let Some(parent) = plan.tables.iter().find(|t| t.target == key.parent) else { return Default::default() };
    let own = |name: &String| parent.columns.iter().find(|c| c.target == *name).map(|c| c.source.clone());
    (parent.source.clone(), key.parent_columns.iter().filter_map(own).collect())
}

fn planned_objects(plan: &Plan, table: &model::Table, target: &target::TargetTable) -> ExpectedObjects {
    let identity = table.columns.iter().find(|c| c.identity).map(|c| &c.target);
    let of_key = |key: &model::ForeignKey| WantedForeignKey {
        columns: key.columns.clone(),
        parent: key.parent.clone(),
        parent_columns: key.parent_columns.clone(),
        source: parent_in_source(plan, key),
        actions: [key.on_delete.clone(), key.on_update.clone()],
    };
    let not_null: Vec<String> =
        table.columns.iter().filter(|c| c.not_null).map(|c| c.target.clone()).collect();
    let made = |kind: ObjectKind, name: &str| {
        let gone = |o: &model::Object| o.kind == kind && o.name == name && o.outcome == Outcome::Skipped;
        !plan.objects.iter().any(gone)
    };
    // A key that the server refused was told.
    let lost = |kind: ObjectKind| {
        let own = format!("{}.", table.source);
        plan.objects
            .iter()
            .any(|o| o.kind == kind && o.outcome == Outcome::Skipped && o.name.starts_with(&own))
    };
    let kept = |kind: ObjectKind, name: &str| made(kind, &format!("{}.{name}", table.source));
    let uniques = table.uniques.iter().filter(|u| kept(ObjectKind::Unique, &u.name));
    let foreign_keys = table.foreign_keys.iter().filter(|k| kept(ObjectKind::ForeignKey, &k.name));
    let exact = |name: &str| WantedExpression {
        name: name.into(),
        exact: Some(name.into()),
        ..WantedExpression::default()
    };
    let whole = |i: &model::Index| WantedExpression {
        unique: i.unique,
        partial: i.predicate.is_some(),
        columns: plain_columns(i).unwrap_or_default(),
        ..exact(&i.target)
    };
    let checks =
        table.checks.iter().filter(|c| made(ObjectKind::Check, &format!("{}.{}", table.source, c.name)));
    let indexes = table.indexes.iter().filter(|i| {
        made(ObjectKind::Index, if i.source.is_empty() { "" } else { &i.source })
            && made(ObjectKind::Index, &format!("{}.{}", table.source, i.target))
    });
    let defaults: Vec<&model::Column> = table
        .columns
        .iter()
        .filter(|c| {
            c.default.is_some() && made(ObjectKind::Default, &format!("{}.{}", table.source, c.source))
        })
        .collect();
    let bare = |c: &&&model::Column| target.columns.iter().any(|t| t.name == c.target && !t.has_default);
    ExpectedObjects {
        oid: target.oid,
        checks: checks.map(|c| exact(&c.name)).collect(),
        indexes: indexes.map(whole).collect(),
        defaults: defaults.len(),
        no_default: defaults.iter().filter(bare).map(|c| c.source.clone()).collect(),
        primary_key: if lost(ObjectKind::PrimaryKey) { Vec::new() } else { table.primary_key.clone() },
        uniques: uniques.map(|u| u.columns.clone()).collect(),
        foreign_keys: foreign_keys.map(of_key).collect(),
        nullable: nullable_columns(&not_null, target),
        not_null,
        identity: identity.and_then(|n| target.columns.iter().find(|c| c.name == *n)).cloned(),
        used: table.sequence,
        foreign: plan.mode == Mode::Existing,
    }
}
