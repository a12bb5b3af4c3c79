//! What a declared type asks for, by its name; the values decide whether it is granted.

/// What the name of a type asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum DeclaredType {
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
pub(crate) fn parse_declared(declared: &str) -> DeclaredType {
    let name = declared.trim().to_ascii_uppercase();
    let base = name.split('(').next().unwrap_or_default().trim();
    if let Some(wish) = agreed_name(&name, base) {
        return wish;
    }
    let has = |parts: &[&str]| parts.iter().any(|p| name.contains(p));
    if has(&["INT"]) {
        DeclaredType::Integer
    } else if has(&["CHAR", "CLOB", "TEXT"]) {
        DeclaredType::Text
    } else if has(&["BLOB"]) {
        DeclaredType::Bytes
    } else if has(&["REAL", "FLOA", "DOUB"]) {
        DeclaredType::Real
    } else if has(&["NUM", "DEC", "MONEY", "CURRENCY"]) {
        DeclaredType::Numeric
    } else {
        DeclaredType::Any
    }
}

fn agreed_name(name: &str, base: &str) -> Option<DeclaredType> {
    Some(match base {
        "BOOL" | "BOOLEAN" => DeclaredType::Bool,
        "TINYINT" if name.ends_with("(1)") => DeclaredType::Bool,
        "DATE" => DeclaredType::Day,
        "TIME" => DeclaredType::Clock,
        "UUID" | "GUID" | "UNIQUEIDENTIFIER" => DeclaredType::Uuid,
        "JSON" | "JSONB" => DeclaredType::Json,
        "BINARY" | "VARBINARY" | "IMAGE" | "BYTEA" | "LONGVARBINARY" => DeclaredType::Bytes,
        "STRING" | "ENUM" | "CITEXT" => DeclaredType::Text,
        _ if name.starts_with("DATETIME") || name.starts_with("TIMESTAMP") => DeclaredType::Moment,
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
            ("INTEGER", DeclaredType::Integer),
            ("UNSIGNED BIG INT", DeclaredType::Integer),
            ("tinyint(1)", DeclaredType::Bool),
            ("TINYINT", DeclaredType::Integer),
            ("varchar(255)", DeclaredType::Text),
            ("NATIVE CHARACTER(70)", DeclaredType::Text),
            ("INTEGER_OR_TEXT", DeclaredType::Integer),
            ("datetime", DeclaredType::Moment),
            ("TIMESTAMP WITH TIME ZONE", DeclaredType::Moment),
            ("date", DeclaredType::Day),
            ("decimal(12,2)", DeclaredType::Numeric),
            ("", DeclaredType::Any),
            ("ANY", DeclaredType::Any),
            ("DOUBLE PRECISION", DeclaredType::Real),
            ("(10,2)", DeclaredType::Any),
            ("TEXT[]", DeclaredType::Text),
            ("point", DeclaredType::Integer),
            ("json", DeclaredType::Json),
            ("BINARY(16)", DeclaredType::Bytes),
            ("BLOB", DeclaredType::Bytes),
        ];
        cases.iter().for_each(|(name, wish)| assert_eq!(parse_declared(name), *wish, "{name}"));
    }
}
