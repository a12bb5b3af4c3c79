//! What counts as what: times that are allowed, names that mean something.

use super::admins::AdminNames;
use super::names::{self, fold_name};
use crate::cli;
use crate::settings::Settings;
use jiff::{SignedDuration, Timestamp};
use toban_core::check::matches_pattern;
use toban_core::config::Span;

pub(super) const DAY: i64 = 86400;
const SHARED: [&str; 20] = [
    "admin",
    "administrator",
    "info",
    "support",
    "root",
    "test",
    "office",
    "sales",
    "helpdesk",
    "postmaster",
    "webmaster",
    "hostmaster",
    "team",
    "hr",
    "it",
    "user",
    "guest",
    "demo",
    "contact",
    "service",
];
const SERVICES: [&str; 7] = ["svc-*", "svc_*", "svc.*", "service-*", "service_*", "bot-*", "api-*"];

/// What counts as what.
#[derive(Clone, Debug)]
pub(crate) struct AccountRules {
    pub(crate) now: Timestamp,
    pub(crate) unused: SignedDuration,
    pub(crate) grace: SignedDuration,
    pub(crate) password_age: SignedDuration,
    pub(crate) password_warning: SignedDuration,
    pub(crate) max_admins: usize,
    pub(crate) admins: AdminNames,
    pub(super) domains: Vec<String>,
    shared: Vec<String>,
    services: Vec<String>,
}

impl AccountRules {
    /// Flags win over the configuration, the configuration over the defaults.
    pub(crate) fn new(args: &cli::App, settings: &Settings) -> AccountRules {
        let span = |flag: Option<Span>, set: Option<Span>, days: i64| match flag.or(set) {
            Some(span) => SignedDuration::try_from(span.0).unwrap_or(SignedDuration::MAX),
            None => SignedDuration::from_secs(days * DAY),
        };
        let lower = |names: &[String]| names.iter().map(|n| fold_name(n)).collect::<Vec<_>>();
        let first = |flag: &[String], set: &[String]| if flag.is_empty() { lower(set) } else { lower(flag) };
        let mut shared = lower(&settings.shared_names);
        shared.extend(SHARED.map(String::from));
        AccountRules {
            now: args.scope.at.now(),
            unused: span(args.unused, settings.unused, 90),
            grace: span(args.grace, settings.grace, 30),
            password_age: span(args.password_age, settings.password_age, 75),
            password_warning: span(args.password_warning, settings.password_warning, 0),
            max_admins: args.max_admins.or(settings.max_admins).unwrap_or(5),
            admins: AdminNames::new(&[&settings.admin_roles[..], &args.admin_role].concat()),
            domains: first(&args.domain, &settings.domains),
            shared,
            services: settings.service_accounts.clone(),
        }
    }

    /// By what it is judged, for the evidence.
    pub(crate) fn parameters(&self, review_every: SignedDuration) -> serde_json::Value {
        let text = |span: SignedDuration| format!("{span:#}");
        serde_json::json!({
            "unused": text(self.unused),
            "grace": text(self.grace),
            "password_age": text(self.password_age),
            "password_warning": text(self.password_warning),
            "max_admins": self.max_admins,
            "review_every": text(review_every),
            "admin_roles_added": self.admins.added,
            "admin_roles_removed": self.admins.removed,
            "domains": self.domains,
            "service_accounts": self.services,
        })
    }

    /// Whether programs use the account.
    pub(crate) fn is_service(&self, email: &str) -> bool {
        let local = names::local_part(email);
        self.services.iter().any(|p| matches_pattern(p, email))
            || SERVICES.iter().any(|p| matches_pattern(p, local))
    }

    /// Whether it is nobody's own, by its name.
    pub(super) fn is_shared(&self, email: &str) -> bool {
        let local = fold_name(names::local_part(email));
        self.shared.contains(&local)
    }
}
