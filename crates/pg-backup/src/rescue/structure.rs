//! What a table is: its columns and its key, and the table beside the live one that takes its rows.

use super::tables::TableName;
use postgres::{Client, GenericClient};
use toban_core::pg::Ident;
use toban_core::{Context, Error, Result};

/// Values are written in one form on both servers, whatever their settings; names must be qualified.
// A policy of the table would leave rows out without a word; with row_security off the query fails instead (manual,
// "Row Security Policies"). An empty search_path: no object of the application's stands in for one of the
// catalogue's.
pub(super) const SESSION: &str = "set search_path = ''; set datestyle = 'ISO, YMD'; set intervalstyle = 'postgres'; \
     set bytea_output = 'hex'; set extra_float_digits = 3; set row_security = off";

/// A table at the moment.
#[derive(Debug)]
pub(super) struct Structure {
    pub(super) name: TableName,
    pub(super) oid: u32,
    /// It has partitions, in which its rows are.
    pub(super) partitioned: bool,
    pub(super) columns: Vec<Column>,
    /// The columns of its primary key; empty where it has none.
    pub(super) key: Vec<String>,
}

/// A column.
#[derive(Debug)]
pub(super) struct Column {
    pub(super) name: String,
    /// As DDL has it: `numeric(10,2)`.
    definition: String,
    /// Without its modifier.
    base_type: String,
    /// Where it is not that of the type.
    collation: Option<String>,
    /// By an expression: it must not be written.
    pub(super) generated: bool,
    /// By a sequence, and UPDATE may not write it (GENERATED ALWAYS AS IDENTITY).
    pub(super) identity: bool,
}

impl Structure {
    /// Reads it.
    ///
    /// # Errors
    /// Failed where there is no such table, or its rows cannot be read in recovery.
    pub(super) fn read(client: &mut impl GenericClient, name: &TableName) -> Result<Structure> {
        let doing = || format!("look at {name}");
        let none = || Error::failed(format!("there is no table {name} at that moment"));
        let hint =
            "is it of another database or moment? --shell shows what there is, --step goes back or forward";
        let oid = name.find_oid(client)?.ok_or_else(|| none().hint(hint))?;
        let sql = "select relkind::text, relpersistence::text from pg_catalog.pg_class where oid = $1";
        let row = client.query_one(sql, &[&oid]).doing(doing)?;
        let (kind, persistence): (String, String) = (row.get(0), row.get(1));
        if !matches!(kind.as_str(), "r" | "p") {
            return Err(Error::failed(format!("{name} is no table that holds rows")));
        }
        if persistence != "p" {
            return Err(Error::failed(format!("{name} is unlogged: no backup has its rows")));
        }
        let columns = read_columns(client, oid).doing(doing)?;
        let key = read_key(client, oid).doing(doing)?;
        Ok(Structure { name: name.clone(), oid, partitioned: kind == "p", columns, key })
    }

    /// Makes `place` with these columns and this key, in the session's transaction.
    ///
    /// # Errors
    /// Failed where something is in its way.
    pub(super) fn create_as(&self, client: &mut impl GenericClient, place: &TableName) -> Result<()> {
        let mut columns = Vec::new();
        for column in &self.columns {
            columns.push(format!("{} {}", Ident::new(&column.name), self.column_type(client, column)?));
        }
        if !self.key.is_empty() {
            columns.push(format!("primary key ({})", join_names(&self.key)));
        }
        let sql = format!("create table {place} ({})", columns.join(", "));
        client.batch_execute(&sql).doing(|| format!("create {place}"))
    }

    /// The type as the live server has it; text where that is gone, with whose form values are written.
    fn column_type(&self, client: &mut impl GenericClient, column: &Column) -> Result<String> {
        let sql = "select pg_catalog.to_regtype($1) is not null";
        let there = client.query_one(sql, &[&column.base_type]).doing(|| "look for a type".into())?;
        if !there.get::<_, bool>(0) {
            log::warn!(
                "type {} is gone: column {} of {} is brought back as text",
                column.base_type,
                column.name,
                self.name
            );
            return Ok("text".into());
        }
        let collation = column.collation.as_ref().map(|name| format!(" collate {name}"));
        Ok(format!("{}{}", column.definition, collation.unwrap_or_default()))
    }

    /// The names of its columns, as a list of SQL.
    pub(super) fn column_list(&self) -> String {
        join_names(self.columns.iter().map(|c| &c.name))
    }

    /// `only` where rows of tables that inherit from it are not its own.
    pub(super) fn only(&self) -> &'static str {
        if self.partitioned { "" } else { "only " }
    }
}

/// A list of SQL.
pub(super) fn join_names<'a>(names: impl IntoIterator<Item = &'a String>) -> String {
    names.into_iter().map(|name| Ident::new(name).to_string()).collect::<Vec<_>>().join(", ")
}

fn read_columns(client: &mut impl GenericClient, oid: u32) -> Result<Vec<Column>, postgres::Error> {
    let sql = "select a.attname::text, format_type(a.atttypid, a.atttypmod), format_type(a.atttypid, null), \
               case when a.attcollation <> t.typcollation then quote_ident(n.nspname) || '.' || quote_ident(c.collname) end, \
               a.attgenerated <> '', a.attidentity = 'a' \
               from pg_catalog.pg_attribute a join pg_catalog.pg_type t on t.oid = a.atttypid \
               left join pg_catalog.pg_collation c on c.oid = a.attcollation \
               left join pg_catalog.pg_namespace n on n.oid = c.collnamespace \
               where a.attrelid = $1 and a.attnum > 0 and not a.attisdropped order by a.attnum";
    let columns = client.query(sql, &[&oid])?;
    let column = |row: &postgres::Row| Column {
        name: row.get(0),
        definition: row.get(1),
        base_type: row.get(2),
        collation: row.get(3),
        generated: row.get(4),
        identity: row.get(5),
    };
    Ok(columns.iter().map(column).collect())
}

fn read_key(client: &mut impl GenericClient, oid: u32) -> Result<Vec<String>, postgres::Error> {
    let sql = "select a.attname::text from pg_catalog.pg_index i, unnest(i.indkey) with ordinality k(attnum, n), \
               pg_catalog.pg_attribute a where i.indrelid = $1 and i.indisprimary and n <= i.indnkeyatts \
               and a.attrelid = i.indrelid and a.attnum = k.attnum order by n";
    Ok(client.query(sql, &[&oid])?.iter().map(|row| row.get(0)).collect())
}

/// A table, its partitions and theirs, and what inherits from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TreeTable {
    pub(super) name: TableName,
    pub(super) oid: u32,
    /// The number of its file; 0 of a partitioned table.
    pub(super) file: u32,
    /// It is a partition, or the table itself, and nobody's child by inheritance.
    pub(super) partition: bool,
}

/// Lists them, each after the table that it is part of.
///
/// # Errors
/// When the server cannot be asked.
pub(super) fn list_tree(client: &mut impl GenericClient, table: &Structure) -> Result<Vec<TreeTable>> {
    let sql = "with recursive tree(oid, level, part) as (select $1::oid, 0, true union \
               select i.inhrelid, t.level + 1, t.part and c.relispartition from tree t \
               join pg_catalog.pg_inherits i on i.inhparent = t.oid join pg_catalog.pg_class c on c.oid = i.inhrelid) \
               select n.nspname::text, c.relname::text, c.oid, coalesce(pg_catalog.pg_relation_filenode(c.oid), 0), \
               bool_and(t.part) from tree t join pg_catalog.pg_class c on c.oid = t.oid \
               join pg_catalog.pg_namespace n on n.oid = c.relnamespace group by 1, 2, 3 order by max(t.level), 1, 2";
    let rows = client.query(sql, &[&table.oid]).doing(|| format!("list the partitions of {}", table.name))?;
    let of = |row: &postgres::Row| TreeTable {
        name: TableName { schema: row.get(0), name: row.get(1) },
        oid: row.get(2),
        file: row.get(3),
        partition: row.get(4),
    };
    Ok(rows.iter().map(of).collect())
}

/// The tables of a schema, without partitions, which come with their table.
///
/// # Errors
/// Failed where it has none.
pub(super) fn list_tables(client: &mut Client, schema: &str) -> Result<Vec<TableName>> {
    let sql = "select c.relname::text from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace \
               where n.nspname = $1 and c.relkind in ('r', 'p') and not c.relispartition and c.relpersistence = 'p' \
               order by 1";
    let rows = client.query(sql, &[&schema]).doing(|| format!("list the tables of {schema}"))?;
    if rows.is_empty() {
        return Err(Error::failed(format!("there is no schema {schema} with tables at that moment")));
    }
    Ok(rows.iter().map(|row| TableName { schema: schema.into(), name: row.get(0) }).collect())
}
