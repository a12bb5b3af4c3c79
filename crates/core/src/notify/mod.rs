//! Telling people: mail, Slack, pings.
use serde::Deserialize;

/// `[notify]` of the configuration.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NotifyConfig {}
