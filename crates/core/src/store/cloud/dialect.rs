//! What a cloud's requests look like and what its answers mean, for the one client that sends them.

use super::Cloud;
use super::upload::PlannedPut;
use crate::error::{Error, Result};
use crate::store::ask::Need;
use crate::store::{Attrs, Stored};
use aws_sdk_s3::config::http::HttpResponse;
use object_store::client::HttpRequest;
use std::io::Read;

/// One cloud's API. Paths are whole names of objects, with the store's prefix.
pub(super) trait Dialect: Send + Sync + Sized + 'static {
    /// Finds the credential, or says what is missing.
    fn check_credentials(&self) -> impl Future<Output = Result<()>> + Send;

    /// Adds the credential; a token is fetched or renewed when it must be.
    fn sign(&self, request: &mut HttpRequest) -> impl Future<Output = Result<()>> + Send;

    /// Creates an object in one request unless the name is taken.
    fn put(&self, path: &str, metadata: &Attrs, body: bytes::Bytes) -> Result<HttpRequest>;

    /// Asks for size, time and attributes.
    fn head(&self, path: &str) -> Result<HttpRequest>;

    /// Asks for the content from byte `from` on, of `version` alone where it is named.
    fn get(&self, path: &str, from: u64, version: Option<&str>) -> Result<HttpRequest>;

    /// Removes an object.
    fn delete(&self, path: &str) -> Result<HttpRequest>;

    /// Asks for a page of names that begin with `prefix`; `folders` ends each at the next `/`.
    fn list(&self, prefix: &str, folders: bool, page: Option<&str>) -> Result<HttpRequest>;

    /// Reads the answer to [`Dialect::head`]; none for what is a name and no object.
    fn read_head(&self, answer: &HttpResponse, body: &[u8]) -> Result<Option<FoundObject>>;

    /// The version of an object, by the answer to [`Dialect::get`].
    fn read_version(&self, answer: &HttpResponse) -> Option<String>;

    /// Reads the answer to [`Dialect::list`].
    fn read_page(&self, body: &[u8]) -> Result<ListedPage>;

    /// The service's word and message of an answer that is no success.
    fn read_refusal(&self, answer: &HttpResponse, body: &[u8]) -> (String, String);

    /// Whether a refused creation says that the name is taken.
    fn is_taken(&self, status: u16, code: &str) -> bool;

    /// What a status 404 proves.
    fn absence(&self, code: &str) -> Absence;

    /// What to do about a refusal.
    fn remedy(&self, status: u16, code: &str, need: Need) -> Option<&'static str>;

    /// Uploads a long body, of which `first` was read, unless the name is taken.
    fn put_large(
        cloud: &Cloud<Self>,
        put: &PlannedPut<'_>,
        first: Vec<u8>,
        body: &mut dyn Read,
    ) -> Result<Stored>;
}

/// What a status 404 proves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Absence {
    /// The container is there, the object is not.
    OfObject,
    /// Nothing is proven of the object.
    OfContainer,
    /// The answer does not tell which.
    Unclear,
}

/// An object as a service describes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct FoundObject {
    pub(super) path: String,
    pub(super) size: u64,
    pub(super) modified: jiff::Timestamp,
    /// Where it is not the usual one.
    pub(super) class: Option<String>,
    /// With our own names.
    pub(super) metadata: Attrs,
}

/// A page of a listing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ListedPage {
    pub(super) objects: Vec<FoundObject>,
    /// What ends in `/`.
    pub(super) folders: Vec<String>,
    pub(super) next: Option<String>,
}

/// A request with these headers.
pub(super) fn make_request(
    method: http::Method,
    uri: &str,
    headers: &[(&str, &str)],
    body: impl Into<bytes::Bytes>,
) -> Result<HttpRequest> {
    let body = body.into();
    let mut request = http::Request::builder().method(method).uri(uri);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    // Also of an empty body: both services answer 411 to a PUT or POST that does not say its length.
    request = request.header(http::header::CONTENT_LENGTH, body.len());
    request.body(body.into()).map_err(|e| Error::failed("make the request").because(e))
}
