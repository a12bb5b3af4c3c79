//! Retention: which dumps of one database in one repository are kept, and by which rule.
//!
//! Pure: `(dumps, now, rules) → for each what keeps it`. Time is UTC; a day, week (ISO), month or year keeps its
//! newest dump. Whatever any one rule keeps is kept.

use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use toban_core::config::Keep;

/// What the rules need to know of a dump.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dump {
    pub(crate) at: Timestamp,
    pub(crate) verified: bool,
}

/// For each of `dumps`, in their order, why it is kept; an empty list of reasons means it goes.
pub(crate) fn reasons(dumps: &[Dump], now: Timestamp, keep: &Keep) -> Vec<Vec<String>> {
    let mut order: Vec<usize> = (0..dumps.len()).collect();
    order.sort_by_key(|i| std::cmp::Reverse(dumps[*i].at));
    let mut why: Vec<Vec<String>> = vec![Vec::new(); dumps.len()];

    for &i in order.iter().take(keep.last.unwrap_or(0) as usize) {
        why[i].push("last".into());
    }
    if let Some(span) = keep.within {
        for &i in &order {
            // A dump of the future (a clock that was set back) is young.
            let age = now.as_second().saturating_sub(dumps[i].at.as_second());
            if age.max(0).unsigned_abs() <= span.0.as_secs() {
                why[i].push(format!("within {span}"));
            }
        }
    }
    for (name, count, period) in periods(keep) {
        for i in newest_of_each(dumps, &order, count, period) {
            why[i].push(name.into());
        }
    }
    if let Some(&i) = order.iter().find(|i| dumps[**i].verified) {
        why[i].push("last verified".into());
    }
    top_up(&order, &mut why, keep.min.unwrap_or(1) as usize);
    why
}

type Period = fn(&Zoned) -> String;

fn periods(keep: &Keep) -> [(&'static str, u32, Period); 5] {
    let week: Period = |z| {
        let w = z.date().iso_week_date();
        format!("{}-{}", w.year(), w.week())
    };
    [
        ("hourly", keep.hourly.unwrap_or(0), |z| z.strftime("%Y%m%d%H").to_string()),
        ("daily", keep.daily.unwrap_or(0), |z| z.strftime("%Y%m%d").to_string()),
        ("weekly", keep.weekly.unwrap_or(0), week),
        ("monthly", keep.monthly.unwrap_or(0), |z| z.strftime("%Y%m").to_string()),
        ("yearly", keep.yearly.unwrap_or(0), |z| z.strftime("%Y").to_string()),
    ]
}

/// The newest dump of each of the `count` newest periods that have one.
fn newest_of_each(dumps: &[Dump], order: &[usize], count: u32, period: Period) -> Vec<usize> {
    let mut newest: Vec<(String, usize)> = Vec::new();
    for &i in order {
        if newest.len() == count as usize {
            break;
        }
        let of = period(&dumps[i].at.to_zoned(TimeZone::UTC));
        if newest.last().is_none_or(|(last, _)| *last != of) {
            newest.push((of, i));
        }
    }
    newest.into_iter().map(|(_, i)| i).collect()
}

/// Keeps the newest that would go until `least` are kept.
fn top_up(order: &[usize], why: &mut [Vec<String>], least: usize) {
    let mut kept = why.iter().filter(|w| !w.is_empty()).count();
    for &i in order {
        if kept >= least {
            return;
        }
        if why[i].is_empty() {
            why[i].push("minimum".into());
            kept += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use toban_core::config::Span;

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a time")
    }

    fn check(keep: &Keep, times: &[&str], expected: &[&str]) {
        let dumps: Vec<Dump> = times.iter().map(|t| Dump { at: at(t), verified: false }).collect();
        let why = reasons(&dumps, at("2026-11-21T12:00:00Z"), keep);
        assert_eq!(why.iter().map(|w| w.join(" ")).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn rules_by_example() {
        let times = [
            "2026-11-21T03:00:00Z",
            "2026-11-20T15:00:00Z",
            "2026-11-20T03:00:00Z",
            "2026-10-31T23:59:59Z",
            "2025-12-31T00:00:00Z",
        ];
        check(&Keep { last: Some(2), ..Keep::default() }, &times, &["last", "last", "", "", ""]);
        check(&Keep { daily: Some(2), ..Keep::default() }, &times, &["daily", "daily", "", "", ""]);
        check(
            &Keep { monthly: Some(9), ..Keep::default() },
            &times,
            &["monthly", "", "", "monthly", "monthly"],
        );
        check(&Keep { yearly: Some(2), ..Keep::default() }, &times, &["yearly", "", "", "", "yearly"]);
        let within = Some(Span(std::time::Duration::from_secs(33 * 3600)));
        check(
            &Keep { within, ..Keep::default() },
            &times,
            &["within 1day 9h", "within 1day 9h", "within 1day 9h", "", ""],
        );
        check(&Keep { min: Some(3), ..Keep::default() }, &times, &["minimum", "minimum", "minimum", "", ""]);
        check(&Keep::default(), &times, &["minimum", "", "", "", ""]);
        check(&Keep::default(), &[], &[]);
    }

    #[test]
    fn iso_weeks_cross_the_year() {
        let keep = Keep { weekly: Some(5), ..Keep::default() };
        // 2024-12-30 to 2025-01-05 is one week.
        check(
            &keep,
            &["2025-01-05T00:00:00Z", "2024-12-30T00:00:00Z", "2024-12-29T00:00:00Z"],
            &["weekly", "", "weekly"],
        );
    }

    #[test]
    fn the_last_verified_stays_though_it_is_old() {
        let dump = |t, verified| Dump { at: at(t), verified };
        let dumps = [
            dump("2020-01-01T00:00:00Z", true),
            dump("2020-01-02T00:00:00Z", true),
            dump("2026-01-01T00:00:00Z", false),
        ];
        let why = reasons(&dumps, at("2026-11-21T12:00:00Z"), &Keep { last: Some(1), ..Keep::default() });
        assert_eq!(why, [vec![], vec!["last verified".to_string()], vec!["last".to_string()]]);
    }

    proptest! {
        #[test]
        fn the_newest_is_always_kept_and_order_does_not_matter(
            mut seconds in proptest::collection::vec(1_600_000_000i64..1_800_000_000, 1..60),
            last in 0u32..5, daily in 0u32..9, monthly in 0u32..9, seed in any::<u64>(),
        ) {
            let keep = Keep { last: Some(last), daily: Some(daily), monthly: Some(monthly), ..Keep::default() };
            seconds.sort_unstable();
            seconds.dedup();
            let dump = |s: &i64| Dump { at: Timestamp::from_second(*s).expect("in range"), verified: false };
            let kept = |seconds: &[i64]| -> Vec<i64> {
                let dumps: Vec<Dump> = seconds.iter().map(dump).collect();
                let why = reasons(&dumps, at("2027-11-21T12:00:00Z"), &keep);
                let mut kept: Vec<i64> = seconds.iter().zip(why).filter(|(_, w)| !w.is_empty()).map(|(s, _)| *s).collect();
                kept.sort_unstable();
                kept
            };
            let sorted = kept(&seconds);
            prop_assert!(sorted.contains(seconds.last().expect("one at least")));
            prop_assert!(sorted.len() <= (last + daily + monthly).max(1) as usize);
            // Pruning what was pruned changes nothing.
            prop_assert_eq!(&kept(&sorted), &sorted);
            let turn = seed as usize % seconds.len();
            seconds.rotate_left(turn);
            prop_assert_eq!(kept(&seconds), sorted);
        }
    }
}
