//! Names that stand for rows: which key each has.

use super::encode::{ValueEncoder, Zones};
use super::misfit::Misfit;
use crate::json::Parser;
use crate::model::compiled::{field_of, quote_table};
use crate::model::{FilledTable, NameLookup};
use crate::write::JsonWriter;
use migrate::types::WireType;
use postgres::Client;
use std::collections::HashMap;
use toban_core::pg::Ident;
use toban_core::{Context, Error, Result};

/// Rows of a table that is looked up; more are no list of names.
const MOST: i64 = 1_000_000;

/// Names of one table with the fields of their keys; none where several rows have one name.
type Names = HashMap<String, Option<Vec<u8>>>;

/// All tables that a file's plan looks up.
#[derive(Debug, Default)]
pub(crate) struct Lookups {
    tables: Vec<(NameLookup, Names)>,
}

impl Lookups {
    /// Reads the tables that `table` and those below it look up, as this transaction sees them.
    ///
    /// # Errors
    /// Those of the server; Failed for a table of more than a million rows.
    pub(crate) fn read_tables(client: &mut Client, table: &FilledTable, zones: &Zones) -> Result<Lookups> {
        let mut lookups = Lookups::default();
        lookups.read_below(client, table, zones)?;
        Ok(lookups)
    }

    fn read_below(&mut self, client: &mut Client, table: &FilledTable, zones: &Zones) -> Result<()> {
        let own = table.columns.iter().filter_map(|c| c.lookup.as_ref());
        for lookup in own.chain(table.links.iter().map(|l| &l.lookup)) {
            if !self.tables.iter().any(|(known, _)| known == lookup) {
                self.tables.push((lookup.clone(), read_names(client, lookup, zones)?));
            }
        }
        table.children.iter().try_for_each(|child| self.read_below(client, &child.table, zones))
    }

    /// The field of the key of the row that has this name.
    ///
    /// # Errors
    /// When no row has it, or several.
    pub(crate) fn find_key(&self, lookup: &NameLookup, name: &str) -> std::result::Result<&[u8], Misfit> {
        let names = self.tables.iter().find(|(known, _)| known == lookup).map(|(_, names)| names);
        match names.and_then(|n| n.get(name)) {
            None => Err(Misfit::Unknown),
            Some(None) => Err(Misfit::Ambiguous),
            Some(Some(field)) => Ok(field),
        }
    }
}

fn read_names(client: &mut Client, lookup: &NameLookup, zones: &Zones) -> Result<Names> {
    let doing = || format!("read the names of {}", lookup.table);
    let (name, key) = (Ident::new(&*lookup.name), Ident::new(&*lookup.key));
    let from = quote_table(&lookup.table);
    let count: i64 = client.query_one(&format!("select count(*) from {from}"), &[]).doing(doing)?.get(0);
    if count > MOST {
        return Err(Error::failed(format!(
            "{} has {count} rows, too many to look names up in",
            lookup.table
        )));
    }
    let sql = format!("select {name}::text, {key}::text from {from} where {name} is not null");
    let field = field_of(&lookup.key_type);
    let encoder = ValueEncoder { field, convert: None, labels: &[], zones };
    let is_number = matches!(
        field,
        crate::model::FieldForm::Plain(
            WireType::Int2 | WireType::Int4 | WireType::Int8 | WireType::Numeric,
            _
        )
    );
    let mut names = Names::new();
    for row in client.query(&sql, &[]).doing(doing)? {
        let (name, key): (String, String) = (row.get(0), row.get(1));
        let mut writer = JsonWriter::default();
        match is_number {
            true => writer.text.push_str(&key),
            false => writer.put_string(&key),
        }
        // By the encoder of the file's own values: what it makes of a key are the very bytes that COPY wants for the
        // column.
        let (mut parser, mut bytes) = (Parser::default(), Vec::new());
        let value = parser.parse_text(writer.text.as_bytes()).map_err(|e| Error::failed(e.what))?;
        encoder
            .put_value(value, &mut bytes)
            .map_err(|why| Error::failed(format!("the key of {}: {}", lookup.table, why.text())))?;
        names.entry(name).and_modify(|known| *known = None).or_insert(Some(bytes));
    }
    Ok(names)
}
