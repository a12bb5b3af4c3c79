//! Several threads that work at the same time and finish in the order in which they began.

use std::collections::BTreeSet;
use std::io::{self, Read};
use std::sync::{Condvar, Mutex};
use std::time::Duration;
use toban_core::sync::{into_inner, lock};
use toban_core::{Error, Result, shutdown};

/// How often a thread that waits looks whether it was told to stop.
const LOOK: Duration = Duration::from_millis(100);

/// Whose turn it is, by number.
#[derive(Default)]
pub(super) struct Turns {
    state: Mutex<TurnState>,
    moved: Condvar,
}

#[derive(Default)]
struct TurnState {
    next: usize,
    /// Ended before their turn came.
    ended: BTreeSet<usize>,
    /// Why nobody's turn comes any more.
    broken: Option<Error>,
}

impl Turns {
    /// Waits until all before `own` have ended.
    ///
    /// # Errors
    /// Retry when the process is told to stop, or one of them could not be done and the rest must not follow.
    fn wait_for_turn(&self, own: usize) -> Result<()> {
        let mut state = lock(&self.state);
        loop {
            shutdown::check()?;
            if state.broken.is_some() {
                return Err(Error::retry("what comes before it could not be stored"));
            }
            if state.next >= own {
                return Ok(());
            }
            let waited = self.moved.wait_timeout(state, LOOK);
            state = waited.unwrap_or_else(std::sync::PoisonError::into_inner).0;
        }
    }

    /// `own` has ended, well or not, and the next may.
    fn end_turn(&self, own: usize) {
        let mut state = lock(&self.state);
        state.ended.insert(own);
        let TurnState { next, ended, .. } = &mut *state;
        while ended.remove(next) {
            *next += 1;
        }
        self.moved.notify_all();
    }

    /// Nothing that comes later may end any more. The first error is kept.
    pub(super) fn break_off(&self, e: Error) {
        lock(&self.state).broken.get_or_insert(e);
        self.moved.notify_all();
    }

    /// Why it was broken off, if it was.
    ///
    /// # Errors
    /// The first of [`Turns::break_off`].
    pub(super) fn finish(self) -> Result<()> {
        into_inner(self.state).broken.map_or(Ok(()), Err)
    }
}

/// A place in the order; it ends when it is dropped.
pub(super) struct CopyTurn<'t> {
    turns: &'t Turns,
    own: usize,
}

impl<'t> CopyTurn<'t> {
    pub(super) fn new(turns: &'t Turns, own: usize) -> CopyTurn<'t> {
        CopyTurn { turns, own }
    }
}

impl Drop for CopyTurn<'_> {
    fn drop(&mut self) {
        // In the destructor, so that it also happens after an error or a panic: a turn that never ended would
        // keep all that come later waiting for ever.
        self.turns.end_turn(self.own);
    }
}

/// A reader whose end comes when its turn has come: an object becomes visible when its body has ended.
pub(super) struct Gated<'t, R> {
    inner: R,
    turn: Option<&'t CopyTurn<'t>>,
}

impl<'t, R: Read> Gated<'t, R> {
    /// Without a turn it ends as `inner` does.
    pub(super) fn new(inner: R, turn: Option<&'t CopyTurn<'t>>) -> Gated<'t, R> {
        Gated { inner, turn }
    }
}

impl<R: Read> Read for Gated<'_, R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buf)?;
        if let Some(turn) = self.turn.filter(|_| n == 0 && !buf.is_empty()) {
            turn.turns.wait_for_turn(turn.own)?;
        }
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::in_parallel;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(30))]
        #[test]
        fn they_end_in_order_whatever_each_takes(takes in proptest::collection::vec(0_u64..3, 1..40), threads in 1_usize..9) {
            let (turns, ended) = (Turns::default(), Mutex::new(Vec::new()));
            let items: Vec<(usize, u64)> = takes.iter().copied().enumerate().collect();
            in_parallel(&items, threads, |(own, millis)| {
                let turn = CopyTurn::new(&turns, *own);
                std::thread::sleep(Duration::from_millis(*millis));
                // Some fail on the way, and hold nobody up.
                if millis % 3 != 2 {
                    io::copy(&mut Gated::new(&b"body"[..], Some(&turn)), &mut io::sink()).expect("its turn comes");
                    lock(&ended).push(*own);
                }
                Ok(())
            })
            .expect("all end");
            let ended = into_inner(ended);
            prop_assert!(ended.is_sorted(), "{ended:?}");
            prop_assert_eq!(ended.len(), takes.iter().filter(|t| **t % 3 != 2).count());
            prop_assert!(turns.finish().is_ok());
        }
    }

    #[test]
    fn what_is_broken_off_ends_nothing_later() {
        let turns = Turns::default();
        let _first = CopyTurn::new(&turns, 0);
        let second = CopyTurn::new(&turns, 1);
        turns.break_off(Error::retry("away"));
        turns.break_off(Error::retry("another"));
        let mut body = Vec::new();
        assert!(Gated::new(&b"x"[..], Some(&second)).read_to_end(&mut body).is_err());
        drop((_first, second));
        assert_eq!(turns.finish().expect_err("kept").chain(), "away");
    }
}
