//! What `stream` stores goes into all repositories at once, one object at a time in each, so that a slow one that is not
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

/// What is stored: a whole file of the WAL, or a tail of a segment.
pub(super) enum WalObject {
    File(WalName, Compressed),
    Tail(Tail, Compressed),
}

impl WalObject {
    fn store_in(&self, archive: &Archive<'_>) -> Result<()> {
        match self {
            WalObject::File(name, compressed) => archive.put(*name, compressed).map(drop),
            WalObject::Tail(tail, compressed) => archive.put_tail(tail, compressed).map(drop),
        }
    }
}

/// The repositories, each with what is known of the writing into it.
pub(super) struct RepoWriters {
    repos: Repos,
    system: System,
    /// By the repositories' names.
    writers: Arc<BTreeMap<String, RepoWriter>>,
}

/// The state of one repository.
#[derive(Default)]
struct RepoWriter {
    /// A thread is still storing into it.
    busy: AtomicBool,
    /// That it does not keep up was reported.
    away: AtomicBool,
}

/// How long a repository that is not required may hold up the others.
const GRACE: Duration = Duration::from_secs(10);

impl RepoWriters {
    pub(super) fn new(repos: &Repos, system: &System) -> RepoWriters {
        let writers = Arc::new(repos.iter().map(|r| (r.name.clone(), RepoWriter::default())).collect());
        RepoWriters { repos: repos.clone(), system: system.clone(), writers }
    }

    /// Durable in every required repository, and in at least one, when it returns. One that is not required and lacks a
    /// segment now has a gap, which the others record; without a tail it only lags by a second.
    ///
    /// # Errors
    /// The first of a required one; then nothing is a gap yet, because the same comes again.
    pub(super) fn store_object(&self, object: WalObject) -> Result<()> {
        let object = Arc::new(object);
        let (writers, what, system) = (Arc::clone(&self.writers), Arc::clone(&object), self.system.clone());
        let written = self.repos.write_each(GRACE, move |repo| {
            // A thread that was not waited for may still be at the thing before: two at once would grow without an end while
            // the store hangs.
            let _turn = Turn::take_turn(&writers[&repo.name])?;
            what.store_in(&Archive::new(&*repo.store, system.clone()))
        });
        for (repo, done) in written.iter() {
            self.writers[&repo.name].report_change(repo, &object, done);
        }
        let settled = written.settle()?;
        match &*object {
            WalObject::File(name, _) => record_gaps(&settled, *name, &self.system),
            WalObject::Tail(..) => Ok(()),
        }
    }
}

/// The time during which one thread stores into a repository.
struct Turn<'l>(&'l RepoWriter);

impl Turn<'_> {
    fn take_turn(writer: &RepoWriter) -> Result<Turn<'_>> {
        match writer.busy.swap(true, Ordering::SeqCst) {
            true => Err(Error::retry("it is busy with what came before")),
            false => Ok(Turn(writer)),
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.busy.store(false, Ordering::SeqCst);
    }
}

impl RepoWriter {
    /// Reports once that it does not keep up, and once that it is back.
    fn report_change(&self, repo: &Repo, object: &WalObject, done: &Result<()>) {
        let was_away = self.away.swap(done.is_err(), Ordering::SeqCst);
        match (done, object) {
            (Ok(()), _) if was_away => log::warn!("repository {} is back", repo.name),
            (Err(e), WalObject::Tail(..)) if !was_away && !repo.required => {
                log::warn!("{}; it is not required: the others go on", e.chain());
            }
            _ => {}
        }
    }
}
