//! What the backups promise, as the configuration says it.

use serde::Deserialize;
use toban_core::Result;
use toban_core::config::{Config, Span};

/// `[objectives]`: what the backups must keep.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Objectives {
    /// How much may be lost.
    pub(crate) rpo: Option<Span>,
    /// How long a restore may take.
    pub(crate) rto: Option<Span>,
    /// How far back every moment can be reached.
    pub(crate) window: Option<Span>,
}

impl Objectives {
    /// Those of the configuration.
    ///
    /// # Errors
    /// Usage, with the key, when they do not parse.
    pub(crate) fn read(config: &Config) -> Result<Objectives> {
        config.section(&["objectives"])
    }
}
