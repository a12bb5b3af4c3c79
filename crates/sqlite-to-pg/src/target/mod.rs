//! The PostgreSQL side: tables, keys, and what moves them into place.

pub(crate) mod casts;
pub(crate) mod checks;
pub(crate) mod constraints;
pub(crate) mod create;
pub(crate) mod existing;
pub(crate) mod expressions;
pub(crate) mod indexes;
pub(crate) mod place;
pub(crate) mod sequences;
pub(crate) mod session;
pub(crate) mod shape;
pub(crate) mod undo;
pub(crate) mod wire;

use toban_core::pg::Ident;

/// `"schema"."name"`.
pub(crate) fn qualified(schema: &str, name: &str) -> String {
    format!("{}.{}", Ident::new(schema), Ident::new(name))
}

/// Quoted names with commas between.
pub(crate) fn list<S: AsRef<str>>(names: &[S]) -> String {
    names.iter().map(|n| Ident::new(n.as_ref()).to_string()).collect::<Vec<_>>().join(", ")
}
