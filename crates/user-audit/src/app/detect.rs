//! `--detect`: which table holds the accounts, and why.

use super::open;
use crate::cli::Scope;
use crate::source::Place;
use serde::Serialize;
use std::collections::BTreeMap;
use toban_core::{Error, Out, Record, Result};

/// One line of the proposed mapping.
#[derive(Serialize)]
struct Proposal {
    key: &'static str,
    value: String,
    why: String,
}

impl Record for Proposal {
    const SCHEMA: &'static str = "user-audit.detect/1";
    const HEAD: &'static [&'static str] = &["key", "value", "why"];
    fn cells(&self) -> Vec<String> {
        vec![self.key.into(), self.value.clone(), self.why.clone()]
    }
}

/// Keys of a mapping that are columns of the accounts, and the names such columns have, the likeliest first.
const COLUMNS: [(&str, &[&str]); 11] = [
    ("id", &["id", "user_id", "uid", "uuid"]),
    ("email", &["email", "email_address", "mail", "e_mail", "username", "login"]),
    ("active", &["is_active", "active", "enabled", "is_enabled", "status", "state"]),
    (
        "last_login",
        &[
            "last_login_at",
            "last_login",
            "last_signin_at",
            "last_sign_in_at",
            "last_seen",
            "last_seen_at",
            "lastlogin",
        ],
    ),
    ("password_changed", &["password_changed_at", "password_updated_at", "password_set_at", "pwd_changed"]),
    ("created", &["created_at", "date_joined", "created", "registered_at", "createdat"]),
    ("password", &["password_hash", "password", "encrypted_password", "password_digest"]),
    ("deleted", &["deleted_at", "removed_at"]),
    ("locked_until", &["locked_until", "lockout_end"]),
    ("mfa", &["mfa_enabled", "otp_secret", "totp_secret", "two_factor_enabled", "otp_required_for_login"]),
    ("admin_flag", &["is_superuser", "is_admin", "admin", "superuser"]),
];

type Tables = BTreeMap<String, Vec<String>>;

/// Looks at each database's columns and proposes a mapping.
pub(crate) fn run(places: &[Place], scope: &Scope, out: &mut Out<'_>) -> Result<()> {
    for place in places {
        let columns = open(place, scope, |rows| rows.columns())?;
        let mut tables = Tables::new();
        for (table, column) in columns {
            tables.entry(table).or_default().push(column);
        }
        let proposed = propose(&tables);
        if proposed.is_empty() {
            let message = format!("no table of {} looks like accounts", place.name());
            return Err(
                Error::failed(message).hint("write an [audit.mapping.NAME] section: docs/guide/audit.md")
            );
        }
        proposed.iter().try_for_each(|p| out.emit(p))?;
    }
    Ok(())
}

/// Pure: the mapping for the table that fits best.
fn propose(tables: &Tables) -> Vec<Proposal> {
    let scored = tables.iter().map(|(name, columns)| (score(name, columns), name, columns));
    let Some((score, users, columns)) = scored.filter(|(s, ..)| *s >= 4).max_by_key(|(s, ..)| *s) else {
        return Vec::new();
    };
    let why = format!("{score} points: an address, a time of login, a name of accounts");
    let mut proposed = vec![Proposal { key: "users", value: users.clone(), why }];
    for (key, names) in COLUMNS {
        if let Some((n, column)) = first(names, columns) {
            let why = if n == 0 { "the usual name".into() } else { format!("the usual name no. {}", n + 1) };
            proposed.push(Proposal { key, value: column.clone(), why });
        }
    }
    proposed.extend(assignments(tables));
    proposed
}

fn score(table: &str, columns: &[String]) -> u32 {
    let has = |key: &str| {
        COLUMNS.iter().find(|(k, _)| *k == key).is_some_and(|(_, names)| first(names, columns).is_some())
    };
    let bare = table.rsplit('.').next().unwrap_or(table).to_lowercase();
    let named =
        ["users", "user", "auth_user", "accounts", "account", "members", "people"].contains(&bare.as_str());
    u32::from(has("email")) * 2
        + u32::from(has("last_login")) * 2
        + u32::from(has("password")) * 2
        + u32::from(has("active"))
        + u32::from(named) * 3
}

fn first<'a>(names: &[&str], columns: &'a [String]) -> Option<(usize, &'a String)> {
    names
        .iter()
        .enumerate()
        .find_map(|(n, name)| columns.iter().find(|c| c.eq_ignore_ascii_case(name)).map(|c| (n, c)))
}

/// A table with a user's and a role's (or group's) id, and the table of those.
fn assignments(tables: &Tables) -> Vec<Proposal> {
    let pairs =
        [("role_id", ["roles", "role", "auth_role"]), ("group_id", ["groups", "group", "auth_group"])];
    for (column, names) in pairs {
        let fits = |c: &[String]| ["user_id", column].iter().all(|n| c.iter().any(|c| c == n));
        let Some((assigned, _)) = tables.iter().find(|(_, c)| fits(c)) else { continue };
        let bare = |t: &str| t.rsplit('.').next().unwrap_or(t).to_lowercase();
        let named = |t: &&String| names.contains(&bare(t).as_str());
        let Some(roles) = tables.keys().find(named) else { continue };
        let why = format!("it has user_id and {column}");
        return vec![
            Proposal { key: "user_roles", value: assigned.clone(), why },
            Proposal { key: "user_roles_role", value: column.into(), why: "the column's name".into() },
            Proposal { key: "roles", value: roles.clone(), why: "the table's name".into() },
        ];
    }
    Vec::new()
}
