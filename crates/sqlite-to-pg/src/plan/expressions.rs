//! Defaults, checks, generated columns, views, triggers: what is an expression or a statement.

use super::build::{DAMAGED, Decisions, Draft};
use super::keys::known_columns;
use crate::model::{CheckConstraint, Object, ObjectKind, Outcome};
use crate::source::catalog::{Catalog, RawKind, RawObject};
use crate::source::{ddl, virtual_table};
use crate::translate::{KnownColumn, Scope, SqlType, default, parse_condition, select, translate, with_expr};
use migrate::names::free_name;
use sqlite3_parser::ast::Stmt;
use std::cell::RefCell;
use std::collections::BTreeSet;
use toban_core::pg::Ident;

/// Decides on what belongs to a table.
pub(crate) fn decide_all(drafts: &mut [Draft<'_>], out: &mut Decisions<'_>) {
    for draft in drafts {
        decide_generated(draft, &mut out.objects);
        decide_defaults(draft, &mut out.objects);
        decide_checks(draft, out);
        decide_not_nulls(draft, &mut out.objects);
    }
}

fn decide_generated(draft: &mut Draft<'_>, objects: &mut Vec<Object>) {
    let known: Vec<KnownColumn> = known_columns(draft);
    let is_generated = |k: &KnownColumn| draft.raw.columns.iter().any(|c| c.generated && c.name == k.name);
    // PostgreSQL computes none from another.
    let plain: Vec<KnownColumn> = known.iter().filter(|k| !is_generated(k)).cloned().collect();
    for (name, text) in &draft.raw.ddl.generated {
        let Some(column) = draft.table.columns.iter_mut().find(|c| c.source.eq_ignore_ascii_case(name))
        else {
            continue;
        };
        let wanted = SqlType::from_name(&column.pg_type);
        let answer = with_expr(text, |e| translate(e, &Scope::of_columns(&plain))).and_then(|(sql, ty)| {
            let fits =
                ty == wanted || (ty.is_number() && wanted.is_number()) || (ty.is_text() && wanted.is_text());
            if fits { Ok(sql) } else { Err(format!("{sql} is not {}", column.pg_type)) }
        });
        let name = format!("{}.{name}", draft.raw.name);
        match answer {
            Ok(sql) => {
                column.generated = Some(sql.clone());
                objects.push(Object {
                    outcome: Outcome::Translated,
                    sql: Some(sql),
                    ..Object::skipped(ObjectKind::GeneratedColumn, &name, "").with_source(text)
                });
            }
            Err(why) => objects.push(
                Object::skipped(
                    ObjectKind::GeneratedColumn,
                    &name,
                    format!("a plain column with its values: not translated: {why}"),
                )
                .with_source(text),
            ),
        }
    }
}

fn decide_defaults(draft: &mut Draft<'_>, objects: &mut Vec<Object>) {
    for (raw, column) in draft.raw.columns.iter().zip(&mut draft.table.columns) {
        let Some(text) = raw.default.as_ref().filter(|_| !raw.generated && !column.identity) else {
            continue;
        };
        match default::translate_default(text, column) {
            Ok(sql) => column.default = sql,
            Err(why) => objects.push(
                Object::skipped(
                    ObjectKind::Default,
                    &format!("{}.{}", draft.raw.name, raw.name),
                    format!("not translated: {why}"),
                )
                .with_source(text),
            ),
        }
    }
}

fn decide_checks(draft: &mut Draft<'_>, out: &mut Decisions<'_>) {
    let known = known_columns(draft);
    for (at, (name, text)) in draft.raw.ddl.checks.iter().enumerate() {
        let shown = name.clone().unwrap_or_else(|| format!("{} #{}", draft.raw.name, at + 1));
        // In SQLite a check passes when it is NULL, and in PostgreSQL too (manual, "Constraints"): no more is needed.
        match parse_condition(text, &Scope::of_columns(&known)) {
            Ok(sql) => {
                let name = name.clone().unwrap_or_else(|| format!("{}_check", draft.table.target));
                let name = free_name(&name, &mut out.taken);
                draft.table.checks.push(CheckConstraint { name, sql, source_sql: text.clone() });
            }
            Err(why) => out.objects.push(
                Object::skipped(ObjectKind::Check, &shown, format!("not translated: {why}"))
                    .with_source(text),
            ),
        }
    }
    // SQLite took the statement, so the table moves; what only its text says is named as missing.
    if !draft.raw.ddl.understood {
        out.objects.push(Object::skipped(
            ObjectKind::Check,
            &draft.raw.name,
            "its CREATE TABLE was not understood: checks and collations are missing",
        ));
    }
}

fn decide_not_nulls(draft: &Draft<'_>, objects: &mut Vec<Object>) {
    for (raw, stats) in draft.raw.columns.iter().zip(draft.stats) {
        if raw.not_null && stats.profile.nulls > 0 {
            let name = format!("{}.{}", draft.raw.name, raw.name);
            let n = stats.profile.nulls;
            objects.push(Object::skipped(
                ObjectKind::NotNull,
                &name,
                format!("{n} rows hold NULL all the same: it stays nullable"),
            ));
        }
    }
}

/// Views, triggers, virtual tables.
pub(crate) fn decide_others(catalog: &Catalog, drafts: &[Draft<'_>], out: &mut Decisions<'_>) {
    let tables: RefCell<Vec<(String, Vec<KnownColumn>)>> = RefCell::new(Vec::new());
    for draft in drafts {
        let as_target = |k: KnownColumn| KnownColumn { table: draft.table.target.clone(), ..k };
        tables
            .borrow_mut()
            .push((draft.raw.name.clone(), known_columns(draft).into_iter().map(as_target).collect()));
    }
    let find = |name: &str| {
        tables.borrow().iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, columns)| columns.clone())
    };
    for raw in &catalog.others {
        let object = match raw.kind {
            RawKind::DamagedView => {
                let view = Object::skipped(ObjectKind::View, &raw.name, DAMAGED).with_source(&raw.sql);
                Object { outcome: Outcome::Written, ..view }
            }
            RawKind::View => {
                let target = free_name(&out.naming.object_name(&raw.name), &mut out.taken);
                let (object, columns) = translate_view(raw, &target, &find);
                tables.borrow_mut().extend(columns.map(|c| (raw.name.clone(), c)));
                object
            }
            RawKind::Trigger => {
                let why = format!("on {}: a skeleton is written for a person to finish", raw.table);
                let trigger = Object::skipped(ObjectKind::Trigger, &raw.name, why).with_source(&raw.sql);
                Object { outcome: Outcome::Written, table: raw.table.clone(), ..trigger }
            }
            RawKind::ShadowTable => {
                Object::skipped(ObjectKind::ShadowTable, &raw.name, "part of a virtual table's index")
            }
            RawKind::VirtualTable => {
                let why = virtual_table::why_left_out(&raw.sql);
                Object::skipped(ObjectKind::VirtualTable, &raw.name, why).with_source(&raw.sql)
            }
        };
        out.objects.push(object);
    }
}

/// The names as PostgreSQL takes them: not too long, and none twice.
fn distinct_names(names: &[String]) -> Vec<String> {
    let mut taken = BTreeSet::new();
    names.iter().map(|name| free_name(if name.is_empty() { "_" } else { name }, &mut taken)).collect()
}

fn translate_view(
    raw: &RawObject,
    target: &str,
    find: &dyn Fn(&str) -> Option<Vec<KnownColumn>>,
) -> (Object, Option<Vec<KnownColumn>>) {
    let scope = Scope { tables: Some(find), ..Scope::default() };
    let found = ddl::with_statement(&raw.sql, |statement| match statement {
        Stmt::CreateView { select, columns, .. } => {
            select::translate_query(select, &scope).map(|(sql, mut known)| {
                let written: Vec<String> =
                    columns.iter().copied().flatten().map(|c| ddl::bare_name(c.col_name.0)).collect();
                // SQLite itself says what it calls a column without an alias.
                let names =
                    if raw.columns.len() == known.len() { distinct_names(&raw.columns) } else { written };
                known.iter_mut().zip(&names).for_each(|(k, n)| {
                    k.sql = Ident::new(&**n).to_string();
                    k.name.clone_from(n);
                });
                let list: Vec<String> = names.iter().map(|n| Ident::new(&**n).to_string()).collect();
                let list = if list.is_empty() { String::new() } else { format!(" ({})", list.join(", ")) };
                (format!("{}{list} as {sql}", Ident::new(target)), known)
            })
        }
        _ => Err("it is no CREATE VIEW".into()),
    });
    let base = Object {
        kind: ObjectKind::View,
        name: raw.name.clone(),
        source_sql: raw.sql.clone(),
        ..Object::default()
    };
    match found.unwrap_or_else(|| Err("the parser does not understand it".into())) {
        Ok((sql, mut known)) => {
            known.iter_mut().for_each(|k| k.table = target.to_string());
            (Object { outcome: Outcome::Translated, sql: Some(sql), ..base }, Some(known))
        }
        Err(why) => {
            (Object { outcome: Outcome::Written, why: format!("not translated: {why}"), ..base }, None)
        }
    }
}
