//! One request, asked again until it is answered or the patience ends.

use super::backoff::{Backoff, gave_up};
use super::reactor;
use crate::error::{Context, Error, Kind, Result};
use std::time::Duration;

/// What the credential must be allowed to; named in the hint when it is not.
#[derive(Clone, Copy, Debug)]
pub(super) enum Need {
    Read,
    Write,
    List,
    ListVersions,
    ReadLifecycle,
    ReadLock,
    WriteLock,
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
    /// How long the service asks to be left alone.
    pub(super) retry_after: Option<Duration>,
    /// How many attempts were made.
    pub(super) attempts: u32,
    /// What to tell.
    pub(super) error: Error,
}

impl Refusal {
    /// The service answers, and wants to be asked less.
    fn is_throttled(&self) -> bool {
        let codes = ["SlowDown", "Throttling", "RequestLimitExceeded", "ServerBusy"];
        self.status == 429 || self.retry_after.is_some() || codes.contains(&self.code.as_str())
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Refusal {
        Refusal { status: 0, code: String::new(), retry_after: None, attempts: 0, error }
    }
}

/// The seconds of a `Retry-After` header; none for its other form, a date.
pub(super) fn parse_retry_after(header: Option<&str>) -> Option<Duration> {
    header?.trim().parse().ok().map(Duration::from_secs)
}

/// The answer to what `send` makes, which moves `bytes`, and how many attempts it took.
pub(super) fn wait_until_answered<T, F>(
    backoff: Backoff,
    bytes: u64,
    doing: &str,
    send: impl FnMut() -> F,
) -> Result<(T, u32), Refusal>
where
    F: Future<Output = Result<T, Refusal>>,
{
    let asked = reactor::wait_for(send_until_answered(backoff, bytes, send));
    asked.doing(|| doing.to_string())?.map_err(|mut refusal| {
        refusal.error = Error::new(refusal.error.kind(), doing).because(refusal.error);
        refusal
    })
}

/// The loop of [`wait_until_answered`], for tasks of their own too.
pub(super) async fn send_until_answered<T, F>(
    backoff: Backoff,
    bytes: u64,
    mut send: impl FnMut() -> F,
) -> Result<(T, u32), Refusal>
where
    F: Future<Output = Result<T, Refusal>>,
{
    let mut tries = backoff.begin();
    loop {
        let mut refusal = match attempt_once(tries.attempt(bytes), send()).await {
            Ok(Ok(answer)) => return Ok((answer, tries.failures() + 1)),
            Ok(Err(refusal)) => refusal,
            Err(late) => late.into(),
        };
        // Who is throttled must wait longer each time, or stays throttled; who got no answer asks often, since the
        // service may be back at any moment and asking it costs nothing.
        let pause = if refusal.is_throttled() {
            tries.pause_at_least(refusal.retry_after.unwrap_or_default())
        } else {
            tries.pause_away()
        };
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_that_is_asked_for_is_read() {
        let second = |n| Some(Duration::from_secs(n));
        assert_eq!(
            (parse_retry_after(Some("3")), parse_retry_after(Some(" 120 "))),
            (second(3), second(120))
        );
        assert_eq!(parse_retry_after(Some("Mon, 30 Nov 2026 15:00:00 GMT")), None);
        assert_eq!(parse_retry_after(None), None);
    }
}
