//! What names mean inside an expression, and of which type they are.

use crate::plan::Column;
use crate::source::ddl::bare;
use toban_core::pg::Ident;

/// What PostgreSQL thinks of an expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ty {
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

impl Ty {
    /// Of a type's name in PostgreSQL.
    pub(crate) fn named(pg_type: &str) -> Ty {
        match pg_type.split('(').next().unwrap_or_default().trim() {
            "bigint" | "integer" | "smallint" => Ty::Int,
            "double precision" | "real" => Ty::Float,
            "numeric" => Ty::Numeric,
            "boolean" => Ty::Bool,
            "text" | "varchar" | "character varying" | "char" | "character" => Ty::Text,
            "bytea" => Ty::Bytes,
            "timestamp" | "timestamp without time zone" => Ty::Timestamp,
            "timestamptz" | "timestamp with time zone" => Ty::Timestamptz,
            "date" => Ty::Date,
            "time" | "time without time zone" => Ty::Time,
            "json" | "jsonb" => Ty::Json,
            "uuid" => Ty::Uuid,
            _ => Ty::Other,
        }
    }

    pub(crate) fn is_number(self) -> bool {
        matches!(self, Ty::Int | Ty::Float | Ty::Numeric)
    }

    pub(crate) fn is_text(self) -> bool {
        matches!(self, Ty::Text | Ty::NoCase)
    }

    pub(crate) fn is_time(self) -> bool {
        matches!(self, Ty::Timestamp | Ty::Timestamptz | Ty::Date)
    }
}

/// A column that an expression may name.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    /// The name of its table there, in SQLite's words; of the alias if it has one.
    pub(crate) table: String,
    /// Its name in SQLite.
    pub(crate) name: String,
    /// How PostgreSQL's SQL names it.
    pub(crate) sql: String,
    pub(crate) ty: Ty,
}

impl Known {
    /// A column of a table that is migrated.
    pub(crate) fn of(table: &str, column: &Column, nocase: bool) -> Known {
        let ty = match Ty::named(&column.pg_type) {
            Ty::Text if nocase => Ty::NoCase,
            ty => ty,
        };
        Known {
            table: table.to_string(),
            name: column.source.clone(),
            sql: Ident::new(&*column.target).to_string(),
            ty,
        }
    }
}

/// The columns of a table or view, by its name.
pub(crate) type Tables<'a> = dyn Fn(&str) -> Option<Vec<Known>> + 'a;

/// Columns that can be named, the nearest first; and the tables that a query may read.
#[derive(Clone, Copy, Default)]
pub(crate) struct Scope<'a> {
    pub(crate) columns: &'a [Known],
    pub(crate) outer: Option<&'a Scope<'a>>,
    pub(crate) tables: Option<&'a Tables<'a>>,
}

impl<'a> Scope<'a> {
    pub(crate) fn of(columns: &'a [Known]) -> Scope<'a> {
        Scope { columns, outer: None, tables: None }
    }

    /// The column that `table.name` or `name` means, quotes and case ignored as SQLite does.
    pub(crate) fn find(&self, table: Option<&str>, name: &str) -> Option<&'a Known> {
        let (table, name) = (table.map(bare), bare(name));
        let fits = |k: &&Known| {
            k.name.eq_ignore_ascii_case(&name)
                && table.as_ref().is_none_or(|t| k.table.eq_ignore_ascii_case(t))
        };
        self.columns.iter().find(fits).or_else(|| self.outer.and_then(|o| o.find(table.as_deref(), &name)))
    }
}
