//! Objects that go into several repositories at once, in one pass and bounded memory: one that fails is left out, and the
//! others go on.

use super::{Answers, Repo, Repos};
use crate::age::Recipients;
use crate::error::{Context, Error, Result};
use crate::fill::fill_buffer;
use crate::shutdown;
use crate::store::Key;
use crate::sum::{Measured, Sum};
use crate::sync::{into_inner, joined, lock};
use std::io::{self, Read};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread;

const CHUNK: usize = 256 * 1024;
/// How many chunks a slow repository may lag behind the fastest.
const LAG: usize = 32;

/// The repositories that something of several objects goes into, and why some have not got all of it.
pub struct RepoSet<'r> {
    repos: &'r Repos,
    recipients: Option<&'r Recipients>,
    failed: Mutex<Vec<Option<Error>>>,
}

impl<'r> RepoSet<'r> {
    /// All of them.
    ///
    /// # Errors
    /// Those of [`Repos::recipients`].
    pub fn new(repos: &'r Repos) -> Result<RepoSet<'r>> {
        let failed = Mutex::new(repos.iter().map(|_| None).collect());
        Ok(RepoSet { repos, recipients: repos.recipients()?, failed })
    }

    /// Names of those whom content is encrypted to; empty: it is stored as it is.
    pub fn recipients(&self) -> Vec<String> {
        self.recipients.map(Recipients::names).unwrap_or_default()
    }

    /// Those that took everything so far.
    pub fn active(&self) -> Vec<&'r Repo> {
        let failed = lock(&self.failed);
        self.repos.iter().zip(&*failed).filter(|(_, e)| e.is_none()).map(|(repo, _)| repo).collect()
    }

    /// Does `act` for every one that is active.
    ///
    /// # Errors
    /// When none is left.
    pub fn each(&self, act: impl Fn(&Repo) -> Result<()>) -> Result<()> {
        let active = self.active();
        let done = active.iter().map(|repo| act(repo).map_err(|e| repo.named(e))).collect();
        self.note_failures(&active, done)
    }

    /// The bytes of the object that holds `content`, for whoever stores it in each repository by itself.
    ///
    /// # Errors
    /// When it cannot be encrypted.
    pub fn stored_form(&self, content: &[u8]) -> Result<Vec<u8>> {
        let Some(recipients) = self.recipients else { return Ok(content.to_vec()) };
        let mut stored = Vec::new();
        recipients.encrypt(content)?.read_to_end(&mut stored).doing(|| "encrypt".into())?;
        Ok(stored)
    }

    /// Stores what `source` reads under `key` in every one that is active: content that is to be encrypted in the object
    /// [`Key::encrypted`]. The sum is of what is stored.
    ///
    /// # Errors
    /// The source's, and then no repository has an object of that name; and when no repository is left.
    pub fn store(&self, source: impl Read, key: &Key) -> Result<Sum> {
        match self.recipients.filter(|_| !key.is_plain()) {
            // Once for all of them, and not in each store: one manifest with one sum is true of every copy.
            Some(recipients) => self.store_as_is(recipients.encrypt(source)?, &key.encrypted()?),
            None => self.store_as_is(source, key),
        }
    }

    fn store_as_is(&self, source: impl Read, key: &Key) -> Result<Sum> {
        let active = self.active();
        let (sum, stored) = copy_to_repos(source, key, &active)?;
        self.note_failures(&active, stored)?;
        Ok(sum)
    }

    /// What came of each.
    pub fn finish(self) -> Answers<'r, ()> {
        let failed = into_inner(self.failed);
        Answers::new(self.repos.iter().zip(failed.into_iter().map(|e| e.map_or(Ok(()), Err))).collect())
    }

    /// Several threads store parts of one backup: only the first error of a repository is kept.
    fn note_failures(&self, active: &[&Repo], done: Vec<Result<()>>) -> Result<()> {
        let mut failed = lock(&self.failed);
        for (repo, done) in active.iter().zip(done) {
            let at = self.repos.iter().position(|r| std::ptr::eq(r, *repo));
            if let (Some(at), Err(e)) = (at, done) {
                // The first is the cause; what follows it in other threads is that this repository has failed.
                failed[at].get_or_insert(e);
            }
        }
        match failed.iter().all(Option::is_some) && !failed.is_empty() {
            true => Err(Error::failed("no repository is left to write to")),
            false => Ok(()),
        }
    }
}

enum Piece {
    Data(Arc<[u8]>),
    End,
}

/// The sum of what `source` reads, and for each repository whether it has it.
fn copy_to_repos(source: impl Read, key: &Key, repos: &[&Repo]) -> Result<(Sum, Vec<Result<()>>)> {
    let mut measured = Measured::new(source);
    thread::scope(|scope| {
        let (mut pipes, mut writers) = (Vec::new(), Vec::new());
        for repo in repos {
            // Bounded: from here on the slowest repository sets the pace, and memory does not grow with the object.
            let (pipe, pieces) = sync_channel(LAG);
            pipes.push(Some(pipe));
            let mut body = PipeEnd { pieces, now: Arc::from([]), at: 0, ended: false };
            writers.push(scope.spawn(move || repo.put_new(key, &mut body).map_err(|e| repo.named(e))));
        }
        let pumped = pump_chunks(&mut measured, &mut pipes);
        // A pipe that closes without `End` fails its `put`: nothing of a source that broke becomes visible.
        drop(pipes);
        let stored = writers.into_iter().map(|w| joined(w.join()));
        let stored: Vec<Result<()>> = stored.collect();
        pumped.doing(|| format!("write {key}"))?;
        Ok((measured.sum(), stored))
    })
}

/// Reads to the end and says so to all pipes; one whose repository failed is dropped, and with the last the work.
fn pump_chunks(source: &mut impl Read, pipes: &mut [Option<SyncSender<Piece>>]) -> io::Result<()> {
    let mut buf = vec![0; CHUNK];
    while pipes.iter().any(Option::is_some) {
        shutdown::check()?;
        let n = fill_buffer(source, &mut buf)?;
        if n == 0 {
            send_piece(pipes, || Piece::End);
            return Ok(());
        }
        let chunk: Arc<[u8]> = buf[..n].into();
        send_piece(pipes, || Piece::Data(Arc::clone(&chunk)));
    }
    Ok(())
}

fn send_piece(pipes: &mut [Option<SyncSender<Piece>>], piece: impl Fn() -> Piece) {
    for pipe in pipes {
        if pipe.as_ref().is_some_and(|p| p.send(piece()).is_err()) {
            *pipe = None;
        }
    }
}

/// What one repository reads. Only an explicit `End` ends it: a source that broke must not look like a short one.
struct PipeEnd {
    pieces: Receiver<Piece>,
    now: Arc<[u8]>,
    at: usize,
    ended: bool,
}

impl Read for PipeEnd {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        while self.at == self.now.len() && !self.ended {
            match self.pieces.recv() {
                Ok(Piece::Data(chunk)) => (self.now, self.at) = (chunk, 0),
                Ok(Piece::End) => self.ended = true,
                Err(_) => return Err(Error::failed("the source broke off").into()),
            }
        }
        let n = buf.len().min(self.now.len() - self.at);
        buf[..n].copy_from_slice(&self.now[self.at..self.at + n]);
        self.at += n;
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Keep;
    use crate::store::{Attrs, Dir};

    #[test]
    fn one_that_fails_is_left_out_and_the_others_go_on() {
        let dir = tempfile::tempdir().expect("a folder");
        let repo = |name: &str| {
            let store = Dir::open(&dir.path().join(name).display().to_string()).expect("a store");
            Repo {
                name: name.into(),
                url: String::new(),
                required: true,
                keep: Keep::default(),
                hides_names: false,
                store: Arc::new(store),
            }
        };
        let repos = Repos::new(vec![repo("near"), repo("far")]);
        let key: Key = "a/b".parse().expect("a key");
        repos[1].store.put(&key, &mut &b"older"[..], &Attrs::new()).expect("taken");
        let set = RepoSet::new(&repos).expect("nothing is encrypted");
        assert_eq!(set.store(&b"new"[..], &key).expect("near takes it").bytes, 3);
        assert_eq!(set.active().iter().map(|r| r.name.as_str()).collect::<Vec<_>>(), ["near"]);
        assert!(set.each(|_| Err(Error::retry("full"))).is_err(), "none is left");
        let ends: Vec<String> =
            set.finish().into_iter().map(|(_, end)| end.expect_err("both failed").chain()).collect();
        assert_eq!(ends, ["repository near: full", "repository far: store a/b: the name is taken"]);
    }

    #[test]
    fn a_source_that_breaks_leaves_nothing() {
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(Error::corrupt("it broke").into())
            }
        }
        let dir = tempfile::tempdir().expect("a folder");
        let store = Dir::open(&dir.path().join("r").display().to_string()).expect("a store");
        let repo = Repo {
            name: "r".into(),
            url: String::new(),
            required: true,
            keep: Keep::default(),
            hides_names: false,
            store: Arc::new(store),
        };
        let (repos, key): (_, Key) = (Repos::new(vec![repo]), "a".parse().expect("a key"));
        let set = RepoSet::new(&repos).expect("nothing is encrypted");
        let e = set.store((&b"begin"[..]).chain(Broken), &key).expect_err("broken");
        assert_eq!(e.chain(), "write a: it broke");
        assert!(repos[0].store.list("").expect("listed").is_empty());
    }
}
