//! One form for all that is equal: keys in order, numbers by their value, strings by their characters.

use super::value::{Shape, Value};
use twox_hash::XxHash3_128;

/// 64 bits by which bytes are known.
pub(crate) fn hash_bytes(bytes: &[u8]) -> u64 {
    u64::try_from(XxHash3_128::oneshot(bytes) & u128::from(u64::MAX)).unwrap_or(0)
}

/// Appends a number by its value: sign, digits without zeros at either end, and where the point is.
pub(crate) fn put_number(text: &[u8], out: &mut Vec<u8>) {
    let (negative, rest) = match text.split_first() {
        Some((b'-', rest)) => (true, rest),
        _ => (false, text),
    };
    let end = rest.iter().position(|b| matches!(b, b'e' | b'E')).unwrap_or(rest.len());
    let exponent = rest.get(end + 1..).and_then(|e| std::str::from_utf8(e).ok()).map(str::parse::<i64>);
    let (mantissa, exponent) = (&rest[..end], exponent.unwrap_or(Ok(0)));
    let point = mantissa.iter().position(|b| *b == b'.').unwrap_or(end);
    out.push(b'd');
    let begin = out.len();
    out.push(if negative { b'-' } else { b'+' });
    let digits = mantissa.iter().filter(|b| **b != b'.');
    let zeros = digits.clone().take_while(|b| **b == b'0').count();
    out.extend(digits.skip(zeros));
    while out.last() == Some(&b'0') {
        out.pop();
    }
    if out.len() == begin + 1 {
        // Zero has one form: JSON's -0 and 0e9 are zero to PostgreSQL too.
        out[begin] = b'0';
    } else {
        match exponent {
            Ok(e) => out.extend_from_slice(&(point as i64 - zeros as i64).saturating_add(e).to_be_bytes()),
            Err(_) => out.extend_from_slice(&rest[end..]),
        }
    }
    out.push(0);
}

/// Appends a string by its characters.
pub(crate) fn put_text(text: &str, out: &mut Vec<u8>) {
    out.push(b't');
    out.extend_from_slice(&(text.len() as u64).to_be_bytes());
    out.extend_from_slice(text.as_bytes());
}

/// Appends any value.
pub(crate) fn put_value(value: Value<'_>, out: &mut Vec<u8>) {
    match value.shape() {
        Shape::Null => out.push(b'n'),
        Shape::True => out.push(b'T'),
        Shape::False => out.push(b'F'),
        Shape::Number => put_number(value.raw(), out),
        Shape::String => put_text(&value.nearest_text(), out),
        Shape::Array => {
            out.push(b'[');
            value.items().for_each(|item| put_value(item, out));
            out.push(b']');
        }
        Shape::Object => {
            let mut members: Vec<_> =
                value.members().map(|(key, value)| (key.nearest_text(), value)).collect();
            // Stable: of a key that stands twice the last counts, as in jsonb.
            members.sort_by(|a, b| a.0.cmp(&b.0));
            out.push(b'{');
            for (at, (key, value)) in members.iter().enumerate() {
                if members.get(at + 1).is_none_or(|(next, _)| next != key) {
                    put_text(key, out);
                    put_value(*value, out);
                }
            }
            out.push(b'}');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Parser;
    use super::*;

    fn canonical(text: &str) -> Vec<u8> {
        let (mut parser, mut out) = (Parser::default(), Vec::new());
        put_value(parser.parse_text(text.as_bytes()).expect("JSON"), &mut out);
        out
    }

    #[test]
    fn equal_values_have_one_form() {
        let same = [
            ("1.10", "1.1"),
            ("1E5", "100000"),
            ("-0", "0.0e7"),
            ("1e400", "1e+400"),
            ("0.00120", "12e-4"),
            (r#"{"b":1,"a":[1.0]}"#, r#"{ "a" : [1], "b":1.0 }"#),
            (r#""\u3042""#, "\"あ\""),
            (r#"{"a":1,"a":2}"#, r#"{"a":2}"#),
        ];
        for (a, b) in same {
            assert_eq!(canonical(a), canonical(b), "{a} {b}");
        }
        let differ = [
            ("1", "10"),
            ("1", "-1"),
            ("1", "\"1\""),
            ("null", "\"\""),
            ("[1,2]", "[2,1]"),
            ("[[1],2]", "[[1,2]]"),
            ("9007199254740993", "9007199254740992"),
            (r#"["a","b"]"#, r#"["ab",""]"#),
            (r#"{"a":null}"#, "{}"),
        ];
        for (a, b) in differ {
            assert_ne!(canonical(a), canonical(b), "{a} {b}");
        }
    }
}
