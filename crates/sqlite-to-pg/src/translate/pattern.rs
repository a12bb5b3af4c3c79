//! LIKE and GLOB.

use super::Translation;
use super::compare::{fold_case, is_literal};
use super::expr::{as_text, translate};
use super::scope::{Scope, SqlType};
use sqlite3_parser::ast::{Expr, LikeOperator};
use toban_core::pg::quote_literal;

/// `lhs LIKE rhs` and its relatives.
///
/// # Errors
/// REGEXP and MATCH belong to the application; a GLOB of anything but a literal.
pub(crate) fn translate_like(
    op: LikeOperator,
    [lhs, rhs]: [&Expr<'_>; 2],
    escape: Option<&Expr<'_>>,
    scope: &Scope<'_>,
) -> Translation {
    let value = as_text(translate(lhs, scope)?)?;
    let (pattern, ty) = translate(rhs, scope)?;
    if !ty.is_text() {
        return Err(format!("the pattern {pattern}"));
    }
    match op {
        // SQLite's LIKE does not regard the case of A–Z, and nothing escapes unless ESCAPE says so.
        LikeOperator::Like => {
            let escape = match escape {
                Some(e) => translate(e, scope)?.0,
                None => "''".into(),
            };
            Ok((
                format!("({} like {} escape {escape})", fold_case(&value), fold_case(&pattern)),
                SqlType::Bool,
            ))
        }
        LikeOperator::Glob if is_literal(&pattern) => {
            // GLOB regards case and has classes
            // (<https://sqlite.org/lang_expr.html#the_like_glob_regexp_match_and_extract_operators>); a regular
            // expression under "C" does the same byte by byte.
            let text = pattern[1..pattern.len() - 1].replace("''", "'");
            Ok((format!("({value} collate \"C\" ~ {})", quote_literal(&glob_regex(&text))), SqlType::Bool))
        }
        _ => Err(format!("{op:?}")),
    }
}

/// A GLOB pattern as a regular expression of PostgreSQL.
fn glob_regex(glob: &str) -> String {
    let mut out = String::from("^");
    let mut rest = glob.chars();
    while let Some(c) = rest.next() {
        match c {
            '*' => out.push_str(".*"),
            '?' => out.push('.'),
            '[' => out += &glob_class(&mut rest),
            c if c.is_alphanumeric() || c == ' ' || c == '_' || c == '-' => out.push(c),
            c if c.is_ascii() => out.extend(['\\', c]),
            c => out.push(c),
        }
    }
    out + "$"
}

fn glob_class(rest: &mut std::str::Chars<'_>) -> String {
    let mut inner = String::new();
    for c in rest.by_ref() {
        if c == ']' && !inner.is_empty() && inner != "^" {
            break;
        }
        if c == '\\' {
            inner.push('\\');
        }
        inner.push(c);
    }
    format!("[{inner}]")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_become_regular_expressions() {
        let cases = [("a*", "^a.*$"), ("?b.c", "^.b\\.c$"), ("[0-9][^a]", "^[0-9][^a]$"), ("x+", "^x\\+$")];
        cases.iter().for_each(|(glob, expected)| assert_eq!(glob_regex(glob), *expected));
    }
}
