//! Types of PostgreSQL: their form on the wire, and the bounds they put on values.

/// The type on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WireType {
    Int2,
    Int4,
    Int8,
    Float4,
    Float8,
    Numeric,
    Bool,
    Text,
    Bytea,
    Timestamp,
    Timestamptz,
    Date,
    Time,
    Interval,
    Json,
    Jsonb,
    Uuid,
}

/// Bounds that the type puts on its values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TypeBounds {
    /// Characters of varchar(n) and char(n).
    pub length: Option<usize>,
    /// Digits in all and after the point of numeric(p,s).
    pub digits: Option<(i32, i32)>,
    /// Digits of a second that times have, where they are less than six.
    pub fraction: Option<u32>,
}

impl TypeBounds {
    /// Microseconds of the least step of a time.
    pub fn least_step(self) -> i64 {
        10_i64.pow(6 - self.fraction.unwrap_or(6).min(6))
    }
}

/// A type's wire form and bounds, by its name as format_type() or a person writes it.
pub fn parse_type(pg_type: &str) -> Option<(WireType, TypeBounds)> {
    let lower = pg_type.trim().to_ascii_lowercase();
    let numbers: Vec<i32> = lower
        .split_once('(')
        .and_then(|(_, rest)| rest.split_once(')'))
        .map(|(inner, _)| inner.split(',').filter_map(|n| n.trim().parse().ok()).collect())
        .unwrap_or_default();
    let base = match lower.split_once('(') {
        Some((head, rest)) => format!("{}{}", head.trim(), rest.split_once(')').map_or("", |(_, tail)| tail)),
        None => lower.clone(),
    };
    let length = || numbers.first().and_then(|n| usize::try_from(*n).ok());
    let wire = match base.trim() {
        "smallint" | "int2" | "smallserial" => WireType::Int2,
        "integer" | "int" | "int4" | "serial" => WireType::Int4,
        "bigint" | "int8" | "bigserial" => WireType::Int8,
        "real" | "float4" => WireType::Float4,
        "double precision" | "float8" => WireType::Float8,
        "numeric" | "decimal" => WireType::Numeric,
        "boolean" | "bool" => WireType::Bool,
        "text" | "character varying" | "varchar" | "character" | "char" | "bpchar" | "name" => WireType::Text,
        "bytea" => WireType::Bytea,
        "timestamp" | "timestamp without time zone" => WireType::Timestamp,
        "timestamptz" | "timestamp with time zone" => WireType::Timestamptz,
        "date" => WireType::Date,
        "time" | "time without time zone" => WireType::Time,
        "interval" => WireType::Interval,
        "json" => WireType::Json,
        "jsonb" => WireType::Jsonb,
        "uuid" => WireType::Uuid,
        _ => return None,
    };
    let bounds = match wire {
        WireType::Text
            if base.trim().starts_with("char")
                && length().is_none()
                && base.trim() != "character varying" =>
        {
            TypeBounds { length: Some(1), ..TypeBounds::default() }
        }
        WireType::Text => TypeBounds { length: length(), ..TypeBounds::default() },
        WireType::Numeric => TypeBounds {
            digits: numbers.first().map(|p| (*p, numbers.get(1).copied().unwrap_or(0))),
            ..TypeBounds::default()
        },
        // timestamptz(3) and its like round what is finer without a word.
        WireType::Timestamp | WireType::Timestamptz | WireType::Time | WireType::Interval => TypeBounds {
            fraction: numbers.first().and_then(|p| u32::try_from(*p).ok()).filter(|p| *p < 6),
            ..TypeBounds::default()
        },
        _ => TypeBounds::default(),
    };
    Some((wire, bounds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_and_their_bounds() {
        assert_eq!(parse_type("numeric(12,2)").map(|(_, b)| b.digits), Some(Some((12, 2))));
        assert_eq!(
            parse_type("character varying(64)").map(|(w, b)| (w, b.length)),
            Some((WireType::Text, Some(64)))
        );
        assert_eq!(parse_type("timestamp(6) with time zone").map(|(w, _)| w), Some(WireType::Timestamptz));
        let fraction = |name: &str| parse_type(name).map(|(w, b)| (w, b.fraction));
        assert_eq!(fraction("timestamp(3) without time zone"), Some((WireType::Timestamp, Some(3))));
        assert_eq!(fraction("time(0) without time zone"), Some((WireType::Time, Some(0))));
        assert_eq!(fraction("interval(2)"), Some((WireType::Interval, Some(2))));
        assert_eq!(parse_type("interval day to second"), None);
        assert_eq!(parse_type("inet"), None);
        assert_eq!(parse_type("bigint").map(|(w, _)| w), Some(WireType::Int8));
    }
}
