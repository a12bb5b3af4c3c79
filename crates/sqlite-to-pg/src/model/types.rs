//! The form in which a column's values are written: its own type's, or that of one which the server casts.

use super::{Column, Conversion};
use migrate::types::{TypeBounds, WireType, parse_type};

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

#[cfg(test)]
mod tests {
    use super::*;

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
