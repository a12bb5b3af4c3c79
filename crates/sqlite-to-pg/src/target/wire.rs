//! From a column of the plan to the encoder of its values.

use crate::load::encode::{Bounds, Encoder, Wire};
use crate::plan::{Column, Conversion};

/// The encoder of a column; none for a type whose wire form is not known here, or to which the conversion does not lead.
pub(crate) fn encoder(column: &Column, not_null: bool) -> Option<Encoder> {
    let (wire, bounds) = wire(&column.pg_type).filter(|(wire, _)| leads_to(column.conversion, *wire))?;
    Some(Encoder { wire, conversion: column.conversion, policy: column.policy, bounds, not_null })
}

/// The type in which a column's values are prepared for a table of the application: its own where we write that, else one
/// that the server casts to it. money has two digits almost everywhere; where it has others the comparison tells.
pub(crate) fn staged_type(column: &Column) -> String {
    match column.pg_type.as_str() {
        own if encoder(column, false).is_some() => own.to_string(),
        "money" if column.conversion == Conversion::Numeric => "numeric(17,2)".into(),
        _ => column.conversion.usual_type().into(),
    }
}

/// Whether the bytes that a conversion writes are those of the wire form: PostgreSQL would read eight letters as a bigint.
fn leads_to(conversion: Conversion, wire: Wire) -> bool {
    use Conversion as C;
    match wire {
        Wire::Int2 | Wire::Int4 | Wire::Int8 => conversion == C::Integer,
        Wire::Float4 | Wire::Float8 => conversion == C::Float,
        Wire::Numeric => conversion == C::Numeric,
        Wire::Bool => matches!(conversion, C::Bool | C::BoolWords),
        Wire::Text => matches!(conversion, C::Text | C::Array),
        Wire::Bytea => conversion == C::Bytes,
        Wire::Timestamp | Wire::Timestamptz | Wire::Date => conversion.is_moment() || conversion == C::Date,
        Wire::Time => conversion == C::Time,
        Wire::Interval => conversion.is_interval(),
        Wire::Json => conversion == C::Json,
        Wire::Jsonb => matches!(conversion, C::Json | C::Tagged),
        Wire::Uuid => matches!(conversion, C::Uuid | C::Guid),
    }
}

/// A type's wire form and bounds, by its name as format_type() or a person writes it.
pub(crate) fn wire(pg_type: &str) -> Option<(Wire, Bounds)> {
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
        "smallint" | "int2" | "smallserial" => Wire::Int2,
        "integer" | "int" | "int4" | "serial" => Wire::Int4,
        "bigint" | "int8" | "bigserial" => Wire::Int8,
        "real" | "float4" => Wire::Float4,
        "double precision" | "float8" => Wire::Float8,
        "numeric" | "decimal" => Wire::Numeric,
        "boolean" | "bool" => Wire::Bool,
        "text" | "character varying" | "varchar" | "character" | "char" | "bpchar" | "name" => Wire::Text,
        "bytea" => Wire::Bytea,
        "timestamp" | "timestamp without time zone" => Wire::Timestamp,
        "timestamptz" | "timestamp with time zone" => Wire::Timestamptz,
        "date" => Wire::Date,
        "time" | "time without time zone" => Wire::Time,
        "interval" => Wire::Interval,
        "json" => Wire::Json,
        "jsonb" => Wire::Jsonb,
        "uuid" => Wire::Uuid,
        _ => return None,
    };
    let bounds = match wire {
        Wire::Text
            if base.trim().starts_with("char")
                && length().is_none()
                && base.trim() != "character varying" =>
        {
            Bounds { length: Some(1), ..Bounds::default() }
        }
        Wire::Text => Bounds { length: length(), ..Bounds::default() },
        Wire::Numeric => Bounds {
            digits: numbers.first().map(|p| (*p, numbers.get(1).copied().unwrap_or(0))),
            ..Bounds::default()
        },
        // timestamptz(3) and its like round what is finer without a word.
        Wire::Timestamp | Wire::Timestamptz | Wire::Time | Wire::Interval => Bounds {
            fraction: numbers.first().and_then(|p| u32::try_from(*p).ok()).filter(|p| *p < 6),
            ..Bounds::default()
        },
        _ => Bounds::default(),
    };
    Some((wire, bounds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_and_their_bounds() {
        assert_eq!(wire("numeric(12,2)").map(|(_, b)| b.digits), Some(Some((12, 2))));
        assert_eq!(wire("character varying(64)").map(|(w, b)| (w, b.length)), Some((Wire::Text, Some(64))));
        assert_eq!(wire("timestamp(6) with time zone").map(|(w, _)| w), Some(Wire::Timestamptz));
        let fraction = |name: &str| wire(name).map(|(w, b)| (w, b.fraction));
        assert_eq!(fraction("timestamp(3) without time zone"), Some((Wire::Timestamp, Some(3))));
        assert_eq!(fraction("time(0) without time zone"), Some((Wire::Time, Some(0))));
        assert_eq!(fraction("interval(2)"), Some((Wire::Interval, Some(2))));
        assert_eq!(wire("interval day to second"), None);
        assert_eq!(wire("inet"), None);
        assert_eq!(wire("bigint").map(|(w, _)| w), Some(Wire::Int8));
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
