//! Which repositories are copied from and to, as flags and configuration name them.

use crate::cli;
use toban_core::config::Config;
use toban_core::repo::{Repo, RepoArgs, Repos};
use toban_core::{Error, Result};

/// A repository, and one that gets a copy of it.
#[derive(Clone)]
pub(crate) struct RepoPair {
    pub(crate) from: Repo,
    pub(crate) to: Repo,
}

/// Those that the flags name, else each of the configuration that has `copies`.
///
/// # Errors
/// Usage when a name is unknown, two are the same, or there is none.
pub(super) fn open_pairs(args: &cli::CopyArgs, config: &Config) -> Result<Vec<RepoPair>> {
    if let Some(from) = &args.from {
        let from_repos = args.repos(std::slice::from_ref(from)).open(config)?;
        return pair_up(&from_repos, &args.to, &args.repos(&args.to), config);
    }
    let all = config.repo.iter().filter(|(_, section)| !section.copies.is_empty());
    let names: Vec<String> = all.map(|(name, _)| name.clone()).collect();
    if names.is_empty() {
        let e = Error::usage("nothing says what to copy");
        return Err(e.hint("give --from and --to, or `copies = [\"NAME\"]` in a [repo.NAME] section"));
    }
    let from = args.repos(&names).open(config)?;
    open_copies(config, &args.repos(&names), &from)
}

/// What the sections of `repos` have as `copies`.
///
/// # Errors
/// Usage when a name is unknown, or a repository would be copied to itself.
pub(crate) fn open_copies(config: &Config, args: &RepoArgs, repos: &Repos) -> Result<Vec<RepoPair>> {
    let mut pairs = Vec::new();
    for repo in repos {
        let Some(section) = config.repo.get(&repo.name).filter(|s| !s.copies.is_empty()) else { continue };
        let flags = RepoArgs { repo: section.copies.clone(), ..args.clone() };
        pairs.extend(pair_up(&Repos::new(vec![repo.clone()]), &section.copies, &flags, config)?);
    }
    Ok(pairs)
}

fn pair_up(from: &Repos, names: &[String], to: &RepoArgs, config: &Config) -> Result<Vec<RepoPair>> {
    let url = |name: &str| {
        let url = config.repo.get(name).map_or(name, |s| s.url.as_str());
        url.trim_start_matches("file://").trim_end_matches('/').to_string()
    };
    let to = to.open(config)?;
    let mut pairs = Vec::new();
    for from in from {
        if let Some(name) = names.iter().find(|name| url(name) == url(&from.name)) {
            return Err(Error::usage(format!("{name} would be copied to itself")));
        }
        pairs.extend(to.iter().map(|to| RepoPair { from: from.clone(), to: to.clone() }));
    }
    Ok(pairs)
}
