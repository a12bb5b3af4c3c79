//! Whole numbers from JSON's number texts, exactly.

use super::misfit::Misfit;
use migrate::invalid::Invalid;

/// Digits that a bigint can have, and one more.
const MOST: i64 = 20;

/// The whole number that a text is: `4`, `4.0`, `1E5`; with `rounds` also what is nearest to a fraction, halves away from
/// zero.
///
/// # Errors
/// For a fraction, and what no bigint holds.
pub(crate) fn parse_whole(text: &[u8], rounds: bool) -> Result<i64, Misfit> {
    if let Some(n) = std::str::from_utf8(text).ok().and_then(|t| t.parse().ok()) {
        return Ok(n);
    }
    let out_of_range = Misfit::Value(Invalid::Range);
    let (negative, rest) = match text.split_first() {
        Some((b'-', rest)) => (true, rest),
        _ => (false, text),
    };
    let end = rest.iter().position(|b| matches!(b, b'e' | b'E')).unwrap_or(rest.len());
    let exponent: i64 = match rest.get(end + 1..).filter(|e| !e.is_empty()) {
        Some(e) => std::str::from_utf8(e).ok().and_then(|e| e.parse().ok()).ok_or(out_of_range)?,
        None => 0,
    };
    let mantissa = &rest[..end];
    let point = mantissa.iter().position(|b| *b == b'.').unwrap_or(end);
    let digits: Vec<u8> = mantissa.iter().filter(|b| **b != b'.').copied().collect();
    if !digits.iter().all(u8::is_ascii_digit) || digits.is_empty() {
        return Err(Misfit::Value(Invalid::NotNumber));
    }
    let Some(first) = digits.iter().position(|b| *b != b'0') else { return Ok(0) };
    // Digits before the point, once the exponent has moved it.
    let whole = i64::try_from(point).unwrap_or(i64::MAX).saturating_add(exponent);
    let leading = whole.saturating_sub(i64::try_from(first).unwrap_or(0));
    // Before anything is multiplied out: an exponent may have twenty digits itself.
    if leading > MOST {
        return Err(out_of_range);
    }
    let digit =
        |at: i64| usize::try_from(at).ok().and_then(|at| digits.get(at)).map_or(0, |b| i128::from(b - b'0'));
    let number = (0..whole.max(0)).fold(0_i128, |n, at| n * 10 + digit(at));
    let cut = usize::try_from(whole.max(0)).unwrap_or(usize::MAX).min(digits.len());
    let has_fraction = digits[cut..].iter().any(|b| *b != b'0');
    if has_fraction && !rounds {
        return Err(Misfit::Fraction);
    }
    // Of a fraction below a tenth the first digit after the point is zero.
    let up = i128::from(whole >= 0 && digit(whole) >= 5);
    let number = number + if rounds { up } else { 0 };
    i64::try_from(if negative { -number } else { number }).map_err(|_| out_of_range)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_however_they_are_written() {
        let cases: [(&str, i64); 12] = [
            ("9007199254740993", 9_007_199_254_740_993),
            ("9223372036854775807", i64::MAX),
            ("-9223372036854775808", i64::MIN),
            ("4.0", 4),
            ("1E5", 100_000),
            ("-0", 0),
            ("0.0e9", 0),
            ("1.5e1", 15),
            ("120e-1", 12),
            ("9.223372036854775807e18", i64::MAX),
            ("-1.20e2", -120),
            ("0.00e400", 0),
        ];
        cases.iter().for_each(|(text, n)| assert_eq!(parse_whole(text.as_bytes(), false), Ok(*n), "{text}"));
        for text in ["9223372036854775808", "18446744073709551616", "1e400", "1e99999999999999999999"] {
            assert_eq!(parse_whole(text.as_bytes(), true), Err(Misfit::Value(Invalid::Range)), "{text}");
        }
        for (text, n) in
            [("4.2", 4), ("4.5", 5), ("-4.5", -5), ("0.05", 0), ("0.5", 1), ("4e-2", 0), ("49.9e-1", 5)]
        {
            assert_eq!(parse_whole(text.as_bytes(), false), Err(Misfit::Fraction), "{text}");
            assert_eq!(parse_whole(text.as_bytes(), true), Ok(n), "{text}");
        }
    }
}
