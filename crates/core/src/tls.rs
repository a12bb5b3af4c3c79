//! The one implementation of cryptography.

use rustls::crypto::CryptoProvider;
use std::sync::Arc;

/// What every TLS connection of ours uses (PostgreSQL, S3, HTTP, mail).
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// What the TLS library says, in words: why a certificate is refused, which alert came.
pub fn describe_error(text: &str) -> String {
    crate::tls_words::in_words(text)
}
