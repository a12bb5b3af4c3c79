//! Every rule by its name: what can be allowed, and what a right weighs.

use crate::roles;
use toban_core::Severity;

const BOTH: [&str; 10] = [
    "new-access",
    "recreated-access",
    "changed-access",
    "removed-access",
    "new-account",
    "changed-account",
    "removed-account",
    "review",
    "stale-allow",
    "not-audited",
];
const APP: [&str; 19] = [
    "admin",
    "admin-count",
    "admin-roles",
    "admin-without-mfa",
    "accounts",
    "unused",
    "never-used",
    "password-old",
    "password-due",
    "password-unknown",
    "password-none",
    "disabled-with-roles",
    "orphaned-assignment",
    "duplicate-address",
    "no-address",
    "blank-in-address",
    "shared-account",
    "service-account",
    "outside-domain",
];
const APP_DATA: [&str; 2] = ["impossible-date", "active-unknown"];

/// An allow-list must not hide what nobody has looked at yet.
pub(crate) const NEVER_ALLOWED: [&str; 8] = [
    "new-access",
    "recreated-access",
    "changed-access",
    "new-account",
    "changed-account",
    "review",
    "stale-allow",
    "not-audited",
];

/// Rules whose findings are the whole cluster's, whichever database they are asked of.
const OF_CLUSTER: [&str; 11] = [
    "server",
    "skipped",
    "name-twins",
    "login-group",
    "can-log-in",
    "role-seen",
    "role-unused",
    "role-setting",
    "connection-limit",
    "connection-none",
    "public-parameter",
];

/// Whether another database of the same cluster says the same of it.
pub(crate) fn is_of_cluster(rule: &str) -> bool {
    let power = is_right(rule) && !["admin", "pg_database_owner"].contains(&rule);
    let named = OF_CLUSTER.contains(&rule) || rule.starts_with("hba-") || rule.starts_with("password-");
    power || named || is_change(rule)
}

/// Whether the rule tells what changed since the review.
pub(crate) fn is_change(rule: &str) -> bool {
    BOTH[..7].contains(&rule)
}

/// The rule as the rulebook has it.
pub(crate) fn name(rule: &str) -> Option<&'static str> {
    let own = BOTH.iter().chain(&APP).chain(&APP_DATA).copied();
    own.chain(RIGHTS.iter().map(|r| r.rule)).chain(roles::rules()).find(|r| *r == rule)
}

/// Whether there is such a rule.
pub(crate) fn knows(rule: &str) -> bool {
    BOTH.contains(&rule) || of_verb("app", rule) || of_verb("roles", rule)
}

/// Whether it is one of this verb's own.
pub(crate) fn of_verb(verb: &str, rule: &str) -> bool {
    match verb {
        "app" => APP.contains(&rule) || APP_DATA.contains(&rule),
        _ => RIGHTS.iter().any(|r| r.rule == rule && r.rule != "admin") || roles::rules().any(|r| r == rule),
    }
}

/// What holding a right means.
#[derive(Debug)]
pub(crate) struct Right {
    pub(crate) rule: &'static str,
    pub(crate) what: &'static str,
    pub(crate) severity: Severity,
    pub(crate) advice: &'static str,
    pub(crate) cis: &'static [&'static str],
}

/// The weight of a right; the numbers are those of the CIS PostgreSQL benchmark.
pub(crate) fn right(name: &str) -> &'static Right {
    RIGHTS.iter().find(|r| r.rule == name).unwrap_or(&RIGHTS[0])
}

const fn row(rule: &'static str, what: &'static str, severity: Severity, advice: &'static str) -> Right {
    Right { rule, what, severity, advice, cis: &["4.3"] }
}

const PREDEFINED: &str = "revoke the membership, or accept it in a review";

/// Attributes, then the predefined roles that reach beyond their tables.
const RIGHTS: [Right; 23] = [
    Right {
        cis: &[],
        ..row("admin", "administrator by", Severity::Warning, "review it, then: user-audit accept")
    },
    row(
        "superuser",
        "superuser by",
        Severity::Critical,
        "alter role … nosuperuser, or revoke the membership",
    ),
    row("bypassrls", "sees past row-level security by", Severity::Warning, "alter role … nobypassrls"),
    Right {
        cis: &["7.1"],
        ..row("replication", "may copy the whole cluster by", Severity::Warning, "alter role … noreplication")
    },
    row("createrole", "may make and change roles by", Severity::Warning, "alter role … nocreaterole"),
    row("createdb", "may make databases by", Severity::Warning, "alter role … nocreatedb"),
    predefined("pg_execute_server_program", "may run programs on the server by", Severity::Critical),
    predefined("pg_write_server_files", "may write the server's files by", Severity::Critical),
    predefined("pg_read_server_files", "may read the server's files by", Severity::Critical),
    predefined("pg_read_all_data", "reads every table, password hashes too, by", Severity::Warning),
    predefined("pg_write_all_data", "writes every table by", Severity::Warning),
    predefined("pg_maintain", "may lock and rewrite every table by", Severity::Warning),
    predefined("pg_signal_backend", "may end others' sessions by", Severity::Warning),
    predefined("pg_checkpoint", "may force checkpoints by", Severity::Warning),
    predefined("pg_create_subscription", "may make the server connect elsewhere by", Severity::Warning),
    predefined("pg_signal_autovacuum_worker", "may end autovacuum by", Severity::Warning),
    predefined("pg_use_reserved_connections", "may use reserved connections by", Severity::Warning),
    predefined("pg_database_owner", "owns the database by", Severity::Warning),
    predefined(PROVIDERS[0], PROVIDER, Severity::Critical),
    predefined(PROVIDERS[1], PROVIDER, Severity::Critical),
    predefined(PROVIDERS[2], PROVIDER, Severity::Critical),
    predefined(PROVIDERS[3], PROVIDER, Severity::Critical),
    predefined(PROVIDERS[4], PROVIDER, Severity::Critical),
];

/// What managed services give instead of a superuser.
pub(crate) const PROVIDERS: [&str; 5] =
    ["rds_superuser", "cloudsqlsuperuser", "azure_pg_admin", "alloydbsuperuser", "neon_superuser"];
const PROVIDER: &str = "nearly a superuser, as far as the provider lets, by";

const fn predefined(rule: &'static str, what: &'static str, severity: Severity) -> Right {
    Right { rule, what, severity, advice: PREDEFINED, cis: &["4.3", "4.9"] }
}

/// Whether the rule tells who holds a right.
pub(crate) fn is_right(rule: &str) -> bool {
    RIGHTS.iter().any(|r| r.rule == rule)
}

/// Rights that the audit of roles looks for.
pub(crate) fn rights() -> impl Iterator<Item = &'static str> {
    RIGHTS.iter().map(|r| r.rule).filter(|r| *r != "admin")
}
