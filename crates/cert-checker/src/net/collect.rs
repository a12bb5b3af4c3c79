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
pub(crate) struct Captured {
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
pub(crate) enum Restriction {
    Rsa,
    Ecdsa,
    /// No TLS 1.3.
    Tls12,
}

#[derive(Debug)]
struct CollectingVerifier {
    shown: Arc<Mutex<Captured>>,
    algorithms: WebPkiSupportedAlgorithms,
    schemes: Vec<SignatureScheme>,
    /// Our own certificate, when the server asks for one.
    own: Option<Arc<CertifiedKey>>,
}

/// A configuration for one handshake, and where what was shown will be.
pub(crate) fn client_config(
    only: Option<Restriction>,
    own: Option<Arc<CertifiedKey>>,
) -> Result<(ClientConfig, Arc<Mutex<Captured>>), Error> {
    let mut provider = CryptoProvider::clone(&toban_core::tls::provider());
    if let Some(only) = only {
        provider.cipher_suites.retain(|s| suits(*s, only));
    }
    let algorithms = provider.signature_verification_algorithms;
    let shown = Arc::new(Mutex::new(Captured::default()));
    let collector = Arc::new(CollectingVerifier {
        shown: Arc::clone(&shown),
        algorithms,
        schemes: offered_schemes(algorithms, only),
        own,
    });
    let verifier: Arc<dyn ServerCertVerifier> = Arc::<CollectingVerifier>::clone(&collector);
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_client_cert_resolver(collector);
    // A resumed session shows no certificate (RFC 8446, 2.2).
    config.resumption = rustls::client::Resumption::disabled();
    Ok((config, shown))
}

fn suits(suite: rustls::SupportedCipherSuite, only: Restriction) -> bool {
    match suite {
        rustls::SupportedCipherSuite::Tls12(tls12) => {
            let ecdsa = tls12.sign.iter().any(|s| fits_restriction(*s, Restriction::Ecdsa));
            only == Restriction::Tls12 || ecdsa == (only == Restriction::Ecdsa)
        }
        rustls::SupportedCipherSuite::Tls13(_) => only != Restriction::Tls12,
    }
}

fn fits_restriction(scheme: SignatureScheme, only: Restriction) -> bool {
    let text = format!("{scheme:?}");
    match only {
        Restriction::Rsa => text.starts_with("RSA"),
        Restriction::Ecdsa => text.starts_with("ECDSA"),
        Restriction::Tls12 => true,
    }
}

/// SHA-1 last: a server that can nothing else shall still show its certificate.
fn offered_schemes(algorithms: WebPkiSupportedAlgorithms, only: Option<Restriction>) -> Vec<SignatureScheme> {
    let old = [SignatureScheme::RSA_PKCS1_SHA1, SignatureScheme::ECDSA_SHA1_Legacy];
    let all = algorithms.supported_schemes().into_iter().chain(old);
    all.filter(|s| only.is_none_or(|only| fits_restriction(*s, only))).collect()
}

impl CollectingVerifier {
    fn captured(&self) -> std::sync::MutexGuard<'_, Captured> {
        lock(&self.shown)
    }

    /// The handshake goes on: what was shown is worth knowing, and nothing secret is ever sent.
    fn accept_proof(&self, proof: Result<HandshakeSignatureValid, Error>) -> HandshakeSignatureValid {
        proof.unwrap_or_else(|e| {
            // Other errors are about the certificate's form, or a scheme of old that is not known here.
            if e == Error::InvalidCertificate(CertificateError::BadSignature) {
                self.captured().unproven = Some(e.to_string());
            }
            HandshakeSignatureValid::assertion()
        })
    }
}

impl ServerCertVerifier for CollectingVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        // Any certificate will do: it is judged later, by all its facts. A client that stopped here would only ever know the
        // first thing that is wrong.
        let mut shown = self.captured();
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
        Ok(self.accept_proof(rustls::crypto::verify_tls12_signature(message, cert, dss, &self.algorithms)))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(self.accept_proof(rustls::crypto::verify_tls13_signature(message, cert, dss, &self.algorithms)))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes.clone()
    }
}

impl ResolvesClientCert for CollectingVerifier {
    fn resolve(&self, hints: &[&[u8]], schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        // Also without a certificate of ours the request is worth knowing, with the authorities that the server names.
        self.captured().asked = Some(hints.iter().take(64).map(|h| h.to_vec()).collect());
        let own = self.own.clone()?;
        own.key.choose_scheme(schemes).map(|_| own)
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// The other kind of key that a server may have a certificate for.
pub(crate) fn other_key_kind(key: &crate::facts::KeyFacts) -> Option<Restriction> {
    match key.kind.as_str() {
        "RSA" => Some(Restriction::Ecdsa),
        "EC" => Some(Restriction::Rsa),
        _ => None,
    }
}
