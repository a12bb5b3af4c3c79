//! Does something in every repository at once.

use toban_core::repo::Repo;
use toban_core::{Error, Kind, Result};

/// Asks `each` of all repositories in parallel; the answers are in their order.
pub(crate) fn all<T: Send>(repos: &[Repo], each: impl Fn(&Repo) -> Result<T> + Sync) -> Vec<Result<T>> {
    let named = |repo: &Repo| each(repo).map_err(|e| in_repo(e, repo));
    if let [repo] = repos {
        return vec![named(repo)];
    }
    std::thread::scope(|scope| {
        let asked: Vec<_> = repos.iter().map(|r| scope.spawn(|| named(r))).collect();
        asked.into_iter().map(|t| t.join().unwrap_or_else(|_| Err(Error::failed("a thread died")))).collect()
    })
}

fn in_repo(e: Error, repo: &Repo) -> Error {
    let (kind, cure) = (e.kind(), e.cure().map(String::from));
    let named = Error::new(kind, format!("repository {}", repo.name)).because(e);
    cure.into_iter().fold(named, Error::hint)
}

/// Whether writing is done: every required repository has it, and at least one.
///
/// # Errors
/// The first of a required one. Of the others it is logged: the gap shows in `check`.
pub(crate) fn settle(repos: &[Repo], done: Vec<Result<()>>) -> Result<()> {
    let mut well = 0;
    let mut first = None;
    for (repo, done) in repos.iter().zip(done) {
        match done {
            Ok(()) => well += 1,
            Err(e) if repo.required => first = first.or(Some(e)),
            Err(e) => log::warn!("{}; it is not required, and has a gap now", e.chain()),
        }
    }
    match first {
        Some(e) => Err(e),
        None if well == 0 => Err(Error::new(Kind::Failed, "no repository took it")),
        None => Ok(()),
    }
}
