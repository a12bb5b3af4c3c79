//! What the command line takes; the doc comments are the help, the manual page and the README's table.

use crate::help::{ACCEPT_HELP, LIST_HELP, RUN_HELP};
use clap::{Args as Group, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;
use toban_core::check::Rule;
use toban_core::sign::SignArgs;
use toban_core::{At, Cli, Common, DryRun, Monitoring};

/// Audit what listens, runs, may become root and changed on a host since the last review.
#[derive(Parser, Debug)]
#[command(version, name = "host-audit", max_term_width = 100)]
pub struct HostArgs {
    #[command(flatten)]
    pub common: Common,
    #[command(subcommand)]
    pub verb: HostVerb,
}

impl Cli for HostArgs {
    fn common(&self) -> &Common {
        &self.common
    }

    fn rules() -> &'static [&'static Rule] {
        crate::rules::all_rules()
    }
}

/// What to do.
#[derive(Subcommand, Debug)]
pub enum HostVerb {
    /// Look at the host, and tell what is new, changed and gone since the last review, then what is wrong
    Run(Run),
    /// List what the last run saw, with what is accepted of it
    List(List),
    /// Record that somebody answers for what the last run, or an evidence pack, saw
    Accept(Accept),
    /// Check that an evidence pack and all before it are as they were made
    Verify(Verify),
}

/// Where what is remembered lies.
#[derive(Group, Clone, Debug)]
pub struct HostPlace {
    /// Audit the files below this folder, a copy of another host; programs are not asked, what was captured of them lies
    /// in its folder programs
    #[arg(long, value_name = "DIR", default_value = "/")]
    pub root: PathBuf,
    /// Folder of the baseline and of the last run [default: host-audit in the state directory]
    #[arg(long, value_name = "DIR")]
    pub state: Option<PathBuf>,
}

#[derive(Group, Debug)]
#[command(after_long_help = RUN_HELP)]
pub struct Run {
    /// What to look at [default: everything]
    #[arg(value_name = "SUBJECT", value_parser = crate::subject::parse_subject)]
    pub(crate) subjects: Vec<crate::subject::HostSubject>,
    #[command(flatten)]
    pub place: HostPlace,
    /// Write an evidence pack into a new folder below this one
    #[arg(long, value_name = "DIR")]
    pub pack: Option<PathBuf>,
    #[command(flatten)]
    pub sign: SignArgs,
    /// Language of findings and of the report
    #[arg(long, value_enum, value_name = "LANG", default_value = "en")]
    pub lang: Lang,
    /// Look for setuid files and capabilities on all local file systems, not only where programs and passing files lie
    #[arg(long)]
    pub deep: bool,
    /// Configuration of an SSH server; may be given several times, one for each server
    #[arg(long, value_name = "FILE", default_value = "/etc/ssh/sshd_config")]
    pub sshd_config: Vec<String>,
    /// A file that must be closed, beside the usual ones; may be given several times
    #[arg(long, value_name = "FILE")]
    pub closed: Vec<String>,
    #[command(flatten)]
    pub monitoring: Monitoring,
    #[command(flatten)]
    pub at: At,
}

/// Languages of reports.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lang {
    /// English
    En,
    /// Japanese
    Ja,
}

#[derive(Group, Debug)]
#[command(after_long_help = LIST_HELP)]
pub struct List {
    /// What to list [default: everything]
    #[arg(value_name = "SUBJECT", value_parser = crate::subject::parse_subject)]
    pub(crate) subjects: Vec<crate::subject::HostSubject>,
    #[command(flatten)]
    pub place: HostPlace,
}

#[derive(Group, Debug)]
#[command(after_long_help = ACCEPT_HELP)]
#[command(group = clap::ArgGroup::new("what").required(true).args(["only", "all"]))]
pub struct Accept {
    /// The evidence pack that was reviewed [default: what the last run saw]
    #[arg(value_name = "PACK")]
    pub pack: Option<PathBuf>,
    /// Who reviewed it
    #[arg(long, value_name = "NAME")]
    pub reviewer: String,
    /// Where it was decided, e.g. a ticket's number
    #[arg(long, value_name = "TICKET")]
    pub ticket: String,
    /// Accept what has this key, as sockets/tcp/8080; * stands for any characters, sockets/* is a whole subject; may be
    /// given several times
    #[arg(long, value_name = "KEY")]
    pub only: Vec<String>,
    /// Accept everything that was seen
    #[arg(long)]
    pub all: bool,
    /// Refuse a pack that none of the keys in this file signed (ssh-keygen's allowed signers)
    #[arg(long, value_name = "FILE", requires = "pack")]
    pub allowed_signers: Option<PathBuf>,
    #[command(flatten)]
    pub place: HostPlace,
    #[command(flatten)]
    pub dry: DryRun,
    #[command(flatten)]
    pub at: At,
}

#[derive(Group, Debug)]
pub struct Verify {
    /// The evidence pack
    #[arg(value_name = "PACK")]
    pub pack: PathBuf,
    /// Refuse a pack that none of the keys in this file signed (ssh-keygen's allowed signers)
    #[arg(long, value_name = "FILE")]
    pub allowed_signers: Option<PathBuf>,
    #[command(flatten)]
    pub place: HostPlace,
}
