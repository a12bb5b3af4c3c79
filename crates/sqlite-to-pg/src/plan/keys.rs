//! Primary keys, unique constraints and indexes.

use super::build::{Decisions, Draft};
use crate::model::{Cause, Column, Index, IndexPart, Object, ObjectKind, Outcome, Unique};
use crate::source::catalog::RawIndex;
use crate::source::ddl;
use crate::translate::{KnownColumn, Scope, parse_condition, translate, with_expr};
use migrate::names::free_name;
use sqlite3_parser::ast::Stmt;
use toban_core::pg::Ident;

/// Bytes that a btree's entry may have, less what the rest of a row of it takes.
const ENTRY: u64 = 2600;
/// Columns of an index in PostgreSQL.
const WIDTH: usize = 32;

/// Decides on all of them.
pub(crate) fn decide_all(drafts: &mut [Draft<'_>], out: &mut Decisions<'_>) {
    for draft in drafts {
        decide_primary(draft, out);
        for index in &draft.raw.indexes {
            match index.origin.as_str() {
                "u" => decide_unique(draft, index, out),
                "c" => push_index(draft, index_of(draft, index, out.naming.object_name(&index.name)), out),
                _ => {}
            }
        }
    }
}

fn decide_primary(draft: &mut Draft<'_>, out: &mut Decisions<'_>) {
    let key: Vec<String> = draft.raw.key.iter().map(|k| draft.table.columns[*k].target.clone()).collect();
    if key.is_empty() {
        return;
    }
    let nulls = draft.raw.key.iter().any(|k| draft.stats[*k].profile.nulls > 0);
    let folded = draft.raw.indexes.iter().find(|i| i.origin == "pk").filter(|i| is_folded(i));
    let long = draft.raw.key.iter().any(|k| too_long(draft, *k));
    let unordered = draft.raw.key.iter().any(|k| is_json(draft, *k));
    let report = |why: &str| Object {
        outcome: Outcome::Translated,
        ..Object::skipped(ObjectKind::PrimaryKey, &draft.raw.name, why)
    };
    // NOCASE makes the key stricter than PostgreSQL's, which compares bytes: the index beside it keeps what SQLite
    // kept.
    if let Some(index) = folded {
        out.objects.push(report("a unique index besides, because of its collation"));
        let index = index_of(draft, index, format!("{}_pkey_collated", draft.table.target));
        push_index(draft, index, out);
    }
    if long || unordered {
        let why = if long { "its values are too long for a btree" } else { "json has no equality" };
        out.objects.push(report(&format!("a unique index on an expression: {why}")));
        let columns = draft.raw.key.iter().map(|k| &draft.table.columns[*k]);
        let part = |c| IndexPart { sql: index_part_sql(c, "BINARY", long), ..IndexPart::default() };
        let parts = columns.map(part).collect();
        let usual = || format!("{}_pkey", draft.table.target);
        let target = free_name(&draft.raw.ddl.primary_key.clone().unwrap_or_else(usual), &mut out.taken);
        draft.table.indexes.push(Index {
            source: String::new(),
            target,
            unique: true,
            method: "btree".into(),
            parts,
            why: "the primary key".into(),
            ..Index::default()
        });
    // An old mistake that SQLite keeps: a primary key that is not the rowid lets NULL in
    // (<https://sqlite.org/lang_createtable.html#the_primary_key>).
    } else if nulls {
        out.objects.push(report("UNIQUE instead: SQLite let NULLs into it"));
        let usual = || format!("{}_pkey", draft.table.target);
        let name = free_name(&draft.raw.ddl.primary_key.clone().unwrap_or_else(usual), &mut out.taken);
        draft.table.uniques.push(Unique { name, columns: key });
    } else {
        let usual = migrate::names::short_name(&format!("{}_pkey", draft.table.target));
        let name = free_name(draft.raw.ddl.primary_key.as_deref().unwrap_or(&usual), &mut out.taken);
        draft.table.primary_key_name = (name != usual).then_some(name);
        draft.table.primary_key = key;
    }
}

fn is_folded(index: &RawIndex) -> bool {
    index.parts.iter().any(|(_, _, collation)| !collation.is_empty() && collation != "BINARY")
}

fn too_long(draft: &Draft<'_>, column: usize) -> bool {
    draft.stats[column].profile.longest > ENTRY
        && matches!(draft.table.columns[column].pg_type.as_str(), "text" | "bytea" | "jsonb")
}

fn is_json(draft: &Draft<'_>, column: usize) -> bool {
    draft.table.columns[column].pg_type == "json"
}

fn column_at(draft: &Draft<'_>, name: &str) -> Option<usize> {
    draft.raw.columns.iter().position(|c| c.name.eq_ignore_ascii_case(name))
}

fn decide_unique(draft: &mut Draft<'_>, index: &RawIndex, out: &mut Decisions<'_>) {
    let places: Vec<usize> =
        index.parts.iter().filter_map(|(n, _, _)| column_at(draft, n.as_deref()?)).collect();
    let columns: Vec<String> = places.iter().map(|p| draft.table.columns[*p].target.clone()).collect();
    let name = unique_name(draft, &places)
        .unwrap_or_else(|| format!("{}_{}_key", draft.table.target, columns.join("_")));
    // A constraint is over plain columns only; what needs an expression becomes a unique index (manual, "CREATE
    // TABLE").
    if is_folded(index) || places.iter().any(|p| too_long(draft, *p) || is_json(draft, *p)) {
        let made = index_of(draft, index, name);
        push_index(draft, made, out);
        return;
    }
    let same = |have: &[String]| have == columns.as_slice();
    if same(&draft.table.primary_key) || draft.table.uniques.iter().any(|u| same(&u.columns)) {
        out.objects.push(Object {
            cause: Cause::Duplicate,
            ..Object::skipped(ObjectKind::Unique, &format!("{} ({})", draft.raw.name, columns.join(", ")), "")
        });
        return;
    }
    draft.table.uniques.push(Unique { name: free_name(&name, &mut out.taken), columns });
}

/// What the statement calls the UNIQUE over these columns.
fn unique_name(draft: &Draft<'_>, places: &[usize]) -> Option<String> {
    let same = |columns: &[String]| {
        columns.len() == places.len()
            && columns.iter().zip(places).all(|(c, p)| column_at(draft, c) == Some(*p))
    };
    draft.raw.ddl.uniques.iter().find(|(columns, _)| same(columns)).map(|(_, name)| name.clone())
}

fn push_index(draft: &mut Draft<'_>, made: Result<Index, Box<Object>>, out: &mut Decisions<'_>) {
    match made {
        Ok(mut index) => {
            index.target = free_name(&index.target, &mut out.taken);
            draft.table.indexes.push(index);
        }
        Err(object) => out.objects.push(*object),
    }
}

/// The index, or what is told of one that cannot be made.
fn index_of(draft: &Draft<'_>, index: &RawIndex, target: String) -> Result<Index, Box<Object>> {
    let refuse = |why: String| {
        let sql = index.sql.as_deref().unwrap_or_default();
        Box::new(Object::skipped(ObjectKind::Index, &index.name, why).with_source(sql))
    };
    if index.parts.len() > WIDTH {
        return Err(refuse(format!("PostgreSQL's indexes have at most {WIDTH} columns")));
    }
    let known = known_columns(draft);
    let (expressions, predicate) = expression_texts(index);
    let mut parts = Vec::new();
    let mut hashed = false;
    for (at, (column, descending, collation)) in index.parts.iter().enumerate() {
        let found = match column.as_deref().and_then(|c| column_at(draft, c)) {
            Some(column) => {
                let long = too_long(draft, column);
                hashed |= long;
                let hash_part = long && (index.unique || index.parts.len() > 1);
                IndexPart {
                    sql: index_part_sql(&draft.table.columns[column], collation, hash_part),
                    source_sql: None,
                    descending: *descending,
                }
            }
            None => {
                let text = expressions.get(at).cloned().unwrap_or_default();
                index_expression(&text, &known, *descending)
                    .map_err(|why| refuse(format!("not translated: {why}")))?
            }
        };
        parts.push(found);
    }
    let sql = match &predicate {
        Some(text) => Some(
            parse_condition(text, &Scope::of_columns(&known))
                .map_err(|why| refuse(format!("its WHERE is not translated: {why}")))?,
        ),
        None => None,
    };
    let hash = hashed && !index.unique && parts.len() == 1;
    Ok(Index {
        source: index.name.clone(),
        target,
        unique: index.unique,
        method: if hash { "hash" } else { "btree" }.into(),
        parts,
        predicate: sql,
        source_predicate: predicate,
        why: describe_difference(index, hashed),
    })
}

/// What is not as it was.
fn describe_difference(index: &RawIndex, hashed: bool) -> String {
    let own =
        |(_, _, c): &&(Option<String>, bool, String)| !["", "BINARY", "NOCASE", "RTRIM"].contains(&&**c);
    match index.parts.iter().find(own) {
        _ if hashed => "on hashes: its values are too long for a btree".into(),
        Some((_, _, collation)) => {
            format!("byte by byte: the collation {collation} is the application's own")
        }
        None => String::new(),
    }
}

fn index_part_sql(column: &Column, collation: &str, hashed: bool) -> String {
    let name = Ident::new(&*column.target).to_string();
    let is_text = column.pg_type == "text";
    match collation {
        _ if hashed && is_text => format!("(md5({name}))"),
        _ if hashed && column.pg_type == "bytea" => format!("(sha256({name}))"),
        _ if hashed => format!("(md5({name}::text))"),
        // json has no equality of its own.
        _ if column.pg_type == "json" => format!("({name}::text)"),
        "NOCASE" if is_text => format!("(lower({name} collate \"C\"))"),
        "RTRIM" if is_text => format!("(rtrim({name}, ' '))"),
        _ => name,
    }
}

fn index_expression(text: &str, known: &[KnownColumn], descending: bool) -> Result<IndexPart, String> {
    let (sql, _) = with_expr(text, |e| translate(e, &Scope::of_columns(known)))?;
    Ok(IndexPart { sql: format!("({sql})"), source_sql: Some(text.to_string()), descending })
}

/// The columns as expressions of the same table name them.
pub(crate) fn known_columns(draft: &Draft<'_>) -> Vec<KnownColumn> {
    let nocase = |name: &str| {
        draft.raw.ddl.collations.iter().any(|(c, coll)| c.eq_ignore_ascii_case(name) && coll == "NOCASE")
    };
    draft
        .table
        .columns
        .iter()
        .map(|c| KnownColumn::of_column(&draft.raw.name, c, nocase(&c.source)))
        .collect()
}

/// Each part's own text, and the text of WHERE.
fn expression_texts(index: &RawIndex) -> (Vec<String>, Option<String>) {
    let Some(sql) = &index.sql else { return (Vec::new(), None) };
    let found = ddl::with_statement(sql, |statement| match statement {
        Stmt::CreateIndex { columns, where_clause, .. } => (
            columns.iter().map(|c| ddl::expression_text(&c.expr)).collect(),
            where_clause.as_ref().map(ddl::expression_text),
        ),
        _ => (Vec::new(), None),
    });
    // A partial index whose statement is not understood must not become a whole one.
    let partial = || sql.to_ascii_lowercase().contains(" where ").then(|| "?".to_string());
    found.unwrap_or_else(|| (Vec::new(), partial()))
}
