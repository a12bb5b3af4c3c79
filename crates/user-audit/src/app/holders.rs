//! Who is an administrator, by which roles; and what is wrong with them as a group.

use super::is_truthy;
use super::rules::{AccountRules, User};
use crate::finding::{Access, AuditFinding};
use crate::mapping::Mapping;
use crate::rulebook::app;
use crate::source::{RowSource, read_rows};
use std::collections::{BTreeMap, BTreeSet};
use toban_core::{Result, Severity};

/// The application's roles by id.
#[derive(Debug, Default)]
pub(crate) struct AppRoles {
    names: BTreeMap<String, String>,
    admin: BTreeSet<String>,
}

impl AppRoles {
    /// Reads them; a role is administrative by its name or by a role that it includes.
    pub(crate) fn read_roles(
        rows: &mut dyn RowSource,
        mapping: &Mapping,
        rules: &AccountRules,
    ) -> Result<AppRoles> {
        let Some(sql) = mapping.roles_sql() else { return Ok(AppRoles::default()) };
        let mut roles = AppRoles::default();
        let mut parents: Vec<(String, String)> = Vec::new();
        for row in read_rows(rows, &sql)? {
            let [Some(id), name, parent, flag] = &row[..] else { continue };
            let name = name.clone().unwrap_or_default();
            if rules.admins.is_admin(&name) || is_truthy(flag.as_deref()) {
                roles.admin.insert(id.clone());
            }
            parents.extend(parent.clone().map(|p| (id.clone(), p)));
            roles.names.insert(id.clone(), name);
        }
        if let Some(sql) = mapping.composites_sql() {
            let pairs = read_rows(rows, &sql)?.into_iter();
            parents.extend(pairs.filter_map(|row| Some((row[0].clone()?, row[1].clone()?))));
        }
        // As often as there are roles: enough for the longest chain, and an end for a circle.
        for _ in 0..parents.len() {
            let before = roles.admin.len();
            let including: Vec<String> =
                parents.iter().filter(|(_, p)| roles.admin.contains(p)).map(|(id, _)| id.clone()).collect();
            roles.admin.extend(including);
            if roles.admin.len() == before {
                break;
            }
        }
        Ok(roles)
    }

    /// The role's name; its id where it has none.
    pub(crate) fn name<'a>(&'a self, id: &'a str) -> &'a str {
        self.names.get(id).map_or(id, |n| n.trim())
    }

    /// Whether there is such a role.
    pub(crate) fn has_role(&self, id: &str) -> bool {
        self.names.contains_key(id)
    }

    /// The names of those that make administrators, and of the rest.
    pub(crate) fn split_admins(&self) -> (Vec<String>, Vec<String>) {
        let named = |admin: bool| {
            let ids = self.names.keys().filter(move |id| self.admin.contains(*id) == admin);
            ids.map(|id| self.name(id).to_string()).collect()
        };
        (named(true), named(false))
    }

    /// Whether this role makes an administrator.
    pub(crate) fn is_admin(&self, id: &str) -> bool {
        self.admin.contains(id)
    }
}

/// One administrator.
#[derive(Debug)]
pub(crate) struct Holder {
    pub(crate) name: String,
    pub(crate) active: bool,
    /// None: not mapped.
    mfa: Option<bool>,
    roles: BTreeSet<String>,
}

/// All administrators by their id.
#[derive(Debug, Default)]
pub(crate) struct Holders(BTreeMap<String, Holder>);

impl Holders {
    /// Remembers the account if it is an administrator's. A lock that ends leaves one an administrator.
    pub(crate) fn add(&mut self, user: &User<'_>) {
        if user.is_admin() {
            let holder = Holder {
                name: user.name(),
                active: user.active != Some(false) && !user.off,
                mfa: user.mfa,
                roles: user.admin_by.iter().cloned().collect(),
            };
            self.0.insert(user.id.to_string(), holder);
        }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// How many can log in.
    pub(crate) fn count_active(&self) -> usize {
        self.0.values().filter(|h| h.active).count()
    }

    /// What a review compares.
    pub(crate) fn access(&self) -> Vec<Access> {
        let one = |(id, h): (&String, &Holder)| Access {
            subject: format!("user/{id}"),
            name: h.name.clone(),
            right: "admin".into(),
            path: h.path(),
            advice: String::new(),
        };
        self.0.iter().map(one).collect()
    }

    /// Each administrator without a second factor, and the number of them.
    pub(crate) fn judge_holders(&self, rules: &AccountRules) -> Vec<AuditFinding> {
        let bare = self.0.iter().filter(|(_, h)| h.active && h.mfa == Some(false));
        let mut found: Vec<AuditFinding> = bare
            .map(|(id, h)| {
                let f = AuditFinding::new(
                    &app::ADMIN_WITHOUT_MFA,
                    &format!("user/{id}"),
                    &h.name,
                    Severity::Critical,
                );
                f.of_person().says("an administrator without a second factor")
            })
            .collect();
        found.push(judge_count(self.count_active(), rules.max_admins));
        found
    }
}

impl Holder {
    /// The roles between commas.
    pub(crate) fn path(&self) -> String {
        self.roles.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
    }
}

fn judge_count(active: usize, most: usize) -> AuditFinding {
    let f = |severity| AuditFinding::new(&app::ADMIN_COUNT, "application", "administrators", severity);
    match active {
        0 => f(Severity::Critical)
            .says("no active account is an administrator")
            .advise("are the admin roles named right? --admin-role, or admin_roles in [audit]"),
        1 => f(Severity::Warning).says("there is only one administrator").advise("name a second one"),
        n if n > most => f(Severity::Warning)
            .says(format!("{n} administrators; {most} are allowed"))
            .advise("take the role from some"),
        n => f(Severity::Ok).says(format!("{n} administrators")),
    }
}
