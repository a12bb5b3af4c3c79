//! One request, asked again until it is answered or the patience ends.

use super::{S3, reactor, refusal};
use crate::error::{Context, Error, Kind, Result};
use crate::store::backoff::{Backoff, gave_up};
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use std::time::Duration;

/// What the credential must be allowed to; named in the hint when it is not.
#[derive(Clone, Copy, Debug)]
pub(super) enum Need {
    Read,
    Write,
    List,
    Delete,
    Abort,
    Sweep,
}

/// A request that was refused, or not answered in time.
#[derive(Debug)]
pub(super) struct Refusal {
    /// HTTP status; 0 when there was no answer.
    pub(super) status: u16,
    /// The service's word for it, such as `NoSuchKey`; empty when it gave none.
    pub(super) code: String,
    /// How many attempts were made.
    pub(super) attempts: u32,
    /// What to tell.
    pub(super) error: Error,
}

impl Refusal {
    /// The service answers, and wants to be asked less.
    fn is_throttled(&self) -> bool {
        self.status == 429 || matches!(self.code.as_str(), "SlowDown" | "Throttling" | "RequestLimitExceeded")
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Refusal {
        Refusal { status: 0, code: String::new(), attempts: 0, error }
    }
}

impl S3 {
    /// Sends what `send` makes, which moves `bytes`; the answer and how many attempts it took.
    pub(super) fn send_request<T, E, F>(
        &self,
        need: Need,
        bytes: u64,
        doing: &str,
        send: impl FnMut() -> F,
    ) -> Result<(T, u32), Refusal>
    where
        F: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        let asked = reactor::wait_for(send_until_answered(self.backoff, bytes, need, send));
        asked.doing(|| doing.to_string())?.map_err(|mut refusal| {
            refusal.error = Error::new(refusal.error.kind(), doing).because(refusal.error);
            refusal
        })
    }
}

/// The loop of [`S3::send_request`], for tasks of their own too.
pub(super) async fn send_until_answered<T, E, F>(
    backoff: Backoff,
    bytes: u64,
    need: Need,
    mut send: impl FnMut() -> F,
) -> Result<(T, u32), Refusal>
where
    F: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    let mut tries = backoff.begin();
    loop {
        let mut refusal = match attempt_once(tries.attempt(bytes), send()).await {
            Ok(Ok(answer)) => return Ok((answer, tries.failures() + 1)),
            Ok(Err(e)) => refusal::judge_error(e, need),
            Err(late) => late.into(),
        };
        // Who is throttled must wait longer each time, or stays throttled; who got no answer asks often, since the
        // service may be back at any moment and asking it costs nothing.
        let pause = if refusal.is_throttled() { tries.pause() } else { tries.pause_away() };
        refusal.attempts = tries.failures();
        match pause {
            Some(pause) if refusal.error.kind() == Kind::Retry => {
                log::debug!("again in {} ms: {:?}", pause.as_millis(), refusal.error);
                tokio::time::sleep(pause).await;
            }
            _ if refusal.error.kind() == Kind::Retry => {
                refusal.error = gave_up(refusal.error, &tries);
                return Err(refusal);
            }
            _ => return Err(refusal),
        }
    }
}

/// One attempt: a connection that stalls is dropped after `limit`.
async fn attempt_once<F: Future>(limit: Duration, attempt: F) -> Result<F::Output> {
    let late = |_| Error::retry(format!("no answer within {:.1} s", limit.as_secs_f64()));
    tokio::time::timeout(limit, attempt).await.map_err(late)
}
