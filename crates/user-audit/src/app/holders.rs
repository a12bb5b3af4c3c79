//! Who is an administrator, by which roles; and what is wrong with them as a group.

use super::mapping::Mapping;
use super::moment::Moment;
use super::rules::Rules;
use crate::finding::{Access, Finding};
use crate::source::{Cells, Rows, all};
use jiff::tz::TimeZone;
use std::collections::{BTreeMap, BTreeSet};
use toban_core::{Result, Severity};

/// The application's roles by id.
#[derive(Debug, Default)]
pub(crate) struct Roles {
    names: BTreeMap<String, String>,
    admin: BTreeSet<String>,
}

impl Roles {
    /// Reads them; a role is administrative by its name or by a role that it includes.
    pub(crate) fn read(rows: &mut dyn Rows, mapping: &Mapping, rules: &Rules) -> Result<Roles> {
        let Some(sql) = mapping.roles_sql() else { return Ok(Roles::default()) };
        let mut roles = Roles::default();
        let mut parents: Vec<(String, String)> = Vec::new();
        for row in all(rows, &sql)? {
            let [Some(id), name, parent] = &row[..] else { continue };
            let name = name.clone().unwrap_or_default();
            if rules.is_admin(&name) {
                roles.admin.insert(id.clone());
            }
            parents.extend(parent.clone().map(|p| (id.clone(), p)));
            roles.names.insert(id.clone(), name);
        }
        // As often as there are roles: enough for the longest chain, and an end for a circle.
        for _ in 0..parents.len() {
            let including: Vec<String> =
                parents.iter().filter(|(_, p)| roles.admin.contains(p)).map(|(id, _)| id.clone()).collect();
            roles.admin.extend(including);
        }
        Ok(roles)
    }

    /// The role's name; its id where it has none.
    pub(crate) fn name<'a>(&'a self, id: &'a str) -> &'a str {
        self.names.get(id).map_or(id, |n| n.trim())
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
pub(crate) struct Holders(pub(crate) BTreeMap<String, Holder>);

impl Holders {
    /// Reads them: by assigned role, by flag, by a column of the account.
    pub(crate) fn read(
        rows: &mut dyn Rows,
        mapping: &Mapping,
        rules: &Rules,
        roles: &Roles,
    ) -> Result<Holders> {
        let zone = mapping.zone()?;
        let values = match mapping.role_values_sql() {
            Some(sql) => all(rows, &sql)?.into_iter().flatten().flatten().collect(),
            None => Vec::new(),
        };
        let named: Vec<&str> = values.iter().map(String::as_str).filter(|v| rules.is_admin(v)).collect();
        let ids: Vec<&str> = roles.admin.iter().map(String::as_str).collect();
        let queries = [mapping.holders_sql(&ids), mapping.flagged_sql(), mapping.role_column_sql(&named)];
        let mut holders = Holders::default();
        for sql in queries.into_iter().flatten() {
            rows.rows(&sql, &mut |cells| {
                if !ended(cells[6], &zone, rules) {
                    holders.add(cells, mapping, roles);
                }
                Ok(())
            })?;
        }
        Ok(holders)
    }

    fn add(&mut self, cells: &Cells<'_>, mapping: &Mapping, roles: &Roles) {
        let id = cells[0].unwrap_or_default();
        let role = cells[5].map_or("administrator", |r| roles.name(r)).to_string();
        let holder = self.0.entry(id.to_string()).or_insert_with(|| Holder {
            name: cells[1].map_or_else(|| format!("user {id}"), String::from),
            active: mapping.is_active(cells[2]) != Some(false) && cells[4].is_none(),
            mfa: cells[3].map(|m| m == "1"),
            roles: BTreeSet::new(),
        });
        holder.roles.insert(role);
    }

    /// How many can log in.
    pub(crate) fn active(&self) -> usize {
        self.0.values().filter(|h| h.active).count()
    }

    /// What a review compares.
    pub(crate) fn access(&self) -> Vec<Access> {
        let one = |(id, h): (&String, &Holder)| Access {
            subject: format!("user/{id}"),
            name: h.name.clone(),
            right: "admin".into(),
            path: h.path(),
        };
        self.0.iter().map(one).collect()
    }

    /// Each administrator without a second factor, and the number of them.
    pub(crate) fn judge(&self, rules: &Rules) -> Vec<Finding> {
        let bare = self.0.iter().filter(|(_, h)| h.active && h.mfa == Some(false));
        let mut found: Vec<Finding> = bare
            .map(|(id, h)| {
                let f = Finding::new("admin-without-mfa", &format!("user/{id}"), &h.name, Severity::Critical);
                f.of_person()
                    .says("an administrator without a second factor")
                    .advise("have a second factor set up")
            })
            .collect();
        found.push(count(self.active(), rules.max_admins));
        found
    }
}

impl Holder {
    /// The roles between commas.
    pub(crate) fn path(&self) -> String {
        self.roles.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
    }
}

fn count(active: usize, most: usize) -> Finding {
    let f = |severity| Finding::new("admin-count", "application", "administrators", severity);
    match active {
        0 => f(Severity::Critical)
            .says("no active account is an administrator")
            .advise("are the admin roles named right?"),
        1 => f(Severity::Warning).says("there is only one administrator").advise("name a second one"),
        n if n > most => f(Severity::Warning)
            .says(format!("{n} administrators; {most} are allowed"))
            .advise("take the role from some"),
        n => f(Severity::Ok).says(format!("{n} administrators")),
    }
}

fn ended(cell: Option<&str>, zone: &TimeZone, rules: &Rules) -> bool {
    Moment::read(cell, zone).time().is_some_and(|end| end <= rules.now)
}
