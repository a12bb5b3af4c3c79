//! One account out of its row.

use super::cell_time::CellTime;
use super::holders::AppRoles;
use super::rules::{AccountRules, User};
use super::sql::{BETWEEN, Column, END};
use super::words::roles_in;
use super::{Case, is_truthy};
use crate::population::Row;
use crate::source::Cells;
use jiff::Timestamp;
use jiff::tz::TimeZone;

/// What the row says, by the mapping that asked for it.
pub(super) fn read_account<'a>(
    cells: &Cells<'a>,
    case: &Case,
    zone: &TimeZone,
    roles: &AppRoles,
) -> User<'a> {
    let Case { mapping, rules, .. } = case;
    let cell = |c: Column| cells[c as usize];
    let moment = |c: Column| CellTime::parse_cell(cell(c), zone);
    let by = |c: Column| is_over(cell(c), zone, rules.now);
    let mut user = User {
        id: cell(Column::Id).unwrap_or_default(),
        email: cell(Column::Email),
        login: cell(Column::Login),
        active: mapping.is_active(cell(Column::Active)),
        active_is_null: mapping.active.is_some() && mapping.is_active(cell(Column::Active)).is_none(),
        last_login: moment(Column::LastLogin).latest_of(moment(Column::Logins)),
        last_used: moment(Column::LastUsed).latest_of(moment(Column::Uses)),
        changed: moment(Column::PasswordChanged).latest_of(moment(Column::Passwords)),
        created: moment(Column::Created),
        has_password: cell(Column::HasPassword).map(|c| c == "1"),
        off: is_truthy(cell(Column::Disabled)) || by(Column::Deleted) || by(Column::LockedSince),
        locked_until: moment(Column::LockedUntil),
        mfa: cell(Column::Mfa).map(|c| c == "1"),
        roles: Vec::new(),
        admin_by: Vec::new(),
    };
    add_held_roles(&mut user, cell(Column::Role), roles, rules);
    for assigned in cell(Column::Assigned).unwrap_or_default().split(BETWEEN) {
        let (role, end) = assigned.split_once(END).unwrap_or((assigned, ""));
        if CellTime::parse_cell(Some(end), zone).time().is_none_or(|end| end > rules.now) {
            add_held_roles(&mut user, Some(role), roles, rules);
        }
    }
    if is_truthy(cell(Column::AdminFlag)) {
        user.admin_by.push("administrator".into());
    }
    user
}

/// Adds the roles of one cell: a role's id where there is a table of them, else their names.
fn add_held_roles(user: &mut User<'_>, cell: Option<&str>, roles: &AppRoles, rules: &AccountRules) {
    let Some(cell) = cell.map(str::trim).filter(|c| !c.is_empty()) else { return };
    let (all, admin) = match roles.has_role(cell) {
        true => {
            let name = roles.name(cell).to_string();
            (vec![name.clone()], if roles.is_admin(cell) { vec![name] } else { Vec::new() })
        }
        false => (roles_in(cell), rules.admins.names_among(cell)),
    };
    for (list, names) in [(&mut user.roles, all), (&mut user.admin_by, admin)] {
        for name in names {
            if !list.contains(&name) {
                list.push(name);
            }
        }
    }
}

/// Whether a mark says yes, or a time has come: `deleted` may be a boolean, a time, or 0 for no.
fn is_over(cell: Option<&str>, zone: &TimeZone, now: Timestamp) -> bool {
    let yes = ["1", "true", "t", "yes", "y"];
    match cell.map(str::trim) {
        Some(text) if yes.contains(&text.to_ascii_lowercase().as_str()) => true,
        Some(text) if !is_truthy(Some(text)) => false,
        None => false,
        text => match CellTime::parse_cell(text, zone) {
            CellTime::At(at) => at <= now,
            CellTime::Impossible | CellTime::Never | CellTime::Forever => false,
            CellTime::Unreadable => true,
        },
    }
}

/// What a review compares of it, and the pack lists.
pub(super) fn population_row(user: &User<'_>, now: Timestamp) -> Row {
    let mut roles = user.roles.clone();
    roles.extend(user.admin_by.iter().filter(|r| !user.roles.contains(r)).cloned());
    roles.sort();
    let time = |m: CellTime| m.time().map(toban_core::stamp::iso_seconds).unwrap_or_default();
    Row {
        subject: format!("user/{}", user.id),
        name: user.name(),
        state: if user.is_disabled(now) { "disabled" } else { "active" }.into(),
        administrator: user.is_admin(),
        roles,
        last_seen: user.last_seen().map_or(String::new(), |t| time(CellTime::At(t))),
        password_set: time(user.changed),
        created: time(user.created),
    }
}
