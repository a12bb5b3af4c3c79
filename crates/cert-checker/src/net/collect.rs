//! A handshake that ends well whatever the certificate is, and remembers all that was shown.

use rustls::client::ResolvesClientCert;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use std::sync::{Arc, Mutex};
use toban_core::sync::lock;

/// What the server showed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shown {
    /// DER, in the order in which they came.
    pub(crate) chain: Vec<Vec<u8>>,
    /// The stapled OCSP answer; empty without one.
    pub(crate) staple: Vec<u8>,
    /// Why the signature that proves the key did not.
    pub(crate) unproven: Option<String>,
    /// Names (DER) of the authorities that may issue client certificates, when one was asked for.
    pub(crate) asked: Option<Vec<Vec<u8>>>,
}

/// What a client may take only, so that a server with several certificates shows another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Only {
    Rsa,
    Ecdsa,
    /// No TLS 1.3.
    Tls12,
}

#[derive(Debug)]
struct Collector {
    shown: Arc<Mutex<Shown>>,
    algorithms: WebPkiSupportedAlgorithms,
    schemes: Vec<SignatureScheme>,
    /// Our own certificate, when the server asks for one.
    own: Option<Arc<CertifiedKey>>,
}

/// A configuration for one handshake, and where what was shown will be.
///
/// # Errors
/// Those of rustls, when no cipher is left.
pub(crate) fn client(
    only: Option<Only>,
    own: Option<Arc<CertifiedKey>>,
) -> Result<(ClientConfig, Arc<Mutex<Shown>>), Error> {
    let mut provider = CryptoProvider::clone(&toban_core::pg::tls::provider());
    if let Some(only) = only {
        provider.cipher_suites.retain(|s| serves(*s, only));
    }
    let algorithms = provider.signature_verification_algorithms;
    let shown = Arc::new(Mutex::new(Shown::default()));
    let collector = Arc::new(Collector {
        shown: Arc::clone(&shown),
        algorithms,
        schemes: schemes(algorithms, only),
        own,
    });
    let verifier: Arc<dyn ServerCertVerifier> = Arc::<Collector>::clone(&collector);
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_client_cert_resolver(collector);
    config.resumption = rustls::client::Resumption::disabled();
    Ok((config, shown))
}

fn serves(suite: rustls::SupportedCipherSuite, only: Only) -> bool {
    match suite {
        rustls::SupportedCipherSuite::Tls12(tls12) => {
            let ecdsa = tls12.sign.iter().any(|s| is_of(*s, Only::Ecdsa));
            only == Only::Tls12 || ecdsa == (only == Only::Ecdsa)
        }
        rustls::SupportedCipherSuite::Tls13(_) => only != Only::Tls12,
    }
}

fn is_of(scheme: SignatureScheme, only: Only) -> bool {
    let text = format!("{scheme:?}");
    match only {
        Only::Rsa => text.starts_with("RSA"),
        Only::Ecdsa => text.starts_with("ECDSA"),
        Only::Tls12 => true,
    }
}

/// SHA-1 last: a server that can nothing else shall still show its certificate.
fn schemes(algorithms: WebPkiSupportedAlgorithms, only: Option<Only>) -> Vec<SignatureScheme> {
    let old = [SignatureScheme::RSA_PKCS1_SHA1, SignatureScheme::ECDSA_SHA1_Legacy];
    let all = algorithms.supported_schemes().into_iter().chain(old);
    all.filter(|s| only.is_none_or(|only| is_of(*s, only))).collect()
}

impl Collector {
    fn shown(&self) -> std::sync::MutexGuard<'_, Shown> {
        lock(&self.shown)
    }

    /// The handshake goes on: what was shown is worth knowing, and nothing secret is ever sent.
    fn judged(&self, proof: Result<HandshakeSignatureValid, Error>) -> HandshakeSignatureValid {
        proof.unwrap_or_else(|e| {
            // What else is said there is about the certificate's form, or a scheme of old that is not known here.
            if e == Error::InvalidCertificate(CertificateError::BadSignature) {
                self.shown().unproven = Some(e.to_string());
            }
            HandshakeSignatureValid::assertion()
        })
    }
}

impl ServerCertVerifier for Collector {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let mut shown = self.shown();
        shown.chain = std::iter::once(end_entity).chain(intermediates).map(|c| c.to_vec()).collect();
        shown.staple = ocsp_response.to_vec();
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(self.judged(rustls::crypto::verify_tls12_signature(message, cert, dss, &self.algorithms)))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(self.judged(rustls::crypto::verify_tls13_signature(message, cert, dss, &self.algorithms)))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes.clone()
    }
}

impl ResolvesClientCert for Collector {
    fn resolve(&self, hints: &[&[u8]], schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.shown().asked = Some(hints.iter().take(64).map(|h| h.to_vec()).collect());
        let own = self.own.clone()?;
        own.key.choose_scheme(schemes).map(|_| own)
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// The other kind of key that a server may have a certificate for.
pub(crate) fn other_kind(key: &crate::facts::Key) -> Option<Only> {
    match key.kind.as_str() {
        "RSA" => Some(Only::Ecdsa),
        "EC" => Some(Only::Rsa),
        _ => None,
    }
}
