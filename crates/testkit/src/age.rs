//! Keys of age, made by its own program.

use std::path::{Path, PathBuf};
use std::process::Command;

/// An identity in a file, and who it is to others.
pub struct AgeKey {
    pub identity: PathBuf,
    pub recipient: String,
}

impl AgeKey {
    /// Makes one in the file `identity`.
    ///
    /// # Panics
    /// When age is missing, with the way to get it.
    pub fn make(identity: &Path) -> AgeKey {
        let mut keygen = Command::new("age-keygen");
        let made = keygen.arg("-o").arg(identity).output();
        let made = made.unwrap_or_else(|e| panic!("age-keygen: {e}; run cargo xtask setup"));
        assert!(made.status.success(), "{made:?}");
        let text = std::fs::read_to_string(identity).expect("read the identity");
        let public = text.lines().find_map(|line| line.strip_prefix("# public key: "));
        AgeKey { identity: identity.into(), recipient: public.expect("age-keygen tells it").into() }
    }

    /// The path of the identity, for a command line.
    pub fn path(&self) -> String {
        self.identity.display().to_string()
    }
}
