//! Does something in every repository at once.

use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};
use toban_core::repo::Repo;
use toban_core::repo::gap::Gap;
use toban_core::repo::keys::System;
use toban_core::wal::WalName;
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

/// How long the repositories that are not required may take longer than the required ones.
const GRACE: Duration = Duration::from_secs(20);

/// Does `each` in all repositories in parallel. One that is not required is not waited for much longer than the others:
/// a store that hangs would hold up all that come behind.
pub(crate) fn patiently(
    repos: &[Repo],
    each: impl Fn(&Repo) -> Result<()> + Send + Sync + 'static,
) -> Vec<Result<()>> {
    if repos.iter().all(|r| r.required) {
        return all(repos, each);
    }
    let (each, (done, ended)) = (Arc::new(each), mpsc::channel());
    for (number, repo) in repos.iter().cloned().enumerate() {
        let (each, done) = (Arc::clone(&each), done.clone());
        std::thread::spawn(move || done.send((number, each(&repo).map_err(|e| in_repo(e, &repo)))));
    }
    drop(done);
    let mut results: Vec<Option<Result<()>>> = repos.iter().map(|_| None).collect();
    let mut until = None;
    loop {
        let waiting = || results.iter().zip(repos).any(|(done, r)| done.is_none() && r.required);
        // Where none is required, the first that has it is what the others are measured by.
        let well = results.iter().any(|done| matches!(done, Some(Ok(()))));
        if well && !waiting() && until.is_none() {
            until = Some(Instant::now() + GRACE);
        }
        let left = until.map_or(Duration::MAX, |at: Instant| at.saturating_duration_since(Instant::now()));
        match ended.recv_timeout(left.min(FOR_EVER)) {
            Ok((number, result)) => results[number] = Some(result),
            Err(_) => break,
        }
    }
    let late = |repo: &Repo| Err(in_repo(Error::retry(format!("not done {GRACE:?} after the others")), repo));
    results.into_iter().zip(repos).map(|(done, repo)| done.unwrap_or_else(|| late(repo))).collect()
}

/// Whoever waits for us ends us long before.
const FOR_EVER: Duration = Duration::from_secs(86_400);

/// What writing into several repositories came to: which have it, and which have a gap now, and why.
pub(crate) struct Settled<'r> {
    pub(crate) well: Vec<&'r Repo>,
    pub(crate) gaps: Vec<(&'r Repo, Error)>,
}

/// Whether writing is done: every required repository has it, and at least one.
///
/// # Errors
/// The first of a required one.
pub(crate) fn settle(repos: &[Repo], done: Vec<Result<()>>) -> Result<Settled<'_>> {
    let mut settled = Settled { well: Vec::new(), gaps: Vec::new() };
    let mut first: Option<Error> = None;
    for (repo, done) in repos.iter().zip(done) {
        match done {
            Ok(()) => settled.well.push(repo),
            Err(e) if repo.required => first = first.or(Some(e)),
            Err(e) => settled.gaps.push((repo, e)),
        }
    }
    match first {
        Some(e) => Err(e),
        None if settled.well.is_empty() => Err(nobody(settled.gaps)),
        None => Ok(settled),
    }
}

fn nobody(gaps: Vec<(&Repo, Error)>) -> Error {
    let nobody = |kind| Error::new(kind, "no repository took it");
    match gaps.into_iter().next() {
        None => nobody(Kind::Failed),
        Some((_, e)) => nobody(e.kind()).because(e),
    }
}

impl Settled<'_> {
    /// Records in the repositories that took `name` which others did not: it comes only once. Of a history there is no
    /// gap to be told: `check` misses it where a segment of its timeline is.
    ///
    /// # Errors
    /// When no repository took a record either; then whoever gave us the file must keep it.
    pub(crate) fn note(&self, name: WalName, system: &System) -> Result<()> {
        self.gaps.iter().try_for_each(|(lacks, e)| self.note_one(lacks, name, system, e))
    }

    fn note_one(&self, lacks: &Repo, name: WalName, system: &System, e: &Error) -> Result<()> {
        log::warn!("{}; it is not required, and lacks {name} now", e.chain());
        if !matches!(name, WalName::Segment(..)) {
            return Ok(());
        }
        let gap = Gap::new(name, name, Some(&lacks.name), jiff::Timestamp::now(), e.chain());
        let recorded: Vec<Result<()>> =
            self.well.iter().map(|repo| gap.record(&*repo.store, system)).collect();
        if recorded.iter().any(Result::is_ok) { Ok(()) } else { recorded.into_iter().collect() }
    }
}
