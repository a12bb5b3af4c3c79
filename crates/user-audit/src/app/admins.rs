//! Which names of roles make administrators.

use super::names::fold_name;
use super::words::roles_in;

const NAMES: [&str; 11] = [
    "admin",
    "administrator",
    "system_admin",
    "system_administrator",
    "sysadmin",
    "sysop",
    "super_admin",
    "super_administrator",
    "super_user",
    "root",
    "owner",
];
/// A name that ends so is an administrator's, of whatever: `billing-admin`. Better one too many than one missed.
const ENDS: [&str; 6] = ["admin", "administrator", "sysadmin", "superadmin", "superuser", "root"];

/// The usual names, those that were added, and those that were taken out by `!name`.
#[derive(Clone, Debug)]
pub(crate) struct AdminNames {
    pub(crate) added: Vec<String>,
    pub(crate) removed: Vec<String>,
}

impl AdminNames {
    /// Names beside the usual ones; `!name` takes one out.
    pub(crate) fn new(given: &[String]) -> AdminNames {
        let removed = given.iter().filter_map(|n| n.strip_prefix('!')).map(to_snake_case).collect();
        let added = given.iter().filter(|n| !n.starts_with('!')).map(|n| to_snake_case(n)).collect();
        AdminNames { added, removed }
    }

    /// Whether a role of this name makes an administrator: case, blanks, dashes, look-alikes, a plural and Spring's
    /// `ROLE_` do not count.
    pub(crate) fn is_admin(&self, role: &str) -> bool {
        let name = to_snake_case(role);
        let (tight, one) = (name.replace('_', ""), to_singular(&name));
        let same = |known: &str| known == name || known == one || known.replace('_', "") == tight;
        if self.removed.iter().any(|r| same(r)) {
            return false;
        }
        let words: Vec<&str> = one.split('_').collect();
        let denied = ["no", "non", "not"].contains(&words[0]);
        let ends = !denied && words.last().is_some_and(|w| ENDS.contains(w));
        ends || NAMES.iter().any(|n| same(n) || to_singular(&tight) == n.replace('_', ""))
            || self.added.iter().any(|a| same(a))
    }

    /// Those of a cell that make an administrator; of `system_user system_admin` the second.
    pub(crate) fn names_among(&self, cell: &str) -> Vec<String> {
        let all = roles_in(cell);
        all.into_iter()
            .filter(|w| self.is_admin(w) || w.split_whitespace().any(|w| self.is_admin(w)))
            .collect()
    }
}

/// `ROLE_ADMIN`, `superAdmin`, `Super admin role` as `admin`, `super_admin`, `super_admin`.
fn to_snake_case(name: &str) -> String {
    let (mut out, mut before) = (String::new(), ' ');
    // `global:owner` is an owner: what stands before the colon tells of what.
    let name = name.rsplit(':').next().unwrap_or(name);
    for c in name.trim().chars() {
        if c.is_uppercase() && before.is_lowercase() {
            out.push('_');
        }
        out.push(if c.is_alphanumeric() { c } else { '_' });
        before = c;
    }
    let out = fold_name(&out);
    let out = out.strip_prefix("role_").unwrap_or(&out).trim_matches('_');
    out.strip_suffix("_role").unwrap_or(out).to_string()
}

fn to_singular(name: &str) -> String {
    name.strip_suffix('s').unwrap_or(name).to_string()
}

#[cfg(test)]
mod tests {
    use super::AdminNames;

    #[test]
    fn admin_roles_are_known_however_they_are_written() {
        let usual = AdminNames::new(&[]);
        for name in [
            "admin",
            "Admin ",
            "SYSTEM_ADMIN",
            "system-admin",
            "Super Admin",
            "аdmin",
            "ROLE_ADMIN",
            "admins",
            "Administrators",
            "superAdmin",
            "SystemAdministrator",
            "billing-admin",
            "realm_admin",
            "Owners",
            "strapi-super-admin",
            "Superusers",
            "Super Users",
            "SUPERADMIN",
            "Super admin role",
            "super_user_role",
            "global:owner",
        ] {
            assert!(usual.is_admin(name), "{name}");
        }
        for name in [
            "administration",
            "editor",
            "",
            "admin2",
            "non-admin",
            "badminton",
            "boss",
            "s",
            "user",
            "admin:read",
        ] {
            assert!(!usual.is_admin(name), "{name}");
        }
    }

    #[test]
    fn what_is_added_leaves_the_usual_names_and_a_mark_takes_one_out() {
        let own = AdminNames::new(&["Chief Editor".into(), "!owner".into(), "!billing-admin".into()]);
        assert!(own.is_admin("chief-editor") && own.is_admin("admin"));
        assert!(!own.is_admin("Owner") && !own.is_admin("BILLING_ADMIN") && own.is_admin("org-admin"));
        assert_eq!(own.names_among("system_user system_admin"), ["system_user system_admin"]);
        assert_eq!(own.names_among(r#"["admin","editor"]"#), ["admin"]);
        assert_eq!(own.names_among("owner,editor"), [""; 0]);
    }
}
