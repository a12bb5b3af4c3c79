//! SQLite's expressions in PostgreSQL's SQL. What means the same in no way is not translated: the reason is the answer.

pub(crate) mod compare;
pub(crate) mod default;
pub(crate) mod expr;
pub(crate) mod function;
pub(crate) mod pattern;
pub(crate) mod scope;
pub(crate) mod select;
pub(crate) mod time;

pub(crate) use expr::{translate, translate_condition};
pub(crate) use scope::{KnownColumn, Scope, SqlType};

use crate::source::ddl;
use sqlite3_parser::ast::{Expr, OneSelect, ResultColumn, Stmt};

/// An expression in PostgreSQL's SQL, and its type.
pub(crate) type Typed = (String, SqlType);

/// A translation, or why there is none.
pub(crate) type Translation<T = Typed> = Result<T, String>;

/// Parses one expression and gives it to `look`.
pub(crate) fn with_expr<T>(sql: &str, look: impl FnOnce(&Expr<'_>) -> Translation<T>) -> Translation<T> {
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
pub(crate) fn parse_condition(sql: &str, scope: &Scope<'_>) -> Translation<String> {
    with_expr(sql, |e| translate_condition(e, scope))
}
