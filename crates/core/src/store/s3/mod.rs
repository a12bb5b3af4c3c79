//! S3 as a store.
//!
//! Bodies go out only from memory, each with its SHA-256 (buckets with Object Lock refuse others); objects are
//! removed one at a time, because DeleteObjects wants checksums that many services do not understand.

use super::ask::{Need, Refusal};
use super::backoff::Backoff;
use super::body::{self, OpenedRange, RangeStore};
use super::{Attrs, Key, Lock, LockRules, Object, RemovalRules, Store, Stored, check_attrs};
use crate::error::{Error, Result};
use aws_sdk_s3::Client;
use aws_sdk_s3::operation::head_object::HeadObjectOutput;
use aws_sdk_s3::operation::list_objects_v2::ListObjectsV2Output;
use aws_sdk_s3::primitives::DateTime;
use aws_sdk_s3::types::CommonPrefix;
use std::collections::HashMap;
use std::io::Read;
use std::sync::OnceLock;
use std::time::Duration;
use versions::KnownVersions;

mod ask;
mod client;
mod lifecycle;
mod lock;
mod refusal;
mod upload;
mod versions;

/// The metadata by which an upload recognises itself when its answer was lost.
const MARK: &str = "toban-upload";

/// How to reach an S3 service.
#[derive(Clone, Debug, Default)]
pub struct S3Options {
    /// Endpoint of a service that is not AWS (else `AWS_ENDPOINT_URL_S3`); path style is used with it.
    pub endpoint: Option<String>,
    /// Region; `AWS_REGION` and the profile's otherwise, at last us-east-1.
    pub region: Option<String>,
    /// How long each request is tried again at most, where the environment does not say; none: [`Backoff::DEFAULT`].
    pub backoff: Option<Backoff>,
    /// How its objects are locked, and read where they may be; none: whatever has a name is its object.
    pub locks: Option<LockRules>,
}

/// A bucket, or the part of it below a prefix. Every request is retried as [`Backoff`] says; threads may share it.
pub struct S3 {
    bucket: String,
    prefix: String,
    options: S3Options,
    backoff: Backoff,
    client: OnceLock<Client>,
    conditional: OnceLock<bool>,
    bucket_seen: OnceLock<()>,
    lock_proven: OnceLock<()>,
    versions: KnownVersions,
}

impl S3 {
    /// The store at `bucket/prefix`. Nothing is asked yet.
    ///
    /// # Errors
    /// Usage when that is not the name of a bucket and a prefix, or `TOBAN_RETRY_FOR` is not a duration.
    pub fn open(place: &str, options: &S3Options) -> Result<S3> {
        let (bucket, prefix) = place.split_once('/').unwrap_or((place, ""));
        let prefix = prefix.trim_matches('/');
        if bucket.is_empty() || !(prefix.is_empty() || prefix.parse::<Key>().is_ok()) {
            let e = Error::usage(format!("s3://{place} is not a bucket and a prefix"));
            return Err(e.hint("give s3://bucket or s3://bucket/prefix"));
        }
        Ok(S3 {
            bucket: bucket.to_string(),
            prefix: if prefix.is_empty() { String::new() } else { format!("{prefix}/") },
            options: options.clone(),
            backoff: Backoff::from_env(options.backoff.unwrap_or(Backoff::DEFAULT))?,
            client: OnceLock::new(),
            conditional: OnceLock::new(),
            bucket_seen: OnceLock::new(),
            lock_proven: OnceLock::new(),
            versions: KnownVersions::default(),
        })
    }

    /// The same store with another backoff.
    #[must_use]
    pub fn backoff(mut self, backoff: Backoff) -> S3 {
        self.backoff = backoff;
        self
    }

    /// Of two at once one may be made in vain; it is dropped.
    fn get_client(&self) -> Result<&Client> {
        if self.client.get().is_none() {
            let made = client::connect_client(&self.options, self.backoff)?;
            let _ = self.client.set(made);
        }
        Ok(self.client.get().expect("set above"))
    }

    fn object_path(&self, key: &Key) -> String {
        format!("{}{key}", self.prefix)
    }

    fn object_url(&self, key: &Key) -> String {
        format!("s3://{}/{}", self.bucket, self.object_path(key))
    }

    /// The key of ours behind a bucket's name for it; none for what others put there.
    fn parse_key(&self, path: Option<&str>) -> Option<Key> {
        path?.strip_prefix(&self.prefix)?.parse().ok()
    }

    /// HEAD answers 404 without saying whether the object or the bucket is missing; listing tells.
    fn prove_absent<T>(&self, refusal: Refusal) -> Result<Option<T>> {
        if refusal.status != 404 || refusal.code == "NoSuchBucket" {
            return Err(refusal.error);
        }
        // Absence must be proven: a mistyped bucket would otherwise look like an empty repository, and a check or a
        // prune would believe it. HEAD has no body, so no code either (S3 API, "HeadObject").
        if self.bucket_seen.get().is_none() && refusal.code != "NoSuchKey" {
            let request =
                self.get_client()?.list_objects_v2().bucket(&self.bucket).prefix(&self.prefix).max_keys(1);
            let look = format!("look into s3://{}", self.bucket);
            self.send_request(Need::List, 0, &look, || request.clone().send()).map_err(|r| r.error)?;
        }
        let _ = self.bucket_seen.set(());
        Ok(None)
    }

    fn head_object(&self, key: &Key) -> Result<Option<(Object, Option<String>)>> {
        let head = match self.ask_version(self.object_path(key), |version| self.send_head(key, version)) {
            Ok(head) => head,
            Err(refusal) => return self.prove_absent(refusal),
        };
        let mut attrs: Attrs = head.metadata.unwrap_or_default().into_iter().collect();
        let mark = attrs.remove(MARK);
        let size = head.content_length.and_then(|n| u64::try_from(n).ok()).unwrap_or(0);
        let modified = to_timestamp(head.last_modified.as_ref());
        let class = head.storage_class.as_ref().and_then(|c| unusual_class(c.as_str()));
        Ok(Some((Object { key: key.clone(), size, modified, attrs, class }, mark)))
    }

    fn send_head(&self, key: &Key, version: Option<String>) -> Result<HeadObjectOutput, Refusal> {
        let request = self.get_client()?.head_object().bucket(&self.bucket).key(self.object_path(key));
        let request = request.set_version_id(version);
        let doing = format!("look at {}", self.object_url(key));
        Ok(self.send_request(Need::Read, 0, &doing, || request.clone().send())?.0)
    }

    fn send_delete(&self, path: &str, version: Option<&str>) -> Result<(), Refusal> {
        let request = self.get_client()?.delete_object().bucket(&self.bucket).key(path);
        let request = request.set_version_id(version.map(Into::into));
        let doing = format!("remove s3://{}/{path}", self.bucket);
        self.send_request(Need::Delete, 0, &doing, || request.clone().send()).map(drop)
    }

    fn abort_old(&self, path: &str, id: &str) -> Result<()> {
        let client = self.get_client()?;
        let request = client.abort_multipart_upload().bucket(&self.bucket).key(path).upload_id(id);
        let doing = format!("abort an upload of s3://{}/{path}", self.bucket);
        match self.send_request(Need::Abort, 0, &doing, || request.clone().send()) {
            Ok(_) => Ok(()),
            // Somebody else ended it since it was listed.
            Err(refusal) if refusal.code == "NoSuchUpload" => Ok(()),
            Err(refusal) => Err(refusal.error),
        }
    }
}

impl RangeStore for S3 {
    fn open_range(&self, key: &Key, from: u64, version: Option<&str>) -> Result<OpenedRange, Refusal> {
        let request = self.get_client()?.get_object().bucket(&self.bucket).key(self.object_path(key));
        let range = (from > 0).then(|| format!("bytes={from}-"));
        let request = request.set_if_match(version.map(Into::into)).set_range(range);
        let doing = format!("read {}", self.object_url(key));
        let answer = self.ask_version(self.object_path(key), |id| {
            let request = request.clone().set_version_id(id);
            Ok(self.send_request(Need::Read, 0, &doing, || request.clone().send())?.0)
        })?;
        let bytes = answer.content_length.and_then(|n| u64::try_from(n).ok()).unwrap_or(0);
        Ok(OpenedRange { stream: answer.body, bytes, version: answer.e_tag })
    }

    fn prove_absent<T>(&self, refusal: Refusal) -> Result<Option<T>> {
        S3::prove_absent(self, refusal)
    }

    fn object_url(&self, key: &Key) -> String {
        S3::object_url(self, key)
    }

    fn backoff(&self) -> Backoff {
        self.backoff
    }
}

impl Store for S3 {
    fn put(&self, key: &Key, body: &mut dyn Read, attrs: &Attrs) -> Result<Stored> {
        check_attrs(attrs)?;
        upload::put_object(self, key, body, attrs)
    }

    fn get(&self, key: &Key, from: u64) -> Result<Option<Box<dyn Read + Send + '_>>> {
        Ok(body::open_body(self, key, from)?.map(|body| Box::new(body) as Box<dyn Read + Send + '_>))
    }

    fn stat(&self, key: &Key) -> Result<Option<Object>> {
        Ok(self.head_object(key)?.map(|(object, _)| object))
    }

    fn list(&self, prefix: &str) -> Result<Vec<Object>> {
        if self.is_lockable()? {
            return self.list_oldest(prefix);
        }
        let mut found = Vec::new();
        self.list_pages(prefix, None, |page| {
            found.extend(page.contents().iter().filter_map(|o| self.listed_object(o)));
        })?;
        // Not every service lists in the order of bytes.
        found.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(found)
    }

    fn folders(&self, prefix: &str) -> Result<Vec<String>> {
        let mut found = std::collections::BTreeSet::new();
        let whole = format!("{}{prefix}", self.prefix);
        let name = |p: &CommonPrefix| Some(p.prefix()?.strip_prefix(&whole)?.strip_suffix('/')?.to_string());
        if self.is_lockable()? {
            self.list_versions(&whole, Some("/"), |page| {
                found.extend(page.common_prefixes().iter().filter_map(name));
                true
            })?;
        } else {
            self.list_pages(prefix, Some("/"), |page| {
                found.extend(page.common_prefixes().iter().filter_map(name));
            })?;
        }
        Ok(found.into_iter().filter(|name| name.parse::<Key>().is_ok()).collect())
    }

    fn remove(&self, key: &Key) -> Result<()> {
        if self.is_lockable()? {
            return self.remove_versions(key);
        }
        // Without a version: in a bucket with versions this only lays a delete marker over it, so that the bucket's
        // own rules decide when the bytes go.
        match self.send_delete(&self.object_path(key), None) {
            Ok(()) => Ok(()),
            Err(refusal) => self.prove_absent::<()>(refusal).map(|_| ()),
        }
    }

    fn lock(&self) -> Option<Lock> {
        self.options.locks?.lock
    }

    fn locked_until(&self, key: &Key) -> Result<Option<jiff::Timestamp>> {
        self.read_lock_end(key)
    }

    fn renew_lock(&self, key: &Key) -> Result<bool> {
        self.extend_lock(key)
    }

    fn removal_rules(&self) -> Result<RemovalRules> {
        Ok(RemovalRules { removing: self.list_removing_rules()?, lockable: self.is_lockable()? })
    }

    fn sweep(&self, older_than: Duration) -> Result<usize> {
        let request = self.get_client()?.list_multipart_uploads().bucket(&self.bucket).prefix(&self.prefix);
        let doing = format!("list the unfinished uploads of s3://{}/{}", self.bucket, self.prefix);
        let limit =
            jiff::Timestamp::now().as_second() - i64::try_from(older_than.as_secs()).unwrap_or(i64::MAX);
        // All pages first, then the aborts: aborting while listing moves what the markers point at.
        let mut old = Vec::new();
        let (mut key, mut id) = (None, None);
        loop {
            let page = || request.clone().set_key_marker(key.clone()).set_upload_id_marker(id.clone()).send();
            let (page, _) = self.send_request(Need::Sweep, 0, &doing, page).map_err(|r| r.error)?;
            let begun =
                |u: &&aws_sdk_s3::types::MultipartUpload| u.initiated.is_some_and(|t| t.secs() <= limit);
            old.extend(page.uploads().iter().filter(begun).cloned());
            (key, id) = (page.next_key_marker, page.next_upload_id_marker);
            if page.is_truncated != Some(true) || key.is_none() {
                break;
            }
        }
        for upload in old.iter().filter(|u| self.parse_key(u.key()).is_some()) {
            self.abort_old(upload.key().unwrap_or_default(), upload.upload_id().unwrap_or_default())?;
        }
        Ok(old.iter().filter(|u| self.parse_key(u.key()).is_some()).count())
    }
}

impl S3 {
    /// Every page of a listing, for `each`; with a delimiter what lies behind it is one common prefix.
    fn list_pages(
        &self,
        prefix: &str,
        delimiter: Option<&str>,
        mut each: impl FnMut(&ListObjectsV2Output),
    ) -> Result<()> {
        let request = self.get_client()?.list_objects_v2().bucket(&self.bucket);
        let request =
            request.prefix(format!("{}{prefix}", self.prefix)).set_delimiter(delimiter.map(Into::into));
        let doing = format!("list s3://{}/{}{prefix}", self.bucket, self.prefix);
        let mut next = None;
        loop {
            let page = || request.clone().set_continuation_token(next.clone()).send();
            let (page, _) = self.send_request(Need::List, 0, &doing, page).map_err(|r| r.error)?;
            each(&page);
            next = page.next_continuation_token;
            if next.is_none() {
                return Ok(());
            }
        }
    }

    fn listed_object(&self, o: &aws_sdk_s3::types::Object) -> Option<Object> {
        let size = u64::try_from(o.size.unwrap_or(0)).unwrap_or(0);
        let modified = to_timestamp(o.last_modified.as_ref());
        let class = o.storage_class.as_ref().and_then(|c| unusual_class(c.as_str()));
        Some(Object { key: self.parse_key(o.key())?, size, modified, attrs: Attrs::new(), class })
    }
}

/// Services name the usual class, or none.
fn unusual_class(class: &str) -> Option<String> {
    (class != "STANDARD" && !class.is_empty()).then(|| class.to_string())
}

fn to_timestamp(t: Option<&DateTime>) -> jiff::Timestamp {
    let nanos = |t: &DateTime| i32::try_from(t.subsec_nanos()).unwrap_or(0);
    t.and_then(|t| jiff::Timestamp::new(t.secs(), nanos(t)).ok()).unwrap_or_default()
}

fn with_mark(attrs: &Attrs, mark: &str) -> HashMap<String, String> {
    let mut all: HashMap<String, String> = attrs.clone().into_iter().collect();
    all.insert(MARK.to_string(), mark.to_string());
    all
}
