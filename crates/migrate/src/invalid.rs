//! Why a value is none of its type.

/// Why a value does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Invalid {
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
    Orphan,
}

impl Invalid {
    /// Whether only digits of a second are too many, which a policy may round.
    pub fn is_fine(self) -> bool {
        matches!(self, Invalid::Rounded | Invalid::Finer)
    }

    /// In words.
    pub fn text(self) -> &'static str {
        match self {
            Invalid::Class => "another storage class",
            Invalid::Range => "out of the type's range",
            Invalid::NotTime => "not a time",
            Invalid::Rounded => "finer than a microsecond",
            Invalid::Finer => "finer than the type keeps",
            Invalid::NotNumber => "not a number",
            Invalid::NotInterval => "not an interval",
            Invalid::Unit => {
                "a number whose unit only --cast can tell (interval-s, interval-ms, interval-us, interval-ticks)"
            }
            Invalid::NotArray => "neither a JSON array nor one of PostgreSQL",
            Invalid::Nul => "a NUL byte in text",
            Invalid::NotUtf8 => "not UTF-8",
            Invalid::NotJson => "not JSON that the type holds",
            Invalid::NotUuid => "not a UUID",
            Invalid::NotBool => "neither true nor false",
            Invalid::TooLong => "longer than the type allows",
            Invalid::Digits => "more digits than the type allows",
            Invalid::Null => "NULL where the target forbids it",
            Invalid::TooLarge => "larger than PostgreSQL's 1 GB",
            Invalid::Orphan => "a foreign key without a parent",
        }
    }
}
