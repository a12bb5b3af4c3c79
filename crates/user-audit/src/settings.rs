//! The `[audit]` section of the configuration: rules and mappings.

use crate::cli::Scope;
use crate::mapping::Mapping;
use jiff::SignedDuration;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::PathBuf;
use toban_core::Result;
use toban_core::config::{Config, Span};

/// `[audit]`; an unknown key is an error that names it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Settings {
    pub(crate) unused: Option<Span>,
    pub(crate) grace: Option<Span>,
    pub(crate) password_age: Option<Span>,
    pub(crate) password_warning: Option<Span>,
    pub(crate) max_admins: Option<usize>,
    pub(crate) review_every: Option<Span>,
    /// The public keys that packs must be signed by to be accepted.
    pub(crate) allowed_signers: Option<PathBuf>,
    /// Role names beside the usual ones; `!name` takes a usual one out.
    pub(crate) admin_roles: Vec<String>,
    pub(crate) domains: Vec<String>,
    /// Local parts of shared accounts, beside the well-known ones.
    pub(crate) shared_names: Vec<String>,
    /// E-mail addresses or patterns (`*`) of accounts that programs use.
    pub(crate) service_accounts: Vec<String>,
    /// `[audit.os_accounts]`: the system account of an address, where it is not the address's first part.
    pub(crate) os_accounts: BTreeMap<String, String>,
    /// `[audit.mapping.NAME]`.
    pub(crate) mapping: BTreeMap<String, Mapping>,
}

impl Settings {
    /// How old a review may be: by the flag, else the configuration, else 35 days, a month and some.
    pub(crate) fn review_every(&self, scope: &Scope) -> SignedDuration {
        let month = SignedDuration::from_hours(35 * 24);
        let set = scope.review_every.or(self.review_every);
        set.map_or(month, |s| SignedDuration::try_from(s.0).unwrap_or(SignedDuration::MAX))
    }
}

/// Reads the section.
///
/// # Errors
/// Usage, with the key.
pub(crate) fn read_settings(config: &Config) -> Result<Settings> {
    config.section(&["audit"])
}
