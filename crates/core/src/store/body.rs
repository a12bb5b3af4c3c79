//! The content of an object as a reader that goes on by range where it was cut.

use super::Key;
use super::ask::Refusal;
use super::backoff::{Backoff, Tries, gave_up};
use super::reactor;
use crate::error::{Error, Kind, Result};
use aws_sdk_s3::primitives::ByteStream;
use std::io::{self, Read};

/// A store whose objects can be read from any byte on.
pub(super) trait RangeStore {
    /// The content of `key` from byte `from` on, of this version alone where one is named.
    fn open_range(&self, key: &Key, from: u64, version: Option<&str>) -> Result<OpenedRange, Refusal>;

    /// `None` when the refusal says, or a look proves, that there is no such object.
    fn prove_absent<T>(&self, refusal: Refusal) -> Result<Option<T>>;

    /// Its name in messages.
    fn object_url(&self, key: &Key) -> String;

    /// How long it is tried to go on after each cut.
    fn backoff(&self) -> Backoff;
}

/// What comes, how much of it must come, and what tells this object from a later one of its name.
pub(super) struct OpenedRange {
    pub(super) stream: ByteStream,
    pub(super) bytes: u64,
    pub(super) version: Option<String>,
}

/// The content of `key` from byte `from` on; none when there is no such object.
pub(super) fn open_body<'a, S: RangeStore>(
    store: &'a S,
    key: &Key,
    from: u64,
) -> Result<Option<Body<'a, S>>> {
    let mut body = Body {
        store,
        key: key.clone(),
        version: None,
        at: from,
        end: from,
        stream: None,
        chunk: bytes::Bytes::new(),
        tries: store.backoff().begin(),
    };
    match store.open_range(key, from, None) {
        Ok(opened) => {
            body.end = from + opened.bytes;
            body.version = opened.version;
            body.stream = Some(opened.stream);
            Ok(Some(body))
        }
        // The object ends at `from` or before.
        Err(refusal) if refusal.status == 416 => Ok(Some(body)),
        Err(refusal) => store.prove_absent(refusal),
    }
}

/// An object being read.
pub(super) struct Body<'a, S> {
    store: &'a S,
    key: Key,
    version: Option<String>,
    at: u64,
    end: u64,
    stream: Option<ByteStream>,
    chunk: bytes::Bytes,
    tries: Tries,
}

impl<S: RangeStore> Body<'_, S> {
    fn reopen_stream(&self) -> Result<ByteStream> {
        let changed =
            || Error::failed(format!("{} changed while it was read", self.store.object_url(&self.key)));
        // Only of the very object that the first request found: two halves of two objects would make one that never
        // was.
        match self.store.open_range(&self.key, self.at, self.version.as_deref()) {
            Ok(opened) => Ok(opened.stream),
            Err(refusal) if matches!(refusal.status, 404 | 412 | 416) => Err(changed()),
            Err(refusal) => Err(refusal.error),
        }
    }

    /// Fills `chunk`; it stays empty only at the end.
    fn fill_chunk(&mut self) -> Result<()> {
        if self.stream.is_none() {
            self.stream = Some(self.reopen_stream()?);
        }
        let Some(stream) = &mut self.stream else { return Ok(()) };
        let limit = self.store.backoff().attempt(0);
        match reactor::wait_for(async { tokio::time::timeout(limit, stream.next()).await })? {
            Ok(Some(Ok(chunk))) => self.chunk = chunk,
            Ok(Some(Err(e))) => return Err(self.cut_error(&e.to_string())),
            Ok(None) if self.at < self.end => return Err(self.cut_error("the connection ended early")),
            Ok(None) => {}
            Err(_) => return Err(self.cut_error(&format!("nothing came for {:.1} s", limit.as_secs_f64()))),
        }
        Ok(())
    }

    fn cut_error(&self, why: &str) -> Error {
        Error::retry(format!("read {}: cut at byte {}: {why}", self.store.object_url(&self.key), self.at))
    }

    fn refill_chunk(&mut self) -> Result<()> {
        while self.chunk.is_empty() && self.at < self.end {
            let Err(e) = self.fill_chunk() else { continue };
            self.stream = None;
            if e.kind() != Kind::Retry || !self.tries.wait()? {
                return Err(gave_up(e, &self.tries));
            }
        }
        Ok(())
    }
}

impl<S: RangeStore> Read for Body<'_, S> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.refill_chunk()?;
        let n = self.chunk.len().min(buf.len());
        buf[..n].copy_from_slice(&self.chunk.split_to(n));
        self.at += n as u64;
        if n > 0 {
            // The deadline is for one cut, not for the whole object: a large one may be cut any number of times, as
            // long as bytes come in between.
            self.tries = self.store.backoff().begin();
        }
        Ok(n)
    }
}
