//! Whom TLS trusts: the system's authorities, or the certificates of a file.

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use std::path::Path;
use std::sync::Arc;
use toban_core::{Context, Error, Kind, Result};

/// How a client begins TLS.
#[derive(Clone, Debug)]
pub(crate) struct TlsSetup(Arc<ClientConfig>);

impl TlsSetup {
    /// One that trusts the certificates of `file`, else the system's authorities. There is none that trusts everybody.
    ///
    /// # Errors
    /// Usage when the file holds no certificate.
    pub(crate) fn trusting(file: Option<&Path>) -> Result<TlsSetup> {
        let given = file.map(read_certificates).transpose()?.unwrap_or_default();
        let mut roots = RootCertStore::empty();
        match given.is_empty() {
            false => _ = roots.add_parsable_certificates(given.iter().cloned()),
            true => _ = roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs),
        }
        let provider = toban_core::tls::provider();
        let verifier =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build();
        let verifier = verifier.doing(|| "prepare TLS".into()).map_err(|e| {
            e.kind_as(Kind::Usage)
                .hint("install ca-certificates, or name the server's certificate with trust =")
        })?;
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = config.doing(|| "prepare TLS".into())?;
        let verifier = Arc::new(Trust { verifier, given });
        let config = config.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth();
        Ok(TlsSetup(Arc::new(config)))
    }

    pub(super) fn config(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.0)
    }
}

/// The name that a server must prove.
///
/// # Errors
/// Usage when it is no name.
pub(crate) fn server_name(host: &str) -> Result<ServerName<'static>> {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    ServerName::try_from(bare.to_string())
        .map_err(|_| Error::usage(format!("{bare:?} is no name of a server")))
}

fn read_certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let doing = || format!("read the certificates in {}", file.display());
    let all =
        CertificateDer::pem_file_iter(file).and_then(Iterator::collect::<std::result::Result<Vec<_>, _>>);
    let all = all.doing(doing).map_err(|e| e.kind_as(Kind::Usage))?;
    if all.is_empty() {
        return Err(Error::usage(format!("{} holds no certificate", file.display())));
    }
    Ok(all)
}

/// The usual verification, and the one certificate that `openssl req -x509` makes: an authority that serves by itself,
/// which the usual one refuses in the place of a server even where it is trusted.
#[derive(Debug)]
struct Trust {
    verifier: Arc<WebPkiServerVerifier>,
    given: Vec<CertificateDer<'static>>,
}

impl ServerCertVerifier for Trust {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> std::result::Result<ServerCertVerified, rustls::Error> {
        let verified = self.verifier.verify_server_cert(end_entity, intermediates, name, ocsp, now);
        // Its dates were looked at before its kind, and its name is looked at here.
        match verified {
            Err(e)
                if format!("{e:?}").contains("CaUsedAsEndEntity")
                    && self.given.iter().any(|c| c == end_entity) =>
            {
                rustls::client::verify_server_name(&ParsedCertificate::try_from(end_entity)?, name)?;
                Ok(ServerCertVerified::assertion())
            }
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier.verify_tls12_signature(message, cert, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier.verify_tls13_signature(message, cert, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }
}
