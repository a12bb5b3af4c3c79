//! The SDK's requests, asked as [`super::super::ask`] asks.

use super::{S3, refusal};
use crate::error::Result;
use crate::store::ask::{Need, Refusal, send_until_answered, wait_until_answered};
use crate::store::backoff::Backoff;
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};

impl S3 {
    /// Sends what `send` makes, which moves `bytes`; the answer and how many attempts it took.
    pub(super) fn send_request<T, E, F>(
        &self,
        need: Need,
        bytes: u64,
        doing: &str,
        mut send: impl FnMut() -> F,
    ) -> Result<(T, u32), Refusal>
    where
        F: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        wait_until_answered(self.backoff, bytes, doing, || judged(need, send()))
    }
}

/// The loop of [`S3::send_request`], for tasks of their own too.
pub(super) async fn send_sdk_request<T, E, F>(
    backoff: Backoff,
    bytes: u64,
    need: Need,
    mut send: impl FnMut() -> F,
) -> Result<(T, u32), Refusal>
where
    F: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    send_until_answered(backoff, bytes, || judged(need, send())).await
}

async fn judged<T, E, F>(need: Need, sent: F) -> Result<T, Refusal>
where
    F: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    sent.await.map_err(|e| refusal::judge_error(e, need))
}
