//! Numbers that nobody else has: for jitter and for recognising one's own work, not for secrets.

use std::hash::{BuildHasher, Hasher};

/// 64 random bits. The standard library seeds its hash maps from the kernel, and each differently.
pub fn number() -> u64 {
    std::collections::hash_map::RandomState::new().build_hasher().finish()
}

/// 128 random bits in hexadecimal.
pub fn mark() -> String {
    format!("{:016x}{:016x}", number(), number())
}
