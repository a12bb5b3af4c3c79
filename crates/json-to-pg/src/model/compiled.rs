//! The plan of one file as a tree of tables, with every type known: what loading, proof and export walk over.

use super::plan::{FilePlan, PathPlan, ValueConversion, ValuePlan};
use crate::census::paths::split_path;
use crate::census::secrets::is_secret;
use migrate::names::short_name;
use migrate::types::{TypeBounds, WireType, parse_type};
use std::borrow::Cow;
use std::collections::BTreeMap;
use toban_core::pg::Ident;
use toban_core::{Error, Result};

/// The form of a column's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FieldForm {
    Plain(WireType, TypeBounds),
    /// A list of these, and the number of their type.
    List(WireType, TypeBounds, i32),
    /// A type whose text the server reads.
    Cast,
}

/// Where a column's value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ColumnSource {
    /// The first of these paths that is there and not null, from the object that is the row.
    Members(Vec<Vec<String>>),
    /// JSON that is the same for each row.
    Constant(String),
    /// This column of the row above.
    Above(usize),
    /// The place in the list, or in the file.
    Ordinal,
}

/// A column that is filled.
#[derive(Clone, Debug)]
pub(crate) struct FilledColumn {
    pub(crate) name: String,
    pub(crate) pg_type: String,
    pub(crate) field: FieldForm,
    pub(crate) not_null: bool,
    pub(crate) source: ColumnSource,
    pub(crate) convert: Option<ValueConversion>,
    pub(crate) lookup: Option<NameLookup>,
    /// Values that an enum knows; empty for other types.
    pub(crate) labels: Vec<String>,
    /// For messages: the path.
    pub(crate) label: String,
    /// Its values are not shown.
    pub(crate) secret: bool,
    pub(crate) forms: Vec<String>,
    pub(crate) members: Vec<String>,
    pub(crate) absent: bool,
    /// In export it stands for a path; a constant or a parent's key does not.
    pub(crate) exported: bool,
}

/// A table in which names stand for keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NameLookup {
    pub(crate) table: String,
    pub(crate) name: String,
    pub(crate) key: String,
    pub(crate) key_type: String,
}

/// A table that is filled from a file.
#[derive(Clone, Debug)]
pub(crate) struct FilledTable {
    /// `schema.table`
    pub(crate) name: String,
    pub(crate) create: bool,
    pub(crate) columns: Vec<FilledColumn>,
    /// Columns of the key, as indexes.
    pub(crate) key: Vec<usize>,
    pub(crate) children: Vec<Child>,
    pub(crate) links: Vec<Link>,
}

/// Objects of a list as rows.
#[derive(Clone, Debug)]
pub(crate) struct Child {
    pub(crate) member: Vec<String>,
    pub(crate) label: String,
    pub(crate) table: FilledTable,
}

/// A list of names as rows of a link table.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    pub(crate) member: Vec<String>,
    pub(crate) label: String,
    pub(crate) table: String,
    pub(crate) own: String,
    pub(crate) own_type: String,
    pub(crate) other: String,
    pub(crate) lookup: NameLookup,
}

/// What the catalogue says of tables that are there, by `schema.table`.
pub(crate) type KnownTables = BTreeMap<String, migrate::catalog::ExistingTable>;

/// `schema.table`, by which plans and the ledger know a table. A schema with a point or a quote in its name stands in
/// double quotes, as in SQL; a table never does.
pub(crate) fn join_table(schema: &str, table: &str) -> String {
    match schema.contains(['.', '"']) {
        true => format!("{}.{table}", Ident::new(schema)),
        false => format!("{schema}.{table}"),
    }
}

/// Schema and table of `schema.table`, as [`join_table`] has put them together; `public` where no schema is named.
pub(crate) fn split_table(name: &str) -> (Cow<'_, str>, &str) {
    // A quote inside of the quotes stands twice. NUL, which no name has, takes the place of such pairs for the search.
    if let Some(rest) = name.strip_prefix('"')
        && let Some(end) = rest.replace("\"\"", "\0\0").find("\".")
    {
        return (rest[..end].replace("\"\"", "\"").into(), &rest[end + 2..]);
    }
    let (schema, table) = name.split_once('.').unwrap_or(("public", name));
    (schema.into(), table)
}

/// The name as SQL wants it.
pub(crate) fn quote_table(name: &str) -> String {
    let (schema, table) = split_table(name);
    migrate::sql::qualified_name(&schema, table)
}

/// The form of a type's values.
pub(crate) fn field_of(pg_type: &str) -> FieldForm {
    if let Some(item) = pg_type.strip_suffix("[]") {
        return match parse_type(item) {
            Some((wire, bounds))
                if !matches!(wire, WireType::Json | WireType::Jsonb | WireType::Interval) =>
            {
                FieldForm::List(wire, bounds, item_oid(item, wire))
            }
            _ => FieldForm::Cast,
        };
    }
    match parse_type(pg_type) {
        Some((WireType::Interval | WireType::Bytea, _)) | None => FieldForm::Cast,
        Some((wire, bounds)) => FieldForm::Plain(wire, bounds),
    }
}

/// The type's number in every PostgreSQL (pg_type.dat): an array on the wire names its items' type.
fn item_oid(name: &str, wire: WireType) -> i32 {
    match wire {
        WireType::Int2 => 21,
        WireType::Int4 => 23,
        WireType::Int8 => 20,
        WireType::Float4 => 700,
        WireType::Float8 => 701,
        WireType::Numeric => 1700,
        WireType::Bool => 16,
        WireType::Timestamp => 1114,
        WireType::Timestamptz => 1184,
        WireType::Date => 1082,
        WireType::Time => 1083,
        WireType::Uuid => 2950,
        _ if name.starts_with("character varying") || name.starts_with("varchar") => 1043,
        _ if name.starts_with("char") || name.starts_with("bpchar") => 1042,
        _ => 25,
    }
}

/// The tree of a file's tables.
///
/// # Errors
/// Usage for a column, table or key that is not known.
pub(crate) fn compile_file(file: &FilePlan, known: &KnownTables) -> Result<FilledTable> {
    let compiler = Compiler { file, known };
    let mut table = compiler.compile_table(&file.table, "", &[])?;
    for value in file.values.iter().filter(|v| !v.null) {
        table.columns.push(compiler.compile_value(value)?);
    }
    if !file.order.is_empty() {
        table.columns.push(ordinal(&file.order));
    }
    for (at, column) in table.columns.iter().enumerate() {
        if let Some(first) = table.columns[..at].iter().find(|c| c.name == column.name) {
            return Err(Error::usage(format!(
                "{}: the column {} of {} is filled twice: from {} and from {}",
                file.name, column.name, file.table, first.label, column.label
            ))
            .hint("drop one of the paths, or answer the question about the column with null"));
        }
    }
    let index = |name: &String| {
        table.columns.iter().position(|c| c.name == *name).ok_or_else(|| {
            Error::usage(format!(
                "{}: nothing fills {name}, a column of the key of {}",
                file.name, file.table
            ))
        })
    };
    table.key = file.key.iter().map(index).collect::<Result<_>>()?;
    compiler.check_types(&table)?;
    Ok(table)
}

struct Compiler<'p> {
    file: &'p FilePlan,
    known: &'p KnownTables,
}

impl Compiler<'_> {
    /// The table of the objects at `prefix`, below rows of `above` (names of their keys' columns with types).
    fn compile_table(&self, name: &str, prefix: &str, above: &[FilledColumn]) -> Result<FilledTable> {
        let mut columns: Vec<FilledColumn> = above.to_vec();
        if !prefix.is_empty() {
            columns.push(ordinal("ord"));
        }
        let (mut children, mut links) = (Vec::new(), Vec::new());
        for path in self.file.paths.iter().filter(|p| is_directly_below(&p.path, prefix, self.file)) {
            let inner = path.path[prefix.len()..].trim_start_matches('.');
            let member = split_path(inner);
            if !path.link.is_empty() {
                links.push(self.compile_link(path, member)?);
            } else if !path.explode.is_empty() {
                let key = self.parent_key(name, prefix, &columns)?;
                let table = self.compile_table(&path.explode, &format!("{}[]", path.path), &key)?;
                children.push(Child { member, label: path.path.clone(), table });
            } else if !path.column.is_empty() {
                self.add_column(&mut columns, name, path, member)?;
            }
        }
        // Rows below are known by the key of the row above and their place in its list, which has an order and may
        // hold equal objects twice.
        let key = (0..above.len() + usize::from(!prefix.is_empty())).collect();
        let create = if prefix.is_empty() { self.file.create } else { !self.known.contains_key(name) };
        Ok(FilledTable { name: name.into(), create, columns, key, children, links })
    }

    /// The columns by which rows below refer to this row.
    fn parent_key(&self, table: &str, prefix: &str, columns: &[FilledColumn]) -> Result<Vec<FilledColumn>> {
        let (_, short) = split_table(table);
        let keys: Vec<usize> = match prefix.is_empty() {
            true => self.file.key.iter().filter_map(|k| columns.iter().position(|c| c.name == *k)).collect(),
            false => (0..columns.len()).filter(|at| is_inherited(&columns[*at])).collect(),
        };
        if keys.is_empty() {
            return Err(Error::usage(format!(
                "{}: rows below {table} need its key, and it has none",
                self.file.name
            ))
            .hint("explode only lists of records that have an id, which stands before them in the plan"));
        }
        let mut made: Vec<FilledColumn> = Vec::new();
        for at in keys {
            let column = &columns[at];
            let name = match column.source {
                ColumnSource::Above(..) => column.name.clone(),
                _ => short_name(&format!("{short}_{}", column.name)),
            };
            made.push(FilledColumn {
                name,
                not_null: true,
                source: ColumnSource::Above(at),
                exported: false,
                lookup: None,
                ..column.clone()
            });
        }
        Ok(made)
    }

    fn add_column(
        &self,
        columns: &mut Vec<FilledColumn>,
        table: &str,
        path: &PathPlan,
        member: Vec<String>,
    ) -> Result<()> {
        // Two paths of one column are alternatives: generations of a format.
        if let Some(column) = columns.iter_mut().find(|c| c.name == path.column)
            && let ColumnSource::Members(members) = &mut column.source
        {
            members.push(member);
            return Ok(());
        }
        let (pg_type, labels, not_null) = self.type_of(table, &path.column, &path.pg_type)?;
        columns.push(FilledColumn {
            name: path.column.clone(),
            field: field_of(&pg_type),
            pg_type,
            not_null: not_null || path.not_null,
            source: ColumnSource::Members(vec![member]),
            convert: path.convert,
            lookup: self.compile_lookup(&path.lookup)?,
            labels,
            label: path.path.clone(),
            secret: is_secret(&path.path),
            forms: path.forms.clone(),
            members: path.members.clone(),
            absent: path.absent,
            exported: true,
        });
        Ok(())
    }

    fn compile_value(&self, value: &ValuePlan) -> Result<FilledColumn> {
        let (pg_type, labels, not_null) = self.type_of(&self.file.table, &value.column, "")?;
        let source = match value.from.is_empty() {
            true => ColumnSource::Constant(value.value.clone()),
            false => ColumnSource::Members(vec![split_path(&value.from)]),
        };
        let label = if value.from.is_empty() { &value.column } else { &value.from };
        Ok(FilledColumn {
            name: value.column.clone(),
            field: field_of(&pg_type),
            pg_type,
            not_null,
            source,
            convert: value.convert,
            lookup: self.compile_lookup(&value.lookup)?,
            labels,
            label: label.clone(),
            secret: is_secret(&value.column),
            forms: Vec::new(),
            members: Vec::new(),
            absent: false,
            exported: false,
        })
    }

    /// The type of a column, its labels, and whether it must not be null: the catalogue's word, else the plan's.
    fn type_of(&self, table: &str, column: &str, planned: &str) -> Result<(String, Vec<String>, bool)> {
        let Some(there) = self.known.get(table) else { return Ok((planned.to_string(), Vec::new(), false)) };
        match there.columns.iter().find(|c| c.name == column) {
            Some(c) if c.generated.is_some() => {
                Err(Error::usage(format!("{table}.{column} is a generated column"))
                    .hint("PostgreSQL computes it: drop the path, with that as the reason"))
            }
            // Binary COPY must send what the column is now, and not what it was when the plan was made.
            Some(c) => Ok((c.pg_type.clone(), c.labels.clone(), c.not_null)),
            None => Err(Error::usage(format!("{}: {table} has no column {column}", self.file.name))),
        }
    }

    fn compile_link(&self, path: &PathPlan, member: Vec<String>) -> Result<Link> {
        let lookup = self.compile_lookup(&path.lookup)?.ok_or_else(|| {
            Error::usage(format!(
                "{} {}: a link needs lookup = \"schema.table.column\"",
                self.file.name, path.path
            ))
        })?;
        let (own_type, ..) = self.type_of(&path.link, &path.own, "")?;
        self.type_of(&path.link, &path.other, "")?;
        Ok(Link {
            member,
            label: path.path.clone(),
            table: path.link.clone(),
            own: path.own.clone(),
            own_type,
            other: path.other.clone(),
            lookup,
        })
    }

    fn compile_lookup(&self, text: &str) -> Result<Option<NameLookup>> {
        if text.is_empty() {
            return Ok(None);
        }
        let fault = |why: &str| Error::usage(format!("{}: lookup {text}: {why}", self.file.name));
        let (table, name) = text.rsplit_once('.').ok_or_else(|| fault("SCHEMA.TABLE.COLUMN"))?;
        let there = self.known.get(table).ok_or_else(|| fault("there is no such table"))?;
        let [key] = there.key.as_slice() else { return Err(fault("the table has no key of one column")) };
        let type_of =
            |column: &str| there.columns.iter().find(|c| c.name == column).map(|c| c.pg_type.clone());
        type_of(name).ok_or_else(|| fault("there is no such column"))?;
        let key_type = type_of(key).unwrap_or_default();
        Ok(Some(NameLookup { table: table.into(), name: name.into(), key: key.clone(), key_type }))
    }

    fn check_types(&self, table: &FilledTable) -> Result<()> {
        for column in &table.columns {
            if column.pg_type.is_empty() {
                return Err(Error::usage(format!("{} {}: no type is given", self.file.name, column.label)));
            }
        }
        table.children.iter().try_for_each(|child| self.check_types(&child.table))
    }
}

fn is_inherited(column: &FilledColumn) -> bool {
    matches!(column.source, ColumnSource::Above(..) | ColumnSource::Ordinal)
}

fn ordinal(name: &str) -> FilledColumn {
    let pg_type = "bigint".to_string();
    FilledColumn {
        name: name.into(),
        field: field_of(&pg_type),
        pg_type,
        not_null: true,
        source: ColumnSource::Ordinal,
        convert: None,
        lookup: None,
        labels: Vec::new(),
        label: name.into(),
        secret: false,
        forms: Vec::new(),
        members: Vec::new(),
        absent: false,
        exported: false,
    }
}

/// Whether a path belongs to the table of `prefix`: below it, and in no list of its own.
fn is_directly_below(path: &str, prefix: &str, file: &FilePlan) -> bool {
    let Some(rest) = path.strip_prefix(prefix) else { return false };
    let rest = if prefix.is_empty() { rest } else { rest.strip_prefix('.').unwrap_or("") };
    // What stands inside of a member that moves whole is its part.
    let inside = |p: &&PathPlan| {
        p.path.len() > prefix.len()
            && path.len() > p.path.len()
            && path.starts_with(&p.path)
            && matches!(path.as_bytes()[p.path.len()], b'.' | b'[')
            && !p.split
    };
    !rest.is_empty() && !rest.contains("[]") && !file.paths.iter().any(|p| inside(&p))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_a_schema_with_a_point_or_a_quote_is_quoted() {
        let cases = [
            ("public", "users", "public.users"),
            ("public", "a.b", "public.a.b"),
            ("a.b", "users", "\"a.b\".users"),
            ("a\".\"b", "c", "\"a\"\".\"\"b\".c"),
        ];
        cases.iter().for_each(|(schema, table, name)| assert_eq!(join_table(schema, table), *name));
        assert_eq!(split_table("users"), (Cow::from("public"), "users"));
        assert_eq!(quote_table("\"a.b\".c.d"), "\"a.b\".\"c.d\"");
    }

    proptest! {
        #[test]
        fn names_of_tables_come_apart_as_they_were_joined(schema in "[a.\"]{1,6}", table in "[a.\"]{1,6}") {
            let name = join_table(&schema, &table);
            prop_assert_eq!(split_table(&name), (Cow::from(schema), table.as_str()));
        }
    }
}
