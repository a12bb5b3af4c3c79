//! Where roles are: a column of the accounts, a table of assignments, groups.

use super::find::{Ask, Proposed, some, table_name};
use super::names::{ROLE, Want, first, tight, words};
use crate::source::{Field, Table};
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
    table: &'a Table,
    user: String,
    role: &'a Field,
    points: i32,
}

/// Which rows of a table of assignments are those of accounts.
enum Rows {
    All,
    /// Where these columns have these values, and why.
    Some(toml::Table, &'static str),
    Unknown(String),
}

pub(super) fn find(users: &Table, tables: &[Table], found: &mut Proposed, ask: &mut Ask<'_>) -> Result<()> {
    column(users, tables, found);
    if found.has("roles") {
        return Ok(());
    }
    let mut all: Vec<Assigned<'_>> =
        tables.iter().filter_map(|t| assigned(t, users, tables, found)).collect();
    all.sort_by_key(|a| (-a.points, a.table.name.clone()));
    let Some(best) = all.first() else { return meta(users, tables, found, ask) };
    let roles =
        table_of(best.role, tables).filter(|r| role_key(r, best.role).is_some() && name_column(r).is_some());
    // Numbers without names would make nobody an administrator, and say nothing of it.
    if roles.is_none() && !Want::Text.fits(&best.role.kind) {
        found.miss(format!(
            "what the roles of {} are called: no table tells their names; they are not read",
            best.table.name.join(".")
        ));
        return Ok(());
    }
    let rows = polymorphic(best, users, ask)?;
    if let Rows::Unknown(what) = rows {
        found.miss(what);
        return Ok(());
    }
    found.set(
        "user_roles",
        table_name(&best.table.name),
        format!("it has {} and {}", best.user, best.role.name),
    );
    found.set("user_roles_user", best.user.clone(), "whose it is");
    found.column("user_roles_role", best.role, "which role");
    if let Rows::Some(filter, why) = rows {
        found.set("user_roles_where", filter, why);
    }
    let ends = ["expires_at", "valid_until", "until", "ends_at", "expires"];
    if let Some(ends) = first(&ends, Want::Time, &best.table.columns) {
        found.column("user_roles_expires", ends, "when it ends");
    }
    if let Some(roles) = roles {
        role_table(roles, best.role, tables, found);
    }
    groups(users, tables, best, found);
    for other in all.iter().skip(1).take(3) {
        found.miss(format!("{} assigns something too, and is not read", other.table.name.join(".")));
    }
    Ok(())
}

/// A column of the accounts that names roles, or one role's id.
fn column(users: &Table, tables: &[Table], found: &mut Proposed) {
    let named: Vec<&Field> = ROLE.iter().filter_map(|n| first(&[n], Want::Any, &users.columns)).collect();
    let id = first(&["role_id", "role_uuid", "user_role_id"], Want::Any, &users.columns);
    let Some(column) = named.first().copied().or(id) else { return };
    // Supabase's is the role that the database is asked as.
    if users.name[0] == "auth" && users.columns.iter().any(|c| c.name == "instance_id") {
        return found.miss("role is the role in the database, not the application's; where are those?");
    }
    let is_key = column.refers.is_some() || tight(&column.name).ends_with("id") || column.kind == "uuid";
    let number = column.kind.contains("int");
    let named_roles = |r: &&Table| role_key(r, column).is_some() && name_column(r).is_some();
    if let Some(roles) = table_of(column, tables).filter(|_| is_key || number).filter(named_roles) {
        found.column("role", column, "the id of a role");
        role_table(roles, column, tables, found);
    } else if number || column.kind == "uuid" {
        found.miss(format!(
            "which numbers of {0} are administrators': role = \"{0}\", and admin_roles = [\"…\"] in [audit]",
            column.name
        ));
    } else {
        found.column(
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
        found.miss(format!("{} names roles too, and is not read", other.name));
    }
}

/// The column of `table` that says whose row it is.
pub(super) fn user_column<'a>(
    table: &'a Table,
    users: &Table,
    tables: &[Table],
    found: &Proposed,
) -> Option<&'a str> {
    let id = found.value("id").unwrap_or_default();
    let refers = table.columns.iter().find(|c| c.refers.as_ref() == Some(&users.name));
    let own = words(&users.name[1]).join("");
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
        names.iter().copied().chain((tight(&id) != "id").then_some(id.as_str())).collect();
    // A key of another table, or one that is called as another table is, says nothing of accounts.
    let others = |c: &&Field| {
        let stem = tight(&c.name).strip_suffix("id").map(String::from).unwrap_or_default();
        let named = |t: &Table| t.name != users.name && words(&t.name[1]).concat() == stem;
        c.refers.is_none() && !tables.iter().any(named)
    };
    let kind = users.columns.iter().find(|c| c.name == id).map_or("", |c| c.kind.as_str());
    let by_name = || wanted.iter().find_map(|n| first(&[n], Want::Any, &table.columns).filter(others));
    refers.or_else(by_name).filter(|c| comparable(&c.kind, kind)).map(|c| c.name.as_str())
}

/// Whether PostgreSQL compares columns of these types without a cast.
fn comparable(one: &str, other: &str) -> bool {
    let class = |kind: &str| match kind {
        "" => 0,
        k if k.contains("uuid") => 1,
        k if k.contains("int") || k.contains("numeric") || k.contains("serial") => 2,
        _ => 3,
    };
    class(one) == class(other) || one.is_empty() || other.is_empty()
}

/// The column of the table of roles that `by` holds the values of.
fn role_key<'a>(roles: &'a Table, by: &Field) -> Option<&'a Field> {
    let key = by.key.as_ref().and_then(|k| roles.columns.iter().find(|c| c.name == *k));
    key.or_else(|| first(&["id", &by.name, "role_id", "group_id", "uid", "name"], Want::Any, &roles.columns))
}

fn assigned<'a>(table: &'a Table, users: &Table, tables: &[Table], found: &Proposed) -> Option<Assigned<'a>> {
    if table.name == users.name {
        return None;
    }
    let user = user_column(table, users, tables, found)?.to_string();
    let polymorphic = tight(&user) == "modelid";
    if polymorphic && !table.columns.iter().any(|c| tight(&c.name) == "modeltype") {
        return None;
    }
    let refers = |c: &&Field| {
        c.refers.as_ref().is_some_and(|r| {
            *r != users.name
                && words(&r[1]).iter().any(|w| ["role", "group", "authority"].contains(&w.as_str()))
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
    let by_name =
        first(&ROLES, Want::Any, &table.columns).or_else(|| first(&GROUPS, Want::Any, &table.columns));
    let role = table.columns.iter().find(refers).or(by_name).filter(|r| r.name != user)?;
    let name = words(&table.name[1]);
    let group = tight(&role.name).contains("group") || tight(&role.name) == "gid";
    // Only its last word: an application's prefix stands before all its tables.
    let people = words(&users.name[1]).pop();
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
            words(&table.name[1]).iter().any(|w| ELSE.contains(&w.as_str()) && !(group && w == "permission")),
            -8,
        ),
    ];
    let points = points.iter().filter(|(there, _)| *there).map(|(_, n)| n).sum();
    (points > 0).then_some(Assigned { table, user, role, points })
}

/// The table of roles that a column means.
fn table_of<'a>(column: &Field, tables: &'a [Table]) -> Option<&'a Table> {
    if let Some(refers) = &column.refers {
        return tables.iter().find(|t| t.name == *refers);
    }
    let key = tight(&column.name);
    let word = if key.contains("group") || key == "gid" { "group" } else { "role" };
    let is_id = key.ends_with("id") || column.kind.contains("uuid") || column.kind.contains("int");
    let fits =
        |t: &&Table| words(&t.name[1]).last().is_some_and(|w| w.ends_with(word)) && name_column(t).is_some();
    let named =
        tables.iter().filter(fits).filter(|t| first(&["user_id", "userid"], Want::Any, &t.columns).is_none());
    named.min_by_key(|t| t.name[1].len()).filter(|_| is_id)
}

fn name_column(roles: &Table) -> Option<&Field> {
    let names =
        ["name", "role_name", "title", "authority", "group_name", "code", "slug", "display_name", "label"];
    first(&names, Want::Text, &roles.columns)
}

fn role_table(roles: &Table, by: &Field, tables: &[Table], found: &mut Proposed) {
    let (Some(id), Some(name)) = (role_key(roles, by), name_column(roles)) else { return };
    found.set("roles", table_name(&roles.name), "the table of roles");
    found.column("role_id", id, "their id");
    found.column("role_name", name, "their name");
    let flags = ["admin_access", "is_admin", "is_superuser", "admin", "super_admin", "is_super_admin"];
    if let Some(flag) = first(&flags, Want::Flag, &roles.columns) {
        found.column("role_admin", flag, "it makes administrators");
    }
    if let Some(parent) = first(&["parent_id", "parent", "parent_role_id"], Want::Any, &roles.columns) {
        found.miss(format!("whether a role includes its {0}: then role_parent = \"{0}\"", parent.name));
    }
    if let Some(scope) =
        first(&["resource_type", "scope", "guard_name", "org_id", "client_role"], Want::Any, &roles.columns)
    {
        found.miss(format!(
            "roles of every {} count as one: what an administrator of a part may do is not told apart",
            scope.name
        ));
    }
    for table in tables {
        let role = first(&["composite", "parent_role_id", "parent_role"], Want::Any, &table.columns);
        let child = first(&["child_role", "child_role_id"], Want::Any, &table.columns);
        if let (Some(role), Some(child)) = (role, child) {
            let value = toml::Table::from_iter([
                ("table".to_string(), table_name(&table.name)),
                ("role".to_string(), role.name.as_str().into()),
                ("includes".to_string(), child.name.as_str().into()),
            ]);
            found.set("role_includes", value, "roles that hold others");
        }
    }
}

/// Assignments of several kinds of things in one table: those to accounts alone count.
fn polymorphic(best: &Assigned<'_>, users: &Table, ask: &mut Ask<'_>) -> Result<Rows> {
    let Some(stem) = tight(&best.user).strip_suffix("id").map(String::from) else { return Ok(Rows::All) };
    let kind = best.table.columns.iter().find(|c| tight(&c.name) == format!("{stem}type"));
    let Some(kind) = kind else { return Ok(Rows::All) };
    let values = ask(best.table, &kind.name)?;
    let people = words(&users.name[1]);
    let ours = |v: &&String| words(v).last().is_some_and(|w| people.contains(w) || w == "user");
    let fitting: Vec<toml::Value> = values.iter().filter(ours).map(|v| v.as_str().into()).collect();
    let filter = |values| toml::Table::from_iter([(kind.name.clone(), toml::Value::Array(values))]);
    Ok(match (fitting.is_empty(), values.is_empty()) {
        (false, _) => Rows::Some(filter(fitting), "the rows of accounts"),
        (true, true) => Rows::Some(
            filter(vec!["App\\Models\\User".into()]),
            "assumed: the table holds no rows of accounts yet",
        ),
        (true, false) => Rows::Unknown(format!(
            "which {} of {} are accounts' ({}): its roles are not read",
            kind.name,
            best.table.name.join("."),
            some(&values)
        )),
    })
}

/// WordPress keeps roles among everything else that it knows of an account.
fn meta(users: &Table, tables: &[Table], found: &mut Proposed, ask: &mut Ask<'_>) -> Result<()> {
    for table in tables {
        let key = first(&["meta_key"], Want::Any, &table.columns);
        let value = first(&["meta_value"], Want::Any, &table.columns);
        let user = user_column(table, users, tables, found).map(String::from);
        let (Some(key), Some(value), Some(user)) = (key, value, user) else { continue };
        let values = ask(table, &key.name)?;
        let Some(roles) = values.iter().find(|v| v.ends_with("capabilities")) else {
            found.miss(format!(
                "where {} keeps roles: no {} ends in capabilities",
                table.name.join("."),
                key.name
            ));
            continue;
        };
        found.set("user_roles", table_name(&table.name), "it keeps the roles of accounts");
        found.set("user_roles_user", user, "whose it is");
        found.column("user_roles_role", value, "which roles");
        let filter = toml::Table::from_iter([(key.name.clone(), toml::Value::from(roles.as_str()))]);
        found.set("user_roles_where", filter, "the rows that are roles");
        return Ok(());
    }
    Ok(())
}

/// Roles by membership in groups, where both tables are there.
fn groups(users: &Table, tables: &[Table], best: &Assigned<'_>, found: &mut Proposed) {
    const GROUP: [&str; 2] = ["group_id", "gid"];
    let members = tables.iter().find_map(|t| {
        let (user, group) = (user_column(t, users, tables, found)?, first(&GROUP, Want::Any, &t.columns)?);
        (t.name != best.table.name && t.name != users.name).then(|| (t, user.to_string(), group))
    });
    let carriers = tables.iter().find_map(|t| {
        let group = first(&GROUP, Want::Any, &t.columns)?;
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
    found.set("groups", value, "roles by groups; groups within groups are not followed");
}
