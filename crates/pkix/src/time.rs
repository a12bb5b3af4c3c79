//! The two forms of time in certificates, as seconds since 1970.

use super::der::{Bad, Der, GENERALIZED_TIME, Result, UTC_TIME};

/// A moment and how it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Time {
    /// Seconds since 1970.
    pub(crate) at: i64,
    generalized: bool,
}

impl Time {
    /// Reads `YYMMDDHHMMSSZ` or `YYYYMMDDHHMMSSZ`, the only forms that RFC 5280 (4.1.2.5) allows.
    pub(crate) fn read(der: &mut Der<'_>) -> Result<Time> {
        let found = der.read()?;
        match found.tag {
            UTC_TIME => Ok(Time { at: utc(found.value)?, generalized: false }),
            GENERALIZED_TIME => Ok(Time { at: general(found.value)?, generalized: true }),
            _ => Err(Bad("has something else where a time must be")),
        }
    }

    /// Whether the form is the one that its year must have: UTCTime through 2049, GeneralizedTime from 2050 on.
    pub(crate) fn in_its_form(self) -> bool {
        const YEAR_2050: i64 = 2_524_608_000;
        self.generalized == (self.at >= YEAR_2050 || self.at < seconds(1950, 1, 1))
    }
}

fn utc(text: &[u8]) -> Result<i64> {
    let year = i64::from(digits(text, 0, 2)?);
    moment(if year < 50 { 2000 + year } else { 1900 + year }, text, 2)
}

fn general(text: &[u8]) -> Result<i64> {
    moment(i64::from(digits(text, 0, 4)?), text, 4)
}

fn moment(year: i64, text: &[u8], from: usize) -> Result<i64> {
    let pair = |n: usize| digits(text, from + 2 * n, 2);
    let (month, day) = (pair(0)?, pair(1)?);
    let (hour, minute, second) = (pair(2)?, pair(3)?, pair(4)?);
    let right = (1..=12).contains(&month)
        && (1..=month_days(year, month)).contains(&day)
        && hour < 24
        && minute < 60
        && second < 60;
    match right && text.len() == from + 11 && text[from + 10] == b'Z' {
        true => {
            let clock = i64::from(hour) * 3600 + i64::from(minute) * 60 + i64::from(second);
            Ok(seconds(year, month, day) + clock)
        }
        false => Err(Bad("has a malformed time")),
    }
}

fn digits(text: &[u8], from: usize, count: usize) -> Result<u32> {
    let part = text.get(from..from + count).filter(|p| p.iter().all(u8::is_ascii_digit));
    let part = part.ok_or(Bad("has a malformed time"))?;
    Ok(part.iter().fold(0, |n, d| n * 10 + u32::from(d - b'0')))
}

fn month_days(year: i64, month: u32) -> u32 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Seconds from 1970 to the beginning of a day, by Howard Hinnant's days_from_civil.
fn seconds(year: i64, month: u32, day: u32) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let month = i64::from((month + 9) % 12);
    let of_year = (153 * month + 2) / 5 + i64::from(day) - 1;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468;
    days * 86_400
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(tag: u8, text: &str) -> Result<i64> {
        let mut der = vec![tag, u8::try_from(text.len()).expect("short")];
        der.extend_from_slice(text.as_bytes());
        Time::read(&mut Der::new(&der)).map(|t| t.at)
    }

    #[test]
    fn moments() {
        assert_eq!(read(UTC_TIME, "700101000000Z"), Ok(0));
        assert_eq!(read(UTC_TIME, "491231235959Z"), Ok(2_524_607_999));
        assert_eq!(read(UTC_TIME, "500101000000Z"), Ok(-631_152_000));
        assert_eq!(read(GENERALIZED_TIME, "20500101000000Z"), Ok(2_524_608_000));
        assert_eq!(read(GENERALIZED_TIME, "99991231235959Z"), Ok(253_402_300_799));
        assert_eq!(read(UTC_TIME, "240229120000Z"), Ok(1_709_208_000));
    }

    #[test]
    fn what_is_no_time() {
        let wrong = ["2401010000Z", "240101000000", "240101000000+0100", "241301000000Z", "230229000000Z"];
        wrong.iter().for_each(|t| assert!(read(UTC_TIME, t).is_err(), "{t}"));
        let wrong = ["20240101000000.5Z", "20240101000000", "20240101000060Z", "20240101240000Z"];
        wrong.iter().for_each(|t| assert!(read(GENERALIZED_TIME, t).is_err(), "{t}"));
    }
}
