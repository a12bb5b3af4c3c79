//! Keywords and their values, before anything is made of them.

use super::keywords::{self, Role};
use crate::error::{Error, Result};
use std::collections::BTreeMap;
use std::fmt;

/// Values by keyword. Printing shows no password.
#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct Settings(BTreeMap<&'static str, String>);

impl Settings {
    /// Sets `key`, over an earlier value.
    ///
    /// # Errors
    /// Usage for a key libpq does not know, or one that asks for what we cannot do; it is named.
    pub(super) fn set_value(&mut self, key: &str, value: String) -> Result<()> {
        let unknown = || Error::usage(format!("unknown connection parameter \"{key}\""));
        let keyword = keywords::find_keyword(key).ok_or_else(unknown)?;
        if let Role::Refused(pass) = keyword.role
            && !value.is_empty()
            && !pass.contains(&value.as_str())
        {
            return Err(unsupported_keyword(key));
        }
        self.0.insert(keyword.name, value);
        Ok(())
    }

    /// Sets `key` unless it has a value: what was read before counts more.
    ///
    /// # Errors
    /// Those of [`Settings::set_value`].
    pub(super) fn set_missing(&mut self, key: &str, value: String) -> Result<()> {
        if self.0.contains_key(key) { Ok(()) } else { self.set_value(key, value) }
    }

    /// The value, be it empty.
    pub(super) fn get_even_empty(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    /// The value; none when it is empty.
    pub(super) fn get(&self, key: &str) -> Option<&str> {
        self.get_even_empty(key).filter(|v| !v.is_empty())
    }
}

fn unsupported_keyword(key: &str) -> Error {
    let e = Error::usage(format!("this connection parameter is not supported: {key}"));
    match key {
        "gssencmode" => e.hint("use TLS (sslmode=verify-full) or gssencmode=prefer"),
        "require_auth" => e.hint("remove it; channel_binding=require makes sure of SCRAM over TLS"),
        _ => e.hint(format!("remove {key}, or unset its variable")),
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hide = |key: &str| key.contains("password") || key.contains("secret");
        f.debug_map()
            .entries(self.0.iter().map(|(k, v)| (k, if hide(k) { "***" } else { v.as_str() })))
            .finish()
    }
}
