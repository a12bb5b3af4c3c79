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

/// When each was taken, as of `now`: two of one system are in the order of their positions.
pub(crate) fn order_by_wal(all: &[Dated], now: Timestamp) -> Vec<Taken> {
    let sure = |d: &Dated| {
        [Some(d.at), d.server].into_iter().flatten().find(|at| !is_future(*at, now)).map(Taken::At)
    };
    let mut taken: Vec<Option<Taken>> = all.iter().map(sure).collect();
    let mut systems: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
    for (i, dated) in all.iter().enumerate() {
        if let Some(position) = &dated.position {
            systems.entry(position.system).or_default().push(i);
        }
    }
    for mut own in systems.into_values() {
        own.sort_by_key(|i| all[*i].position);
        // What follows in the WAL is not older than what came before it.
        let mut last = Taken::Unknown;
        for &i in &own {
            last = taken[i].map_or(last, |at| at.max(last));
            taken[i] = taken[i].map(|_| last);
        }
        // One that is dated in the future came before whatever follows it in the WAL, and before now.
        let mut next = Taken::At(now);
        for &i in own.iter().rev() {
            next = taken[i].map_or(next, |at| at.min(Taken::At(now)));
            taken[i] = Some(taken[i].unwrap_or(next));
        }
    }
    taken.into_iter().map(|at| at.unwrap_or(Taken::Unknown)).collect()
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
        order.sort_by_key(|i| (taken[*i], all[*i].position));
        order
    }

    #[test]
    fn the_wal_orders_whatever_the_clock_said() {
        let future = [dated(1, Some(10)), dated(9_000, Some(20)), dated(3, Some(30))];
        assert_eq!(order(&future, 4), [0, 1, 2], "in the middle, though it is dated in the future");
        assert_eq!(order_by_wal(&future, at(4))[1], Taken::At(at(3)), "before what follows it");
        let late = [dated(1, Some(10)), dated(4, Some(20)), dated(3, Some(30))];
        assert_eq!(order(&late, 5), [0, 1, 2], "a day too late, and no longer in the future");
        let early = [dated(2, Some(10)), dated(-9_000, Some(20))];
        assert_eq!(order(&early, 4), [0, 1], "a clock that begins in 1970");
        assert_eq!(
            order_by_wal(&early, at(4))[1],
            Taken::At(at(2)),
            "no younger rule deletes it for its date"
        );
        let restored = [dated(1, Some(50)), Dated { position: Some(position(2, 9)), ..dated(2, None) }];
        assert_eq!(order(&restored, 4), [0, 1], "a later timeline, though its position is lower");
        let server = [Dated { server: Some(at(2)), ..dated(9_000, None) }, dated(3, None)];
        assert_eq!(order(&server, 4), [0, 1], "the server's clock tells");
    }

    #[test]
    fn without_the_wal_what_is_dated_in_the_future_has_no_place() {
        let old = [dated(1, None), dated(9_000, None), dated(3, None)];
        assert_eq!(order_by_wal(&old, at(4)), [Taken::At(at(1)), Taken::Unknown, Taken::At(at(3))]);
        assert_eq!(order(&old, 4), [1, 0, 2], "never the newest");
        assert_eq!(order_by_wal(&old, at(9_001))[1], Taken::At(at(9_000)), "until its day has come");
    }

    proptest! {
        #[test]
        fn clocks_never_break_the_order_of_a_system(
            days in proptest::collection::vec(-20_000_i64..20_000, 1..30), now in -100_i64..100,
        ) {
            let all: Vec<Dated> = days.iter().enumerate().map(|(i, d)| dated(*d, Some(i as u64))).collect();
            prop_assert_eq!(order(&all, now), (0..all.len()).collect::<Vec<_>>());
            let limit = at(now).as_second() + 300;
            let fine = order_by_wal(&all, at(now)).iter().all(|t| matches!(t, Taken::At(t) if t.as_second() <= limit));
            prop_assert!(fine, "nothing is younger than now");
        }
    }
}
