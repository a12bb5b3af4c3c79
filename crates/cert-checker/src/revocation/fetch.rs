//! The list that a certificate names: fetched once, kept until its next update.

use crate::facts::{Moment, fingerprint};
use crate::net::deadline::Deadline;
use std::path::PathBuf;
use toban_core::durable;
use x509_parser::prelude::FromDer;
use x509_parser::revocation_list::CertificateRevocationList;

/// Larger lists are not read; the largest that public authorities publish have some 50 MiB.
const LARGEST: u64 = 64 << 20;

/// The list at `url`, or the one kept from before while it is fresh.
///
/// # Errors
/// Why it could not be had, in words.
pub(super) fn list(url: &str, at: Moment, deadline: Deadline) -> Result<Vec<u8>, String> {
    let kept = kept(url);
    if let Some(list) = std::fs::read(&kept).ok().filter(|list| fresh(list, at)) {
        return Ok(list);
    }
    let list = fetch(url, deadline)?;
    if fresh(&list, at) {
        let saved = durable::create_dirs(durable::folder_of(&kept)).and_then(|()| {
            durable::replace(&kept, 0o600, |w| {
                use toban_core::Context;
                w.write_all(&list).doing(|| "write".into())
            })
        });
        if let Err(e) = saved {
            log::info!("the list is not kept: {}", e.chain());
        }
    }
    Ok(list)
}

fn kept(url: &str) -> PathBuf {
    durable::state_dir().join("certificates").join("lists").join(fingerprint(url.as_bytes()))
}

fn fresh(list: &[u8], at: Moment) -> bool {
    let parsed = CertificateRevocationList::from_der(list).ok();
    parsed.and_then(|(_, crl)| crl.next_update()).is_some_and(|next| next.timestamp() > at.0)
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
