//! Which tables and columns hold the accounts, and the SQL that reads them.

use jiff::tz::TimeZone;
use serde::Deserialize;
use toban_core::pg::Ident;
use toban_core::{Context, Result};

/// A table's name: `users`, `crm.users`, or its exact parts as a list where a name holds a dot.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
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

/// `[audit.mapping.NAME]`: what is not there is not judged.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Mapping {
    pub(crate) users: Name,
    #[serde(default = "id")]
    pub(crate) id: String,
    pub(crate) email: String,
    /// A boolean, 0/1, or a status.
    pub(crate) active: Option<String>,
    /// The values of `active` that mean yes.
    #[serde(default = "yes")]
    pub(crate) active_values: Vec<String>,
    pub(crate) last_login: Option<String>,
    /// Other use than a login: of an API key, say.
    pub(crate) last_used: Option<String>,
    /// A table of other uses, as of API keys: whose, and when.
    pub(crate) uses: Option<Name>,
    #[serde(default = "user_id")]
    pub(crate) uses_user: String,
    #[serde(default = "last_used_at")]
    pub(crate) uses_at: String,
    pub(crate) password_changed: Option<String>,
    pub(crate) created: Option<String>,
    /// The password's hash: only asked whether there is one.
    pub(crate) password: Option<String>,
    pub(crate) deleted: Option<String>,
    pub(crate) locked_until: Option<String>,
    /// A second factor: a boolean, or a secret that is there.
    pub(crate) mfa: Option<String>,
    /// A boolean that makes an administrator.
    pub(crate) admin_flag: Option<String>,
    /// A column of `users` that holds one role's name.
    pub(crate) role: Option<String>,
    pub(crate) roles: Option<Name>,
    #[serde(default = "id")]
    pub(crate) role_id: String,
    #[serde(default = "name")]
    pub(crate) role_name: String,
    /// The role that this one includes the rights of.
    pub(crate) role_parent: Option<String>,
    pub(crate) user_roles: Option<Name>,
    #[serde(default = "user_id")]
    pub(crate) user_roles_user: String,
    #[serde(default = "role_id")]
    pub(crate) user_roles_role: String,
    pub(crate) user_roles_expires: Option<String>,
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
    pub(crate) fn ready(name: &str) -> Option<Mapping> {
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
    pub(crate) fn zone(&self) -> Result<TimeZone> {
        let Some(name) = &self.timezone else { return Ok(TimeZone::UTC) };
        let zone = TimeZone::get(name).doing(|| format!("find the time zone {name}"));
        zone.map_err(|e| e.kind_as(toban_core::Kind::Usage))
    }

    /// Every account with what is judged of it, by id.
    pub(crate) fn users_sql(&self, concat: &str) -> String {
        let live = match &self.user_roles {
            Some(table) => format!(
                "left join (select {user} as user_id, {concat}(cast({role} as text), ',') as roles from {table} \
                 group by {user}) a on a.user_id = u.{id}",
                user = Ident::new(&self.user_roles_user),
                role = Ident::new(&self.user_roles_role),
                id = Ident::new(&self.id),
            ),
            None => String::new(),
        };
        let roles = if live.is_empty() { "null" } else { "a.roles" };
        let (used, uses) = self.uses_sql();
        let columns = [
            text(Some(&self.id)),
            text(Some(&self.email)),
            text(self.active.as_ref()),
            text(self.last_login.as_ref()),
            text(self.last_used.as_ref()),
            text(self.password_changed.as_ref()),
            text(self.created.as_ref()),
            self.has_password(),
            text(self.deleted.as_ref()),
            text(self.locked_until.as_ref()),
            roles.to_string(),
            used.to_string(),
        ];
        format!(
            "select {} from {} u {live} {uses} order by u.{}",
            columns.join(", "),
            self.users,
            Ident::new(&self.id)
        )
    }

    /// The newest use of each account in the table of uses, as a column and a join.
    fn uses_sql(&self) -> (&'static str, String) {
        let Some(table) = &self.uses else { return ("null", String::new()) };
        let (user, at, id) = (Ident::new(&self.uses_user), Ident::new(&self.uses_at), Ident::new(&self.id));
        let join = format!(
            "left join (select {user} as user_id, cast(max({at}) as text) as used_at from {table} group by {user}) k \
             on k.user_id = u.{id}"
        );
        ("k.used_at", join)
    }

    /// Django's unusable passwords begin with `!`.
    fn has_password(&self) -> String {
        self.password.as_ref().map_or("null".into(), |name| {
            let c = format!("u.{}", Ident::new(name));
            format!("case when {c} is null or {c} = '' or {c} like '!%' then '0' else '1' end")
        })
    }

    /// Ids and addresses alone.
    pub(crate) fn emails_sql(&self) -> String {
        let (id, email) = (text(Some(&self.id)), text(Some(&self.email)));
        format!("select {id}, {email} from {} u order by u.{}", self.users, Ident::new(&self.id))
    }

    /// Roles: id, name, parent.
    pub(crate) fn roles_sql(&self) -> Option<String> {
        let parent = text(self.role_parent.as_ref());
        let (id, name) = (text(Some(&self.role_id)), text(Some(&self.role_name)));
        self.roles.as_ref().map(|t| format!("select {id}, {name}, {parent} from {t} u order by 1"))
    }

    /// Holders of these roles: id, address, active, second factor, role's id, end.
    pub(crate) fn holders_sql(&self, roles: &[&str]) -> Option<String> {
        let table = self.user_roles.as_ref()?;
        let (user, role) = (Ident::new(&self.user_roles_user), Ident::new(&self.user_roles_role));
        let ends = self
            .user_roles_expires
            .as_ref()
            .map_or("null".into(), |c| format!("cast(a.{} as text)", Ident::new(c)));
        Some(format!(
            "select {}, cast(a.{role} as text), {ends} from {table} a join {} u on u.{} = a.{user} \
             where cast(a.{role} as text) in ({}) order by a.{user}, a.{role}",
            self.holder(),
            self.users,
            Ident::new(&self.id),
            list(roles),
        ))
    }

    /// Accounts whose flag says administrator: as [`Mapping::holders_sql`] without a role.
    pub(crate) fn flagged_sql(&self) -> Option<String> {
        let flag = text(self.admin_flag.as_ref());
        self.admin_flag.as_ref()?;
        let yes = "'true', 't', '1', 'yes', 'y'";
        Some(format!(
            "select {}, null, null from {} u where lower({flag}) in ({yes}) order by u.{}",
            self.holder(),
            self.users,
            Ident::new(&self.id)
        ))
    }

    /// The names in the column `role`.
    pub(crate) fn role_values_sql(&self) -> Option<String> {
        let role = text(Some(self.role.as_ref()?));
        Some(format!("select distinct {role} from {} u", self.users))
    }

    /// Accounts whose column `role` holds one of these.
    pub(crate) fn role_column_sql(&self, names: &[&str]) -> Option<String> {
        let role = text(Some(self.role.as_ref()?));
        let (users, id) = (&self.users, Ident::new(&self.id));
        Some(format!(
            "select {}, {role}, null from {users} u where {role} in ({}) order by u.{id}",
            self.holder(),
            list(names)
        ))
    }

    fn holder(&self) -> String {
        let mfa = self.mfa.as_ref().map_or("null".into(), |name| {
            let c = text(Some(name));
            format!(
                "case when {c} is null or lower({c}) in ('', 'false', 'f', '0', 'no') then '0' else '1' end"
            )
        });
        let deleted = text(self.deleted.as_ref());
        format!(
            "{}, {}, {}, {mfa}, {deleted}",
            text(Some(&self.id)),
            text(Some(&self.email)),
            text(self.active.as_ref())
        )
    }

    /// Assignments whose user or role is gone: user's id, role's id, which of them is there.
    pub(crate) fn orphans_sql(&self) -> Option<String> {
        let (table, roles) = (self.user_roles.as_ref()?, self.roles.as_ref()?);
        let (user, role) = (Ident::new(&self.user_roles_user), Ident::new(&self.user_roles_role));
        let (id, role_id) = (Ident::new(&self.id), Ident::new(&self.role_id));
        Some(format!(
            "select cast(a.{user} as text), cast(a.{role} as text), \
             case when u.{id} is null then '0' else '1' end, case when r.{role_id} is null then '0' else '1' end \
             from {table} a left join {} u on u.{id} = a.{user} left join {roles} r on r.{role_id} = a.{role} \
             where u.{id} is null or r.{role_id} is null order by 1, 2",
            self.users
        ))
    }

    /// Whether the cell of `active` means yes; None where it is NULL.
    pub(crate) fn is_active(&self, cell: Option<&str>) -> Option<bool> {
        let cell = cell.map(str::trim)?;
        Some(self.active_values.iter().any(|v| v.eq_ignore_ascii_case(cell)))
    }
}

/// A column as text; `null` where the mapping has none.
fn text(column: Option<&String>) -> String {
    column.map_or("null".into(), |c| format!("cast(u.{} as text)", Ident::new(c)))
}

/// Literals between commas; both databases take a backslash as it is (standard_conforming_strings).
fn list(values: &[&str]) -> String {
    let quoted: Vec<String> = values.iter().map(|v| format!("'{}'", v.replace('\'', "''"))).collect();
    if quoted.is_empty() { "null".into() } else { quoted.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ready_mappings_are_right() {
        assert!(Mapping::ready("default").is_some() && Mapping::ready("django").is_some());
        assert!(Mapping::ready("rails").is_none());
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
