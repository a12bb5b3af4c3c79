//! Arrays in one spelling, element by element: JSON on one side, PostgreSQL's literal on the other.

use super::json::Canon;
use super::{decimal, time};
use crate::verify::pair::Element;
use rusqlite::types::ValueRef;
use serde::de::IgnoredAny;

/// How deep arrays of arrays are read; PostgreSQL has six dimensions.
const DIMENSIONS: usize = 8;

const OPEN: u8 = 1;
const CLOSE: u8 = 2;
const NULL: u8 = 3;
const VALUE: u8 = 4;

/// Appends what a text of SQLite says.
pub(crate) fn array_of_source(value: ValueRef<'_>, element: Element, out: &mut Vec<u8>) -> Option<()> {
    let ValueRef::Text(text) = value else { return None };
    let text = text.trim_ascii();
    match text.first()? {
        b'[' => {
            serde_json::from_slice::<IgnoredAny>(text).ok()?;
            array_of_json(text, element, DIMENSIONS, out)
        }
        _ => array_of_literal(text, element, out),
    }
}

/// Appends the elements of valid JSON.
fn array_of_json(text: &[u8], element: Element, depth: usize, out: &mut Vec<u8>) -> Option<()> {
    depth.checked_sub(1)?;
    out.push(OPEN);
    let mut rest = text[1..].trim_ascii_start();
    while rest.first()? != &b']' {
        rest = rest.strip_prefix(b",").unwrap_or(rest).trim_ascii_start();
        let mut values = serde_json::Deserializer::from_slice(rest).into_iter::<IgnoredAny>();
        values.next()?.ok()?;
        let (own, after) = rest.split_at(values.byte_offset());
        match own.first()? {
            b'[' => array_of_json(own, element, depth - 1, out)?,
            b'"' => put_element(serde_json::from_slice::<String>(own).ok()?.as_bytes(), element, out),
            b'n' => out.push(NULL),
            _ => put_element(own, element, out),
        }
        rest = after.trim_ascii_start();
    }
    out.push(CLOSE);
    Some(())
}

/// Appends the elements of `{a,"b c",NULL,{d}}`; none for one whose bounds are written before it, and for what is none.
pub(crate) fn array_of_literal(text: &[u8], element: Element, out: &mut Vec<u8>) -> Option<()> {
    let start = out.len();
    let rest = write_elements(text.trim_ascii(), element, DIMENSIONS, out);
    if rest.is_some_and(<[u8]>::is_empty) {
        return Some(());
    }
    out.truncate(start);
    None
}

/// The elements up to the brace that closes; the answer is what follows it.
fn write_elements<'a>(text: &'a [u8], element: Element, depth: usize, out: &mut Vec<u8>) -> Option<&'a [u8]> {
    depth.checked_sub(1)?;
    let mut rest = text.strip_prefix(b"{")?.trim_ascii_start();
    out.push(OPEN);
    let mut word = Vec::new();
    loop {
        match *rest.first()? {
            b'}' => {
                out.push(CLOSE);
                return Some(&rest[1..]);
            }
            b',' => rest = rest[1..].trim_ascii_start(),
            b'{' => rest = write_elements(rest, element, depth - 1, out)?.trim_ascii_start(),
            b'"' => {
                word.clear();
                rest = read_quoted(&rest[1..], &mut word)?.trim_ascii_start();
                put_element(&word, element, out);
            }
            _ => {
                let end = rest.iter().position(|b| matches!(b, b',' | b'}'))?;
                let bare = rest[..end].trim_ascii_end();
                match bare.eq_ignore_ascii_case(b"null") {
                    true => out.push(NULL),
                    false => put_element(bare, element, out),
                }
                rest = &rest[end..];
            }
        }
    }
}

fn read_quoted<'a>(mut text: &'a [u8], word: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        match text {
            [b'"', rest @ ..] => return Some(rest),
            [b'\\', escaped, rest @ ..] => {
                word.push(*escaped);
                text = rest;
            }
            [plain, rest @ ..] => {
                word.push(*plain);
                text = rest;
            }
            [] => return None,
        }
    }
}

/// One element in the spelling of its kind, or as it stands where it is none of it.
fn put_element(value: &[u8], element: Element, out: &mut Vec<u8>) {
    out.push(VALUE);
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    if spell_element(value, element, out).is_none() {
        out.truncate(start + 4);
        out.extend_from_slice(value);
    }
    let length = u32::try_from(out.len() - start - 4).unwrap_or(u32::MAX);
    out[start..start + 4].copy_from_slice(&length.to_be_bytes());
}

fn spell_element(value: &[u8], element: Element, out: &mut Vec<u8>) -> Option<()> {
    match element {
        Element::Number => decimal::put_literal(value, &mut Vec::new(), out),
        Element::Bool => {
            let truth = match value {
                b"t" | b"true" => b't',
                b"f" | b"false" => b'f',
                _ => return None,
            };
            out.push(truth);
            Some(())
        }
        Element::Json => Canon::default().write_canonical(value, out).map(drop),
        Element::Moment => {
            let micros = time::parse_timestamp(value).filter(|m| m.beyond.is_none())?.utc()?;
            out.extend_from_slice(&micros.to_be_bytes());
            Some(())
        }
        Element::Uuid => {
            let digits = value.iter().filter(|b| **b != b'-');
            out.extend(digits.map(u8::to_ascii_lowercase));
            Some(())
        }
        Element::Text => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str, element: Element) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        array_of_source(ValueRef::Text(text.as_bytes()), element, &mut out)?;
        Some(out)
    }

    #[test]
    fn spellings_of_one_array_are_one() {
        use Element as E;
        for (element, same) in [
            (E::Text, &[r#"["a","b c"]"#, r#"{a,"b c"}"#, r#"{ "a" , b c }"#][..]),
            (E::Text, &["[]", "{}", " [ ] "]),
            (E::Text, &[r#"["null",null,""]"#, r#"{"null",NULL,""}"#]),
            (E::Text, &[r#"["q\"b\\"]"#, r#"{"q\"b\\"}"#]),
            (E::Number, &["[1, 2.50, 1e3]", "{1,2.5,1000}"]),
            (E::Number, &["[[1,2],[3]]", "{{1,2},{3}}"]),
            (E::Bool, &["[true,false]", "{t,f}"]),
            (E::Moment, &[r#"["2025-01-01T10:00:00Z"]"#, r#"{"2025-01-01 10:00:00+00"}"#]),
            (E::Json, &[r#"[{"b":1,"a":[1.0]}]"#, r#"{"{\"a\": [1], \"b\": 1}"}"#]),
        ] {
            assert!(of(same[0], element).is_some(), "{}", same[0]);
            same.iter().for_each(|s| assert_eq!(of(s, element), of(same[0], element), "{s}"));
        }
        for (a, b) in
            [(r#"["a"]"#, r#"["b"]"#), ("[1]", "[1,1]"), ("[null]", r#"["null"]"#), ("[[1],[2]]", "[1,2]")]
        {
            assert_ne!(of(a, E::Text), of(b, E::Text), "{a} {b}");
        }
        for no in ["", "a", "[1", "{a", "[0:1]={1,2}"] {
            assert_eq!(of(no, E::Text), None, "{no}");
        }
    }
}
