//! What a table of the copy must have beside its rows, by the target's names: as the plan says, or as the source has it.

use super::target::{TargetColumn, TargetTable};
use crate::model::{self, Mode, ObjectKind, Outcome, Plan};
use std::collections::BTreeSet;

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
    pub(crate) identity: Option<TargetColumn>,
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

/// Names of columns, whatever their order.
pub(crate) type Columns = BTreeSet<String>;

/// A check or an index that the copy must have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct WantedExpression {
    /// What reports call it.
    pub(crate) name: String,
    /// Its name in the target, when the plan tells it; else its columns must do.
    pub(crate) exact: Option<String>,
    pub(crate) columns: Columns,
    /// Of an index of columns alone: these in its order.
    pub(crate) order: Vec<String>,
    pub(crate) unique: bool,
    pub(crate) partial: bool,
}

/// The columns of an index that has no expression, in its order.
fn plain_columns(index: &model::Index) -> Option<Vec<String>> {
    let name = |part: &model::IndexPart| {
        let inner = part.sql.strip_prefix('"')?.strip_suffix('"')?;
        Some(inner.replace("\"\"", "\""))
    };
    index.parts.iter().map(name).collect()
}

/// The parent of a key in the source, and its columns there.
fn parent_in_source(plan: &Plan, key: &model::ForeignKey) -> (String, Vec<String>) {
    let Some(parent) = plan.tables.iter().find(|t| t.target == key.parent) else { return Default::default() };
    let own = |name: &String| parent.columns.iter().find(|c| c.target == *name).map(|c| c.source.clone());
    (parent.source.clone(), key.parent_columns.iter().filter_map(own).collect())
}

/// What the plan makes of `table`, as far as it made it.
pub(crate) fn planned_objects(plan: &Plan, table: &model::Table, target: &TargetTable) -> ExpectedObjects {
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
    let whole = |i: &model::Index| {
        let order = plain_columns(i).unwrap_or_default();
        let of_all = order.iter().filter(|_| i.predicate.is_none());
        WantedExpression {
            unique: i.unique,
            partial: i.predicate.is_some(),
            columns: of_all.cloned().collect(),
            order,
            ..exact(&i.target)
        }
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

/// Of these columns those that the target lets be NULL.
pub(crate) fn nullable_columns(columns: &[String], target: &TargetTable) -> Vec<String> {
    let lax = |name: &&String| target.columns.iter().any(|c| c.name == **name && !c.bounds.not_null);
    columns.iter().filter(lax).cloned().collect()
}
