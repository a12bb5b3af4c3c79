//! What the command line takes; the doc comments are the help, the manual page and the README's table.

use crate::options::Options;
use crate::rules;
use clap::{Args as Group, Parser, Subcommand, ValueEnum};
use pkix::{PeerName, Profile, Purpose};
use std::path::PathBuf;
use toban_core::check::Rule;
use toban_core::{At, Cli, Common, Monitoring};

/// Find certificates that expire, break or are not the ones being served, before users notice.
#[derive(Parser, Debug)]
#[command(version, name = "cert-checker", max_term_width = 100)]
pub struct CertArgs {
    #[command(flatten)]
    pub common: Common,
    #[command(subcommand)]
    pub verb: CertVerb,
}

impl Cli for CertArgs {
    fn common(&self) -> &Common {
        &self.common
    }

    fn rules() -> &'static [&'static Rule] {
        rules::RULES
    }
}

/// What to do.
#[derive(Subcommand, Debug)]
#[expect(clippy::large_enum_variant, reason = "there is one of it in a process")]
pub enum CertVerb {
    /// Check the certificates of servers and files
    Check(CheckArgs),
    /// Judge whether a certificate's path to a trusted root is valid, from files alone
    Verify(VerifyArgs),
}

#[derive(Group, Debug)]
#[command(after_long_help = CHECK_HELP)]
pub struct CheckArgs {
    /// HOST or HOST:PORT, smtp://HOST (also lmtp, imap, pop3, sieve, ftp, ldap, xmpp, postgres, mysql), a file, a folder,
    /// a pattern, or FILE=HOST:PORT for what should be served from the file [default: the targets in the configuration]
    #[arg(value_name = "TARGET")]
    pub targets: Vec<String>,
    /// Take targets from this file, one per line, followed by key=value options, - for stdin; a file of certificates
    /// is a target itself; may be given several times
    #[arg(short = 'f', long, value_name = "FILE")]
    pub targets_from: Vec<PathBuf>,
    /// Check the TLS ports that listen on this host
    #[arg(long)]
    pub discover: bool,
    /// A target, as check_ssl_cert names it
    #[arg(short = 'H', long, value_name = "HOST")]
    pub host: Option<String>,
    /// Its port
    #[arg(short, long, value_name = "PORT", requires = "host")]
    pub port: Option<u16>,
    /// What it speaks: https, tls, smtp, postgres and the other schemes of targets
    #[arg(short = 'P', long, value_name = "PROTOCOL", requires = "host")]
    pub protocol: Option<String>,
    #[command(flatten)]
    pub options: Options,
    /// Severity when a target cannot be reached
    #[arg(long, value_enum, value_name = "STATE", default_value = "unknown")]
    pub unreachable: Unreachable,
    /// Check at most so many targets at once
    #[arg(long, value_name = "N", default_value_t = 1024, value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub jobs: u16,
    /// Name of this job: changes are remembered, runs recorded and metrics written by it
    #[arg(long, value_name = "NAME", default_value = "main", value_parser = toban_core::cli::parse_name)]
    pub job: String,
    #[command(flatten)]
    pub monitoring: Monitoring,
    #[command(flatten)]
    pub at: At,
}

impl CheckArgs {
    /// Whether the command line says what is checked, instead of the configuration.
    pub(crate) fn names_targets(&self) -> bool {
        !self.targets.is_empty() || self.host.is_some() || !self.targets_from.is_empty() || self.discover
    }
}

/// What `--unreachable` says.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreachable {
    /// The certificate was not seen
    Unknown,
    /// The service is down
    Critical,
}

#[derive(Group, Debug)]
#[command(after_long_help = VERIFY_HELP)]
pub struct VerifyArgs {
    /// The certificate to judge, PEM or DER; `-` is standard input. What follows it in the file may be part of its path
    #[arg(value_name = "LEAF")]
    pub leaf: PathBuf,
    /// Certificates to trust, PEM or DER, also such as are no roots; repeatable [default: this system's]
    #[arg(long, value_name = "FILE")]
    pub trust: Vec<PathBuf>,
    /// Certificates that may be part of the path, in any order; repeatable, may hold none
    #[arg(long, value_name = "FILE")]
    pub intermediates: Vec<PathBuf>,
    /// The host, address or mail address that the certificate must be for; repeatable, then for all
    #[arg(long, value_name = "NAME", value_parser = PeerName::parse)]
    pub name: Vec<PeerName>,
    /// Judge as of this time, not now (RFC 3339, or seconds since 1970)
    #[arg(long, value_name = "TIME", value_parser = parse_seconds, allow_hyphen_values = true)]
    pub at: Option<i64>,
    /// Revocation lists, PEM or DER; repeatable. The leaf's issuer must then have one that covers the leaf
    #[arg(long, value_name = "FILE")]
    pub crl: Vec<PathBuf>,
    /// Refuse a path of which any issuer has no revocation list here
    #[arg(long)]
    pub require_crl: bool,
    /// Whose rules: both (RFC 5280's and the Web PKI's), rfc5280, webpki, or basic (what common clients enforce)
    #[arg(long, value_name = "PROFILE", default_value = "both", value_parser = parse_profile)]
    pub profile: Profile,
    /// What the key is for: server, client, email, code-signing, time-stamping, ocsp-signing or any
    /// [default: server, or for a mail address client or email]
    #[arg(long, value_name = "PURPOSE", value_parser = parse_purpose)]
    pub purpose: Option<Purpose>,
    /// The most intermediate certificates of a path [default: 16]
    #[arg(long, value_name = "N")]
    pub max_depth: Option<usize>,
}

/// Whole seconds: certificates know nothing finer, and a fraction does not end one early.
fn parse_seconds(text: &str) -> Result<i64, String> {
    if let Ok(seconds) = text.parse::<i64>() {
        return Ok(seconds);
    }
    let parsed = text.parse::<jiff::Timestamp>();
    parsed
        .map(floor_second)
        .map_err(|e| format!("{e}; write it as 2026-11-21T03:00:00Z or as seconds since 1970"))
}

fn floor_second(at: jiff::Timestamp) -> i64 {
    at.as_second() - i64::from(at.subsec_nanosecond() < 0)
}

fn parse_profile(word: &str) -> Result<Profile, String> {
    find_word(&Profile::ALL, word)
}

fn parse_purpose(word: &str) -> Result<Purpose, String> {
    find_word(&Purpose::ALL, word)
}

fn find_word<T: Copy>(all: &[(&str, T)], word: &str) -> Result<T, String> {
    let known = || all.iter().map(|(w, _)| *w).collect::<Vec<_>>().join(", ");
    let found = all.iter().find(|(w, _)| *w == word).map(|(_, value)| *value);
    found.ok_or_else(|| format!("it takes {}", known()))
}

const CHECK_HELP: &str = "\
Examples:
  A web server, and a mail server that begins in plain text:
    cert-checker check example.org smtp://mx.example.org
  Is what lies on disk what is being served?
    cert-checker check /etc/letsencrypt/live/example.org/fullchain.pem=example.org:443,smtp://mx.example.org
  Every certificate below a folder, and every TLS port of this host:
    cert-checker check /etc/letsencrypt/live --discover
  A list with options of its own after each target (db.internal:5432 ca=/etc/ssl/own.pem warning=14d):
    cert-checker check --targets-from targets.txt --json
  As a plugin of a monitoring system, with the options of check_ssl_cert:
    cert-checker check --monitoring -H example.org -p 443 -w 20 -c 7
  Versions, ciphers and the grade that SSL Labs would give:
    cert-checker check --grade --hsts example.org

Warnings begin below min(30 % of the life, 25 d), criticals below min(15 %, 7 d): that fits certificates
of 6 days as well as of 10 years. Each finding has an id that stays the same; docs/reference/findings.md
lists them. A target that could not be reached is unknown, and when no certificate was seen at all the
run fails.";

const VERIFY_HELP: &str = "\
Examples:
  cert-checker verify fullchain.pem
  cert-checker verify --trust roots.pem --intermediates ints.pem --name example.org leaf.pem
  cert-checker verify --trust ca.pem --crl ca.crl --at 2026-11-21T03:00:00Z --json - <leaf.pem

Status 0 text that a valid path exists, 4 that none does and why; 1 and 2 that it could not be
judged. A file that holds PEM or DER which is no certificate is judged: such a leaf is not valid.
Expiry thresholds, the longest life and transparency logs are not validity: check watches those.

Profiles: rfc5280 holds certificates to RFC 5280, webpki to the browsers' Baseline Requirements
too, basic to what common clients enforce. both refuses what either of the first two refuses,
except what RFC 5280 expressly permits: an authority's certificate as the leaf, a leaf without
extended key usage, a leaf without alternative names when no name is asked for.";
