//! `init`: from nothing to a proven restore. Facts are read, a plan is made of them and printed, and `--apply` carries
//! it out through the command line that an administrator would use.

mod apply;
mod clusters;
mod foreign;
mod plan;
mod policy;
mod probe;
mod server;
mod toml_text;

use crate::cli;
use crate::doctor::find_folder;
use crate::units::{Unit, read_units};
use clusters::choose_cluster;
use plan::{Plan, PlanFacts, PlannedRepo};
use serde::Serialize;
use server::InitServer;
use std::path::{Path, PathBuf};
use toban_core::config::{Config, DEFAULT_PATH};
use toban_core::machine::{self, Account};
use toban_core::repo::{Repo, RepoArgs};
use toban_core::{Error, Kind, Out, Record, Result};

/// A line of a file that would be written, so that a pipe gets the file.
#[derive(Serialize)]
struct FileLine<'l> {
    line: &'l str,
}

impl Record for FileLine<'_> {
    const SCHEMA: &'static str = "pg-backup.init-line/1";
    const HEAD: &'static [&'static str] = &["toban.toml"];
    fn cells(&self) -> Vec<String> {
        vec![self.line.into()]
    }
}

fn emit_lines(text: &str, out: &mut Out<'_>) -> Result<()> {
    text.lines().try_for_each(|line| out.emit(&FileLine { line }))
}

/// Runs the verb.
pub(crate) fn run(args: &cli::Init, common: &toban_core::Common, out: &mut Out<'_>) -> Result<()> {
    // The file that init is to write may be named before it is there.
    let config = match &common.config {
        Some(path) if !path.exists() => Config::default(),
        _ => common.config()?,
    };
    match (&args.from, args.policy) {
        (Some(path), _) => {
            let translated = foreign::translate_file(path)?;
            return emit_lines(&translated.write_toml(&args.repos.cluster), out);
        }
        (None, Some(of)) => return policy::emit_policy(of, args, &config, out),
        (None, None) if args.s3 => return policy::emit_documents(args, &config, out),
        (None, None) => {}
    }
    let path = common.config.clone().unwrap_or_else(|| DEFAULT_PATH.into());
    let facts = read_facts(args, &config, path)?;
    let plan = Plan::make(&facts);
    plan.emit(out)?;
    plan.config_text(&facts).map_or(Ok(()), |text| emit_lines(&text, out))?;
    plan.refuse_differences()?;
    if !args.apply || plan.is_done() {
        return show_status(args, common, &plan, out);
    }
    confirm(args, &plan)?;
    apply::carry_out(&plan, out)?;
    show_status(args, common, &plan, out)
}

/// Prints the status, where there is something to show: findings in it are no failure of init.
fn show_status(args: &cli::Init, common: &toban_core::Common, plan: &Plan, out: &mut Out<'_>) -> Result<()> {
    if !args.apply && !plan.is_done() {
        log::info!("nothing was done: --apply carries the plan out");
        return Ok(());
    }
    let status = cli::StatusArgs {
        server: args.server.clone(),
        repos: RepoArgs { repo: Vec::new(), ..args.repos.clone() },
        monitoring: toban_core::Monitoring { monitoring: false },
        at: toban_core::At::default(),
    };
    match crate::status::run(&status, &common.config()?, out) {
        Err(e) if e.kind() == Kind::Findings => Ok(()),
        shown => shown,
    }
}

/// One question for the whole plan; where no person can answer it, `--yes` must be given.
fn confirm(args: &cli::Init, plan: &Plan) -> Result<()> {
    use std::io::{BufRead, IsTerminal, Write};
    if args.yes {
        return Ok(());
    }
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        return Err(Error::usage("stdin is no terminal: the plan cannot be confirmed")
            .hint("give --yes with --apply"));
    }
    let mut answer = String::new();
    let asked = write!(std::io::stderr(), "Carry out {} steps? [y/N] ", plan.count_needed());
    let read = asked.and_then(|()| stdin.lock().read_line(&mut answer));
    match read.is_ok() && ["y", "yes"].contains(&answer.trim().to_lowercase().as_str()) {
        true => Ok(()),
        false => Err(Error::usage("the plan was not confirmed: nothing was done")),
    }
}

fn read_facts(args: &cli::Init, config: &Config, path: PathBuf) -> Result<PlanFacts> {
    let cluster = args.repos.cluster.clone();
    let section = config.cluster.get(&cluster);
    let found = choose_cluster(args.server.db.as_deref().or(section.and_then(|s| s.db.as_deref())))?;
    let bin_dir = args.server.bin_dir.clone().or_else(|| section.and_then(|s| s.bin_dir.clone()));
    let server = InitServer::read(&found, bin_dir.as_deref())?;
    let named = RepoArgs { repo: name_repos(args, config), ..args.repos.clone() };
    let repos = named.open(config)?;
    for repo in &repos {
        // A folder is of another user until the plan has made it: there the first backup is the probe.
        if find_folder(repo).is_none() || server.owner.is_me() {
            probe::probe_repo(repo)?;
        }
    }
    let units: Option<Vec<Unit>> = read_units(&cluster).ok();
    let proofs = crate::status::read_proofs(&repos, &cluster, server.identifier);
    Ok(PlanFacts {
        planned: repos.iter().map(|repo| describe_repo(repo, args, config)).collect(),
        there: section.cloned(),
        file_exists: path.exists(),
        known_repos: config.repo.iter().map(|(name, repo)| (name.clone(), repo.url.clone())).collect(),
        programs: ["pg-backup", "wal-shipper", "pg-drill"]
            .into_iter()
            .filter_map(|name| Some((name, machine::find_program(name).ok()??)))
            .collect(),
        unit_folder: units.as_ref().map(|_| plan::find_unit_folder()),
        units: units.unwrap_or_default(),
        config: path,
        cluster,
        server,
        proofs,
    })
}

/// The flags, else what the configuration has.
fn name_repos(args: &cli::Init, config: &Config) -> Vec<String> {
    let by_url = |url: &String| config.repo.iter().find(|(_, r)| r.url == *url).map(|(name, _)| name.clone());
    args.repos.repo.iter().map(|given| by_url(given).unwrap_or_else(|| given.clone())).collect()
}

fn describe_repo(repo: &Repo, args: &cli::Init, config: &Config) -> PlannedRepo {
    let section = config.repo.get(&repo.name);
    let url = section.map_or(repo.name.clone(), |s| s.url.clone());
    PlannedRepo {
        name: section.map(|_| repo.name.clone()),
        settings: name_settings(&url, args),
        url,
        folder: find_folder(repo),
    }
}

/// What the command line and this shell's environment say of where a store is: no job sees either.
fn name_settings(url: &str, args: &cli::Init) -> Vec<(&'static str, String)> {
    let variable =
        |names: &[&str]| names.iter().find_map(|name| std::env::var(name).ok().filter(|v| !v.is_empty()));
    let keys = match url.split_once("://") {
        Some(("s3", _)) => vec![
            ("s3_endpoint", args.repos.s3_endpoint.clone()),
            ("s3_region", variable(&["AWS_REGION", "AWS_DEFAULT_REGION"])),
        ],
        Some(("az", _)) => vec![("azure_account", variable(&["AZURE_STORAGE_ACCOUNT"]))],
        _ => Vec::new(),
    };
    keys.into_iter().filter_map(|(key, value)| Some((key, value?))).collect()
}

/// Who owns the data directory, and what runs programs as that user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Owner {
    pub(super) name: String,
    pub(super) uid: u32,
}

impl Owner {
    fn of(path: &Path) -> Result<Owner> {
        use std::os::unix::fs::MetadataExt;
        use toban_core::Context;
        let uid = std::fs::metadata(path).doing(|| format!("look at {}", path.display()))?.uid();
        Ok(Owner { name: Account::name_of(uid), uid })
    }

    /// Whether this process is the owner's.
    pub(super) fn is_me(&self) -> bool {
        rustix::process::geteuid().as_raw() == self.uid
    }

    /// The words as the owner would give them: root becomes the owner, since neither a peer's name nor the files that a
    /// job makes may be root's.
    pub(super) fn words(&self, words: &[&str]) -> Vec<String> {
        let change: &[&str] = if self.is_me() { &[] } else { &["runuser", "-u", &self.name, "--"] };
        change.iter().chain(words).map(ToString::to_string).collect()
    }
}
