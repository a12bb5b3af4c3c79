//! How requests of ours, and those that fetch credentials, go out: by the transport that S3 uses, so that there is one
//! TLS and one list of trusted authorities.

use crate::error::{Context, Error, Result};
use crate::store::backoff::Backoff;
use crate::store::failure::explain_failure;
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::primitives::{ByteStream, SdkBody};
use aws_smithy_http_client::Connector;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use aws_smithy_runtime_api::client::http::{HttpConnector as _, HttpConnectorSettings};
use object_store::client::{HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpService};
use std::sync::Arc;
use std::time::Duration;

/// Connections that are kept and shared.
#[derive(Clone, Debug)]
pub(super) struct HttpTransport(Arc<Connector>);

impl HttpTransport {
    /// Nothing is connected yet.
    pub(super) fn new(backoff: Backoff) -> HttpTransport {
        let connect = backoff.attempt(0).min(Duration::from_secs(5));
        let settings = HttpConnectorSettings::builder().connect_timeout(connect).build();
        let tls = Connector::builder().tls_provider(Provider::Rustls(CryptoMode::Ring));
        HttpTransport(Arc::new(tls.connector_settings(settings).build()))
    }

    /// One attempt: the answer, whatever its status.
    ///
    /// # Errors
    /// Retry when there is none; Failed when the service's certificate is not trusted.
    pub(super) async fn exchange(&self, request: HttpRequest) -> Result<HttpResponse> {
        let (parts, body) = request.into_parts();
        let body = SdkBody::from(body.as_bytes().cloned().unwrap_or_default());
        let request = http::Request::from_parts(parts, body).try_into();
        let request = request.map_err(|e| Error::failed("make the request").because(e))?;
        self.0.call(request).await.map_err(|e| explain_failure(&e))
    }

    async fn fetch_credential(&self, request: HttpRequest) -> Result<http::Response<Vec<u8>>> {
        let uri = request.uri();
        let place = format!("{}{}", uri.authority().map_or("", |a| a.as_str()), uri.path());
        let of_machine = uri.host().is_some_and(|host| MACHINE.contains(&host));
        let limit = if of_machine { OF_MACHINE } else { OF_OTHERS };
        let asked = tokio::time::timeout(limit, async {
            let mut answer = self.exchange(request).await?;
            let status = answer.status().as_u16();
            let body = collect_body(answer.take_body()).await?;
            let mut whole = http::Response::new(body);
            *whole.status_mut() = http::StatusCode::from_u16(status).doing(|| place.clone())?;
            Ok(whole)
        });
        let late = |_| Error::retry(format!("no answer within {} s", limit.as_secs()));
        let answer = asked.await.map_err(late).and_then(|answer| answer).and_then(refuse_unsuccessful);
        // Outside of the cloud the machine's own address leads nowhere: that does not pass by waiting.
        answer.map_err(|e| match of_machine {
            true => Error::failed(format!("no credentials are set, and {place} has none")).because(e.chain()),
            false => Error::new(e.kind(), place).because(e),
        })
    }
}

fn refuse_unsuccessful(answer: http::Response<Vec<u8>>) -> Result<http::Response<Vec<u8>>> {
    let status = answer.status();
    if status.is_success() {
        return Ok(answer);
    }
    let text: String = String::from_utf8_lossy(answer.body()).chars().take(300).collect();
    Err(Error::new(kind_of_status(status.as_u16()), format!("{status}: {text}")))
}

/// The addresses at which machines of the clouds learn who they are.
const MACHINE: [&str; 2] = ["169.254.169.254", "metadata.google.internal"];
const OF_MACHINE: Duration = Duration::from_secs(3);
const OF_OTHERS: Duration = Duration::from_secs(15);

/// What a status that is no success means for whoever asks again.
pub(super) fn kind_of_status(status: u16) -> crate::Kind {
    match status {
        408 | 429 | 500 | 502 | 503 | 504 => crate::Kind::Retry,
        _ => crate::Kind::Failed,
    }
}

/// All of an answer's body.
///
/// # Errors
/// Retry when it was cut.
pub(super) async fn collect_body(body: SdkBody) -> Result<Vec<u8>> {
    let whole = ByteStream::new(body).collect().await;
    whole.map(aws_sdk_s3::primitives::AggregatedBytes::to_vec).map_err(|e| explain_failure(&e))
}

/// The way of `object_store`'s credential providers to the network.
#[async_trait::async_trait]
impl HttpService for HttpTransport {
    async fn call(&self, request: HttpRequest) -> Result<object_store::client::HttpResponse, HttpError> {
        let fetched = self.fetch_credential(request).await;
        fetched.map(|answer| answer.map(Into::into)).map_err(|e| HttpError::new(HttpErrorKind::Unknown, e))
    }
}

impl HttpConnector for HttpTransport {
    fn connect(&self, _: &object_store::ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}
