//! Why no answer came.

use crate::error::Error;

/// No answer, or half of one: it passes, but that a certificate is not trusted does not pass by itself.
pub(super) fn explain_failure(e: &(dyn std::error::Error + 'static)) -> Error {
    if is_distrusted(e) {
        return Error::failed(deepest_cause(e)).hint(
            "the service's certificate is not trusted here: SSL_CERT_FILE names the authorities to trust",
        );
    }
    Error::retry(deepest_cause(e))
}

fn is_distrusted(e: &(dyn std::error::Error + 'static)) -> bool {
    cause_chain(e).any(|cause| matches!(find_tls_error(cause), Some(rustls::Error::InvalidCertificate(_))))
}

/// rustls' error, also inside an `io::Error` inside an `io::Error`, whose `source` skips what it holds.
fn find_tls_error<'a>(e: &'a (dyn std::error::Error + 'static)) -> Option<&'a rustls::Error> {
    match e.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
        Some(inner) => find_tls_error(inner),
        None => e.downcast_ref(),
    }
}

/// The cause at the bottom: the SDK's own layers say only "dispatch failure".
pub(super) fn deepest_cause(e: &(dyn std::error::Error + 'static)) -> String {
    cause_chain(e).last().map(ToString::to_string).unwrap_or_default()
}

fn cause_chain<'a>(
    e: &'a (dyn std::error::Error + 'static),
) -> impl Iterator<Item = &'a (dyn std::error::Error + 'static)> {
    std::iter::successors(Some(e), |e| e.source())
}
