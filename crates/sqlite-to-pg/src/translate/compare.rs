//! Comparisons, with SQLite's affinities made explicit.

use super::scope::SqlType;
use super::{Translation, Typed};
use migrate::timestamp;
use sqlite3_parser::ast::Operator;

/// `left op right`.
///
/// # Errors
/// When the types cannot be compared as SQLite compares them.
pub(crate) fn compare_typed(left: Typed, op: Operator, right: Typed) -> Translation {
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
    if matches!(op, O::Is | O::IsNot) && right.1 == SqlType::Null {
        let not = if op == O::IsNot { "not " } else { "" };
        return Ok((format!("({} is {not}null)", left.0), SqlType::Bool));
    }
    let ordered = matches!(op, O::Less | O::LessEquals | O::Greater | O::GreaterEquals);
    let (a, b) = unify_types(left, right, ordered)?;
    Ok((format!("({a} {words} {b})"), SqlType::Bool))
}

/// Both sides as one type. Texts that are `ordered` compare byte by byte, whatever the database's locale.
pub(crate) fn unify_types(left: Typed, right: Typed, ordered: bool) -> Translation<(String, String)> {
    let ((a, a_ty), (b, b_ty)) = (left, right);
    match (a_ty, b_ty) {
        (SqlType::Null, _) | (_, SqlType::Null) => Ok((a, b)),
        // The column's collation decides for both sides (<https://sqlite.org/datatype3.html#collation>).
        (SqlType::NoCase, t) | (t, SqlType::NoCase) if t.is_text() => Ok((fold_case(&a), fold_case(&b))),
        (SqlType::Text, SqlType::Text) if ordered => Ok((format!("({a} collate \"C\")"), b)),
        (x, y) if x == y && x != SqlType::Other && x != SqlType::Json => Ok((a, b)),
        (x, y) if x.is_number() && y.is_number() => Ok((a, b)),
        (SqlType::Bool, SqlType::Int) => Ok(compare_truth(a, b)),
        (SqlType::Int, SqlType::Bool) => {
            let (boolean, number) = compare_truth(b, a);
            Ok((number, boolean))
        }
        // A column with an affinity makes a number of the text before it compares
        // (<https://sqlite.org/datatype3.html#affinity_of_comparison_operands>); what does not become one is refused
        // here.
        (x, t) if t.is_text() && is_literal(&b) => Ok((a, literal_as_type(&b, x)?)),
        (t, y) if t.is_text() && is_literal(&a) => Ok((literal_as_type(&a, y)?, b)),
        // Against a column of texts the number becomes its digits; their order would be another, so only equality is
        // taken.
        (t, SqlType::Int) if t.is_text() && !ordered && is_digits(&b) => Ok((a, format!("'{b}'"))),
        (SqlType::Int, t) if t.is_text() && !ordered && is_digits(&a) => Ok((format!("'{a}'"), b)),
        _ => Err(format!("a comparison of {a} with {b}")),
    }
}

/// Results of CASE, coalesce and their like, as one type.
pub(crate) fn unify_results(all: Vec<Typed>) -> Translation<(Vec<String>, SqlType)> {
    let types: Vec<SqlType> = all.iter().map(|(_, ty)| *ty).filter(|ty| *ty != SqlType::Null).collect();
    let Some(first) = types.first().copied() else {
        return Ok((all.into_iter().map(|(sql, _)| sql).collect(), SqlType::Null));
    };
    if types.iter().all(|ty| *ty == first) {
        return Ok((all.into_iter().map(|(sql, _)| sql).collect(), first));
    }
    if types.iter().all(|ty| ty.is_number() || *ty == SqlType::Bool) {
        let sql = |(sql, ty)| if ty == SqlType::Bool { format!("({sql})::int") } else { sql };
        let ty = if types.iter().all(|t| matches!(t, SqlType::Int | SqlType::Bool)) {
            SqlType::Int
        } else {
            SqlType::Float
        };
        return Ok((all.into_iter().map(sql).collect(), ty));
    }
    if types.iter().all(|ty| ty.is_text()) {
        return Ok((all.into_iter().map(|(sql, _)| sql).collect(), SqlType::Text));
    }
    Err("results of different types".into())
}

pub(crate) fn are_comparable(a: SqlType, b: SqlType) -> bool {
    a == b || (a.is_number() && b.is_number()) || (a.is_text() && b.is_text())
}

/// NOCASE folds A–Z and nothing else, as lower() does under "C".
pub(crate) fn fold_case(sql: &str) -> String {
    format!("lower({sql} collate \"C\")")
}

fn compare_truth(boolean: String, number: String) -> (String, String) {
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
fn literal_as_type(sql: &str, ty: SqlType) -> Translation<String> {
    let text = sql[1..sql.len() - 1].replace("''", "'");
    let wrong = || format!("a comparison with {sql}");
    match ty {
        ty if ty.is_number() => {
            text.trim().parse::<f64>().map(|_| text.trim().to_string()).map_err(|_| wrong())
        }
        ty if ty.is_time() => {
            let name = if ty == SqlType::Date {
                "date"
            } else if ty == SqlType::Timestamp {
                "timestamp"
            } else {
                "timestamptz"
            };
            let found = timestamp::parse_timestamp(text.as_bytes()).ok_or_else(wrong)?;
            // A day compared with moments, as texts, sorts before all of that day; so does its midnight.
            let zone = if ty == SqlType::Timestamptz && found.zone.is_none() { " +00" } else { "" };
            Ok(format!("{name} '{text}{zone}'"))
        }
        SqlType::Uuid => Ok(format!("{sql}::uuid")),
        SqlType::Bool if text == "0" || text == "1" => Ok((text == "1").to_string()),
        _ => Err(wrong()),
    }
}
