//! SQLite's expressions in PostgreSQL's words. What cannot be said the same way is not said: the reason is the answer.

pub(crate) mod compare;
pub(crate) mod default;
pub(crate) mod expr;
pub(crate) mod function;
pub(crate) mod pattern;
pub(crate) mod scope;
pub(crate) mod select;
pub(crate) mod time;

pub(crate) use expr::{logical, translate};
pub(crate) use scope::{Known, Scope, Ty};

use crate::source::ddl;
use sqlite3_parser::ast::{Expr, OneSelect, ResultColumn, Stmt};

/// A translation, or why there is none.
pub(crate) type Answer<T = (String, Ty)> = Result<T, String>;

/// Parses one expression and gives it to `look`.
///
/// # Errors
/// When it does not parse.
pub(crate) fn with_expr<T>(sql: &str, look: impl FnOnce(&Expr<'_>) -> Answer<T>) -> Answer<T> {
    let statement = format!("select ({sql})");
    let found = ddl::with_statement(&statement, |s| match s {
        Stmt::Select(select) => match &select.body.select {
            OneSelect::Select { columns: [ResultColumn::Expr(expr, _)], .. } => Some(look(expr)),
            _ => None,
        },
        _ => None,
    });
    found.flatten().unwrap_or_else(|| Err("the parser does not understand it".into()))
}

/// A condition (CHECK, a partial index's WHERE) over the columns of `scope`.
///
/// # Errors
/// Why it cannot be said.
pub(crate) fn condition(sql: &str, scope: &Scope<'_>) -> Answer<String> {
    with_expr(sql, |e| logical(e, scope))
}
