//! A second opinion on one row of a hundred: SQLite's own `quote()` against the text that PostgreSQL prints. It shares
//! no code with the sums, so that one mistake cannot hide in both.

use crate::model::Policy;
use crate::verify::pair::{Form, PairColumn, Rule, TablePair, print_short_sql};
use crate::verify::record::{Difference, DifferenceKind};
use crate::verify::source::explain_error;
use migrate::sql::query_texts;
use postgres::Client;
use rusqlite::Connection;
use rusqlite::types::ValueRef;
use serde_json::Value as Json;
use std::collections::HashMap;
use toban_core::Result;
use toban_core::pg::{Ident, quote_literal};

/// Stretches of neighbours that are looked at in one table, and rows in each at most.
const STRETCHES: i64 = 8;
const MOST: u64 = 5000;

/// Text of one stretch, about.
const BYTES: usize = 4 << 20;

/// A row as text.
type RowText = Vec<Option<String>>;

/// Compares a sample of `rows` rows; says how many, and what differs. Only rows with a key can be found again.
pub(crate) fn check_sample(
    reader: &Connection,
    client: &mut Client,
    pair: &TablePair,
    rows: u64,
) -> Result<(u64, Vec<Difference>)> {
    let simple = |c: &PairColumn| c.form.is_integer() || matches!(c.form, Form::Text | Form::Uuid);
    // Only keys whose text is the same on both sides can be asked for; a table that held rows before may have others
    // under our keys.
    if pair.key == 0 || !pair.columns[..pair.key].iter().all(simple) || pair.is_loose() {
        return Ok((0, Vec::new()));
    }
    let (mut seen, mut told) = (0, Vec::new());
    let size = (rows / 100 / STRETCHES.unsigned_abs()).clamp(10, MOST);
    for start in stretch_starts(pair) {
        let sample = read_sample(reader, pair, start, size)?;
        // Where there is no index every search reads the whole table: a stretch, or many keys, at a time.
        let at_once = if pair.numbered { sample.len().max(1) } else { 500 };
        for some in sample.chunks(at_once) {
            seen += some.len() as u64;
            told.extend(compare_texts(pair, some, &read_counterparts(client, pair, some)?));
        }
    }
    Ok((seen, told))
}

/// Where the stretches begin: rowids, or one beginning without.
fn stretch_starts(pair: &TablePair) -> Vec<Option<i64>> {
    let Some((first, last)) = pair.bounds else { return vec![None] };
    let step = (i128::from(last) - i128::from(first)) / i128::from(STRETCHES);
    let start = |n: i64| i64::try_from(i128::from(first) + step * i128::from(n)).ok();
    let mut starts: Vec<Option<i64>> = (0..STRETCHES).map(start).collect();
    starts.dedup();
    starts
}

fn read_sample(reader: &Connection, pair: &TablePair, start: Option<i64>, size: u64) -> Result<Vec<RowText>> {
    let quote = |c: &PairColumn| {
        let name = Ident::new(&c.source);
        // A NUL would end what quote() gives, SQLite's JSON may be binary, and what is long takes memory twice.
        let unreadable = match c.form {
            Form::Json | Form::Jsonb => format!("typeof({name}) = 'blob'"),
            _ => format!("typeof({name}) = 'text' and instr(cast({name} as blob), x'00')"),
        };
        // A row that is left out is not there, and of one that is not the key is NULL.
        let nulled =
            pair.orphans.iter().filter(|o| o.nulls(c)).map(|o| format!("when {} then 'NULL' ", o.sql));
        let nulled: String = nulled.collect();
        format!(
            "case {nulled}when {unreadable} or octet_length({name}) > 1000000 then 'X' else quote({name}) end"
        )
    };
    let columns: Vec<String> = pair.columns.iter().map(quote).collect();
    let rowid = Ident::new(pair.rowid.as_deref().unwrap_or_default());
    let from = start.map(|n| format!("where {rowid} >= {n} order by {rowid}")).unwrap_or_default();
    let sql = format!("select {} from {} {from} limit {size}", columns.join(", "), Ident::new(&pair.source));
    let read = || -> rusqlite::Result<Vec<RowText>> {
        let mut statement = reader.prepare(&sql)?;
        let mut rows = statement.query([])?;
        let lossy = |v: ValueRef<'_>| v.as_bytes().ok().map(|t| String::from_utf8_lossy(t).into_owned());
        let (mut sample, mut room) = (Vec::new(), BYTES);
        while let Some(row) = rows.next()?.filter(|_| room > 0) {
            let texts: RowText = (0..pair.columns.len())
                .map(|i| row.get_ref(i).map(lossy))
                .collect::<rusqlite::Result<_>>()?;
            room = room.saturating_sub(texts.iter().flatten().map(String::len).sum());
            sample.push(texts);
        }
        Ok(sample)
    };
    read().map_err(|e| explain_error(e, || format!("read {} as text", pair.source)))
}

/// The target's rows with these keys.
fn read_counterparts(
    client: &mut Client,
    pair: &TablePair,
    sample: &[RowText],
) -> Result<HashMap<RowText, RowText>> {
    let name = |c: &PairColumn| Ident::new(&c.target).to_string();
    let keys: Vec<String> = pair.columns[..pair.key].iter().map(name).collect();
    let wanted: Vec<String> = sample.iter().filter_map(|row| key_tuple(&row[..pair.key])).collect();
    let (Some(first), Some(last)) = (wanted.first(), wanted.last()) else { return Ok(HashMap::new()) };
    let filter = match pair.numbered {
        true => format!("{} between {first} and {last} limit {}", keys[0], sample.len() * 2),
        false => format!("({}) in ({})", keys.join(", "), wanted.join(", ")),
    };
    let columns: Vec<String> = pair.columns.iter().map(|c| print_short_sql(c.form, &name(c))).collect();
    let sql = format!("select {} from {} where {filter}", columns.join(", "), pair.relation_sql());
    let rows = query_texts(client, &sql)?;
    Ok(rows.into_iter().map(|row| (row[..pair.key].to_vec(), row)).collect())
}

fn key_tuple(keys: &[Option<String>]) -> Option<String> {
    let parts = keys.iter().map(|k| unquote(k.as_deref()?).map(|t| quote_literal(&t)));
    Some(format!("({})", parts.collect::<Option<Vec<_>>>()?.join(", ")))
}

/// What `quote()` wrote, without its quotes; None for NULL, blobs, and what was left out.
fn unquote(text: &str) -> Option<String> {
    match text.as_bytes() {
        [b'\'', .., b'\''] => Some(text[1..text.len() - 1].replace("''", "'")),
        [b'X', ..] | b"NULL" => None,
        _ => Some(text.into()),
    }
}

fn compare_texts(pair: &TablePair, sample: &[RowText], found: &HashMap<RowText, RowText>) -> Vec<Difference> {
    let mut told = Vec::new();
    for row in sample {
        let Some(key) = row[..pair.key]
            .iter()
            .map(|k| k.as_deref().and_then(unquote).map(Some))
            .collect::<Option<RowText>>()
        else {
            continue;
        };
        // A row that is not there differs in the sums already.
        let Some(other) = found.get(&key) else { continue };
        for (i, column) in pair.columns.iter().enumerate() {
            let quoted = row[i].as_deref().unwrap_or("NULL");
            if texts_agree(column, quoted, other[i].as_deref()) == Some(false) {
                told.push(Difference {
                    row: row_name(pair, &key),
                    source: quoted.into(),
                    target: other[i].as_deref().unwrap_or("NULL").into(),
                    ..Difference::of_table(&pair.source, DifferenceKind::CrossCheck, &column.source)
                });
            }
        }
    }
    told
}

fn row_name(pair: &TablePair, key: &RowText) -> String {
    let name =
        |(c, k): (&PairColumn, &Option<String>)| format!("{}={}", c.source, k.as_deref().unwrap_or("NULL"));
    pair.columns.iter().zip(key).map(name).collect::<Vec<_>>().join(" ")
}

/// Whether both texts say the same; None when they cannot be judged this way.
pub(crate) fn texts_agree(column: &PairColumn, quoted: &str, printed: Option<&str>) -> Option<bool> {
    let Some(printed) = printed else { return (column.policy == Policy::Stop).then_some(quoted == "NULL") };
    if quoted == "NULL" {
        return Some(false);
    }
    // What does not fit was replaced as the plan says; the sums know how.
    let judged = if column.policy == Policy::Stop { Some(false) } else { None };
    if quoted.starts_with('X') {
        return blobs_agree(column, quoted, printed);
    }
    let text = unquote(quoted)?;
    let same = match column.form {
        Form::Int2 | Form::Int4 | Form::Int8 => {
            text == printed || parse_number(&text)? == parse_number(printed)?
        }
        Form::Float4 | Form::Float8 => parse_number(&text)? == parse_number(printed)?,
        // Of a copy that somebody else made the sums know every spelling.
        Form::Numeric | Form::Money if is_real(quoted) && column.rule == Rule::Auto => {
            parse_number(&text)? == parse_number(printed)?
        }
        Form::Numeric | Form::Money => same_decimal(&text, printed, is_real(quoted))?,
        Form::Bool => parse_truth(&text)? == (printed == "t"),
        Form::Text if quoted.starts_with('\'') => text == printed,
        Form::Timestamp | Form::TimestampTz if quoted.starts_with('\'') => {
            parse_timestamp(&text)? == parse_timestamp(printed)?
        }
        Form::Date if quoted.starts_with('\'') => text.starts_with(printed),
        Form::Uuid => hex_digits(&text) == hex_digits(printed),
        Form::Json | Form::Jsonb if column.rule == Rule::Auto => {
            same_json(&parse_json(&text)?, &parse_json(printed)?)
        }
        _ => return None,
    };
    if same { Some(true) } else { judged }
}

fn blobs_agree(column: &PairColumn, quoted: &str, printed: &str) -> Option<bool> {
    let bytes = quoted.strip_prefix("X'")?.strip_suffix('\'')?;
    match column.form {
        Form::Bytes => Some(printed.strip_prefix(r"\x")?.eq_ignore_ascii_case(bytes)),
        _ => None,
    }
}

fn parse_number(text: &str) -> Option<f64> {
    match text.trim() {
        // SQLite quotes infinities as numbers that are too large.
        "Infinity" => Some(f64::INFINITY),
        "-Infinity" => Some(f64::NEG_INFINITY),
        other => other.parse().ok(),
    }
}

/// SQLite quotes a double by 15 digits, or by 20 where these are not enough, PostgreSQL holds its shortest ones: any two
/// ways to write one double name the same number. A whole number, or one that was kept as a text, is its digits.
fn same_decimal(text: &str, printed: &str, real: bool) -> Option<bool> {
    let shortest =
        |text: &str| parse_number(text).filter(|n| n.is_finite()).map(|n| plain_digits(&n.to_string()));
    match real {
        true => {
            Some(parse_number(text)? == parse_number(printed)? && shortest(text)?? == plain_digits(printed)?)
        }
        false => Some(plain_digits(text)? == plain_digits(printed)?),
    }
}

fn is_real(quoted: &str) -> bool {
    !quoted.starts_with('\'') && quoted.contains(['.', 'e', 'E', 'n'])
}

/// Digits without the zeros at the end; with an exponent, nothing that can be compared as text.
fn plain_digits(text: &str) -> Option<String> {
    let text = text.trim();
    if text.contains(['e', 'E', 'n']) {
        return None;
    }
    let plain = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text };
    Some(if plain == "-0" { "0".into() } else { plain.into() })
}

fn parse_truth(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "t" | "true" | "y" | "yes" | "on" => Some(true),
        "0" | "f" | "false" | "n" | "no" | "off" => Some(false),
        _ => None,
    }
}

/// Any spelling of a moment; what has no zone is UTC. The calendar is jiff's, not the one of the sums.
fn parse_timestamp(text: &str) -> Option<jiff::Timestamp> {
    let text = text.trim().replace(" +", "+").replace(" -", "-").replace(" Z", "Z");
    let zoned = text.get(10..).is_some_and(|clock| clock.contains(['+', '-', 'Z', 'z']));
    if zoned {
        return text
            .parse()
            .ok()
            .or_else(|| jiff::fmt::temporal::DateTimeParser::new().parse_timestamp(&text).ok());
    }
    let civil: jiff::civil::DateTime = text.parse().ok()?;
    civil.to_zoned(jiff::tz::TimeZone::UTC).ok().map(|z| z.timestamp())
}

fn hex_digits(text: &str) -> String {
    text.chars().filter(char::is_ascii_hexdigit).flat_map(char::to_lowercase).collect()
}

/// 1.0 and 1 are one number, as jsonb has it.
fn same_json(a: &Json, b: &Json) -> bool {
    match (a, b) {
        (Json::Number(a), Json::Number(b)) => a.as_f64() == b.as_f64(),
        (Json::Array(a), Json::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same_json(a, b))
        }
        (Json::Object(a), Json::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(k, v)| b.get(k).is_some_and(|other| same_json(v, other)))
        }
        _ => a == b,
    }
}

fn parse_json(text: &str) -> Option<Json> {
    serde_json::from_str(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Conversion;
    use crate::verify::pair::ColumnBounds;

    fn judge(form: Form, quoted: &str, printed: Option<&str>) -> Option<bool> {
        let column = PairColumn {
            source: "c".into(),
            target: "c".into(),
            form,
            rule: match form {
                Form::Date => Rule::Plan(Conversion::Date),
                Form::Numeric => Rule::Plan(Conversion::Numeric),
                _ => Rule::Auto,
            },
            policy: Policy::Stop,
            bounds: ColumnBounds::default(),
        };
        texts_agree(&column, quoted, printed)
    }

    #[test]
    fn both_texts_say_the_same() {
        for (form, quoted, printed) in [
            (Form::Int8, "12", "12"),
            (Form::Float8, "0.1", "0.1"),
            (Form::Float8, "1.0e+300", "1e+300"),
            (Form::Numeric, "12.5", "12.50"),
            (Form::Numeric, "0.33333333333333331483", "0.3333333333333333"),
            (Form::Numeric, "0.30000000000000004441", "0.30000000000000004"),
            (Form::Numeric, "1.0e+22", "10000000000000000000000"),
            (Form::Numeric, "'0.33333333333333331483'", "0.33333333333333331483"),
            (Form::Bool, "'TRUE'", "t"),
            (Form::Text, "'it''s'", "it's"),
            (Form::Bytes, "X'00FF'", r"\x00ff"),
            (Form::TimestampTz, "'2024-03-05 10:11:12.345 +00:00'", "2024-03-05 10:11:12.345+00"),
            (Form::TimestampTz, "'2024-03-05T10:11:12Z'", "2024-03-05 10:11:12+00"),
            (Form::Timestamp, "'2024-03-05'", "2024-03-05 00:00:00"),
            (Form::Date, "'2024-03-05'", "2024-03-05"),
            (Form::Jsonb, r#"'{"b":1,"a":[2]}'"#, r#"{"a": [2], "b": 1}"#),
        ] {
            assert_eq!(judge(form, quoted, Some(printed)), Some(true), "{quoted}");
        }
        assert_eq!(judge(Form::Text, "NULL", None), Some(true));
    }

    #[test]
    fn they_do_not() {
        for (form, quoted, printed) in [
            (Form::Int8, "12", Some("13")),
            (Form::Float8, "0.1", Some("0.10000000000000002")),
            (Form::Numeric, "100.005", Some("100.01")),
            (Form::Numeric, "0.33333333333333331483", Some("0.33333333333333331483")),
            (Form::Numeric, "0.33333333333333331483", Some("0.3333333333333334")),
            (Form::Numeric, "9007199254740993", Some("9007199254740992")),
            (Form::Text, "''", None),
            (Form::Text, "NULL", Some("")),
            (Form::Text, "'a'", Some("a ")),
            (Form::Bytes, "X'00'", Some(r"\x01")),
            (Form::TimestampTz, "'2024-03-05T10:11:12Z'", Some("2024-03-05 10:11:12.000001+00")),
        ] {
            assert_eq!(judge(form, quoted, printed), Some(false), "{quoted}");
        }
    }
}
