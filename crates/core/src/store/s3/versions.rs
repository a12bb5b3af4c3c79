//! Versions, in a bucket with Object Lock: an object is its oldest version.
//!
//! Objects are created if absent and never rewritten, so a later version is somebody else's; and prune removes versions,
//! so a delete marker over a version that is locked still is none of ours. Both count for nothing, or whoever may
//! write could replace a manifest, and hide a backup, without touching what is locked.

use super::{S3, to_timestamp, unusual_class};
use crate::error::{Error, Kind, Result};
use crate::store::ask::{Need, Refusal};
use crate::store::{Attrs, Key, Object};
use crate::sync::lock;
use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::operation::head_object::HeadObjectOutput;
use aws_sdk_s3::operation::list_object_versions::ListObjectVersionsOutput;
use aws_sdk_s3::types::{ObjectLockEnabled, ObjectVersion};
use jiff::Timestamp;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, OnceLock};

/// How many are remembered: each spares a request, and memory must not grow with the repository.
const REMEMBERED: usize = 4096;

/// What is known of the bucket and of its objects' versions.
#[derive(Default)]
pub(super) struct KnownVersions {
    lockable: OnceLock<bool>,
    oldest: Mutex<HashMap<String, String>>,
    /// That others wrote or deleted over our objects is said once.
    warned: OnceLock<()>,
}

/// What an object is read from.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Version {
    /// Whatever has the name now.
    Newest,
    /// This one.
    Oldest(String),
    /// There is none.
    Absent,
}

/// An answer that tells of a version, where the bucket keeps versions.
pub(super) trait Versioned {
    fn version_id(&self) -> Option<&str>;
}

impl Versioned for GetObjectOutput {
    fn version_id(&self) -> Option<&str> {
        GetObjectOutput::version_id(self)
    }
}

impl Versioned for HeadObjectOutput {
    fn version_id(&self) -> Option<&str> {
        HeadObjectOutput::version_id(self)
    }
}

/// Every version of one name, as far as it was listed.
struct ListedName {
    oldest: ObjectVersion,
    versions: usize,
}

impl S3 {
    /// Whether the bucket has Object Lock, as far as that is known.
    fn is_known_lockable(&self) -> bool {
        let Some(rules) = self.options.locks else { return false };
        rules.lock.is_some() || self.versions.lockable.get() == Some(&true)
    }

    /// Whether the bucket has Object Lock; asked once. A service that does not know the question, or does not let us ask,
    /// has none that we could rely on.
    pub(super) fn is_lockable(&self) -> Result<bool> {
        if self.options.locks.is_none() {
            return Ok(false);
        }
        if self.is_known_lockable() {
            return Ok(true);
        }
        if let Some(known) = self.versions.lockable.get() {
            return Ok(*known);
        }
        let request = self.get_client()?.get_object_lock_configuration().bucket(&self.bucket);
        let doing = format!("ask whether s3://{} has Object Lock", self.bucket);
        let enabled = match self.send_request(Need::Read, 0, &doing, || request.clone().send()) {
            Ok((answer, _)) => answer
                .object_lock_configuration
                .is_some_and(|c| c.object_lock_enabled == Some(ObjectLockEnabled::Enabled)),
            Err(refusal) if refusal.error.kind() == Kind::Retry => return Err(refusal.error),
            Err(refusal) => {
                log::debug!("{}", refusal.error.chain());
                false
            }
        };
        Ok(*self.versions.lockable.get_or_init(|| enabled))
    }

    /// Sends a request for the version that is the object. A bucket without versions is never asked more than that.
    pub(super) fn ask_version<T: Versioned>(
        &self,
        path: String,
        send: impl Fn(Option<String>) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        if !self.is_known_lockable() {
            let answer = send(None);
            let tells = match &answer {
                Ok(answer) => answer.version_id().is_some(),
                // A delete marker may lie over it.
                Err(refusal) => refusal.status == 404,
            };
            if !tells || !self.is_lockable()? {
                return answer;
            }
        }
        match self.find_version(&path)? {
            Version::Newest => send(None),
            Version::Oldest(id) => send(Some(id)),
            Version::Absent => Err(Refusal {
                status: 404,
                code: "NoSuchKey".into(),
                ..Refusal::from(Error::failed(format!("there is no s3://{}/{path}", self.bucket)))
            }),
        }
    }

    /// The version to read `path` from.
    pub(super) fn find_version(&self, path: &str) -> Result<Version> {
        if !self.is_lockable()? {
            return Ok(Version::Newest);
        }
        if let Some(id) = lock(&self.versions.oldest).get(path) {
            return Ok(Version::Oldest(id.clone()));
        }
        let (mut listed, mut hidden) = (None, false);
        self.list_versions(path, None, |page| {
            hidden |= markers_over(page).any(|marked| marked == path);
            let own: Vec<&ObjectVersion> = page.versions().iter().filter(|v| v.key() == Some(path)).collect();
            note_versions(&mut listed, &own);
            // It is the first of all that begin with its name.
            page.versions().last().is_none_or(|v| v.key() == Some(path))
        })?;
        let Some(ListedName { oldest, .. }) = listed else { return Ok(Version::Absent) };
        let id = oldest.version_id.unwrap_or_default();
        if hidden && !self.is_locked_now(path, &id)? {
            return Ok(Version::Absent);
        }
        let mut known = lock(&self.versions.oldest);
        if known.len() >= REMEMBERED {
            known.clear();
        }
        known.insert(path.to_string(), id.clone());
        Ok(Version::Oldest(id))
    }

    /// Every object whose key begins with `prefix`, sorted.
    pub(super) fn list_oldest(&self, prefix: &str) -> Result<Vec<Object>> {
        let mut names: BTreeMap<Key, Option<ListedName>> = BTreeMap::new();
        let mut hidden: Vec<Key> = Vec::new();
        self.list_versions(&format!("{}{prefix}", self.prefix), None, |page| {
            hidden.extend(markers_over(page).filter_map(|path| self.parse_key(Some(path))));
            for version in page.versions() {
                if let Some(key) = self.parse_key(version.key()) {
                    note_versions(names.entry(key).or_default(), &[version]);
                }
            }
            true
        })?;
        let is_passing = |key: &Key| self.options.locks.is_none_or(|rules| (rules.is_passing)(key));
        let over = |(key, listed): &(&Key, &Option<ListedName>)| {
            listed.as_ref().is_some_and(|l| l.versions > 1) && !is_passing(key)
        };
        let mut touched: Vec<String> = names.iter().filter(over).map(|(key, _)| key.to_string()).collect();
        for key in hidden {
            let Some(Some(listed)) = names.get(&key) else { continue };
            let id = listed.oldest.version_id.clone().unwrap_or_default();
            // What is passing was never locked.
            if !is_passing(&key) && self.is_locked_now(&self.object_path(&key), &id)? {
                touched.push(key.to_string());
            } else {
                names.remove(&key);
            }
        }
        self.warn_of_touched(&touched);
        let objects = names.into_iter().filter_map(|(key, listed)| Some(to_object(key, &listed?.oldest)));
        Ok(objects.collect())
    }

    fn warn_of_touched(&self, touched: &[String]) {
        if let Some(first) = touched.first()
            && self.versions.warned.set(()).is_ok()
        {
            log::warn!(
                "{} objects in s3://{} were written over or deleted by somebody, {first} among them: what was there first \
                 is what counts; who has this repository's credentials?",
                touched.len(),
                self.bucket
            );
        }
    }

    /// Removes every version and delete marker of `key`, the object itself last.
    pub(super) fn remove_versions(&self, key: &Key) -> Result<()> {
        let path = self.object_path(key);
        let mut ids: Vec<String> = Vec::new();
        self.list_versions(&path, None, |page| {
            let markers = page.delete_markers().iter().filter(|m| m.key() == Some(&path));
            ids.splice(0..0, markers.filter_map(|m| m.version_id.clone()));
            let versions = page.versions().iter().filter(|v| v.key() == Some(&path));
            ids.extend(versions.filter_map(|v| v.version_id.clone()));
            page.versions().last().is_none_or(|v| v.key() == Some(&path))
        })?;
        // The oldest last: with that gone another's version would take its place.
        for id in ids {
            match self.send_delete(&path, Some(&id)) {
                Ok(()) => {}
                Err(refusal) => self.prove_absent::<()>(refusal).map(drop)?,
            }
        }
        lock(&self.versions.oldest).remove(&path);
        Ok(())
    }

    /// Every page of a listing of versions, each name's newest first, as long as `each` wants more.
    pub(super) fn list_versions(
        &self,
        prefix: &str,
        delimiter: Option<&str>,
        mut each: impl FnMut(&ListObjectVersionsOutput) -> bool,
    ) -> Result<()> {
        let request = self.get_client()?.list_object_versions().bucket(&self.bucket);
        let request = request.prefix(prefix).set_delimiter(delimiter.map(Into::into));
        let doing = format!("list the versions of s3://{}/{prefix}", self.bucket);
        let (mut key, mut id) = (None, None);
        loop {
            let page =
                || request.clone().set_key_marker(key.clone()).set_version_id_marker(id.clone()).send();
            let (page, _) = self.send_request(Need::ListVersions, 0, &doing, page).map_err(|r| r.error)?;
            let more = each(&page);
            (key, id) = (page.next_key_marker, page.next_version_id_marker);
            if !more || page.is_truncated != Some(true) || key.is_none() {
                return Ok(());
            }
        }
    }

    fn is_locked_now(&self, path: &str, version: &str) -> Result<bool> {
        Ok(self.read_retention(path, Some(version))?.is_some_and(|kept| kept.until > Timestamp::now()))
    }
}

/// The names that a delete marker lies over.
fn markers_over(page: &ListObjectVersionsOutput) -> impl Iterator<Item = &str> {
    page.delete_markers().iter().filter(|m| m.is_latest == Some(true)).filter_map(|m| m.key())
}

/// Takes note of versions of one name that follow those before: the last is the oldest.
fn note_versions(listed: &mut Option<ListedName>, versions: &[&ObjectVersion]) {
    let Some(last) = versions.last() else { return };
    let before = listed.as_ref().map_or(0, |l| l.versions);
    *listed = Some(ListedName { oldest: (*last).clone(), versions: before + versions.len() });
}

fn to_object(key: Key, version: &ObjectVersion) -> Object {
    let size = version.size.and_then(|n| u64::try_from(n).ok()).unwrap_or(0);
    let class = version.storage_class.as_ref().and_then(|c| unusual_class(c.as_str()));
    Object { key, size, modified: to_timestamp(version.last_modified.as_ref()), attrs: Attrs::new(), class }
}
