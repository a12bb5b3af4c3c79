//! Files of age (<https://c2sp.org/age>), encrypted to public keys, so that who writes them cannot read them.
//!
//! Recipients are keys of age (X25519) and of OpenSSH. The format and its cryptography are those of the crate `age`; here
//! is how readers become files and files readers, and where keys come from.

mod file;
mod identities;
mod new_identity;
mod recipients;

pub use file::{Decrypted, Encrypted};
pub use identities::Identities;
pub use new_identity::NewIdentity;
pub use recipients::{Recipient, Recipients};

/// The first bytes of every age file.
pub const MAGIC: &[u8] = b"age-encryption.org/v1\n";

#[cfg(test)]
mod tests;
