//! What names mean inside an expression, and of which type they are.

use crate::model::Column;
use crate::source::ddl::bare_name;
use toban_core::pg::Ident;

/// What PostgreSQL thinks of an expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SqlType {
    Null,
    Bool,
    Int,
    Float,
    Numeric,
    Text,
    /// Text that compares without regard to the case of A–Z.
    NoCase,
    Bytes,
    Timestamp,
    Timestamptz,
    Date,
    Time,
    Json,
    Uuid,
    Other,
}

impl SqlType {
    /// Of a type's name in PostgreSQL.
    pub(crate) fn from_name(pg_type: &str) -> SqlType {
        match pg_type.split('(').next().unwrap_or_default().trim() {
            "bigint" | "integer" | "smallint" => SqlType::Int,
            "double precision" | "real" => SqlType::Float,
            "numeric" => SqlType::Numeric,
            "boolean" => SqlType::Bool,
            "text" | "varchar" | "character varying" | "char" | "character" => SqlType::Text,
            "bytea" => SqlType::Bytes,
            "timestamp" | "timestamp without time zone" => SqlType::Timestamp,
            "timestamptz" | "timestamp with time zone" => SqlType::Timestamptz,
            "date" => SqlType::Date,
            "time" | "time without time zone" => SqlType::Time,
            "json" | "jsonb" => SqlType::Json,
            "uuid" => SqlType::Uuid,
            _ => SqlType::Other,
        }
    }

    pub(crate) fn is_number(self) -> bool {
        matches!(self, SqlType::Int | SqlType::Float | SqlType::Numeric)
    }

    pub(crate) fn is_text(self) -> bool {
        matches!(self, SqlType::Text | SqlType::NoCase)
    }

    pub(crate) fn is_time(self) -> bool {
        matches!(self, SqlType::Timestamp | SqlType::Timestamptz | SqlType::Date)
    }
}

/// A column that an expression may name.
#[derive(Clone, Debug)]
pub(crate) struct KnownColumn {
    /// The name of its table there, in SQLite's words; of the alias if it has one.
    pub(crate) table: String,
    /// Its name in SQLite.
    pub(crate) name: String,
    /// How PostgreSQL's SQL names it.
    pub(crate) sql: String,
    pub(crate) ty: SqlType,
}

impl KnownColumn {
    /// A column of a table that is migrated.
    pub(crate) fn of_column(table: &str, column: &Column, nocase: bool) -> KnownColumn {
        let ty = match SqlType::from_name(&column.pg_type) {
            SqlType::Text if nocase => SqlType::NoCase,
            ty => ty,
        };
        KnownColumn {
            table: table.to_string(),
            name: column.source.clone(),
            sql: Ident::new(&*column.target).to_string(),
            ty,
        }
    }
}

/// The columns of a table or view, by its name.
pub(crate) type Tables<'a> = dyn Fn(&str) -> Option<Vec<KnownColumn>> + 'a;

/// Columns that can be named, the nearest first; and the tables that a query may read.
#[derive(Clone, Copy, Default)]
pub(crate) struct Scope<'a> {
    pub(crate) columns: &'a [KnownColumn],
    pub(crate) outer: Option<&'a Scope<'a>>,
    pub(crate) tables: Option<&'a Tables<'a>>,
}

impl<'a> Scope<'a> {
    pub(crate) fn of_columns(columns: &'a [KnownColumn]) -> Scope<'a> {
        Scope { columns, outer: None, tables: None }
    }

    /// The column that `table.name` or `name` means, quotes and case ignored as SQLite does.
    pub(crate) fn find_column(&self, table: Option<&str>, name: &str) -> Option<&'a KnownColumn> {
        let (table, name) = (table.map(bare_name), bare_name(name));
        let fits = |k: &&KnownColumn| {
            k.name.eq_ignore_ascii_case(&name)
                && table.as_ref().is_none_or(|t| k.table.eq_ignore_ascii_case(t))
        };
        self.columns
            .iter()
            .find(fits)
            .or_else(|| self.outer.and_then(|o| o.find_column(table.as_deref(), &name)))
    }
}
