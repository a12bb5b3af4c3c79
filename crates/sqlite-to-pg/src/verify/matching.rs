//! Which table and column of the target is which of the source: by the plan, or by name.

use super::pair::{Bounds, Column, Pair, Rule, find};
use super::record::{Difference, Kind};
use super::{source, target};
use crate::plan::{self, Action, Fate, Mode, Plan, Policy};

/// What is compared, and what cannot be.
#[derive(Debug, Default)]
pub(crate) struct Matched {
    pub(crate) pairs: Vec<Pair>,
    /// What the target shall have beside rows; one for each pair.
    pub(crate) expected: Vec<Expected>,
    /// Tables and columns that the target lacks.
    pub(crate) gaps: Vec<Difference>,
    /// Tables without rows of their own, or left out by the plan: name and reason.
    pub(crate) skipped: Vec<(String, String)>,
}

/// Keys and constraints of one table, by the target's names.
#[derive(Clone, Debug, Default)]
pub(crate) struct Expected {
    /// The table's number in the target's catalogue.
    pub(crate) oid: u32,
    pub(crate) primary_key: Vec<String>,
    pub(crate) uniques: Vec<Vec<String>>,
    pub(crate) foreign_keys: Vec<Reference>,
    pub(crate) not_null: Vec<String>,
    /// Those of them that the target lets be NULL.
    pub(crate) nullable: Vec<String>,
    /// The column that numbers the rows.
    pub(crate) identity: Option<target::Column>,
    /// The greatest number that was ever given.
    pub(crate) used: Option<i64>,
    /// The target's schema is the application's own: what it lacks is its own affair.
    pub(crate) foreign: bool,
}

/// A foreign key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reference {
    pub(crate) columns: Vec<String>,
    pub(crate) parent: String,
    pub(crate) parent_columns: Vec<String>,
}

/// Matches by name.
pub(crate) fn by_name(source: &source::Schema, targets: &[target::Table], schema: &str) -> Matched {
    let mut matched = Matched::default();
    let names: Vec<&str> = targets.iter().map(|t| t.name.as_str()).collect();
    matched.skipped = source.others.clone();
    for table in &source.tables {
        let found = find(&table.name, &names).and_then(|name| targets.iter().find(|t| t.name == name));
        match found {
            Some(target) => {
                let named = Named { schema, source, targets, names: &names };
                named.table(table, target, &mut matched);
            }
            None => matched.gaps.push(missing(&table.name, "")),
        }
    }
    matched
}

fn missing(table: &str, column: &str) -> Difference {
    Difference::of_table(table, Kind::Missing, column, ("there", "not there"))
}

/// What matching by name looks at.
struct Named<'a> {
    schema: &'a str,
    source: &'a source::Schema,
    targets: &'a [target::Table],
    names: &'a [&'a str],
}

impl Named<'_> {
    fn table(&self, table: &source::Table, target: &target::Table, matched: &mut Matched) {
        let names: Vec<&str> = target.columns.iter().map(|c| c.name.as_str()).collect();
        let mut columns = Vec::new();
        for name in &table.columns {
            let found = find(name, &names).and_then(|n| target.columns.iter().find(|c| c.name == n));
            match found {
                Some(c) => columns.push(Column {
                    source: name.clone(),
                    target: c.name.clone(),
                    form: c.form,
                    rule: Rule::Auto,
                    policy: Policy::Stop,
                    bounds: Bounds::default(),
                }),
                None => matched.gaps.push(missing(&table.name, name)),
            }
        }
        matched.expected.push(self.expected(table, target, &columns));
        let keys = std::iter::once(&table.key).chain(&table.uniques);
        let key = keys.filter(|k| !k.is_empty()).find_map(|k| renamed(k, &columns).map(|_| k.clone()));
        let mut pair = paired(&table.name, self.schema, target, columns);
        pair.rowid.clone_from(&table.rowid);
        order(&mut pair, &key.unwrap_or_default());
        pair.numbered = table.numbered && pair.key == 1 && pair.columns[0].form.is_integer();
        matched.pairs.push(pair);
    }

    fn expected(&self, table: &source::Table, target: &target::Table, columns: &[Column]) -> Expected {
        let known = |keys: &[String]| renamed(keys, columns);
        let own = known(&table.key).unwrap_or_default();
        let numbering = own.first().filter(|_| table.numbered);
        let named = table.not_null.iter().filter_map(|c| known(std::slice::from_ref(c)));
        let not_null: Vec<String> = named.flatten().collect();
        Expected {
            oid: target.oid,
            uniques: table.uniques.iter().filter_map(|u| known(u)).collect(),
            foreign_keys: table.foreign_keys.iter().filter_map(|f| self.reference(f, columns)).collect(),
            nullable: nullable(&not_null, target),
            not_null,
            identity: numbering.and_then(|n| target.columns.iter().find(|c| c.name == *n)).cloned(),
            used: table.sequence,
            primary_key: own,
            foreign: false,
        }
    }

    /// None for one that SQLite itself could not enforce: no such parent, or its columns are not unique.
    fn reference(&self, key: &source::ForeignKey, columns: &[Column]) -> Option<Reference> {
        let parent = self.source.tables.iter().find(|t| t.name.eq_ignore_ascii_case(&key.parent))?;
        let wanted = if key.parent_columns.is_empty() { &parent.key } else { &key.parent_columns };
        let same = |a: &[String]| {
            a.len() == wanted.len() && a.iter().all(|c| wanted.iter().any(|w| w.eq_ignore_ascii_case(c)))
        };
        let unique = same(&parent.key) || parent.uniques.iter().any(|u| same(u));
        let name = find(&parent.name, self.names).filter(|_| unique && !wanted.is_empty())?;
        let target = self.targets.iter().find(|t| t.name == name)?;
        let names: Vec<&str> = target.columns.iter().map(|c| c.name.as_str()).collect();
        let parent_columns =
            wanted.iter().map(|c| find(c, &names).map(String::from)).collect::<Option<_>>()?;
        Some(Reference { columns: renamed(&key.columns, columns)?, parent: name.into(), parent_columns })
    }
}

fn nullable(columns: &[String], target: &target::Table) -> Vec<String> {
    let lax = |name: &&String| target.columns.iter().any(|c| c.name == **name && !c.bounds.not_null);
    columns.iter().filter(lax).cloned().collect()
}

/// The target's names of source columns; None when one is not there.
fn renamed(names: &[String], columns: &[Column]) -> Option<Vec<String>> {
    let one =
        |n: &String| columns.iter().find(|c| c.source.eq_ignore_ascii_case(n)).map(|c| c.target.clone());
    names.iter().map(one).collect()
}

fn paired(source: &str, schema: &str, target: &target::Table, columns: Vec<Column>) -> Pair {
    Pair {
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
    }
}

/// Puts the columns of the key first.
fn order(pair: &mut Pair, key: &[String]) {
    let place = |c: &Column| key.iter().position(|k| k.eq_ignore_ascii_case(&c.source)).unwrap_or(key.len());
    pair.columns.sort_by_key(place);
    pair.key = pair.columns.iter().filter(|c| place(c) < key.len()).count();
    if pair.key < key.len() {
        pair.key = 0;
    }
}

/// Matches as the plan says.
pub(crate) fn by_plan(plan: &Plan, source: &source::Schema, targets: &[target::Table]) -> Matched {
    let mut matched = Matched::default();
    for table in &plan.tables {
        match targets.iter().find(|t| t.name == table.target) {
            Some(target) => planned(plan, (table, target), source, &mut matched),
            None => matched.gaps.push(missing(&table.source, "")),
        }
    }
    let skipped = plan.objects.iter().filter(|o| o.kind.contains("table") && o.fate == Fate::Skipped);
    matched.skipped = skipped.map(|o| (o.name.clone(), o.why.clone())).collect();
    for table in &source.tables {
        let known = plan.tables.iter().any(|t| t.source == table.name)
            || matched.skipped.iter().any(|(name, _)| *name == table.name);
        if !known {
            matched.skipped.push((table.name.clone(), "not in the plan".into()));
        }
    }
    matched
}

fn planned(
    plan: &Plan,
    (table, target): (&plan::Table, &target::Table),
    source: &source::Schema,
    matched: &mut Matched,
) {
    let mut columns = Vec::new();
    for column in &table.columns {
        match target.columns.iter().find(|c| c.name == column.target) {
            Some(c) => columns.push(Column {
                source: column.source.clone(),
                target: c.name.clone(),
                form: c.form,
                rule: Rule::Plan(column.conversion),
                policy: column.policy,
                bounds: c.bounds,
            }),
            None => matched.gaps.push(missing(&table.source, &column.source)),
        }
    }
    matched.expected.push(demanded(plan, table, target));
    let mut pair = paired(&table.source, &plan.schema, target, columns);
    pair.rowid.clone_from(&table.rowid);
    (pair.action, pair.accepts) = (table.action, table.accept_rejects);
    order(&mut pair, &table.key);
    let own = source.tables.iter().find(|t| t.name == table.source);
    let by_rowid = own.is_some_and(|t| t.numbered && t.key == table.key);
    pair.numbered = by_rowid && pair.key == 1 && pair.columns[0].form.is_integer();
    matched.pairs.push(pair);
}

fn demanded(plan: &Plan, table: &plan::Table, target: &target::Table) -> Expected {
    let identity = table.columns.iter().find(|c| c.identity).map(|c| &c.target);
    let of_key = |key: &plan::ForeignKey| Reference {
        columns: key.columns.clone(),
        parent: key.parent.clone(),
        parent_columns: key.parent_columns.clone(),
    };
    let not_null: Vec<String> =
        table.columns.iter().filter(|c| c.not_null).map(|c| c.target.clone()).collect();
    Expected {
        oid: target.oid,
        primary_key: table.primary_key.clone(),
        uniques: table.uniques.iter().map(|u| u.columns.clone()).collect(),
        foreign_keys: table.foreign_keys.iter().map(of_key).collect(),
        nullable: nullable(&not_null, target),
        not_null,
        identity: identity.and_then(|n| target.columns.iter().find(|c| c.name == *n)).cloned(),
        used: table.sequence,
        foreign: plan.mode == Mode::Existing,
    }
}
