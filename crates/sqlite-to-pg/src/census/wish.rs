//! What a declared type asks for, by its name; the values decide whether it is granted.

/// What the name of a type asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Wish {
    Bool,
    /// Day and time.
    Moment,
    Day,
    Clock,
    Json,
    Uuid,
    Integer,
    Real,
    Numeric,
    Text,
    Bytes,
    /// No type is declared, or one that says nothing.
    #[default]
    Any,
}

/// SQLite's own rules (affinity by substring) after the names whose meaning people agree on.
pub(crate) fn of(declared: &str) -> Wish {
    let name = declared.trim().to_ascii_uppercase();
    let base = name.split('(').next().unwrap_or_default().trim();
    if let Some(wish) = agreed(&name, base) {
        return wish;
    }
    let has = |parts: &[&str]| parts.iter().any(|p| name.contains(p));
    if has(&["INT"]) {
        Wish::Integer
    } else if has(&["CHAR", "CLOB", "TEXT"]) {
        Wish::Text
    } else if has(&["BLOB"]) {
        Wish::Bytes
    } else if has(&["REAL", "FLOA", "DOUB"]) {
        Wish::Real
    } else if has(&["NUM", "DEC", "MONEY", "CURRENCY"]) {
        Wish::Numeric
    } else {
        Wish::Any
    }
}

fn agreed(name: &str, base: &str) -> Option<Wish> {
    Some(match base {
        "BOOL" | "BOOLEAN" => Wish::Bool,
        "TINYINT" if name.ends_with("(1)") => Wish::Bool,
        "DATE" => Wish::Day,
        "TIME" => Wish::Clock,
        "UUID" | "GUID" | "UNIQUEIDENTIFIER" => Wish::Uuid,
        "JSON" | "JSONB" => Wish::Json,
        "BINARY" | "VARBINARY" | "IMAGE" | "BYTEA" | "LONGVARBINARY" => Wish::Bytes,
        "STRING" | "ENUM" | "CITEXT" => Wish::Text,
        _ if name.starts_with("DATETIME") || name.starts_with("TIMESTAMP") => Wish::Moment,
        _ => return None,
    })
}

/// Whether a name is one that people give to times.
pub(crate) fn names_time(column: &str) -> bool {
    let name = column.to_ascii_lowercase();
    let ends = ["_at", "_on", "date", "time", "_ts", "timestamp", "_utc", "created", "updated", "modified"];
    ends.iter().any(|e| name.ends_with(e)) || column.ends_with("At")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_ask_for_types() {
        let cases = [
            ("INTEGER", Wish::Integer),
            ("UNSIGNED BIG INT", Wish::Integer),
            ("tinyint(1)", Wish::Bool),
            ("TINYINT", Wish::Integer),
            ("varchar(255)", Wish::Text),
            ("NATIVE CHARACTER(70)", Wish::Text),
            ("INTEGER_OR_TEXT", Wish::Integer),
            ("datetime", Wish::Moment),
            ("TIMESTAMP WITH TIME ZONE", Wish::Moment),
            ("date", Wish::Day),
            ("decimal(12,2)", Wish::Numeric),
            ("", Wish::Any),
            ("ANY", Wish::Any),
            ("DOUBLE PRECISION", Wish::Real),
            ("(10,2)", Wish::Any),
            ("TEXT[]", Wish::Text),
            ("point", Wish::Integer),
            ("json", Wish::Json),
            ("BINARY(16)", Wish::Bytes),
            ("BLOB", Wish::Bytes),
        ];
        cases.iter().for_each(|(name, wish)| assert_eq!(of(name), *wish, "{name}"));
    }
}
