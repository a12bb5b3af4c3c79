//! What the command line takes; the doc comments are the help, the manual page and the README's table.

use crate::cli_verify::Verify;
use crate::help::CHECK_HELP;
use crate::wishes::Wishes;
use clap::{Args as Group, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;
use toban_core::{At, Cli, Common, Monitoring};

/// Tell certificates that expire, break or are not the ones being served, before users notice.
#[derive(Parser, Debug)]
#[command(version, name = "cert-checker", max_term_width = 100)]
pub struct Args {
    #[command(flatten)]
    pub common: Common,
    #[command(subcommand)]
    pub verb: Verb,
}

impl Cli for Args {
    fn common(&self) -> &Common {
        &self.common
    }
}

/// What to do.
#[derive(Subcommand, Debug)]
#[expect(clippy::large_enum_variant, reason = "there is one of it in a process")]
pub enum Verb {
    /// Check the certificates of servers and files
    Check(Check),
    /// Judge whether a certificate's path to a trusted root is valid, from files alone
    Verify(Verify),
}

#[derive(Group, Debug)]
#[command(after_long_help = CHECK_HELP)]
pub struct Check {
    /// HOST or HOST:PORT, smtp://HOST (also lmtp, imap, pop3, sieve, ftp, ldap, xmpp, postgres, mysql), a file, a folder,
    /// a pattern, or FILE=HOST:PORT for what should be served from the file [default: the targets in the configuration]
    #[arg(value_name = "TARGET")]
    pub targets: Vec<String>,
    /// Take targets from this file, one per line with key=value options behind it, - for stdin; a file of certificates
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
    pub wishes: Wishes,
    /// How bad it is when a target cannot be reached
    #[arg(long, value_enum, value_name = "STATE", default_value = "unknown")]
    pub unreachable: Reach,
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

/// What `--unreachable` says.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Nobody knows about the certificate
    Unknown,
    /// The service is down
    Critical,
}
