//! The rules for one account. Pure: a row, the rules, the time; what comes out is every finding of it.

use super::cell_time::CellTime;
pub(crate) use super::criteria::AccountRules;
use super::criteria::DAY;
use super::names;
use crate::finding::AuditFinding;
use crate::rulebook::{self, app};
use jiff::{SignedDuration, Timestamp};
use toban_core::Severity;
use toban_core::check::Rule;

/// Clocks of two machines may differ so much.
const CLOCKS: SignedDuration = SignedDuration::from_mins(5);
/// An application may set a password shortly before it writes the row.
const SAME_MOMENT: SignedDuration = SignedDuration::from_hours(1);
/// One account as the database has it.
#[derive(Clone, Debug)]
pub(crate) struct User<'a> {
    pub(crate) id: &'a str,
    /// None: NULL.
    pub(crate) email: Option<&'a str>,
    pub(crate) login: Option<&'a str>,
    /// None: NULL or not mapped.
    pub(crate) active: Option<bool>,
    pub(crate) active_is_null: bool,
    pub(crate) last_login: CellTime,
    pub(crate) last_used: CellTime,
    pub(crate) changed: CellTime,
    pub(crate) created: CellTime,
    /// None: not mapped.
    pub(crate) has_password: Option<bool>,
    /// Deleted, disabled by a flag of its own, or locked for good.
    pub(crate) off: bool,
    pub(crate) locked_until: CellTime,
    /// None: not mapped.
    pub(crate) mfa: Option<bool>,
    /// Names of the roles it holds.
    pub(crate) roles: Vec<String>,
    /// Those that make it an administrator.
    pub(crate) admin_by: Vec<String>,
}

impl User<'_> {
    /// Nobody can log in with it now.
    pub(crate) fn is_disabled(&self, now: Timestamp) -> bool {
        let locked =
            self.locked_until == CellTime::Forever || self.locked_until.time().is_some_and(|t| t > now);
        self.active == Some(false) || self.off || locked
    }

    pub(crate) fn is_admin(&self) -> bool {
        !self.admin_by.is_empty()
    }

    /// What people call it: the address, else the name that it logs in with, else its id.
    pub(crate) fn name(&self) -> String {
        let there = |text: &&str| !text.trim().is_empty();
        let named = self.email.filter(there).or(self.login.filter(there));
        named.map_or_else(|| format!("user {}", self.id), String::from)
    }

    fn new_finding(&self, rule: &'static Rule, severity: Severity) -> AuditFinding {
        AuditFinding::new(rule, &format!("user/{}", self.id), "", severity)
    }

    /// The last sign of life.
    pub(crate) fn last_seen(&self) -> Option<Timestamp> {
        self.last_login.time().max(self.last_used.time())
    }
}

/// Every finding of one account.
pub(crate) fn judge_account(user: &User<'_>, mapped: Mapped, rules: &AccountRules) -> Vec<AuditFinding> {
    let mut found = Vec::new();
    judge_dates(user, rules, &mut found);
    judge_address(user, mapped, rules, &mut found);
    // An application reads NULL as it likes; judged as active, nothing is passed over.
    if user.active_is_null {
        let said = "whether it is active is NULL; judged as active";
        found.push(user.new_finding(&app::ACTIVE_UNKNOWN, Severity::Warning).says(said));
    }
    // Nobody logs in with it: neither its last login nor its password's age can do harm, what it still holds can.
    if user.is_disabled(rules.now) {
        judge_disabled(user, &mut found);
        return found;
    }
    if mapped.last_login {
        judge_use(user, rules, &mut found);
    }
    // An account without a password has none that could be old: it logs in by another way, or not at all.
    if mapped.password_changed && user.has_password != Some(false) {
        judge_password(user, rules, &mut found);
    }
    found
}

/// Which columns there are to judge by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mapped {
    pub(crate) email: bool,
    pub(crate) last_login: bool,
    pub(crate) password_changed: bool,
}

fn judge_disabled(user: &User<'_>, found: &mut Vec<AuditFinding>) {
    if user.roles.is_empty() && !user.is_admin() {
        return;
    }
    let severity = if user.is_admin() { Severity::Critical } else { Severity::Warning };
    let roles = if user.roles.is_empty() { "administrator".into() } else { user.roles.join(", ") };
    let said = format!("disabled, and still holds: {roles}");
    found.push(user.new_finding(&app::DISABLED_WITH_ROLES, severity).says(said));
}

fn judge_use(user: &User<'_>, rules: &AccountRules, found: &mut Vec<AuditFinding>) {
    if [user.last_login, user.last_used].contains(&CellTime::Unreadable) {
        let said = "when it was last used cannot be read: whether it is unused is not known";
        found.push(
            user.new_finding(&app::UNUSED, Severity::Unknown)
                .says(said)
                .advise("correct the date, or the mapping"),
        );
        return;
    }
    if let Some(seen) = user.last_seen() {
        let idle = rules.now.duration_since(seen);
        if idle > rules.unused {
            let said = format!(
                "last used {} ago; {} are allowed",
                format_idle(idle, rules.unused),
                format_days(rules.unused)
            );
            found.push(
                user.new_finding(&app::UNUSED, Severity::Warning)
                    .since(Some(seen))
                    .says(said)
                    .advise(advise_removal(user, rules)),
            );
        }
        return;
    }
    let Some(created) = user.created.time() else {
        let said = "never used, and nobody knows since when it exists";
        let advice = "find out whose it is, then disable or keep it";
        found.push(user.new_finding(&app::NEVER_USED, Severity::Warning).says(said).advise(advice));
        return;
    };
    let age = rules.now.duration_since(created);
    if age > rules.grace {
        let said = format!("never used in the {} days since it was made", age.as_secs() / DAY);
        found.push(
            user.new_finding(&app::NEVER_USED, Severity::Warning)
                .since(Some(created))
                .says(said)
                .advise(advise_removal(user, rules)),
        );
    }
}

/// Nobody locks himself out on our word, and a program that stops is dearer than an idle account.
fn advise_removal(user: &User<'_>, rules: &AccountRules) -> &'static str {
    if user.last_login.is_wrong() || user.last_used.is_wrong() {
        return "correct the date first, then judge";
    }
    match rules.is_service(&user.name()) {
        true => "ask its owner: a program may use it without a login",
        false => rulebook::DISABLE,
    }
}

fn judge_password(user: &User<'_>, rules: &AccountRules, found: &mut Vec<AuditFinding>) {
    if user.changed.is_wrong() {
        let said = "when the password was set cannot be read: its age is not known";
        found.push(
            user.new_finding(&app::PASSWORD_UNKNOWN, Severity::Unknown)
                .says(said)
                .advise("correct the date, or have it changed"),
        );
        return;
    }
    let Some(set) = user.changed.time().or(user.created.time()) else {
        let said = "when the password was set is not known";
        found.push(user.new_finding(&app::PASSWORD_UNKNOWN, Severity::Warning).says(said));
        return;
    };
    let age = rules.now.duration_since(set);
    let old = age.as_secs() / DAY;
    let never = if user.changed.time().is_some() { "" } else { ", as old as the account" };
    if age > rules.password_age {
        let said =
            format!("the password is {old} days old{never}; {} are allowed", format_days(rules.password_age));
        found.push(user.new_finding(&app::PASSWORD_OLD, Severity::Warning).since(Some(set)).says(said));
    } else if age > rules.password_age - rules.password_warning {
        let left = (rules.password_age - age).as_secs() / DAY;
        let said = format!("the password is {old} days old{never}; {left} days are left");
        found.push(user.new_finding(&app::PASSWORD_DUE, Severity::Warning).since(Some(set)).says(said));
    }
}

fn judge_dates(user: &User<'_>, rules: &AccountRules, found: &mut Vec<AuditFinding>) {
    let named = [
        ("last login", user.last_login),
        ("last use", user.last_used),
        ("password change", user.changed),
        ("creation", user.created),
    ];
    let mut wrong: Vec<String> = Vec::new();
    for (name, moment) in named {
        match moment {
            CellTime::Unreadable => wrong.push(format!("the {name} cannot be read as a time")),
            CellTime::Impossible | CellTime::Forever => wrong.push(format!("the {name} is no possible time")),
            CellTime::At(at) if at.duration_since(rules.now) > CLOCKS => {
                wrong.push(format!("the {name} lies in the future ({at})"));
            }
            _ => {}
        }
    }
    if let (Some(changed), Some(created)) = (user.changed.time(), user.created.time())
        && created.duration_since(changed) > SAME_MOMENT
    {
        wrong.push("the password is older than the account".into());
    }
    if !wrong.is_empty() {
        found.push(user.new_finding(&app::IMPOSSIBLE_DATE, Severity::Warning).says(wrong.join("; ")));
    }
}

fn judge_address(user: &User<'_>, mapped: Mapped, rules: &AccountRules, found: &mut Vec<AuditFinding>) {
    if !mapped.email {
        judge_name(&user.name(), user, rules, found);
        return;
    }
    let Some(email) = user.email.filter(|e| !e.trim().is_empty()) else {
        if rules.is_service(&user.name()) {
            judge_name(&user.name(), user, rules, found);
            return;
        }
        let said = "it has no e-mail address: nobody can be asked";
        found.push(user.new_finding(&app::NO_ADDRESS, Severity::Warning).says(said));
        return;
    };
    if email.trim() != email {
        let said = "the e-mail address begins or ends with a blank";
        found.push(user.new_finding(&app::BLANK_IN_ADDRESS, Severity::Warning).says(said));
    }
    judge_name(email, user, rules, found);
    let outside = |d: &String| !rules.domains.contains(d);
    if !rules.domains.is_empty() && names::domain_part(email).as_ref().is_none_or(outside) {
        let said = format!("the address is not of {}", rules.domains.join(", "));
        found.push(user.new_finding(&app::OUTSIDE_DOMAIN, Severity::Warning).says(said));
    }
}

/// What the name alone tells: a program's, or everybody's.
fn judge_name(name: &str, user: &User<'_>, rules: &AccountRules, found: &mut Vec<AuditFinding>) {
    if rules.is_service(name) {
        let said = "a program's account, by its name: logins tell little of its use";
        found.push(user.new_finding(&app::SERVICE_ACCOUNT, Severity::Warning).says(said));
    } else if rules.is_shared(name) {
        let said = "a shared account, by its name: nobody answers for what it does";
        found.push(user.new_finding(&app::SHARED_ACCOUNT, Severity::Warning).says(said));
    }
}

/// Whole days; on the very day on which the time ran out they alone would read as allowed.
fn format_idle(idle: SignedDuration, allowed: SignedDuration) -> String {
    let more = if idle.as_secs() / DAY == allowed.as_secs() / DAY { "more than " } else { "" };
    format!("{more}{} days", idle.as_secs() / DAY)
}

fn format_days(span: SignedDuration) -> String {
    let days = span.as_secs() / DAY;
    if span.as_secs() % DAY == 0 { format!("{days} days") } else { format!("{span:#}") }
}

#[cfg(test)]
mod tests;
