//! The PostgreSQL side: tables, keys, and what moves them into place.

pub(crate) mod casts;
pub(crate) mod checks;
pub(crate) mod create;
pub(crate) mod definitions;
pub(crate) mod expressions;
pub(crate) mod foreign_keys;
pub(crate) mod indexes;
pub(crate) mod place;
pub(crate) mod sequences;
pub(crate) mod session;
pub(crate) mod shape;
pub(crate) mod undo;

use postgres::{Client, SimpleQueryMessage};
use toban_core::pg::Ident;
use toban_core::{Context, Result};

/// `"schema"."name"`.
pub(crate) fn qualified_name(schema: &str, name: &str) -> String {
    format!("{}.{}", Ident::new(schema), Ident::new(name))
}

/// Quoted names with commas between.
pub(crate) fn name_list<S: AsRef<str>>(names: &[S]) -> String {
    names.iter().map(|n| Ident::new(n.as_ref()).to_string()).collect::<Vec<_>>().join(", ")
}

/// All rows of a query as text, by the simple protocol.
pub(crate) fn query_texts(client: &mut Client, sql: &str) -> Result<Vec<Vec<Option<String>>>> {
    let messages = client.simple_query(sql).doing(|| "ask the target".into())?;
    let row = |m: SimpleQueryMessage| match m {
        SimpleQueryMessage::Row(r) => Some((0..r.len()).map(|i| r.get(i).map(String::from)).collect()),
        _ => None,
    };
    Ok(messages.into_iter().filter_map(row).collect())
}
