//! Azure Blob Storage: block blobs of one container.

use super::dialect::{Absence, Dialect, FoundObject, ListedPage, make_request};
use super::upload::PlannedPut;
use super::wire::HttpTransport;
use super::{Cloud, explain_credentials};
use crate::error::{Context, Error, Result};
use crate::secret::Secret;
use crate::store::ask::Need;
use crate::store::backoff::Backoff;
use crate::store::{Attrs, Store, Stored};
use aws_sdk_s3::config::http::HttpResponse;
use http::Method;
use object_store::azure::{AzureAuthorizer, AzureCredential, AzureCredentialProvider, MicrosoftAzureBuilder};
use object_store::client::HttpRequest;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;

mod blocks;
mod listing;
mod refusal;

type Azure = Cloud<AzureDialect>;

/// How to reach an account.
#[derive(Clone, Debug, Default)]
pub struct AzureOptions {
    /// The storage account; `AZURE_STORAGE_ACCOUNT` otherwise.
    pub account: Option<String>,
    /// Where the account's blobs are, when not at `https://ACCOUNT.blob.core.windows.net`; `AZURE_STORAGE_ENDPOINT`
    /// otherwise.
    pub endpoint: Option<String>,
    /// The file with the account's key.
    pub key_file: Option<PathBuf>,
    /// The file with a shared access signature.
    pub sas_file: Option<PathBuf>,
    /// How long each request is tried again at most, where the environment does not say; none: [`Backoff::DEFAULT`].
    pub backoff: Option<Backoff>,
}

/// The store at `container/prefix`. Nothing is asked yet.
///
/// # Errors
/// Usage when that is not the name of a container and a prefix, no account is named, or `TOBAN_RETRY_FOR` is not a
/// duration.
pub(in crate::store) fn open_azure(place: &str, options: &AzureOptions) -> Result<Arc<dyn Store>> {
    let account = options.account.clone().or_else(|| read_variable("AZURE_STORAGE_ACCOUNT"));
    let account = account.ok_or_else(|| {
        let e = Error::usage(format!("az://{place}: the storage account is not named"));
        e.hint("set AZURE_STORAGE_ACCOUNT, or azure_account in the [repo.NAME] section")
    })?;
    let options = options.clone();
    let azure: Azure = Cloud::open_place("az", place, options.backoff, move |container, transport| {
        AzureDialect::connect(&options, &account, container, transport)
    })?;
    Ok(Arc::new(azure))
}

fn read_variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|v| !v.is_empty())
}

const HINT: &str = "set AZURE_STORAGE_KEY or AZURE_STORAGE_SAS_TOKEN, a service principal (AZURE_TENANT_ID, \
    AZURE_CLIENT_ID, AZURE_CLIENT_SECRET), or give the machine a managed identity";

/// Requests of the Blob service's REST API.
struct AzureDialect {
    account: String,
    /// URL of the container.
    container: String,
    credentials: AzureCredentialProvider,
}

impl AzureDialect {
    fn connect(
        options: &AzureOptions,
        account: &str,
        container: &str,
        transport: HttpTransport,
    ) -> Result<AzureDialect> {
        let endpoint = options.endpoint.clone().or_else(|| read_variable("AZURE_STORAGE_ENDPOINT"));
        let endpoint = endpoint.unwrap_or_else(|| format!("https://{account}.blob.core.windows.net"));
        // The variables of the identities are the ones of Azure's own libraries, which the builder knows.
        let mut builder = MicrosoftAzureBuilder::from_env()
            .with_account(account)
            .with_container_name(container)
            .with_http_connector(transport)
            // Our own loop repeats.
            .with_retry(super::no_retries());
        let key = Secret::find(options.key_file.as_deref(), "azure_key", "AZURE_STORAGE_KEY")?;
        let sas = Secret::find(options.sas_file.as_deref(), "azure_sas", "AZURE_STORAGE_SAS_TOKEN")?;
        if let Some(sas) = sas {
            let pairs = object_store::azure::split_sas(sas.reveal().trim_start_matches('?'));
            let pairs = pairs.map_err(|_| Error::usage("the shared access signature does not read"))?;
            builder = builder.with_sas_authorization(pairs).with_credential_type("sas_token");
        } else if let Some(key) = key {
            builder = builder.with_access_key(key.reveal()).with_credential_type("access_key");
        }
        let store = builder.build().map_err(|e| explain_credentials(&e, HINT))?;
        Ok(AzureDialect {
            account: account.to_string(),
            container: format!("{}/{container}", endpoint.trim_end_matches('/')),
            credentials: store.credentials().clone(),
        })
    }

    async fn find_credential(&self) -> Result<Arc<AzureCredential>> {
        self.credentials.get_credential().await.map_err(|e| explain_credentials(&e, HINT))
    }

    fn blob_url(&self, path: &str) -> String {
        format!("{}/{}", self.container, utf8_percent_encode(path, IN_PATH))
    }
}

/// What stands for itself in the path of a URL.
const IN_PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

/// What stands for itself in a parameter.
const IN_QUERY: &AsciiSet = &IN_PATH.add(b'/');

impl Dialect for AzureDialect {
    async fn check_credentials(&self) -> Result<()> {
        self.find_credential().await.map(|_| ())
    }

    async fn sign(&self, request: &mut HttpRequest) -> Result<()> {
        let credential = self.find_credential().await?;
        let authorizer = AzureAuthorizer::new(&credential, &self.account);
        authorizer.try_authorize(request).doing(|| "sign the request".into())
    }

    fn put(&self, path: &str, metadata: &Attrs, body: bytes::Bytes) -> Result<HttpRequest> {
        let metadata = metadata_headers(metadata);
        let mut headers = borrowed(&metadata);
        headers.extend([("x-ms-blob-type", "BlockBlob"), ("if-none-match", "*")]);
        make_request(Method::PUT, &self.blob_url(path), &headers, body)
    }

    fn head(&self, path: &str) -> Result<HttpRequest> {
        make_request(Method::HEAD, &self.blob_url(path), &[], Vec::new())
    }

    fn get(&self, path: &str, from: u64, version: Option<&str>) -> Result<HttpRequest> {
        let range = format!("bytes={from}-");
        let mut headers = Vec::new();
        if from > 0 {
            headers.push(("range", range.as_str()));
        }
        if let Some(etag) = version {
            headers.push(("if-match", etag));
        }
        make_request(Method::GET, &self.blob_url(path), &headers, Vec::new())
    }

    fn delete(&self, path: &str) -> Result<HttpRequest> {
        make_request(Method::DELETE, &self.blob_url(path), &[], Vec::new())
    }

    fn list(&self, prefix: &str, folders: bool, page: Option<&str>) -> Result<HttpRequest> {
        let mut url = format!("{}?restype=container&comp=list", self.container);
        for (name, value) in
            [("prefix", Some(prefix)), ("delimiter", folders.then_some("/")), ("marker", page)]
        {
            if let Some(value) = value {
                url.push_str(&format!("&{name}={}", utf8_percent_encode(value, IN_QUERY)));
            }
        }
        make_request(Method::GET, &url, &[], Vec::new())
    }

    fn read_head(&self, answer: &HttpResponse, _: &[u8]) -> Result<Option<FoundObject>> {
        listing::read_properties(answer.headers().iter())
    }

    fn read_version(&self, answer: &HttpResponse) -> Option<String> {
        answer.headers().get("etag").map(Into::into)
    }

    fn read_page(&self, body: &[u8]) -> Result<ListedPage> {
        listing::read_page(body)
    }

    fn read_refusal(&self, answer: &HttpResponse, body: &[u8]) -> (String, String) {
        refusal::read_refusal(answer.headers().get("x-ms-error-code"), body)
    }

    fn is_taken(&self, _: u16, code: &str) -> bool {
        refusal::is_taken(code)
    }

    fn absence(&self, code: &str) -> Absence {
        refusal::absence(code)
    }

    fn remedy(&self, status: u16, code: &str, need: Need) -> Option<&'static str> {
        refusal::remedy(status, code, need)
    }

    fn put_large(cloud: &Azure, put: &PlannedPut<'_>, first: Vec<u8>, body: &mut dyn Read) -> Result<Stored> {
        blocks::put_blocks(cloud, put, first, body)
    }
}

/// Metadata's names are identifiers of C# (Azure, "Naming and referencing metadata"): `first-lsn` goes as
/// `toban_first_lsn`. Ours have no `_`, so that the way back is clear.
fn metadata_headers(metadata: &Attrs) -> Vec<(String, String)> {
    let named =
        |(name, value): (&String, &String)| (format!("{META}{}", name.replace('-', "_")), value.clone());
    metadata.iter().map(named).collect()
}

const META: &str = "x-ms-meta-toban_";

fn borrowed(headers: &[(String, String)]) -> Vec<(&str, &str)> {
    headers.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect()
}
