//! Statements: names in quotes, answers as text.

use postgres::{Client, SimpleQueryMessage};
use toban_core::pg::Ident;
use toban_core::{Context, Result};

/// `"schema"."name"`.
pub fn qualified_name(schema: &str, name: &str) -> String {
    format!("{}.{}", Ident::new(schema), Ident::new(name))
}

/// Quoted names with commas between.
pub fn name_list<S: AsRef<str>>(names: &[S]) -> String {
    names.iter().map(|n| Ident::new(n.as_ref()).to_string()).collect::<Vec<_>>().join(", ")
}

/// All rows of a query as text, by the simple protocol.
pub fn query_texts(client: &mut Client, sql: &str) -> Result<Vec<Vec<Option<String>>>> {
    // By the simple protocol every value comes in its text form, of whatever type it is.
    let messages = client.simple_query(sql).doing(|| "ask the target".into())?;
    let row = |m: SimpleQueryMessage| match m {
        SimpleQueryMessage::Row(r) => Some((0..r.len()).map(|i| r.get(i).map(String::from)).collect()),
        _ => None,
    };
    Ok(messages.into_iter().filter_map(row).collect())
}
