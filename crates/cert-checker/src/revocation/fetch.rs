//! The list that a certificate names: fetched once, kept until its next update.

use crate::facts::{Moment, fingerprint};
use crate::net::deadline::Deadline;
use pkix::Crl;
use std::path::{Path, PathBuf};
use toban_core::{Context, durable};

/// Larger lists are not read; the largest that public authorities publish have some 50 MiB.
const LARGEST: u64 = 64 << 20;

/// A list, and whether it answers for the certificate.
pub(super) struct Had {
    pub(super) list: Crl,
    pub(super) answers: Result<(), String>,
}

/// Why there is no list, in words.
pub(super) enum Trouble {
    Unreachable(String),
    Unreadable(String),
}

/// The list at `url`, or the one kept from before while it is fresh and `answers`. Who can put another list on the way,
/// which comes without TLS, must not have it kept.
///
/// # Errors
/// Why it could not be had.
pub(super) fn list(
    url: &str,
    at: Moment,
    deadline: Deadline,
    answers: &dyn Fn(&Crl) -> Result<(), String>,
) -> Result<Had, Trouble> {
    let kept = kept(url);
    let before = std::fs::read(&kept).ok().and_then(|bytes| Crl::parse(&bytes).ok());
    if let Some(list) = before.filter(|list| fresh(list, at) && answers(list).is_ok()) {
        return Ok(Had { list, answers: Ok(()) });
    }
    let bytes = fetch(url, deadline).map_err(Trouble::Unreachable)?;
    let list = Crl::parse(&bytes).map_err(|reason| Trouble::Unreadable(reason.detail))?;
    let answers = answers(&list);
    if answers.is_ok() && fresh(&list, at) {
        keep(&kept, &bytes);
    }
    Ok(Had { list, answers })
}

fn keep(path: &Path, bytes: &[u8]) {
    let saved = durable::create_dirs(durable::folder_of(path))
        .and_then(|()| durable::replace(path, 0o600, |w| w.write_all(bytes).doing(|| "write".into())));
    if let Err(e) = saved {
        log::info!("the list is not kept: {}", e.chain());
    }
}

fn kept(url: &str) -> PathBuf {
    durable::state_dir().join("certificates").join("lists").join(fingerprint(url.as_bytes()))
}

fn fresh(list: &Crl, at: Moment) -> bool {
    list.validity().1.is_some_and(|next| next > at.0)
}

/// Lists are signed, so they are fetched without TLS (RFC 5280, 8); no other scheme is followed.
fn fetch(url: &str, deadline: Deadline) -> Result<Vec<u8>, String> {
    if !url.starts_with("http://") {
        return Err("only http:// is fetched".into());
    }
    let left = deadline.left().map_err(|_| "no time is left".to_string())?;
    let config = ureq::Agent::config_builder()
        .timeout_global(Some(left))
        .max_redirects(3)
        .user_agent(concat!("toban/", env!("CARGO_PKG_VERSION")));
    let mut response = config.build().new_agent().get(url).call().map_err(|e| e.to_string())?;
    response.body_mut().with_config().limit(LARGEST).read_to_vec().map_err(|e| e.to_string())
}
