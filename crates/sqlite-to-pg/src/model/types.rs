//! Types of PostgreSQL: their form on the wire, and the bounds they put on values.

use super::{Column, Conversion};

/// The type on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WireType {
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
pub(crate) struct TypeBounds {
    /// Characters of varchar(n) and char(n).
    pub(crate) length: Option<usize>,
    /// Digits in all and after the point of numeric(p,s).
    pub(crate) digits: Option<(i32, i32)>,
    /// Digits of a second that times have, where they are less than six.
    pub(crate) fraction: Option<u32>,
}

impl TypeBounds {
    /// Microseconds of the least step of a time.
    pub(crate) fn least_step(self) -> i64 {
        10_i64.pow(6 - self.fraction.unwrap_or(6).min(6))
    }
}

/// The wire form and the bounds of a column; none for a type whose form is not known here, or to which the conversion does
/// not lead.
pub(crate) fn wire_of(column: &Column) -> Option<(WireType, TypeBounds)> {
    parse_type(&column.pg_type).filter(|(wire, _)| leads_to(column.conversion, *wire))
}

/// The type in which a column's values are prepared for a table of the application: its own where we write that, else one
/// that the server casts to it. money has two digits almost everywhere; where it has others the comparison tells.
pub(crate) fn staged_type(column: &Column) -> String {
    match column.pg_type.as_str() {
        own if wire_of(column).is_some() => own.to_string(),
        "money" if column.conversion == Conversion::Numeric => "numeric(17,2)".into(),
        _ => column.conversion.usual_type().into(),
    }
}

/// Whether the bytes that a conversion writes are those of the wire form: PostgreSQL would read eight letters as a bigint.
fn leads_to(conversion: Conversion, wire: WireType) -> bool {
    use Conversion as C;
    match wire {
        WireType::Int2 | WireType::Int4 | WireType::Int8 => conversion == C::Integer,
        WireType::Float4 | WireType::Float8 => conversion == C::Float,
        WireType::Numeric => conversion == C::Numeric,
        WireType::Bool => matches!(conversion, C::Bool | C::BoolWords),
        WireType::Text => matches!(conversion, C::Text | C::Array),
        WireType::Bytea => conversion == C::Bytes,
        WireType::Timestamp | WireType::Timestamptz | WireType::Date => {
            conversion.is_moment() || conversion == C::Date
        }
        WireType::Time => conversion == C::Time,
        WireType::Interval => conversion.is_interval(),
        WireType::Json => conversion == C::Json,
        WireType::Jsonb => matches!(conversion, C::Json | C::Tagged),
        WireType::Uuid => matches!(conversion, C::Uuid | C::Guid),
    }
}

/// A type's wire form and bounds, by its name as format_type() or a person writes it.
pub(crate) fn parse_type(pg_type: &str) -> Option<(WireType, TypeBounds)> {
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

    #[test]
    fn what_we_write_is_what_the_type_reads() {
        let staged = |pg_type: &str, conversion| {
            staged_type(&Column { pg_type: pg_type.into(), conversion, ..Column::default() })
        };
        assert_eq!(staged("bigint", Conversion::Integer), "bigint");
        assert_eq!(staged("bigint", Conversion::Text), "text");
        assert_eq!(
            staged("timestamp(3) without time zone", Conversion::EpochMs),
            "timestamp(3) without time zone"
        );
        assert_eq!(staged("numeric(6,2)", Conversion::Integer), "bigint");
        assert_eq!(staged("money", Conversion::Numeric), "numeric(17,2)");
        assert_eq!(staged("integer[]", Conversion::Array), "text");
        assert_eq!(staged("text", Conversion::EpochMs), "timestamptz");
    }
}
