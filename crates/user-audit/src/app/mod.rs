//! `app`: the application's accounts.

mod detect;
mod holders;
mod mapping;
mod moment;
mod names;
mod rules;
mod twins;

pub(crate) use mapping::{Mapping, Name};
pub(crate) use names::{fits, folded};

use crate::audit::{self, Ledger};
use crate::cli;
use crate::finding::Finding;
use crate::settings::{self, Settings};
use crate::source::{Cells, Pg, Place, Rows, Sqlite};
use holders::{Holders, Roles};
use moment::Moment;
use rules::{Mapped, Rules, User};
use toban_core::config::Config;
use toban_core::{Error, Out, Result, Severity};
use twins::Twins;

/// What the audit of one database needs.
struct Case {
    mapping: Mapping,
    rules: Rules,
}

/// Runs the verb.
pub(crate) fn run(args: &cli::App, config: &Config, out: &mut Out<'_>) -> Result<()> {
    let settings = settings::read(config)?;
    let places = audit::places(&args.scope, config, true)?;
    if args.detect {
        return detect::run(&places, &args.scope, out);
    }
    let case = Case { mapping: mapping(&args.mapping, &settings)?, rules: Rules::new(args, &settings) };
    case.mapping.zone()?;
    audit::run("app", &args.scope, config, &settings, out, places, |place, ledger| {
        open(place, &args.scope, |rows| one(rows, &case, ledger))
    })
}

fn mapping(name: &str, settings: &Settings) -> Result<Mapping> {
    let ours = settings.mapping.get(name).cloned();
    ours.or_else(|| Mapping::ready(name)).ok_or_else(|| {
        Error::usage(format!("there is no mapping {name:?}"))
            .hint("default, django, or an [audit.mapping.NAME] section")
    })
}

/// Opens the database, whichever it is, for reading alone.
fn open<T>(place: &Place, scope: &cli::Scope, read: impl FnOnce(&mut dyn Rows) -> Result<T>) -> Result<T> {
    match place {
        Place::Pg(to) => read(&mut Pg::begin(&mut to.connect()?, scope.timeout)?),
        Place::Sqlite(path) => read(&mut Sqlite::open(path)?),
    }
}

fn one(rows: &mut dyn Rows, case: &Case, ledger: &mut Ledger<'_, '_>) -> Result<()> {
    let roles = Roles::read(rows, &case.mapping, &case.rules)?;
    let holders = Holders::read(rows, &case.mapping, &case.rules, &roles)?;
    ledger.compare(rows.identity(), case.rules.now, holders.access())?;
    if case.mapping.roles.is_some() || case.mapping.admin_flag.is_some() || case.mapping.role.is_some() {
        holders.judge(&case.rules).into_iter().try_for_each(|f| ledger.add(f))?;
    } else {
        ledger.add(unmapped("admin-count", "roles"))?;
    }
    orphans(rows, case, &roles, ledger)?;
    let twins = accounts(rows, case, (&roles, &holders), ledger)?;
    twins.find(rows, &case.mapping)?.into_iter().try_for_each(|f| ledger.add(f))
}

/// Every account once; gives the hashes of the addresses.
fn accounts(
    rows: &mut dyn Rows,
    case: &Case,
    (roles, holders): (&Roles, &Holders),
    ledger: &mut Ledger<'_, '_>,
) -> Result<Twins> {
    let mapping = &case.mapping;
    let mapped = Mapped {
        last_login: mapping.last_login.is_some(),
        password_changed: mapping.password_changed.is_some(),
    };
    let zone = mapping.zone()?;
    let (mut twins, mut all, mut bare) = (Twins::default(), 0_u64, 0_u64);
    let only = holders.active() == 1;
    rows.rows(&mapping.users_sql(rows.concat()), &mut |cells| {
        all += 1;
        let mut user = account(cells, mapping, &zone, roles);
        let holder = holders.0.get(user.id);
        user.is_admin = holder.is_some();
        user.last_admin = only && holder.is_some_and(|h| h.active);
        bare += u64::from(user.has_password == Some(false));
        if let Some(email) = user.email {
            twins.add(email);
        }
        for mut finding in rules::judge(&user, mapped, &case.rules) {
            finding.object = user.email.map_or_else(|| format!("user {}", user.id), String::from);
            ledger.add(finding.of_person())?;
        }
        Ok(())
    })?;
    summary(mapped, (all, bare)).into_iter().try_for_each(|f| ledger.add(f))?;
    Ok(twins)
}

fn account<'a>(
    cells: &Cells<'a>,
    mapping: &Mapping,
    zone: &jiff::tz::TimeZone,
    roles: &'a Roles,
) -> User<'a> {
    let moment = |i: usize| Moment::read(cells[i], zone);
    User {
        id: cells[0].unwrap_or_default(),
        email: cells[1],
        active: mapping.is_active(cells[2]),
        active_is_null: mapping.active.is_some() && cells[2].is_none(),
        last_login: moment(3),
        last_used: moment(4).later(moment(11)),
        changed: moment(5),
        created: moment(6),
        has_password: cells[7].map(|c| c == "1"),
        deleted: cells[8].is_some(),
        locked_until: moment(9),
        roles: cells[10].map(|ids| ids.split(',').map(|id| roles.name(id)).collect()).unwrap_or_default(),
        is_admin: false,
        last_admin: false,
    }
}

/// What was judged, also where all is well; and what was not, and why.
fn summary(mapped: Mapped, (all, bare): (u64, u64)) -> Vec<Finding> {
    let f = |rule, severity, said: String| Finding::new(rule, "accounts", "accounts", severity).says(said);
    let mut said = match all {
        0 => vec![f(
            "accounts",
            Severity::Unknown,
            "the table of accounts is empty: nothing was judged".into(),
        )],
        n => vec![f("accounts", Severity::Ok, format!("{n} accounts were judged"))],
    };
    if !mapped.last_login {
        said.push(unmapped("unused", "last_login"));
    }
    if !mapped.password_changed {
        said.push(unmapped("password-old", "password_changed"));
    }
    if bare > 0 && mapped.password_changed {
        let text =
            format!("{bare} accounts have no password (single sign-on, or none yet): its age was not judged");
        said.push(f("password-none", Severity::Ok, text));
    }
    said
}

/// A column that the mapping leaves out on purpose: said, and no trouble. Which it is stands in the pack.
fn unmapped(rule: &'static str, column: &str) -> Finding {
    Finding::new(rule, "unmapped", "accounts", Severity::Ok)
        .says(format!("not judged: the mapping names no {column}"))
}

fn orphans(rows: &mut dyn Rows, case: &Case, roles: &Roles, ledger: &mut Ledger<'_, '_>) -> Result<()> {
    let Some(sql) = case.mapping.orphans_sql() else { return Ok(()) };
    rows.rows(&sql, &mut |cells| ledger.add(orphan(cells, roles)))
}

fn orphan(cells: &Cells<'_>, roles: &Roles) -> Finding {
    let (user, role) = (cells[0].unwrap_or("NULL"), cells[1].unwrap_or("NULL"));
    let gone = match (cells[2], cells[3]) {
        (Some("0"), Some("0")) => "neither the user nor the role is there",
        (Some("0"), _) => "the user is not there any more; a new one may inherit the role",
        _ => "the role is not there any more",
    };
    let severity = if roles.is_admin(role) { Severity::Critical } else { Severity::Warning };
    let object = format!("user {user} in role {}", roles.name(role));
    Finding::new("orphaned-assignment", &format!("user/{user}/role/{role}"), &object, severity)
        .says(gone)
        .advise("delete the assignment")
}
