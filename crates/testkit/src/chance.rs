//! Random tests that can be repeated: seed, dice, number of rounds.

use std::time::{Duration, Instant};

/// The seed of a random test, printed so that it can be repeated with `TOBAN_SEED`.
pub fn seed() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    let given = std::env::var("TOBAN_SEED").ok().and_then(|s| s.parse().ok());
    let seed = given.unwrap_or_else(|| std::hash::RandomState::new().build_hasher().finish());
    eprintln!("repeat with TOBAN_SEED={seed}");
    seed
}

/// How many rounds a random test makes: `TOBAN_ROUNDS`, else `default`.
pub fn rounds(default: usize) -> usize {
    std::env::var("TOBAN_ROUNDS").ok().and_then(|s| s.parse().ok()).unwrap_or(default)
}

/// Plays random histories, each made again from a number of its own: as many as [`rounds`], or the one of `TOBAN_HISTORY`
/// alone, which a failure prints.
pub fn play_histories(default: usize, play: impl Fn(u64) + std::panic::RefUnwindSafe) {
    if let Some(history) = std::env::var("TOBAN_HISTORY").ok().and_then(|s| s.parse().ok()) {
        return play(history);
    }
    let mut dice = Dice::new(seed());
    for round in 0..rounds(default) {
        let history = dice.below(u64::MAX);
        if let Err(cause) = std::panic::catch_unwind(|| play(history)) {
            eprintln!("repeat number {round} alone with TOBAN_HISTORY={history}");
            std::panic::resume_unwind(cause);
        }
    }
}

/// Round after round of a test that is never done: for `TOBAN_SECONDS` where that is set, else as many as [`rounds`].
/// Says in the end how many there were.
pub fn spell(default: usize) -> impl Iterator<Item = usize> {
    let seconds = std::env::var("TOBAN_SECONDS").ok().and_then(|s| s.parse().ok());
    let end = seconds.map(|s| Instant::now() + Duration::from_secs(s));
    Spell { done: 0, count: rounds(default), end }
}

struct Spell {
    done: usize,
    count: usize,
    end: Option<Instant>,
}

impl Iterator for Spell {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        let over = self.end.map_or(self.done >= self.count, |end| Instant::now() > end);
        self.done += usize::from(!over);
        (!over).then(|| self.done - 1)
    }
}

impl Drop for Spell {
    fn drop(&mut self) {
        eprintln!("{} rounds", self.done);
    }
}

/// Numbers that a seed decides (splitmix64).
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// Dice that fall as `seed` says.
    pub fn new(seed: u64) -> Dice {
        Dice(seed)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % end.max(1)
    }

    /// An index into `len` things.
    pub fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.below(len as u64)).unwrap_or(0)
    }

    /// A part of a whole: from 0 to just below 1.
    pub fn part(&mut self) -> f64 {
        self.below(1 << 53) as f64 / (1u64 << 53) as f64
    }
}
