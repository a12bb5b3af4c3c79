//! Every rule by its id, and what a right weighs.

pub(crate) mod app;
pub(crate) mod review;
pub(crate) mod roles;

use std::sync::LazyLock;
use toban_core::Severity;
use toban_core::check::Rule;

/// The advice that a whole application must not follow for all of its administrators at once.
pub(crate) const DISABLE: &str = "disable it";

/// Every rule.
pub(crate) fn all_rules() -> &'static [&'static Rule] {
    static ALL: LazyLock<Vec<&'static Rule>> =
        LazyLock::new(|| [review::RULES, app::RULES, roles::RULES].concat());
    &ALL
}

/// The rule with this id.
pub(crate) fn find_rule(id: &str) -> Option<&'static Rule> {
    let own = toban_core::check::shared_rules().iter().chain(all_rules());
    own.copied().find(|r| r.id == id)
}

/// Whether this verb looks for it and the other one does not.
pub(crate) fn is_of_verb(verb: &str, id: &str) -> bool {
    let own = if verb == "app" { app::RULES } else { roles::RULES };
    own.iter().any(|r| r.id == id)
}

/// Checks whose findings are the whole cluster's, whichever database they are asked of.
const OF_CLUSTER: [&str; 9] =
    ["server", "names", "login", "use", "role", "hba", "password", "parameters", "change"];

/// Whether another database of the same cluster says the same of it.
pub(crate) fn is_of_cluster(rule: &Rule) -> bool {
    let power = is_right(rule) && ![&app::ADMIN, &roles::PG_DATABASE_OWNER].contains(&rule);
    power || OF_CLUSTER.contains(&rule.check)
}

/// Whether the rule tells what changed since the review.
pub(crate) fn is_change(rule: &Rule) -> bool {
    rule.check == "change"
}

/// Whether the rule tells who holds a right.
pub(crate) fn is_right(rule: &Rule) -> bool {
    rule.check == "rights"
}

/// What holding a right weighs.
#[derive(Debug)]
pub(crate) struct Right {
    pub(crate) rule: &'static Rule,
    pub(crate) severity: Severity,
    /// Items of the CIS PostgreSQL benchmark.
    pub(crate) cis: &'static [&'static str],
}

impl Right {
    /// Its name in reviews: an attribute's or a predefined role's, as PostgreSQL spells it.
    pub(crate) fn name(&self) -> String {
        self.rule.id.replace('-', "_")
    }
}

const fn weigh_right(rule: &'static Rule, severity: Severity, cis: &'static [&'static str]) -> Right {
    Right { rule, severity, cis }
}

const PREDEFINED: &[&str] = &["4.3", "4.9"];

/// Attributes, then the predefined roles that reach beyond their tables, then a provider's.
static RIGHTS: [Right; 23] = [
    weigh_right(&app::ADMIN, Severity::Warning, &[]),
    weigh_right(&roles::SUPERUSER, Severity::Critical, &["4.3"]),
    weigh_right(&roles::BYPASSRLS, Severity::Warning, &["4.3"]),
    weigh_right(&roles::REPLICATION, Severity::Warning, &["7.1"]),
    weigh_right(&roles::CREATEROLE, Severity::Warning, &["4.3"]),
    weigh_right(&roles::CREATEDB, Severity::Warning, &["4.3"]),
    weigh_right(&roles::PG_EXECUTE_SERVER_PROGRAM, Severity::Critical, PREDEFINED),
    weigh_right(&roles::PG_WRITE_SERVER_FILES, Severity::Critical, PREDEFINED),
    weigh_right(&roles::PG_READ_SERVER_FILES, Severity::Critical, PREDEFINED),
    weigh_right(&roles::PG_READ_ALL_DATA, Severity::Warning, PREDEFINED),
    weigh_right(&roles::PG_WRITE_ALL_DATA, Severity::Warning, PREDEFINED),
    weigh_right(&roles::PG_MAINTAIN, Severity::Warning, PREDEFINED),
    weigh_right(&roles::PG_SIGNAL_BACKEND, Severity::Warning, PREDEFINED),
    weigh_right(&roles::PG_CHECKPOINT, Severity::Warning, PREDEFINED),
    weigh_right(&roles::PG_CREATE_SUBSCRIPTION, Severity::Warning, PREDEFINED),
    weigh_right(&roles::PG_SIGNAL_AUTOVACUUM_WORKER, Severity::Warning, PREDEFINED),
    weigh_right(&roles::PG_USE_RESERVED_CONNECTIONS, Severity::Warning, PREDEFINED),
    weigh_right(&roles::PG_DATABASE_OWNER, Severity::Warning, PREDEFINED),
    weigh_right(&roles::RDS_SUPERUSER, Severity::Critical, PREDEFINED),
    weigh_right(&roles::CLOUDSQLSUPERUSER, Severity::Critical, PREDEFINED),
    weigh_right(&roles::AZURE_PG_ADMIN, Severity::Critical, PREDEFINED),
    weigh_right(&roles::ALLOYDBSUPERUSER, Severity::Critical, PREDEFINED),
    weigh_right(&roles::NEON_SUPERUSER, Severity::Critical, PREDEFINED),
];

/// What managed services give instead of a superuser.
pub(crate) const PROVIDERS: [&str; 5] =
    ["rds_superuser", "cloudsqlsuperuser", "azure_pg_admin", "alloydbsuperuser", "neon_superuser"];

/// The weight of a right, by its name in reviews.
pub(crate) fn find_right(name: &str) -> &'static Right {
    RIGHTS.iter().find(|r| r.name() == name).unwrap_or(&RIGHTS[0])
}

/// Names of the rights that the audit of roles looks for.
pub(crate) fn names_of_rights() -> impl Iterator<Item = String> {
    RIGHTS.iter().filter(|r| r.rule != &app::ADMIN).map(Right::name)
}
