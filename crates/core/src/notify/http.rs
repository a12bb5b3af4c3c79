//! The one HTTP client, and URLs that are secrets.

use crate::error::{Error, Kind, Result};
use crate::secret::Secret;
use std::time::Duration;
use ureq::http::Uri;

/// A URL of which only the host is ever shown.
#[derive(Clone)]
pub(super) struct SecretUrl {
    url: Secret,
    host: String,
}

impl SecretUrl {
    /// Takes `url` if it is one; `plain` says that `http://` will do beyond this machine.
    ///
    /// # Errors
    /// Usage, without any of its text.
    pub(super) fn parse_url(url: &Secret, plain: bool) -> Result<SecretUrl> {
        let text = url.reveal().trim();
        let odd = || Error::usage("this is not a URL").hint("it begins with https:// and a host's name");
        let uri: Uri = text.parse().map_err(|_| odd())?;
        let host = uri.host().ok_or_else(odd)?.to_string();
        match uri.scheme_str() {
            Some("https") => {}
            Some("http") if plain || is_loopback(&host) => {}
            _ => return Err(odd()),
        }
        Ok(SecretUrl { url: Secret::new(text), host })
    }

    /// All that may be shown.
    pub(super) fn host(&self) -> &str {
        &self.host
    }

    /// The whole, for the one call that needs it.
    pub(super) fn reveal(&self) -> &str {
        self.url.reveal()
    }

    /// `text` of someone else, without the URL and without its path, cut to a line of 200 bytes.
    pub(super) fn redact_text(&self, text: &str) -> String {
        let path = self.reveal().split_once("://").and_then(|(_, rest)| rest.find('/').map(|at| &rest[at..]));
        let mut text = text.replace(self.reveal(), "***");
        for part in path.into_iter().chain(path.into_iter().flat_map(|p| p.split('/'))) {
            if part.len() >= 8 {
                text = text.replace(part, "***");
            }
        }
        super::message::cut(&crate::out::escape(text.trim()), 200).to_string()
    }
}

/// Whether `host` is this machine.
pub(super) fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    host == "localhost" || address.is_ok_and(|a| a.is_loopback())
}

/// What a server answered.
pub(super) struct Answer {
    pub(super) status: u16,
    /// The wait it asks for.
    pub(super) retry_after: Option<Duration>,
    /// The first KiB.
    pub(super) body: String,
}

/// Posts `body`, and waits `limit` at most for the answer. No redirect is followed: it would carry the secret
/// elsewhere.
///
/// # Errors
/// Retry when there was no answer, Failed when TLS came to none, which time does not remedy; the text holds nothing of the URL but the host.
pub(super) fn post(url: &SecretUrl, target: &str, kind: &str, body: &str, limit: Duration) -> Result<Answer> {
    let trouble = |e: &ureq::Error| {
        let kind = if is_tls(e) { Kind::Failed } else { Kind::Retry };
        Error::new(kind, format!("post to {}: {}", url.host(), url.redact_text(&describe_error(e))))
    };
    let sent = make_agent(limit).post(target).header("Content-Type", kind).send(body);
    let mut response = sent.map_err(|e| trouble(&e))?;
    let header = response.headers().get("Retry-After").and_then(|v| v.to_str().ok());
    let retry_after = header.and_then(|v| v.trim().parse().ok()).map(Duration::from_secs);
    let reader = response.body_mut().with_config().limit(u64::MAX).reader();
    let body = read_beginning(reader).map_err(|e| trouble(&ureq::Error::Io(e)))?;
    Ok(Answer { status: response.status().as_u16(), retry_after, body })
}

fn read_beginning(reader: impl std::io::Read) -> std::io::Result<String> {
    let mut bytes = Vec::new();
    std::io::Read::read_to_end(&mut reader.take(1024), &mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn make_agent(limit: Duration) -> ureq::Agent {
    // ureq takes the process's provider; a second installation keeps the first, which is ring as well.
    let _ = (*crate::tls::provider()).clone().install_default();
    let tls = ureq::tls::TlsConfig::builder().root_certs(ureq::tls::RootCerts::PlatformVerifier).build();
    let config = ureq::Agent::config_builder()
        .timeout_global(Some(limit))
        // Every status is an answer to us, a redirect too: followed, it would carry the secret in the path to another
        // host.
        .max_redirects(0)
        .max_redirects_will_error(false)
        .http_status_as_error(false)
        .user_agent(concat!("toban/", env!("CARGO_PKG_VERSION")))
        .tls_config(tls);
    config.build().new_agent()
}

/// Whether TLS said no, as to a certificate it does not know.
pub(super) fn is_tls(e: &(dyn std::error::Error + 'static)) -> bool {
    let inside = |io: &std::io::Error| io.get_ref().is_some_and(|inner| is_tls(inner));
    e.is::<rustls::Error>()
        || e.downcast_ref::<std::io::Error>().is_some_and(inside)
        || matches!(e.downcast_ref(), Some(ureq::Error::Rustls(_)))
        || matches!(e.downcast_ref(), Some(ureq::Error::Io(io)) if inside(io))
        || e.source().is_some_and(is_tls)
}

fn describe_error(e: &ureq::Error) -> String {
    match e {
        // This one quotes the URL.
        ureq::Error::BadUri(_) => "this is not a URL".to_string(),
        other => crate::tls_words::in_words(&other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_host_is_shown() {
        let secret = "https://hooks.example.org/services/T000/B0000/XXXXXXXXXXXX";
        let url = SecretUrl::parse_url(&Secret::new(secret), false).expect("a URL");
        assert_eq!(url.host(), "hooks.example.org");
        let said =
            format!("cannot reach {secret}\n at /services/T000/B0000/XXXXXXXXXXXX: token XXXXXXXXXXXX");
        assert_eq!(url.redact_text(&said), "cannot reach ***\\n at ***: token ***");
    }

    #[test]
    fn only_the_first_kib_of_an_answer_is_read() {
        assert_eq!(read_beginning(std::io::repeat(b'x')).expect("endless").len(), 1024);
    }

    #[test]
    fn what_is_no_url_is_not_quoted() {
        for text in ["hunter2", "ftp://h/hunter2", "http://hooks.example.org/hunter2", "https:///hunter2", ""]
        {
            let e = SecretUrl::parse_url(&Secret::new(text), false).err().expect("refused");
            assert!(!e.chain().contains("hunter2"), "{text}: {e:?}");
        }
        assert!(SecretUrl::parse_url(&Secret::new("http://127.0.0.1:9/x"), false).is_ok());
        assert!(SecretUrl::parse_url(&Secret::new("http://[::1]:9/x"), false).is_ok());
    }
}
