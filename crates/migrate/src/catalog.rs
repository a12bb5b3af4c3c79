//! What the application's tables look like.

use postgres::Client;
use std::collections::BTreeMap;
use toban_core::{Context, Result};

/// A table of the target.
#[derive(Clone, Debug, Default)]
pub struct ExistingTable {
    pub name: String,
    pub columns: Vec<ExistingColumn>,
    /// Columns of the primary key.
    pub key: Vec<String>,
}

/// A column of the target.
#[derive(Clone, Debug, Default)]
pub struct ExistingColumn {
    pub name: String,
    pub pg_type: String,
    pub not_null: bool,
    /// It has a default or numbers itself.
    pub fills_itself: bool,
    pub generated: Option<String>,
    /// Of an enum: its labels.
    pub labels: Vec<String>,
}

/// All tables of a schema.
pub fn read_tables(client: &mut Client, schema: &str) -> Result<Vec<ExistingTable>> {
    let doing = || format!("look at the tables of {schema}");
    // Without partitions, which are filled through their table, and without dropped columns, which keep their number
    // in pg_attribute (attisdropped).
    let sql = "select c.relname::text, a.attname::text, format_type(a.atttypid, a.atttypmod), a.attnotnull, \
               a.atthasdef or a.attidentity <> '', \
               case when a.attgenerated <> '' then pg_get_expr(d.adbin, d.adrelid) end, \
               array(select e.enumlabel::text from pg_enum e where e.enumtypid = a.atttypid order by e.enumsortorder), \
               coalesce(array_position(k.conkey, a.attnum), 0) \
               from pg_class c join pg_namespace n on n.oid = c.relnamespace join pg_attribute a on a.attrelid = c.oid \
               left join pg_attrdef d on d.adrelid = c.oid and d.adnum = a.attnum \
               left join pg_constraint k on k.conrelid = c.oid and k.contype = 'p' \
               where n.nspname = $1 and c.relkind in ('r', 'p') and not c.relispartition and a.attnum > 0 \
               and not a.attisdropped order by c.relname, a.attnum";
    let mut tables: BTreeMap<String, (ExistingTable, Vec<(i32, String)>)> = BTreeMap::new();
    for row in client.query(sql, &[&schema]).doing(doing)? {
        let name: String = row.get(0);
        let (table, key) = tables.entry(name.clone()).or_default();
        table.name = name;
        let column = ExistingColumn {
            name: row.get(1),
            pg_type: row.get(2),
            not_null: row.get(3),
            fills_itself: row.get(4),
            generated: row.get(5),
            labels: row.get(6),
        };
        let place: i32 = row.get(7);
        if place > 0 {
            key.push((place, column.name.clone()));
        }
        table.columns.push(column);
    }
    let whole = |(mut table, mut key): (ExistingTable, Vec<(i32, String)>)| {
        key.sort();
        table.key = key.into_iter().map(|(_, name)| name).collect();
        table
    };
    Ok(tables.into_values().map(whole).collect())
}

/// The one that `name` means: exactly, else without regard to case, else in snake_case.
pub fn find_matching<'m, T>(all: &'m [T], name_of: impl Fn(&T) -> &str, name: &str) -> Option<&'m T> {
    let snake = |n: &str| n.chars().filter(|c| *c != '_').flat_map(char::to_lowercase).collect::<String>();
    all.iter()
        .find(|m| name_of(m) == name)
        .or_else(|| all.iter().find(|m| name_of(m).eq_ignore_ascii_case(name)))
        .or_else(|| all.iter().find(|m| snake(name_of(m)) == snake(name)))
}
