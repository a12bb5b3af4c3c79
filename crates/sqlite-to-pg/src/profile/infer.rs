//! The type of a column: the one that was asked for when every value fits, else one that loses nothing.

use super::declared_type::DeclaredType;
use super::epoch;
use super::stats::{ColumnStats, Mismatch};
use crate::cli::OnInvalid;
use crate::model::{Conversion, Policy};

/// What a column becomes, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Inferred {
    pub(crate) pg_type: String,
    pub(crate) conversion: Conversion,
    pub(crate) policy: Policy,
    pub(crate) why: String,
    /// Values stand in the way of the type that was asked for, or are not kept as they are.
    pub(crate) mismatches: Vec<Mismatch>,
}

fn inferred(pg_type: &str, conversion: Conversion, why: impl Into<String>) -> Inferred {
    Inferred {
        pg_type: pg_type.into(),
        conversion,
        policy: Policy::Stop,
        why: why.into(),
        mismatches: Vec::new(),
    }
}

/// Judges by the values alone, or, for values that do not fit, as `on_invalid` says.
pub(crate) fn infer_type(stats: &ColumnStats, declared: &str, on_invalid: Option<OnInvalid>) -> Inferred {
    // What the schema asks for comes first, and only the values themselves can refuse it: nothing is ever lost to a
    // type.
    let mut found = match try_declared(stats, declared) {
        Ok(granted) => granted,
        Err((wanted, mismatches)) if mismatches == [Mismatch::Rounded] => {
            infer_fine_times(stats, wanted, on_invalid)
        }
        Err((wanted, mismatches)) => match on_invalid.filter(|m| !m.keeps_types()) {
            Some(OnInvalid::Text) => {
                inferred("text", Conversion::Text, "asked for: values that do not fit make it text")
            }
            Some(OnInvalid::Bytea) => {
                inferred("bytea", Conversion::Bytes, "asked for: values that do not fit make it bytea")
            }
            Some(policy) => Inferred { policy: policy.policy(), mismatches, ..wanted },
            None => {
                Inferred { why: why_widened(stats, &wanted, &mismatches), mismatches, ..widest_type(stats) }
            }
        },
    };
    if found.conversion == Conversion::Text || found.conversion == Conversion::Tagged {
        replace_broken_text(&mut found, stats, on_invalid);
    }
    found
}

/// Times that are finer than a microsecond: texts, which lose nothing, unless a rule rounds them.
fn infer_fine_times(stats: &ColumnStats, wanted: Inferred, on_invalid: Option<OnInvalid>) -> Inferred {
    let mismatches = vec![Mismatch::Rounded];
    match on_invalid {
        None | Some(OnInvalid::Text | OnInvalid::Cp1252) => {
            let widest = widest_type(stats);
            let why = format!(
                "{}, not {}: {} values are finer than a microsecond; --on-invalid round rounds them and makes it {1}",
                widest.why,
                wanted.pg_type,
                stats.count_fine(wanted.conversion)
            );
            Inferred { why, mismatches, ..widest }
        }
        Some(OnInvalid::Round) => {
            let why = format!("{}; a rule rounds what is finer than a microsecond", wanted.why);
            Inferred { policy: Policy::Round, why, mismatches, ..wanted }
        }
        Some(OnInvalid::Bytea) => {
            inferred("bytea", Conversion::Bytes, "asked for: values that do not fit make it bytea")
        }
        Some(policy) => Inferred { policy: policy.policy(), mismatches, ..wanted },
    }
}

/// Text that PostgreSQL cannot hold: replaced and kept among the rejects, unless told otherwise.
fn replace_broken_text(found: &mut Inferred, stats: &ColumnStats, on_invalid: Option<OnInvalid>) {
    if stats.count_broken() == 0 {
        return;
    }
    if on_invalid == Some(OnInvalid::Bytea) {
        *found = inferred("bytea", Conversion::Bytes, "asked for: texts that do not fit make it bytea");
        return;
    }
    // Nothing of a text is rounded.
    found.policy = on_invalid.filter(|m| *m != OnInvalid::Round).map_or(Policy::Replace, OnInvalid::policy);
    found.why += match found.policy {
        Policy::Cp1252 => "; a rule reads what is not UTF-8 as Windows-1252",
        _ => "; NUL bytes and broken UTF-8 are replaced, their bytes kept among the rejects",
    };
    found.mismatches.extend(
        [Mismatch::Nul, Mismatch::NotUtf8]
            .into_iter()
            .filter(|m| stats.mismatched(*m).0 > 0 && !found.mismatches.contains(m))
            .collect::<Vec<_>>(),
    );
}

fn why_widened(stats: &ColumnStats, wanted: &Inferred, mismatches: &[Mismatch]) -> String {
    let widest = widest_type(stats);
    let parts: Vec<String> = mismatches
        .iter()
        .map(|o| (stats.mismatched(*o).0, o))
        .filter(|(n, _)| *n > 0)
        .map(|(n, o)| format!("{n} {}", o.text()))
        .collect();
    let hint = match (wanted.conversion, stats.declared_type) {
        (Conversion::Bool, DeclaredType::Bool)
            if stats.bits == stats.profile.integers && stats.words == stats.profile.texts =>
        {
            "; all are truth values: cast bool-words makes it boolean"
        }
        _ => "",
    };
    let numbers = match epoch::candidate_units(stats).as_slice() {
        [] => String::new(),
        many => format!("; as times: {}", many.iter().map(|c| c.name()).collect::<Vec<_>>().join(" or ")),
    };
    format!("{}, not {}: {}{hint}{numbers}", widest.why, wanted.pg_type, parts.join(", "))
}

type Attempt = Result<Inferred, (Inferred, Vec<Mismatch>)>;

fn try_declared(stats: &ColumnStats, declared: &str) -> Attempt {
    let c = &stats.profile;
    let only = |n: u64| stats.count_values() == n;
    let all = |fits: bool, yes: Inferred, mismatches: &[Mismatch]| {
        if fits { Ok(yes) } else { Err((yes, mismatches.to_vec())) }
    };
    match stats.declared_type {
        DeclaredType::Integer => {
            let mismatches = [Mismatch::Real, Mismatch::Text, Mismatch::Blob];
            all(only(c.integers), inferred("bigint", Conversion::Integer, "integers"), &mismatches)
        }
        DeclaredType::Real => {
            let fits = only(c.reals + c.integers) && stats.inexact == 0;
            all(
                fits,
                inferred("double precision", Conversion::Float, "reals"),
                &[Mismatch::Integer, Mismatch::Text, Mismatch::Blob],
            )
        }
        DeclaredType::Numeric => {
            let yes = inferred(
                &numeric_type(stats, declared),
                Conversion::Numeric,
                "exact digits of what is stored",
            );
            all(only(c.reals + c.integers), yes, &[Mismatch::Text, Mismatch::Blob])
        }
        DeclaredType::Text => all(
            only(c.texts),
            inferred("text", Conversion::Text, "texts"),
            &[Mismatch::Integer, Mismatch::Real, Mismatch::Blob],
        ),
        DeclaredType::Bytes => {
            let why = if c.texts > 0 { "blobs, and texts as their bytes" } else { "blobs" };
            all(
                only(c.blobs + c.texts),
                inferred("bytea", Conversion::Bytes, why),
                &[Mismatch::Integer, Mismatch::Real],
            )
        }
        DeclaredType::Bool => try_boolean(stats),
        DeclaredType::Json => try_json(stats),
        DeclaredType::Uuid => {
            let fits = stats.uuids == c.texts && stats.uuid_blobs == c.blobs && only(c.texts + c.blobs);
            all(
                fits,
                inferred("uuid", Conversion::Uuid, "all are UUIDs"),
                &[Mismatch::NotUuid, Mismatch::Blob, Mismatch::Integer, Mismatch::Real],
            )
        }
        DeclaredType::Clock => {
            let fits = stats.clocks == c.texts && only(c.texts);
            let yes = inferred("time", Conversion::Time, "all are times of day");
            match stats.mismatched(Mismatch::Rounded).0 {
                0 => all(fits, yes, &[Mismatch::NotTime, Mismatch::Integer, Mismatch::Real, Mismatch::Blob]),
                _ if fits => Err((yes, vec![Mismatch::Rounded])),
                _ => Err((
                    yes,
                    vec![
                        Mismatch::NotTime,
                        Mismatch::Rounded,
                        Mismatch::Integer,
                        Mismatch::Real,
                        Mismatch::Blob,
                    ],
                )),
            }
        }
        DeclaredType::Moment | DeclaredType::Day => try_timestamp(stats),
        DeclaredType::Any => Ok(widest_type(stats)),
    }
}

fn try_boolean(stats: &ColumnStats) -> Attempt {
    let c = &stats.profile;
    let yes = inferred("boolean", Conversion::Bool, "all are 0 or 1");
    if stats.bits == stats.count_values() {
        return Ok(yes);
    }
    let why = if c.texts > 0 { vec![Mismatch::NotBool, Mismatch::Text] } else { vec![Mismatch::NotBool] };
    Err((yes, [why, vec![Mismatch::Real, Mismatch::Blob]].concat()))
}

fn try_json(stats: &ColumnStats) -> Attempt {
    let (texts, blobs) = (stats.profile.texts, stats.json_blobs);
    let mismatches = vec![Mismatch::NotJson, Mismatch::Integer, Mismatch::Real, Mismatch::Blob];
    let yes = inferred("jsonb", Conversion::Json, "all are JSON");
    if stats.count_values() != texts + blobs || stats.json != texts {
        return Err((yes, mismatches));
    }
    match stats.jsonb == texts + blobs {
        true => Ok(yes),
        false => Ok(inferred(
            "json",
            Conversion::Json,
            "all are JSON, but jsonb would lose doubled keys or \\u0000",
        )),
    }
}

fn try_timestamp(stats: &ColumnStats) -> Attempt {
    let c = &stats.profile;
    let units = epoch::candidate_units(stats);
    let numbers = c.integers + c.reals;
    let texts_fit = stats.count_timestamps() == c.texts && c.blobs == 0;
    let yes = match (numbers, units.as_slice()) {
        (0, _) => timestamp_of_texts(stats),
        (_, [unit]) => inferred(
            "timestamptz",
            *unit,
            format!("every number is a time of our days only as {}", unit.name()),
        ),
        _ => inferred("timestamptz", Conversion::Timestamp, "times"),
    };
    match texts_fit && (numbers == 0 || units.len() == 1) {
        true if stats.count_fine(yes.conversion) > 0 => Err((yes, vec![Mismatch::Rounded])),
        true => Ok(yes),
        false => Err((
            yes,
            vec![
                Mismatch::NotTime,
                Mismatch::Nul,
                Mismatch::NotUtf8,
                Mismatch::Integer,
                Mismatch::Real,
                Mismatch::Blob,
            ],
        )),
    }
}

fn timestamp_of_texts(stats: &ColumnStats) -> Inferred {
    let (days, zoned, local) = (stats.days, stats.zoned, stats.local);
    match (zoned, local) {
        (0, 0) if stats.declared_type == DeclaredType::Day => {
            inferred("date", Conversion::Date, "all are days")
        }
        (0, 0) if days == 0 => inferred("timestamptz", Conversion::Timestamp, "no value tells otherwise"),
        (0, _) => inferred("timestamp", Conversion::Timestamp, "times without a zone"),
        (_, 0) => inferred("timestamptz", Conversion::Timestamp, "times with a zone"),
        _ => inferred(
            "timestamptz",
            Conversion::Timestamp,
            format!("times with a zone; {local} without one are UTC, as SQLite's own functions have it"),
        ),
    }
}

/// numeric(p,s) only when all values fit into what was declared.
fn numeric_type(stats: &ColumnStats, declared: &str) -> String {
    let inner = declared.split_once('(').and_then(|(_, rest)| rest.split_once(')')).map(|(inner, _)| inner);
    let numbers: Vec<i32> =
        inner.iter().flat_map(|i| i.split(',')).filter_map(|n| n.trim().parse().ok()).collect();
    let (whole, scale) = stats.digits;
    match numbers.as_slice() {
        [p, s]
            if *s >= 0
                && p >= s
                && (1..=1000).contains(p)
                && scale <= *s
                && whole <= p - s
                && stats.infinite == 0 =>
        {
            format!("numeric({p},{s})")
        }
        _ => "numeric".into(),
    }
}

/// A type that holds every value of the column, whatever was asked for.
fn widest_type(stats: &ColumnStats) -> Inferred {
    let c = &stats.profile;
    let numbers = c.integers + c.reals;
    match (c.integers > 0, c.reals > 0, c.texts > 0, c.blobs > 0) {
        (false, false, false, false) => inferred("text", Conversion::Text, "empty"),
        (true, false, false, false) => inferred("bigint", Conversion::Integer, "only integers"),
        (false, true, false, false) => inferred("double precision", Conversion::Float, "only reals"),
        (true, true, false, false) => inferred("numeric", Conversion::Numeric, "integers and reals"),
        (false, false, false, true) => inferred("bytea", Conversion::Bytes, "only blobs"),
        (_, _, true, false) if numbers == 0 => inferred("text", Conversion::Text, "only texts"),
        (_, _, true, false) => inferred("text", Conversion::Text, "texts, and numbers in digits"),
        (false, false, true, true)
            if stats.clean_blobs == c.blobs && stats.declared_type == DeclaredType::Text =>
        {
            inferred("text", Conversion::Text, "texts, and blobs that are UTF-8")
        }
        (false, false, true, true) => inferred("bytea", Conversion::Bytes, "blobs, and texts as their bytes"),
        (_, _, _, true) => {
            inferred("jsonb", Conversion::Tagged, "blobs beside numbers: each value with its class")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::declared_type;
    use rusqlite::types::ValueRef as V;

    fn of(declared: &str, values: &[V<'_>]) -> Inferred {
        let mut stats = ColumnStats::new(declared_type::parse_declared(declared));
        values.iter().for_each(|v| stats.add_value(*v, &String::new));
        infer_type(&stats, declared, None)
    }

    fn types(declared: &str, values: &[V<'_>]) -> (String, Conversion) {
        let v = of(declared, values);
        (v.pg_type, v.conversion)
    }

    #[test]
    fn the_type_that_loses_nothing() {
        use Conversion as C;
        let t = |s: &'static str| V::Text(s.as_bytes());
        let cases: Vec<(&str, Vec<V<'_>>, &str, C)> = vec![
            ("int", vec![V::Integer(i64::MAX), V::Null], "bigint", C::Integer),
            ("int", vec![V::Integer(1), t("abc")], "text", C::Text),
            ("int", vec![V::Integer(1), V::Real(1.5)], "numeric", C::Numeric),
            ("int", vec![V::Integer(1), V::Blob(b"x")], "jsonb", C::Tagged),
            ("real", vec![V::Real(1.0)], "double precision", C::Float),
            ("decimal(10,2)", vec![V::Real(1.25)], "numeric(10,2)", C::Numeric),
            ("decimal(10,2)", vec![V::Real(100.005)], "numeric", C::Numeric),
            ("boolean", vec![V::Integer(0), V::Integer(1)], "boolean", C::Bool),
            ("boolean", vec![V::Integer(2)], "bigint", C::Integer),
            ("boolean", vec![V::Integer(1), t("true")], "text", C::Text),
            ("datetime", vec![t("2024-01-02 03:04:05.000 +00:00")], "timestamptz", C::Timestamp),
            ("datetime", vec![t("2024-01-02 03:04:05")], "timestamp", C::Timestamp),
            ("datetime", vec![V::Integer(1_700_000_000_000)], "timestamptz", C::EpochMs),
            (
                "datetime",
                vec![V::Integer(1_700_000_000_000), t("2024-01-02 03:04:05Z")],
                "timestamptz",
                C::EpochMs,
            ),
            ("datetime", vec![V::Integer(5)], "bigint", C::Integer),
            ("datetime", vec![t("2024-01-02 03:04:05.1234567Z")], "text", C::Text),
            ("time", vec![t("10:20:30.1234567")], "text", C::Text),
            ("datetime", vec![V::Integer(1_700_000_000_123_456_000)], "timestamptz", C::EpochNs),
            ("datetime", vec![V::Integer(1_700_000_000_123_456_789)], "bigint", C::Integer),
            ("date", vec![t("2024-01-02")], "date", C::Date),
            ("date", vec![t("2024-02-30")], "text", C::Text),
            ("time", vec![t("10:20")], "time", C::Time),
            ("json", vec![t("{\"a\":1}")], "jsonb", C::Json),
            ("json", vec![t("{\"a\":1,\"a\":2}")], "json", C::Json),
            ("json", vec![t("{")], "text", C::Text),
            ("uuid", vec![V::Blob(&[7; 16])], "uuid", C::Uuid),
            ("blob", vec![V::Blob(b"\xff"), t("x")], "bytea", C::Bytes),
            ("text", vec![t("x"), V::Blob(b"\xff")], "bytea", C::Bytes),
            ("text", vec![t("x"), V::Blob(b"y")], "text", C::Text),
            ("", vec![t("x"), V::Integer(1)], "text", C::Text),
            ("", vec![V::Integer(1)], "bigint", C::Integer),
        ];
        for (declared, values, pg_type, conversion) in cases {
            assert_eq!(types(declared, &values), (pg_type.to_string(), conversion), "{declared} {values:?}");
        }
    }

    #[test]
    fn a_rule_rounds_what_is_too_fine_and_nothing_else() {
        let judged = |values: &[V<'_>]| {
            let mut stats = ColumnStats::new(declared_type::parse_declared("datetime"));
            values.iter().for_each(|v| stats.add_value(*v, &String::new));
            let found = infer_type(&stats, "datetime", Some(OnInvalid::Round));
            (found.pg_type, found.policy)
        };
        let fine = V::Text(b"2024-01-02 03:04:05.1234567Z");
        assert_eq!(judged(&[fine]), ("timestamptz".to_string(), Policy::Round));
        assert_eq!(judged(&[fine, V::Text(b"never")]), ("text".to_string(), Policy::Stop));
        assert_eq!(
            judged(&[V::Integer(1_700_000_000_123_456_789)]),
            ("timestamptz".to_string(), Policy::Round)
        );
    }

    #[test]
    fn broken_text_is_replaced_and_said() {
        let v = of("text", &[V::Text(b"a\0b")]);
        assert_eq!((v.policy, v.mismatches.as_slice()), (Policy::Replace, &[Mismatch::Nul][..]));
    }
}
