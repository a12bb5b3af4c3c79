//! What several repositories mean together: asking each, reading from the first that has it, writing to all.
//!
//! One rule holds for every tool. Reading passes over a repository that cannot be asked while another has the answer;
//! that something is nowhere is proven only when all could be asked. Writing is done when every required repository has
//! it, and at least one.

use crate::age::Recipients;
use crate::config::Keep;
use crate::error::{Context, Error, Result};
use crate::store::{Attrs, Encryption, Key, Store, Stored};
use crate::sync::joined;
use std::io::Read;
use std::ops::Deref;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

/// One opened repository.
#[derive(Clone)]
pub struct Repo {
    /// The section's name, or the URL.
    pub name: String,
    /// Where it is, whichever of the two it was named by.
    pub url: String,
    /// Whether a run fails when this one does.
    pub required: bool,
    /// What `prune` keeps here.
    pub keep: Keep,
    /// Whether names of databases are hidden here from who has no key.
    pub hides_names: bool,
    /// The store itself.
    pub store: Arc<dyn Store>,
}

impl Repo {
    /// Sees to it that something of `cluster` is here: a mistyped name or folder must not pass for one in which there
    /// is nothing to do.
    ///
    /// # Errors
    /// Usage when there is nothing, with what there is instead; else those of the store.
    pub fn check_holds(&self, cluster: &str) -> Result<()> {
        match self.store.folders(&format!("{cluster}/"))?.is_empty() {
            true => Err(self.lacks("nothing", cluster)),
            false => Ok(()),
        }
    }

    /// What to say when `what` (`nothing`, `no dump`) is all there is of `cluster` here.
    pub fn lacks(&self, what: &str, cluster: &str) -> Error {
        let e = Error::usage(format!("repository {} holds {what} of cluster {cluster}", self.name));
        match self.store.folders("") {
            Ok(names) if names.is_empty() => e.hint("it is empty: is it the right place?"),
            Ok(names) if names.iter().any(|n| n == cluster) => {
                e.hint("it holds WAL of the cluster, or what unfinished runs left behind")
            }
            Ok(names) => e.hint(format!("it holds {}: is --cluster or --repo wrong?", names.join(", "))),
            Err(_) => e,
        }
    }

    /// Stores an object whose name is not taken yet.
    ///
    /// # Errors
    /// Failed when the name is taken; else those of the store and of `body`.
    pub fn put_new(&self, key: &Key, body: &mut dyn Read) -> Result<()> {
        match self.store.put(key, body, &Attrs::new()).doing(|| format!("store {key}"))? {
            Stored::New => Ok(()),
            Stored::Exists => Err(Error::failed(format!("store {key}: the name is taken"))),
        }
    }

    /// The same error, saying that it is this repository's.
    pub(super) fn named(&self, e: Error) -> Error {
        Error::caused_by(format!("repository {}", self.name), e)
    }
}

/// The repositories of a run, in the order in which they are named: the first is the nearest.
#[derive(Clone, Default)]
pub struct Repos(Arc<[Repo]>);

impl Deref for Repos {
    type Target = [Repo];
    fn deref(&self) -> &[Repo] {
        &self.0
    }
}

impl<'r> IntoIterator for &'r Repos {
    type Item = &'r Repo;
    type IntoIter = std::slice::Iter<'r, Repo>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl Repos {
    /// These, in this order.
    pub fn new(repos: Vec<Repo>) -> Repos {
        Repos(repos.into())
    }

    /// Their names, for messages: `near, far`.
    pub fn names(&self) -> String {
        self.iter().map(|r| r.name.as_str()).collect::<Vec<_>>().join(", ")
    }

    /// Whom content is encrypted to in all of them; none: it is stored as it is.
    ///
    /// # Errors
    /// Usage when that is not the same in each: what is written goes into all of them as one object with one sum.
    pub fn recipients(&self) -> Result<Option<&Recipients>> {
        fn recipients(repo: &Repo) -> Option<&Recipients> {
            repo.store.encryption().and_then(Encryption::recipients)
        }
        let first = self.first().and_then(recipients);
        match self.iter().find(|repo| recipients(repo) != first) {
            None => Ok(first),
            Some(other) => {
                let e = Error::usage(format!(
                    "{} encrypts to other recipients than {}",
                    other.name, self[0].name
                ));
                Err(e.hint("run it for each, or give both the same recipients_file"))
            }
        }
    }

    /// Whether names of databases are hidden in all of them.
    ///
    /// # Errors
    /// Usage when that is not the same in each: one manifest goes into all of them.
    pub fn hides_names(&self) -> Result<bool> {
        let first = self.first().is_some_and(|repo| repo.hides_names);
        match self.iter().find(|repo| repo.hides_names != first) {
            None => Ok(first),
            Some(other) => {
                let e = Error::usage(format!(
                    "hide_names is not the same for {} and {}",
                    other.name, self[0].name
                ));
                Err(e.hint("run it for each, or set it for both"))
            }
        }
    }

    /// The answer of the first repository that has one. One that cannot be asked is passed over with a warning.
    ///
    /// # Errors
    /// When none has it and one could not be asked: absence is not proven then.
    pub fn find_first<T>(&self, ask: impl Fn(&Repo) -> Result<Option<T>>) -> Result<Option<T>> {
        let mut unasked = None;
        for repo in self {
            match ask(repo) {
                Ok(Some(found)) => return Ok(Some(found)),
                // It has none: the next may, so this is no answer yet, and only after the last is it one.
                Ok(None) => {}
                Err(e) => unasked = unasked.or(Some(warned(repo.named(e)))),
            }
        }
        unasked.map_or(Ok(None), Err)
    }

    /// The best answer of all; `better` decides between that of an earlier and that of a later repository. One that
    /// cannot be asked is passed over with a warning.
    ///
    /// # Errors
    /// As [`Repos::find_first`].
    pub fn find_best<T>(
        &self,
        ask: impl Fn(&Repo) -> Result<Option<T>>,
        better: impl Fn(T, T) -> T,
    ) -> Result<Option<T>> {
        let (mut best, mut unasked) = (None, None);
        for repo in self {
            match ask(repo) {
                Ok(found) => best = best.into_iter().chain(found).reduce(&better),
                Err(e) => unasked = unasked.or(Some(warned(repo.named(e)))),
            }
        }
        match (best, unasked) {
            (None, Some(e)) => Err(e),
            (best, _) => Ok(best),
        }
    }

    /// Asks all in parallel.
    pub fn ask_each<T: Send>(&self, ask: impl Fn(&Repo) -> Result<T> + Sync) -> Answers<'_, T> {
        if let [repo] = &**self {
            return Answers(vec![(repo, ask(repo).map_err(|e| repo.named(e)))]);
        }
        let answers = thread::scope(|scope| {
            let asked: Vec<_> = self.iter().map(|repo| scope.spawn(|| ask(repo))).collect();
            let joined = asked.into_iter().map(|t| joined(t.join()));
            joined.collect::<Vec<Result<T>>>()
        });
        let named = |(repo, answer): (_, Result<T>)| (repo, answer.map_err(|e| Repo::named(repo, e)));
        Answers(self.iter().zip(answers).map(named).collect())
    }

    /// Writes to all in parallel. One that is not required gets `grace` more than the required ones: a store that hangs
    /// would hold up all that waits for us. Its thread goes on, and nobody looks at what comes of it.
    pub fn write_each(
        &self,
        grace: Duration,
        write: impl Fn(&Repo) -> Result<()> + Send + Sync + 'static,
    ) -> Answers<'_, ()> {
        if self.iter().all(|r| r.required) {
            return self.ask_each(write);
        }
        let (write, (done, answers)) = (Arc::new(write), mpsc::channel());
        for (number, repo) in self.iter().cloned().enumerate() {
            let (write, done) = (Arc::clone(&write), done.clone());
            thread::spawn(move || done.send((number, write(&repo))));
        }
        // Ours too must be gone, or the receiver would wait for ever when every thread has ended.
        drop(done);
        let late = || Error::retry(format!("still not done {grace:?} after the others"));
        let written = self.await_written(grace, &answers);
        let named = |(repo, done): (_, Option<Result<()>>)| {
            let done = done.unwrap_or_else(|| Err(late()));
            (repo, done.map_err(|e| Repo::named(repo, e)))
        };
        Answers(self.iter().zip(written).map(named).collect())
    }

    /// The answers that came in time.
    fn await_written(
        &self,
        grace: Duration,
        answers: &mpsc::Receiver<(usize, Result<()>)>,
    ) -> Vec<Option<Result<()>>> {
        let mut written: Vec<Option<Result<()>>> = self.iter().map(|_| None).collect();
        let mut until = None;
        loop {
            let waiting = written.iter().zip(self).any(|(done, r)| done.is_none() && r.required);
            // Where none is required, the first that has it is what the others are measured by.
            if !waiting && written.iter().any(|done| matches!(done, Some(Ok(())))) {
                until = until.or(Some(Instant::now() + grace));
            }
            let answer = match until {
                Some(at) => answers.recv_timeout(at.saturating_duration_since(Instant::now())).ok(),
                None => answers.recv().ok(),
            };
            match answer {
                Some((number, done)) => written[number] = Some(done),
                None => return written,
            }
        }
    }
}

fn warned(e: Error) -> Error {
    log::warn!("{}", e.chain());
    e
}

/// Something of each repository.
type Each<'r, T> = Vec<(&'r Repo, T)>;

/// What came of each repository, in their order; an error names its repository.
pub struct Answers<'r, T>(Vec<(&'r Repo, Result<T>)>);

impl<'r, T> IntoIterator for Answers<'r, T> {
    type Item = (&'r Repo, Result<T>);
    type IntoIter = std::vec::IntoIter<Self::Item>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

/// Repositories that answered, and those that could not be asked.
pub struct Reached<'r, T> {
    pub answers: Vec<(&'r Repo, T)>,
    pub unreached: Vec<(&'r Repo, Error)>,
}

/// Something that was written: which repositories have it, and which, none of them required, have not.
pub struct Settled<'r, T> {
    pub written: Vec<(&'r Repo, T)>,
    pub lacking: Vec<(&'r Repo, Error)>,
}

impl<'r, T> Answers<'r, T> {
    pub(super) fn new(answers: Vec<(&'r Repo, Result<T>)>) -> Self {
        Answers(answers)
    }

    /// Each repository and what came of it.
    pub fn iter(&self) -> impl Iterator<Item = (&'r Repo, &Result<T>)> {
        self.0.iter().map(|(repo, answer)| (*repo, answer))
    }

    /// The answers of all.
    ///
    /// # Errors
    /// The first repository's that could not be asked.
    pub fn all(self) -> Result<Vec<T>> {
        self.0.into_iter().map(|(_, answer)| answer).collect()
    }

    /// Those that answered, beside those that could not be asked.
    ///
    /// # Errors
    /// The first one's when none answered.
    pub fn reached(self) -> Result<Reached<'r, T>> {
        let (answers, mut unreached) = self.split();
        match answers.is_empty() && !unreached.is_empty() {
            true => Err(unreached.remove(0).1),
            false => Ok(Reached { answers, unreached }),
        }
    }

    /// Whether writing is done: every required repository has it, and at least one.
    ///
    /// # Errors
    /// The first of a required one; where none is required, that no repository has it.
    pub fn settle(self) -> Result<Settled<'r, T>> {
        let (written, mut lacking) = self.split();
        if let Some(required) = lacking.iter().position(|(repo, _)| repo.required) {
            return Err(lacking.remove(required).1);
        }
        match written.is_empty() && !lacking.is_empty() {
            true => Err(Error::caused_by("no repository took it", lacking.remove(0).1)),
            false => Ok(Settled { written, lacking }),
        }
    }

    fn split(self) -> (Each<'r, T>, Each<'r, Error>) {
        let (mut done, mut failed) = (Vec::new(), Vec::new());
        for (repo, answer) in self.0 {
            match answer {
                Ok(answer) => done.push((repo, answer)),
                Err(e) => failed.push((repo, e)),
            }
        }
        (done, failed)
    }
}

impl<T> Settled<'_, T> {
    /// Warns of each repository that lacks `what` now.
    pub fn warn_of_lacking(&self, what: &str) {
        for (_, e) in &self.lacking {
            log::warn!("{}; it is not required, and lacks {what} now", e.chain());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;
    use crate::store::Dir;

    fn repos(required: &[bool]) -> Repos {
        let repo = |(number, required): (usize, &bool)| Repo {
            name: format!("r{number}"),
            url: String::new(),
            required: *required,
            keep: Keep::default(),
            hides_names: false,
            store: Arc::new(Dir::open("/nowhere").expect("a store")),
        };
        Repos::new(required.iter().enumerate().map(repo).collect())
    }

    fn away<T>() -> Result<T> {
        Err(Error::retry("away"))
    }

    /// What writing comes to when each repository ends as told: the status, and which lack it.
    fn settled(required: &[bool], ends: &'static [bool]) -> (u8, Vec<String>) {
        let repos = repos(required);
        let number = |repo: &Repo| repo.name[1..].parse::<usize>().expect("a number");
        let write = move |repo: &Repo| if ends[number(repo)] { Ok(()) } else { away() };
        match repos.write_each(Duration::from_secs(60), write).settle() {
            Ok(settled) => (0, settled.lacking.iter().map(|(r, _)| r.name.clone()).collect()),
            Err(e) => (e.kind().status(), Vec::new()),
        }
    }

    #[test]
    fn writing_is_done_when_the_required_ones_and_at_least_one_have_it() {
        assert_eq!(settled(&[true, true], &[true, true]), (0, vec![]));
        assert_eq!(settled(&[true, false], &[true, false]), (0, vec!["r1".into()]));
        assert_eq!(settled(&[true, false], &[false, true]).0, 75);
        assert_eq!(settled(&[false, false], &[false, true]), (0, vec!["r0".into()]));
        assert_eq!(settled(&[false, false], &[false, false]).0, 75);
        assert_eq!(settled(&[], &[]), (0, vec![]));
    }

    #[test]
    fn an_optional_repository_that_hangs_is_not_waited_for() {
        let repos = repos(&[true, false]);
        let (_hold, hang) = mpsc::channel::<()>();
        let hang = std::sync::Mutex::new(hang);
        let write = move |repo: &Repo| {
            if !repo.required {
                let _ = crate::sync::lock(&hang).recv();
            }
            Ok(())
        };
        let settled =
            repos.write_each(Duration::from_millis(50), write).settle().expect("the required one has it");
        assert_eq!(settled.lacking.len(), 1);
        assert!(settled.lacking[0].1.chain().starts_with("repository r1: still not done"));
    }

    #[test]
    fn absence_is_proven_only_when_all_could_be_asked() {
        let repos = repos(&[true, true]);
        let first_away = |repo: &Repo, answer| if repo.name == "r0" { away() } else { Ok(answer) };
        assert_eq!(repos.find_first(|r| first_away(r, Some(7))).expect("the second has it"), Some(7));
        assert_eq!(repos.find_first(|r| first_away(r, None::<u8>)).expect_err("unknown").kind(), Kind::Retry);
        assert_eq!(repos.find_first(|_| Ok(None::<u8>)).expect("proven"), None);
        let longest = |r: &Repo| Ok(Some(r.name.clone()));
        assert_eq!(repos.find_best(longest, std::cmp::Ord::max).expect("both"), Some("r1".into()));
    }

    #[test]
    fn one_that_answers_is_enough_to_read() {
        let repos = repos(&[true, true]);
        let reached = repos.ask_each(|r| if r.name == "r0" { away() } else { Ok(r.name.clone()) }).reached();
        let reached = reached.expect("one answered");
        assert_eq!((reached.answers.len(), reached.unreached.len()), (1, 1));
        assert_eq!(repos.ask_each(|_| away::<()>()).reached().err().map(|e| e.kind()), Some(Kind::Retry));
    }
}
