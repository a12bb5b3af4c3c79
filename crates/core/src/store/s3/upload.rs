//! Create-if-absent uploads: one PUT when the body is small, else parts, two of them under way at a time.

use super::ask::send_sdk_request;
use super::{S3, with_mark};
use crate::error::{Context, Error, Result};
use crate::random;
use crate::store::ask::{Need, Refusal};
use crate::store::{Attrs, Key, Stored, parts, reactor};
use crate::{shutdown, sum};
use aws_sdk_s3::primitives::{ByteStream, SdkBody};
use aws_sdk_s3::types::{ChecksumAlgorithm, CompletedMultipartUpload, CompletedPart};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use std::collections::VecDeque;
use std::io::Read;
use std::time::Duration;
use tokio::task::JoinHandle;

/// Uploads all of `body` unless `key` is taken.
pub(super) fn put_object(s3: &S3, key: &Key, body: &mut dyn Read, attrs: &Attrs) -> Result<Stored> {
    let conditional = s3.is_conditional()?;
    s3.prove_lock(conditional)?;
    let first = parts::read_part(body, parts::SINGLE).doing(|| describe_reading(key))?;
    // Our own mark goes with the object: when the answer to a request was lost, the object that is there now may be ours,
    // and only the mark tells.
    let put = Put { s3, key, attrs, mark: random::mark(), conditional };
    if (first.len() as u64) < parts::SINGLE {
        return put.put_small(first);
    }
    put.put_large(first, body)
}

fn describe_reading(key: &Key) -> String {
    format!("read what becomes {key}")
}

impl S3 {
    /// Whether the service keeps the promise of `If-None-Match: *`; asked once, by creating a constant object
    /// twice. Some services accept the header and overwrite.
    fn is_conditional(&self) -> Result<bool> {
        if let Some(known) = self.conditional.get() {
            return Ok(*known);
        }
        // The first writes the probe where it is not there yet, and tells nothing; the second must then be refused. In
        // a repository that was used before, one request is enough.
        let honoured = self.probe_condition()? || self.probe_condition()?;
        let _ = self.bucket_seen.set(());
        if !honoured && self.conditional.set(false).is_ok() {
            log::warn!(
                "s3://{} ignores If-None-Match: two writers at the same moment could overwrite each other",
                self.bucket
            );
        }
        Ok(*self.conditional.get_or_init(|| honoured))
    }

    /// True when it was refused because the probe is there. The leading dot keeps it out of listings.
    fn probe_condition(&self) -> Result<bool> {
        let path = format!("{}.toban-probe", self.prefix);
        let text = b"Does this store keep If-None-Match? toban asks once in each run; keep this object.\n";
        let doing = format!("store s3://{}/{path}", self.bucket);
        let client = self.get_client()?;
        let send = || {
            let request = client.put_object().bucket(&self.bucket).key(&path).if_none_match("*");
            request.checksum_sha256(checksum_base64(text)).body(ByteStream::from_static(text)).send()
        };
        match self.send_request(Need::Write, text.len() as u64, &doing, send) {
            Ok(_) => Ok(false),
            Err(refusal) if refusal.status == 412 => Ok(true),
            Err(refusal) if refusal.status == 501 => Ok(false),
            Err(refusal) => Err(refusal.error),
        }
    }
}

/// One upload of one key.
struct Put<'a> {
    s3: &'a S3,
    key: &'a Key,
    attrs: &'a Attrs,
    mark: String,
    conditional: bool,
}

impl Put<'_> {
    fn if_none_match(&self) -> Option<String> {
        self.conditional.then(|| "*".to_string())
    }

    fn describe_put(&self) -> String {
        format!("store {}", self.s3.object_url(self.key))
    }

    fn put_small(&self, body: Vec<u8>) -> Result<Stored> {
        // Where the service keeps If-None-Match it decides alone, in the request that writes. Else a look before narrows the
        // moment in which another writer could be overwritten; it cannot close it.
        if !self.conditional && self.s3.head_object(self.key)?.is_some() {
            return Ok(Stored::Exists);
        }
        let (size, sum) = (body.len() as u64, checksum_base64(&body));
        let body = Body::from(body);
        let (client, lock) = (self.s3.get_client()?, self.s3.lock_headers(self.key));
        let send = || {
            let request = client.put_object().bucket(&self.s3.bucket).key(self.s3.object_path(self.key));
            let request = request.set_object_lock_mode(lock.mode.clone());
            let request = request.set_object_lock_retain_until_date(lock.until);
            let request = request.set_if_none_match(self.if_none_match()).checksum_sha256(&sum);
            request.set_metadata(Some(with_mark(self.attrs, &self.mark))).body(body.to_stream()).send()
        };
        match self.s3.send_request(Need::Write, size, &self.describe_put(), send) {
            Ok(_) => Ok(Stored::New),
            Err(refusal) => self.judge_refusal(refusal),
        }
    }

    /// After "it exists": ours when the answer to an earlier attempt was lost, else another's.
    fn judge_refusal(&self, refusal: Refusal) -> Result<Stored> {
        let gone = refusal.code == "NoSuchUpload";
        if refusal.status != 412 && !gone {
            return Err(refusal.error);
        }
        // The first attempt was refused: then it was another's object. After a retry, and when the upload itself is gone,
        // an earlier attempt of ours may have made it before its answer was lost.
        if refusal.attempts <= 1 && !gone {
            return Ok(Stored::Exists);
        }
        match self.s3.head_object(self.key)? {
            Some((_, Some(mark))) if mark == self.mark => Ok(Stored::New),
            Some(_) => Ok(Stored::Exists),
            None => Err(refusal.error),
        }
    }

    /// Some services look first and write then when a multipart upload ends (SeaweedFS 4.48): two at once are both
    /// told that theirs is it, and the later one stays. Who may not read cannot look.
    fn check_still_ours(&self) -> Result<Stored> {
        match self.s3.head_object(self.key) {
            Ok(Some((_, Some(mark)))) if mark != self.mark => Ok(Stored::Exists),
            Err(e) if e.kind() == crate::Kind::Retry => Err(e),
            _ => Ok(Stored::New),
        }
    }

    fn put_large(&self, first: Vec<u8>, body: &mut dyn Read) -> Result<Stored> {
        if self.is_there()? {
            return Ok(Stored::Exists);
        }
        let mut upload = Upload::begin_upload(self)?;
        let (mut part, mut sent) = (first, 0);
        while !part.is_empty() {
            shutdown::check()?;
            let size = part.len() as u64;
            upload.send_part(part)?;
            sent += size;
            part = parts::read_part(body, parts::size_at(sent)).doing(|| describe_reading(self.key))?;
        }
        upload.complete_upload(sent)
    }

    /// A look that saves an upload in vain. Who may write but not read is answered by the service at the end.
    fn is_there(&self) -> Result<bool> {
        match self.s3.head_object(self.key) {
            Err(e) if self.conditional && e.kind() == crate::Kind::Failed => Ok(false),
            other => Ok(other?.is_some()),
        }
    }
}

/// How long a process that was told to stop still cleans up, twice.
const ENDING: Duration = Duration::from_secs(10);

/// A multipart upload; unless it was completed, what it left on the service is removed.
struct Upload<'a> {
    put: &'a Put<'a>,
    id: String,
    under_way: VecDeque<Flight>,
    done: Vec<CompletedPart>,
    begun: i32,
    ended: bool,
}

impl<'a> Upload<'a> {
    fn begin_upload(put: &'a Put<'a>) -> Result<Upload<'a>> {
        let s3 = put.s3;
        let request =
            s3.get_client()?.create_multipart_upload().bucket(&s3.bucket).key(s3.object_path(put.key));
        let request = request.checksum_algorithm(ChecksumAlgorithm::Sha256);
        let request = request.set_metadata(Some(with_mark(put.attrs, &put.mark)));
        // Here and not at the end: the object is locked from the moment at which it appears (S3 API,
        // "CreateMultipartUpload").
        let lock = s3.lock_headers(put.key);
        let request = request.set_object_lock_mode(lock.mode).set_object_lock_retain_until_date(lock.until);
        let begun = s3
            .send_request(Need::Write, 0, &put.describe_put(), || request.clone().send())
            .map_err(|r| r.error)?;
        let id = begun
            .0
            .upload_id
            .ok_or_else(|| Error::failed(format!("{}: no upload id", put.describe_put())))?;
        Ok(Upload { put, id, under_way: VecDeque::new(), done: Vec::new(), begun: 0, ended: false })
    }

    fn send_part(&mut self, part: Vec<u8>) -> Result<()> {
        // Two on their way and one being read: more would hide no more latency on one connection each, and memory must
        // not grow with the body.
        if self.under_way.len() == 2 {
            self.finish_oldest_part()?;
        }
        self.begun += 1;
        let (s3, number, size, sum) = (self.put.s3, self.begun, part.len() as u64, checksum_base64(&part));
        let (client, bucket, path) =
            (s3.get_client()?.clone(), s3.bucket.clone(), s3.object_path(self.put.key));
        let (body, backoff, id) = (Body::from(part), s3.backoff, self.id.clone());
        let task = reactor::reactor_handle()?.spawn(async move {
            let send = || {
                let request = client.upload_part().bucket(&bucket).key(&path).upload_id(&id);
                request.part_number(number).checksum_sha256(&sum).body(body.to_stream()).send()
            };
            let (sent, _) = send_sdk_request(backoff, size, Need::Write, send).await?;
            let part = CompletedPart::builder().part_number(number).checksum_sha256(&sum);
            Ok(part.set_e_tag(sent.e_tag).build())
        });
        self.under_way.push_back(Flight(task));
        Ok(())
    }

    /// Waits for the oldest part under way.
    fn finish_oldest_part(&mut self) -> Result<()> {
        let Some(mut flight) = self.under_way.pop_front() else { return Ok(()) };
        let number = self.done.len() + 1;
        let part = || format!("{}: send part {number}", self.put.describe_put());
        let ended = reactor::wait_for(&mut flight.0)?.doing(part)?;
        self.done.push(ended.map_err(|r| r.error).doing(part)?);
        Ok(())
    }

    fn complete_upload(mut self, size: u64) -> Result<Stored> {
        while !self.under_way.is_empty() {
            self.finish_oldest_part()?;
        }
        let s3 = self.put.s3;
        let parts =
            CompletedMultipartUpload::builder().set_parts(Some(std::mem::take(&mut self.done))).build();
        let request =
            s3.get_client()?.complete_multipart_upload().bucket(&s3.bucket).key(s3.object_path(self.put.key));
        let request = request.upload_id(&self.id).multipart_upload(parts);
        // The object becomes visible here and not before: parts are no object. The condition counts at this moment, whatever
        // was there when the upload began (Amazon S3 User Guide, "Conditional writes").
        let request = request.set_if_none_match(self.put.if_none_match());
        // The service may join the parts before it answers: minutes, when they are many.
        let effort = (32 << 20) + size / 256;
        match s3.send_request(Need::Write, effort, &self.put.describe_put(), || request.clone().send()) {
            Ok(_) => {
                self.ended = true;
                self.put.check_still_ours()
            }
            Err(refusal) => self.put.judge_refusal(refusal).inspect(|s| self.ended = *s == Stored::New),
        }
    }

    /// A part that arrives after the abort would stay: those under way end first, or are given up.
    fn end_parts_under_way(&mut self) {
        let limit = self.put.s3.backoff.attempt(0).min(ENDING);
        let flights = std::mem::take(&mut self.under_way);
        let _ = reactor::wait_anyway(limit, async {
            for mut flight in flights {
                let _ = (&mut flight.0).await;
            }
        });
    }

    fn abort_upload(&self) -> Result<()> {
        let s3 = self.put.s3;
        let request =
            s3.get_client()?.abort_multipart_upload().bucket(&s3.bucket).key(s3.object_path(self.put.key));
        let request = request.upload_id(&self.id);
        let limit = s3.backoff.attempt(0).min(ENDING);
        reactor::wait_anyway(limit, send_sdk_request(s3.backoff, 0, Need::Abort, || request.clone().send()))?
            .map(|_| ())
            .map_err(|r| r.error)
    }
}

impl Drop for Upload<'_> {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        // Parts of an upload that is not completed are paid for and never listed: nobody else would find them.
        self.end_parts_under_way();
        if let Err(e) = self.abort_upload() {
            log::warn!(
                "parts of {} stay behind until the next sweep: {}",
                self.put.s3.object_url(self.put.key),
                e.chain()
            );
        }
    }
}

/// A part on its way; given up with its owner.
struct Flight(JoinHandle<Result<CompletedPart, Refusal>>);

impl Drop for Flight {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Bytes that can be sent more than once.
struct Body(bytes::Bytes);

impl Body {
    fn to_stream(&self) -> ByteStream {
        ByteStream::new(SdkBody::from(self.0.clone()))
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Body {
        Body(bytes.into())
    }
}

pub(super) fn checksum_base64(bytes: &[u8]) -> String {
    BASE64_STANDARD.encode(sum::sha256(bytes))
}
