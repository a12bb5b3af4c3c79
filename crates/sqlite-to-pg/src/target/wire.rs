//! From a column of the plan to the encoder of its values.

use crate::load::encode::{Bounds, Encoder, Wire};
use crate::plan::Column;

/// The encoder of a column; none for a type whose wire form is not known here.
pub(crate) fn encoder(column: &Column, not_null: bool) -> Option<Encoder> {
    let (wire, bounds) = wire(&column.pg_type)?;
    Some(Encoder { wire, conversion: column.conversion, policy: column.policy, bounds, not_null })
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
            Bounds { length: Some(1), digits: None }
        }
        Wire::Text => Bounds { length: length(), digits: None },
        Wire::Numeric => Bounds {
            length: None,
            digits: numbers.first().map(|p| (*p, numbers.get(1).copied().unwrap_or(0))),
        },
        // timestamptz(3) and its like would round without a word.
        Wire::Timestamp | Wire::Timestamptz | Wire::Time if !numbers.is_empty() && numbers[0] < 6 => {
            return None;
        }
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
        assert_eq!(wire("timestamp(3) without time zone"), None);
        assert_eq!(wire("inet"), None);
        assert_eq!(wire("bigint").map(|(w, _)| w), Some(Wire::Int8));
    }
}
