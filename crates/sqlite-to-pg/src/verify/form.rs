//! The form in which values of a target column are compared, decided by the column's type.

/// What the bytes of a compared value are. They are what PostgreSQL sends in a binary COPY, except where the comment
/// says otherwise: there two spellings of one value would differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Int2,
    Int4,
    Int8,
    /// The double that the shortest digits of the float4 name: 0.1 is 0.1.
    Float4,
    Float8,
    /// Weight, sign and base-10000 digits, without the display scale.
    Numeric,
    Bool,
    Text,
    /// char(n), without the blanks at its end.
    Padded,
    Bytes,
    Timestamp,
    TimestampTz,
    Date,
    Time,
    Interval,
    /// money as the numeric that it is.
    Money,
    /// An array, element by element; empty arrays of any shape are one.
    Array(Element),
    Uuid,
    Json,
    /// Keys sorted, no blanks, numbers without a scale.
    Jsonb,
    /// Any other type: the text that the server prints.
    Printed,
}

/// What the elements of an array are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Element {
    Number,
    Bool,
    Json,
    Moment,
    Uuid,
    Text,
}

impl Element {
    fn of(name: &str) -> Element {
        match name {
            "_int2" | "_int4" | "_int8" | "_float4" | "_float8" | "_numeric" | "_oid" => Element::Number,
            "_bool" => Element::Bool,
            "_json" | "_jsonb" => Element::Json,
            "_timestamp" | "_timestamptz" => Element::Moment,
            "_uuid" => Element::Uuid,
            _ => Element::Text,
        }
    }
}

impl Form {
    /// The form for a type that is no domain. `kind` is `pg_type.typtype`.
    pub(crate) fn of(oid: u32, name: &str, kind: &str) -> Form {
        match oid {
            21 => Form::Int2,
            23 => Form::Int4,
            20 => Form::Int8,
            700 => Form::Float4,
            701 => Form::Float8,
            1700 => Form::Numeric,
            16 => Form::Bool,
            25 | 1043 | 19 => Form::Text,
            1042 => Form::Padded,
            17 => Form::Bytes,
            1114 => Form::Timestamp,
            1184 => Form::TimestampTz,
            1082 => Form::Date,
            1083 => Form::Time,
            1186 => Form::Interval,
            790 => Form::Money,
            2950 => Form::Uuid,
            114 => Form::Json,
            3802 => Form::Jsonb,
            _ if kind == "e" || name == "citext" => Form::Text,
            // PostgreSQL itself calls the type of arrays like this.
            _ if name.starts_with('_') => Form::Array(Element::of(name)),
            _ => Form::Printed,
        }
    }

    /// The expression that a binary COPY selects; `column` is quoted.
    pub(crate) fn select(self, column: &str) -> String {
        match self {
            Form::Printed | Form::Array(_) => printed(column),
            Form::Money => format!("{column}::numeric"),
            _ => column.to_string(),
        }
    }

    /// Whether the values are whole numbers of fixed width.
    pub(crate) fn is_integer(self) -> bool {
        matches!(self, Form::Int2 | Form::Int4 | Form::Int8)
    }

    /// Whether the bytes of a COPY are compared as they come.
    pub(crate) fn is_plain(self) -> bool {
        !matches!(
            self,
            Form::Float4 | Form::Numeric | Form::Money | Form::Padded | Form::Jsonb | Form::Array(_)
        )
    }
}

/// What psql would show of `column`: a cast to text says other things for inet and char(n).
pub(crate) fn printed(column: &str) -> String {
    format!("case when {column} is null then null else pg_catalog.format('%s', {column}) end")
}

/// The same for people: the beginning of what may be up to 1 GB.
pub(crate) fn beginning(form: Form, column: &str) -> String {
    match form {
        Form::Bytes => printed(&format!("pg_catalog.substr({column}, 1, 250)")),
        Form::Text | Form::Padded => printed(&format!("pg_catalog.left({column}::text, 250)")),
        Form::Money => printed(&format!("{column}::numeric")),
        _ => printed(column),
    }
}

/// The same for a comparison as text, which leaves long values out: `X`.
pub(crate) fn short(form: Form, column: &str) -> String {
    match form {
        Form::Bytes | Form::Text | Form::Padded => {
            let size = format!(
                "pg_catalog.octet_length({column}{})",
                if form == Form::Bytes { "" } else { "::text" }
            );
            format!("case when {size} > 1000000 then 'X' else {} end", printed(column))
        }
        Form::Money => printed(&format!("{column}::numeric")),
        _ => printed(column),
    }
}
