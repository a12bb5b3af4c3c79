//! The table of accounts and its columns. Pure but for the values of a few columns, which it asks for.

use super::names::{ACTIVE, COLUMNS, CURRENT, LAST, SEEN, Want, find_first, split_words, squeeze_name};
use super::{beside, roles};
use crate::source::{Field, SourceTable};
use toban_core::Result;

/// Asks for some values of a column.
pub(super) type Ask<'a> = dyn FnMut(&SourceTable, &str) -> Result<Vec<String>> + 'a;

/// A mapping: key, value as TOML, why; and what is not known.
#[derive(Debug, Default)]
pub(super) struct Proposed {
    pub(super) lines: Vec<(&'static str, String, String)>,
    pub(super) unknown: Vec<String>,
}

impl Proposed {
    pub(super) fn set_key(
        &mut self,
        key: &'static str,
        value: impl Into<toml::Value>,
        why: impl Into<String>,
    ) {
        self.lines.push((key, value.into().to_string(), why.into()));
    }

    pub(super) fn set_column(&mut self, key: &'static str, column: &Field, why: &str) {
        self.set_key(key, column.name.clone(), why);
    }

    pub(super) fn report_missing(&mut self, what: impl Into<String>) {
        self.unknown.push(what.into());
    }

    pub(super) fn has_key(&self, key: &str) -> bool {
        self.lines.iter().any(|(k, ..)| *k == key)
    }

    /// The value of a key that is a text.
    pub(super) fn value_of(&self, key: &str) -> Option<String> {
        let (_, value, _) = self.lines.iter().find(|(k, ..)| *k == key)?;
        value.parse::<toml::Value>().ok()?.as_str().map(String::from)
    }

    /// As the section of a configuration has it.
    pub(super) fn to_toml(&self) -> String {
        self.lines.iter().map(|(key, value, _)| format!("{key} = {value}\n")).collect()
    }
}

/// A table's name as a value of TOML.
pub(super) fn table_name([schema, table]: &[String; 2]) -> toml::Value {
    match schema.contains('.') || table.contains('.') {
        true => toml::Value::Array(vec![schema.clone().into(), table.clone().into()]),
        false => format!("{schema}.{table}").into(),
    }
}

/// Words of tables that hold something of accounts, but not the accounts.
const ELSE: [&str; 42] = [
    "role",
    "group",
    "permission",
    "session",
    "token",
    "log",
    "event",
    "history",
    "audit",
    "invitation",
    "invite",
    "preference",
    "setting",
    "meta",
    "usermeta",
    "link",
    "lnk",
    "map",
    "mapping",
    "membership",
    "attribute",
    "key",
    "identity",
    "device",
    "archive",
    "backup",
    "old",
    "tmp",
    "temp",
    "registration",
    "register",
    "credential",
    "action",
    "consent",
    "federated",
    "claim",
    "login",
    "reset",
    "notification",
    "request",
    "stat",
    "profile",
];
const PEOPLE: [&str; 10] = [
    "user",
    "account",
    "member",
    "person",
    "people",
    "employee",
    "principal",
    "operator",
    "staff",
    "userinfo",
];

/// The mapping for the table that fits best; None where none does.
pub(super) fn propose_mapping(tables: &[SourceTable], ask: &mut Ask<'_>) -> Result<Option<Proposed>> {
    let mut scored: Vec<(i32, &SourceTable)> =
        tables.iter().map(|t| (score_table(t), t)).filter(|(s, _)| *s >= 6).collect();
    scored.sort_by_key(|(s, t)| (-s, t.name.clone()));
    let Some((_, users)) = scored.first() else { return Ok(None) };
    let mut found = Proposed::default();
    found.set_key(
        "users",
        table_name(&users.name),
        "its name, an address or a login, a password, a time of login",
    );
    for (_, other) in scored.iter().skip(1).take(3) {
        found.report_missing(format!(
            "{} looks like accounts too: it wants a mapping of its own",
            other.name.join(".")
        ));
    }
    find_columns(users, &mut found);
    find_status(users, &mut found, ask)?;
    beside::find_logins(users, tables, &mut found, ask)?;
    beside::find_credentials(users, tables, &mut found, ask)?;
    roles::find_roles(users, tables, &mut found, ask)?;
    find_value_kinds(users, &mut found, ask)?;
    report_unmapped(&mut found);
    Ok(Some(found))
}

fn score_table(table: &SourceTable) -> i32 {
    let has = |key: &str| find_column(table, key).is_some();
    let name = split_words(&table.name[1]);
    let people = name.iter().any(|w| PEOPLE.contains(&w.as_str()));
    let ends = name.last().is_some_and(|w| PEOPLE.contains(&w.as_str()));
    let other = name.iter().any(|w| ELSE.contains(&w.as_str()) || w.ends_with("token"));
    // Where it is the table's own key, it is the account's.
    let own = |c: &&Field| c.refers.is_none() && find_first(&["id"], Want::Any, &table.columns).is_none();
    let mut whose =
        table.columns.iter().filter(|c| ["userid", "user"].contains(&squeeze_name(&c.name).as_str()));
    let theirs = whose.any(|c| !own(&c));
    let identity = has("email") || has("login");
    let seen = find_first(&[&CURRENT[..], &LAST, &SEEN].concat(), Want::Time, &table.columns).is_some();
    let points = [
        (people, 3),
        (ends, 1),
        (other, -6),
        (theirs && !has("password"), -5),
        (has("email"), 3),
        (has("login"), 1),
        (has("password"), 3),
        (seen, 3),
        (has("active"), 1),
        (has("created"), 1),
        (has("admin_flag"), 1),
    ];
    let sum: i32 = points.iter().filter(|(there, _)| *there).map(|(_, n)| n).sum();
    if identity && (people || has("password")) { sum } else { 0 }
}

fn find_column<'a>(table: &'a SourceTable, key: &str) -> Option<&'a Field> {
    let (_, want, names) = COLUMNS.iter().find(|(k, ..)| *k == key)?;
    let names: Vec<&str> = names.iter().copied().filter(|n| *n != "name" || is_named(table)).collect();
    let found = find_first(&names, *want, &table.columns);
    // Nextcloud's people log in with `uid`.
    let uid = || {
        find_column(table, "email")
            .is_none()
            .then(|| find_first(&["uid"], Want::Text, &table.columns))
            .flatten()
    };
    if key == "login" { found.or_else(uid) } else { found }
}

/// Everything has a name. It is what people log in with where `lower_name`, `real_name` or `pass` stands beside it, or a
/// password and nothing else that one could log in with.
fn is_named(table: &SourceTable) -> bool {
    let beside = |n: &str| table.columns.iter().any(|c| squeeze_name(&c.name) == squeeze_name(n));
    let known = |key: &str| {
        let names = COLUMNS.iter().find(|(k, ..)| *k == key).map_or(&[][..], |(_, _, names)| names);
        names.iter().any(|n| *n != "name" && beside(n))
    };
    let alone = || known("password") && !known("email") && !known("login") && !beside("uid");
    ["lowername", "realname", "pass"].into_iter().any(beside) || alone()
}

fn find_columns(users: &SourceTable, found: &mut Proposed) {
    let login = find_column(users, "login");
    let own = format!("{}_id", split_words(&users.name[1]).join("_"));
    let id = find_first(&["id", "user_id", &own, "uid", "uuid", "guid"], Want::Any, &users.columns).or(login);
    if let Some(id) = id {
        found.set_column("id", id, "the usual name");
    }
    for (key, ..) in COLUMNS {
        if let Some(column) = find_column(users, key) {
            found.set_column(key, column, "the usual name");
        }
    }
    for (key, want, names) in COLUMNS.iter().filter(|(key, ..)| ["disabled", "admin_flag"].contains(key)) {
        let all: Vec<&Field> = names.iter().filter_map(|n| find_first(&[n], *want, &users.columns)).collect();
        for other in all.iter().skip(1) {
            found.report_missing(format!("{} may say the same as {key}, and is not read", other.name));
        }
    }
    for flag in ["is_staff", "account_non_locked", "is_verified", "moderator"] {
        if let Some(column) = find_first(&[flag], Want::Any, &users.columns) {
            found.report_missing(format!(
                "{} is not judged: what it allows only the application tells",
                column.name
            ));
        }
    }
}

/// A column of words or numbers that tells whether an account is active.
fn find_status(users: &SourceTable, found: &mut Proposed, ask: &mut Ask<'_>) -> Result<()> {
    if found.has_key("active") {
        return Ok(());
    }
    let Some(column) =
        find_first(&["status", "state", "account_status", "user_state"], Want::Any, &users.columns)
    else {
        return Ok(());
    };
    let values = ask(users, &column.name)?;
    let yes: Vec<toml::Value> = values
        .iter()
        .filter(|v| ACTIVE.contains(&v.to_lowercase().as_str()))
        .map(|v| toml::Value::from(v.as_str()))
        .collect();
    match yes.is_empty() {
        false => {
            found.set_column("active", column, "a status");
            found.set_key("active_values", yes, format!("of the values {}", quote_some(&values)));
        }
        true => found.report_missing(format!(
            "which values of {} ({}) mean an active account: active = \"{}\", active_values = [...]; until then all are judged",
            column.name,
            quote_some(&values),
            column.name
        )),
    }
    Ok(())
}

/// Some of them, for people.
pub(super) fn quote_some(values: &[String]) -> String {
    let more = if values.len() > 8 { ", …" } else { "" };
    format!("{}{more}", values.iter().take(8).cloned().collect::<Vec<_>>().join(", "))
}

/// Rows that are no person's, and accounts of several realms.
fn find_value_kinds(users: &SourceTable, found: &mut Proposed, ask: &mut Ask<'_>) -> Result<()> {
    if let Some(kind) = find_first(&["type", "user_type", "kind", "account_type"], Want::Any, &users.columns)
    {
        // Gitea keeps organisations among its users.
        let gitea = users.columns.iter().any(|c| c.name == "lower_name");
        let values = ask(users, &kind.name)?;
        match gitea {
            true => {
                let filter = toml::Table::from_iter([(kind.name.clone(), toml::Value::from("0"))]);
                found.set_key("users_where", filter, "other types are organisations and programs");
            }
            false if values.len() > 1 => found.report_missing(format!(
                "whether every {} ({}) is a person: users_where = {{ {} = \"…\" }} takes some alone",
                kind.name,
                quote_some(&values),
                kind.name
            )),
            false => {}
        }
    }
    for scope in ["realm_id", "tenant_id", "organization_id", "org_id", "company_id"] {
        if let Some(column) = find_first(&[scope], Want::Any, &users.columns) {
            found.report_missing(format!(
                "accounts of every {0} are judged together: users_where = {{ {0} = \"…\" }} takes one",
                column.name
            ));
        }
    }
    Ok(())
}

/// What is not judged, and the key that would have it judged.
fn report_unmapped(found: &mut Proposed) {
    for (keys, what) in [
        (&["email"][..], "addresses: nobody can be asked, and doubles are not found"),
        (&["last_login", "logins"], "when an account was last used: last_login, logins"),
        (&["password_changed", "passwords"], "when a password was set: password_changed, passwords"),
        (&["created"], "since when an account exists: created"),
        (
            &["active", "disabled", "deleted", "locked_until", "locked_since"],
            "which accounts are disabled: active, disabled, deleted",
        ),
        (
            &["role", "user_roles", "admin_flag", "groups"],
            "who is an administrator: role, user_roles, admin_flag",
        ),
    ] {
        if !keys.iter().any(|k| found.has_key(k)) {
            found.report_missing(format!("{what}; no column or table was found"));
        }
    }
}
