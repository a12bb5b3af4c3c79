//! A strict reader of DER (X.690, clauses 8 to 11): definite, minimal lengths; minimal integers; canonical booleans
//! and bit strings; and the two forms of time.

use jiff::SignedDuration;
use jiff::civil::DateTime;

/// What is wrong with the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed(pub(crate) &'static str);

pub(crate) type Result<T> = std::result::Result<T, Malformed>;

pub(crate) const BOOLEAN: u8 = 0x01;
pub(crate) const INTEGER: u8 = 0x02;
pub(crate) const BIT_STRING: u8 = 0x03;
pub(crate) const OCTET_STRING: u8 = 0x04;
pub(crate) const NULL: u8 = 0x05;
pub(crate) const OID: u8 = 0x06;
pub(crate) const ENUMERATED: u8 = 0x0a;
pub(crate) const UTC_TIME: u8 = 0x17;
pub(crate) const GENERALIZED_TIME: u8 = 0x18;
pub(crate) const SEQUENCE: u8 = 0x30;
pub(crate) const SET: u8 = 0x31;

/// The context tag `n` of a primitive value.
pub(crate) const fn context_tag(n: u8) -> u8 {
    0x80 | n
}

/// The context tag `n` of a constructed value.
pub(crate) const fn explicit_tag(n: u8) -> u8 {
    0xa0 | n
}

/// One element.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tlv<'a> {
    pub(crate) tag: u8,
    pub(crate) value: &'a [u8],
    /// Tag, length and value.
    pub(crate) whole: &'a [u8],
}

/// Reads elements one after the other.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Der<'a> {
    rest: &'a [u8],
}

impl<'a> Der<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Der<'a> {
        Der { rest: bytes }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Whether the next element has `tag`.
    pub(crate) fn starts_with(&self, tag: u8) -> bool {
        self.rest.first() == Some(&tag)
    }

    /// The next element, whatever it is.
    pub(crate) fn read_element(&mut self) -> Result<Tlv<'a>> {
        let (&tag, after) = self.rest.split_first().ok_or(Malformed("ends too early"))?;
        // No structure of RFC 5280 has a tag above 30, so that the long form (X.690, 8.1.2.4) is an attempt at something.
        if tag & 0x1f == 0x1f {
            return Err(Malformed("has a tag of many bytes"));
        }
        let (length, header) = read_length(after)?;
        let (start, end) = (1 + header, 1 + header + length);
        let value = self.rest.get(start..end).ok_or(Malformed("ends inside of a value"))?;
        let whole = &self.rest[..end];
        self.rest = &self.rest[end..];
        Ok(Tlv { tag, value, whole })
    }

    /// The next element, which must have `tag`.
    pub(crate) fn expect_tag(&mut self, tag: u8) -> Result<&'a [u8]> {
        match self.read_element()? {
            found if found.tag == tag => Ok(found.value),
            _ => Err(Malformed("holds something else than it must")),
        }
    }

    /// The next element if it has `tag`.
    pub(crate) fn read_optional(&mut self, tag: u8) -> Result<Option<&'a [u8]>> {
        match self.rest.first() {
            Some(&next) if next == tag => self.expect_tag(tag).map(Some),
            _ => Ok(None),
        }
    }

    /// The next element, which must be a sequence, as a reader of its parts.
    pub(crate) fn read_sequence(&mut self) -> Result<Der<'a>> {
        self.expect_tag(SEQUENCE).map(Der::new)
    }

    /// Nothing may be left.
    pub(crate) fn expect_end(&self) -> Result<()> {
        if self.is_empty() { Ok(()) } else { Err(Malformed("has something after its end")) }
    }

    /// Each remaining element by `one`; there must be at least one.
    pub(crate) fn read_each<T>(mut self, mut one: impl FnMut(&mut Der<'a>) -> Result<T>) -> Result<Vec<T>> {
        if self.is_empty() {
            return Err(Malformed("is an empty sequence"));
        }
        let mut all = Vec::new();
        while !self.is_empty() {
            all.push(one(&mut self)?);
        }
        Ok(all)
    }
}

/// The one sequence that these bytes are, as a reader of its parts.
pub(crate) fn read_sequence(bytes: &[u8]) -> Result<Der<'_>> {
    read_value(bytes, SEQUENCE).map(Der::new)
}

/// The value of the one element that these bytes are.
pub(crate) fn read_value(bytes: &[u8], tag: u8) -> Result<&[u8]> {
    let mut outer = Der::new(bytes);
    let value = outer.expect_tag(tag)?;
    outer.expect_end()?;
    Ok(value)
}

/// Length and how many bytes it takes. One value has one encoding in DER (X.690, 10.1): a second one would let the bytes
/// that were signed and the bytes that are compared differ, so a longer form than need be is refused.
fn read_length(bytes: &[u8]) -> Result<(usize, usize)> {
    let (&first, rest) = bytes.split_first().ok_or(Malformed("ends too early"))?;
    if first < 0x80 {
        return Ok((usize::from(first), 1));
    }
    let count = usize::from(first & 0x7f);
    if count == 0 || count > 4 {
        return Err(Malformed("has a length that is not definite and short"));
    }
    let digits = rest.get(..count).ok_or(Malformed("ends too early"))?;
    let value = digits.iter().fold(0usize, |sum, d| sum << 8 | usize::from(*d));
    match value < 0x80 || digits[0] == 0 {
        true => Err(Malformed("has a length that is longer than it need be")),
        false => Ok((value, 1 + count)),
    }
}

/// An integer's bytes, proven minimal.
pub(crate) fn check_integer(value: &[u8]) -> Result<&[u8]> {
    match value {
        [] => Err(Malformed("has an empty integer")),
        [0, second, ..] if second & 0x80 == 0 => {
            Err(Malformed("has an integer that is longer than it need be"))
        }
        [0xff, second, ..] if second & 0x80 != 0 => {
            Err(Malformed("has an integer that is longer than it need be"))
        }
        _ => Ok(value),
    }
}

/// A small integer that is not negative.
pub(crate) fn read_small(value: &[u8]) -> Result<u32> {
    let value = check_integer(value)?;
    if value[0] & 0x80 != 0 {
        return Err(Malformed("has a negative number"));
    }
    // Path lengths and policy counts are compared, never computed with: more than 31 bits are no one's honest number.
    if value.len() > 4 {
        return Err(Malformed("has too large a number"));
    }
    Ok(value.iter().fold(0, |sum, b| sum << 8 | u32::from(*b)))
}

/// A positive integer without its sign byte.
pub(crate) fn read_positive(value: &[u8]) -> Result<&[u8]> {
    let value = check_integer(value)?;
    match value {
        [0] => Err(Malformed("has a zero")),
        [0, rest @ ..] => Ok(rest),
        [first, ..] if first & 0x80 != 0 => Err(Malformed("has a negative number")),
        _ => Ok(value),
    }
}

pub(crate) fn read_boolean(value: &[u8]) -> Result<bool> {
    match value {
        [0xff] => Ok(true),
        [0] => Ok(false),
        _ => Err(Malformed("has a boolean that is neither true nor false")),
    }
}

/// The next element, if it has `tag`, as a boolean that is false where none is. DER leaves the default out, but authorities write
/// `cA FALSE` and `critical FALSE`, and every validator takes them.
pub(crate) fn read_flag(parts: &mut Der<'_>, tag: u8) -> Result<bool> {
    parts.read_optional(tag)?.map_or(Ok(false), read_boolean)
}

/// The bytes of a bit string that ends on a byte.
pub(crate) fn read_octets(value: &[u8]) -> Result<&[u8]> {
    match value {
        [0, bytes @ ..] => Ok(bytes),
        _ => Err(Malformed("has a bit string that ends inside of a byte")),
    }
}

/// A list of named bits, the first as 1, the second as 2, …; at most 16.
pub(crate) fn read_named_bits(value: &[u8]) -> Result<u16> {
    let (&unused, bytes) = value.split_first().ok_or(Malformed("has an empty bit string"))?;
    let last = bytes.last().copied().unwrap_or(0);
    let padding = u8::try_from((1u16 << unused.min(8)) - 1).unwrap_or(0xff);
    if unused > 7 || last & padding != 0 || (bytes.is_empty() && unused != 0) || bytes.len() > 2 {
        return Err(Malformed("has a malformed bit string"));
    }
    Ok(bytes.iter().enumerate().fold(0, |all, (i, b)| all | u16::from(b.reverse_bits()) << (8 * i)))
}

/// An object identifier's bytes, proven well-formed.
pub(crate) fn check_oid(value: &[u8]) -> Result<&[u8]> {
    let whole = value.last().is_some_and(|last| last & 0x80 == 0);
    let begins = |i: usize| i == 0 || value[i - 1] & 0x80 == 0;
    let padded = value.iter().enumerate().any(|(i, b)| *b == 0x80 && begins(i));
    if whole && !padded { Ok(value) } else { Err(Malformed("has a malformed object identifier")) }
}

/// Bytes that are 7-bit ASCII.
pub(crate) fn read_ascii(value: &[u8]) -> Result<&str> {
    match std::str::from_utf8(value) {
        Ok(text) if text.is_ascii() => Ok(text),
        _ => Err(Malformed("has text that is not ASCII")),
    }
}

/// A point in time and how it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Time {
    /// Seconds since 1970.
    pub(crate) at: i64,
    generalized: bool,
}

impl Time {
    /// Reads `YYMMDDHHMMSSZ` or `YYYYMMDDHHMMSSZ`, the only forms that RFC 5280 (4.1.2.5) allows.
    pub(crate) fn read_der(der: &mut Der<'_>) -> Result<Time> {
        let found = der.read_element()?;
        match found.tag {
            UTC_TIME => Ok(Time { at: read_utc_time(found.value)?, generalized: false }),
            GENERALIZED_TIME => Ok(Time { at: read_generalized_time(found.value)?, generalized: true }),
            _ => Err(Malformed("has something else where a time must be")),
        }
    }

    /// Whether the form is the one that its year must have: UTCTime through 2049, GeneralizedTime from 2050 on.
    pub(crate) fn has_right_form(self) -> bool {
        const YEAR_1950: i64 = -631_152_000;
        const YEAR_2050: i64 = 2_524_608_000;
        self.generalized != (YEAR_1950..YEAR_2050).contains(&self.at)
    }
}

/// The years of two digits are those from 1950 to 2049 (RFC 5280, 4.1.2.5.1).
fn read_utc_time(text: &[u8]) -> Result<i64> {
    let year = read_digits(text, 0, 2)?;
    read_clock(if year < 50 { 2000 + year } else { 1900 + year }, text, 2)
}

fn read_generalized_time(text: &[u8]) -> Result<i64> {
    read_clock(read_digits(text, 0, 4)?, text, 4)
}

fn read_clock(year: i16, text: &[u8], from: usize) -> Result<i64> {
    let pair = |n: usize| read_digits(text, from + 2 * n, 2).map(|n| i8::try_from(n).unwrap_or(i8::MAX));
    let at = DateTime::new(year, pair(0)?, pair(1)?, pair(2)?, pair(3)?, pair(4)?, 0);
    match at {
        Ok(at) if text.get(from + 10..) == Some(&b"Z"[..]) => Ok(at.duration_since(EPOCH).as_secs()),
        _ => Err(Malformed("has a malformed time")),
    }
}

fn read_digits(text: &[u8], from: usize, count: usize) -> Result<i16> {
    let part = text.get(from..from + count).filter(|p| p.iter().all(u8::is_ascii_digit));
    let part = part.ok_or(Malformed("has a malformed time"))?;
    Ok(part.iter().fold(0, |n, d| n * 10 + i16::from(d - b'0')))
}

const EPOCH: DateTime = jiff::civil::date(1970, 1, 1).at(0, 0, 0, 0);

/// Seconds since 1970 as `2026-12-04T00:00:00Z`. Not by a time stamp of jiff, which ends some hours before
/// 9999-12-31T23:59:59Z, "no well-defined expiration date" (RFC 5280, 4.1.2.5).
pub fn format_time(seconds: i64) -> String {
    match EPOCH.checked_add(SignedDuration::from_secs(seconds)) {
        Ok(at) => at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        Err(_) => format!("{seconds} s after 1970"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_time(tag: u8, text: &str) -> Result<i64> {
        let mut der = vec![tag, u8::try_from(text.len()).expect("short")];
        der.extend_from_slice(text.as_bytes());
        Time::read_der(&mut Der::new(&der)).map(|t| t.at)
    }

    #[test]
    fn times() {
        assert_eq!(read_time(UTC_TIME, "700101000000Z"), Ok(0));
        assert_eq!(read_time(UTC_TIME, "491231235959Z"), Ok(2_524_607_999));
        assert_eq!(read_time(UTC_TIME, "500101000000Z"), Ok(-631_152_000));
        assert_eq!(read_time(GENERALIZED_TIME, "20500101000000Z"), Ok(2_524_608_000));
        assert_eq!(read_time(GENERALIZED_TIME, "99991231235959Z"), Ok(253_402_300_799));
        assert_eq!(read_time(UTC_TIME, "240229120000Z"), Ok(1_709_208_000));
    }

    #[test]
    fn what_is_no_time() {
        let wrong = ["2401010000Z", "240101000000", "240101000000+0100", "241301000000Z", "230229000000Z"];
        wrong.iter().for_each(|t| assert!(read_time(UTC_TIME, t).is_err(), "{t}"));
        let wrong = ["20240101000000.5Z", "20240101000000", "20240101000060Z", "20240101240000Z"];
        wrong.iter().for_each(|t| assert!(read_time(GENERALIZED_TIME, t).is_err(), "{t}"));
    }

    #[test]
    fn every_year_has_a_text() {
        let known = [
            (0, "1970-01-01T00:00:00Z"),
            (253_402_300_799, "9999-12-31T23:59:59Z"),
            (-631_152_000, "1950-01-01T00:00:00Z"),
            (i64::MAX, "9223372036854775807 s after 1970"),
        ];
        for (seconds, text) in known {
            assert_eq!(format_time(seconds), text);
        }
    }
}
