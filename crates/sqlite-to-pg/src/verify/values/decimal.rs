//! Decimal numbers in the bytes PostgreSQL's numeric has on the wire, without the display scale.

use std::io::Write;

const NEGATIVE: u16 = 0x4000;
const INFINITE: u16 = 0xD000;
const MINUS_INFINITE: u16 = 0xF000;

/// Appends a whole number.
pub(crate) fn put_integer(value: i64, scratch: &mut Vec<u8>, out: &mut Vec<u8>) {
    scratch.clear();
    let _ = write!(scratch, "{}", value.unsigned_abs());
    let point = i32::try_from(scratch.len()).unwrap_or(i32::MAX);
    put_digits(value < 0, scratch, point, out);
}

/// Appends the shortest digits that read back as `value`; NaN is not a value SQLite holds.
pub(crate) fn put_real(value: f64, scratch: &mut Vec<u8>, out: &mut Vec<u8>) -> Option<()> {
    if value.is_infinite() {
        return put_infinity(value < 0.0, out);
    }
    scratch.clear();
    let _ = write!(scratch, "{value:e}");
    // The text is our own: no copy is longer than 24 bytes.
    let mut copy = [0_u8; 40];
    let text = copy.get_mut(..scratch.len())?;
    text.copy_from_slice(scratch);
    put_literal(text, scratch, out)
}

fn put_infinity(negative: bool, out: &mut Vec<u8>) -> Option<()> {
    out.extend_from_slice(&[0, 0]);
    out.extend_from_slice(&if negative { MINUS_INFINITE } else { INFINITE }.to_be_bytes());
    Some(())
}

/// Appends what `text` (`-12.50e3`, blanks around it) says. None: it is no number.
pub(crate) fn put_literal(text: &[u8], scratch: &mut Vec<u8>, out: &mut Vec<u8>) -> Option<()> {
    let text = text.trim_ascii();
    let negative = text.first() == Some(&b'-');
    let text = if negative || text.first() == Some(&b'+') { &text[1..] } else { text };
    let split = text.iter().position(|b| b.eq_ignore_ascii_case(&b'e'));
    let (digits, exponent) = match split {
        Some(at) => (&text[..at], std::str::from_utf8(&text[at + 1..]).ok()?.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let whole = digits.iter().position(|b| *b == b'.').unwrap_or(digits.len());
    scratch.clear();
    scratch.extend_from_slice(&digits[..whole]);
    scratch.extend_from_slice(digits.get(whole + 1..).unwrap_or(&[]));
    if scratch.is_empty() || !scratch.iter().all(u8::is_ascii_digit) {
        return None;
    }
    put_digits(negative, scratch, i32::try_from(whole).ok()?.checked_add(exponent)?, out);
    Some(())
}

/// Appends 0.`digits` × 10^`point`.
fn put_digits(negative: bool, digits: &[u8], point: i32, out: &mut Vec<u8>) {
    let zeros = digits.iter().take_while(|d| **d == b'0').count();
    let end = digits.iter().rposition(|d| *d != b'0').map_or(zeros, |at| at + 1);
    let (digits, point) = (&digits[zeros..end.max(zeros)], point - i32::try_from(zeros).unwrap_or(0));
    if digits.is_empty() {
        return out.extend_from_slice(&[0; 4]);
    }
    // PostgreSQL counts in digits of base 10000: the weight is the power of the first (`numeric_send`).
    let weight = (point + 3).div_euclid(4) - 1;
    let lead = usize::try_from(point - weight * 4).unwrap_or(4).min(digits.len());
    out.extend_from_slice(&i16::try_from(weight).unwrap_or(i16::MAX).to_be_bytes());
    out.extend_from_slice(&if negative { NEGATIVE } else { 0 }.to_be_bytes());
    let first_places = usize::try_from(point - weight * 4).unwrap_or(4);
    put_group(&digits[..lead], first_places, out);
    digits[lead..].chunks(4).for_each(|four| put_group(four, 4, out));
}

/// One base-10000 digit of `places` decimal ones, zeros where `digits` ends.
fn put_group(digits: &[u8], places: usize, out: &mut Vec<u8>) {
    let value = (0..places).fold(0_u16, |sum, i| sum * 10 + u16::from(digits.get(i).map_or(0, |d| d - b'0')));
    out.extend_from_slice(&value.to_be_bytes());
}

/// Appends the canonical bytes of a numeric as PostgreSQL sends it: digits, weight, sign, scale, then the digits.
pub(crate) fn from_wire(wire: &[u8], out: &mut Vec<u8>) {
    let digits = wire.get(8..).unwrap_or(&[]);
    let is_zero = |pair: &&[u8]| **pair == [0, 0];
    let leading = digits.chunks(2).take_while(is_zero).count();
    let trailing = digits.chunks(2).rev().take_while(is_zero).count();
    let sign = wire.get(4..6).unwrap_or(&[0, 0]);
    // NUMERIC_NAN is 0xC000, the infinities 0xD000 and 0xF000 (`numeric.c`): they have no digits.
    if sign[0] & 0xC0 == 0xC0 {
        out.extend_from_slice(&[0, 0]);
        return out.extend_from_slice(sign);
    }
    if leading * 2 == digits.len() {
        return out.extend_from_slice(&[0; 4]);
    }
    let weight = wire.get(2..4).map_or(0, |w| i16::from_be_bytes([w[0], w[1]]));
    let weight = weight.saturating_sub(i16::try_from(leading).unwrap_or(0));
    out.extend_from_slice(&weight.to_be_bytes());
    out.extend_from_slice(sign);
    out.extend_from_slice(&digits[leading * 2..digits.len() - trailing * 2]);
}

/// Puts the shortest digits of a double in the place of any longer ones that it is written with, from `start` on: a copy
/// that somebody else made may hold 0.33333333333333331483 for 1/3.0. Other numbers stay as they are, digit by digit.
pub(crate) fn shorten_double(out: &mut Vec<u8>, start: usize, scratch: &mut Vec<u8>) -> Option<()> {
    let bytes = &out[start..];
    let weight = i32::from(i16::from_be_bytes(*bytes.first_chunk::<2>()?));
    let groups: Vec<u16> =
        bytes.get(4..)?.chunks_exact(2).map(|g| u16::from_be_bytes([g[0], g[1]])).collect();
    let digits: String = groups.iter().map(|g| format!("{g:04}")).collect();
    let digits = digits.trim_start_matches('0').trim_end_matches('0');
    if digits.len() <= 15 || digits.len() > 800 {
        return None;
    }
    let sign = if bytes[2..4] == NEGATIVE.to_be_bytes() { "-" } else { "" };
    let first = i32::try_from(groups.first()?.to_string().len()).ok()?;
    let double: f64 = format!("{sign}0.{digits}e{}", weight * 4 + first).parse().ok()?;
    // Whole numbers up to those of SQLite's integers are themselves.
    let whole = double.fract() == 0.0 && double.abs() < 9.3e18;
    if whole || !are_digits_of(digits, double)? {
        return None;
    }
    out.truncate(start);
    put_real(double, scratch, out)
}

/// Whether these first digits are those of `double` to its nineteenth, some cut, some rounded; SQLite's own are not exact
/// after it.
fn are_digits_of(digits: &str, double: f64) -> Option<bool> {
    let count = digits.len().min(21);
    let exact: String = format!("{double:.*e}", count - 1).split('e').next()?.replace(['.', '-'], "");
    let (ours, theirs): (u128, u128) = (digits[..count].parse().ok()?, exact.parse().ok()?);
    let beyond = |n: usize| 10_u128.pow(u32::try_from(count.saturating_sub(n)).unwrap_or(0));
    // Only a double that does not end before is spelt inexactly.
    let slack = if count < 17 || theirs % beyond(16) == 0 { 0 } else { beyond(19) };
    Some(ours.abs_diff(theirs) <= slack)
}

/// Whether canonical bytes fit numeric(p,s).
pub(crate) fn fits_numeric(bytes: &[u8], precision: i32, scale: i32) -> bool {
    let weight = bytes.first_chunk::<2>().map_or(0, |w| i32::from(i16::from_be_bytes(*w)));
    let groups: Vec<u16> =
        bytes.get(4..).unwrap_or(&[]).chunks_exact(2).map(|g| u16::from_be_bytes([g[0], g[1]])).collect();
    let (Some(first), Some(last)) = (groups.first(), groups.last()) else { return bytes.get(2) == Some(&0) };
    let whole = weight * 4 + i32::try_from(first.to_string().len()).unwrap_or(4);
    let zeros = (0..4).take_while(|n| last % 10_u16.pow(n + 1) == 0).count();
    let places = (i32::try_from(groups.len()).unwrap_or(i32::MAX) - weight - 1) * 4
        - i32::try_from(zeros).unwrap_or(0);
    whole <= precision - scale && places <= scale
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(text: &str) -> Vec<u8> {
        let (mut scratch, mut out) = (Vec::new(), Vec::new());
        put_literal(text.as_bytes(), &mut scratch, &mut out).expect(text);
        out
    }

    #[test]
    fn spellings_of_one_number_are_one() {
        for same in [
            &["0", "0.00", "-0", "0e5"][..],
            &["1.1", "1.10", "11e-1", "01.1", " 1.1 "],
            &["12345678", "12345678.0", "1.2345678e7"],
            &["0.00012", "12e-5"],
            &["-100.005", "-100005e-3"],
            &["1e300", "10e299"],
        ] {
            same.iter().for_each(|s| assert_eq!(canonical(s), canonical(same[0]), "{s}"));
        }
        assert_ne!(canonical("1.1"), canonical("1.2"));
        assert_ne!(canonical("1"), canonical("10000"));
    }

    #[test]
    fn bytes_are_postgresqls() {
        // numeric_send(12345.678): three digits 1, 2345, 6780; weight 1; positive; scale 3.
        let wire = [0, 3, 0, 1, 0, 0, 0, 3, 0, 1, 0x09, 0x29, 0x1A, 0x7C];
        let mut out = Vec::new();
        from_wire(&wire, &mut out);
        assert_eq!(out, canonical("12345.678"));
        // 0.00012: weight -1, digits 1, 2000.
        let wire = [0, 2, 0xFF, 0xFF, 0, 0, 0, 5, 0, 1, 0x07, 0xD0];
        out.clear();
        from_wire(&wire, &mut out);
        assert_eq!(out, canonical("0.00012"));
    }

    #[test]
    fn integers_and_reals() {
        let (mut scratch, mut out) = (Vec::new(), Vec::new());
        for n in [0, 7, -7, 10_000, i64::MAX, i64::MIN] {
            out.clear();
            put_integer(n, &mut scratch, &mut out);
            assert_eq!(out, canonical(&n.to_string()));
        }
        for r in [0.1, 100.005, 1e300, 5e-324, -2.5] {
            out.clear();
            put_real(r, &mut scratch, &mut out).expect("finite");
            assert_eq!(out, canonical(&format!("{r}")));
        }
    }

    #[test]
    fn doubles_written_in_full_are_shortened() {
        let short = |text: &str| {
            let mut out = canonical(text);
            let _ = shorten_double(&mut out, 0, &mut Vec::new());
            out
        };
        for (long, shortest) in [
            ("0.33333333333333331483", "0.3333333333333333"),
            ("-36.428571428571430602", "-36.42857142857143"),
            ("0.30000000000000004441", "0.30000000000000004"),
            ("0.333333333333333314829", "0.3333333333333333"),
            ("1180591620717411303424", "1.1805916207174113e21"),
        ] {
            assert_eq!(short(long), canonical(shortest), "{long}");
        }
        for same in
            ["0.12345678901234567890", "9007199254740993", "9223372036854775807", "1.5", "0.3333333333333333"]
        {
            assert_eq!(short(same), canonical(same), "{same}");
        }
    }

    #[test]
    fn declared_digits() {
        let judge = |text: &str| fits_numeric(&canonical(text), 5, 2);
        assert!(["0", "123.45", "-999.99", "0.01", "100", "-1.5"].into_iter().all(judge));
        assert!(!["1000", "0.001", "99999", "1e5", "12.345"].into_iter().any(judge));
    }

    #[test]
    fn words_are_no_numbers() {
        let (mut scratch, mut out) = (Vec::new(), Vec::new());
        for text in ["", "abc", "1.2.3", "1e", "--1", "."] {
            assert_eq!(put_literal(text.as_bytes(), &mut scratch, &mut out), None, "{text}");
        }
    }
}
