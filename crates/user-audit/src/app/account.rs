//! One account out of its row.

use super::holders::Roles;
use super::mapping::Mapping;
use super::moment::Moment;
use super::rules::{Rules, User};
use super::sql::{BETWEEN, Column, END};
use super::truthy;
use super::words::roles_in;
use crate::population::Row;
use crate::source::Cells;
use jiff::Timestamp;
use jiff::tz::TimeZone;

/// What the row says, by the mapping that asked for it.
pub(super) fn read<'a>(
    cells: &Cells<'a>,
    mapping: &Mapping,
    zone: &TimeZone,
    (roles, rules): (&Roles, &Rules),
) -> User<'a> {
    let cell = |c: Column| cells[c as usize];
    let moment = |c: Column| Moment::read(cell(c), zone);
    let by = |c: Column| is_over(cell(c), zone, rules.now);
    let mut user = User {
        id: cell(Column::Id).unwrap_or_default(),
        email: cell(Column::Email),
        login: cell(Column::Login),
        active: mapping.is_active(cell(Column::Active)),
        active_is_null: mapping.active.is_some() && mapping.is_active(cell(Column::Active)).is_none(),
        last_login: moment(Column::LastLogin).later(moment(Column::Logins)),
        last_used: moment(Column::LastUsed).later(moment(Column::Uses)),
        changed: moment(Column::PasswordChanged).later(moment(Column::Passwords)),
        created: moment(Column::Created),
        has_password: cell(Column::HasPassword).map(|c| c == "1"),
        off: truthy(cell(Column::Disabled)) || by(Column::Deleted) || by(Column::LockedSince),
        locked_until: moment(Column::LockedUntil),
        mfa: cell(Column::Mfa).map(|c| c == "1"),
        roles: Vec::new(),
        admin_by: Vec::new(),
    };
    held(&mut user, cell(Column::Role), roles, rules);
    for assigned in cell(Column::Assigned).unwrap_or_default().split(BETWEEN) {
        let (role, end) = assigned.split_once(END).unwrap_or((assigned, ""));
        if Moment::read(Some(end), zone).time().is_none_or(|end| end > rules.now) {
            held(&mut user, Some(role), roles, rules);
        }
    }
    if truthy(cell(Column::AdminFlag)) {
        user.admin_by.push("administrator".into());
    }
    user
}

/// Adds the roles of one cell: a role's id where there is a table of them, else their names.
fn held(user: &mut User<'_>, cell: Option<&str>, roles: &Roles, rules: &Rules) {
    let Some(cell) = cell.map(str::trim).filter(|c| !c.is_empty()) else { return };
    let (all, admin) = match roles.knows(cell) {
        true => {
            let name = roles.name(cell).to_string();
            (vec![name.clone()], if roles.is_admin(cell) { vec![name] } else { Vec::new() })
        }
        false => (roles_in(cell), rules.admins.among(cell)),
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
        Some(text) if !truthy(Some(text)) => false,
        None => false,
        text => match Moment::read(text, zone) {
            Moment::At(at) => at <= now,
            Moment::Impossible | Moment::Never | Moment::Forever => false,
            Moment::Unreadable => true,
        },
    }
}

/// What a review compares of it, and the pack lists.
pub(super) fn row(user: &User<'_>, now: Timestamp) -> Row {
    let mut roles = user.roles.clone();
    roles.extend(user.admin_by.iter().filter(|r| !user.roles.contains(r)).cloned());
    roles.sort();
    let time = |m: Moment| m.time().map(toban_core::stamp::iso_seconds).unwrap_or_default();
    Row {
        subject: format!("user/{}", user.id),
        name: user.name(),
        state: if user.is_disabled(now) { "disabled" } else { "active" }.into(),
        administrator: user.is_admin(),
        roles,
        last_seen: user.seen().map_or(String::new(), |t| time(Moment::At(t))),
        password_set: time(user.changed),
        created: time(user.created),
    }
}
