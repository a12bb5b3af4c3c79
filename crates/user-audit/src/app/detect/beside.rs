//! What columns and tables beside the accounts tell of logins, passwords and second factors.

use super::find::{Ask, Proposed, quote_some, table_name};
use super::names::{CURRENT, LAST, SEEN, Want, find_first, split_words, squeeze_name};
use super::roles;
use crate::source::{Field, SourceTable};
use toban_core::Result;

/// The last login, by a column or a table of logins: never by one that means something else.
pub(super) fn find_logins(
    users: &SourceTable,
    tables: &[SourceTable],
    found: &mut Proposed,
    ask: &mut Ask<'_>,
) -> Result<()> {
    let at = |names: &[&str]| find_first(names, Want::Time, &users.columns);
    let (current, last, seen) = (at(&CURRENT), at(&LAST), at(&SEEN));
    // Drupal's `login` is a time.
    let drupal = users.columns.iter().find(|c| c.name == "login" && c.kind.contains("int"));
    match (current, last.or(drupal), seen) {
        (Some(now), before, _) => {
            found.set_column("last_login", now, "the newest login");
            if let Some(before) = before {
                found.report_missing(format!(
                    "{} is not read: it is the login before {}",
                    before.name, now.name
                ));
            }
        }
        (None, Some(last), _) => found.set_column("last_login", last, "the last login"),
        (None, None, Some(seen)) => {
            found.set_column("last_login", seen, "the last sign of life, which a login is too");
        }
        (None, None, None) => find_login_events(users, tables, found, ask)?,
    }
    Ok(())
}

/// A table with one row for each login.
fn find_login_events(
    users: &SourceTable,
    tables: &[SourceTable],
    found: &mut Proposed,
    ask: &mut Ask<'_>,
) -> Result<()> {
    const NAMES: [&str; 9] =
        ["login", "logon", "signin", "event", "audit", "history", "activity", "log", "sign"];
    const TIMES: [&str; 12] = [
        "event_time",
        "logged_in_at",
        "login_at",
        "login_time",
        "login_date",
        "occurred_at",
        "created_at",
        "created_on",
        "date_creation",
        "timestamp",
        "time",
        "date",
    ];
    for table in tables {
        let named = split_words(&table.name[1]).iter().any(|w| NAMES.contains(&w.as_str()));
        let (Some(user), Some(at)) =
            (roles::user_column(table, users, tables, found), find_first(&TIMES, Want::Time, &table.columns))
        else {
            continue;
        };
        if !named || table.name == users.name {
            continue;
        }
        let kind = find_first(
            &["type", "event_type", "event", "action", "kind", "event_name"],
            Want::Text,
            &table.columns,
        );
        let only_logins = split_words(&table.name[1]).iter().any(|w| NAMES[..3].contains(&w.as_str()));
        let mut filter = toml::Table::new();
        if let Some(kind) = kind {
            let values = ask(table, &kind.name)?;
            let logins: Vec<toml::Value> =
                values.iter().filter(|v| is_login(v)).map(|v| v.as_str().into()).collect();
            if logins.is_empty() {
                found.report_missing(format!(
                    "{} may hold logins: of its {} none is one by its name ({})",
                    table.name.join("."),
                    kind.name,
                    quote_some(&values)
                ));
                continue;
            }
            filter.insert(kind.name.clone(), toml::Value::Array(logins));
        } else if !only_logins {
            continue;
        }
        if let Some(success) =
            find_first(&["success", "successful", "is_success", "succeeded"], Want::Flag, &table.columns)
        {
            filter.insert(success.name.clone(), toml::Value::Array(vec!["true".into(), "1".into()]));
        }
        let value = describe_table(table, user, Some(at), filter);
        found.set_key("logins", value, "each row is a login");
        found.report_missing(format!(
            "how long {} keeps logins: who is not in it is only called unused when it reaches back long enough",
            table.name.join(".")
        ));
        return Ok(());
    }
    Ok(())
}

fn is_login(value: &str) -> bool {
    let known = [
        "login",
        "signin",
        "userlogin",
        "usersignin",
        "loginsuccess",
        "loginsuccessful",
        "loggedin",
        "userloggedin",
        "authlogin",
        "signedin",
        "loginsucceeded",
    ];
    known.contains(&squeeze_name(value).as_str())
}

fn describe_table(table: &SourceTable, user: &str, at: Option<&Field>, filter: toml::Table) -> toml::Table {
    let mut value = toml::Table::new();
    value.insert("table".into(), table_name(&table.name));
    value.insert("user".into(), user.into());
    if let Some(at) = at {
        value.insert("at".into(), at.name.as_str().into());
    }
    if !filter.is_empty() {
        value.insert("where".into(), filter.into());
    }
    value
}

/// Passwords and second factors in a table of their own.
pub(super) fn find_credentials(
    users: &SourceTable,
    tables: &[SourceTable],
    found: &mut Proposed,
    ask: &mut Ask<'_>,
) -> Result<()> {
    for table in tables.iter().filter(|t| split_words(&t.name[1]).iter().any(|w| w == "credential")) {
        let Some(user) = roles::user_column(table, users, tables, found) else { continue };
        let user = user.to_string();
        let Some(kind) = find_first(&["type", "kind", "credential_type"], Want::Text, &table.columns) else {
            continue;
        };
        let at =
            find_first(&["created_date", "created_at", "updated_at", "created"], Want::Time, &table.columns);
        let values = ask(table, &kind.name)?;
        let among = |wanted: &[&str]| {
            let fitting = values.iter().filter(|v| wanted.contains(&v.to_lowercase().as_str()));
            let values: Vec<toml::Value> = fitting.map(|v| v.as_str().into()).collect();
            toml::Table::from_iter([(kind.name.clone(), toml::Value::Array(values))])
        };
        if !found.has_key("password") {
            let mut filter = among(&["password"]);
            if filter.values().all(|v| v.as_array().is_some_and(Vec::is_empty)) {
                filter.insert(kind.name.clone(), "password".into());
            }
            found.set_key("passwords", describe_table(table, &user, at, filter), "each row is a password");
        }
        let factors = among(&["otp", "totp", "hotp", "webauthn", "webauthn-passwordless"]);
        if !found.has_key("mfa") && factors.values().all(|v| v.as_array().is_some_and(|a| !a.is_empty())) {
            found.set_key(
                "second_factors",
                describe_table(table, &user, None, factors),
                "each row is a second factor",
            );
        }
    }
    Ok(())
}
