//! What `verify` takes.

use crate::help::VERIFY_HELP;
use clap::Args as Group;
use pkix::{PeerName, Profile, Purpose};
use std::path::PathBuf;

#[derive(Group, Debug)]
#[command(after_long_help = VERIFY_HELP)]
pub struct Verify {
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
    #[arg(long, value_name = "TIME", value_parser = moment, allow_hyphen_values = true)]
    pub at: Option<i64>,
    /// Revocation lists, PEM or DER; repeatable. The leaf's issuer must then have one that covers the leaf
    #[arg(long, value_name = "FILE")]
    pub crl: Vec<PathBuf>,
    /// Refuse a path of which any issuer has no revocation list here
    #[arg(long)]
    pub require_crl: bool,
    /// Whose rules: both (RFC 5280's and the Web PKI's), rfc5280, webpki, or basic (what common clients enforce)
    #[arg(long, value_name = "PROFILE", default_value = "both", value_parser = profile)]
    pub profile: Profile,
    /// What the key is for: server, client, email, code-signing, time-stamping, ocsp-signing or any
    /// [default: server, or for a mail address client or email]
    #[arg(long, value_name = "PURPOSE", value_parser = purpose)]
    pub purpose: Option<Purpose>,
    /// The most intermediate certificates of a path [default: 16]
    #[arg(long, value_name = "N")]
    pub max_depth: Option<usize>,
}

/// Whole seconds: certificates know nothing finer, and a fraction does not end one early.
fn moment(text: &str) -> Result<i64, String> {
    if let Ok(seconds) = text.parse::<i64>() {
        return Ok(seconds);
    }
    let parsed = text.parse::<jiff::Timestamp>();
    parsed.map(floor).map_err(|e| format!("{e}; write it as 2026-11-21T03:00:00Z or as seconds since 1970"))
}

fn floor(at: jiff::Timestamp) -> i64 {
    at.as_second() - i64::from(at.subsec_nanosecond() < 0)
}

fn profile(word: &str) -> Result<Profile, String> {
    by_word(&Profile::ALL, word)
}

fn purpose(word: &str) -> Result<Purpose, String> {
    by_word(&Purpose::ALL, word)
}

fn by_word<T: Copy>(all: &[(&str, T)], word: &str) -> Result<T, String> {
    let known = || all.iter().map(|(w, _)| *w).collect::<Vec<_>>().join(", ");
    let found = all.iter().find(|(w, _)| *w == word).map(|(_, value)| *value);
    found.ok_or_else(|| format!("it takes {}", known()))
}
