//! Defaults, checks, generated columns, views, triggers: what is said in SQL.

use super::build::{DAMAGED, Draft, skipped};
use super::keys::known;
use super::names::{Naming, free};
use super::{Check, Fate, Object};
use crate::source::catalog::{Catalog, RawObject};
use crate::source::ddl;
use crate::translate::{Known, Scope, Ty, condition, default, select, translate, with_expr};
use sqlite3_parser::ast::Stmt;
use std::cell::RefCell;
use std::collections::BTreeSet;
use toban_core::pg::Ident;

/// Decides on what belongs to a table.
pub(crate) fn decide(drafts: &mut [Draft<'_>], taken: &mut BTreeSet<String>, objects: &mut Vec<Object>) {
    for draft in drafts {
        generated(draft, objects);
        defaults(draft, objects);
        checks(draft, taken, objects);
        not_nulls(draft, objects);
    }
}

fn generated(draft: &mut Draft<'_>, objects: &mut Vec<Object>) {
    let known: Vec<Known> = known(draft);
    let is_generated = |k: &Known| draft.raw.columns.iter().any(|c| c.generated && c.name == k.name);
    // PostgreSQL computes none from another.
    let plain: Vec<Known> = known.iter().filter(|k| !is_generated(k)).cloned().collect();
    for (name, text) in &draft.raw.ddl.generated {
        let Some(column) = draft.table.columns.iter_mut().find(|c| c.source.eq_ignore_ascii_case(name))
        else {
            continue;
        };
        let wanted = Ty::named(&column.pg_type);
        let answer = with_expr(text, |e| translate(e, &Scope::of(&plain))).and_then(|(sql, ty)| {
            let fits =
                ty == wanted || (ty.is_number() && wanted.is_number()) || (ty.is_text() && wanted.is_text());
            if fits { Ok(sql) } else { Err(format!("{sql} is not {}", column.pg_type)) }
        });
        let name = format!("{}.{name}", draft.raw.name);
        match answer {
            Ok(sql) => {
                column.generated = Some(sql.clone());
                let kind = "generated column".into();
                let source_sql = text.clone();
                objects.push(Object {
                    kind,
                    name,
                    fate: Fate::Translated,
                    sql: Some(sql),
                    source_sql,
                    ..Object::default()
                });
            }
            Err(why) => objects.push(Object {
                source_sql: text.clone(),
                ..skipped(
                    "generated column",
                    &name,
                    format!("a plain column with its values: not translated: {why}"),
                )
            }),
        }
    }
}

fn defaults(draft: &mut Draft<'_>, objects: &mut Vec<Object>) {
    for (raw, column) in draft.raw.columns.iter().zip(&mut draft.table.columns) {
        let Some(text) = raw.default.as_ref().filter(|_| !raw.generated && !column.identity) else {
            continue;
        };
        match default::default(text, column) {
            Ok(sql) => column.default = sql,
            Err(why) => objects.push(Object {
                source_sql: text.clone(),
                ..skipped(
                    "default",
                    &format!("{}.{}", draft.raw.name, raw.name),
                    format!("not translated: {why}"),
                )
            }),
        }
    }
}

fn checks(draft: &mut Draft<'_>, taken: &mut BTreeSet<String>, objects: &mut Vec<Object>) {
    let known = known(draft);
    for (at, (name, text)) in draft.raw.ddl.checks.iter().enumerate() {
        let shown = name.clone().unwrap_or_else(|| format!("{} #{}", draft.raw.name, at + 1));
        match condition(text, &Scope::of(&known)) {
            Ok(sql) => {
                let name = name.clone().unwrap_or_else(|| format!("{}_check", draft.table.target));
                let name = free(&name, taken);
                draft.table.checks.push(Check { name, sql, source_sql: text.clone() });
            }
            Err(why) => objects.push(Object {
                source_sql: text.clone(),
                ..skipped("check", &shown, format!("not translated: {why}"))
            }),
        }
    }
    if !draft.raw.ddl.understood {
        objects.push(skipped(
            "checks",
            &draft.raw.name,
            "its CREATE TABLE was not understood: checks and collations are missing",
        ));
    }
}

fn not_nulls(draft: &Draft<'_>, objects: &mut Vec<Object>) {
    for (raw, tally) in draft.raw.columns.iter().zip(draft.tallies) {
        if raw.not_null && tally.census.nulls > 0 {
            let name = format!("{}.{}", draft.raw.name, raw.name);
            let n = tally.census.nulls;
            objects.push(skipped(
                "not null",
                &name,
                format!("{n} rows hold NULL all the same: it stays nullable"),
            ));
        }
    }
}

/// Views, triggers, virtual tables.
pub(crate) fn others(
    catalog: &Catalog,
    drafts: &[Draft<'_>],
    naming: &Naming,
    taken: &mut BTreeSet<String>,
    objects: &mut Vec<Object>,
) {
    let tables: RefCell<Vec<(String, Vec<Known>)>> = RefCell::new(Vec::new());
    for draft in drafts {
        let as_target = |k: Known| Known { table: draft.table.target.clone(), ..k };
        tables.borrow_mut().push((draft.raw.name.clone(), known(draft).into_iter().map(as_target).collect()));
    }
    let find = |name: &str| {
        tables.borrow().iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, columns)| columns.clone())
    };
    for raw in &catalog.others {
        let object = match raw.kind.as_str() {
            "damaged view" => Object {
                fate: Fate::Written,
                source_sql: raw.sql.clone(),
                ..skipped("view", &raw.name, DAMAGED)
            },
            "view" => {
                let target = free(&naming.object(&raw.name), taken);
                let (object, columns) = view(raw, &target, &find);
                tables.borrow_mut().extend(columns.map(|c| (raw.name.clone(), c)));
                object
            }
            "trigger" => Object {
                fate: Fate::Written,
                source_sql: raw.sql.clone(),
                ..skipped(
                    "trigger",
                    &raw.name,
                    format!("on {}: a skeleton is written for a person to finish", raw.table),
                )
            },
            "shadow table" => skipped("shadow table", &raw.name, "part of a virtual table's index"),
            _ => Object { source_sql: raw.sql.clone(), ..skipped(&raw.kind, &raw.name, module(&raw.sql)) },
        };
        objects.push(object);
    }
}

/// The names as PostgreSQL takes them: not too long, and none twice.
fn distinct(names: &[String]) -> Vec<String> {
    let mut taken = BTreeSet::new();
    names.iter().map(|name| free(if name.is_empty() { "_" } else { name }, &mut taken)).collect()
}

/// Why a virtual table does not move.
fn module(sql: &str) -> &'static str {
    let mut sql = sql.to_ascii_lowercase();
    sql.retain(|c| !c.is_whitespace() && c != '"' && c != '\'');
    match sql.split_once("using").map_or("", |(_, module)| module) {
        m if m.starts_with("rtree") => {
            "an index of boxes, which PostgreSQL has in GiST and PostGIS: it does not move"
        }
        m if m.starts_with("fts") && m.contains("content=,") || m.ends_with("content=)") => {
            "an index of words without the words: nothing of it could be read"
        }
        m if m.starts_with("fts") && m.contains("content=") => {
            "an index of words, which move with the table that holds them"
        }
        _ => "a module that PostgreSQL has not: it holds no rows that SQLite alone could read",
    }
}

fn view(
    raw: &RawObject,
    target: &str,
    find: &dyn Fn(&str) -> Option<Vec<Known>>,
) -> (Object, Option<Vec<Known>>) {
    let scope = Scope { tables: Some(find), ..Scope::default() };
    let found = ddl::with_statement(&raw.sql, |statement| match statement {
        Stmt::CreateView { select, columns, .. } => select::query(select, &scope).map(|(sql, mut known)| {
            let written: Vec<String> =
                columns.iter().copied().flatten().map(|c| ddl::bare(c.col_name.0)).collect();
            // SQLite itself says what it calls a column without an alias.
            let names = if raw.columns.len() == known.len() { distinct(&raw.columns) } else { written };
            known.iter_mut().zip(&names).for_each(|(k, n)| {
                k.sql = Ident::new(&**n).to_string();
                k.name.clone_from(n);
            });
            let list: Vec<String> = names.iter().map(|n| Ident::new(&**n).to_string()).collect();
            let list = if list.is_empty() { String::new() } else { format!(" ({})", list.join(", ")) };
            (format!("{}{list} as {sql}", Ident::new(target)), known)
        }),
        _ => Err("it is no CREATE VIEW".into()),
    });
    let base = Object {
        kind: "view".into(),
        name: raw.name.clone(),
        source_sql: raw.sql.clone(),
        ..Object::default()
    };
    match found.unwrap_or_else(|| Err("the parser does not understand it".into())) {
        Ok((sql, mut known)) => {
            known.iter_mut().for_each(|k| k.table = target.to_string());
            (Object { fate: Fate::Translated, sql: Some(sql), ..base }, Some(known))
        }
        Err(why) => (Object { fate: Fate::Written, why: format!("not translated: {why}"), ..base }, None),
    }
}
