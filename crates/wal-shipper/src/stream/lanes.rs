//! One thread for each repository, so that a slow one that is not required holds up nobody.

use crate::places;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};
use toban_core::repo::Repo;
use toban_core::repo::archive::{Archive, Compressed, Tail};
use toban_core::repo::keys::System;
use toban_core::wal::WalName;
use toban_core::{Context, Error, Result};

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
    lanes: Vec<Lane>,
    repos: Vec<Repo>,
    system: System,
}

struct Lane {
    repo: Repo,
    jobs: Sender<Job>,
    busy: Arc<AtomicBool>,
    /// It was told that it does not keep up.
    away: AtomicBool,
}

struct Job {
    thing: Arc<Thing>,
    lane: usize,
    done: Sender<(usize, Result<()>)>,
}

/// How long a repository that is not required may hold up the others.
const COURTESY: Duration = Duration::from_secs(10);

impl Lanes {
    pub(super) fn new(repos: &[Repo], system: &System) -> Result<Lanes> {
        let lanes = repos.iter().map(|repo| lane(repo.clone(), system.clone()));
        Ok(Lanes { lanes: lanes.collect::<Result<_>>()?, repos: repos.to_vec(), system: system.clone() })
    }

    /// Durable in every required repository, and in at least one, when it returns. One that is not required and lacks a
    /// segment now has a gap, which the others record; without a tail it is only a second behind.
    ///
    /// # Errors
    /// The first of a required one; then nothing is a gap yet, because the same comes again.
    pub(super) fn store(&self, thing: Thing) -> Result<()> {
        let thing = Arc::new(thing);
        let busy = || Err(Error::retry("it is busy with what came before"));
        let mut outcome: Vec<Result<()>> = self.lanes.iter().map(|_| busy()).collect();
        for (lane, done) in self.begin(&thing) {
            outcome[lane] = done;
        }
        let named = self.lanes.iter().zip(outcome).map(|(lane, done)| {
            let done = done.doing(|| format!("repository {}", lane.repo.name));
            lane.tell(&thing, &done);
            done
        });
        let done = named.collect();
        let settled = places::settle(&self.repos, done)?;
        match &*thing {
            Thing::File(name, _) => settled.note(*name, &self.system),
            Thing::Tail(..) => Ok(()),
        }
    }

    /// What came of it, of those that answered in time.
    fn begin(&self, thing: &Arc<Thing>) -> Vec<(usize, Result<()>)> {
        let (done, answers) = channel();
        let free = |lane: &Lane| !lane.busy.swap(true, Ordering::SeqCst);
        let mut waiting = Vec::new();
        for (at, lane) in self.lanes.iter().enumerate().filter(|(_, lane)| free(lane)) {
            let job = Job { thing: Arc::clone(thing), lane: at, done: done.clone() };
            if lane.jobs.send(job).is_ok() {
                waiting.push(at);
            }
        }
        drop(done);
        self.answers(waiting, &answers)
    }

    fn answers(
        &self,
        mut waiting: Vec<usize>,
        answers: &Receiver<(usize, Result<()>)>,
    ) -> Vec<(usize, Result<()>)> {
        let until = Instant::now() + COURTESY;
        let mut got = Vec::new();
        while !waiting.is_empty() {
            let needed = waiting.iter().any(|lane| self.lanes[*lane].repo.required);
            let left = until.saturating_duration_since(Instant::now());
            let answer = if needed { answers.recv().ok() } else { answers.recv_timeout(left).ok() };
            let Some((lane, done)) = answer else { return got };
            waiting.retain(|w| *w != lane);
            got.push((lane, done));
        }
        got
    }
}

impl Lane {
    /// Says once that it does not keep up, and once that it is back.
    fn tell(&self, thing: &Thing, done: &Result<()>) {
        let was_away = self.away.swap(done.is_err(), Ordering::SeqCst);
        match (done, thing) {
            (Ok(()), _) if was_away => log::warn!("repository {} is back", self.repo.name),
            (Err(e), Thing::Tail(..)) if !was_away && !self.repo.required => {
                log::warn!("{}; it is not required: the others go on", e.chain());
            }
            _ => {}
        }
    }
}

fn lane(repo: Repo, system: System) -> Result<Lane> {
    let (jobs, queue) = channel::<Job>();
    let busy = Arc::new(AtomicBool::new(false));
    let (store, idle) = (Arc::clone(&repo.store), Arc::clone(&busy));
    let work = move || {
        for job in queue {
            let done = job.thing.store(&Archive::new(&*store, system.clone()));
            drop(job.thing);
            idle.store(false, Ordering::SeqCst);
            let _ = job.done.send((job.lane, done));
        }
    };
    std::thread::Builder::new().name("store".into()).spawn(work).doing(|| "start a thread".into())?;
    Ok(Lane { repo, jobs, busy, away: AtomicBool::new(false) })
}
