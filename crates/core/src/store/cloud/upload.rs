//! Create-if-absent uploads: one request when the body is small, else what the service has for long ones.

use super::dialect::Dialect;
use super::{Cloud, MARK};
use crate::error::{Context, Error, Kind, Result};
use crate::random;
use crate::store::ask::{Need, Refusal};
use crate::store::body::RangeStore;
use crate::store::{Attrs, Key, Stored, parts};
use std::io::Read;

/// One upload of one key.
pub(super) struct PlannedPut<'a> {
    pub(super) key: &'a Key,
    pub(super) path: String,
    /// With our own mark: when the answer to a request was lost, the object that is there now may be ours, and only
    /// the mark tells.
    pub(super) metadata: Attrs,
    pub(super) mark: String,
    pub(super) doing: String,
}

/// Uploads all of `body` unless `key` is taken.
pub(super) fn put_object<D: Dialect>(
    cloud: &Cloud<D>,
    key: &Key,
    body: &mut dyn Read,
    attrs: &Attrs,
) -> Result<Stored> {
    let mark = random::mark();
    let mut metadata = attrs.clone();
    metadata.insert(MARK.into(), mark.clone());
    let doing = format!("store {}", cloud.object_url(key));
    let put = PlannedPut { key, path: cloud.object_path(key), metadata, mark, doing };
    let first = put.read_next(body, parts::SINGLE)?;
    if (first.len() as u64) < parts::SINGLE {
        return put_small(cloud, &put, first);
    }
    // A look that saves an upload in vain. Who may write but not read is answered by the service at the end.
    match cloud.head_object(key) {
        Ok(Some(_)) => Ok(Stored::Exists),
        Err(e) if e.kind() != Kind::Failed => Err(e),
        _ => D::put_large(cloud, &put, first, body),
    }
}

impl PlannedPut<'_> {
    /// The next `size` bytes of `body`, fewer only at its end.
    pub(super) fn read_next(&self, body: &mut dyn Read, size: u64) -> Result<Vec<u8>> {
        parts::read_part(body, size).doing(|| format!("read what becomes {}", self.key))
    }
}

fn put_small<D: Dialect>(cloud: &Cloud<D>, put: &PlannedPut<'_>, body: Vec<u8>) -> Result<Stored> {
    let body = bytes::Bytes::from(body);
    let make = |d: &D| d.put(&put.path, &put.metadata, body.clone());
    let Err(refusal) = cloud.send_request(Need::Write, 0, &put.doing, make) else { return Ok(Stored::New) };
    match judge_refused_put(cloud, put, refusal)? {
        Some(stored) => Ok(stored),
        // Azurite takes blocks that nobody committed for a blob, but not when others are committed.
        None => D::put_large(cloud, put, body.into(), &mut std::io::empty()),
    }
}

/// After "it exists": ours when the answer to an earlier attempt was lost, else another's; none when there is no such
/// object.
fn judge_refused_put<D: Dialect>(
    cloud: &Cloud<D>,
    put: &PlannedPut<'_>,
    refusal: Refusal,
) -> Result<Option<Stored>> {
    if !cloud.get_dialect()?.is_taken(refusal.status, &refusal.code) {
        return Err(refusal.error);
    }
    match cloud.head_object(put.key) {
        Ok(Some(found)) if found.metadata.get(MARK) == Some(&put.mark) => Ok(Some(Stored::New)),
        Ok(found) => Ok(found.map(|_| Stored::Exists)),
        // Who may write but not read believes the service: the first attempt was refused, so it is another's.
        Err(e) if e.kind() == Kind::Failed && refusal.attempts <= 1 => Ok(Some(Stored::Exists)),
        Err(e) => Err(e),
    }
}

/// The same at the end of a long upload.
pub(super) fn judge_refused_end<D: Dialect>(
    cloud: &Cloud<D>,
    put: &PlannedPut<'_>,
    refusal: Refusal,
) -> Result<Stored> {
    let gone = || Error::retry(format!("{}: what had the name is gone", put.doing));
    judge_refused_put(cloud, put, refusal)?.ok_or_else(gone)
}
