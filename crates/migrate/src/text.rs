//! Text: clean or replaced, numbers in digits, truth values, UUIDs.

use crate::invalid::Invalid;
use std::borrow::Cow;
use std::io::Write;

/// The text, when PostgreSQL can hold it as it is.
pub fn clean_text(bytes: &[u8]) -> Result<&str, Invalid> {
    // PostgreSQL refuses both: bytes that are no UTF-8, and the code zero (manual, "Character Types").
    let text = std::str::from_utf8(bytes).map_err(|_| Invalid::NotUtf8)?;
    if memchr::memchr(0, bytes).is_some() { Err(Invalid::Nul) } else { Ok(text) }
}

/// The nearest text that PostgreSQL can hold: U+2400 for each NUL byte, U+FFFD for what is not UTF-8.
pub fn nearest_text(bytes: &[u8]) -> Cow<'_, str> {
    let text = String::from_utf8_lossy(bytes);
    if text.contains('\0') { Cow::Owned(text.replace('\0', "\u{2400}")) } else { text }
}

/// The characters of Windows-1252 at 0x80 to 0x9f; the five bytes without one are the control characters of the same
/// number, so that every byte has a character and none is lost (WHATWG, "Encoding Standard", index windows-1252).
const WINDOWS_1252: &str = "€\u{81}‚ƒ„…†‡ˆ‰Š‹Œ\u{8d}Ž\u{8f}\u{90}‘’“”•–—˜™š›œ\u{9d}žŸ";

/// The text that these bytes are in Windows-1252, which has all printable characters of Latin-1 in the same places.
pub fn decode_windows_1252(bytes: &[u8]) -> String {
    let high: Vec<char> = WINDOWS_1252.chars().collect();
    bytes
        .iter()
        .map(|b| if (0x80..0xa0).contains(b) { high[usize::from(b - 0x80)] } else { char::from(*b) })
        .collect()
}

/// Decimal digits.
pub fn push_integer(n: i64, out: &mut Vec<u8>) {
    let _ = write!(out, "{n}");
}

/// The whole number that a text of digits is.
pub fn parse_integer(text: &[u8]) -> Result<i64, Invalid> {
    let digits = text.strip_prefix(b"-").or_else(|| text.strip_prefix(b"+")).unwrap_or(text);
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(Invalid::NotNumber);
    }
    std::str::from_utf8(text).ok().and_then(|t| t.parse().ok()).ok_or(Invalid::Range)
}

/// The shortest digits that read back the same.
pub fn push_real(n: f64, out: &mut Vec<u8>) {
    let _ = write!(out, "{n:?}");
}

/// Two hexadecimal digits for each byte.
pub fn push_hex(bytes: &[u8], out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for b in bytes {
        out.extend_from_slice(&[DIGITS[usize::from(b >> 4)], DIGITS[usize::from(b & 15)]]);
    }
}

/// What a word says of truth.
pub fn parse_truth(word: &[u8]) -> Option<bool> {
    let is = |words: &[&str]| words.iter().any(|w| word.eq_ignore_ascii_case(w.as_bytes()));
    if is(&["true", "t", "yes", "y", "on", "1"]) {
        Some(true)
    } else if is(&["false", "f", "no", "n", "off", "0"]) {
        Some(false)
    } else {
        None
    }
}

/// The 16 bytes of a UUID in digits: hyphens in the usual places or none, braces or none.
pub fn parse_uuid(text: &[u8]) -> Option<[u8; 16]> {
    let text = match text {
        [b'{', inner @ .., b'}'] => inner,
        _ => text,
    };
    let hyphens = text.len() == 36;
    if !hyphens && text.len() != 32 {
        return None;
    }
    let mut uuid = [0; 16];
    let mut nibbles = 0;
    for (at, b) in text.iter().enumerate() {
        if hyphens && matches!(at, 8 | 13 | 18 | 23) {
            if *b != b'-' {
                return None;
            }
            continue;
        }
        let digit = u8::try_from(char::from(*b).to_digit(16)?).ok()?;
        uuid[nibbles / 2] = uuid[nibbles / 2] << 4 | digit;
        nibbles += 1;
    }
    Some(uuid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uuids_in_four_forms() {
        let plain = parse_uuid(b"00112233445566778899aabbccddeeff").expect("a UUID");
        assert_eq!(plain[1], 0x11);
        for form in ["00112233-4455-6677-8899-AABBCCDDEEFF", "{00112233-4455-6677-8899-aabbccddeeff}"] {
            assert_eq!(parse_uuid(form.as_bytes()), Some(plain), "{form}");
        }
        for no in ["", "00112233-4455-6677-8899-aabbccddeef", "0011223g445566778899aabbccddeeff"] {
            assert_eq!(parse_uuid(no.as_bytes()), None, "{no}");
        }
    }

    #[test]
    fn digits_read_back_the_same() {
        for n in [0.1, 1.0, 1e300, -2.5e-8, f64::MAX, 5e-324, f64::INFINITY] {
            let mut out = Vec::new();
            push_real(n, &mut out);
            assert_eq!(String::from_utf8_lossy(&out).parse(), Ok(n));
        }
    }

    #[test]
    fn every_byte_has_a_character_of_its_own() {
        let all: Vec<u8> = (0..=255).collect();
        let text = decode_windows_1252(&all);
        let distinct: std::collections::BTreeSet<char> = text.chars().collect();
        assert_eq!(distinct.len(), 256);
        assert_eq!(decode_windows_1252(b"M\xfcller \x80 5"), "Müller € 5");
    }

    #[test]
    fn what_postgresql_cannot_hold_is_mended() {
        assert_eq!(nearest_text(b"a\0b"), "a\u{2400}b");
        assert_eq!(nearest_text(b"a\xffb"), "a\u{fffd}b");
        assert_eq!(clean_text(b"a\0b"), Err(Invalid::Nul));
        assert_eq!(clean_text(b"\xc3\x28"), Err(Invalid::NotUtf8));
    }
}
