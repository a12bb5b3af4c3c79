//! Which table and column of the target is which of the source: by the plan, or by name.

use super::form::{Element, Form};
use super::pair::{Bounds, Column, Pair, Rule, find};
use super::record::{Difference, Kind};
use super::words::Wanted;
use super::{source, target, typed, words};
use crate::plan::{self, Action, Fate, Mode, Plan, Policy};
use rusqlite::Connection;

/// What is compared, and what cannot be.
#[derive(Debug, Default)]
pub(crate) struct Matched {
    pub(crate) pairs: Vec<Pair>,
    /// What the target shall have beside rows; one for each pair.
    pub(crate) expected: Vec<Expected>,
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
    pub(crate) checks: Vec<Wanted>,
    pub(crate) indexes: Vec<Wanted>,
    /// How many columns shall have a default, and those that have none.
    pub(crate) defaults: usize,
    pub(crate) no_default: Vec<String>,
    /// The target's schema is the application's own: what it lacks is its own affair.
    pub(crate) foreign: bool,
}

/// A foreign key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reference {
    pub(crate) columns: Vec<String>,
    pub(crate) parent: String,
    pub(crate) parent_columns: Vec<String>,
    /// The parent and its columns in the source.
    pub(crate) source: (String, Vec<String>),
    /// ON DELETE and ON UPDATE, in lower case.
    pub(crate) actions: [String; 2],
}

impl Matched {
    /// The views that the copy shall have: those of the plan, or all that SQLite can run.
    pub(crate) fn wanted_views(&self, plan: Option<&Plan>, source: &source::Schema) -> Vec<String> {
        let Some(plan) = plan else { return source.views.clone() };
        let made =
            |o: &&plan::Object| o.kind == "view" && o.fate == Fate::Translated && plan.mode == Mode::Create;
        plan.objects.iter().filter(made).map(plan::Object::view_name).collect()
    }
}

/// Matches by name. `reader` is asked what a check says of a value.
pub(crate) fn by_name(
    reader: &Connection,
    source: &source::Schema,
    targets: &[target::Table],
    schema: &str,
) -> Matched {
    let unread = |name: &String| {
        let sides = ("a virtual table", "its rows only the application can read: not compared");
        Difference::of_table(name, Kind::LeftOut, "virtual table", sides)
    };
    let mut matched = Matched { unread: source.unread.iter().map(unread).collect(), ..Matched::default() };
    let names: Vec<&str> = targets.iter().map(|t| t.name.as_str()).collect();
    matched.skipped = source.others.clone();
    for table in &source.tables {
        let found = find(&table.name, &names).and_then(|name| targets.iter().find(|t| t.name == name));
        match found {
            Some(target) => {
                let named = Named { reader, schema, source, targets, names: &names };
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
    reader: &'a Connection,
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
        // Not one of its columns is there: nothing can be compared.
        if columns.is_empty() {
            return;
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
        let check = |c: &String| typed::check(self.reader, c, &table.columns, (columns, target));
        Expected {
            oid: target.oid,
            uniques: table.uniques.iter().filter_map(|u| known(u)).collect(),
            foreign_keys: table.foreign_keys.iter().filter_map(|f| self.reference(f, columns)).collect(),
            nullable: nullable(&not_null, target),
            not_null,
            identity: numbering.and_then(|n| target.columns.iter().find(|c| c.name == *n)).cloned(),
            used: table.sequence,
            primary_key: own,
            checks: table.checks.iter().filter_map(check).collect(),
            indexes: table.indexes.iter().filter_map(|i| index(i, columns)).collect(),
            defaults: table.defaults.len(),
            no_default: no_default(&table.defaults, columns, target),
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
        let source = (parent.name.clone(), wanted.clone());
        Some(Reference {
            columns: renamed(&key.columns, columns)?,
            parent: name.into(),
            parent_columns,
            source,
            actions: key.actions.clone(),
        })
    }
}

fn index(wanted: &Wanted, columns: &[Column]) -> Option<Wanted> {
    let own: Vec<String> = wanted.columns.iter().cloned().collect();
    Some(Wanted { columns: renamed(&own, columns)?.into_iter().collect(), ..wanted.clone() })
}

/// Of these columns those whose counterpart has no default.
fn no_default(names: &[String], columns: &[Column], target: &target::Table) -> Vec<String> {
    let lacks = |name: &&String| {
        let own = columns.iter().find(|c| c.source == **name).map(|c| &c.target);
        own.is_some_and(|own| target.columns.iter().any(|c| c.name == *own && !c.has_default))
    };
    names.iter().filter(lacks).cloned().collect()
}

fn nullable(columns: &[String], target: &target::Table) -> Vec<String> {
    let lax = |name: &&String| target.columns.iter().any(|c| c.name == **name && !c.bounds.not_null);
    columns.iter().filter(lax).cloned().collect()
}

/// The target's names of source columns; None when one is not there.
pub(super) fn renamed(names: &[String], columns: &[Column]) -> Option<Vec<String>> {
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
        inherited: target.inherited,
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
                form: match (column.conversion, c.form) {
                    // Prepared as a text, until the application's table says what the elements are.
                    (plan::Conversion::Array, Form::Text) => Form::Array(Element::Text),
                    (_, form) => form,
                },
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

/// The columns of an index of all rows that has no expression.
fn plain_columns(index: &plan::Index) -> Option<words::Columns> {
    let name = |part: &plan::IndexPart| {
        let inner = part.sql.strip_prefix('"')?.strip_suffix('"')?;
        Some(inner.replace("\"\"", "\""))
    };
    index.parts.iter().map(name).collect::<Option<_>>().filter(|_| index.predicate.is_none())
}

/// The parent of a key in the source, and its columns there.
fn origin(plan: &Plan, key: &plan::ForeignKey) -> (String, Vec<String>) {
    let Some(parent) = plan.tables.iter().find(|t| t.target == key.parent) else { return Default::default() };
    let own = |name: &String| parent.columns.iter().find(|c| c.target == *name).map(|c| c.source.clone());
    (parent.source.clone(), key.parent_columns.iter().filter_map(own).collect())
}

fn demanded(plan: &Plan, table: &plan::Table, target: &target::Table) -> Expected {
    let identity = table.columns.iter().find(|c| c.identity).map(|c| &c.target);
    let of_key = |key: &plan::ForeignKey| Reference {
        columns: key.columns.clone(),
        parent: key.parent.clone(),
        parent_columns: key.parent_columns.clone(),
        source: origin(plan, key),
        actions: [key.on_delete.clone(), key.on_update.clone()],
    };
    let not_null: Vec<String> =
        table.columns.iter().filter(|c| c.not_null).map(|c| c.target.clone()).collect();
    let made = |kind: &str, name: &str| {
        let gone = |o: &plan::Object| o.kind == kind && o.name == name && o.fate == Fate::Skipped;
        !plan.objects.iter().any(gone)
    };
    // A key that the server refused was told.
    let lost = |kind: &str| {
        let own = format!("{}.", table.source);
        plan.objects.iter().any(|o| o.kind == kind && o.fate == Fate::Skipped && o.name.starts_with(&own))
    };
    let kept = |kind: &str, name: &str| made(kind, &format!("{}.{name}", table.source));
    let uniques = table.uniques.iter().filter(|u| kept("unique", &u.name));
    let foreign_keys = table.foreign_keys.iter().filter(|k| kept("foreign key", &k.name));
    let exact = |name: &str| Wanted { name: name.into(), exact: Some(name.into()), ..Wanted::default() };
    let whole = |i: &plan::Index| Wanted {
        unique: i.unique,
        partial: i.predicate.is_some(),
        columns: plain_columns(i).unwrap_or_default(),
        ..exact(&i.target)
    };
    let checks = table.checks.iter().filter(|c| made("check", &format!("{}.{}", table.source, c.name)));
    let indexes = table.indexes.iter().filter(|i| {
        made("index", if i.source.is_empty() { "" } else { &i.source })
            && made("index", &format!("{}.{}", table.source, i.target))
    });
    let defaults: Vec<&plan::Column> = table
        .columns
        .iter()
        .filter(|c| c.default.is_some() && made("default", &format!("{}.{}", table.source, c.source)))
        .collect();
    let bare = |c: &&&plan::Column| target.columns.iter().any(|t| t.name == c.target && !t.has_default);
    Expected {
        oid: target.oid,
        checks: checks.map(|c| exact(&c.name)).collect(),
        indexes: indexes.map(whole).collect(),
        defaults: defaults.len(),
        no_default: defaults.iter().filter(bare).map(|c| c.source.clone()).collect(),
        primary_key: if lost("primary key") { Vec::new() } else { table.primary_key.clone() },
        uniques: uniques.map(|u| u.columns.clone()).collect(),
        foreign_keys: foreign_keys.map(of_key).collect(),
        nullable: nullable(&not_null, target),
        not_null,
        identity: identity.and_then(|n| target.columns.iter().find(|c| c.name == *n)).cloned(),
        used: table.sequence,
        foreign: plan.mode == Mode::Existing,
    }
}
