//! The content of an object as a reader that goes on by range where it was cut.

use super::ask::{Need, Refusal};
use super::{S3, reactor};
use crate::error::{Error, Kind, Result};
use crate::store::Key;
use crate::store::backoff::{Tries, gave_up};
use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::primitives::ByteStream;
use std::io::{self, Read};

/// The content of `key` from byte `from` on; none when there is no such object.
pub(super) fn open_body<'a>(s3: &'a S3, key: &Key, from: u64) -> Result<Option<Body<'a>>> {
    let mut body = Body {
        s3,
        key: key.clone(),
        etag: None,
        at: from,
        end: from,
        stream: None,
        chunk: bytes::Bytes::new(),
        tries: s3.backoff.begin(),
    };
    match body.request_rest() {
        Ok(answer) => {
            body.end = from + answer.content_length.and_then(|n| u64::try_from(n).ok()).unwrap_or(0);
            body.etag = answer.e_tag;
            body.stream = Some(answer.body);
            Ok(Some(body))
        }
        // The object ends at `from` or before.
        Err(refusal) if refusal.status == 416 => Ok(Some(body)),
        Err(refusal) => s3.prove_absent(refusal),
    }
}

/// An object being read.
pub(super) struct Body<'a> {
    s3: &'a S3,
    key: Key,
    etag: Option<String>,
    at: u64,
    end: u64,
    stream: Option<ByteStream>,
    chunk: bytes::Bytes,
    tries: Tries,
}

impl Body<'_> {
    fn describe_read(&self) -> String {
        format!("read {}", self.s3.object_url(&self.key))
    }

    fn request_rest(&self) -> Result<GetObjectOutput, Refusal> {
        let request =
            self.s3.get_client()?.get_object().bucket(&self.s3.bucket).key(self.s3.object_path(&self.key));
        // Only of the very object that the first request found: two halves of two objects would make one that never
        // was.
        let request = request.set_if_match(self.etag.clone());
        let range = (self.at > 0).then(|| format!("bytes={}-", self.at));
        let request = request.set_range(range);
        let (answer, _) =
            self.s3.send_request(Need::Read, 0, &self.describe_read(), || request.clone().send())?;
        Ok(answer)
    }

    fn reopen_stream(&self) -> Result<ByteStream> {
        let changed =
            || Error::failed(format!("{} changed while it was read", self.s3.object_url(&self.key)));
        match self.request_rest() {
            Ok(answer) => Ok(answer.body),
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
        let limit = self.s3.backoff.attempt(0);
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
        Error::retry(format!("{}: cut at byte {}: {why}", self.describe_read(), self.at))
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

impl Read for Body<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.refill_chunk()?;
        let n = self.chunk.len().min(buf.len());
        buf[..n].copy_from_slice(&self.chunk.split_to(n));
        self.at += n as u64;
        if n > 0 {
            // The deadline is for one cut, not for the whole object: a large one may be cut any number of times, as
            // long as bytes come in between.
            self.tries = self.s3.backoff.begin();
        }
        Ok(n)
    }
}
