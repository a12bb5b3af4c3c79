//! `app`: the application's accounts.

mod account;
mod admins;
mod cell_time;
mod criteria;
mod detect;
mod holders;
mod names;
mod os_accounts;
mod rules;
mod sql;
mod twins;
mod words;

pub(crate) use names::fold_name;

use crate::audit::{self, Ledger};
use crate::cli;
use crate::finding::AuditFinding;
use crate::mapping::Mapping;
use crate::pack::AuditFacts;
use crate::rulebook::{self, app, review};
use crate::settings::{self, Settings};
use crate::source::{AuditTarget, Cells, Pg, RowSource, Sqlite, read_rows};
use cell_time::CellTime;
use holders::{AppRoles, Holders};
use jiff::SignedDuration;
use os_accounts::OsAccounts;
use rules::{AccountRules, Mapped, User};
use std::collections::BTreeMap;
use toban_core::check::Rule;
use toban_core::config::Config;
use toban_core::{Context, Error, Out, Result, Severity};
use twins::Twins;

/// What the audit of one database needs.
struct Case {
    name: String,
    mapping: Mapping,
    rules: AccountRules,
}

/// Runs the verb.
pub(crate) fn audit_app(args: &cli::App, config: &Config, out: &mut Out<'_>) -> Result<()> {
    let settings = settings::read_settings(config)?;
    let places = audit::list_places(&args.scope, config, true)?;
    if args.detect {
        return detect::detect_mappings(&places, args, out);
    }
    let rules = AccountRules::new(args, &settings);
    let mut cases = Vec::new();
    for place in &places {
        let (name, mapping) = choose_mapping(args.mapping.as_deref(), place, &settings)?;
        mapping.check_columns(&name)?;
        cases.push(Case { name, mapping, rules: rules.clone() });
    }
    let parameters = rules.parameters(settings.review_every(&args.scope));
    let audit =
        audit::Audit { verb: "app", scope: &args.scope, config, settings: &settings, places, parameters };
    let read = |path| OsAccounts::read_file(path, &settings.os_accounts);
    let mut system = args.os_accounts.as_deref().map(read).transpose()?;
    let mut cases = cases.into_iter();
    audit.run(out, &mut |place, ledger| {
        let case = cases.next().expect("one for each place");
        open_database(place, &args.scope, |rows| audit_database(rows, &case, &mut system, ledger))?;
        // After the last one: whom none of the databases knows.
        let unclaimed = system.as_ref().filter(|_| cases.len() == 0).map(OsAccounts::list_unclaimed);
        unclaimed.unwrap_or_default().into_iter().try_for_each(|f| ledger.add(f.of_person()))
    })
}

/// The mapping that was named; else the one that is called as the database, else the default one.
fn choose_mapping(
    named: Option<&str>,
    place: &AuditTarget,
    settings: &Settings,
) -> Result<(String, Mapping)> {
    let own = |name: &str| settings.mapping.get(name).map(|m| (name.to_string(), m.clone()));
    let file = place.name();
    let stem = file.rsplit_once('.').map_or(file.as_str(), |(stem, _)| stem);
    let found = match named {
        Some(name) => own(name).or_else(|| Mapping::built_in(name).map(|m| (name.to_string(), m))),
        None => own(&file)
            .or_else(|| own(stem))
            .or_else(|| own("default"))
            .or_else(|| Mapping::built_in("default").map(|m| ("default".to_string(), m))),
    };
    found.ok_or_else(|| {
        Error::usage(format!("there is no mapping {:?}", named.unwrap_or_default()))
            .hint("default, django, or an [audit.mapping.NAME] section")
    })
}

/// Opens the database, whichever it is, for reading alone.
fn open_database<T>(
    place: &AuditTarget,
    scope: &cli::Scope,
    read: impl FnOnce(&mut dyn RowSource) -> Result<T>,
) -> Result<T> {
    match place {
        AuditTarget::Pg(to) => read(&mut Pg::begin_read(&mut to.connect()?, scope.timeout)?),
        AuditTarget::Sqlite(path) => read(&mut Sqlite::open(path)?),
    }
}

/// Whether a cell of yes or no says yes.
fn is_truthy(cell: Option<&str>) -> bool {
    let no = ["", "0", "false", "f", "no", "n", "off"];
    cell.is_some_and(|c| !no.contains(&c.trim().to_ascii_lowercase().as_str()))
}

fn audit_database(
    rows: &mut dyn RowSource,
    case: &Case,
    system: &mut Option<OsAccounts>,
    ledger: &mut Ledger<'_>,
) -> Result<()> {
    let mapping = serde_json::to_value(&case.mapping).doing(|| "write the mapping as JSON".into())?;
    ledger.set_facts(&AuditFacts { mapping: Some(mapping), ..rows.read_facts()? });
    let roles = AppRoles::read_roles(rows, &case.mapping, &case.rules)?;
    let reach = measure_login_reach(rows, case)?;
    let mut seen = AccountsSeen { system: system.take(), ..AccountsSeen::default() };
    let done = audit_accounts(rows, case, &roles, &mut AccountsWork { seen: &mut seen, ledger });
    *system = seen.system.take();
    done?;
    ledger.compare_with_review(rows.identity(), case.rules.now, seen.holders.access())?;
    if case.mapping.knows_roles() {
        seen.holders.judge_holders(&case.rules).into_iter().try_for_each(|f| ledger.add(f))?;
        ledger.add(seen.admin_roles_finding(&roles))?;
    } else {
        ledger.add(unmapped_finding(&app::ADMIN_COUNT, "roles"))?;
    }
    // Findings of administrators wait until every account was seen: whether one of them is in use decides whether the others
    // may be told to go.
    let kept = !seen.administrators_in_use;
    for finding in std::mem::take(&mut seen.of_admins) {
        ledger.add(with_one_left(finding, kept))?;
    }
    summarize_accounts(case, &seen, reach).into_iter().try_for_each(|f| ledger.add(f))?;
    find_orphans(rows, case, &roles, ledger)?;
    seen.twins.find_twins(rows, &case.mapping)?.into_iter().try_for_each(|f| ledger.add(f))
}

/// How far the table of logins reaches back; None where there is none to ask.
fn measure_login_reach(rows: &mut dyn RowSource, case: &Case) -> Result<Option<SignedDuration>> {
    let Some(sql) = case.mapping.first_login_sql() else { return Ok(None) };
    let zone = case.mapping.time_zone()?;
    let first = read_rows(rows, &sql)?.into_iter().flatten().next().flatten();
    let first = CellTime::parse_cell(first.as_deref(), &zone).time();
    Ok(Some(first.map_or(SignedDuration::ZERO, |at| case.rules.now.duration_since(at))))
}

/// Where no administrator is in use, disabling each of them would lock everybody out.
fn with_one_left(finding: AuditFinding, kept: bool) -> AuditFinding {
    match kept && (finding.base.advice == rulebook::DISABLE || finding.base.rule == &app::DISABLED_WITH_ROLES) {
        true => finding.advise("no administrator is in use: have one of them log in, or name another, before any is disabled or loses a role"),
        false => finding,
    }
}

/// What one pass over the accounts found.
#[derive(Default)]
struct AccountsSeen {
    holders: Holders,
    twins: Twins,
    /// Findings of administrators, which wait until all of them are known.
    of_admins: Vec<AuditFinding>,
    administrators_in_use: bool,
    all: u64,
    disabled: u64,
    with_roles: u64,
    without_password: u64,
    not_judged: u64,
    /// The accounts of a system that are judged beside them.
    system: Option<OsAccounts>,
    /// Names of roles that accounts hold, where no table tells them.
    named: BTreeMap<String, bool>,
}

/// Every account once.
fn audit_accounts(
    rows: &mut dyn RowSource,
    case: &Case,
    roles: &AppRoles,
    work: &mut AccountsWork<'_, '_>,
) -> Result<()> {
    let AccountsWork { seen, ledger } = work;
    let Case { mapping, rules, .. } = case;
    let mapped = Mapped {
        email: mapping.email.is_some(),
        last_login: mapping.knows_logins(),
        password_changed: mapping.knows_passwords(),
    };
    let zone = mapping.time_zone()?;
    // A table that is emptied after 30 days has no row of who logged in 60 days ago, as it has none of who never did.
    // Of a table of logins that is younger than the time allowed nothing follows for who is not in it.
    let short =
        measure_login_reach(rows, case)?.is_some_and(|r| r <= rules.unused) && mapping.last_login.is_none();
    rows.for_each_row(&mapping.users_sql(rows.concat()), &mut |cells| {
        let user = account::read_account(cells, case, &zone, roles);
        seen.count_user(&user, rules, mapped.last_login);
        let unknown = short && user.last_login == CellTime::Never && user.last_used == CellTime::Never;
        seen.not_judged += u64::from(unknown && !user.is_disabled(rules.now));
        let judged = Mapped { last_login: mapped.last_login && !unknown, ..mapped };
        ledger.add_account(&account::population_row(&user, rules.now))?;
        let open = seen.system.as_mut().and_then(|s| s.judge_user(&user, user.is_disabled(rules.now)));
        open.map_or(Ok(()), |finding| ledger.add(finding.of_person()))?;
        for mut finding in rules::judge_account(&user, judged, rules) {
            finding.base.object = user.name();
            match user.is_admin() {
                true => seen.of_admins.push(finding.of_person()),
                false => ledger.add(finding.of_person())?,
            }
        }
        Ok(())
    })
}

/// Where one pass over the accounts puts what it finds.
struct AccountsWork<'a, 'l> {
    seen: &'a mut AccountsSeen,
    ledger: &'a mut Ledger<'l>,
}

impl AccountsSeen {
    fn count_user(&mut self, user: &User<'_>, rules: &AccountRules, knows_logins: bool) {
        let off = user.is_disabled(rules.now);
        self.all += 1;
        self.disabled += u64::from(off);
        self.with_roles += u64::from(!user.roles.is_empty());
        self.without_password += u64::from(user.has_password == Some(false));
        self.holders.add(user);
        // Where nobody knows who logs in, nobody is told to go for that.
        let used =
            !knows_logins || user.last_seen().is_some_and(|at| rules.now.duration_since(at) <= rules.unused);
        self.administrators_in_use |= user.is_admin() && !off && used;
        if let Some(email) = user.email.filter(|e| !e.trim().is_empty()) {
            self.twins.add_address(email);
        }
        for role in user.roles.iter().take(NAMED) {
            if self.named.len() < NAMED && !self.named.contains_key(role) {
                self.named.insert(role.clone(), user.admin_by.contains(role));
            }
        }
    }

    /// Which names of roles made administrators, and which did not: whoever reads it sees what was left out.
    fn admin_roles_finding(&self, roles: &AppRoles) -> AuditFinding {
        let (mut admin, mut other) = roles.split_admins();
        for (name, is_admin) in &self.named {
            let list = if *is_admin { &mut admin } else { &mut other };
            if !list.contains(name) {
                list.push(name.clone());
            }
        }
        let said = |names: &[String]| match names.len() {
            0 => "none".to_string(),
            n if n > NAMED => format!("{}, and {} more", names[..NAMED].join(", "), n - NAMED),
            _ => names.join(", "),
        };
        AuditFinding::new(&app::ADMIN_ROLES, "application", "roles", Severity::Ok).says(format!(
            "roles that make an administrator: {}; roles that do not: {}",
            said(&admin),
            said(&other)
        ))
    }
}

/// Names of roles that one finding tells.
const NAMED: usize = 20;

/// What was judged, also where all is well; and what was not, and why.
fn summarize_accounts(case: &Case, seen: &AccountsSeen, reach: Option<SignedDuration>) -> Vec<AuditFinding> {
    let f =
        |rule, severity, said: String| AuditFinding::new(rule, "accounts", "accounts", severity).says(said);
    let mapping = &case.mapping;
    let mut said = vec![match seen.all {
        0 => {
            f(&app::ACCOUNTS, Severity::Unknown, "the table of accounts is empty: nothing was judged".into())
                .advise("is it the right table and filter? user-audit app --detect")
        }
        n => f(
            &app::ACCOUNTS,
            Severity::Ok,
            format!(
                "{n} accounts were judged by the mapping {}: {} disabled or locked, {} with a role, {} administrators",
                case.name,
                seen.disabled,
                seen.with_roles,
                seen.holders.len()
            ),
        ),
    }];
    if seen.not_judged > 0 {
        let days = reach.unwrap_or_default().as_hours() / 24;
        let text = format!(
            "{} accounts have no login in the table of logins, which reaches back {days} days: whether they are unused is not known",
            seen.not_judged
        );
        said.push(
            f(&app::UNUSED, Severity::Unknown, text)
                .advise("keep logins for longer than accounts may be unused"),
        );
    }
    if !mapping.knows_logins() {
        said.push(unmapped_finding(&app::UNUSED, "last_login"));
    }
    if !mapping.knows_passwords() {
        said.push(unmapped_finding(&app::PASSWORD_OLD, "password_changed"));
    }
    if mapping.knows_roles() && mapping.mfa.is_none() && mapping.second_factors.is_none() {
        said.push(unmapped_finding(&app::ADMIN_WITHOUT_MFA, "mfa"));
    }
    if !mapping.knows_states() {
        said.push(unmapped_finding(&app::DISABLED_WITH_ROLES, "active or deleted"));
    }
    if seen.without_password > 0 && mapping.knows_passwords() {
        let text = format!(
            "{} accounts have no password (single sign-on, or none yet): its age was not judged",
            seen.without_password
        );
        said.push(f(&review::PASSWORD_NONE, Severity::Ok, text));
    }
    said
}

/// A column that the mapping leaves out on purpose: said, and no trouble. Which it is stands in the pack.
fn unmapped_finding(rule: &'static Rule, column: &str) -> AuditFinding {
    AuditFinding::new(rule, "unmapped", "accounts", Severity::Ok)
        .says(format!("not judged: the mapping names no {column}"))
}

fn find_orphans(
    rows: &mut dyn RowSource,
    case: &Case,
    roles: &AppRoles,
    ledger: &mut Ledger<'_>,
) -> Result<()> {
    let Some(sql) = case.mapping.orphans_sql() else { return Ok(()) };
    rows.for_each_row(&sql, &mut |cells| ledger.add(orphan_finding(cells, roles)))
}

fn orphan_finding(cells: &Cells<'_>, roles: &AppRoles) -> AuditFinding {
    let (user, role) = (cells[0].unwrap_or("NULL"), cells[1].unwrap_or("NULL"));
    let gone = match (cells[2], cells[3]) {
        (Some("0"), Some("0")) => "neither the user nor the role is there",
        (Some("0"), _) => "the user is not there any more; a new one may inherit the role",
        _ => "the role is not there any more",
    };
    let severity = if roles.is_admin(role) { Severity::Critical } else { Severity::Warning };
    let object = format!("user {user} in role {}", roles.name(role));
    AuditFinding::new(&app::ORPHANED_ASSIGNMENT, &format!("user/{user}/role/{role}"), &object, severity)
        .says(gone)
}
