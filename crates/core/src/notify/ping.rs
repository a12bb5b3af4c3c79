//! A monitor that notices when we do not run: pinged at the start, and with the exit status and the end of the text.

use super::http::{self, SecretUrl};
use super::message::{TEXT, tail, uuid};
use crate::config::PingConfig;
use crate::error::{Context, Error, Result};
use crate::secret::Secret;
use std::time::Duration;

/// A job is never held up longer than this by one ping.
const LIMIT: Duration = Duration::from_secs(2);

/// The monitor of one run.
pub(super) struct Pinger {
    url: SecretUrl,
    /// Names the run, so that two at once are told apart.
    run: String,
}

impl Pinger {
    /// The monitor that is set up, if one is.
    ///
    /// # Errors
    /// Usage, when its URL cannot be read or is none.
    pub(super) fn open_pinger(config: Option<&PingConfig>) -> Result<Option<Pinger>> {
        let file = config.and_then(|c| c.url_file.as_deref());
        let url = match config.and_then(|c| c.url.clone()) {
            Some(url) => Some(url),
            None => Secret::find(file, "ping_url", "TOBAN_PING_URL")?,
        };
        let Some(url) = url else { return Ok(None) };
        let url = SecretUrl::parse_url(&url, true).doing(|| "[notify.ping]".into())?;
        Ok(Some(Pinger { url, run: uuid() }))
    }

    /// Tells that the run has come to `what` (`start`, or an exit status), with the end of `body`.
    ///
    /// # Errors
    /// When the monitor did not take it within 2 s.
    pub(super) fn send_ping(&self, what: &str, body: &str) -> Result<()> {
        let target = self.ping_url(what);
        let answer = http::post(&self.url, &target, "text/plain; charset=utf-8", tail(body, TEXT), LIMIT)
            .doing(|| format!("ping {what}"))?;
        match answer.status {
            200..300 => Ok(()),
            status => Err(Error::failed(format!("ping {what}: {} answered {status}", self.url.host()))),
        }
    }

    /// `what` goes behind the path, and before a query that the URL may have.
    fn ping_url(&self, what: &str) -> String {
        let (path, query) = self.url.reveal().split_once('?').unwrap_or((self.url.reveal(), ""));
        let more = if query.is_empty() { String::new() } else { format!("{query}&") };
        format!("{}/{what}?{more}rid={}", path.trim_end_matches('/'), self.run)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(url: &str) -> String {
        let config = PingConfig { url: Some(Secret::new(url)), url_file: None };
        let pinger = Pinger::open_pinger(Some(&config)).expect("a URL").expect("is set up");
        pinger.ping_url("75").replace(&pinger.run, "RUN")
    }

    #[test]
    fn the_status_goes_behind_the_path() {
        assert_eq!(target("http://hc/ping/u-u"), "http://hc/ping/u-u/75?rid=RUN");
        assert_eq!(target("https://hc/ping/u-u/?create=1"), "https://hc/ping/u-u/75?create=1&rid=RUN");
    }
}
