//! SIGKILL at moments spread over the length of a run.

use crate::{Dice, seed};
use std::process::Child;
use std::time::{Duration, Instant};

/// On a busy machine a run may end before its moment; then it was measured too slow, and is tried again.
const TRIES: usize = 4;

/// Starts a run for each of `rounds`, kills it at a random moment of its part of `length`, and calls `after`.
///
/// # Panics
/// When fewer than two thirds of the kills hit a run that was still at work.
pub fn killed(length: Duration, rounds: usize, mut start: impl FnMut() -> Child, mut after: impl FnMut()) {
    let (mut dice, mut length, mut hits) = (Dice::new(seed()), length, 0);
    for round in 0..rounds {
        for _ in 0..TRIES {
            let moment = (round as f64 + dice.part()) / rounds as f64;
            let ended = kill(start(), length.mul_f64(moment));
            after();
            match ended {
                Some(took) => length = length.min(took),
                None => {
                    hits += 1;
                    break;
                }
            }
        }
    }
    eprintln!("{hits} of {rounds} kills hit within {length:?}");
    assert!(hits * 3 >= rounds * 2, "only {hits} of {rounds} kills hit");
}

/// Kills `child` after `delay`; how long it took when it had ended before.
fn kill(mut child: Child, delay: Duration) -> Option<Duration> {
    let began = Instant::now();
    let mut took = None;
    while took.is_none() && began.elapsed() < delay {
        std::thread::sleep(Duration::from_millis(2));
        took = child.try_wait().expect("ask for the child").map(|_| began.elapsed());
    }
    let _ = child.kill();
    // Its output too, so that nobody waits for a full pipe.
    child.wait_with_output().expect("wait for the child");
    took
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn a_run_that_was_measured_too_slow_is_hit_all_the_same() {
        let mut runs = 0;
        let start = || Command::new("sleep").arg("0.2").spawn().expect("start sleep");
        killed(Duration::from_secs(2), 3, start, || runs += 1);
        assert!((3..=3 * TRIES).contains(&runs), "{runs}");
    }
}
