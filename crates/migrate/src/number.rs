//! PostgreSQL's numeric on the wire: base 10000 digits, exact.

use std::io::Write;

const NEGATIVE: u16 = 0x4000;
const PLUS_INFINITY: u16 = 0xd000;
const MINUS_INFINITY: u16 = 0xf000;

/// A decimal number in digits: `digits` × 10^-`scale`.
#[derive(Clone, Copy, Debug)]
pub struct Decimal {
    digits: [u8; 20],
    len: usize,
    /// Where the point is: digits before it; may be negative or beyond the digits.
    point: i32,
    negative: bool,
}

impl Decimal {
    pub fn from_integer(n: i64) -> Decimal {
        let mut digits = [0; 20];
        let mut rest = n.unsigned_abs();
        let mut at = 20;
        while rest > 0 {
            at -= 1;
            digits[at] = (rest % 10) as u8;
            rest /= 10;
        }
        digits.copy_within(at.., 0);
        let len = 20 - at;
        Decimal { digits, len, point: i32::try_from(len).expect("at most 20"), negative: n < 0 }
    }

    /// The shortest digits that read back as the same double; none for an infinity.
    pub fn from_real(n: f64) -> Option<Decimal> {
        if !n.is_finite() {
            return None;
        }
        let mut text = [0; 32];
        let mut cursor = std::io::Cursor::new(&mut text[..]);
        // Rust prints the shortest digits that read back as the same double: what SQLite holds is these 64 bits, and
        // any more digits would claim what was never stored.
        write!(cursor, "{:e}", n.abs()).ok()?;
        let end = usize::try_from(cursor.position()).ok()?;
        let text = std::str::from_utf8(&text[..end]).ok()?;
        let (mantissa, exponent) = text.split_once('e')?;
        let mut decimal = Decimal { digits: [0; 20], len: 0, point: 0, negative: n < 0.0 };
        for digit in mantissa.bytes().filter(u8::is_ascii_digit) {
            decimal.digits[decimal.len] = digit - b'0';
            decimal.len += 1;
        }
        decimal.point = exponent.parse::<i32>().ok()? + 1;
        if n == 0.0 {
            decimal.len = 0;
        }
        Some(decimal)
    }

    /// The digits in use.
    pub fn digits(&self) -> Digits<'_> {
        Digits { digits: &self.digits[..self.len], point: self.point, negative: self.negative }
    }
}

/// Decimal digits with their point, of whatever length.
#[derive(Clone, Copy, Debug)]
pub struct Digits<'a> {
    digits: &'a [u8],
    point: i32,
    negative: bool,
}

/// What numeric holds: digits before the point, and after it.
const WHOLE: i32 = 131_072;
const SCALE: i32 = 16_383;

impl<'a> Digits<'a> {
    /// Reads `[+-]digits[.digits][e[+-]digits]`, with at least one digit, into `room`; none when it is anything else.
    pub fn from_text(text: &[u8], room: &'a mut Vec<u8>) -> Option<Digits<'a>> {
        let (negative, text) = match text.split_first()? {
            (b'-', rest) => (true, rest),
            (b'+', rest) => (false, rest),
            _ => (false, text),
        };
        let mut parts = text.splitn(2, |b| matches!(b, b'e' | b'E'));
        let mantissa = parts.next()?;
        let exponent: i32 = match parts.next() {
            Some(exponent) => std::str::from_utf8(exponent).ok()?.parse().ok()?,
            None => 0,
        };
        let whole = mantissa.iter().position(|b| *b == b'.').unwrap_or(mantissa.len());
        room.clear();
        for b in mantissa[..whole].iter().chain(mantissa.get(whole + 1..).unwrap_or_default()) {
            room.push(b.is_ascii_digit().then(|| b - b'0')?);
        }
        let zeros = room.iter().take_while(|d| **d == 0).count();
        let point = i32::try_from(whole).ok()?.checked_add(exponent)?;
        let read = !room.is_empty();
        room.drain(..zeros);
        let point = if room.is_empty() { 0 } else { point.checked_sub(i32::try_from(zeros).ok()?)? };
        read.then_some(Digits { digits: room, point, negative })
    }

    /// Whether numeric holds it at all.
    pub fn fits_numeric(&self) -> bool {
        self.whole_digits() <= WHOLE && self.scale_digits() <= SCALE
    }

    /// Whether these are digits of `n`: as many as there are of its exact value. SQLite cuts where others round, and its
    /// twentieth digit may be another: 0.333333333333333314829 is a third too.
    pub fn are_of(&self, n: f64) -> bool {
        let Some(last) = self.digits.iter().rposition(|d| *d != 0) else { return n == 0.0 };
        let shown = (last + 1).min(21);
        let exact = format!("{:.*e}", shown - 1, n.abs());
        let Some((mantissa, exponent)) = exact.split_once('e') else { return false };
        let whole =
            |digits: &mut dyn Iterator<Item = u8>| digits.fold(0, |n: u128, d| n * 10 + u128::from(d));
        let theirs = whole(&mut mantissa.bytes().filter(u8::is_ascii_digit).map(|b| b - b'0'));
        let ours = whole(&mut self.digits[..shown].iter().copied());
        let slack = match shown {
            17.. if theirs % 10_u128.pow(u32::try_from(shown - 16).unwrap_or(5)) == 0 => 0,
            ..17 => 0,
            17..20 => 1,
            20 => 10,
            _ => 100,
        };
        ours.abs_diff(theirs) <= slack && exponent.parse() == Ok(self.point - 1) && (n < 0.0) == self.negative
    }

    /// Digits after the point.
    pub fn scale_digits(&self) -> i32 {
        let last = self.digits.iter().rposition(|d| *d != 0).map_or(0, |at| at + 1);
        i32::try_from(last).unwrap_or(i32::MAX).saturating_sub(self.point).max(0)
    }

    /// Digits before the point.
    pub fn whole_digits(&self) -> i32 {
        if self.digits.is_empty() { 0 } else { self.point.max(0) }
    }

    fn digit_at(&self, at: i32) -> u16 {
        usize::try_from(at).ok().and_then(|at| self.digits.get(at)).map_or(0, |d| u16::from(*d))
    }

    /// Appends the value with its length before it.
    pub fn put_numeric(&self, buf: &mut Vec<u8>) {
        let scale = self.scale_digits();
        // Groups of four digits around the point: `first` is the group of the highest digit.
        let first = (self.point - 1).div_euclid(4);
        let last = -(scale + 3) / 4;
        let start = buf.len();
        buf.extend_from_slice(&[0; 12]);
        let (mut count, mut kept) = (0_i16, 0_i16);
        if !self.digits.is_empty() {
            for group in (last.min(first)..=first).rev() {
                let at = self.point - (group + 1) * 4;
                let value = (0..4).fold(0, |n, i| n * 10 + self.digit_at(at + i));
                buf.extend_from_slice(&value.to_be_bytes());
                count = count.saturating_add(1);
                // numeric_recv() takes zeros at the end, but what PostgreSQL makes itself has none, and sums compare
                // the bytes.
                if value != 0 {
                    kept = count;
                }
            }
        }
        buf.truncate(start + 12 + usize::try_from(kept).unwrap_or(0) * 2);
        let weight = if kept == 0 { 0 } else { i16::try_from(first).unwrap_or(0) };
        let sign = if self.negative && kept > 0 { NEGATIVE } else { 0 };
        let scale = u16::try_from(scale).unwrap_or(0);
        NumericHeader { digits: kept, weight, sign, scale }.put(&mut buf[start..]);
    }
}

/// Appends ±Infinity with its length before it.
pub fn put_infinity(n: f64, buf: &mut Vec<u8>) {
    let start = buf.len();
    buf.extend_from_slice(&[0; 12]);
    let sign = if n > 0.0 { PLUS_INFINITY } else { MINUS_INFINITY };
    NumericHeader { sign, ..NumericHeader::default() }.put(&mut buf[start..]);
}

/// What stands before the digits on the wire (numeric_send() of PostgreSQL's numeric.c).
#[derive(Default)]
struct NumericHeader {
    digits: i16,
    weight: i16,
    sign: u16,
    scale: u16,
}

impl NumericHeader {
    /// Puts the length of the whole and the header into the first 12 bytes.
    fn put(&self, at: &mut [u8]) {
        at[..4].copy_from_slice(&(8 + i32::from(self.digits) * 2).to_be_bytes());
        at[4..6].copy_from_slice(&self.digits.to_be_bytes());
        at[6..8].copy_from_slice(&self.weight.to_be_bytes());
        at[8..10].copy_from_slice(&self.sign.to_be_bytes());
        at[10..12].copy_from_slice(&self.scale.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The value of a numeric's wire form, as text.
    fn read(buf: &[u8]) -> String {
        let at = |i: usize| i16::from_be_bytes([buf[i], buf[i + 1]]);
        assert_eq!(
            buf.len() - 4,
            usize::try_from(i32::from_be_bytes([buf[0], buf[1], buf[2], buf[3]])).expect("len")
        );
        let (count, weight, scale) = (at(4), at(6), at(10));
        let mut text = String::new();
        let mut whole = String::new();
        let mut part = String::new();
        for group in (i16::min(weight - count + 1, -(scale + 3) / 4)..=weight.max(0)).rev() {
            let i = weight - group;
            let value =
                if (0..count).contains(&i) { at(12 + usize::try_from(i).expect("small") * 2) } else { 0 };
            if group >= 0 { whole += &format!("{value:04}") } else { part += &format!("{value:04}") }
        }
        text += if at(8) == 0x4000 { "-" } else { "" };
        text += match whole.trim_start_matches('0') {
            "" => "0",
            w => w,
        };
        part.truncate(usize::try_from(scale).expect("scale"));
        if part.is_empty() { text } else { format!("{text}.{part}") }
    }

    #[test]
    fn decimal_digits_survive() {
        for n in [0, 1, -1, 9999, 10_000, 12_345_678, -100_000_000, i64::MAX, i64::MIN] {
            let mut buf = Vec::new();
            Decimal::from_integer(n).digits().put_numeric(&mut buf);
            assert_eq!(read(&buf), n.to_string());
        }
        for n in [0.1, 1.5, -2.25, 100.005, 1e20, 1.23e19, 1e-7, 12345.6789, 0.00012, 99_999.0, 1e300, 5e-324]
        {
            let mut buf = Vec::new();
            Decimal::from_real(n).expect("finite").digits().put_numeric(&mut buf);
            assert_eq!(read(&buf), format!("{n}"), "{n}");
        }
    }

    #[test]
    fn scale_and_whole_digits() {
        let real = |n| Decimal::from_real(n).map(|d| (d.digits().whole_digits(), d.digits().scale_digits()));
        assert_eq!(real(100.005), Some((3, 3)));
        assert_eq!(real(0.05), Some((0, 2)));
        assert_eq!(real(1e20), Some((21, 0)));
        assert_eq!(Decimal::from_integer(1200).digits().scale_digits(), 0);
    }

    #[test]
    fn texts_of_decimals() {
        let shown = |text: &str| {
            let (mut room, mut buf) = (Vec::new(), Vec::new());
            Digits::from_text(text.as_bytes(), &mut room)?.put_numeric(&mut buf);
            Some(read(&buf))
        };
        for (text, expected) in [
            ("1234.5600", "1234.56"),
            ("0.0", "0"),
            ("-0", "0"),
            ("+.5", "0.5"),
            ("5.", "5"),
            ("0012", "12"),
            ("1e3", "1000"),
            ("-1.5E-3", "-0.0015"),
            ("123456789012345678901234567890.000000001", "123456789012345678901234567890.000000001"),
            ("0e999", "0"),
        ] {
            assert_eq!(shown(text).as_deref(), Some(expected), "{text}");
        }
        for text in ["", "-", ".", "abc", "1e", "1,5", " 1", "NaN", "0x10", "1.2.3", "1e99999999999"] {
            assert_eq!(shown(text), None, "{text}");
        }
    }

    #[test]
    fn digits_of_a_double_in_any_length() {
        let are = |text: &str| {
            let mut room = Vec::new();
            let n = text.parse().expect("a number");
            Digits::from_text(text.as_bytes(), &mut room).is_some_and(|d| d.are_of(n))
        };
        for text in [
            "0.1",
            "0.10",
            "1e22",
            "-2.5",
            "0.33333333333333331",
            "0.3333333333333333",
            "0.33333333333333331483",
            "0.333333333333333314829",
            "0",
            "1e300",
        ] {
            assert!(are(text), "{text}");
        }
        for text in [
            "0.12345678901234567890",
            "9007199254740993",
            "1.00000000000000000001",
            "0.3333333333333333333333",
        ] {
            assert!(!are(text), "{text}");
        }
    }
}
