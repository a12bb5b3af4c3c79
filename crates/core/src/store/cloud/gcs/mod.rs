//! Google Cloud Storage: objects of one bucket, by the JSON API.

use super::dialect::{Absence, Dialect, FoundObject, ListedPage, make_request};
use super::upload::PlannedPut;
use super::wire::HttpTransport;
use super::{Cloud, explain_credentials};
use crate::error::{Context, Result};
use crate::random;
use crate::secret::Secret;
use crate::store::ask::Need;
use crate::store::backoff::Backoff;
use crate::store::{Attrs, Store, Stored};
use aws_sdk_s3::config::http::HttpResponse;
use http::{HeaderValue, Method, header};
use object_store::client::HttpRequest;
use object_store::gcp::{GcpCredentialProvider, GoogleCloudStorageBuilder};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;

mod answer;
mod session;

type Gcs = Cloud<GcsDialect>;

/// How to reach the service.
#[derive(Clone, Debug, Default)]
pub struct GcsOptions {
    /// The file with a service account's key; `GOOGLE_APPLICATION_CREDENTIALS` otherwise.
    pub credentials_file: Option<PathBuf>,
    /// How long each request is tried again at most, where the environment does not say; none: [`Backoff::DEFAULT`].
    pub backoff: Option<Backoff>,
}

/// The store at `bucket/prefix`. Nothing is asked yet.
///
/// # Errors
/// Usage when that is not the name of a bucket and a prefix, or `TOBAN_RETRY_FOR` is not a duration.
pub(in crate::store) fn open_gcs(place: &str, options: &GcsOptions) -> Result<Arc<dyn Store>> {
    let options = options.clone();
    let gcs: Gcs = Cloud::open_place("gs", place, options.backoff, move |bucket, transport| {
        GcsDialect::connect(&options, bucket, transport)
    })?;
    Ok(Arc::new(gcs))
}

const HINT: &str = "set GOOGLE_APPLICATION_CREDENTIALS to the file of a service account's key, or give the machine a \
    service account";

/// Requests of the JSON API.
struct GcsDialect {
    endpoint: String,
    bucket: String,
    /// None for an emulator, which asks for none.
    credentials: Option<GcpCredentialProvider>,
}

impl GcsDialect {
    fn connect(options: &GcsOptions, bucket: &str, transport: HttpTransport) -> Result<GcsDialect> {
        // As Google's own libraries take it, with or without a scheme.
        let emulator = std::env::var("STORAGE_EMULATOR_HOST").ok().filter(|v| !v.is_empty());
        if let Some(host) = emulator {
            let endpoint = if host.contains("://") { host } else { format!("http://{host}") };
            let endpoint = endpoint.trim_end_matches('/').to_string();
            return Ok(GcsDialect { endpoint, bucket: bucket.into(), credentials: None });
        }
        let mut builder = GoogleCloudStorageBuilder::from_env()
            .with_bucket_name(bucket)
            .with_http_connector(transport)
            .with_retry(super::no_retries());
        if let Some(file) = Secret::find_file(options.credentials_file.as_deref(), "gcs_credentials")? {
            builder = builder.with_application_credentials(file.display().to_string());
        }
        let store = builder.build().map_err(|e| explain_credentials(&e, HINT))?;
        Ok(GcsDialect {
            endpoint: "https://storage.googleapis.com".into(),
            bucket: bucket.into(),
            credentials: Some(store.credentials().clone()),
        })
    }

    async fn find_bearer(&self) -> Result<Option<HeaderValue>> {
        let Some(credentials) = &self.credentials else { return Ok(None) };
        let credential = credentials.get_credential().await.map_err(|e| explain_credentials(&e, HINT))?;
        let bearer = HeaderValue::from_str(&format!("Bearer {}", credential.bearer));
        bearer.map(Some).doing(|| "read the access token".into())
    }

    fn objects_url(&self) -> String {
        format!("{}/storage/v1/b/{}/o", self.endpoint, self.bucket)
    }

    fn object_url(&self, path: &str) -> String {
        format!("{}/{}", self.objects_url(), utf8_percent_encode(path, IN_NAME))
    }

    /// `ifGenerationMatch=0`: there must be no object of this name when this one appears.
    fn upload_url(&self, kind: &str) -> String {
        format!(
            "{}/upload/storage/v1/b/{}/o?uploadType={kind}&ifGenerationMatch=0",
            self.endpoint, self.bucket
        )
    }
}

/// What stands for itself in an object's name, whose `/` do not part the path, and in a parameter.
const IN_NAME: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

impl Dialect for GcsDialect {
    async fn check_credentials(&self) -> Result<()> {
        self.find_bearer().await.map(|_| ())
    }

    async fn sign(&self, request: &mut HttpRequest) -> Result<()> {
        if let Some(bearer) = self.find_bearer().await? {
            request.headers_mut().insert(header::AUTHORIZATION, bearer);
        }
        Ok(())
    }

    fn put(&self, path: &str, metadata: &Attrs, body: bytes::Bytes) -> Result<HttpRequest> {
        // One request for both, by the API's multipart form; the boundary is nothing that a body can hold by chance.
        let boundary = random::mark();
        let described = answer::describe_object(path, metadata);
        let mut whole = format!(
            "--{boundary}\r\ncontent-type: application/json; charset=UTF-8\r\n\r\n{described}\r\n\
             --{boundary}\r\ncontent-type: application/octet-stream\r\n\r\n"
        )
        .into_bytes();
        whole.reserve_exact(body.len() + boundary.len() + 8);
        whole.extend_from_slice(&body);
        whole.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
        let form = format!("multipart/related; boundary={boundary}");
        make_request(Method::POST, &self.upload_url("multipart"), &[("content-type", &form)], whole)
    }

    fn head(&self, path: &str) -> Result<HttpRequest> {
        make_request(Method::GET, &self.object_url(path), &[], Vec::new())
    }

    fn get(&self, path: &str, from: u64, version: Option<&str>) -> Result<HttpRequest> {
        let version = version.map(|generation| format!("&generation={generation}")).unwrap_or_default();
        let range = format!("bytes={from}-");
        let headers: &[(&str, &str)] = if from > 0 { &[("range", &range)] } else { &[] };
        make_request(
            Method::GET,
            &format!("{}?alt=media{version}", self.object_url(path)),
            headers,
            Vec::new(),
        )
    }

    fn delete(&self, path: &str) -> Result<HttpRequest> {
        make_request(Method::DELETE, &self.object_url(path), &[], Vec::new())
    }

    fn list(&self, prefix: &str, folders: bool, page: Option<&str>) -> Result<HttpRequest> {
        let mut url = format!("{}?prefix={}", self.objects_url(), utf8_percent_encode(prefix, IN_NAME));
        if folders {
            url.push_str("&delimiter=%2F");
        }
        if let Some(token) = page {
            url.push_str(&format!("&pageToken={}", utf8_percent_encode(token, IN_NAME)));
        }
        make_request(Method::GET, &url, &[], Vec::new())
    }

    fn read_head(&self, _: &HttpResponse, body: &[u8]) -> Result<Option<FoundObject>> {
        answer::read_object(body).map(Some)
    }

    fn read_version(&self, answer: &HttpResponse) -> Option<String> {
        answer.headers().get("x-goog-generation").map(Into::into)
    }

    fn read_page(&self, body: &[u8]) -> Result<ListedPage> {
        answer::read_page(body)
    }

    fn read_refusal(&self, _: &HttpResponse, body: &[u8]) -> (String, String) {
        answer::read_refusal(body)
    }

    fn is_taken(&self, status: u16, _: &str) -> bool {
        status == 412
    }

    /// `notFound` is said of a missing object and of a missing bucket.
    fn absence(&self, _: &str) -> Absence {
        Absence::Unclear
    }

    fn remedy(&self, status: u16, _: &str, need: Need) -> Option<&'static str> {
        answer::remedy(status, need)
    }

    fn put_large(cloud: &Gcs, put: &PlannedPut<'_>, first: Vec<u8>, body: &mut dyn Read) -> Result<Stored> {
        session::put_by_session(cloud, put, first, body)
    }
}
