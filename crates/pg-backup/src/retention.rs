//! Retention: which dumps of one database, or backups of a cluster, in one repository are kept, and by which rule.
//!
//! Pure: `(dumps, now, rules) → for each what keeps it`. Time is UTC; a day, week (ISO), month or year keeps its
//! newest dump. Whatever any one rule keeps is kept. What has a flaw keeps nothing else from being kept: the rules are
//! counted once over all, and once more over what has none.

use crate::format::catalog::{Manifest, Stored};
use crate::format::order::Taken;
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use toban_core::config::Keep;

/// With how many before it the size of one is compared.
const COMPARED: usize = 10;
/// What has less than one part in so many of the median is far smaller.
const FAR_SMALLER: u64 = 4;

/// Why one uses up no place of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    Damaged,
    FailedDrill,
    /// Its date does not fit the order of the WAL: a clock was wrong.
    Misdated,
    /// It is empty, or has so many per cent of the median of those before it.
    Smaller {
        percent: u64,
    },
}

impl Flaw {
    fn describe(self) -> String {
        match self {
            Flaw::Damaged => "damaged".into(),
            Flaw::FailedDrill => "its last drill failed".into(),
            Flaw::Misdated => "its date does not fit the WAL".into(),
            Flaw::Smaller { percent } => format!("only {percent} % of the usual size"),
        }
    }
}

/// What the rules need to know of a dump or a backup.
#[derive(Clone, Debug)]
pub(crate) struct Candidate {
    pub(crate) taken: Taken,
    /// It was not taken later than this: what may be young is young.
    pub(crate) latest: Timestamp,
    pub(crate) verified: bool,
    /// A drill restored it, and no later one failed.
    pub(crate) proven: bool,
    /// Why somebody keeps it whatever the rules say.
    pub(crate) pinned: Option<String>,
    pub(crate) flaw: Option<Flaw>,
    /// What its size is compared with: others of the same kind.
    pub(crate) kind: String,
    pub(crate) size: u64,
}

impl Candidate {
    /// As the catalog knows it at `now`.
    pub(crate) fn from_stored<M: Manifest>(stored: &Stored<M>, now: Timestamp) -> Candidate {
        let (kind, size) = stored.manifest.comparable_size();
        let flaw = match (stored.is_whole(), stored.taken, stored.sure) {
            (false, ..) => Some(Flaw::Damaged),
            (true, Taken::At(_), false) => Some(Flaw::Misdated),
            _ => None,
        };
        Candidate {
            taken: stored.taken,
            latest: stored.latest,
            verified: stored.verified.is_some(),
            proven: false,
            pinned: stored.pin.as_ref().and_then(|pin| pin.describe(now)),
            flaw,
            kind,
            size,
        }
    }

    /// Whether it can be restored, as far as anybody knows.
    pub(crate) fn is_usable(&self) -> bool {
        !matches!(self.flaw, Some(Flaw::Damaged | Flaw::FailedDrill))
    }
}

/// For each of `dumps`, oldest first, why it is kept; an empty list of reasons means it goes.
pub(crate) fn keep_reasons(dumps: &[Candidate], now: Timestamp, keep: &Keep) -> Vec<Vec<String>> {
    let flaws = find_flaws(dumps);
    let mut order: Vec<(usize, Timestamp)> = Vec::new();
    let mut why: Vec<Vec<String>> = vec![Vec::new(); dumps.len()];
    for (i, dump) in dumps.iter().enumerate() {
        match dump.taken {
            Taken::At(at) => order.push((i, at)),
            Taken::Unknown => why[i].push("dated in the future, its place is not known".into()),
        }
        why[i].extend(dump.pinned.clone());
    }
    // Of the same time the later in the order of the WAL is the newer.
    order.sort_by_key(|(i, at)| std::cmp::Reverse((*at, *i)));
    let counted: Vec<(usize, Timestamp)> =
        order.iter().filter(|(i, _)| flaws[*i].is_none()).copied().collect();
    let mut ruled: Vec<Vec<String>> = vec![Vec::new(); dumps.len()];
    by_rules(&Ruled { dumps, order: &counted }, now, keep, &mut ruled);
    // Never fewer than before: what has a flaw is kept as long as it would be if it had none.
    let mut all: Vec<Vec<String>> = vec![Vec::new(); dumps.len()];
    by_rules(&Ruled { dumps, order: &order }, now, keep, &mut all);
    for (i, reasons) in all.into_iter().enumerate() {
        if let (Some(flaw), Some(rule)) = (flaws[i], reasons.first()) {
            ruled[i].push(format!("{rule}, but {}: it does not count", flaw.describe()));
        }
    }
    why.iter_mut().zip(ruled).for_each(|(why, ruled)| why.extend(ruled));
    let usable: Vec<(usize, Timestamp)> =
        order.iter().filter(|(i, _)| dumps[*i].is_usable()).copied().collect();
    for (rule, holds) in PROOFS {
        // Also of those that count: a proof of one that is far smaller than the others replaces none of theirs.
        let newest =
            |order: &[(usize, Timestamp)]| order.iter().find(|(i, _)| holds(&dumps[*i])).map(|(i, _)| *i);
        let mut proven = [newest(&usable), newest(&counted)].into_iter().flatten().collect::<Vec<_>>();
        proven.dedup();
        proven.into_iter().for_each(|i| why[i].push(rule.into()));
    }
    let least = keep.min.unwrap_or(1) as usize;
    let counts = [&counted, &usable, &order].into_iter().find(|order| !order.is_empty());
    top_up(counts.map_or(&[][..], Vec::as_slice), &mut why, least);
    why
}

type HasProof = fn(&Candidate) -> bool;

/// The newest of which these are known is never deleted.
const PROOFS: [(&str, HasProof); 2] =
    [("last verified", |c| c.verified), ("last proven by a drill", |c| c.proven)];

/// The flaw of each: a known one, or that it is far smaller than those of its kind before it.
fn find_flaws(dumps: &[Candidate]) -> Vec<Option<Flaw>> {
    let flaw = |(i, dump): (usize, &Candidate)| {
        let like = dumps[..i].iter().rev().filter(|d| d.kind == dump.kind).take(COMPARED);
        let mut sizes: Vec<u64> = like.map(|d| d.size).collect();
        sizes.sort_unstable();
        let median = sizes.get(sizes.len() / 2).copied().unwrap_or(0);
        let smaller = dump.size == 0 || dump.size.saturating_mul(FAR_SMALLER) < median;
        let percent = dump.size.saturating_mul(100).checked_div(median).unwrap_or(0);
        dump.flaw.or_else(|| smaller.then_some(Flaw::Smaller { percent }))
    };
    dumps.iter().enumerate().map(flaw).collect()
}

/// What the rules are counted over: the newest first.
struct Ruled<'a> {
    dumps: &'a [Candidate],
    order: &'a [(usize, Timestamp)],
}

fn by_rules(ruled: &Ruled<'_>, now: Timestamp, keep: &Keep, why: &mut [Vec<String>]) {
    let Ruled { dumps, order } = ruled;
    for (i, _) in order.iter().take(keep.last.unwrap_or(0) as usize) {
        why[*i].push("last".into());
    }
    if let Some(span) = keep.within {
        for (i, _) in *order {
            let age = now.as_second().saturating_sub(dumps[*i].latest.as_second());
            if age.max(0).unsigned_abs() <= span.0.as_secs() {
                why[*i].push(format!("within {span}"));
            }
        }
    }
    for (name, count, period) in periods(keep) {
        for i in newest_of_each(order, count, period) {
            why[i].push(name.into());
        }
    }
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
fn newest_of_each(order: &[(usize, Timestamp)], count: u32, period: Period) -> Vec<usize> {
    let mut newest: Vec<(String, usize)> = Vec::new();
    for &(i, at) in order {
        if newest.len() == count as usize {
            break;
        }
        let of = period(&at.to_zoned(TimeZone::UTC));
        if newest.last().is_none_or(|(last, _)| *last != of) {
            newest.push((of, i));
        }
    }
    newest.into_iter().map(|(_, i)| i).collect()
}

/// Keeps the newest that would go until `least` are kept.
fn top_up(order: &[(usize, Timestamp)], why: &mut [Vec<String>], least: usize) {
    let mut kept = order.iter().filter(|(i, _)| !why[*i].is_empty()).count();
    for &(i, _) in order {
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

    fn plain(taken: Taken) -> Candidate {
        let (verified, proven, pinned, flaw) = (false, false, None, None);
        let latest = if let Taken::At(at) = taken { at } else { at("2026-11-21T12:00:00Z") };
        Candidate { taken, latest, verified, proven, pinned, flaw, kind: String::new(), size: 100 }
    }

    fn dump(time: &str, verified: bool) -> Candidate {
        Candidate { verified, ..plain(Taken::At(at(time))) }
    }

    fn check(keep: &Keep, times: &[&str], expected: &[&str]) {
        let dumps: Vec<Candidate> = times.iter().map(|t| dump(t, false)).collect();
        let why = keep_reasons(&dumps, at("2026-11-21T12:00:00Z"), keep);
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
        let dumps = [
            dump("2020-01-01T00:00:00Z", true),
            dump("2020-01-02T00:00:00Z", true),
            dump("2026-01-01T00:00:00Z", false),
        ];
        let why =
            keep_reasons(&dumps, at("2026-11-21T12:00:00Z"), &Keep { last: Some(1), ..Keep::default() });
        assert_eq!(why, [vec![], vec!["last verified".to_string()], vec!["last".to_string()]]);
    }

    #[test]
    fn what_is_damaged_uses_nothing_up() {
        let damaged = |t| Candidate { flaw: Some(Flaw::Damaged), ..dump(t, false) };
        let dumps = [
            dump("2026-11-17T03:00:00Z", false),
            dump("2026-11-18T03:00:00Z", false),
            damaged("2026-11-19T03:00:00Z"),
            damaged("2026-11-20T03:00:00Z"),
        ];
        let kept = |keep: &Keep| {
            let why = keep_reasons(&dumps, at("2026-11-21T12:00:00Z"), keep);
            why.iter().map(|w| w.join(" ")).collect::<Vec<_>>()
        };
        let no_count = "last, but damaged: it does not count";
        assert_eq!(kept(&Keep { last: Some(1), ..Keep::default() }), ["", "last", "", no_count]);
        assert_eq!(kept(&Keep { last: Some(2), ..Keep::default() }), ["last", "last", no_count, no_count]);
        assert_eq!(kept(&Keep { min: Some(2), ..Keep::default() })[..2], ["minimum", "minimum"]);
        let all = [damaged("2026-11-19T03:00:00Z"), damaged("2026-11-20T03:00:00Z")];
        let why = keep_reasons(&all, at("2026-11-21T12:00:00Z"), &Keep { daily: Some(0), ..Keep::default() });
        assert_eq!(why, [vec![], vec!["minimum".to_string()]], "never nothing at all");
    }

    #[test]
    fn what_is_far_smaller_than_those_before_it_displaces_none_of_them() {
        let of = |sizes: &[u64]| -> Vec<Candidate> {
            let day = |(i, size): (usize, &u64)| {
                let taken = Taken::At(at(&format!("2026-11-{:02}T03:00:00Z", 10 + i)));
                Candidate { size: *size, ..plain(taken) }
            };
            sizes.iter().enumerate().map(day).collect()
        };
        let kept = |dumps: &[Candidate]| {
            let keep = Keep { last: Some(1), ..Keep::default() };
            let why = keep_reasons(dumps, at("2026-11-21T12:00:00Z"), &keep);
            why.iter().map(|w| w.join(" ")).collect::<Vec<_>>()
        };
        let small = "last, but only 24 % of the usual size: it does not count";
        assert_eq!(kept(&of(&[100, 100, 24])), ["", "last", small]);
        assert_eq!(kept(&of(&[100, 100, 25])), ["", "", "last"]);
        let empty = "last, but only 0 % of the usual size: it does not count";
        assert_eq!(kept(&of(&[100, 100, 24, 0])), ["", "last", "", empty]);
        assert_eq!(kept(&of(&[100, 24, 24, 24])), ["", "", "", "last"], "this is its size now");
        assert_eq!(kept(&of(&[0])), [empty], "never nothing at all");
        let mut verified = of(&[100, 100, 24]);
        (verified[0].verified, verified[2].verified) = (true, true);
        let both = ["last verified", "last", &format!("{small} last verified")];
        assert_eq!(kept(&verified), both, "the proof of a small one replaces none");
        let mut other = of(&[100, 100, 24]);
        other[2].kind = "another form".into();
        assert_eq!(kept(&other), ["", "", "last"]);
    }

    #[test]
    fn pins_and_drills_keep_and_a_wrong_date_displaces_none() {
        let mut dumps: Vec<Candidate> =
            (10..15).map(|day| dump(&format!("2026-11-{day}T03:00:00Z"), false)).collect();
        dumps[0].pinned = Some("pinned: lawsuit".into());
        dumps[1].proven = true;
        dumps[2].proven = true;
        dumps[4].flaw = Some(Flaw::Misdated);
        let keep = Keep { last: Some(1), ..Keep::default() };
        let why = keep_reasons(&dumps, at("2026-11-21T12:00:00Z"), &keep);
        let why: Vec<String> = why.iter().map(|w| w.join(" ")).collect();
        let misdated = "last, but its date does not fit the WAL: it does not count";
        assert_eq!(why, ["pinned: lawsuit", "", "last proven by a drill", "last", misdated]);
    }

    #[test]
    fn what_is_dated_in_the_future_is_neither_kept_by_a_rule_nor_deleted() {
        let unknown = plain(Taken::Unknown);
        let dumps = [unknown, dump("2026-11-20T03:00:00Z", false)];
        let why =
            keep_reasons(&dumps, at("2026-11-21T12:00:00Z"), &Keep { last: Some(1), ..Keep::default() });
        assert_eq!(why[1], ["last"]);
        assert!(why[0][0].contains("dated in the future"), "{why:?}");
    }

    proptest! {
        #[test]
        fn damage_never_deletes_what_would_be_kept_nor_the_newest_whole_one(
            whole in proptest::collection::vec(any::<bool>(), 1..30), last in 0u32..4, daily in 0u32..4,
        ) {
            let keep = Keep { last: Some(last), daily: Some(daily), ..Keep::default() };
            let dumps: Vec<Candidate> = whole.iter().enumerate().map(|(i, whole)| {
                let at = Timestamp::from_second(1_700_000_000 + i as i64 * 40_000).expect("in range");
                Candidate { flaw: (!whole).then_some(Flaw::Damaged), ..plain(Taken::At(at)) }
            }).collect();
            let now = at("2027-11-21T12:00:00Z");
            let kept: Vec<bool> = keep_reasons(&dumps, now, &keep).iter().map(|w| !w.is_empty()).collect();
            let as_if: Vec<Candidate> = dumps.iter().map(|d| Candidate { flaw: None, ..d.clone() }).collect();
            let plain: Vec<bool> = keep_reasons(&as_if, now, &keep).iter().map(|w| !w.is_empty()).collect();
            let counted = last > 0 || daily > 0;
            prop_assert!(!counted || plain.iter().zip(&kept).all(|(a, b)| !a || *b));
            let alone: Vec<Candidate> = dumps.iter().filter(|d| d.flaw.is_none()).cloned().collect();
            let wanted = keep_reasons(&alone, now, &keep);
            let found: Vec<bool> = whole.iter().zip(&kept).filter(|(w, _)| **w).map(|(_, k)| *k).collect();
            prop_assert!(wanted.iter().zip(&found).all(|(w, k)| w.is_empty() || *k));
        }

        #[test]
        fn the_newest_is_always_kept_and_order_does_not_matter(
            mut seconds in proptest::collection::vec(1_600_000_000i64..1_800_000_000, 1..60),
            last in 0u32..5, daily in 0u32..9, monthly in 0u32..9, seed in any::<u64>(),
        ) {
            let keep = Keep { last: Some(last), daily: Some(daily), monthly: Some(monthly), ..Keep::default() };
            seconds.sort_unstable();
            seconds.dedup();
            let dump = |s: &i64| {
                plain(Taken::At(Timestamp::from_second(*s).expect("in range")))
            };
            let kept = |seconds: &[i64]| -> Vec<i64> {
                let dumps: Vec<Candidate> = seconds.iter().map(dump).collect();
                let why = keep_reasons(&dumps, at("2027-11-21T12:00:00Z"), &keep);
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
