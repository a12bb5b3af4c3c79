//! The `[host]` section of the configuration.

use serde::Deserialize;
use std::path::PathBuf;
use toban_core::Result;
use toban_core::config::Config;

/// `[host]`; an unknown key is an error that names it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct HostSettings {
    /// Files that must be closed, beside the usual ones.
    pub(crate) closed: Vec<String>,
    /// Configurations of SSH servers beside the usual one.
    pub(crate) sshd_configs: Vec<String>,
    /// The public keys that packs must be signed by to be accepted.
    pub(crate) allowed_signers: Option<PathBuf>,
}

/// Reads the section.
///
/// # Errors
/// Usage, with the key.
pub(crate) fn read_settings(config: &Config) -> Result<HostSettings> {
    config.section(&["host"])
}
