//! Text that must not be printed, and where it may come from.

use crate::error::{Context, Error, Result};
use serde::Deserialize;
use std::fmt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A password, a webhook's URL: prints as `***` however it is formatted.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Wraps `text`.
    pub fn new(text: impl Into<String>) -> Secret {
        Secret(text.into())
    }

    /// The text itself, for the one call that needs it.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Reads a file that holds nothing but the secret; one newline at its end does not count.
    ///
    /// # Errors
    /// Usage when group or others may read it (systemd's credentials, 0440 since 254, excepted).
    pub fn from_file(path: &Path) -> Result<Secret> {
        let doing = || format!("read the secret in {}", path.display());
        let mode = std::fs::metadata(path).doing(doing)?.mode();
        let shared = if in_credentials(path) { 0o007 } else { 0o077 };
        if mode & shared != 0 {
            let message = format!("{} can be read by others (mode {:o})", path.display(), mode & 0o777);
            return Err(Error::usage(message).hint(format!("chmod 600 {}", path.display())));
        }
        let text = std::fs::read_to_string(path).doing(doing)?;
        // One newline and no more: editors and `echo` add it, and a password may begin or end with blanks of its own.
        Ok(Secret(text.strip_suffix('\n').unwrap_or(&text).to_string()))
    }

    /// The file of a secret that only another library reads: `file`, then the systemd credential.
    ///
    /// # Errors
    /// Those of [`Secret::from_file`].
    pub fn find_file(file: Option<&Path>, credential: &str) -> Result<Option<PathBuf>> {
        let provided = || credentials().map(|d| d.join(credential)).filter(|p| p.exists());
        let Some(path) = file.map(Path::to_path_buf).or_else(provided) else { return Ok(None) };
        Secret::from_file(&path).map(|_| Some(path))
    }

    /// The order everywhere: `file`, then `$CREDENTIALS_DIRECTORY/<credential>`, then the environment variable.
    ///
    /// # Errors
    /// Those of [`Secret::from_file`].
    pub fn find(file: Option<&Path>, credential: &str, variable: &str) -> Result<Option<Secret>> {
        if let Some(path) = file {
            return Secret::from_file(path).map(Some);
        }
        if let Some(path) = self::credential(credential) {
            return Secret::from_file(&path).map(Some);
        }
        Ok(std::env::var(variable).ok().filter(|v| !v.is_empty()).map(Secret))
    }
}

/// The file of a systemd credential (systemd.exec(5), `LoadCredential=`), if the unit has it.
pub fn credential(name: &str) -> Option<PathBuf> {
    credentials().map(|d| d.join(name)).filter(|p| p.exists())
}

fn credentials() -> Option<PathBuf> {
    std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from)
}

fn in_credentials(path: &Path) -> bool {
    credentials().is_some_and(|d| path.starts_with(d))
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn never_prints() {
        let s = Secret::new("hunter2");
        assert_eq!(format!("{s} {s:?} {:?}", Some(&s)), "*** *** Some(***)");
    }

    #[test]
    fn a_file_others_can_read_is_refused_with_the_cure() {
        let dir = tempfile::tempdir().expect("tempdir");
        let path = dir.path().join("pw");
        std::fs::write(&path, "hunter2\n").expect("write");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).expect("chmod");
        let e = Secret::from_file(&path).unwrap_err();
        assert!(e.find_hint().expect("a hint").starts_with("chmod 600"), "{e:?}");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("chmod");
        assert_eq!(Secret::from_file(&path).expect("readable").reveal(), "hunter2");
    }
}
