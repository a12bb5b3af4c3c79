//! The repositories of one run: one that fails is left behind, and the others go on.

use crate::fanout::spread;
use crate::outcome::Tally;
use std::io::Read;
use std::sync::Mutex;
use toban_core::repo::Repo;
use toban_core::store::Key;
use toban_core::sum::Sum;
use toban_core::sync::{into_inner, lock};
use toban_core::{Error, Result};

/// Repositories and what became of each.
pub(super) struct Fleet(Mutex<Vec<(Repo, Option<Error>)>>);

impl Fleet {
    pub(super) fn new(repos: &[Repo]) -> Fleet {
        Fleet(Mutex::new(repos.iter().map(|r| (r.clone(), None)).collect()))
    }

    /// Those that still go on.
    pub(super) fn afloat(&self) -> Vec<Repo> {
        let ships = lock(&self.0);
        ships.iter().filter(|(_, e)| e.is_none()).map(|(r, _)| r.clone()).collect()
    }

    /// Does `each` for every one that goes on.
    ///
    /// # Errors
    /// When none is left.
    pub(super) fn each(&self, each: impl Fn(&Repo) -> Result<()>) -> Result<()> {
        let afloat = self.afloat();
        let done = afloat.iter().map(each).collect();
        self.note(&afloat, done)
    }

    /// Stores a stream in all of them at once.
    ///
    /// # Errors
    /// The source's, and when no repository is left.
    pub(super) fn store(&self, source: impl Read, key: &Key) -> Result<Sum> {
        let afloat = self.afloat();
        let spread = spread(source, key, &afloat)?;
        self.note(&afloat, spread.stored)?;
        Ok(spread.sum)
    }

    fn note(&self, asked: &[Repo], done: Vec<Result<()>>) -> Result<()> {
        let mut ships = lock(&self.0);
        for (repo, done) in asked.iter().zip(done) {
            let ship = ships.iter_mut().find(|(r, e)| r.name == repo.name && e.is_none());
            if let (Some((_, e)), Err(new)) = (ship, done) {
                *e = Some(new);
            }
        }
        let left = ships.iter().any(|(_, e)| e.is_none());
        if left { Ok(()) } else { Err(Error::failed("no repository is left to write to")) }
    }

    /// Each repository's end: done by `land`, or what stopped it.
    pub(super) fn land(self, tally: &mut Tally, mut land: impl FnMut(&Repo) -> Result<()>) -> Result<()> {
        let ships = into_inner(self.0);
        for (repo, e) in ships {
            let required = repo.required;
            if tally.copy(e.map_or(Ok(()), Err), required).is_some() {
                land(&repo)?;
            }
        }
        Ok(())
    }
}
