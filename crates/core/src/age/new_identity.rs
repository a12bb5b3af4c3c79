//! A new private key.

use crate::secret::Secret;
use age::secrecy::ExposeSecret;
use age::x25519::Identity;
use jiff::{Timestamp, Unit};

/// An identity that nobody has yet.
pub struct NewIdentity {
    /// The recipient that it opens: `age1…`.
    pub recipient: String,
    key: Secret,
}

impl NewIdentity {
    /// Makes one of the system's randomness.
    pub fn random() -> NewIdentity {
        let identity = Identity::generate();
        let key = Secret::new(identity.to_string().expose_secret());
        NewIdentity { recipient: identity.to_public().to_string(), key }
    }

    /// The file with it, as `age-keygen` writes it.
    pub fn to_file(&self) -> Secret {
        let now = Timestamp::now();
        let created = now.round(Unit::Second).unwrap_or(now);
        let key = self.key.reveal();
        Secret::new(format!("# created: {created}\n# public key: {}\n{key}\n", self.recipient))
    }
}
