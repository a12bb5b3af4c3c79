//! How long a store is asked again: growing pauses with jitter, until a deadline.

use crate::error::{Context, Error, Result};
use crate::{random, shutdown};
use std::time::{Duration, Instant};

/// The environment variable that overrides [`Backoff::DEFAULT`], as in `30s` or `10m`.
pub const VARIABLE: &str = "TOBAN_RETRY_FOR";

/// How long one request (a small object, a part, a page of a listing) is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff(Duration);

impl Backoff {
    /// Five minutes: longer than a fail-over or a throttled minute, shorter than anybody waits for an answer.
    pub const DEFAULT: Backoff = Backoff(Duration::from_secs(300));
    const SLOWEST_PAUSE: Duration = Duration::from_secs(20);
    /// Of a store that does not answer, which asking costs nothing: when it is back, somebody waits for it.
    const AWAY: Duration = Duration::from_secs(1);
    const FIRST_PAUSE: Duration = Duration::from_millis(100);

    /// Tries again for `total`.
    pub fn of(total: Duration) -> Backoff {
        Backoff(total)
    }

    /// What `TOBAN_RETRY_FOR` says, else `usual`.
    ///
    /// # Errors
    /// Usage when it is not a duration.
    pub fn from_env(usual: Backoff) -> Result<Backoff> {
        let Some(text) = std::env::var(VARIABLE).ok().filter(|t| !t.is_empty()) else {
            return Ok(usual);
        };
        let parsed = humantime::parse_duration(&text).doing(|| format!("read {VARIABLE}={text:?}"));
        Ok(Backoff(parsed.map_err(|e| e.kind_as(crate::Kind::Usage).hint("give a duration: 30s, 10m"))?))
    }

    /// How long one attempt that moves `bytes` may take before its connection counts as stalled: 15 seconds and
    /// about 8 more for each MiB, in proportion less when the backoff is short.
    pub(crate) fn attempt(self, bytes: u64) -> Duration {
        let base = (self.0 / 3).min(Duration::from_secs(15));
        base + base.mul_f64(bytes as f64 / f64::from(2 << 20))
    }

    /// The clock starts.
    pub fn begin(self) -> Tries {
        Tries { began: Instant::now(), total: self.0, failures: 0 }
    }
}

/// The attempts at one thing.
pub struct Tries {
    began: Instant,
    total: Duration,
    failures: u32,
}

impl Tries {
    /// How many attempts failed so far.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// How long the next attempt may take: little at first, so that one whose answer was lost is made again soon, up to
    /// [`Backoff::attempt`], so that a slow store is waited for.
    pub(crate) fn attempt(&self, bytes: u64) -> Duration {
        let first =
            Duration::from_secs(2) + Duration::from_secs(4).mul_f64(bytes as f64 / f64::from(1 << 20));
        Backoff(self.total).attempt(bytes).min(first * 2_u32.saturating_pow(self.failures.min(10)))
    }

    /// After no answer: how long to pause before the next attempt; none when the time is up.
    pub(crate) fn pause_away(&mut self) -> Option<Duration> {
        // The growth of pauses spares a service that is overloaded. One that is away is not.
        self.pause().map(|pause| pause.min(Backoff::AWAY))
    }

    /// After an answer that asks for a pause of `least`: that, within reason, and no less than usual; none when the time is up.
    pub(crate) fn pause_at_least(&mut self, least: Duration) -> Option<Duration> {
        let pause = self.pause()?.max(least.min(Backoff::SLOWEST_PAUSE));
        (self.began.elapsed() + pause < self.total).then_some(pause)
    }

    /// After a failure: how long to pause before the next attempt; none when the time is up.
    pub fn pause(&mut self) -> Option<Duration> {
        let full = Backoff::FIRST_PAUSE * 2_u32.saturating_pow(self.failures.min(10));
        // Half of it is jitter: clients cut off together must not come back together.
        let jitter = 0.5 + (random::number() % 1000) as f64 / 2000.0;
        let pause = full.min(Backoff::SLOWEST_PAUSE).mul_f64(jitter);
        self.failures += 1;
        (self.began.elapsed() + pause < self.total).then_some(pause)
    }

    /// After a failure: waits; false when the time is up.
    ///
    /// # Errors
    /// Retry when the process is told to stop.
    pub fn wait(&mut self) -> Result<bool> {
        let Some(pause) = self.pause() else { return Ok(false) };
        let until = Instant::now() + pause;
        while let Some(left) = until.checked_duration_since(Instant::now()).filter(|d| !d.is_zero()) {
            shutdown::check()?;
            std::thread::sleep(left.min(Duration::from_millis(100)));
        }
        Ok(true)
    }
}

/// Says how long it was tried, when that is worth a word.
pub fn gave_up(e: Error, tries: &Tries) -> Error {
    if tries.failures < 2 {
        return e;
    }
    let kind = e.kind();
    let seconds = tries.began.elapsed().as_secs();
    Error::new(kind, format!("gave up after {} attempts in {seconds} s", tries.failures)).because(e)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_stay_bounded_and_end() {
        let mut tries = Backoff::of(Duration::from_secs(3600)).begin();
        let pauses: Vec<Duration> = (0..20).filter_map(|_| tries.pause()).collect();
        assert!(pauses[0] <= Duration::from_millis(100) && pauses[0] >= Duration::from_millis(50));
        assert!(pauses[19] <= Backoff::SLOWEST_PAUSE && pauses[19] >= Backoff::SLOWEST_PAUSE / 2);
        assert_eq!(Backoff::of(Duration::ZERO).begin().pause(), None);
        let mut tries = Backoff::of(Duration::from_secs(60)).begin();
        assert_eq!(tries.pause_at_least(Duration::from_secs(3)), Some(Duration::from_secs(3)));
        assert_eq!(tries.pause_at_least(Duration::from_secs(3600)), Some(Backoff::SLOWEST_PAUSE));
        assert_eq!(Backoff::of(Duration::from_secs(2)).begin().pause_at_least(Duration::from_secs(3)), None);
    }

    #[test]
    fn an_attempt_is_as_long_as_its_bytes_need() {
        let attempt = |mib: u64| Backoff::DEFAULT.attempt(mib << 20).as_secs();
        assert_eq!((attempt(0), attempt(8)), (15, 75));
        assert_eq!(Backoff::of(Duration::from_secs(6)).attempt(0), Duration::from_secs(2));
        let mut tries = Backoff::DEFAULT.begin();
        let mut each = |mib: u64| {
            let limits: Vec<u64> = (0..6)
                .map(|_| {
                    let limit = tries.attempt(mib << 20).as_secs();
                    assert!(tries.pause_away().is_some_and(|p| p <= Backoff::AWAY));
                    limit
                })
                .collect();
            tries = Backoff::DEFAULT.begin();
            limits
        };
        assert_eq!((each(0), each(8)), (vec![2, 4, 8, 15, 15, 15], vec![34, 68, 75, 75, 75, 75]));
    }
}
