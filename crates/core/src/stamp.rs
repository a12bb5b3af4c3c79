//! Times in the names of objects and files, in UTC: `20261121T030000Z`.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

const SECONDS: &str = "%Y%m%dT%H%M%S";

/// To the second: `20261121T030000Z`.
pub fn stamp(at: Timestamp) -> String {
    format!("{}Z", at.strftime(SECONDS))
}

/// To the microsecond: `20261121T030000123456Z`. A second record of one second must not find its name taken.
pub fn stamp_micros(at: Timestamp) -> String {
    format!("{}{:06}Z", at.strftime(SECONDS), at.subsec_microsecond())
}

/// Reads either.
pub fn parse_stamp(text: &str) -> Option<Timestamp> {
    let (second, micros) = text.strip_suffix('Z')?.split_at_checked(15)?;
    let micros: i64 = match micros.len() {
        0 => 0,
        6 if micros.bytes().all(|b| b.is_ascii_digit()) => micros.parse().ok()?,
        _ => return None,
    };
    let second = DateTime::strptime(SECONDS, second).ok()?.to_zoned(TimeZone::UTC).ok()?.timestamp();
    Timestamp::from_microsecond(second.as_microsecond() + micros).ok()
}

/// As people and programs read it, to the second: `2026-11-21T03:00:00Z`.
pub fn iso_seconds(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        let at: Timestamp = "2026-11-21T03:04:05.000678Z".parse().expect("a time");
        let second: Timestamp = "2026-11-21T03:04:05Z".parse().expect("a time");
        assert_eq!(
            (stamp(at).as_str(), stamp_micros(at).as_str()),
            ("20261121T030405Z", "20261121T030405000678Z")
        );
        assert_eq!((parse_stamp(&stamp(at)), parse_stamp(&stamp_micros(at))), (Some(second), Some(at)));
        assert_eq!(iso_seconds(at), "2026-11-21T03:04:05Z");
        for bad in
            ["", "Z", "20261121T030405", "20261121T03040512Z", "20261121T030405xxxxxxZ", "20261321T030405Z"]
        {
            assert_eq!(parse_stamp(bad), None, "{bad}");
        }
    }
}
