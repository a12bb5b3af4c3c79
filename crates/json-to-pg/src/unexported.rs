//! Columns whose values `export` writes into no file.

use crate::model::compiled::{KnownTables, quote_table};
use crate::model::{ColumnSource, FilledColumn, FilledTable};
use crate::source::records::KEY;
use postgres::Client;
use std::collections::BTreeSet;
use toban_core::pg::{Ident, quote_literal};
use toban_core::{Context, Result};

/// Names the columns of a file's tables that hold values which no path of the file gets: the application added them, or has
/// written to them since the run, whose transaction this is.
///
/// # Errors
/// Those of the server.
pub(crate) fn list_unexported(
    client: &mut Client,
    table: &FilledTable,
    known: &KnownTables,
    transaction: &str,
) -> Result<Vec<String>> {
    let written = table.columns.iter().filter(|c| is_written(c));
    let own = RelationColumns {
        name: &table.name,
        create: table.create,
        written: written.map(|c| c.name.as_str()).collect(),
        filled: table.columns.iter().map(|c| c.name.as_str()).collect(),
    };
    let mut named = own.list_filled(client, known, transaction)?;
    for link in &table.links {
        let written: BTreeSet<&str> = [link.own.as_str(), link.other.as_str()].into();
        let link = RelationColumns { name: &link.table, create: false, filled: written.clone(), written };
        named.extend(link.list_filled(client, known, transaction)?);
    }
    for child in &table.children {
        named.extend(list_unexported(client, &child.table, known, transaction)?);
    }
    Ok(named)
}

/// Whether export writes it, as a member, as the name of a record or by the place that a record has.
fn is_written(column: &FilledColumn) -> bool {
    let is_place = matches!(column.source, ColumnSource::Above(_) | ColumnSource::Ordinal);
    column.exported || is_place || column.label == KEY
}

/// A table with what is known of its columns' fates.
struct RelationColumns<'a> {
    /// `schema.table`
    name: &'a str,
    /// The run made it.
    create: bool,
    written: BTreeSet<&'a str>,
    /// What the run filled, written by export or not.
    filled: BTreeSet<&'a str>,
}

impl RelationColumns<'_> {
    fn list_filled(
        &self,
        client: &mut Client,
        known: &KnownTables,
        transaction: &str,
    ) -> Result<Vec<String>> {
        let doing = || format!("look for columns of {} that no file gets", self.name);
        let Some(table) = known.get(self.name) else { return Ok(Vec::new()) };
        // ALTER TABLE … ADD COLUMN with a default leaves the rows as they are: only the catalogue's row shows its age.
        let sql = format!(
            "select attname::text from pg_attribute where attrelid = {}::regclass and attnum > 0 and not attisdropped \
             and age(xmin) < age({}::xid)",
            quote_literal(&quote_table(self.name)),
            quote_literal(transaction)
        );
        let rows = client.query(&sql, &[]).doing(doing)?;
        let altered: BTreeSet<String> = rows.iter().map(|r| r.get(0)).collect();
        let mut named = Vec::new();
        for column in table.columns.iter().filter(|c| c.generated.is_none()) {
            let name = column.name.as_str();
            // A key that no path gives is numbered by the server, and no record means anything by it.
            if self.written.contains(name) || table.key.iter().any(|k| k == name) {
                continue;
            }
            // What the run or the server's default filled was not in the files either; what was written since is the users'.
            let is_old = self.filled.contains(name)
                || (column.fills_itself && !self.create && !altered.contains(name));
            let since = match is_old {
                true => format!("and xmin <> {}::xid", quote_literal(transaction)),
                false => String::new(),
            };
            let (from, column) = (quote_table(self.name), Ident::new(name));
            let sql = format!("select count(*) from {from} where {column} is not null {since}");
            let rows: i64 = client.query_one(&sql, &[]).doing(doing)?.get(0);
            if rows > 0 {
                named.push(format!(
                    "{}.{name}: the values of {rows} rows are in no path of the file",
                    self.name
                ));
            }
        }
        Ok(named)
    }
}
