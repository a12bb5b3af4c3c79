//! DEFAULT, for a column of the type that was chosen.

use super::expr::translate;
use super::scope::{Scope, SqlType};
use super::{Translation, with_expr};
use crate::load::json;
use crate::model::{Column, Conversion};
use crate::source::ddl::bare_name;
use migrate::{text, timestamp};
use sqlite3_parser::ast::{Expr, Literal, UnaryOperator};
use toban_core::pg::quote_literal;

/// The default in PostgreSQL's SQL; none where it is NULL.
pub(crate) fn translate_default(sql: &str, column: &Column) -> Translation<Option<String>> {
    let ty = SqlType::from_name(&column.pg_type);
    with_expr(sql, |e| match parse_constant(e) {
        Some(Constant::Null) => Ok(None),
        Some(constant) => constant_sql(&constant, ty, column.conversion).map(Some),
        None => expression_sql(e, ty, column.conversion).map(Some),
    })
}

enum Constant {
    Null,
    Integer(i64),
    Real(f64, String),
    Text(String),
    Blob(String),
    Truth(bool),
}

fn parse_constant(e: &Expr<'_>) -> Option<Constant> {
    Some(match e {
        Expr::Parenthesized(list) if list.len() == 1 => return parse_constant(&list[0]),
        Expr::Literal(Literal::Null) => Constant::Null,
        Expr::Literal(Literal::Numeric(n)) => parse_number(n, "")?,
        Expr::Literal(Literal::String(text)) => Constant::Text(bare_name(text)),
        Expr::Literal(Literal::Blob(hex)) => {
            Constant::Blob(hex.trim_start_matches(['x', 'X']).trim_matches('\'').to_string())
        }
        Expr::Unary(UnaryOperator::Positive, inner) => return parse_constant(inner),
        // The least integer is one only with its sign.
        Expr::Unary(UnaryOperator::Negative, Expr::Literal(Literal::Numeric(n))) => parse_number(n, "-")?,
        Expr::Unary(UnaryOperator::Negative, inner) => match parse_constant(inner)? {
            Constant::Integer(n) => Constant::Integer(n.checked_neg()?),
            Constant::Real(n, digits) => Constant::Real(-n, format!("-{digits}")),
            _ => return None,
        },
        Expr::Id(id) => parse_word(id.0)?,
        Expr::Name(n) => parse_word(n.0)?,
        _ => return None,
    })
}

/// A number as SQLite writes it: also with an underscore between digits, or 0x and up to 64 bits.
fn parse_number(digits: &str, sign: &str) -> Option<Constant> {
    let digits = digits.replace('_', "");
    if let Some(hex) = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        // Hexadecimal integers are the bits of 64, in two's complement
        // (<https://sqlite.org/syntax/numeric-literal.html>).
        let bits = u64::from_str_radix(hex, 16).ok()?.cast_signed();
        return if sign.is_empty() { Some(bits) } else { bits.checked_neg() }.map(Constant::Integer);
    }
    let digits = format!("{sign}{digits}");
    Some(match digits.parse() {
        Ok(n) => Constant::Integer(n),
        Err(_) => Constant::Real(digits.parse().ok()?, digits),
    })
}

/// `DEFAULT true`, and `DEFAULT "text"` or `DEFAULT text`, which SQLite takes for texts.
fn parse_word(name: &str) -> Option<Constant> {
    Some(match name.to_ascii_lowercase().as_str() {
        "true" => Constant::Truth(true),
        "false" => Constant::Truth(false),
        _ => Constant::Text(bare_name(name)),
    })
}

fn constant_sql(constant: &Constant, ty: SqlType, conversion: Conversion) -> Translation<String> {
    let wrong = |shown: &str| Err(format!("the default {shown} does not fit the type"));
    match (constant, ty) {
        (Constant::Truth(t), SqlType::Bool) => Ok(t.to_string()),
        (Constant::Truth(t), _) => constant_sql(&Constant::Integer(i64::from(*t)), ty, conversion),
        (Constant::Integer(n @ (0 | 1)), SqlType::Bool) => Ok((*n == 1).to_string()),
        (Constant::Integer(n), SqlType::Int | SqlType::Numeric | SqlType::Float) => Ok(n.to_string()),
        (Constant::Integer(n), ty) if ty.is_text() => Ok(format!("'{n}'")),
        (Constant::Real(_, digits), SqlType::Numeric | SqlType::Float) => Ok(digits.clone()),
        // Beyond this the digits of a double are not those that were meant.
        (Constant::Real(n, _), SqlType::Int) if n.fract() == 0.0 && n.abs() < 9e15 => Ok(format!("{n:.0}")),
        (Constant::Real(_, digits), ty) if ty.is_text() => Ok(quote_literal(digits)),
        (Constant::Blob(hex), SqlType::Bytes) => Ok(format!("'\\x{hex}'::bytea")),
        (Constant::Text(text), ty) => text_sql(text, ty, conversion),
        (Constant::Integer(n), _) => wrong(&n.to_string()),
        (Constant::Real(_, digits), _) => wrong(digits),
        (Constant::Blob(hex), _) => wrong(&format!("x'{hex}'")),
        (Constant::Null, _) => Ok("null".into()),
    }
}

fn text_sql(text: &str, ty: SqlType, conversion: Conversion) -> Translation<String> {
    let moment = timestamp::parse_timestamp(text.as_bytes());
    let sql = match ty {
        ty if ty.is_text() => Some(quote_literal(text)),
        SqlType::Bytes => {
            let mut hex = Vec::new();
            text::push_hex(text.as_bytes(), &mut hex);
            Some(format!("'\\x{}'::bytea", String::from_utf8_lossy(&hex)))
        }
        ty if ty.is_number() => text.trim().parse::<f64>().ok().map(|_| text.trim().to_string()),
        SqlType::Bool => text::parse_truth(text.as_bytes())
            .filter(|_| conversion == Conversion::BoolWords || text == "0" || text == "1" || text.len() > 3)
            .map(|t| t.to_string()),
        SqlType::Json => json::is_json(text).then(|| quote_literal(text)),
        SqlType::Uuid => text::parse_uuid(text.as_bytes()).map(|_| quote_literal(text)),
        SqlType::Timestamptz => {
            moment.map(|m| quote_literal(&if m.zone.is_none() { format!("{text} +00") } else { text.into() }))
        }
        SqlType::Timestamp => moment.filter(|m| m.zone.is_none()).map(|_| quote_literal(text)),
        SqlType::Date => moment.filter(|m| m.day_only).map(|_| quote_literal(text)),
        SqlType::Time => timestamp::parse_clock(text.as_bytes()).map(|_| quote_literal(text)),
        _ => None,
    };
    sql.ok_or_else(|| format!("the default '{text}' does not fit the type"))
}

/// The present moment in every form that a column may hold it, and other expressions of the same type.
fn expression_sql(e: &Expr<'_>, ty: SqlType, conversion: Conversion) -> Translation<String> {
    let shown = e.to_string().to_ascii_lowercase().replace(' ', "");
    let shown = shown.trim_start_matches('(');
    let local = shown.contains("'localtime'");
    let now = shown.contains("'now'") || shown.starts_with("current_") || shown.contains("unixepoch()");
    let moves = ["'+", "'-", "'start"].iter().any(|m| shown.contains(m));
    let epoch = !matches!(conversion, Conversion::Timestamp | Conversion::Date | Conversion::Time);
    if now && !moves && (ty.is_time() || ty == SqlType::Time) {
        return Ok(match (ty, local) {
            (SqlType::Timestamptz, _) => "now()".into(),
            (SqlType::Timestamp, true) => "localtimestamp".into(),
            (SqlType::Timestamp, false) => "(now() at time zone 'utc')".into(),
            (SqlType::Date, true) => "current_date".into(),
            (SqlType::Date, false) => "((now() at time zone 'utc')::date)".into(),
            (_, true) => "localtime".into(),
            (_, false) => "((now() at time zone 'utc')::time)".into(),
        });
    }
    let (sql, found) = translate(e, &Scope::default())?;
    let fits = found == ty
        || (found.is_number() && matches!(ty, SqlType::Float | SqlType::Numeric))
        || (found.is_text() && ty.is_text());
    match (found, ty) {
        _ if fits && !(epoch && ty.is_time()) => Ok(sql),
        (SqlType::Text, SqlType::Int) if shown.starts_with("strftime('%s'") => Ok(format!("({sql})::bigint")),
        (SqlType::Text, SqlType::Timestamp) => Ok(format!("({sql})::timestamp")),
        (SqlType::Text, SqlType::Timestamptz) => Ok(format!("(({sql} || ' +00')::timestamptz)")),
        (SqlType::Text, SqlType::Date) => Ok(format!("({sql})::date")),
        (SqlType::Int, t) if t.is_text() => Ok(format!("({sql})::text")),
        _ => Err(format!("the default {e} does not fit the type")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(sql: &str, pg_type: &str) -> Option<String> {
        let column =
            Column { pg_type: pg_type.into(), conversion: Conversion::Timestamp, ..Column::default() };
        translate_default(sql, &column).ok().flatten()
    }

    #[test]
    fn the_table_of_defaults() {
        let cases = [
            ("null", "bigint", None),
            ("1", "boolean", Some("true")),
            ("'x''y'", "text", Some("'x''y'")),
            ("\"dq\"", "text", Some("'dq'")),
            ("-5", "bigint", Some("-5")),
            ("-9223372036854775808", "bigint", Some("-9223372036854775808")),
            ("(-(9223372036854775807))", "bigint", Some("-9223372036854775807")),
            ("-9223372036854775809", "numeric", Some("-9223372036854775809")),
            ("0x10", "bigint", Some("16")),
            ("0xffffffffffffffff", "bigint", Some("-1")),
            ("-0x10", "text", Some("'-16'")),
            ("1_000", "bigint", Some("1000")),
            ("+3", "bigint", Some("3")),
            ("x'ab'", "bytea", Some("'\\xab'::bytea")),
            ("current_timestamp", "timestamptz", Some("now()")),
            ("CURRENT_TIMESTAMP", "timestamp", Some("(now() at time zone 'utc')")),
            ("(datetime('now','localtime'))", "timestamp", Some("localtimestamp")),
            ("true", "bigint", Some("1")),
            ("(1+2)", "bigint", Some("(((1 + 2)))")),
            ("2.5", "double precision", Some("2.5")),
            ("5", "text", Some("'5'")),
            ("'{}'", "jsonb", Some("'{}'")),
            ("'2024-02-30'", "date", None),
            ("(my_function())", "text", None),
        ];
        for (sql, pg_type, expected) in cases {
            assert_eq!(of(sql, pg_type).as_deref(), expected, "{sql} {pg_type}");
        }
    }

    #[test]
    fn numbers_of_now() {
        let seconds = of("(strftime('%s','now'))", "bigint").expect("translated");
        assert!(seconds.contains("extract(epoch"), "{seconds}");
        assert!(of("(unixepoch())", "bigint").is_some_and(|s| s.contains("extract(epoch")));
        assert!(of("(lower(hex(randomblob(16))))", "text").is_some_and(|s| s.contains("gen_random_uuid")));
    }
}
