//! What the command line takes; the doc comments are the help, the manual page and the README's table.

use crate::help::{ACCEPT_HELP, APP_HELP, ROLES_HELP};
use clap::{Args as Group, Parser, Subcommand, ValueEnum};
use std::net::IpAddr;
use std::path::PathBuf;
use toban_core::check::Rule;
use toban_core::config::Span;
use toban_core::sign::SignArgs;
use toban_core::{At, Cli, Common, Monitoring};

/// Audit who has access to an application and to PostgreSQL, and what changed since the last review.
#[derive(Parser, Debug)]
#[command(version, name = "user-audit", max_term_width = 100)]
pub struct AuditArgs {
    #[command(flatten)]
    pub common: Common,
    #[command(subcommand)]
    pub verb: AuditVerb,
}

impl Cli for AuditArgs {
    fn common(&self) -> &Common {
        &self.common
    }

    fn rules() -> &'static [&'static Rule] {
        crate::rulebook::all_rules()
    }
}

/// What to do.
#[derive(Subcommand, Debug)]
pub enum AuditVerb {
    /// Audit an application's users and roles, in PostgreSQL or SQLite
    App(App),
    /// Audit PostgreSQL's own roles, their paths to powerful rights, pg_hba.conf and grants
    Roles(Roles),
    /// Record that the access in an evidence pack was reviewed: later runs tell what changed since
    Accept(Accept),
}

/// Which databases, judged as of when, and where the result goes.
#[derive(Group, Clone, Debug)]
pub struct Scope {
    /// Database to audit; may be given several times: a libpq connection string or URI, or sqlite:FILE for an
    /// application [default: the cluster's db and databases in the configuration, DATABASE_URL, then PG* variables]
    #[arg(long, value_name = "CONNINFO")]
    pub db: Vec<String>,
    /// Name of the PostgreSQL cluster and of its [cluster.NAME] section; reviews are kept by it
    #[arg(long, value_name = "NAME", default_value = "main", env = "TOBAN_CLUSTER", value_parser = toban_core::cli::parse_name)]
    pub cluster: String,
    /// Cancel a query that takes longer
    #[arg(long, value_name = "TIME", default_value = "5min")]
    pub timeout: Span,
    /// Write an evidence pack into a new folder below this one
    #[arg(long, value_name = "DIR")]
    pub pack: Option<PathBuf>,
    #[command(flatten)]
    pub sign: SignArgs,
    /// Folder of accepted reviews [default: reviews in the state directory]
    #[arg(long, value_name = "DIR")]
    pub reviews: Option<PathBuf>,
    /// Warn when the last accepted review is older [default: 35d]
    #[arg(long, value_name = "TIME")]
    pub review_every: Option<Span>,
    /// What to replace by a keyed hash in everything that is written; the key: credential audit_redact_key, or
    /// TOBAN_REDACT_KEY
    #[arg(long, value_enum, value_name = "WHAT")]
    pub redact: Option<Redact>,
    #[command(flatten)]
    pub monitoring: Monitoring,
    #[command(flatten)]
    pub at: At,
}

/// What `--redact` hides.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Redact {
    /// E-mail addresses: the same one gives the same hash, so lists can still be joined
    Email,
}

#[derive(Group, Debug)]
#[command(after_long_help = APP_HELP)]
pub struct App {
    #[command(flatten)]
    pub scope: Scope,
    /// Tables and columns: default, django, or an [audit.mapping.NAME] section [default: the section with the
    /// database's name, else default]
    #[arg(long, value_name = "NAME")]
    pub mapping: Option<String>,
    /// Write a mapping for the configuration from the columns, with the reasons and what is not known, and stop
    #[arg(long)]
    pub detect: bool,
    /// An account is unused after this time [default: 90d]
    #[arg(long, value_name = "TIME")]
    pub unused: Option<Span>,
    /// A new account may be unused for this time [default: 30d]
    #[arg(long, value_name = "TIME")]
    pub grace: Option<Span>,
    /// A password is too old after this time [default: 75d]
    #[arg(long, value_name = "TIME")]
    pub password_age: Option<Span>,
    /// Warn this long before a password is too old, too [default: only when it is]
    #[arg(long, value_name = "TIME")]
    pub password_warning: Option<Span>,
    /// More administrators than this are too many [default: 5]
    #[arg(long, value_name = "N")]
    pub max_admins: Option<usize>,
    /// A role that makes administrators, beside the usual names (admin, ROLE_ADMIN, superuser, root, owner, what ends
    /// in admin); !NAME takes a usual one out; may be given several times
    #[arg(long, value_name = "ROLE")]
    pub admin_role: Vec<String>,
    /// A domain that e-mail addresses may have; may be given several times [default: any]
    #[arg(long, value_name = "DOMAIN")]
    pub domain: Vec<String>,
    /// Also judge the accounts of a system, as `host-audit list accounts --json` wrote them: who is disabled here and gets
    /// in there, and whose nobody knows. An account is of the address's first part, or by [audit.os_accounts]
    #[arg(long, value_name = "FILE")]
    pub os_accounts: Option<PathBuf>,
}

#[derive(Group, Debug)]
#[command(after_long_help = ROLES_HELP)]
pub struct Roles {
    #[command(flatten)]
    pub scope: Scope,
    /// A server log that tells when roles connected (stderr, csvlog or jsonlog, also .gz); may be given several
    /// times
    #[arg(long, value_name = "FILE")]
    pub log: Vec<PathBuf>,
    /// A table that a login event trigger (17 and newer) fills, with columns role and last_at; docs/guide/audit.md
    /// has the trigger
    #[arg(long, value_name = "TABLE")]
    pub login_table: Option<String>,
    /// Report who can log in from this address, instead of from anywhere
    #[arg(long, value_name = "ADDRESS")]
    pub from: Option<IpAddr>,
    /// A role that the logs have not seen for this time is unused [default: 90d]
    #[arg(long, value_name = "TIME")]
    pub unused: Option<Span>,
    /// Warn this long before a password expires
    #[arg(long, value_name = "TIME", default_value = "14d")]
    pub expiry_warning: Span,
}

#[derive(Group, Debug)]
#[command(after_long_help = ACCEPT_HELP)]
pub struct Accept {
    /// The evidence pack that was reviewed
    #[arg(value_name = "PACK")]
    pub pack: PathBuf,
    /// Who reviewed it
    #[arg(long, value_name = "NAME")]
    pub reviewer: String,
    /// What was decided
    #[arg(long, value_enum)]
    pub decision: Decision,
    /// Where it was decided, e.g. a ticket's number
    #[arg(long, value_name = "TICKET")]
    pub ticket: String,
    /// Folder of accepted reviews [default: reviews in the state directory]
    #[arg(long, value_name = "DIR")]
    pub reviews: Option<PathBuf>,
    /// Refuse a pack that none of the keys in this file signed (ssh-keygen's allowed signers)
    #[arg(long, value_name = "FILE")]
    pub allowed_signers: Option<PathBuf>,
    #[command(flatten)]
    pub dry: toban_core::DryRun,
    #[command(flatten)]
    pub at: At,
}

/// How a review ended.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The access in the pack is as it should be: later runs compare with it
    Approved,
    /// It is not: recorded, and later runs go on comparing with the review before
    Rejected,
}
