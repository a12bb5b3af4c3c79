//! Retries around any store.

use std::io::{self, Read};
use std::time::Duration;
use toban_core::store::{Attrs, Backoff, Key, Object, Store, Stored, Tries, gave_up};
use toban_core::{Context, Error, Kind, Result};

/// The attribute by which an upload recognises itself when its answer was lost; taken out of what `stat` tells.
const MARK: &str = "toban-retry";

/// Bodies up to this size can be sent again.
const REPLAY: u64 = 1 << 20;

/// A store asked again until a deadline: for stores that do not retry by themselves (a directory on a network
/// mount). A body of more than 1 MiB cannot be sent twice: once the store has read beyond that, its failure is final.
pub struct Retry<S> {
    inner: S,
    backoff: Backoff,
}

impl<S: Store> Retry<S> {
    /// Asks `inner` again for as long as `backoff` lasts.
    pub fn new(inner: S, backoff: Backoff) -> Retry<S> {
        Retry { inner, backoff }
    }

    /// The store that is asked.
    pub fn inner(&self) -> &S {
        &self.inner
    }

    fn again<T>(&self, mut attempt: impl FnMut() -> Result<T>) -> Result<T> {
        let mut tries = self.backoff.begin();
        loop {
            match attempt() {
                Err(e) if e.kind() == Kind::Retry => next(&mut tries, e)?,
                other => return other,
            }
        }
    }

    /// Whose object is there now, ours or another's; none when there is none.
    fn whose(&self, key: &Key, mark: &str) -> Result<Option<Stored>> {
        let found = self.again(|| self.inner.stat(key))?;
        Ok(found.map(|o| match o.attrs.get(MARK) {
            Some(theirs) if theirs == mark => Stored::New,
            _ => Stored::Exists,
        }))
    }
}

/// Pauses after the failure `e`, or gives it back when the time is up.
fn next(tries: &mut Tries, e: Error) -> Result<()> {
    if tries.wait()? { Ok(()) } else { Err(gave_up(e, tries)) }
}

impl<S: Store> Store for Retry<S> {
    fn put(&self, key: &Key, body: &mut dyn Read, attrs: &Attrs) -> Result<Stored> {
        let mark = toban_core::random::mark();
        let mut marked = attrs.clone();
        marked.insert(MARK.to_string(), mark.clone());
        let mut replay = Replay::of(body).doing(|| format!("read what becomes {key}"))?;
        let mut tries = self.backoff.begin();
        loop {
            replay.at = 0;
            match self.inner.put(key, &mut replay, &marked) {
                Ok(Stored::Exists) if tries.failures() > 0 => {
                    return Ok(self.whose(key, &mark)?.unwrap_or(Stored::Exists));
                }
                Err(e) if e.kind() == Kind::Retry && !replay.broken => {
                    if replay.spent {
                        return self.whose(key, &mark)?.ok_or(e);
                    }
                    next(&mut tries, e)?;
                }
                other => return other,
            }
        }
    }

    fn get(&self, key: &Key, from: u64) -> Result<Option<Box<dyn Read + Send + '_>>> {
        let Some(object) = self.again(|| self.inner.stat(key))? else { return Ok(None) };
        let Some(body) = self.again(|| self.inner.get(key, from))? else { return Ok(None) };
        let tries = self.backoff.begin();
        Ok(Some(Box::new(Resume { store: self, object, at: from, body: Some(body), tries })))
    }

    fn stat(&self, key: &Key) -> Result<Option<Object>> {
        let mut found = self.again(|| self.inner.stat(key))?;
        if let Some(object) = &mut found {
            object.attrs.remove(MARK);
        }
        Ok(found)
    }

    fn list(&self, prefix: &str) -> Result<Vec<Object>> {
        self.again(|| self.inner.list(prefix))
    }

    fn folders(&self, prefix: &str) -> Result<Vec<String>> {
        self.again(|| self.inner.folders(prefix))
    }

    fn remove(&self, key: &Key) -> Result<()> {
        self.again(|| self.inner.remove(key))
    }

    fn sweep(&self, older_than: Duration) -> Result<usize> {
        self.again(|| self.inner.sweep(older_than))
    }

    fn local_path(&self, key: &Key) -> Option<std::path::PathBuf> {
        self.inner.local_path(key)
    }
}

/// A body whose beginning can be read again.
struct Replay<'a> {
    head: Vec<u8>,
    at: usize,
    tail: Option<&'a mut dyn Read>,
    spent: bool,
    broken: bool,
}

impl<'a> Replay<'a> {
    fn of(body: &'a mut dyn Read) -> io::Result<Replay<'a>> {
        let mut head = Vec::new();
        body.take(REPLAY).read_to_end(&mut head)?;
        let tail = (head.len() as u64 == REPLAY).then_some(body);
        Ok(Replay { head, at: 0, tail, spent: false, broken: false })
    }
}

impl Read for Replay<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.at < self.head.len() {
            let n = (&self.head[self.at..]).read(buf)?;
            self.at += n;
            return Ok(n);
        }
        let Some(tail) = &mut self.tail else { return Ok(0) };
        self.spent = true;
        tail.read(buf).inspect_err(|e| self.broken = e.kind() != io::ErrorKind::Interrupted)
    }
}

/// A reader that goes on where it was cut, as long as the object is the one it began with.
struct Resume<'a, S> {
    store: &'a Retry<S>,
    object: Object,
    at: u64,
    body: Option<Box<dyn Read + Send + 'a>>,
    tries: Tries,
}

impl<S: Store> Resume<'_, S> {
    fn reopen(&mut self) -> Result<()> {
        let key = &self.object.key;
        if self.store.inner.stat(key)?.as_ref() != Some(&self.object) {
            return Err(Error::failed(format!("{key} changed while it was read")));
        }
        self.body = self.store.inner.get(key, self.at)?;
        Ok(())
    }

    fn attempt(&mut self, buf: &mut [u8]) -> Result<usize> {
        if self.body.is_none() {
            self.reopen()?;
        }
        let Some(body) = &mut self.body else { return Err(Error::failed("it is gone")) };
        let n = body.read(buf).doing(|| format!("read {}", self.object.key))?;
        if n == 0 && !buf.is_empty() && self.at < self.object.size {
            return Err(Error::retry(format!("{} was cut at byte {}", self.object.key, self.at)));
        }
        Ok(n)
    }
}

impl<S: Store> Read for Resume<'_, S> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.attempt(buf) {
                Ok(n) => {
                    self.at += n as u64;
                    self.tries = self.store.backoff.begin();
                    return Ok(n);
                }
                Err(e) if e.kind() == Kind::Retry => {
                    self.body = None;
                    next(&mut self.tries, e)?;
                }
                Err(e) => return Err(e.into()),
            }
        }
    }
}
