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
    Interval,
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
    /// Digits of a second that times have, where they are less than six.
    pub(crate) fraction: Option<u32>,
}

impl Bounds {
    /// Microseconds of the least step of a time.
    pub(crate) fn step(self) -> i64 {
        10_i64.pow(6 - self.fraction.unwrap_or(6).min(6))
    }
}

/// Why a value does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Misfit {
    Class,
    Range,
    NotTime,
    Rounded,
    Finer,
    NotNumber,
    NotInterval,
    Unit,
    NotArray,
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
    /// Whether only digits of a second are too many, which [`crate::plan::Policy::Round`] rounds.
    pub(crate) fn is_fine(self) -> bool {
        matches!(self, Misfit::Rounded | Misfit::Finer)
    }

    /// In words.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Misfit::Class => "another storage class",
            Misfit::Range => "out of the type's range",
            Misfit::NotTime => "not a time",
            Misfit::Rounded => "finer than a microsecond",
            Misfit::Finer => "finer than the type keeps",
            Misfit::NotNumber => "not a number",
            Misfit::NotInterval => "not an interval",
            Misfit::Unit => {
                "a number whose unit only --cast can tell (interval-s, interval-ms, interval-us, interval-ticks)"
            }
            Misfit::NotArray => "neither a JSON array nor one of PostgreSQL",
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
