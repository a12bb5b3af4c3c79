//! Where roles are: a column of the accounts, a table of assignments, groups.

use super::find::{Ask, Proposed, quote_some, table_name};
use super::names::{ROLE, Want, find_first, split_words, squeeze_name};
use crate::source::{Field, SourceTable};
use toban_core::Result;

/// Words of tables that assign something else, or did once.
const ELSE: [&str; 16] = [
    "permission",
    "log",
    "history",
    "audit",
    "token",
    "session",
    "invitation",
    "request",
    "temp",
    "tmp",
    "old",
    "backup",
    "event",
    "policy",
    "reset",
    "notification",
];

/// A table of assignments: who, and which role.
struct Assigned<'a> {
    table: &'a SourceTable,
    user: String,
    role: &'a Field,
    points: i32,
}

/// Which rows of a table of assignments are those of accounts.
enum AssignedRows {
    All,
    /// Where these columns have these values, and why.
    Some(toml::Table, &'static str),
    Unknown(String),
}

pub(super) fn find_roles(
    users: &SourceTable,
    tables: &[SourceTable],
    found: &mut Proposed,
    ask: &mut Ask<'_>,
) -> Result<()> {
    find_role_column(users, tables, found);
    if found.has_key("roles") {
        return Ok(());
    }
    let mut all: Vec<Assigned<'_>> =
        tables.iter().filter_map(|t| read_assignment(t, users, tables, found)).collect();
    all.sort_by_key(|a| (-a.points, a.table.name.clone()));
    let Some(best) = all.first() else { return find_meta_roles(users, tables, found, ask) };
    let roles =
        table_of(best.role, tables).filter(|r| role_key(r, best.role).is_some() && name_column(r).is_some());
    // Numbers without names would make nobody an administrator, and say nothing of it.
    if roles.is_none() && !Want::Text.fits(&best.role.kind) {
        found.report_missing(format!(
            "what the roles of {} are called: no table tells their names; they are not read",
            best.table.name.join(".")
        ));
        return Ok(());
    }
    let rows = find_polymorphic(best, users, ask)?;
    if let AssignedRows::Unknown(what) = rows {
        found.report_missing(what);
        return Ok(());
    }
    found.set_key(
        "user_roles",
        table_name(&best.table.name),
        format!("it has {} and {}", best.user, best.role.name),
    );
    found.set_key("user_roles_user", best.user.clone(), "whose it is");
    found.set_column("user_roles_role", best.role, "which role");
    if let AssignedRows::Some(filter, why) = rows {
        found.set_key("user_roles_where", filter, why);
    }
    let ends = ["expires_at", "valid_until", "until", "ends_at", "expires"];
    if let Some(ends) = find_first(&ends, Want::Time, &best.table.columns) {
        found.set_column("user_roles_expires", ends, "when it ends");
    }
    if let Some(roles) = roles {
        role_table(roles, best.role, tables, found);
    }
    find_groups(users, tables, best, found);
    for other in all.iter().skip(1).take(3) {
        found
            .report_missing(format!("{} assigns something too, and is not read", other.table.name.join(".")));
    }
    Ok(())
}

/// A column of the accounts that names roles, or one role's id.
fn find_role_column(users: &SourceTable, tables: &[SourceTable], found: &mut Proposed) {
    let named: Vec<&Field> =
        ROLE.iter().filter_map(|n| find_first(&[n], Want::Any, &users.columns)).collect();
    let id = find_first(&["role_id", "role_uuid", "user_role_id"], Want::Any, &users.columns);
    let Some(column) = named.first().copied().or(id) else { return };
    // Supabase's is the role that the database is asked as.
    if users.name[0] == "auth" && users.columns.iter().any(|c| c.name == "instance_id") {
        return found
            .report_missing("role is the role in the database, not the application's; where are those?");
    }
    let is_key =
        column.refers.is_some() || squeeze_name(&column.name).ends_with("id") || column.kind == "uuid";
    let number = column.kind.contains("int");
    let named_roles = |r: &&SourceTable| role_key(r, column).is_some() && name_column(r).is_some();
    if let Some(roles) = table_of(column, tables).filter(|_| is_key || number).filter(named_roles) {
        found.set_column("role", column, "the id of a role");
        role_table(roles, column, tables, found);
    } else if number || column.kind == "uuid" {
        found.report_missing(format!(
            "which numbers of {0} are administrators': role = \"{0}\", and admin_roles = [\"…\"] in [audit]",
            column.name
        ));
    } else {
        found.set_column(
            "role",
            column,
            if column.kind.contains("json") || column.kind == "array" {
                "a list of roles"
            } else {
                "it names roles"
            },
        );
    }
    for other in named.iter().skip(1) {
        found.report_missing(format!("{} names roles too, and is not read", other.name));
    }
}

/// The column of `table` that says whose row it is.
pub(super) fn user_column<'a>(
    table: &'a SourceTable,
    users: &SourceTable,
    tables: &[SourceTable],
    found: &Proposed,
) -> Option<&'a str> {
    let id = found.value_of("id").unwrap_or_default();
    let refers = table.columns.iter().find(|c| c.refers.as_ref() == Some(&users.name));
    let own = split_words(&users.name[1]).join("");
    let names = [
        "user_id",
        "userid",
        "user_uuid",
        "uid",
        "account_id",
        "member_id",
        &format!("{own}_id"),
        &format!("{own}s_id"),
        "entity_id",
        "model_id",
    ];
    let wanted: Vec<&str> =
        names.iter().copied().chain((squeeze_name(&id) != "id").then_some(id.as_str())).collect();
    // A key of another table, or one that is called as another table is, says nothing of accounts.
    let others = |c: &&Field| {
        let stem = squeeze_name(&c.name).strip_suffix("id").map(String::from).unwrap_or_default();
        let named = |t: &SourceTable| t.name != users.name && split_words(&t.name[1]).concat() == stem;
        c.refers.is_none() && !tables.iter().any(named)
    };
    let kind = users.columns.iter().find(|c| c.name == id).map_or("", |c| c.kind.as_str());
    let by_name = || wanted.iter().find_map(|n| find_first(&[n], Want::Any, &table.columns).filter(others));
    refers.or_else(by_name).filter(|c| are_comparable(&c.kind, kind)).map(|c| c.name.as_str())
}

/// Whether PostgreSQL compares columns of these types without a cast.
fn are_comparable(one: &str, other: &str) -> bool {
    let class = |kind: &str| match kind {
        "" => 0,
        k if k.contains("uuid") => 1,
        k if k.contains("int") || k.contains("numeric") || k.contains("serial") => 2,
        _ => 3,
    };
    class(one) == class(other) || one.is_empty() || other.is_empty()
}

/// The column of the table of roles that `by` holds the values of.
fn role_key<'a>(roles: &'a SourceTable, by: &Field) -> Option<&'a Field> {
    let key = by.key.as_ref().and_then(|k| roles.columns.iter().find(|c| c.name == *k));
    key.or_else(|| {
        find_first(&["id", &by.name, "role_id", "group_id", "uid", "name"], Want::Any, &roles.columns)
    })
}

fn read_assignment<'a>(
    table: &'a SourceTable,
    users: &SourceTable,
    tables: &[SourceTable],
    found: &Proposed,
) -> Option<Assigned<'a>> {
    if table.name == users.name {
        return None;
    }
    let user = user_column(table, users, tables, found)?.to_string();
    let polymorphic = squeeze_name(&user) == "modelid";
    if polymorphic && !table.columns.iter().any(|c| squeeze_name(&c.name) == "modeltype") {
        return None;
    }
    let refers = |c: &&Field| {
        c.refers.as_ref().is_some_and(|r| {
            *r != users.name
                && split_words(&r[1]).iter().any(|w| ["role", "group", "authority"].contains(&w.as_str()))
        })
    };
    const ROLES: [&str; 8] = [
        "role_id",
        "role_uuid",
        "role",
        "role_name",
        "authority",
        "authority_name",
        "roles_target_id",
        "roles_id",
    ];
    const GROUPS: [&str; 6] =
        ["group_id", "permissions_group_id", "usergroup_id", "gid", "group_name", "ug_group"];
    let by_name = find_first(&ROLES, Want::Any, &table.columns)
        .or_else(|| find_first(&GROUPS, Want::Any, &table.columns));
    let role = table.columns.iter().find(refers).or(by_name).filter(|r| r.name != user)?;
    let name = split_words(&table.name[1]);
    let group = squeeze_name(&role.name).contains("group") || squeeze_name(&role.name) == "gid";
    // Only its last word: an application's prefix stands before all its tables.
    let people = split_words(&users.name[1]).pop();
    let of_user = name
        .iter()
        .any(|w| ["user", "account", "member"].contains(&w.as_str()) || Some(w) == people.as_ref());
    let points = [
        (!group, 4),
        (name.iter().any(|w| w == "role" || w == "authority"), 2),
        (of_user, 1),
        (role.refers.is_some(), 1),
        (table.columns.len() <= 6, 1),
        (
            split_words(&table.name[1])
                .iter()
                .any(|w| ELSE.contains(&w.as_str()) && !(group && w == "permission")),
            -8,
        ),
    ];
    let points = points.iter().filter(|(there, _)| *there).map(|(_, n)| n).sum();
    (points > 0).then_some(Assigned { table, user, role, points })
}

/// The table of roles that a column means.
fn table_of<'a>(column: &Field, tables: &'a [SourceTable]) -> Option<&'a SourceTable> {
    if let Some(refers) = &column.refers {
        return tables.iter().find(|t| t.name == *refers);
    }
    let key = squeeze_name(&column.name);
    let word = if key.contains("group") || key == "gid" { "group" } else { "role" };
    let is_id = key.ends_with("id") || column.kind.contains("uuid") || column.kind.contains("int");
    let fits = |t: &&SourceTable| {
        split_words(&t.name[1]).last().is_some_and(|w| w.ends_with(word)) && name_column(t).is_some()
    };
    let named = tables
        .iter()
        .filter(fits)
        .filter(|t| find_first(&["user_id", "userid"], Want::Any, &t.columns).is_none());
    named.min_by_key(|t| t.name[1].len()).filter(|_| is_id)
}

fn name_column(roles: &SourceTable) -> Option<&Field> {
    let names =
        ["name", "role_name", "title", "authority", "group_name", "code", "slug", "display_name", "label"];
    find_first(&names, Want::Text, &roles.columns)
}

fn role_table(roles: &SourceTable, by: &Field, tables: &[SourceTable], found: &mut Proposed) {
    let (Some(id), Some(name)) = (role_key(roles, by), name_column(roles)) else { return };
    found.set_key("roles", table_name(&roles.name), "the table of roles");
    found.set_column("role_id", id, "their id");
    found.set_column("role_name", name, "their name");
    let flags = ["admin_access", "is_admin", "is_superuser", "admin", "super_admin", "is_super_admin"];
    if let Some(flag) = find_first(&flags, Want::Flag, &roles.columns) {
        found.set_column("role_admin", flag, "it makes administrators");
    }
    if let Some(parent) = find_first(&["parent_id", "parent", "parent_role_id"], Want::Any, &roles.columns) {
        found.report_missing(format!(
            "whether a role includes its {0}: then role_parent = \"{0}\"",
            parent.name
        ));
    }
    if let Some(scope) = find_first(
        &["resource_type", "scope", "guard_name", "org_id", "client_role"],
        Want::Any,
        &roles.columns,
    ) {
        found.report_missing(format!(
            "roles of every {} count as one: what an administrator of a part may do is not told apart",
            scope.name
        ));
    }
    for table in tables {
        let role = find_first(&["composite", "parent_role_id", "parent_role"], Want::Any, &table.columns);
        let child = find_first(&["child_role", "child_role_id"], Want::Any, &table.columns);
        if let (Some(role), Some(child)) = (role, child) {
            let value = toml::Table::from_iter([
                ("table".to_string(), table_name(&table.name)),
                ("role".to_string(), role.name.as_str().into()),
                ("includes".to_string(), child.name.as_str().into()),
            ]);
            found.set_key("role_includes", value, "roles that hold others");
        }
    }
}

/// Assignments of several kinds of things in one table: those to accounts alone count.
fn find_polymorphic(best: &Assigned<'_>, users: &SourceTable, ask: &mut Ask<'_>) -> Result<AssignedRows> {
    let Some(stem) = squeeze_name(&best.user).strip_suffix("id").map(String::from) else {
        return Ok(AssignedRows::All);
    };
    let kind = best.table.columns.iter().find(|c| squeeze_name(&c.name) == format!("{stem}type"));
    let Some(kind) = kind else { return Ok(AssignedRows::All) };
    let values = ask(best.table, &kind.name)?;
    let people = split_words(&users.name[1]);
    let ours = |v: &&String| split_words(v).last().is_some_and(|w| people.contains(w) || w == "user");
    let fitting: Vec<toml::Value> = values.iter().filter(ours).map(|v| v.as_str().into()).collect();
    let filter = |values| toml::Table::from_iter([(kind.name.clone(), toml::Value::Array(values))]);
    Ok(match (fitting.is_empty(), values.is_empty()) {
        (false, _) => AssignedRows::Some(filter(fitting), "the rows of accounts"),
        (true, true) => AssignedRows::Some(
            filter(vec!["App\\Models\\User".into()]),
            "assumed: the table holds no rows of accounts yet",
        ),
        (true, false) => AssignedRows::Unknown(format!(
            "which {} of {} are accounts' ({}): its roles are not read",
            kind.name,
            best.table.name.join("."),
            quote_some(&values)
        )),
    })
}

/// WordPress keeps roles among everything else that it knows of an account.
fn find_meta_roles(
    users: &SourceTable,
    tables: &[SourceTable],
    found: &mut Proposed,
    ask: &mut Ask<'_>,
) -> Result<()> {
    for table in tables {
        let key = find_first(&["meta_key"], Want::Any, &table.columns);
        let value = find_first(&["meta_value"], Want::Any, &table.columns);
        let user = user_column(table, users, tables, found).map(String::from);
        let (Some(key), Some(value), Some(user)) = (key, value, user) else { continue };
        let values = ask(table, &key.name)?;
        let Some(roles) = values.iter().find(|v| v.ends_with("capabilities")) else {
            found.report_missing(format!(
                "where {} keeps roles: no {} ends in capabilities",
                table.name.join("."),
                key.name
            ));
            continue;
        };
        found.set_key("user_roles", table_name(&table.name), "it keeps the roles of accounts");
        found.set_key("user_roles_user", user, "whose it is");
        found.set_column("user_roles_role", value, "which roles");
        let filter = toml::Table::from_iter([(key.name.clone(), toml::Value::from(roles.as_str()))]);
        found.set_key("user_roles_where", filter, "the rows that are roles");
        return Ok(());
    }
    Ok(())
}

/// Roles by membership in groups, where both tables are there.
fn find_groups(users: &SourceTable, tables: &[SourceTable], best: &Assigned<'_>, found: &mut Proposed) {
    const GROUP: [&str; 2] = ["group_id", "gid"];
    let members = tables.iter().find_map(|t| {
        let (user, group) =
            (user_column(t, users, tables, found)?, find_first(&GROUP, Want::Any, &t.columns)?);
        (t.name != best.table.name && t.name != users.name).then(|| (t, user.to_string(), group))
    });
    let carriers = tables.iter().find_map(|t| {
        let group = find_first(&GROUP, Want::Any, &t.columns)?;
        let role = t.columns.iter().find(|c| c.name == best.role.name)?;
        let plain = user_column(t, users, tables, found).is_none();
        (plain && t.name != best.table.name && role.name != group.name).then_some((t, group, role))
    });
    let (Some((members, user, group)), Some((carriers, roles_group, role))) = (members, carriers) else {
        return;
    };
    let value = toml::Table::from_iter([
        ("members".to_string(), table_name(&members.name)),
        ("user".to_string(), user.into()),
        ("group".to_string(), group.name.as_str().into()),
        ("roles".to_string(), table_name(&carriers.name)),
        ("roles_group".to_string(), roles_group.name.as_str().into()),
        ("role".to_string(), role.name.as_str().into()),
    ]);
    found.set_key("groups", value, "roles by groups; groups within groups are not followed");
}
