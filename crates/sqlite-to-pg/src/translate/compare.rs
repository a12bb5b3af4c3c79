//! Comparisons, with SQLite's affinities made explicit.

use super::Answer;
use super::scope::Ty;
use crate::load::moment;
use sqlite3_parser::ast::Operator;

type Typed = (String, Ty);

/// `left op right`.
///
/// # Errors
/// When the types cannot be compared as SQLite compares them.
pub(crate) fn compare(left: Typed, op: Operator, right: Typed) -> Answer {
    use Operator as O;
    let words = match op {
        O::Equals => "=",
        O::NotEquals => "<>",
        O::Less => "<",
        O::LessEquals => "<=",
        O::Greater => ">",
        O::GreaterEquals => ">=",
        O::Is => "is not distinct from",
        O::IsNot => "is distinct from",
        _ => return Err("an operator".into()),
    };
    if matches!(op, O::Is | O::IsNot) && right.1 == Ty::Null {
        let not = if op == O::IsNot { "not " } else { "" };
        return Ok((format!("({} is {not}null)", left.0), Ty::Bool));
    }
    let ordered = matches!(op, O::Less | O::LessEquals | O::Greater | O::GreaterEquals);
    let (a, b) = unified(left, right, ordered)?;
    Ok((format!("({a} {words} {b})"), Ty::Bool))
}

/// Both sides as one type. Texts that are `ordered` compare byte by byte, whatever the database's locale.
///
/// # Errors
/// When there is no such type.
pub(crate) fn unified(left: Typed, right: Typed, ordered: bool) -> Answer<(String, String)> {
    let ((a, a_ty), (b, b_ty)) = (left, right);
    match (a_ty, b_ty) {
        (Ty::Null, _) | (_, Ty::Null) => Ok((a, b)),
        (Ty::NoCase, t) | (t, Ty::NoCase) if t.is_text() => Ok((folded(&a), folded(&b))),
        (Ty::Text, Ty::Text) if ordered => Ok((format!("({a} collate \"C\")"), b)),
        (x, y) if x == y && x != Ty::Other && x != Ty::Json => Ok((a, b)),
        (x, y) if x.is_number() && y.is_number() => Ok((a, b)),
        (Ty::Bool, Ty::Int) => Ok(truth(a, b)),
        (Ty::Int, Ty::Bool) => Ok(swap(truth(b, a))),
        (x, t) if t.is_text() && is_literal(&b) => Ok((a, as_type(&b, x)?)),
        (t, y) if t.is_text() && is_literal(&a) => Ok((as_type(&a, y)?, b)),
        (t, Ty::Int) if t.is_text() && !ordered && is_digits(&b) => Ok((a, format!("'{b}'"))),
        (Ty::Int, t) if t.is_text() && !ordered && is_digits(&a) => Ok((format!("'{a}'"), b)),
        _ => Err(format!("a comparison of {a} with {b}")),
    }
}

/// Results of CASE, coalesce and their like, as one type.
///
/// # Errors
/// When there is none.
pub(crate) fn alike(all: Vec<Typed>) -> Answer<(Vec<String>, Ty)> {
    let types: Vec<Ty> = all.iter().map(|(_, ty)| *ty).filter(|ty| *ty != Ty::Null).collect();
    let Some(first) = types.first().copied() else {
        return Ok((all.into_iter().map(|(sql, _)| sql).collect(), Ty::Null));
    };
    if types.iter().all(|ty| *ty == first) {
        return Ok((all.into_iter().map(|(sql, _)| sql).collect(), first));
    }
    if types.iter().all(|ty| ty.is_number() || *ty == Ty::Bool) {
        let sql = |(sql, ty)| if ty == Ty::Bool { format!("({sql})::int") } else { sql };
        let ty = if types.iter().all(|t| matches!(t, Ty::Int | Ty::Bool)) { Ty::Int } else { Ty::Float };
        return Ok((all.into_iter().map(sql).collect(), ty));
    }
    if types.iter().all(|ty| ty.is_text()) {
        return Ok((all.into_iter().map(|(sql, _)| sql).collect(), Ty::Text));
    }
    Err("results of different types".into())
}

pub(crate) fn comparable(a: Ty, b: Ty) -> bool {
    a == b || (a.is_number() && b.is_number()) || (a.is_text() && b.is_text())
}

/// NOCASE folds A–Z and nothing else, as lower() does under "C".
pub(crate) fn folded(sql: &str) -> String {
    format!("lower({sql} collate \"C\")")
}

fn swap((a, b): (String, String)) -> (String, String) {
    (b, a)
}

fn truth(boolean: String, number: String) -> (String, String) {
    match number.as_str() {
        "0" => (boolean, "false".into()),
        "1" => (boolean, "true".into()),
        _ => (format!("({boolean})::int"), number),
    }
}

fn is_digits(sql: &str) -> bool {
    sql.strip_prefix('-').unwrap_or(sql).bytes().all(|b| b.is_ascii_digit())
}

pub(crate) fn is_literal(sql: &str) -> bool {
    sql.len() > 1
        && sql.starts_with('\'')
        && sql.ends_with('\'')
        && !sql[1..sql.len() - 1].replace("''", "").contains('\'')
}

/// A text literal compared with something of another type.
fn as_type(sql: &str, ty: Ty) -> Answer<String> {
    let text = sql[1..sql.len() - 1].replace("''", "'");
    let wrong = || format!("a comparison with {sql}");
    match ty {
        ty if ty.is_number() => {
            text.trim().parse::<f64>().map(|_| text.trim().to_string()).map_err(|_| wrong())
        }
        ty if ty.is_time() => {
            let name = if ty == Ty::Date {
                "date"
            } else if ty == Ty::Timestamp {
                "timestamp"
            } else {
                "timestamptz"
            };
            let found = moment::moment(text.as_bytes()).ok_or_else(wrong)?;
            // A day compared with moments, as texts, sorts before all of that day; so does its midnight.
            let zone = if ty == Ty::Timestamptz && found.zone.is_none() { " +00" } else { "" };
            Ok(format!("{name} '{text}{zone}'"))
        }
        Ty::Uuid => Ok(format!("{sql}::uuid")),
        Ty::Bool if text == "0" || text == "1" => Ok((text == "1").to_string()),
        _ => Err(wrong()),
    }
}
