//! Words, times and names that look like those of a help desk.

use crate::Dice;
use std::fmt::Write;

const WORDS: [&str; 48] = [
    "printer",
    "does",
    "not",
    "answer",
    "after",
    "the",
    "update",
    "of",
    "server",
    "mail",
    "cannot",
    "be",
    "sent",
    "from",
    "laptop",
    "VPN",
    "drops",
    "every",
    "hour",
    "screen",
    "stays",
    "black",
    "password",
    "reset",
    "for",
    "new",
    "colleague",
    "disk",
    "full",
    "on",
    "backup",
    "host",
    "certificate",
    "expired",
    "Zürich",
    "naïve",
    "日本",
    "access",
    "denied",
    "folder",
    "share",
    "slow",
    "since",
    "Monday",
    "please",
    "check",
    "again",
    "thanks",
];

/// 2022-01-01, and how long the application has been in use: three years.
pub(super) const BEGIN: i64 = 1_640_995_200_000;
pub(super) const SPAN: u64 = 3 * 365 * 86_400_000;

/// `count` words.
pub(super) fn words(dice: &mut Dice, count: u64) -> String {
    let mut text = String::with_capacity(count as usize * 8);
    for _ in 0..count {
        if !text.is_empty() {
            text.push(' ');
        }
        text.push_str(WORDS[dice.index(WORDS.len())]);
    }
    text
}

/// One of these.
pub(super) fn one<'a>(dice: &mut Dice, of: &[&'a str]) -> &'a str {
    of[dice.index(of.len())]
}

/// Milliseconds since 1970 as `2024-03-05T10:11:12Z`, or with Sequelize's milliseconds and offset.
pub(super) fn iso(millis: i64, sequelize: bool) -> String {
    let (days, rest) = (millis.div_euclid(86_400_000), millis.rem_euclid(86_400_000));
    let (second, milli) = (rest / 1000, rest % 1000);
    let (h, m, s) = (second / 3600, second / 60 % 60, second % 60);
    let date = date(days);
    let mut text = String::with_capacity(32);
    let done = match sequelize {
        true => write!(text, "{date} {h:02}:{m:02}:{s:02}.{milli:03} +00:00"),
        false => write!(text, "{date}T{h:02}:{m:02}:{s:02}Z"),
    };
    done.expect("a String takes all");
    text
}

/// Days since 1970 as `2024-03-05` (Howard Hinnant's civil_from_days).
pub(super) fn date(days: i64) -> String {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let (day, month) = (doy - (153 * mp + 2) / 5 + 1, if mp < 10 { mp + 3 } else { mp - 9 });
    format!("{:04}-{month:02}-{day:02}", yoe + era * 400 + i64::from(month <= 2))
}
