//! Which of several dumps or backups is the newest: by the server's position, not by the clock of whoever stored them.
//!
//! A clock that was wrong for one night dates a dump into the next year, and by its date it would be the newest for a
//! year: restored as `latest`, and kept while `prune` deletes the true ones. A position in the WAL is never wrong.

use jiff::Timestamp;
use std::collections::BTreeMap;
use toban_core::repo::is_future;
use toban_core::wal::{Lsn, Timeline};

/// A position in the WAL of one system: it orders whatever that system wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct WalPosition {
    /// The system identifier.
    pub(crate) system: u64,
    pub(crate) timeline: Timeline,
    pub(crate) lsn: Lsn,
}

/// What is known of when something was taken.
#[derive(Clone, Debug)]
pub(crate) struct Dated {
    /// By the clock of whoever stored it.
    pub(crate) at: Timestamp,
    /// By the server's clock.
    pub(crate) server: Option<Timestamp>,
    pub(crate) position: Option<WalPosition>,
}

/// When something was taken, as far as that can be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Taken {
    /// Its date lies in the future, and its position is not known either: it is neither the newest nor old.
    Unknown,
    /// At this time; where dates contradict the WAL, at the earliest that fits it.
    At(Timestamp),
}

/// What the dates of all and the WAL together say of when one was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Placed {
    pub(crate) taken: Taken,
    /// It was not taken later than this.
    pub(crate) latest: Timestamp,
    /// Whether its own date fits the WAL. What is dated otherwise must not stand for another.
    pub(crate) sure: bool,
}

/// Nobody took a backup with this program before 2020: a machine without a battery begins its time in 1970.
const EARLIEST: i64 = 1_577_836_800;

/// When each was taken, as of `now`: two of one system are in the order of their positions.
pub(crate) fn order_by_wal(all: &[Dated], now: Timestamp) -> Vec<Placed> {
    let dates: Vec<Option<Timestamp>> = all.iter().map(|d| believable_date(d, now)).collect();
    let alone = |at: &Option<Timestamp>| Placed {
        taken: at.map_or(Taken::Unknown, Taken::At),
        latest: at.unwrap_or(now),
        sure: at.is_some(),
    };
    let mut placed: Vec<Placed> = dates.iter().map(alone).collect();
    let mut systems: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
    for (i, dated) in all.iter().enumerate() {
        if let Some(position) = &dated.position {
            systems.entry(position.system).or_default().push(i);
        }
    }
    for mut own in systems.into_values() {
        own.sort_by_key(|i| (all[*i].position, dates[*i]));
        let own_dates: Vec<Option<Timestamp>> = own.iter().map(|i| dates[*i]).collect();
        for (i, one) in own.into_iter().zip(place_in_order(&own_dates, now)) {
            placed[i] = one;
        }
    }
    placed
}

/// The date by its own clock or the server's, unless it lies in the future.
fn believable_date(dated: &Dated, now: Timestamp) -> Option<Timestamp> {
    [Some(dated.at), dated.server].into_iter().flatten().find(|at| !is_future(*at, now))
}

/// Places what follows one another in the WAL. The most dates that agree with that order are believed; any other lies
/// between the believed ones before and after it.
fn place_in_order(dates: &[Option<Timestamp>], now: Timestamp) -> Vec<Placed> {
    let believed = agreeing_dates(dates);
    let mut placed = Vec::with_capacity(dates.len());
    let mut next = now;
    for ((date, sure), latest) in dates.iter().zip(&believed).zip(latest_dates(dates, now)).rev() {
        next = date.filter(|_| *sure).unwrap_or(next);
        let at = date.unwrap_or(next).min(next);
        placed.push(Placed { taken: Taken::At(at), latest, sure: *sure });
    }
    placed.reverse();
    let mut last = Taken::Unknown;
    for one in &mut placed {
        // What follows in the WAL is not older than what came before it.
        last = one.taken.max(last);
        one.taken = last;
        if let Taken::At(at) = last {
            one.latest = one.latest.max(at);
        }
    }
    placed
}

/// By when each was taken, whichever of the dates are wrong: a date that is earlier than one before it in the WAL says
/// nothing, and then the next counts that is not.
fn latest_dates(dates: &[Option<Timestamp>], now: Timestamp) -> Vec<Timestamp> {
    let mut highest = None;
    let mut agrees = |date: &Option<Timestamp>| {
        let fits = date.filter(|at| at.as_second() >= EARLIEST && Some(*at) >= highest);
        highest = highest.max(*date);
        fits
    };
    let mut latest: Vec<Option<Timestamp>> = dates.iter().map(&mut agrees).collect();
    let mut next = now;
    for date in latest.iter_mut().rev() {
        next = date.unwrap_or(next);
        *date = Some(next);
    }
    latest.into_iter().map(|at| at.unwrap_or(now)).collect()
}

/// The longest sequence of dates that never goes back, and of several the one that begins latest: a clock that was not
/// set is early.
fn agreeing_dates(dates: &[Option<Timestamp>]) -> Vec<bool> {
    // From the end on; the last of the longest sequence so far of each length, as late as can be.
    let (mut ends, mut before): (Vec<usize>, Vec<Option<usize>>) = (Vec::new(), vec![None; dates.len()]);
    for i in (0..dates.len()).rev() {
        let Some(date) = dates[i].filter(|at| at.as_second() >= EARLIEST) else { continue };
        let length = ends.partition_point(|end| dates[*end] >= Some(date));
        before[i] = length.checked_sub(1).map(|n| ends[n]);
        match ends.get_mut(length) {
            Some(end) => *end = i,
            None => ends.push(i),
        }
    }
    let mut believed = vec![false; dates.len()];
    let mut at = ends.last().copied();
    while let Some(i) = at {
        believed[i] = true;
        at = before[i];
    }
    believed
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(day: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + day * 86_400).expect("in range")
    }

    fn position(timeline: u32, lsn: u64) -> WalPosition {
        WalPosition { system: 7, timeline: Timeline(timeline), lsn: Lsn(lsn) }
    }

    fn dated(day: i64, lsn: Option<u64>) -> Dated {
        Dated { at: at(day), server: None, position: lsn.map(|lsn| position(1, lsn)) }
    }

    fn order(all: &[Dated], now: i64) -> Vec<usize> {
        let taken = order_by_wal(all, at(now));
        let mut order: Vec<usize> = (0..all.len()).collect();
        order.sort_by_key(|i| (taken[*i].taken, all[*i].position));
        order
    }

    #[test]
    fn the_wal_orders_whatever_the_clock_said() {
        let future = [dated(1, Some(10)), dated(9_000, Some(20)), dated(3, Some(30))];
        assert_eq!(order(&future, 4), [0, 1, 2], "in the middle, though it is dated in the future");
        assert_eq!(order_by_wal(&future, at(4))[1].taken, Taken::At(at(3)), "before what follows it");
        let late = [dated(1, Some(10)), dated(4, Some(20)), dated(3, Some(30))];
        assert_eq!(order(&late, 5), [0, 1, 2], "a day too late, and no longer in the future");
        let early = [dated(2, Some(10)), dated(-9_000, Some(20))];
        assert_eq!(order(&early, 4), [0, 1], "a clock that begins in 1970");
        assert_eq!(
            order_by_wal(&early, at(4))[1].taken,
            Taken::At(at(2)),
            "no younger rule deletes it for its date"
        );
        let restored = [dated(1, Some(50)), Dated { position: Some(position(2, 9)), ..dated(2, None) }];
        assert_eq!(order(&restored, 4), [0, 1], "a later timeline, though its position is lower");
        let server = [Dated { server: Some(at(2)), ..dated(9_000, None) }, dated(3, None)];
        assert_eq!(order(&server, 4), [0, 1], "the server's clock tells");
    }

    /// Days by the clock, in the order of the WAL; which of them are believed, and by when the others were taken.
    fn placed(days: &[i64], now: i64) -> (Vec<bool>, Vec<i64>) {
        let all: Vec<Dated> = days.iter().enumerate().map(|(i, d)| dated(*d, Some(i as u64))).collect();
        let placed = order_by_wal(&all, at(now));
        let day = |t: Timestamp| (t.as_second() - 1_800_000_000) / 86_400;
        (placed.iter().map(|p| p.sure).collect(), placed.iter().map(|p| day(p.latest)).collect())
    }

    #[test]
    fn a_clock_that_was_wrong_for_some_is_believed_of_none_of_them() {
        let (sure, latest) = placed(&[9, 15, 11, 12, 13], 16);
        assert_eq!(
            (sure, latest),
            (vec![true, false, true, true, true], vec![9, 15, 16, 16, 16]),
            "days ahead"
        );
        let (sure, latest) = placed(&[8, 9, 5, 6, 13], 14);
        assert_eq!(sure, [true, true, false, false, true], "set back for two");
        assert_eq!(latest, [8, 9, 13, 13, 13]);
        assert_eq!(placed(&[-20_000, -20_000], 3), (vec![false, false], vec![3, 3]), "never set at all");
        assert_eq!(placed(&[9, 10, 9_000], 12), (vec![true, true, false], vec![9, 10, 12]), "the newest");
        let (sure, latest) = placed(&[9, -9, -8], 12);
        assert_eq!(
            (sure, latest),
            (vec![false, true, true], vec![9, 12, 12]),
            "nobody knows which were right"
        );
    }

    #[test]
    fn without_the_wal_what_is_dated_in_the_future_has_no_place() {
        let old = [dated(1, None), dated(9_000, None), dated(3, None)];
        let taken: Vec<Taken> = order_by_wal(&old, at(4)).iter().map(|p| p.taken).collect();
        assert_eq!(taken, [Taken::At(at(1)), Taken::Unknown, Taken::At(at(3))]);
        assert_eq!(order(&old, 4), [1, 0, 2], "never the newest");
        assert_eq!(order_by_wal(&old, at(9_001))[1].taken, Taken::At(at(9_000)), "until its day has come");
    }

    proptest! {
        #[test]
        fn clocks_never_break_the_order_of_a_system(
            days in proptest::collection::vec(-20_000_i64..20_000, 1..30), now in -100_i64..100,
        ) {
            let all: Vec<Dated> = days.iter().enumerate().map(|(i, d)| dated(*d, Some(i as u64))).collect();
            prop_assert_eq!(order(&all, now), (0..all.len()).collect::<Vec<_>>());
            let limit = at(now).as_second() + 300;
            let fine = order_by_wal(&all, at(now)).iter().all(|p| matches!(p.taken, Taken::At(t) if t.as_second() <= limit));
            prop_assert!(fine, "nothing is younger than now");
        }
    }
}
