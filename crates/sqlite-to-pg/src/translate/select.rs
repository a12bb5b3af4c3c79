//! Queries: those of views, and those inside expressions.

use super::Translation;
use super::compare::unify_results;
use super::expr::{translate, translate_condition};
use super::scope::{KnownColumn, Scope, SqlType};
use crate::source::ddl::bare_name;
use sqlite3_parser::ast::{
    As, CompoundOperator, Distinctness, Expr, FromClause, JoinConstraint, JoinOperator, JoinType, OneSelect,
    ResultColumn, Select, SelectTable, SortOrder, SortedColumn,
};
use toban_core::pg::Ident;

/// A query and its columns.
pub(crate) fn translate_query(
    select: &Select<'_>,
    scope: &Scope<'_>,
) -> Translation<(String, Vec<KnownColumn>)> {
    let Some(with) = &select.with else { return query_body(select, scope) };
    let mut made: Vec<(String, Vec<KnownColumn>)> = Vec::new();
    let mut ctes = Vec::new();
    for cte in with.ctes {
        let name = bare_name(cte.tbl_name.0);
        let (sql, mut columns) = in_scope(&made, scope, |scope| translate_query(cte.select, scope))?;
        let mut list = String::new();
        if let Some(names) = cte.columns {
            let names: Vec<String> = names.iter().map(|c| bare_name(c.col_name.0)).collect();
            list = format!(
                " ({})",
                names.iter().map(|n| Ident::new(n).to_string()).collect::<Vec<_>>().join(", ")
            );
            columns.iter_mut().zip(names).for_each(|(c, n)| {
                c.sql = Ident::new(&*n).to_string();
                c.name = n;
            });
        }
        columns.iter_mut().for_each(|c| c.table.clone_from(&name));
        ctes.push(format!("{}{list} as ({sql})", Ident::new(&*name)));
        made.push((name, columns));
    }
    // SQLite gives rows in the order of a queue, which LIMIT may cut; PostgreSQL's are a set.
    if with.recursive {
        return Err("WITH RECURSIVE".into());
    }
    let (sql, columns) = in_scope(&made, scope, |scope| query_body(select, scope))?;
    Ok((format!("with {} {sql}", ctes.join(", ")), columns))
}

fn in_scope<T>(
    made: &[(String, Vec<KnownColumn>)],
    scope: &Scope<'_>,
    look: impl FnOnce(&Scope<'_>) -> T,
) -> T {
    let tables = |name: &str| {
        let own = made.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, columns)| columns.clone());
        own.or_else(|| scope.tables.and_then(|t| t(name)))
    };
    look(&Scope { tables: Some(&tables), ..*scope })
}

/// A query in parentheses that gives one column; and that column's type.
pub(crate) fn scalar_query(select: &Select<'_>, scope: &Scope<'_>) -> Translation {
    let (sql, columns) = translate_query(select, scope)?;
    match columns.as_slice() {
        [one] => Ok((format!("({sql})"), one.ty)),
        _ => Err("a query of several columns".into()),
    }
}

fn query_body(select: &Select<'_>, scope: &Scope<'_>) -> Translation<(String, Vec<KnownColumn>)> {
    let (mut sql, mut columns, inner) = translate_select(&select.body.select, scope)?;
    for compound in select.body.compounds.iter().flatten() {
        let (other, others, _) = translate_select(&compound.select, scope)?;
        let word = match compound.operator {
            CompoundOperator::Union => "union",
            CompoundOperator::UnionAll => "union all",
            CompoundOperator::Except => "except",
            CompoundOperator::Intersect => "intersect",
        };
        // SQLite lets the parts have different types, row by row; a column of PostgreSQL has one.
        for (ours, theirs) in columns.iter_mut().zip(&others) {
            let both = vec![(String::new(), ours.ty), (String::new(), theirs.ty)];
            ours.ty = unify_results(both).map(|(_, ty)| ty)?;
        }
        sql = format!("{sql} {word} {other}");
    }
    if let Some(order) = select.order_by {
        let compound = select.body.compounds.is_some();
        let here = Scope { columns: &inner, outer: Some(scope), tables: scope.tables };
        sql += &format!(" order by {}", order_clause(order, &columns, &here, compound)?);
    }
    // A negative LIMIT means none in SQLite, and is an error in PostgreSQL: such a view is tried there, and then
    // written to a file.
    if let Some(limit) = select.limit {
        sql += &format!(" limit {}", translate(&limit.expr, scope)?.0);
        if let Some(offset) = &limit.offset {
            sql += &format!(" offset {}", translate(offset, scope)?.0);
        }
    }
    Ok((sql, columns))
}

/// ORDER BY: a result column by number or name, else an expression. SQLite sorts NULLs first.
fn order_clause(
    order: &[SortedColumn<'_>],
    out: &[KnownColumn],
    here: &Scope<'_>,
    compound: bool,
) -> Translation<String> {
    let mut parts = Vec::new();
    for column in order {
        let named = match &column.expr {
            Expr::Id(id) => out.iter().find(|k| k.name.eq_ignore_ascii_case(&bare_name(id.0))),
            Expr::Name(n) => out.iter().find(|k| k.name.eq_ignore_ascii_case(&bare_name(n.0))),
            _ => None,
        };
        let sql = match (named, column.expr.is_integer()) {
            (Some(known), _) => Ident::new(&*known.name).to_string(),
            (None, Some(n)) => n.to_string(),
            (None, None) if compound => return Err("ORDER BY an expression after UNION".into()),
            (None, None) => translate(&column.expr, here)?.0,
        };
        let ends = if column.order == Some(SortOrder::Desc) { " desc nulls last" } else { " nulls first" };
        parts.push(format!("{sql}{ends}"));
    }
    Ok(parts.join(", "))
}

type SelectParts = (String, Vec<KnownColumn>, Vec<KnownColumn>);

fn translate_select(select: &OneSelect<'_>, scope: &Scope<'_>) -> Translation<SelectParts> {
    let OneSelect::Select { distinctness, columns, from, where_clause, group_by, having, window_clause } =
        select
    else {
        return Err("VALUES".into());
    };
    if window_clause.is_some() {
        return Err("a WINDOW clause".into());
    }
    let mut inner = Vec::new();
    let from = from.as_ref().map(|f| from_clause(f, scope, &mut inner)).transpose()?;
    let here = Scope { columns: &inner, outer: Some(scope), tables: scope.tables };
    let (list, out) = result_columns(columns, &inner, &here)?;
    let distinct = if *distinctness == Some(Distinctness::Distinct) { "distinct " } else { "" };
    let mut sql = format!("select {distinct}{list}");
    if let Some(from) = from {
        sql += &format!(" from {from}");
    }
    if let Some(e) = where_clause {
        sql += &format!(" where {}", translate_condition(e, &here)?);
    }
    if let Some(groups) = group_by {
        sql += &format!(" group by {}", group_clause(groups, columns, &out, &here)?.join(", "));
    }
    if let Some(e) = having {
        sql += &format!(" having {}", translate_condition(e, &here)?);
    }
    Ok((sql, out, inner))
}

/// GROUP BY: a number, an alias, or an expression.
fn group_clause(
    groups: &[Expr<'_>],
    columns: &[ResultColumn<'_>],
    out: &[KnownColumn],
    here: &Scope<'_>,
) -> Translation<Vec<String>> {
    let alias = |name: &str| {
        let at = out.iter().position(|k| k.name.eq_ignore_ascii_case(&bare_name(name)))?;
        (out.len() == columns.len()).then(|| (at + 1).to_string())
    };
    let one = |e: &Expr<'_>| match e {
        Expr::Id(id) if here.find_column(None, id.0).is_none() => {
            alias(id.0).ok_or_else(|| format!("the name {}", id.0))
        }
        e if e.is_integer().is_some() => Ok(e.to_string()),
        e => translate(e, here).map(|(sql, _)| sql),
    };
    groups.iter().map(one).collect()
}

fn result_columns(
    columns: &[ResultColumn<'_>],
    inner: &[KnownColumn],
    here: &Scope<'_>,
) -> Translation<(String, Vec<KnownColumn>)> {
    let (mut list, mut out) = (Vec::new(), Vec::new());
    let mut push = |sql: String, name: String, ty: SqlType| {
        list.push(format!("{sql} as {}", Ident::new(&*name)));
        let quoted = Ident::new(&*name).to_string();
        out.push(KnownColumn { table: String::new(), name, sql: quoted, ty });
    };
    for column in columns {
        match column {
            ResultColumn::Star => inner.iter().for_each(|k| push(k.sql.clone(), k.name.clone(), k.ty)),
            ResultColumn::TableStar(table) => {
                let table = bare_name(table.0);
                let own = inner.iter().filter(|k| k.table.eq_ignore_ascii_case(&table));
                own.for_each(|k| push(k.sql.clone(), k.name.clone(), k.ty));
            }
            ResultColumn::Expr(e, alias) => {
                let (sql, ty) = translate(e, here)?;
                // A bare NULL or literal would be of type unknown.
                let sql = if ty == SqlType::Null { format!("{sql}::text") } else { sql };
                push(sql, column_alias(e, alias.as_ref()), ty);
            }
        }
    }
    Ok((list.join(", "), out))
}

/// What SQLite calls a column: its alias, the column's own name, or the expression's text.
fn column_alias(e: &Expr<'_>, alias: Option<&As<'_>>) -> String {
    match (alias, e) {
        (Some(As::As(n) | As::Elided(n)), _) => bare_name(n.0),
        (None, Expr::Id(id)) => bare_name(id.0),
        (None, Expr::Name(n) | Expr::Qualified(_, n) | Expr::DoublyQualified(_, _, n)) => bare_name(n.0),
        (None, e) => e.to_string(),
    }
}

fn from_clause(
    from: &FromClause<'_>,
    scope: &Scope<'_>,
    known: &mut Vec<KnownColumn>,
) -> Translation<String> {
    let first = from.select.ok_or("an empty FROM")?;
    let mut sql = from_item(first, scope, known)?;
    for join in from.joins.iter().flatten() {
        let before = known.len();
        let right = from_item(&join.table, scope, known)?;
        let word = match join.operator {
            JoinOperator::Comma | JoinOperator::TypedJoin(None) => "join",
            JoinOperator::TypedJoin(Some(t)) if t.contains(JoinType::NATURAL) => {
                return Err("NATURAL JOIN".into());
            }
            JoinOperator::TypedJoin(Some(t)) if t.contains(JoinType::LEFT | JoinType::RIGHT) => "full join",
            JoinOperator::TypedJoin(Some(t)) if t.contains(JoinType::LEFT) => "left join",
            JoinOperator::TypedJoin(Some(t)) if t.contains(JoinType::RIGHT) => "right join",
            JoinOperator::TypedJoin(Some(_)) => "join",
        };
        let on = match &join.constraint {
            Some(JoinConstraint::On(e)) => {
                translate_condition(e, &Scope { columns: known, outer: Some(scope), tables: scope.tables })?
            }
            Some(JoinConstraint::Using(names)) => {
                let (left, right) = known.split_at(before);
                let mut both = Vec::new();
                for n in names.iter() {
                    let of = |side: &[KnownColumn]| {
                        side.iter()
                            .find(|k| k.name.eq_ignore_ascii_case(&bare_name(n.0)))
                            .map(|k| k.sql.clone())
                    };
                    let (a, b) = of(left).zip(of(right)).ok_or_else(|| format!("USING ({})", n.0))?;
                    both.push(format!("{a} = {b}"));
                }
                // The right one of a pair is not a result column of its own.
                let hidden: Vec<String> = names.iter().map(|n| bare_name(n.0)).collect();
                let mut at = 0;
                known.retain(|k| {
                    at += 1;
                    at <= before || !hidden.iter().any(|h| k.name.eq_ignore_ascii_case(h))
                });
                both.join(" and ")
            }
            None => "true".into(),
        };
        sql = format!("{sql} {word} {right} on {on}");
    }
    Ok(sql)
}

fn from_item(item: &SelectTable<'_>, scope: &Scope<'_>, known: &mut Vec<KnownColumn>) -> Translation<String> {
    let alias = |a: &Option<As<'_>>| a.as_ref().map(|(As::As(n) | As::Elided(n))| bare_name(n.0));
    let (sql, columns, label) = match item {
        SelectTable::Table(name, a, _) => {
            let own = bare_name(name.name.0);
            let columns = scope.tables.and_then(|t| t(&own)).ok_or_else(|| format!("the table {own}"))?;
            let target = columns.first().map_or_else(|| own.clone(), |k| k.table.clone());
            (Ident::new(target).to_string(), columns, alias(a).unwrap_or(own))
        }
        SelectTable::Select(select, a) => {
            let (sql, columns) = translate_query(select, scope)?;
            (format!("({sql})"), columns, alias(a).unwrap_or_else(|| format!("q{}", known.len())))
        }
        SelectTable::TableCall(name, _, _) => return Err(format!("the table function {}", name.name.0)),
        SelectTable::Sub(from, _) => return from_clause(from, scope, known).map(|sql| format!("({sql})")),
    };
    let quoted = Ident::new(&*label);
    known.extend(columns.into_iter().map(|k| KnownColumn {
        sql: format!("{quoted}.{}", k.sql),
        table: label.clone(),
        ..k
    }));
    Ok(format!("{sql} as {quoted}"))
}
