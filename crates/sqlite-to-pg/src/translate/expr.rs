//! One expression.

use super::compare::{self, comparable};
use super::function;
use super::pattern;
use super::scope::{Scope, Ty};
use super::select;
use super::{Answer, time};
use crate::source::ddl::bare;
use sqlite3_parser::ast::{Expr, Literal, Operator, Type, UnaryOperator};
use toban_core::pg::literal;

/// The expression in PostgreSQL's words, and its type.
///
/// # Errors
/// Why it cannot be said.
pub(crate) fn translate(e: &Expr<'_>, scope: &Scope<'_>) -> Answer {
    match e {
        Expr::Literal(l) => literals(l),
        Expr::Id(id) => name(None, id.0, scope),
        Expr::Name(n) => name(None, n.0, scope),
        Expr::Qualified(t, c) | Expr::DoublyQualified(_, t, c) => name(Some(t.0), c.0, scope),
        Expr::Parenthesized(list) => match list.as_slice() {
            [one] => translate(one, scope).map(|(sql, ty)| (format!("({sql})"), ty)),
            _ => Err("a row value".into()),
        },
        Expr::Unary(op, inner) => unary(*op, inner, scope),
        Expr::Binary(left, op, right) => binary(left, *op, right, scope),
        Expr::IsNull(inner) => Ok((format!("({} is null)", translate(inner, scope)?.0), Ty::Bool)),
        Expr::NotNull(inner) => Ok((format!("({} is not null)", translate(inner, scope)?.0), Ty::Bool)),
        Expr::Between { lhs, not, start, end } => between(lhs, *not, start, end, scope),
        Expr::InList { lhs, not, rhs } => in_list(lhs, *not, rhs.unwrap_or_default(), scope),
        Expr::Like { lhs, not, op, rhs, escape } => {
            let (sql, ty) = pattern::like(lhs, *op, rhs, *escape, scope)?;
            Ok((negated(*not, sql), ty))
        }
        Expr::Case { base, when_then_pairs, else_expr } => case(*base, when_then_pairs, *else_expr, scope),
        Expr::Cast { expr, type_name } => cast(expr, type_name.as_ref(), scope),
        Expr::Collate(inner, collation) => collate(inner, collation, scope),
        Expr::FunctionCall { name, distinctness, args, filter_over, order_by } => {
            if filter_over.is_some() || order_by.is_some() {
                return Err(format!("{} with FILTER, OVER or ORDER BY", name.0));
            }
            function::call(name.0, args.unwrap_or_default(), distinctness.is_some(), scope)
        }
        Expr::FunctionCallStar { name, filter_over: None } if name.0.eq_ignore_ascii_case("count") => {
            Ok(("count(*)".into(), Ty::Int))
        }
        Expr::Subquery(query) => select::scalar(query, scope),
        Expr::Exists(query) => {
            let (sql, _) = select::query(query, scope)?;
            Ok((format!("exists ({sql})"), Ty::Bool))
        }
        Expr::InSelect { lhs, not, rhs } => {
            let ((left, left_ty), (query, right_ty)) = (translate(lhs, scope)?, select::scalar(rhs, scope)?);
            if !comparable(left_ty, right_ty) {
                return Err("IN over different types".into());
            }
            Ok((negated(*not, format!("({left} in {query})")), Ty::Bool))
        }
        other => Err(format!("{other}")),
    }
}

/// The same as a condition: SQLite takes any number for one.
///
/// # Errors
/// Why it cannot be said.
pub(crate) fn logical(e: &Expr<'_>, scope: &Scope<'_>) -> Answer<String> {
    match translate(e, scope)? {
        (sql, Ty::Bool) => Ok(sql),
        (sql, ty) if ty.is_number() => Ok(format!("({sql} <> 0)")),
        (_, Ty::Null) => Ok("null::boolean".into()),
        (sql, _) => Err(format!("{sql} as a condition")),
    }
}

pub(crate) fn negated(not: bool, sql: String) -> String {
    if not { format!("(not {sql})") } else { sql }
}

fn literals(l: &Literal<'_>) -> Answer {
    Ok(match l {
        Literal::Null => ("null".into(), Ty::Null),
        Literal::Numeric(digits) => return number(digits),
        Literal::String(text) => (literal(&bare(text)), Ty::Text),
        Literal::Blob(hex) => {
            let digits = hex.trim_start_matches(['x', 'X']).trim_matches('\'');
            (format!("'\\x{digits}'::bytea"), Ty::Bytes)
        }
        Literal::Keyword(word) => (literal(&bare(word)), Ty::Text),
        Literal::CurrentTimestamp => (time::now_text("YYYY-MM-DD HH24:MI:SS"), Ty::Text),
        Literal::CurrentDate => (time::now_text("YYYY-MM-DD"), Ty::Text),
        Literal::CurrentTime => (time::now_text("HH24:MI:SS"), Ty::Text),
    })
}

fn number(digits: &str) -> Answer {
    let digits = digits.replace('_', "");
    if let Some(hex) = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        let n = u64::from_str_radix(hex, 16).map_err(|_| format!("the number {digits}"))?;
        return Ok((n.cast_signed().to_string(), Ty::Int));
    }
    match digits.parse::<i64>() {
        Ok(n) => Ok((n.to_string(), Ty::Int)),
        Err(_) => {
            digits.parse::<f64>().map_err(|_| format!("the number {digits}")).map(|_| (digits, Ty::Numeric))
        }
    }
}

/// A column; or a word in double quotes that is none, which SQLite takes for a text; or true and false.
fn name(table: Option<&str>, name: &str, scope: &Scope<'_>) -> Answer {
    if let Some(known) = scope.find(table, name) {
        return Ok((known.sql.clone(), known.ty));
    }
    match name {
        n if table.is_none() && n.eq_ignore_ascii_case("true") => Ok(("true".into(), Ty::Bool)),
        n if table.is_none() && n.eq_ignore_ascii_case("false") => Ok(("false".into(), Ty::Bool)),
        n if table.is_none() && n.starts_with('"') => Ok((literal(&bare(n)), Ty::Text)),
        _ => Err(format!("the name {name}")),
    }
}

fn unary(op: UnaryOperator, inner: &Expr<'_>, scope: &Scope<'_>) -> Answer {
    if op == UnaryOperator::Not {
        return Ok((format!("(not {})", logical(inner, scope)?), Ty::Bool));
    }
    let (sql, ty) = translate(inner, scope)?;
    match (op, ty) {
        (UnaryOperator::Positive, _) => Ok((sql, ty)),
        (UnaryOperator::Negative, ty) if ty.is_number() => Ok((format!("(-{sql})"), ty)),
        (UnaryOperator::BitwiseNot, Ty::Int) => Ok((format!("(~{sql})"), ty)),
        _ => Err(format!("a sign before {sql}")),
    }
}

fn binary(left: &Expr<'_>, op: Operator, right: &Expr<'_>, scope: &Scope<'_>) -> Answer {
    use Operator as O;
    match op {
        O::And | O::Or => {
            let word = if op == O::And { "and" } else { "or" };
            Ok((format!("({} {word} {})", logical(left, scope)?, logical(right, scope)?), Ty::Bool))
        }
        O::Equals
        | O::NotEquals
        | O::Less
        | O::LessEquals
        | O::Greater
        | O::GreaterEquals
        | O::Is
        | O::IsNot => compare::compare(translate(left, scope)?, op, translate(right, scope)?),
        O::Concat => {
            let (a, b) = (as_text(translate(left, scope)?)?, as_text(translate(right, scope)?)?);
            Ok((format!("({a} || {b})"), Ty::Text))
        }
        O::ArrowRight | O::ArrowRightShift => function::arrow(left, op == O::ArrowRightShift, right, scope),
        _ => arithmetic(translate(left, scope)?, op, translate(right, scope)?),
    }
}

/// A value as SQLite writes it into a text; doubles are written in other digits.
pub(crate) fn as_text((sql, ty): (String, Ty)) -> Answer<String> {
    match ty {
        Ty::Text | Ty::NoCase | Ty::Null => Ok(sql),
        Ty::Int => Ok(format!("({sql})::text")),
        Ty::Bool => Ok(format!("({sql})::int::text")),
        _ => Err(format!("{sql} as a text")),
    }
}

/// A number: true is 1.
pub(crate) fn as_number((sql, ty): (String, Ty)) -> Answer {
    match ty {
        Ty::Bool => Ok((format!("({sql})::int"), Ty::Int)),
        Ty::Null => Ok((sql, Ty::Int)),
        ty if ty.is_number() => Ok((sql, ty)),
        _ => Err(format!("{sql} as a number")),
    }
}

fn arithmetic(left: (String, Ty), op: Operator, right: (String, Ty)) -> Answer {
    use Operator as O;
    let ((a, a_ty), (b, b_ty)) = (as_number(left)?, as_number(right)?);
    let whole = a_ty == Ty::Int && b_ty == Ty::Int;
    // SQLite computes with doubles; PostgreSQL's numeric would give other digits.
    let (x, y) =
        if whole { (a.clone(), b.clone()) } else { (format!("({a})::float8"), format!("({b})::float8")) };
    let ty = if whole { Ty::Int } else { Ty::Float };
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

fn between(lhs: &Expr<'_>, not: bool, start: &Expr<'_>, end: &Expr<'_>, scope: &Scope<'_>) -> Answer {
    let value = translate(lhs, scope)?;
    let (low, _) = compare::compare(value.clone(), Operator::GreaterEquals, translate(start, scope)?)?;
    let (high, _) = compare::compare(value, Operator::LessEquals, translate(end, scope)?)?;
    Ok((negated(not, format!("({low} and {high})")), Ty::Bool))
}

fn in_list(lhs: &Expr<'_>, not: bool, list: &[Expr<'_>], scope: &Scope<'_>) -> Answer {
    let value = translate(lhs, scope)?;
    let mut items = Vec::new();
    for item in list {
        let (left, right) = compare::unified(value.clone(), translate(item, scope)?, false)?;
        items.push((left, right));
    }
    let Some((left, _)) = items.first().cloned() else { return Ok((not.to_string(), Ty::Bool)) };
    let sql = match items.iter().all(|(l, _)| *l == left) {
        true => {
            format!("({left} in ({}))", items.iter().map(|(_, r)| r.as_str()).collect::<Vec<_>>().join(", "))
        }
        false => {
            let each: Vec<String> = items.iter().map(|(l, r)| format!("{l} = {r}")).collect();
            format!("({})", each.join(" or "))
        }
    };
    Ok((negated(not, sql), Ty::Bool))
}

fn case(
    base: Option<&Expr<'_>>,
    pairs: &[(Expr<'_>, Expr<'_>)],
    other: Option<&Expr<'_>>,
    scope: &Scope<'_>,
) -> Answer {
    let mut whens = Vec::new();
    let mut results = Vec::new();
    for (when, then) in pairs {
        whens.push(match base {
            Some(base) => {
                compare::compare(translate(base, scope)?, Operator::Equals, translate(when, scope)?)?.0
            }
            None => logical(when, scope)?,
        });
        results.push(translate(then, scope)?);
    }
    let has_else = other.is_some();
    results.extend(other.map(|e| translate(e, scope)).transpose()?);
    let (results, ty) = compare::alike(results)?;
    let mut sql = String::from("(case");
    for (when, then) in whens.iter().zip(&results) {
        sql += &format!(" when {when} then {then}");
    }
    if has_else && let Some(last) = results.last() {
        sql += &format!(" else {last}");
    }
    Ok((sql + " end)", ty))
}

fn cast(inner: &Expr<'_>, type_name: Option<&Type<'_>>, scope: &Scope<'_>) -> Answer {
    let (sql, ty) = translate(inner, scope)?;
    let name = type_name.map(|t| t.name.to_ascii_uppercase()).unwrap_or_default();
    let has = |part: &str| name.contains(part);
    if has("INT") {
        return match ty {
            Ty::Int => Ok((sql, ty)),
            Ty::Bool => Ok((format!("({sql})::int"), Ty::Int)),
            Ty::Float | Ty::Numeric => Ok((format!("trunc({sql})::bigint"), Ty::Int)),
            ty if ty.is_text() => {
                Ok((format!("coalesce(substring({sql} from '^\\s*([+-]?\\d{{1,18}})')::bigint, 0)"), Ty::Int))
            }
            _ => Err(format!("{sql} as an integer")),
        };
    }
    if has("CHAR") || has("CLOB") || has("TEXT") {
        return as_text((sql, ty)).map(|sql| (sql, Ty::Text));
    }
    if has("REAL") || has("FLOA") || has("DOUB") || has("NUM") || has("DEC") {
        return match ty {
            Ty::Int if has("NUM") || has("DEC") => Ok((sql, ty)),
            ty if ty.is_number() => Ok((format!("({sql})::float8"), Ty::Float)),
            _ => Err(format!("{sql} as a number")),
        };
    }
    Err(format!("CAST to {name}"))
}

fn collate(inner: &Expr<'_>, collation: &str, scope: &Scope<'_>) -> Answer {
    let (sql, ty) = translate(inner, scope)?;
    match (bare(collation).to_ascii_uppercase().as_str(), ty) {
        (_, ty) if !ty.is_text() => Ok((sql, ty)),
        ("BINARY", _) => Ok((sql, Ty::Text)),
        ("NOCASE", _) => Ok((sql, Ty::NoCase)),
        ("RTRIM", _) => Ok((format!("rtrim({sql}, ' ')"), Ty::Text)),
        (other, _) => Err(format!("the collation {other}")),
    }
}
