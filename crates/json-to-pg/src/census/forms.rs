//! Forms of strings: times and how they are written, digits, words, what shows a sample.

use migrate::timestamp::{self, LocalTimestamp};

/// How a time is written: its digits as `0`, but for those of its zone, as `0000-00-00T00:00:00.000+09:00`.
pub(crate) fn time_form(text: &str) -> String {
    // Behind the day a sign begins the zone.
    let zone = text.get(11..).and_then(|rest| rest.find(['+', '-'])).map_or(text.len(), |at| at + 11);
    text.char_indices().map(|(at, c)| if at < zone && c.is_ascii_digit() { '0' } else { c }).collect()
}

/// The time that a text is, when it is one; what is longer than any form is none.
pub(crate) fn parse_time(text: &str) -> Option<LocalTimestamp> {
    let bytes = text.as_bytes();
    let likely = (10..=40).contains(&bytes.len()) && bytes[0].is_ascii_digit() && bytes[4] == b'-';
    if likely { timestamp::parse_timestamp(bytes) } else { None }
}

/// A text that is meant as a time and is none that can be read: slashes, one digit, an era, 24:00.
pub(crate) fn looks_like_time(text: &str) -> bool {
    let era = ["令和", "平成", "昭和"].iter().any(|e| text.starts_with(e)) && text.contains('年');
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    let separators = text.bytes().filter(|b| matches!(b, b'-' | b'/')).count();
    let year = text.get(..4).is_some_and(|y| y.bytes().all(|b| b.is_ascii_digit()))
        && matches!(text.as_bytes().get(4), Some(b'-' | b'/'));
    era || (year && separators >= 2 && digits >= 6 && text.len() <= 40)
}

/// A text of digits alone.
pub(crate) fn is_digits(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    !digits.is_empty() && digits.len() <= 40 && digits.bytes().all(|b| b.is_ascii_digit())
}

/// A UUID as PostgreSQL writes it (uuid_out() of uuid.c): hyphens, and lower case.
pub(crate) fn is_canonical_uuid(text: &str) -> bool {
    text.len() == 36
        && !text.bytes().any(|b| b.is_ascii_uppercase())
        && migrate::text::parse_uuid(text.as_bytes()).is_some()
}

/// A text that a program made of a value by mistake: Python's or Java's print of a map, or the name of nothing.
pub(crate) fn is_printed_value(text: &str) -> bool {
    let words = ["null", "None", "undefined", "NaN", "[object Object]"];
    words.contains(&text) || text.starts_with("{'") || text.starts_with("[{'")
}

/// A text of sample data.
pub(crate) fn is_sample(text: &str) -> bool {
    let words = ["test", "dummy", "sample"];
    memchr::memmem::find(text.as_bytes(), b"example.com").is_some()
        || text.contains("[サンプル]")
        || words.iter().any(|w| text.eq_ignore_ascii_case(w))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        assert_eq!(time_form("2026-01-07T11:49:50.796833"), "0000-00-00T00:00:00.000000");
        assert_eq!(time_form("2026-01-07 11:49:50.7 -03:30"), "0000-00-00 00:00:00.0 -03:30");
        assert!(parse_time("2026-01-10T09:30:00Z").is_some() && parse_time("2024-06-23").is_some());
        let no = ["2026/01/05", "2026-1-5", "20260105", "2026-02-30", "2026-01-05T24:00:00", "令和7年1月5日"];
        for text in no {
            assert!(parse_time(text).is_none(), "{text}");
        }
        for text in ["2026/01/05", "2026-1-05", "2026-02-30", "2026-01-05T24:00:00", "令和7年1月5日"] {
            assert!(looks_like_time(text), "{text}");
        }
        assert!(!looks_like_time("03-1234-5678") && is_digits("01234") && !is_digits("1.5"));
        assert!(is_canonical_uuid("00112233-4455-6677-8899-aabbccddeeff"));
        let other = [
            "d41d8cd98f00b204e9800998ecf8427e",
            "00112233-4455-6677-8899-AABBCCDDEEFF",
            "{00112233-4455-6677-8899-aabbccddeeff}",
            "00112233-4455-6677-8899-aabbccddeefg",
        ];
        other.iter().for_each(|text| assert!(!is_canonical_uuid(text), "{text}"));
        assert!(is_printed_value("{'a': 1}") && is_sample("[サンプル] 手順") && is_sample("a@example.com"));
    }
}
