//! Azure Blob Storage and Google Cloud Storage as stores.
//!
//! Credentials and signatures are the crate `object_store`'s, the requests are ours: its own commit an upload in parts
//! without a condition, leave storage classes out of listings, and fail at a name that another program put there.

use super::ask::{Need, Refusal, parse_retry_after, wait_until_answered};
use super::backoff::Backoff;
use super::body::{self, OpenedRange, RangeStore};
use super::{Attrs, Key, Object, Store, Stored, check_attrs};
use crate::error::{Error, Result};
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::primitives::ByteStream;
use dialect::{Absence, Dialect, FoundObject, ListedPage};
use object_store::client::HttpRequest;
use std::collections::BTreeSet;
use std::io::Read;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use wire::HttpTransport;

#[cfg(feature = "azure")]
mod azure;
mod dialect;
#[cfg(feature = "gcs")]
mod gcs;
mod upload;
mod wire;

#[cfg(feature = "azure")]
pub use azure::AzureOptions;
#[cfg(feature = "azure")]
pub(super) use azure::open_azure;
#[cfg(feature = "gcs")]
pub use gcs::GcsOptions;
#[cfg(feature = "gcs")]
pub(super) use gcs::open_gcs;

/// The metadata by which an upload recognises itself when its answer was lost.
const MARK: &str = "toban-upload";

/// A container or bucket, or the part of it below a prefix. Every request is retried as [`Backoff`] says; threads may
/// share it.
struct Cloud<D> {
    /// `az://container` or `gs://bucket`.
    root: String,
    prefix: String,
    backoff: Backoff,
    line: OnceLock<Arc<ServiceLine<D>>>,
    connect: Box<dyn Fn(HttpTransport) -> Result<D> + Send + Sync>,
    container_seen: OnceLock<()>,
}

/// The way to a service: what tasks of their own share with the store.
struct ServiceLine<D> {
    dialect: D,
    transport: HttpTransport,
}

impl<D: Dialect> ServiceLine<D> {
    /// One attempt of one request.
    async fn attempt(&self, need: Need, mut request: HttpRequest) -> Result<HttpResponse, Refusal> {
        self.dialect.sign(&mut request).await?;
        let mut answer = self.transport.exchange(request).await?;
        let status = answer.status().as_u16();
        // 308 is the answer of Google's resumable uploads to a part that is not the last.
        if answer.status().is_success() || status == 308 {
            return Ok(answer);
        }
        let body = wire::collect_body(answer.take_body()).await.unwrap_or_default();
        let (code, message) = self.dialect.read_refusal(&answer, &body);
        let what = match (code.as_str(), message.as_str()) {
            ("", "") => format!("the service answered {status}"),
            ("", message) => format!("{message} (status {status})"),
            (code, "") => format!("{code} (status {status})"),
            (code, message) => format!("{code}: {message} (status {status})"),
        };
        let error = Error::new(wire::kind_of_status(status), what);
        let error = match self.dialect.remedy(status, &code, need) {
            Some(hint) => error.hint(hint),
            None => error,
        };
        let retry_after = parse_retry_after(answer.headers().get("retry-after"));
        Err(Refusal { status, code, retry_after, attempts: 0, error })
    }
}

impl<D: Dialect> Cloud<D> {
    /// The store at `scheme://place`, which `connect` opens at the first request; it gets the name of the container.
    ///
    /// # Errors
    /// Usage when that is not the name of a container and a prefix, or `TOBAN_RETRY_FOR` is not a duration.
    fn open_place(
        scheme: &str,
        place: &str,
        backoff: Option<Backoff>,
        connect: impl Fn(&str, HttpTransport) -> Result<D> + Send + Sync + 'static,
    ) -> Result<Cloud<D>> {
        let (container, prefix) = place.split_once('/').unwrap_or((place, ""));
        let prefix = prefix.trim_matches('/');
        let named = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '$');
        let whole = prefix.is_empty() || prefix.parse::<Key>().is_ok();
        if container.is_empty() || !container.chars().all(named) || !whole {
            let e = Error::usage(format!("{scheme}://{place} is not a container and a prefix"));
            return Err(e.hint(format!("give {scheme}://NAME or {scheme}://NAME/PREFIX")));
        }
        let name = container.to_string();
        Ok(Cloud {
            root: format!("{scheme}://{container}"),
            prefix: if prefix.is_empty() { String::new() } else { format!("{prefix}/") },
            backoff: Backoff::from_env(backoff.unwrap_or(Backoff::DEFAULT))?,
            line: OnceLock::new(),
            connect: Box::new(move |transport| connect(&name, transport)),
            container_seen: OnceLock::new(),
        })
    }

    /// Of two at once one may be made in vain; it is dropped.
    fn get_line(&self) -> Result<&Arc<ServiceLine<D>>> {
        if self.line.get().is_none() {
            let transport = HttpTransport::new(self.backoff);
            let dialect = (self.connect)(transport.clone())?;
            // Asked once here, so that "no credentials" is one clear line and not a failed request. It takes longer than
            // a small request: a token may have to be fetched.
            let check = || async { dialect.check_credentials().await.map_err(Refusal::from) };
            wait_until_answered(self.backoff, 32 << 20, &format!("reach {}", self.root), check)
                .map_err(|r| r.error)?;
            let _ = self.line.set(Arc::new(ServiceLine { dialect, transport }));
        }
        Ok(self.line.get().expect("set above"))
    }

    fn get_dialect(&self) -> Result<&D> {
        Ok(&self.get_line()?.dialect)
    }

    /// Sends what `make` makes, which moves its body and takes as long as `effort` bytes more would.
    fn send_request(
        &self,
        need: Need,
        effort: u64,
        doing: &str,
        make: impl FnOnce(&D) -> Result<HttpRequest>,
    ) -> Result<HttpResponse, Refusal> {
        let line = self.get_line()?;
        let request = make(&line.dialect)?;
        let bytes = effort + request.body().content_length() as u64;
        // Signed anew at each attempt: signatures and tokens are good for some minutes only.
        let send = || line.attempt(need, request.clone());
        wait_until_answered(self.backoff, bytes, doing, send).map(|(answer, _)| answer)
    }

    /// The same for an answer that is read whole.
    fn fetch_whole(
        &self,
        need: Need,
        doing: &str,
        make: impl FnOnce(&D) -> Result<HttpRequest>,
    ) -> Result<(HttpResponse, Vec<u8>), Refusal> {
        let line = self.get_line()?;
        let request = make(&line.dialect)?;
        let fetch = || async {
            let mut answer = line.attempt(need, request.clone()).await?;
            let body = wire::collect_body(answer.take_body()).await?;
            Ok((answer, body))
        };
        wait_until_answered(self.backoff, 0, doing, fetch).map(|(answer, _)| answer)
    }

    fn object_path(&self, key: &Key) -> String {
        format!("{}{key}", self.prefix)
    }

    fn describe_place(&self, prefix: &str) -> String {
        format!("{}/{}{prefix}", self.root, self.prefix)
    }

    fn head_object(&self, key: &Key) -> Result<Option<FoundObject>> {
        let (path, doing) = (self.object_path(key), format!("look at {}", self.object_url(key)));
        match self.fetch_whole(Need::Read, &doing, |d| d.head(&path)) {
            Ok((answer, body)) => self.get_dialect()?.read_head(&answer, &body),
            Err(refusal) => self.prove_absent(refusal),
        }
    }

    /// Every page of a listing, for `each`.
    fn list_pages(&self, prefix: &str, folders: bool, mut each: impl FnMut(ListedPage)) -> Result<()> {
        let (whole, doing) =
            (format!("{}{prefix}", self.prefix), format!("list {}", self.describe_place(prefix)));
        let mut next = None;
        loop {
            let page = |d: &D| d.list(&whole, folders, next.as_deref());
            let (_, body) = self.fetch_whole(Need::List, &doing, page).map_err(|r| r.error)?;
            let page = self.get_dialect()?.read_page(&body);
            let mut page = page.map_err(|e| Error::new(e.kind(), doing.as_str()).because(e))?;
            next = page.next.take();
            each(page);
            if next.is_none() {
                return Ok(());
            }
        }
    }

    /// The object of ours that a service describes; none for what others put there.
    fn parse_object(&self, found: FoundObject) -> Option<Object> {
        let key = found.path.strip_prefix(&self.prefix)?.parse().ok()?;
        let FoundObject { size, modified, class, .. } = found;
        Some(Object { key, size, modified, attrs: Attrs::new(), class })
    }
}

impl<D: Dialect> RangeStore for Cloud<D> {
    fn open_range(&self, key: &Key, from: u64, version: Option<&str>) -> Result<OpenedRange, Refusal> {
        let (path, doing) = (self.object_path(key), format!("read {}", self.object_url(key)));
        let mut answer = self.send_request(Need::Read, 0, &doing, |d| d.get(&path, from, version))?;
        let length = answer.headers().get("content-length").and_then(|n| n.parse().ok());
        let bytes = length.ok_or_else(|| Error::failed(format!("{doing}: the answer has no length")))?;
        let version = self.get_dialect()?.read_version(&answer);
        Ok(OpenedRange { stream: ByteStream::new(answer.take_body()), bytes, version })
    }

    /// A mistyped container would otherwise look like an empty repository, and a check or a prune would believe it.
    fn prove_absent<T>(&self, refusal: Refusal) -> Result<Option<T>> {
        if refusal.status != 404 {
            return Err(refusal.error);
        }
        match self.get_dialect()?.absence(&refusal.code) {
            Absence::OfObject => return Ok(None),
            Absence::OfContainer => return Err(refusal.error),
            Absence::Unclear if self.container_seen.get().is_some() => return Ok(None),
            Absence::Unclear => {}
        }
        let doing = format!("look into {}", self.describe_place(""));
        let look = |d: &D| d.list(&format!("{}.toban-absent", self.prefix), false, None);
        self.fetch_whole(Need::List, &doing, look).map_err(|r| r.error)?;
        let _ = self.container_seen.set(());
        Ok(None)
    }

    fn object_url(&self, key: &Key) -> String {
        format!("{}/{}", self.root, self.object_path(key))
    }

    fn backoff(&self) -> Backoff {
        self.backoff
    }
}

impl<D: Dialect> Store for Cloud<D> {
    fn put(&self, key: &Key, body: &mut dyn Read, attrs: &Attrs) -> Result<Stored> {
        check_attrs(attrs)?;
        upload::put_object(self, key, body, attrs)
    }

    fn get(&self, key: &Key, from: u64) -> Result<Option<Box<dyn Read + Send + '_>>> {
        Ok(body::open_body(self, key, from)?.map(|body| Box::new(body) as Box<dyn Read + Send + '_>))
    }

    fn stat(&self, key: &Key) -> Result<Option<Object>> {
        let Some(found) = self.head_object(key)? else { return Ok(None) };
        let FoundObject { size, modified, class, metadata: mut attrs, .. } = found;
        attrs.remove(MARK);
        Ok(Some(Object { key: key.clone(), size, modified, attrs, class }))
    }

    fn list(&self, prefix: &str) -> Result<Vec<Object>> {
        let mut found = Vec::new();
        self.list_pages(prefix, false, |page| {
            found.extend(page.objects.into_iter().filter_map(|o| self.parse_object(o)));
        })?;
        // Neither service promises the order of bytes.
        found.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(found)
    }

    fn folders(&self, prefix: &str) -> Result<Vec<String>> {
        let whole = format!("{}{prefix}", self.prefix);
        let mut found = BTreeSet::new();
        let name = |p: String| Some(p.strip_prefix(&whole)?.strip_suffix('/')?.to_string());
        self.list_pages(prefix, true, |page| found.extend(page.folders.into_iter().filter_map(name)))?;
        Ok(found.into_iter().filter(|name| name.parse::<Key>().is_ok()).collect())
    }

    fn remove(&self, key: &Key) -> Result<()> {
        let (path, doing) = (self.object_path(key), format!("remove {}", self.object_url(key)));
        match self.send_request(Need::Delete, 0, &doing, |d| d.delete(&path)) {
            Ok(_) => Ok(()),
            Err(refusal) => self.prove_absent::<()>(refusal).map(|_| ()),
        }
    }

    /// Both services drop by themselves, after a week, what an upload left that never ended; nobody can list it, and
    /// Azure's blocks cannot be removed.
    fn sweep(&self, _: Duration) -> Result<usize> {
        Ok(0)
    }
}

/// Our own loop repeats, and counts.
fn no_retries() -> object_store::RetryConfig {
    object_store::RetryConfig { max_retries: 0, ..object_store::RetryConfig::default() }
}

/// What went wrong before a request could be signed.
fn explain_credentials(e: &object_store::Error, hint: &str) -> Error {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(e);
    while let Some(link) = cause {
        // Our own error lies below several of the crate's, each of which repeats it.
        if let Some(ours) = link.downcast_ref::<Error>() {
            return Error::new(ours.kind(), "find credentials").because(ours.chain()).hint(hint);
        }
        cause = link.source();
    }
    Error::failed("find credentials").because(e.to_string()).hint(hint)
}
