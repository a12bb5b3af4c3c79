//! Long bodies: a resumable upload, whose parts go one after the other while the next is read.
//!
//! Its end is where the object becomes visible and where the condition counts. A session that never ends goes by
//! itself after a week ("Resumable uploads").

use super::{Gcs, GcsDialect, answer};
use crate::error::{Context, Error, Kind, Result};
use crate::shutdown;
use crate::store::ask::{Need, Refusal, send_until_answered};
use crate::store::cloud::dialect::make_request;
use crate::store::cloud::upload::{PlannedPut, judge_refused_end};
use crate::store::cloud::{MARK, ServiceLine};
use crate::store::{Stored, parts, reactor};
use aws_sdk_s3::config::http::HttpResponse;
use http::Method;
use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::task::JoinHandle;

/// Every part but the last is a multiple of this.
const GRAIN: u64 = 256 << 10;

/// Uploads `first` and all of `body` unless the name is taken.
pub(super) fn put_by_session(
    cloud: &Gcs,
    put: &PlannedPut<'_>,
    first: Vec<u8>,
    body: &mut dyn Read,
) -> Result<Stored> {
    let described = answer::describe_object(&put.path, &put.metadata);
    let begin = |d: &GcsDialect| {
        let headers = [("content-type", "application/json; charset=UTF-8")];
        make_request(Method::POST, &d.upload_url("resumable"), &headers, described)
    };
    let begun = match cloud.send_request(Need::Write, 0, &put.doing, begin) {
        Ok(begun) => begun,
        Err(refusal) => return judge_refused_end(cloud, put, refusal),
    };
    let uri = begun.headers().get("location").map(str::to_string);
    let uri = uri.ok_or_else(|| Error::failed(format!("{}: no upload was begun", put.doing)))?;
    let mut upload = ResumableUpload { cloud, put, uri, begun: 0, under_way: None, ended: false };
    let mut part = first;
    loop {
        shutdown::check()?;
        let sent = upload.begun + part.len() as u64;
        // Read ahead: only the part after it tells whether one is the last, and the last says so.
        let next = put.read_next(body, parts::size_at(sent) / GRAIN * GRAIN)?;
        upload.send_part(part, next.is_empty())?;
        if next.is_empty() {
            return upload.finish();
        }
        part = next;
    }
}

struct ResumableUpload<'a> {
    cloud: &'a Gcs,
    put: &'a PlannedPut<'a>,
    /// Who knows it may go on with the upload: it is never printed.
    uri: String,
    /// Bytes that were sent, or are being sent.
    begun: u64,
    under_way: Option<PartFlight>,
    ended: bool,
}

impl ResumableUpload<'_> {
    fn send_part(&mut self, part: Vec<u8>, last: bool) -> Result<()> {
        self.finish_part().map_err(|r| r.error)?;
        let (line, backoff) = (Arc::clone(self.cloud.get_line()?), self.cloud.backoff);
        let (from, size) = (self.begun, part.len() as u64);
        self.begun += size;
        let unsure = AtomicBool::new(false);
        let sender = PartSender { line, uri: self.uri.clone(), from, part: part.into(), last, unsure };
        let task = reactor::reactor_handle()?.spawn(async move {
            send_until_answered(backoff, size, || sender.send_rest()).await.map(|_| ())
        });
        self.under_way = Some(PartFlight(task));
        Ok(())
    }

    fn finish_part(&mut self) -> Result<(), Refusal> {
        let Some(mut flight) = self.under_way.take() else { return Ok(()) };
        let sent = reactor::wait_for(&mut flight.0)?.doing(|| self.put.doing.clone())?;
        sent.map_err(|mut refusal| {
            refusal.error = Error::new(refusal.error.kind(), self.put.doing.as_str()).because(refusal.error);
            refusal
        })
    }

    fn finish(mut self) -> Result<Stored> {
        let sent = self.finish_part();
        self.ended = sent.is_ok();
        match sent {
            Ok(()) => Ok(Stored::New),
            // The session is gone: an attempt whose answer was lost may have ended it.
            Err(refusal) if matches!(refusal.status, 404 | 410) => {
                match self.cloud.head_object(self.put.key)? {
                    Some(found) if found.metadata.get(MARK) == Some(&self.put.mark) => Ok(Stored::New),
                    _ => Err(refusal.error.kind_as(Kind::Retry)),
                }
            }
            Err(refusal) => judge_refused_end(self.cloud, self.put, refusal),
        }
    }
}

/// How long a process that was told to stop still cleans up.
const ENDING: Duration = Duration::from_secs(10);

impl Drop for ResumableUpload<'_> {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        // What it holds would stay for a week. That it cannot be cancelled is not worth a word: it goes all the same.
        self.under_way = None;
        let Ok(line) = self.cloud.get_line() else { return };
        let Ok(cancel) = make_request(Method::DELETE, &self.uri, &[], Vec::new()) else { return };
        let _ = reactor::wait_anyway(ENDING, line.attempt(Need::Abort, cancel));
    }
}

/// A part on its way; given up with its owner.
struct PartFlight(JoinHandle<Result<(), Refusal>>);

impl Drop for PartFlight {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// One part, of which an attempt may bring the service any number of bytes.
struct PartSender {
    line: Arc<ServiceLine<GcsDialect>>,
    uri: String,
    from: u64,
    part: bytes::Bytes,
    last: bool,
    /// An attempt was made: only the service knows what it brought.
    unsure: AtomicBool,
}

/// How far the service has an upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum UploadProgress {
    Until(u64),
    Whole,
}

impl PartSender {
    fn end(&self) -> u64 {
        self.from + self.part.len() as u64
    }

    /// Sends what the service does not have yet.
    async fn send_rest(&self) -> Result<(), Refusal> {
        // Of an attempt whose answer was lost only the service knows what it stored: a request without content and
        // with `bytes */*` asks ("Resumable uploads", "Check the status"). What it has is not sent again.
        let mut reached = match self.unsure.swap(true, Ordering::Relaxed) {
            false => UploadProgress::Until(self.from),
            true => self.send_chunk("bytes */*", bytes::Bytes::new()).await?,
        };
        loop {
            let at = match reached {
                UploadProgress::Whole if self.last => return Ok(()),
                UploadProgress::Whole => {
                    return Err(Error::failed("the service ended the upload before its last part").into());
                }
                UploadProgress::Until(at) if at == self.end() && !self.last => return Ok(()),
                UploadProgress::Until(at) => at,
            };
            if !(self.from..=self.end()).contains(&at) {
                return Err(
                    Error::retry(format!("the service has {at} bytes, and {} were sent", self.from)).into()
                );
            }
            let skipped = usize::try_from(at - self.from).unwrap_or(usize::MAX);
            let chunk = self.part.slice(skipped..);
            reached = self.send_chunk(&content_range(at, self.end(), self.last), chunk).await?;
            if reached == UploadProgress::Until(at) {
                return Err(Error::retry("the service stored nothing of it").into());
            }
        }
    }

    async fn send_chunk(&self, range: &str, chunk: bytes::Bytes) -> Result<UploadProgress, Refusal> {
        let request = make_request(Method::PUT, &self.uri, &[("content-range", range)], chunk)?;
        Ok(read_progress(&self.line.attempt(Need::Write, request).await?))
    }
}

/// The total is said with the last bytes; without any, it ends what was sent before.
fn content_range(at: u64, end: u64, last: bool) -> String {
    let total = if last { end.to_string() } else { "*".into() };
    match at < end {
        true => format!("bytes {at}-{}/{total}", end - 1),
        false => format!("bytes */{total}"),
    }
}

fn read_progress(answer: &HttpResponse) -> UploadProgress {
    // 308 means that more is wanted; its Range ends with the last byte that is stored, and without that header none
    // is.
    if answer.status().as_u16() != 308 {
        return UploadProgress::Whole;
    }
    let last = answer.headers().get("range").and_then(|r| r.rsplit_once('-')?.1.trim().parse::<u64>().ok());
    UploadProgress::Until(last.map_or(0, |last| last + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_say_where_and_how_much() {
        assert_eq!(content_range(0, 512, false), "bytes 0-511/*");
        assert_eq!(content_range(512, 700, true), "bytes 512-699/700");
        assert_eq!(content_range(700, 700, true), "bytes */700");
    }

    #[test]
    fn every_part_is_a_multiple() {
        let mut sent = parts::SINGLE;
        for _ in 0..1000 {
            assert_eq!(sent % GRAIN, 0, "{sent}");
            sent += parts::size_at(sent) / GRAIN * GRAIN;
        }
    }
}
