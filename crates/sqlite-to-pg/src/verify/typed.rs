//! Checks of the source that the target's types see to: an enum instead of `in (…)`, varchar(n) instead of a length.

use super::form::Form;
use super::matching::renamed;
use super::pair;
use super::target::{Column, Table};
use super::words::{self, Wanted};
use rusqlite::Connection;
use toban_core::pg::Ident;

/// The check `text` over the source's columns `own`, which the target shall have; none when its types see to it, or it
/// has not all these columns.
pub(super) fn check(
    reader: &Connection,
    text: &str,
    own: &[String],
    (columns, target): (&[pair::Column], &Table),
) -> Option<Wanted> {
    let own: Vec<String> = words::named(text, own).into_iter().collect();
    let names = renamed(&own, columns)?;
    let typed = |(own, name): (_, &String)| Some((own, target.columns.iter().find(|c| c.name == *name)?));
    let typed: Option<Vec<_>> = own.iter().map(String::as_str).zip(&names).map(typed).collect();
    let lacks = !kept(reader, text, &typed?);
    let columns = names.into_iter().collect();
    lacks.then(|| Wanted { name: format!("({text})"), columns, ..Wanted::default() })
}

/// Whether the types of `columns` (the source's name, the target's column) keep what the check `text` asks for. Where
/// that cannot be told they do: a check that lacks is claimed for certain, or not at all.
fn kept(reader: &Connection, text: &str, columns: &[(&str, &Column)]) -> bool {
    let closed = |c: &Column| c.form == Form::Bool || c.checked || !c.labels.is_empty();
    match columns {
        [(name, column)] => alone(reader, text, (name, column)),
        _ => !columns.is_empty() && columns.iter().all(|(_, c)| closed(c)),
    }
}

fn alone(reader: &Connection, text: &str, (name, column): (&str, &Column)) -> bool {
    let says = |call: &str| text.to_ascii_lowercase().replace(' ', "").contains(call);
    match column.form {
        _ if !column.labels.is_empty() => column.labels.iter().all(|l| holds(reader, text, (name, l))),
        _ if column.checked || says("typeof(") => true,
        Form::Text | Form::Padded => {
            let longest = column.bounds.length.filter(|_| says("length("));
            longest.is_some_and(|n| holds(reader, text, (name, &"x".repeat(n))))
        }
        Form::Int2
        | Form::Int4
        | Form::Int8
        | Form::Float4
        | Form::Float8
        | Form::Numeric
        | Form::Money
        | Form::Bytes => false,
        // SQLite keeps such values in words of its own, and its check speaks of these.
        _ => true,
    }
}

/// Whether SQLite lets `value` through as a text, in whatever case, or as a number; also when it cannot say.
fn holds(reader: &Connection, text: &str, (name, value): (&str, &str)) -> bool {
    let name = Ident::new(name);
    let asked = |form: &&str| {
        let sql = format!("select coalesce(({text}), 1) from (select {form} as {name})");
        reader.query_row(&sql, [value], |r| r.get::<_, bool>(0)).unwrap_or(true)
    };
    let forms = ["?1", "?1 collate nocase", "cast(?1 as numeric)"];
    forms[..if value.parse::<f64>().is_ok() { 3 } else { 2 }].iter().any(asked)
}
