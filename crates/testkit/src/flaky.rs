//! A store that fails now and then, in every way a network has.

use crate::Dice;
use std::io::{self, Read};
use std::sync::Mutex;
use std::time::Duration;
use toban_core::store::{Attrs, Key, Object, Store, Stored};
use toban_core::{Error, Result};

/// A store in front of `S` that fails at points a seed decides: before it did anything, in the middle of a body, or
/// after it did what was asked, so that only the answer is lost.
pub struct Flaky<S> {
    inner: S,
    dice: Mutex<Dice>,
    one_in: u64,
}

#[derive(Clone, Copy, PartialEq)]
enum Fault {
    None,
    Before,
    During(u64),
    After,
}

impl<S: Store> Flaky<S> {
    /// Of `one_in` calls about one fails.
    pub fn new(inner: S, seed: u64, one_in: u64) -> Flaky<S> {
        Flaky { inner, dice: Mutex::new(Dice::new(seed)), one_in }
    }

    fn fault(&self) -> Fault {
        let mut dice = self.dice.lock().expect("no panic while it is held");
        if dice.below(self.one_in) != 0 {
            return Fault::None;
        }
        match dice.below(3) {
            0 => Fault::Before,
            1 => Fault::During(dice.below(64 << 10)),
            _ => Fault::After,
        }
    }

    fn call<T>(&self, call: impl FnOnce() -> Result<T>) -> Result<T> {
        match self.fault() {
            Fault::None => call(),
            Fault::After => call().and_then(|_| Err(lost())),
            Fault::Before | Fault::During(_) => Err(lost()),
        }
    }
}

fn lost() -> Error {
    Error::retry("the connection was lost")
}

impl<S: Store> Store for Flaky<S> {
    fn put(&self, key: &Key, body: &mut dyn Read, attrs: &Attrs) -> Result<Stored> {
        match self.fault() {
            Fault::None => self.inner.put(key, body, attrs),
            Fault::Before => Err(lost()),
            Fault::During(bytes) => self.inner.put(key, &mut body.take(bytes).chain(Lost), attrs),
            Fault::After => self.inner.put(key, body, attrs).and_then(|_| Err(lost())),
        }
    }

    fn get(&self, key: &Key, from: u64) -> Result<Option<Box<dyn Read + Send + '_>>> {
        let body = self.inner.get(key, from);
        match self.fault() {
            Fault::None => body,
            Fault::During(bytes) if bytes % 2 == 0 => Ok(body?.map(|b| Box::new(b.take(bytes)) as _)),
            Fault::During(bytes) => Ok(body?.map(|b| Box::new(b.take(bytes).chain(Lost)) as _)),
            Fault::Before | Fault::After => Err(lost()),
        }
    }

    fn stat(&self, key: &Key) -> Result<Option<Object>> {
        self.call(|| self.inner.stat(key))
    }

    fn list(&self, prefix: &str) -> Result<Vec<Object>> {
        self.call(|| self.inner.list(prefix))
    }

    fn folders(&self, prefix: &str) -> Result<Vec<String>> {
        self.call(|| self.inner.folders(prefix))
    }

    fn remove(&self, key: &Key) -> Result<()> {
        self.call(|| self.inner.remove(key))
    }

    fn sweep(&self, older_than: Duration) -> Result<usize> {
        self.call(|| self.inner.sweep(older_than))
    }
}

struct Lost;

impl Read for Lost {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(lost().into())
    }
}
