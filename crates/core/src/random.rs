//! Numbers that nobody else has: for jitter, for recognising one's own work, and secrets.

use crate::error::{Context, Result};
use std::fs::File;
use std::hash::{BuildHasher, Hasher};
use std::io::Read;

/// 64 random bits, for no secret. The standard library seeds its hash maps from the kernel, and each differently.
pub fn number() -> u64 {
    std::collections::hash_map::RandomState::new().build_hasher().finish()
}

/// 128 random bits in hexadecimal, for no secret.
pub fn mark() -> String {
    format!("{:016x}{:016x}", number(), number())
}

/// A new secret: 256 bits of the kernel's (random(4)).
///
/// # Errors
/// When /dev/urandom cannot be read.
pub fn make_secret() -> Result<[u8; 32]> {
    let mut secret = [0; 32];
    let source = File::open("/dev/urandom");
    source.and_then(|mut f| f.read_exact(&mut secret)).doing(|| "read /dev/urandom".into())?;
    Ok(secret)
}
