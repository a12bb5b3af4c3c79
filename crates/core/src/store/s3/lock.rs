//! Object Lock: every new object gets a retention, which is proven to be kept, and can be renewed.

use super::upload::checksum_base64;
use super::versions::Version;
use super::{S3, to_timestamp};
use crate::config::LockMode;
use crate::error::{Error, Result};
use crate::store::ask::{Need, Refusal};
use crate::store::{Key, Lock};
use aws_sdk_s3::primitives::{ByteStream, DateTime};
use aws_sdk_s3::types::{ObjectLockMode, ObjectLockRetention, ObjectLockRetentionMode};
use jiff::Timestamp;

/// How an object is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Retention {
    pub(super) mode: ObjectLockRetentionMode,
    pub(super) until: Timestamp,
}

/// What a request that makes an object says of its lock.
#[derive(Clone, Debug, Default)]
pub(super) struct LockHeaders {
    pub(super) mode: Option<ObjectLockMode>,
    pub(super) until: Option<DateTime>,
}

impl S3 {
    /// What a request that makes `key` says.
    pub(super) fn lock_headers(&self, key: &Key) -> LockHeaders {
        let rules = self.options.locks.filter(|rules| !(rules.is_passing)(key));
        rules.and_then(|rules| rules.lock).map_or_else(LockHeaders::default, make_headers)
    }

    /// Sees to it, once, that the bucket keeps what it is told to lock: some services take the headers and do not.
    ///
    /// # Errors
    /// Failed when it does not; else those of the store.
    pub(super) fn prove_lock(&self, conditional: bool) -> Result<()> {
        let Some(lock) = self.options.locks.and_then(|rules| rules.lock) else { return Ok(()) };
        if self.lock_proven.get().is_some() {
            return Ok(());
        }
        // One object stays for this, and is locked as the others are: a repository that was proven before needs one
        // request. The leading dot keeps it out of listings.
        let path = format!("{}.toban-lock-probe", self.prefix);
        let proven =
            self.read_retention(&path, None)?.is_some() || self.try_lock(&path, lock, conditional)?;
        if !proven {
            return Err(self.refuse_unlocked("it takes objects with a lock and does not lock them"));
        }
        let _ = self.lock_proven.set(());
        Ok(())
    }

    /// Writes an object with a lock, and reads back whether that was kept: only this tells.
    fn try_lock(&self, path: &str, lock: Lock, conditional: bool) -> Result<bool> {
        let text = b"Does this bucket lock objects? toban asks once in each repository; keep this object.\n";
        let client = self.get_client()?;
        let headers = make_headers(lock);
        let send = || {
            let request = client.put_object().bucket(&self.bucket).key(path);
            let request = request.set_if_none_match(conditional.then(|| "*".to_string()));
            let request = request.set_object_lock_mode(headers.mode.clone());
            let request = request.set_object_lock_retain_until_date(headers.until);
            let request = request.checksum_sha256(checksum_base64(text));
            request.body(ByteStream::from_static(text)).send()
        };
        let doing = format!("lock s3://{}/{path}", self.bucket);
        let version = match self.send_request(Need::Write, text.len() as u64, &doing, send) {
            Ok(_) => Version::Newest,
            // Somebody laid a version without a lock over ours, or another writer was faster.
            Err(refusal) if refusal.status == 412 => self.find_version(path)?,
            // InvalidRequest: the bucket was made without Object Lock (S3 API, "PutObject").
            Err(refusal) if matches!(refusal.status, 400 | 501) => {
                return Err(self.refuse_unlocked("it was made without Object Lock"));
            }
            Err(refusal) => return Err(refusal.error),
        };
        let id = if let Version::Oldest(id) = version { Some(id) } else { None };
        Ok(self.read_retention(path, id.as_deref())?.is_some())
    }

    fn refuse_unlocked(&self, why: &str) -> Error {
        let e = Error::failed(format!("s3://{} cannot keep what `lock` promises: {why}", self.bucket));
        e.hint("use a bucket that was made with Object Lock, or take `lock` from its section")
    }

    /// The retention of an object, where it has one.
    pub(super) fn read_retention(&self, path: &str, version: Option<&str>) -> Result<Option<Retention>> {
        let request = self.get_client()?.get_object_retention().bucket(&self.bucket).key(path);
        let request = request.set_version_id(version.map(Into::into));
        let doing = format!("ask how long s3://{}/{path} is locked", self.bucket);
        let kept = match self.send_request(Need::ReadLock, 0, &doing, || request.clone().send()) {
            Ok((answer, _)) => answer.retention,
            Err(refusal) if is_without_lock(&refusal) => None,
            Err(refusal) => return Err(refusal.error),
        };
        Ok(kept.and_then(|kept| {
            Some(Retention { mode: kept.mode?, until: to_timestamp(Some(&kept.retain_until_date?)) })
        }))
    }

    /// When the lock of `key` ends.
    pub(super) fn read_lock_end(&self, key: &Key) -> Result<Option<Timestamp>> {
        let path = self.object_path(key);
        match self.find_version(&path)? {
            Version::Oldest(id) => Ok(self.read_retention(&path, Some(&id))?.map(|kept| kept.until)),
            Version::Newest | Version::Absent => Ok(None),
        }
    }

    /// Locks `key` for as long as a new object would be; whether it is there.
    pub(super) fn extend_lock(&self, key: &Key) -> Result<bool> {
        let Some(lock) = self.options.locks.and_then(|rules| rules.lock) else {
            return Ok(self.head_object(key)?.is_some());
        };
        let path = self.object_path(key);
        let Version::Oldest(id) = self.find_version(&path)? else { return Ok(false) };
        let (kept, until) = (self.read_retention(&path, Some(&id))?, lock.end(Timestamp::now()));
        if kept.as_ref().is_some_and(|kept| kept.until >= until) {
            return Ok(true);
        }
        // No service takes the harder mode from an object before its time.
        let hard = kept.is_some_and(|kept| kept.mode == ObjectLockRetentionMode::Compliance);
        let mode = if hard { LockMode::Compliance } else { lock.mode };
        let retention = ObjectLockRetention::builder()
            .mode(to_retention_mode(mode))
            .retain_until_date(DateTime::from_secs(until.as_second()))
            .build();
        let request = self.get_client()?.put_object_retention().bucket(&self.bucket).key(&path);
        let request = request.version_id(id).retention(retention);
        let doing = format!("renew the lock of {}", self.object_url(key));
        self.send_request(Need::WriteLock, 0, &doing, || request.clone().send()).map_err(|r| r.error)?;
        Ok(true)
    }
}

/// An object without a retention, or none at all; services name it differently. In a bucket without Object Lock the
/// question itself is refused (S3 API, "GetObjectRetention").
fn is_without_lock(refusal: &Refusal) -> bool {
    let codes = ["NoSuchObjectLockConfiguration", "ObjectLockConfigurationNotFoundError", "NoSuchKey"];
    codes.contains(&refusal.code.as_str()) || refusal.code == "InvalidRequest"
}

fn make_headers(lock: Lock) -> LockHeaders {
    let mode = match lock.mode {
        LockMode::Compliance => ObjectLockMode::Compliance,
        LockMode::Governance => ObjectLockMode::Governance,
    };
    let until = lock.end(Timestamp::now()).as_second();
    LockHeaders { mode: Some(mode), until: Some(DateTime::from_secs(until)) }
}

fn to_retention_mode(mode: LockMode) -> ObjectLockRetentionMode {
    match mode {
        LockMode::Compliance => ObjectLockRetentionMode::Compliance,
        LockMode::Governance => ObjectLockRetentionMode::Governance,
    }
}
