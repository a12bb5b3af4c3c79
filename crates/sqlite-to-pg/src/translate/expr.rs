//! One expression.

use super::compare::{self, are_comparable};
use super::scope::{Scope, SqlType};
use super::{Translation, Typed, function, pattern, select, time};
use crate::source::ddl::bare_name;
use sqlite3_parser::ast::{Expr, Literal, Operator, Type, UnaryOperator};
use toban_core::pg::quote_literal;

/// The expression in PostgreSQL's words, and its type.
pub(crate) fn translate(e: &Expr<'_>, scope: &Scope<'_>) -> Translation {
    match e {
        Expr::Literal(l) => translate_literal(l),
        Expr::Id(id) => translate_name(None, id.0, scope),
        Expr::Name(n) => translate_name(None, n.0, scope),
        Expr::Qualified(t, c) | Expr::DoublyQualified(_, t, c) => translate_name(Some(t.0), c.0, scope),
        Expr::Parenthesized(list) => match list.as_slice() {
            [one] => translate(one, scope).map(|(sql, ty)| (format!("({sql})"), ty)),
            _ => Err("a row value".into()),
        },
        Expr::Unary(op, inner) => translate_unary(*op, inner, scope),
        Expr::Binary(left, op, right) => translate_binary(left, *op, right, scope),
        Expr::IsNull(inner) => Ok((format!("({} is null)", translate(inner, scope)?.0), SqlType::Bool)),
        Expr::NotNull(inner) => Ok((format!("({} is not null)", translate(inner, scope)?.0), SqlType::Bool)),
        Expr::Between { lhs, not, start, end } => {
            let sql = translate_between(lhs, start, end, scope)?;
            Ok((negate_if(*not, sql), SqlType::Bool))
        }
        Expr::InList { lhs, not, rhs } => translate_in_list(lhs, *not, rhs.unwrap_or_default(), scope),
        Expr::Like { lhs, not, op, rhs, escape } => {
            let (sql, ty) = pattern::translate_like(*op, [lhs, rhs], *escape, scope)?;
            Ok((negate_if(*not, sql), ty))
        }
        Expr::Case { base, when_then_pairs, else_expr } => {
            translate_case(*base, when_then_pairs, *else_expr, scope)
        }
        Expr::Cast { expr, type_name } => translate_cast(expr, type_name.as_ref(), scope),
        Expr::Collate(inner, collation) => translate_collate(inner, collation, scope),
        Expr::FunctionCall { name, distinctness, args, filter_over, order_by } => {
            if filter_over.is_some() || order_by.is_some() {
                return Err(format!("{} with FILTER, OVER or ORDER BY", name.0));
            }
            function::translate_call(name.0, args.unwrap_or_default(), distinctness.is_some(), scope)
        }
        Expr::FunctionCallStar { name, filter_over: None } if name.0.eq_ignore_ascii_case("count") => {
            Ok(("count(*)".into(), SqlType::Int))
        }
        Expr::Subquery(query) => select::scalar_query(query, scope),
        Expr::Exists(query) => {
            let (sql, _) = select::translate_query(query, scope)?;
            Ok((format!("exists ({sql})"), SqlType::Bool))
        }
        Expr::InSelect { lhs, not, rhs } => {
            let ((left, left_ty), (query, right_ty)) =
                (translate(lhs, scope)?, select::scalar_query(rhs, scope)?);
            if !are_comparable(left_ty, right_ty) {
                return Err("IN over different types".into());
            }
            Ok((negate_if(*not, format!("({left} in {query})")), SqlType::Bool))
        }
        other => Err(format!("{other}")),
    }
}

/// The same as a condition: SQLite takes any number for one.
pub(crate) fn translate_condition(e: &Expr<'_>, scope: &Scope<'_>) -> Translation<String> {
    match translate(e, scope)? {
        (sql, SqlType::Bool) => Ok(sql),
        // What is neither 0 nor NULL is true (<https://sqlite.org/lang_expr.html#boolean_expressions>).
        (sql, ty) if ty.is_number() => Ok(format!("({sql} <> 0)")),
        (_, SqlType::Null) => Ok("null::boolean".into()),
        (sql, _) => Err(format!("{sql} as a condition")),
    }
}

pub(crate) fn negate_if(not: bool, sql: String) -> String {
    if not { format!("(not {sql})") } else { sql }
}

fn translate_literal(l: &Literal<'_>) -> Translation {
    Ok(match l {
        Literal::Null => ("null".into(), SqlType::Null),
        Literal::Numeric(digits) => return translate_number(digits),
        Literal::String(text) => (quote_literal(&bare_name(text)), SqlType::Text),
        Literal::Blob(hex) => {
            let digits = hex.trim_start_matches(['x', 'X']).trim_matches('\'');
            (format!("'\\x{digits}'::bytea"), SqlType::Bytes)
        }
        Literal::Keyword(word) => (quote_literal(&bare_name(word)), SqlType::Text),
        // A text in UTC, as SQLite makes it: a column of texts must go on holding the same form.
        Literal::CurrentTimestamp => (time::now_text("YYYY-MM-DD HH24:MI:SS"), SqlType::Text),
        Literal::CurrentDate => (time::now_text("YYYY-MM-DD"), SqlType::Text),
        Literal::CurrentTime => (time::now_text("HH24:MI:SS"), SqlType::Text),
    })
}

fn translate_number(digits: &str) -> Translation {
    let digits = digits.replace('_', "");
    if let Some(hex) = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        let n = u64::from_str_radix(hex, 16).map_err(|_| format!("the number {digits}"))?;
        return Ok((n.cast_signed().to_string(), SqlType::Int));
    }
    match digits.parse::<i64>() {
        Ok(n) => Ok((n.to_string(), SqlType::Int)),
        Err(_) => digits
            .parse::<f64>()
            .map_err(|_| format!("the number {digits}"))
            .map(|_| (digits, SqlType::Numeric)),
    }
}

/// A column; or a word in double quotes that is none, which SQLite takes for a text; or true and false.
fn translate_name(table: Option<&str>, name: &str, scope: &Scope<'_>) -> Translation {
    if let Some(known) = scope.find_column(table, name) {
        return Ok((known.sql.clone(), known.ty));
    }
    match name {
        n if table.is_none() && n.eq_ignore_ascii_case("true") => Ok(("true".into(), SqlType::Bool)),
        n if table.is_none() && n.eq_ignore_ascii_case("false") => Ok(("false".into(), SqlType::Bool)),
        // A misfeature that SQLite keeps: a name in double quotes that is none is a text
        // (<https://sqlite.org/quirks.html>).
        n if table.is_none() && n.starts_with('"') => Ok((quote_literal(&bare_name(n)), SqlType::Text)),
        _ => Err(format!("the name {name}")),
    }
}

fn translate_unary(op: UnaryOperator, inner: &Expr<'_>, scope: &Scope<'_>) -> Translation {
    if op == UnaryOperator::Not {
        return Ok((format!("(not {})", translate_condition(inner, scope)?), SqlType::Bool));
    }
    let (sql, ty) = translate(inner, scope)?;
    match (op, ty) {
        (UnaryOperator::Positive, _) => Ok((sql, ty)),
        (UnaryOperator::Negative, ty) if ty.is_number() => Ok((format!("(-{sql})"), ty)),
        (UnaryOperator::BitwiseNot, SqlType::Int) => Ok((format!("(~{sql})"), ty)),
        _ => Err(format!("a sign before {sql}")),
    }
}

fn translate_binary(left: &Expr<'_>, op: Operator, right: &Expr<'_>, scope: &Scope<'_>) -> Translation {
    use Operator as O;
    match op {
        O::And | O::Or => {
            let word = if op == O::And { "and" } else { "or" };
            Ok((
                format!(
                    "({} {word} {})",
                    translate_condition(left, scope)?,
                    translate_condition(right, scope)?
                ),
                SqlType::Bool,
            ))
        }
        O::Equals
        | O::NotEquals
        | O::Less
        | O::LessEquals
        | O::Greater
        | O::GreaterEquals
        | O::Is
        | O::IsNot => compare::compare_typed(translate(left, scope)?, op, translate(right, scope)?),
        O::Concat => {
            let (a, b) = (as_text(translate(left, scope)?)?, as_text(translate(right, scope)?)?);
            Ok((format!("({a} || {b})"), SqlType::Text))
        }
        O::ArrowRight | O::ArrowRightShift => {
            function::json_path(left, op == O::ArrowRightShift, right, scope)
        }
        _ => translate_arithmetic(translate(left, scope)?, op, translate(right, scope)?),
    }
}

/// A value as SQLite writes it into a text; doubles are written in other digits.
pub(crate) fn as_text(typed: Typed) -> Translation<String> {
    let (sql, ty) = typed;
    match ty {
        SqlType::Text | SqlType::NoCase | SqlType::Null => Ok(sql),
        SqlType::Int => Ok(format!("({sql})::text")),
        // SQLite's truth values are the integers 0 and 1, and so is their text.
        SqlType::Bool => Ok(format!("({sql})::int::text")),
        _ => Err(format!("{sql} as a text")),
    }
}

/// A number: true is 1.
pub(crate) fn as_number(typed: Typed) -> Translation {
    let (sql, ty) = typed;
    match ty {
        SqlType::Bool => Ok((format!("({sql})::int"), SqlType::Int)),
        SqlType::Null => Ok((sql, SqlType::Int)),
        ty if ty.is_number() => Ok((sql, ty)),
        _ => Err(format!("{sql} as a number")),
    }
}

fn translate_arithmetic(left: Typed, op: Operator, right: Typed) -> Translation {
    use Operator as O;
    let ((a, a_ty), (b, b_ty)) = (as_number(left)?, as_number(right)?);
    let whole = a_ty == SqlType::Int && b_ty == SqlType::Int;
    // SQLite computes with doubles; PostgreSQL's numeric would give other digits.
    let (x, y) =
        if whole { (a.clone(), b.clone()) } else { (format!("({a})::float8"), format!("({b})::float8")) };
    let ty = if whole { SqlType::Int } else { SqlType::Float };
    let sql = match op {
        O::Add => format!("({x} + {y})"),
        O::Subtract => format!("({x} - {y})"),
        O::Multiply => format!("({x} * {y})"),
        // Division by zero is NULL in SQLite.
        O::Divide => format!("({x} / nullif({y}, 0))"),
        O::Modulus if whole => format!("({x} % nullif({y}, 0))"),
        O::BitwiseAnd if whole => format!("({x} & {y})"),
        O::BitwiseOr if whole => format!("({x} | {y})"),
        O::LeftShift if whole => format!("({x} << ({y})::int)"),
        O::RightShift if whole => format!("({x} >> ({y})::int)"),
        _ => return Err(format!("an operator between {a} and {b}")),
    };
    Ok((sql, ty))
}

fn translate_between(
    lhs: &Expr<'_>,
    start: &Expr<'_>,
    end: &Expr<'_>,
    scope: &Scope<'_>,
) -> Translation<String> {
    let value = translate(lhs, scope)?;
    let (low, _) = compare::compare_typed(value.clone(), Operator::GreaterEquals, translate(start, scope)?)?;
    let (high, _) = compare::compare_typed(value, Operator::LessEquals, translate(end, scope)?)?;
    Ok(format!("({low} and {high})"))
}

fn translate_in_list(lhs: &Expr<'_>, not: bool, list: &[Expr<'_>], scope: &Scope<'_>) -> Translation {
    let value = translate(lhs, scope)?;
    let mut items = Vec::new();
    for item in list {
        let (left, right) = compare::unify_types(value.clone(), translate(item, scope)?, false)?;
        items.push((left, right));
    }
    let Some((left, _)) = items.first().cloned() else { return Ok((not.to_string(), SqlType::Bool)) };
    let sql = match items.iter().all(|(l, _)| *l == left) {
        true => {
            format!("({left} in ({}))", items.iter().map(|(_, r)| r.as_str()).collect::<Vec<_>>().join(", "))
        }
        false => {
            let each: Vec<String> = items.iter().map(|(l, r)| format!("{l} = {r}")).collect();
            format!("({})", each.join(" or "))
        }
    };
    Ok((negate_if(not, sql), SqlType::Bool))
}

fn translate_case(
    base: Option<&Expr<'_>>,
    pairs: &[(Expr<'_>, Expr<'_>)],
    other: Option<&Expr<'_>>,
    scope: &Scope<'_>,
) -> Translation {
    let mut whens = Vec::new();
    let mut results = Vec::new();
    for (when, then) in pairs {
        whens.push(match base {
            Some(base) => {
                compare::compare_typed(translate(base, scope)?, Operator::Equals, translate(when, scope)?)?.0
            }
            None => translate_condition(when, scope)?,
        });
        results.push(translate(then, scope)?);
    }
    let has_else = other.is_some();
    results.extend(other.map(|e| translate(e, scope)).transpose()?);
    let (results, ty) = compare::unify_results(results)?;
    let mut sql = String::from("(case");
    for (when, then) in whens.iter().zip(&results) {
        sql += &format!(" when {when} then {then}");
    }
    if has_else && let Some(last) = results.last() {
        sql += &format!(" else {last}");
    }
    Ok((sql + " end)", ty))
}

fn translate_cast(inner: &Expr<'_>, type_name: Option<&Type<'_>>, scope: &Scope<'_>) -> Translation {
    let (sql, ty) = translate(inner, scope)?;
    let name = type_name.map(|t| t.name.to_ascii_uppercase()).unwrap_or_default();
    let has = |part: &str| name.contains(part);
    if has("INT") {
        return match ty {
            SqlType::Int => Ok((sql, ty)),
            SqlType::Bool => Ok((format!("({sql})::int"), SqlType::Int)),
            SqlType::Float | SqlType::Numeric => Ok((format!("trunc({sql})::bigint"), SqlType::Int)),
            ty if ty.is_text() => Ok((
                format!("coalesce(substring({sql} from '^\\s*([+-]?\\d{{1,18}})')::bigint, 0)"),
                SqlType::Int,
            )),
            _ => Err(format!("{sql} as an integer")),
        };
    }
    if has("CHAR") || has("CLOB") || has("TEXT") {
        return as_text((sql, ty)).map(|sql| (sql, SqlType::Text));
    }
    if has("REAL") || has("FLOA") || has("DOUB") || has("NUM") || has("DEC") {
        return match ty {
            SqlType::Int if has("NUM") || has("DEC") => Ok((sql, ty)),
            ty if ty.is_number() => Ok((format!("({sql})::float8"), SqlType::Float)),
            _ => Err(format!("{sql} as a number")),
        };
    }
    Err(format!("CAST to {name}"))
}

fn translate_collate(inner: &Expr<'_>, collation: &str, scope: &Scope<'_>) -> Translation {
    let (sql, ty) = translate(inner, scope)?;
    match (bare_name(collation).to_ascii_uppercase().as_str(), ty) {
        (_, ty) if !ty.is_text() => Ok((sql, ty)),
        ("BINARY", _) => Ok((sql, SqlType::Text)),
        ("NOCASE", _) => Ok((sql, SqlType::NoCase)),
        ("RTRIM", _) => Ok((format!("rtrim({sql}, ' ')"), SqlType::Text)),
        (other, _) => Err(format!("the collation {other}")),
    }
}
