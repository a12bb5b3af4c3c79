//! Types on the wire, the bounds they put on values, and why a value does not fit.

/// The type on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wire {
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
    Json,
    Jsonb,
    Uuid,
}

/// Bounds that the type puts on its values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// Characters of varchar(n) and char(n).
    pub(crate) length: Option<usize>,
    /// Digits in all and after the point of numeric(p,s).
    pub(crate) digits: Option<(i32, i32)>,
}

/// Why a value does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Misfit {
    Class,
    Range,
    NotTime,
    Rounded,
    Nul,
    NotUtf8,
    NotJson,
    NotUuid,
    NotBool,
    TooLong,
    Digits,
    Null,
    TooLarge,
}

impl Misfit {
    /// In words.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Misfit::Class => "another storage class",
            Misfit::Range => "out of the type's range",
            Misfit::NotTime => "not a time",
            Misfit::Rounded => "finer than a microsecond",
            Misfit::Nul => "a NUL byte in text",
            Misfit::NotUtf8 => "not UTF-8",
            Misfit::NotJson => "not JSON that the type holds",
            Misfit::NotUuid => "not a UUID",
            Misfit::NotBool => "neither true nor false",
            Misfit::TooLong => "longer than the type allows",
            Misfit::Digits => "more digits than the type allows",
            Misfit::Null => "NULL where the target forbids it",
            Misfit::TooLarge => "larger than PostgreSQL's 1 GB",
        }
    }
}
