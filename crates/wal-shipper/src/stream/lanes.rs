//! What `stream` stores goes into all repositories at once, one thing at a time in each, so that a slow one that is not
//! required does not hold up the others.

use crate::gaps::record_gaps;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use toban_core::repo::archive::{Archive, Compressed, Tail};
use toban_core::repo::keys::System;
use toban_core::repo::{Repo, Repos};
use toban_core::wal::WalName;
use toban_core::{Error, Result};

/// Something to store.
pub(super) enum Thing {
    File(WalName, Compressed),
    Tail(Tail, Compressed),
}

impl Thing {
    fn store(&self, archive: &Archive<'_>) -> Result<()> {
        match self {
            Thing::File(name, compressed) => archive.put(*name, compressed).map(drop),
            Thing::Tail(tail, compressed) => archive.put_tail(tail, compressed).map(drop),
        }
    }
}

pub(super) struct Lanes {
    repos: Repos,
    system: System,
    /// By the repositories' names.
    lanes: Arc<BTreeMap<String, Lane>>,
}

/// The state of one repository.
#[derive(Default)]
struct Lane {
    /// A thread is still storing into it.
    busy: AtomicBool,
    /// That it does not keep up was reported.
    away: AtomicBool,
}

/// How long a repository that is not required may hold up the others.
const GRACE: Duration = Duration::from_secs(10);

impl Lanes {
    pub(super) fn new(repos: &Repos, system: &System) -> Lanes {
        let lanes = Arc::new(repos.iter().map(|r| (r.name.clone(), Lane::default())).collect());
        Lanes { repos: repos.clone(), system: system.clone(), lanes }
    }

    /// Durable in every required repository, and in at least one, when it returns. One that is not required and lacks a
    /// segment now has a gap, which the others record; without a tail it only lags by a second.
    ///
    /// # Errors
    /// The first of a required one; then nothing is a gap yet, because the same comes again.
    pub(super) fn store(&self, thing: Thing) -> Result<()> {
        let thing = Arc::new(thing);
        let (lanes, what, system) = (Arc::clone(&self.lanes), Arc::clone(&thing), self.system.clone());
        let written = self.repos.write_each(GRACE, move |repo| {
            // A thread that was not waited for may still be at the thing before: two at once would grow without an end while
            // the store hangs.
            let _turn = Turn::take(&lanes[&repo.name])?;
            what.store(&Archive::new(&*repo.store, system.clone()))
        });
        for (repo, done) in written.iter() {
            self.lanes[&repo.name].report(repo, &thing, done);
        }
        let settled = written.settle()?;
        match &*thing {
            Thing::File(name, _) => record_gaps(&settled, *name, &self.system),
            Thing::Tail(..) => Ok(()),
        }
    }
}

/// The time during which one thread stores into a repository.
struct Turn<'l>(&'l Lane);

impl Turn<'_> {
    fn take(lane: &Lane) -> Result<Turn<'_>> {
        match lane.busy.swap(true, Ordering::SeqCst) {
            true => Err(Error::retry("it is busy with what came before")),
            false => Ok(Turn(lane)),
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.busy.store(false, Ordering::SeqCst);
    }
}

impl Lane {
    /// Reports once that it does not keep up, and once that it is back.
    fn report(&self, repo: &Repo, thing: &Thing, done: &Result<()>) {
        let was_away = self.away.swap(done.is_err(), Ordering::SeqCst);
        match (done, thing) {
            (Ok(()), _) if was_away => log::warn!("repository {} is back", repo.name),
            (Err(e), Thing::Tail(..)) if !was_away && !repo.required => {
                log::warn!("{}; it is not required: the others go on", e.chain());
            }
            _ => {}
        }
    }
}
