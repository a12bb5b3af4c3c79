//! SQLite's date and time functions.

use super::Translation;
use super::expr::translate;
use super::scope::{Scope, SqlType};
use sqlite3_parser::ast::Expr;

/// The present moment as SQLite writes it.
pub(crate) fn now_text(format: &str) -> String {
    format!("to_char(now() at time zone 'utc', '{format}')")
}

/// A call of `date`, `time`, `datetime`, `strftime`, `unixepoch` or `julianday`; none when it is another function.
pub(crate) fn translate_call(name: &str, args: &[Expr<'_>], scope: &Scope<'_>) -> Option<Translation> {
    let format = match name {
        "date" => "YYYY-MM-DD",
        "time" => "HH24:MI:SS",
        "datetime" => "YYYY-MM-DD HH24:MI:SS",
        "strftime" => return Some(translate_strftime(args, scope)),
        "unixepoch" | "julianday" => return Some(epoch_number(name, args, scope)),
        _ => return None,
    };
    Some(timestamp_sql(args, scope).map(|stamp| (format!("to_char({stamp}, '{format}')"), SqlType::Text)))
}

fn epoch_number(name: &str, args: &[Expr<'_>], scope: &Scope<'_>) -> Translation {
    let epoch = format!("extract(epoch from {})", timestamp_sql(args, scope)?);
    Ok(match name {
        "unixepoch" => (format!("floor({epoch})::bigint"), SqlType::Int),
        // 1970 began at noon of day 2440587, minus half a day.
        _ => (format!("({epoch} / 86400.0 + 2440587.5)::float8"), SqlType::Float),
    })
}

fn translate_strftime(args: &[Expr<'_>], scope: &Scope<'_>) -> Translation {
    let [format, rest @ ..] = args else { return Err("strftime without a format".into()) };
    let (format, _) = translate(format, scope)?;
    let stamp = timestamp_sql(rest, scope)?;
    if format == "'%s'" {
        return Ok((format!("floor(extract(epoch from {stamp}))::bigint::text"), SqlType::Text));
    }
    Ok((format!("to_char({stamp}, '{}')", to_char_format(format.trim_matches('\''))?), SqlType::Text))
}

/// strftime's letters in to_char's words.
fn to_char_format(format: &str) -> Translation<String> {
    let mut out = String::new();
    let mut letters = format.chars();
    while let Some(c) = letters.next() {
        if c != '%' {
            out += &if c.is_alphabetic() { format!("\"{c}\"") } else { c.to_string() };
            continue;
        }
        out += match letters.next() {
            Some('Y') => "YYYY",
            Some('m') => "MM",
            Some('d') => "DD",
            Some('H') => "HH24",
            Some('M') => "MI",
            Some('S') => "SS",
            Some('f') => "SS.MS",
            Some('j') => "DDD",
            Some('F') => "YYYY-MM-DD",
            Some('T') => "HH24:MI:SS",
            Some('R') => "HH24:MI",
            other => return Err(format!("strftime's %{}", other.unwrap_or(' '))),
        };
    }
    Ok(out)
}

/// The moment that the arguments mean, as a timestamp in UTC.
fn timestamp_sql(args: &[Expr<'_>], scope: &Scope<'_>) -> Translation<String> {
    let [first, modifiers @ ..] = args else { return Ok("(now() at time zone 'utc')".into()) };
    let mut sql = match translate(first, scope)? {
        (text, _) if text.eq_ignore_ascii_case("'now'") => "(now() at time zone 'utc')".to_string(),
        // SQLite's functions know no zone: everything is UTC (<https://sqlite.org/lang_datefunc.html>).
        (sql, SqlType::Timestamptz) => format!("({sql} at time zone 'utc')"),
        (sql, SqlType::Timestamp | SqlType::Date) => format!("({sql})::timestamp"),
        (sql, SqlType::Int)
            if modifiers.iter().any(|m| m.to_string().eq_ignore_ascii_case("'unixepoch'")) =>
        {
            format!("(to_timestamp({sql}) at time zone 'utc')")
        }
        (sql, _) => return Err(format!("{sql} as a time")),
    };
    for modifier in modifiers {
        sql = apply_modifier(&sql, &modifier.to_string())?;
    }
    Ok(sql)
}

fn apply_modifier(sql: &str, modifier: &str) -> Translation<String> {
    let word = modifier.trim_matches('\'').trim().to_ascii_lowercase();
    let parts: Vec<&str> = word.split_whitespace().collect();
    match parts.as_slice() {
        ["unixepoch" | "utc" | "subsec" | "subsecond"] => Ok(sql.to_string()),
        ["localtime"] => Ok(format!("({sql} at time zone 'utc' at time zone current_setting('timezone'))")),
        ["start", "of", unit @ ("day" | "month" | "year")] => Ok(format!("date_trunc('{unit}', {sql})")),
        [n, unit] if n.parse::<f64>().is_ok() => {
            let unit = unit.trim_end_matches('s');
            match ["second", "minute", "hour", "day", "month", "year"].contains(&unit) {
                true => Ok(format!("({sql} + interval '{n} {unit}')")),
                false => Err(format!("the modifier {modifier}")),
            }
        }
        _ => Err(format!("the modifier {modifier}")),
    }
}
