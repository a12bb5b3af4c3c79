//! Which tables and columns hold the accounts; `sql.rs` makes the queries of it.

use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use toban_core::pg::Ident;
use toban_core::{Context, Error, Result};

/// A table's name: `users`, `crm.users`, or its exact parts as a list where a name holds a dot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Name {
    Dotted(String),
    Exact(Vec<String>),
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let parts: Vec<String> = match self {
            Name::Dotted(name) => name.split('.').map(String::from).collect(),
            Name::Exact(parts) => parts.clone(),
        };
        let quoted: Vec<String> = parts.into_iter().map(|p| Ident::new(p).to_string()).collect();
        f.write_str(&quoted.join("."))
    }
}

/// Which rows of a table count: each column with the value, or the values, that it must have; `""` is NULL or empty.
pub(crate) type Filter = BTreeMap<String, WantedValue>;

/// The values of one column that count.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum WantedValue {
    One(String),
    Any(Vec<String>),
}

impl WantedValue {
    /// The values.
    pub(crate) fn values(&self) -> &[String] {
        match self {
            WantedValue::One(value) => std::slice::from_ref(value),
            WantedValue::Any(values) => values,
        }
    }
}

/// A table beside the accounts: whose row it is, when, and which rows count.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Beside {
    pub(crate) table: Name,
    #[serde(default = "user_id")]
    pub(crate) user: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) at: Option<String>,
    #[serde(default, rename = "where", skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) filter: Filter,
}

/// Roles that hold others: `role` has the rights of `includes`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Composite {
    pub(crate) table: Name,
    pub(crate) role: String,
    pub(crate) includes: String,
}

/// Roles that accounts have by the groups that they are in.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Groups {
    pub(crate) members: Name,
    #[serde(default = "user_id")]
    pub(crate) user: String,
    #[serde(default = "group_id")]
    pub(crate) group: String,
    pub(crate) roles: Name,
    #[serde(default = "group_id")]
    pub(crate) roles_group: String,
    #[serde(default = "role_id")]
    pub(crate) role: String,
}

/// `[audit.mapping.NAME]`: what is not there is not judged.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Mapping {
    pub(crate) users: Name,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) users_where: Filter,
    #[serde(default = "id")]
    pub(crate) id: String,
    pub(crate) email: Option<String>,
    /// The name that people log in with: it names the accounts that have no address.
    pub(crate) login: Option<String>,
    /// A boolean, 0/1, or a status.
    pub(crate) active: Option<String>,
    /// The values of `active` that mean yes.
    #[serde(default = "yes")]
    pub(crate) active_values: Vec<String>,
    /// A boolean that means no login; NULL is no.
    pub(crate) disabled: Option<String>,
    pub(crate) last_login: Option<String>,
    /// A table of logins.
    pub(crate) logins: Option<Beside>,
    /// Other use than a login: of an API key, say.
    pub(crate) last_used: Option<String>,
    /// A table of other uses, as of API keys: whose, and when.
    pub(crate) uses: Option<Name>,
    #[serde(default = "user_id")]
    pub(crate) uses_user: String,
    #[serde(default = "last_used_at")]
    pub(crate) uses_at: String,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) uses_where: Filter,
    pub(crate) password_changed: Option<String>,
    pub(crate) created: Option<String>,
    /// The password's hash: only asked whether there is one.
    pub(crate) password: Option<String>,
    /// A table of passwords: whose, and when each was set.
    pub(crate) passwords: Option<Beside>,
    pub(crate) deleted: Option<String>,
    pub(crate) locked_until: Option<String>,
    /// Locked from this time on, for as long as it is there.
    pub(crate) locked_since: Option<String>,
    /// A second factor: a boolean, or a secret that is there.
    pub(crate) mfa: Option<String>,
    /// A table of second factors.
    pub(crate) second_factors: Option<Beside>,
    /// A boolean that makes an administrator.
    pub(crate) admin_flag: Option<String>,
    /// A column of `users` that names its roles: one, a list, JSON, an array; or one role's id.
    pub(crate) role: Option<String>,
    pub(crate) roles: Option<Name>,
    #[serde(default = "id")]
    pub(crate) role_id: String,
    #[serde(default = "name")]
    pub(crate) role_name: String,
    /// A boolean of the role that makes administrators.
    pub(crate) role_admin: Option<String>,
    /// The role that this one includes the rights of.
    pub(crate) role_parent: Option<String>,
    /// A table of roles that include others.
    pub(crate) role_includes: Option<Composite>,
    pub(crate) user_roles: Option<Name>,
    #[serde(default = "user_id")]
    pub(crate) user_roles_user: String,
    #[serde(default = "role_id")]
    pub(crate) user_roles_role: String,
    pub(crate) user_roles_expires: Option<String>,
    /// Which rows assign roles to accounts, where the table holds others too.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) user_roles_where: Filter,
    pub(crate) groups: Option<Groups>,
    /// Zone of times without an offset; UTC unless it is named.
    pub(crate) timezone: Option<String>,
}

fn id() -> String {
    "id".into()
}
fn name() -> String {
    "name".into()
}
fn user_id() -> String {
    "user_id".into()
}
fn role_id() -> String {
    "role_id".into()
}
fn group_id() -> String {
    "group_id".into()
}
fn last_used_at() -> String {
    "last_used_at".into()
}
fn yes() -> Vec<String> {
    ["true", "t", "1", "yes", "y", "active", "enabled"].map(String::from).to_vec()
}

const DEFAULT: &str = r#"
users = "users"
email = "email"
active = "is_active"
last_login = "last_login_at"
password_changed = "password_changed_at"
created = "created_at"
password = "password_hash"
roles = "roles"
user_roles = "user_roles"
"#;

/// Django keeps no time of password changes.
const DJANGO: &str = r#"
users = "auth_user"
email = "email"
login = "username"
active = "is_active"
last_login = "last_login"
created = "date_joined"
password = "password"
admin_flag = "is_superuser"
roles = "auth_group"
user_roles = "auth_user_groups"
user_roles_role = "group_id"
"#;

impl Mapping {
    /// The mapping of this name that comes with the tool.
    pub(crate) fn built_in(name: &str) -> Option<Mapping> {
        let text = match name {
            "default" => DEFAULT,
            "django" => DJANGO,
            _ => return None,
        };
        Some(toml::from_str(text).expect("the ready mappings are right, as a test says"))
    }

    /// The zone of times without an offset.
    ///
    /// # Errors
    /// Usage for an unknown one.
    pub(crate) fn time_zone(&self) -> Result<TimeZone> {
        let Some(name) = &self.timezone else { return Ok(TimeZone::UTC) };
        let zone = TimeZone::get(name).doing(|| format!("find the time zone {name}"));
        zone.map_err(|e| e.kind_as(toban_core::Kind::Usage))
    }

    /// Whether it can be used: accounts have a name, logins a time.
    ///
    /// # Errors
    /// Usage, with the key that is missing.
    pub(crate) fn check_columns(&self, name: &str) -> Result<()> {
        let missing = |what: &str| Err(Error::usage(format!("[audit.mapping.{name}]: {what}")));
        if self.email.is_none() && self.login.is_none() {
            return missing("it names neither email nor login: accounts would have no name");
        }
        if self.logins.as_ref().is_some_and(|l| l.at.is_none()) {
            return missing("logins has no at, the column of the time");
        }
        self.time_zone().map(drop)
    }

    /// Whether anything tells when an account was last used for logging in.
    pub(crate) fn knows_logins(&self) -> bool {
        self.last_login.is_some() || self.logins.is_some()
    }

    /// Whether anything tells when a password was set.
    pub(crate) fn knows_passwords(&self) -> bool {
        self.password_changed.is_some() || self.passwords.as_ref().is_some_and(|p| p.at.is_some())
    }

    /// Whether anything tells which roles accounts have.
    pub(crate) fn knows_roles(&self) -> bool {
        self.admin_flag.is_some() || self.role.is_some() || self.has_assignments()
    }

    /// Whether anything tells which accounts are disabled.
    pub(crate) fn knows_states(&self) -> bool {
        let states = [&self.active, &self.disabled, &self.deleted, &self.locked_until, &self.locked_since];
        states.iter().any(|s| s.is_some())
    }

    /// Whether there is a table of assignments, of whichever kind.
    pub(crate) fn has_assignments(&self) -> bool {
        self.user_roles.is_some() || self.groups.is_some()
    }

    /// Whether the cell of `active` means yes; None where it is NULL.
    pub(crate) fn is_active(&self, cell: Option<&str>) -> Option<bool> {
        let fits = |text: &str| self.active_values.iter().any(|v| v.eq_ignore_ascii_case(text));
        match cell.map(str::trim) {
            Some(text) => Some(fits(text)),
            None => fits("").then_some(true),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ready_mappings_are_right() {
        assert!(Mapping::built_in("default").is_some() && Mapping::built_in("django").is_some());
        assert!(Mapping::built_in("rails").is_none());
    }

    #[test]
    fn names_are_quoted_part_by_part() {
        let name = |text: &str| {
            toml::from_str::<Mapping>(&format!("email = 'e'\nusers = {text}")).expect("parses").users
        };
        assert_eq!(name("'crm.users'").to_string(), r#""crm"."users""#);
        assert_eq!(name(r#"['my.schema', 'us"ers']"#).to_string(), r#""my.schema"."us""ers""#);
    }
}
