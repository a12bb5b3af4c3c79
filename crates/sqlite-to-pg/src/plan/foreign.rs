//! Foreign keys: both ends of one type, parents resolved, and those that cannot be.

use super::build::Draft;
use super::chosen::Selection;
use crate::model::{Column, Conversion, ForeignKey, Object, ObjectKind, OrphanRule};
use migrate::names::short_name;
use std::collections::BTreeMap;

/// Gives both ends of each foreign key one type, so that it can be made: text wins over numbers.
pub(crate) fn unify_types(drafts: &mut [Draft<'_>]) {
    // Chains of keys settle after as many rounds as they are long.
    for _ in 0..8 {
        let mut changes = Vec::new();
        for (child, draft) in drafts.iter().enumerate() {
            for key in &draft.raw.foreign_keys {
                let Some((parent, columns)) = resolve_columns(drafts, child, key) else { continue };
                for (from, to) in columns {
                    changes.extend(find_change(drafts, (child, from), (parent, to)));
                }
            }
        }
        if changes.is_empty() {
            return;
        }
        for ((table, column), conversion, pg_type) in changes {
            let column = &mut drafts[table].table.columns[column];
            column.why = format!("{}; {pg_type} because its foreign key's other end is", column.why);
            column.conversion = conversion;
            column.pg_type = pg_type;
        }
    }
}

type ColumnAt = (usize, usize);

fn find_change(drafts: &[Draft<'_>], a: ColumnAt, b: ColumnAt) -> Option<(ColumnAt, Conversion, String)> {
    let of = |(table, column): ColumnAt| &drafts[table].table.columns[column];
    let (x, y) = (of(a), of(b));
    if x.pg_type == y.pg_type {
        return None;
    }
    let empty = |c: &crate::model::Column| {
        c.profile.integers + c.profile.reals + c.profile.texts + c.profile.blobs == 0
    };
    let take =
        |place: ColumnAt, from: &crate::model::Column| Some((place, from.conversion, from.pg_type.clone()));
    match (x.conversion, y.conversion) {
        // A column without values takes whatever the other has.
        _ if empty(x) && !x.identity => take(a, y),
        _ if empty(y) && !y.identity => take(b, x),
        (Conversion::Text, Conversion::Integer | Conversion::Numeric | Conversion::Float) if !y.identity => {
            take(b, x)
        }
        (Conversion::Integer | Conversion::Numeric | Conversion::Float, Conversion::Text) if !x.identity => {
            take(a, y)
        }
        // An identity keeps its integer: it numbers rows, and a numeric cannot (manual, "Identity Columns").
        (Conversion::Numeric, Conversion::Integer) if !y.identity => take(b, x),
        (Conversion::Integer, Conversion::Numeric) if !x.identity => take(a, y),
        _ => None,
    }
}

/// The parent's place, and pairs of columns.
fn resolve_columns(
    drafts: &[Draft<'_>],
    child: usize,
    key: &crate::source::catalog::RawForeignKey,
) -> Option<(usize, Vec<ColumnAt>)> {
    let parent = drafts.iter().position(|d| d.raw.name.eq_ignore_ascii_case(&key.parent))?;
    let at = |table: usize, name: &str| {
        drafts[table].raw.columns.iter().position(|c| c.name.eq_ignore_ascii_case(name))
    };
    let to: Vec<usize> = match key.parent_columns.is_empty() {
        true => drafts[parent].raw.key.clone(),
        false => key.parent_columns.iter().map(|n| at(parent, n)).collect::<Option<_>>()?,
    };
    let from: Vec<usize> = key.columns.iter().map(|n| at(child, n)).collect::<Option<_>>()?;
    (from.len() == to.len() && !to.is_empty()).then(|| (parent, from.into_iter().zip(to).collect()))
}

/// Decides on every foreign key.
pub(crate) fn decide_all(drafts: &mut [Draft<'_>], chosen: &Selection, objects: &mut Vec<Object>) {
    let mut made = Vec::new();
    for (child, draft) in drafts.iter().enumerate() {
        let mut names = std::collections::BTreeSet::new();
        for key in &draft.raw.foreign_keys {
            let name = format!("{} ({}) → {}", draft.raw.name, key.columns.join(", "), key.parent);
            match foreign_key(drafts, child, key) {
                Ok(mut key) => {
                    key.name = migrate::names::free_name(&key.name, &mut names);
                    made.push((child, key));
                }
                // The other end was excluded by name, and the key with it.
                Err(_) if chosen.has_left_out(&key.parent) => {
                    objects.push(Object::excluded(ObjectKind::ForeignKey, &name));
                }
                Err(why) => objects.push(Object::skipped(ObjectKind::ForeignKey, &name, why)),
            }
        }
    }
    made.into_iter().for_each(|(child, key)| drafts[child].table.foreign_keys.push(key));
}

/// Says for every key that is made what becomes of rows without a parent: with `null` its columns become NULL (a key none of
/// whose columns can be NULL keeps its rows as they are), without they are left out.
pub(crate) fn add_orphan_rules(drafts: &mut [Draft<'_>], null: bool) {
    let by_target: BTreeMap<String, (String, Vec<Column>)> = drafts
        .iter()
        .map(|d| (d.table.target.clone(), (d.table.source.clone(), d.table.columns.clone())))
        .collect();
    let source_of = |columns: &[Column], target: &String| {
        columns.iter().find(|c| c.target == *target).map(|c| c.source.clone())
    };
    for draft in drafts {
        for key in &draft.table.foreign_keys {
            let Some((parent, theirs)) = by_target.get(&key.parent) else { continue };
            let columns: Vec<String> =
                key.columns.iter().filter_map(|c| source_of(&draft.table.columns, c)).collect();
            let may_be_null = |name: &&String| {
                let own = draft.table.copied_columns().find(|c| c.source == **name);
                null && own.is_some_and(|c| !c.not_null)
            };
            let nulled: Vec<String> = columns.iter().filter(may_be_null).cloned().collect();
            if null && nulled.is_empty() {
                continue;
            }
            draft.table.orphans.push(OrphanRule {
                columns,
                parent: parent.clone(),
                parent_columns: key.parent_columns.iter().filter_map(|c| source_of(theirs, c)).collect(),
                nulled,
            });
        }
    }
}

fn foreign_key(
    drafts: &[Draft<'_>],
    child: usize,
    key: &crate::source::catalog::RawForeignKey,
) -> Result<ForeignKey, String> {
    let there = drafts.iter().any(|d| d.raw.name.eq_ignore_ascii_case(&key.parent));
    if !there {
        return Err(format!("the table {} does not exist, or is not copied", key.parent));
    }
    let (parent, pairs) = resolve_columns(drafts, child, key).ok_or("its columns are not there")?;
    let (ours, theirs) = (&drafts[child].table, &drafts[parent].table);
    let parent_columns: Vec<String> =
        pairs.iter().map(|(_, to)| theirs.columns[*to].target.clone()).collect();
    let columns: Vec<String> = pairs.iter().map(|(from, _)| ours.columns[*from].target.clone()).collect();
    for (from, to) in &pairs {
        let (a, b) = (&ours.columns[*from], &theirs.columns[*to]);
        if a.pg_type != b.pg_type {
            return Err(format!("{} is {}, {} is {}", a.source, a.pg_type, b.source, b.pg_type));
        }
    }
    let same = |columns: &[String]| {
        columns.len() == parent_columns.len() && columns.iter().all(|c| parent_columns.contains(c))
    };
    let unique = same(&theirs.primary_key)
        || theirs.uniques.iter().any(|u| same(&u.columns))
        || theirs.indexes.iter().any(|i| {
            let quoted: Vec<String> =
                i.parts.iter().map(|p| p.sql.trim_matches('"').replace("\"\"", "\"")).collect();
            i.unique && i.predicate.is_none() && same(&quoted)
        });
    if !unique {
        return Err("what it refers to is not unique (SQLite calls this a foreign key mismatch)".into());
    }
    Ok(ForeignKey {
        name: short_name(
            &key.name.clone().unwrap_or_else(|| format!("{}_{}_fkey", ours.target, columns.join("_"))),
        ),
        columns,
        parent: theirs.target.clone(),
        parent_columns,
        on_delete: key.on_delete.to_ascii_lowercase(),
        on_update: key.on_update.to_ascii_lowercase(),
        deferred: key.deferred,
    })
}
