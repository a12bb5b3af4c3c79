//! The type of a column: the one that was asked for when every value fits, else one that loses nothing.

use super::epoch;
use super::tally::{Odd, Tally};
use super::wish::Wish;
use crate::cli::Misfit;
use crate::plan::{Conversion, Policy};

/// What a column becomes, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) pg_type: String,
    pub(crate) conversion: Conversion,
    pub(crate) policy: Policy,
    pub(crate) why: String,
    /// Values stand in the way of the type that was asked for, or are not kept as they are.
    pub(crate) odd: Vec<Odd>,
}

fn verdict(pg_type: &str, conversion: Conversion, why: impl Into<String>) -> Verdict {
    Verdict { pg_type: pg_type.into(), conversion, policy: Policy::Stop, why: why.into(), odd: Vec::new() }
}

/// Judges by the values alone, or, for values that do not fit, as `misfit` says.
pub(crate) fn judge(tally: &Tally, declared: &str, misfit: Option<Misfit>) -> Verdict {
    let mut found = match asked(tally, declared) {
        Ok(granted) => granted,
        Err((wished, odd)) if odd == [Odd::Rounded] => fine(tally, wished, misfit),
        Err((wished, odd)) => match misfit.filter(|m| *m != Misfit::Round) {
            Some(Misfit::Text) => {
                verdict("text", Conversion::Text, "asked for: values that do not fit make it text")
            }
            Some(Misfit::Bytea) => {
                verdict("bytea", Conversion::Bytes, "asked for: values that do not fit make it bytea")
            }
            Some(policy) => Verdict { policy: policy_of(policy), odd, ..wished },
            None => Verdict { why: because(tally, &wished, &odd), odd, ..widest(tally) },
        },
    };
    if found.conversion == Conversion::Text || found.conversion == Conversion::Tagged {
        mend(&mut found, tally, misfit);
    }
    found
}

/// Times that are finer than a microsecond: texts, which lose nothing, unless a rule rounds them.
fn fine(tally: &Tally, wished: Verdict, misfit: Option<Misfit>) -> Verdict {
    let odd = vec![Odd::Rounded];
    match misfit {
        None | Some(Misfit::Text) => {
            let widest = widest(tally);
            let why = format!(
                "{}, not {}: {} values are finer than a microsecond; --on-misfit round rounds them and makes it {1}",
                widest.why,
                wished.pg_type,
                tally.fine(wished.conversion)
            );
            Verdict { why, odd, ..widest }
        }
        Some(Misfit::Round) => {
            let why = format!("{}; a rule rounds what is finer than a microsecond", wished.why);
            Verdict { policy: Policy::Round, why, odd, ..wished }
        }
        Some(Misfit::Bytea) => {
            verdict("bytea", Conversion::Bytes, "asked for: values that do not fit make it bytea")
        }
        Some(policy) => Verdict { policy: policy_of(policy), odd, ..wished },
    }
}

/// Text that PostgreSQL cannot hold: replaced and kept among the rejects, unless told otherwise.
fn mend(found: &mut Verdict, tally: &Tally, misfit: Option<Misfit>) {
    if tally.broken() == 0 {
        return;
    }
    if misfit == Some(Misfit::Bytea) {
        *found = verdict("bytea", Conversion::Bytes, "asked for: texts that do not fit make it bytea");
        return;
    }
    found.policy = misfit.map_or(Policy::Replace, policy_of);
    found.why += "; NUL bytes and broken UTF-8 are replaced, their bytes kept among the rejects";
    found.odd.extend(
        [Odd::Nul, Odd::NotUtf8]
            .into_iter()
            .filter(|odd| tally.of(*odd).0 > 0 && !found.odd.contains(odd))
            .collect::<Vec<_>>(),
    );
}

fn policy_of(misfit: Misfit) -> Policy {
    match misfit {
        Misfit::Reject => Policy::Reject,
        Misfit::Null => Policy::Null,
        Misfit::Replace | Misfit::Text | Misfit::Bytea | Misfit::Round => Policy::Replace,
    }
}

fn because(tally: &Tally, wished: &Verdict, odd: &[Odd]) -> String {
    let widest = widest(tally);
    let said: Vec<String> = odd
        .iter()
        .map(|o| (tally.of(*o).0, o))
        .filter(|(n, _)| *n > 0)
        .map(|(n, o)| format!("{n} {}", o.words()))
        .collect();
    let hint = match (wished.conversion, tally.wish) {
        (Conversion::Bool, Wish::Bool)
            if tally.bits == tally.census.integers && tally.words == tally.census.texts =>
        {
            "; all are words of truth: cast bool-words makes it boolean"
        }
        _ => "",
    };
    let numbers = match epoch::candidates(tally).as_slice() {
        [] => String::new(),
        many => format!("; as times: {}", many.iter().map(|c| word(*c)).collect::<Vec<_>>().join(" or ")),
    };
    format!("{}, not {}: {}{hint}{numbers}", widest.why, wished.pg_type, said.join(", "))
}

/// A conversion's name in the plan.
pub(crate) fn word(conversion: Conversion) -> String {
    serde_json::to_value(conversion).ok().and_then(|v| v.as_str().map(String::from)).unwrap_or_default()
}

type Asked = Result<Verdict, (Verdict, Vec<Odd>)>;

fn asked(tally: &Tally, declared: &str) -> Asked {
    let c = &tally.census;
    let only = |n: u64| tally.values() == n;
    let all = |fits: bool, yes: Verdict, odd: &[Odd]| if fits { Ok(yes) } else { Err((yes, odd.to_vec())) };
    match tally.wish {
        Wish::Integer => {
            let odd = [Odd::Real, Odd::Text, Odd::Blob];
            all(only(c.integers), verdict("bigint", Conversion::Integer, "integers"), &odd)
        }
        Wish::Real => {
            let fits = only(c.reals + c.integers) && tally.inexact == 0;
            all(
                fits,
                verdict("double precision", Conversion::Float, "reals"),
                &[Odd::Integer, Odd::Text, Odd::Blob],
            )
        }
        Wish::Numeric => {
            let yes =
                verdict(&numeric(tally, declared), Conversion::Numeric, "exact digits of what is stored");
            all(only(c.reals + c.integers), yes, &[Odd::Text, Odd::Blob])
        }
        Wish::Text => all(
            only(c.texts),
            verdict("text", Conversion::Text, "texts"),
            &[Odd::Integer, Odd::Real, Odd::Blob],
        ),
        Wish::Bytes => {
            let why = if c.texts > 0 { "blobs, and texts as their bytes" } else { "blobs" };
            all(only(c.blobs + c.texts), verdict("bytea", Conversion::Bytes, why), &[Odd::Integer, Odd::Real])
        }
        Wish::Bool => boolean(tally),
        Wish::Json => json(tally),
        Wish::Uuid => {
            let fits = tally.uuids == c.texts && tally.uuid_blobs == c.blobs && only(c.texts + c.blobs);
            all(
                fits,
                verdict("uuid", Conversion::Uuid, "all are UUIDs"),
                &[Odd::NotUuid, Odd::Blob, Odd::Integer, Odd::Real],
            )
        }
        Wish::Clock => {
            let fits = tally.clocks == c.texts && only(c.texts);
            let yes = verdict("time", Conversion::Time, "all are times of day");
            match tally.of(Odd::Rounded).0 {
                0 => all(fits, yes, &[Odd::NotTime, Odd::Integer, Odd::Real, Odd::Blob]),
                _ if fits => Err((yes, vec![Odd::Rounded])),
                _ => Err((yes, vec![Odd::NotTime, Odd::Rounded, Odd::Integer, Odd::Real, Odd::Blob])),
            }
        }
        Wish::Moment | Wish::Day => moment(tally),
        Wish::Any => Ok(widest(tally)),
    }
}

fn boolean(tally: &Tally) -> Asked {
    let c = &tally.census;
    let yes = verdict("boolean", Conversion::Bool, "all are 0 or 1");
    if tally.bits == tally.values() {
        return Ok(yes);
    }
    let why = if c.texts > 0 { vec![Odd::NotBool, Odd::Text] } else { vec![Odd::NotBool] };
    Err((yes, [why, vec![Odd::Real, Odd::Blob]].concat()))
}

fn json(tally: &Tally) -> Asked {
    let (texts, blobs) = (tally.census.texts, tally.json_blobs);
    let odd = vec![Odd::NotJson, Odd::Integer, Odd::Real, Odd::Blob];
    let yes = verdict("jsonb", Conversion::Json, "all are JSON");
    if tally.values() != texts + blobs || tally.json != texts {
        return Err((yes, odd));
    }
    match tally.jsonb == texts + blobs {
        true => Ok(yes),
        false => Ok(verdict(
            "json",
            Conversion::Json,
            "all are JSON, but jsonb would lose doubled keys or \\u0000",
        )),
    }
}

fn moment(tally: &Tally) -> Asked {
    let c = &tally.census;
    let units = epoch::candidates(tally);
    let numbers = c.integers + c.reals;
    let texts_fit = tally.moments() == c.texts && c.blobs == 0;
    let yes = match (numbers, units.as_slice()) {
        (0, _) => texts(tally),
        (_, [unit]) => verdict(
            "timestamptz",
            *unit,
            format!("every number is a time of our days only as {}", word(*unit)),
        ),
        _ => verdict("timestamptz", Conversion::Timestamp, "times"),
    };
    match texts_fit && (numbers == 0 || units.len() == 1) {
        true if tally.fine(yes.conversion) > 0 => Err((yes, vec![Odd::Rounded])),
        true => Ok(yes),
        false => Err((yes, vec![Odd::NotTime, Odd::Nul, Odd::NotUtf8, Odd::Integer, Odd::Real, Odd::Blob])),
    }
}

fn texts(tally: &Tally) -> Verdict {
    let (days, zoned, local) = (tally.days, tally.zoned, tally.local);
    match (zoned, local) {
        (0, 0) if tally.wish == Wish::Day => verdict("date", Conversion::Date, "all are days"),
        (0, 0) if days == 0 => verdict("timestamptz", Conversion::Timestamp, "no value tells otherwise"),
        (0, _) => verdict("timestamp", Conversion::Timestamp, "times without a zone"),
        (_, 0) => verdict("timestamptz", Conversion::Timestamp, "times with a zone"),
        _ => verdict(
            "timestamptz",
            Conversion::Timestamp,
            format!("times with a zone; {local} without one are UTC, as SQLite's own functions have it"),
        ),
    }
}

/// numeric(p,s) only when all values fit into what was declared.
fn numeric(tally: &Tally, declared: &str) -> String {
    let inner = declared.split_once('(').and_then(|(_, rest)| rest.split_once(')')).map(|(inner, _)| inner);
    let numbers: Vec<i32> =
        inner.iter().flat_map(|i| i.split(',')).filter_map(|n| n.trim().parse().ok()).collect();
    let (whole, scale) = tally.digits;
    match numbers.as_slice() {
        [p, s]
            if *s >= 0
                && p >= s
                && (1..=1000).contains(p)
                && scale <= *s
                && whole <= p - s
                && tally.infinite == 0 =>
        {
            format!("numeric({p},{s})")
        }
        _ => "numeric".into(),
    }
}

/// A type that holds every value of the column, whatever was asked for.
fn widest(tally: &Tally) -> Verdict {
    let c = &tally.census;
    let numbers = c.integers + c.reals;
    match (c.integers > 0, c.reals > 0, c.texts > 0, c.blobs > 0) {
        (false, false, false, false) => verdict("text", Conversion::Text, "empty"),
        (true, false, false, false) => verdict("bigint", Conversion::Integer, "only integers"),
        (false, true, false, false) => verdict("double precision", Conversion::Float, "only reals"),
        (true, true, false, false) => verdict("numeric", Conversion::Numeric, "integers and reals"),
        (false, false, false, true) => verdict("bytea", Conversion::Bytes, "only blobs"),
        (_, _, true, false) if numbers == 0 => verdict("text", Conversion::Text, "only texts"),
        (_, _, true, false) => verdict("text", Conversion::Text, "texts, and numbers in digits"),
        (false, false, true, true) if tally.clean_blobs == c.blobs && tally.wish == Wish::Text => {
            verdict("text", Conversion::Text, "texts, and blobs that are UTF-8")
        }
        (false, false, true, true) => verdict("bytea", Conversion::Bytes, "blobs, and texts as their bytes"),
        (_, _, _, true) => {
            verdict("jsonb", Conversion::Tagged, "blobs beside numbers: each value with its class")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::census::wish;
    use rusqlite::types::ValueRef as V;

    fn of(declared: &str, values: &[V<'_>]) -> Verdict {
        let mut tally = Tally::new(wish::of(declared));
        values.iter().for_each(|v| tally.add(*v, &String::new));
        judge(&tally, declared, None)
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
            let mut tally = Tally::new(wish::of("datetime"));
            values.iter().for_each(|v| tally.add(*v, &String::new));
            let found = judge(&tally, "datetime", Some(Misfit::Round));
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
        assert_eq!((v.policy, v.odd.as_slice()), (Policy::Replace, &[Odd::Nul][..]));
    }
}
