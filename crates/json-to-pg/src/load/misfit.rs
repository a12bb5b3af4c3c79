//! Why a record's value is none of its column.

use crate::json::Shape;
use crate::json::value::BadText;
use crate::model::NoInstant;
use migrate::invalid::Invalid;

/// Why a value does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Misfit {
    /// For a reason that any source of values knows.
    Value(Invalid),
    /// A value of another kind.
    Kind(&'static str),
    /// A string of digits where a number is wanted.
    Digits,
    /// A number with a fraction where a whole one is wanted.
    Fraction,
    Gap,
    Overlap,
    LoneSurrogate,
    /// No value of the enum.
    Label,
    /// The name is in no row of the table in which it is looked up.
    Unknown,
    /// Several rows have it.
    Ambiguous,
    /// Two paths of one column both have a value.
    Both,
}

impl Misfit {
    /// In words.
    pub(crate) fn text(self) -> String {
        match self {
            Misfit::Value(Invalid::Nul) => "\\u0000, which no text of PostgreSQL holds".into(),
            Misfit::Value(Invalid::Null) => "no value where the target forbids that".into(),
            Misfit::Value(invalid) => invalid.text().into(),
            Misfit::Kind(kind) => format!("{kind} where the column holds something else"),
            Misfit::Digits => "a string of digits where the column holds a number".into(),
            Misfit::Fraction => "a fraction where the column holds whole numbers".into(),
            Misfit::Gap => "a time that the zone's clocks jumped over".into(),
            Misfit::Overlap => "a time that the zone's clocks showed twice".into(),
            Misfit::LoneSurrogate => "half of a surrogate pair, which is no character".into(),
            Misfit::Label => "no value of the enum".into(),
            Misfit::Unknown => "in no row of the table in which it is looked up".into(),
            Misfit::Ambiguous => "in several rows of the table in which it is looked up".into(),
            Misfit::Both => "a second value for the same column".into(),
        }
    }

    /// The answers that a question about it can have, besides leaving it out.
    pub(crate) fn conversions(self) -> &'static [&'static str] {
        match self {
            Misfit::Fraction | Misfit::Value(Invalid::Rounded | Invalid::Finer) => &["round"],
            Misfit::Digits => &["numbers"],
            Misfit::Kind("a number") => &["text", "epoch-ms", "epoch-s"],
            Misfit::Kind("a boolean") => &["text"],
            Misfit::Value(Invalid::Nul) | Misfit::LoneSurrogate => &["replace"],
            _ => &[],
        }
    }
}

impl From<Invalid> for Misfit {
    fn from(invalid: Invalid) -> Misfit {
        Misfit::Value(invalid)
    }
}

impl From<NoInstant> for Misfit {
    fn from(no: NoInstant) -> Misfit {
        match no {
            NoInstant::Gap => Misfit::Gap,
            NoInstant::Overlap => Misfit::Overlap,
            NoInstant::Range => Misfit::Value(Invalid::Range),
        }
    }
}

impl From<BadText> for Misfit {
    fn from(bad: BadText) -> Misfit {
        match bad {
            BadText::Nul => Misfit::Value(Invalid::Nul),
            BadText::Lone => Misfit::LoneSurrogate,
        }
    }
}

impl From<Shape> for Misfit {
    fn from(shape: Shape) -> Misfit {
        Misfit::Kind(shape.name())
    }
}
