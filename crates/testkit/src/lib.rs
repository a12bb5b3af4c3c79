//! Real servers and faults for the tests. A server that is missing is a failure that says how to get it.

use std::path::PathBuf;
use std::time::{Duration, Instant};

mod cable;
mod flaky;
mod s3;

pub use cable::Cable;
pub use flaky::Flaky;
pub use s3::{S3, http};

/// What `poll` yields once it yields something; panics with the last reason when `limit` has passed.
pub fn until<T>(what: &str, limit: Duration, mut poll: impl FnMut() -> Result<T, String>) -> T {
    let end = Instant::now() + limit;
    loop {
        match poll() {
            Ok(value) => return value,
            Err(why) => assert!(Instant::now() < end, "{what}: not within {} s: {why}", limit.as_secs()),
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The folder of servers that only tests need: `$TOBAN_TOOLS`, else /var/tmp/toban-tools.
pub fn tools() -> PathBuf {
    std::env::var_os("TOBAN_TOOLS").map_or_else(|| "/var/tmp/toban-tools".into(), PathBuf::from)
}

/// The program `path` below [`tools`]; panics with the way to get it.
pub fn tool(path: &str) -> PathBuf {
    let tool = tools().join(path);
    assert!(tool.exists(), "{} is missing; run: cargo xtask setup", tool.display());
    tool
}

/// The seed of a random test, printed so that it can be repeated with `TOBAN_SEED`.
pub fn seed() -> u64 {
    let given = std::env::var("TOBAN_SEED").ok().and_then(|s| s.parse().ok());
    let seed = given.unwrap_or_else(|| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        u64::from(now.expect("after 1970").subsec_nanos())
    });
    eprintln!("repeat with TOBAN_SEED={seed}");
    seed
}

/// How many rounds a random test makes: `TOBAN_ROUNDS`, else `default`.
pub fn rounds(default: usize) -> usize {
    std::env::var("TOBAN_ROUNDS").ok().and_then(|s| s.parse().ok()).unwrap_or(default)
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
}
