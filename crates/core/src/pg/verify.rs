//! Judging a server's certificate as libpq (OpenSSL) does, with rustls' strictness where that is safe to keep.
//!
//! rustls refuses what PostgreSQL's manual tells people to make: a self-signed certificate (CA:TRUE) given as its own
//! root, one whose only name is the CN, one of X.509 version 1 (`openssl x509 -req` before 3.2).

use super::names::Names;
use crate::error::{Context, Result};
use crate::sync::lock;
use crate::tls::provider;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{self, WebPkiSupportedAlgorithms};
use rustls::pki_types::{
    CertificateDer, CertificateRevocationListDer, ServerName, SubjectPublicKeyInfoDer, UnixTime,
};
use rustls::{CertificateError, DigitallySignedStruct, RootCertStore, SignatureScheme};
use std::sync::{Arc, Mutex};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;
use x509_parser::public_key::PublicKey;
use x509_parser::x509::X509Version;

/// How much is asked of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    Nothing,
    Chain,
    Name,
}

/// Why a certificate was refused, for people.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    pub(super) why: String,
    pub(super) remedy: String,
}

fn refuse_certificate<T>(why: impl Into<String>, remedy: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal { why: why.into(), remedy: remedy.into() })
}

/// What became of the handshake; rustls' own errors cannot carry it.
#[derive(Debug, Default)]
pub(super) struct Verdict(Mutex<(bool, Option<Refusal>)>);

impl Verdict {
    /// Whether a certificate was seen: TLS was spoken.
    pub(super) fn saw_certificate(&self) -> bool {
        lock(&self.0).0
    }

    pub(super) fn last_refusal(&self) -> Option<Refusal> {
        lock(&self.0).1.clone()
    }

    fn note_refusal(&self, refusal: Option<Refusal>) {
        let mut seen = lock(&self.0);
        seen.0 = true;
        seen.1 = refusal.or(seen.1.take());
    }
}

/// What a server's certificate is compared with.
pub(super) struct ServerTrust<'a> {
    pub(super) level: Level,
    pub(super) host: &'a str,
    pub(super) roots: Vec<CertificateDer<'static>>,
    /// Where the roots came from, for messages.
    pub(super) place: String,
    pub(super) lists: Vec<CertificateRevocationListDer<'static>>,
}

/// rustls' verifier, with libpq's opinion.
#[derive(Debug)]
pub(super) struct Verifier {
    level: Level,
    host: String,
    roots: Vec<CertificateDer<'static>>,
    /// Where the roots came from, for messages.
    place: String,
    strict: Option<Arc<WebPkiServerVerifier>>,
    has_lists: bool,
    algorithms: WebPkiSupportedAlgorithms,
    verdict: Arc<Verdict>,
}

impl Verifier {
    /// Takes any certificate: `sslmode=require` without a root.
    pub(super) fn accept_any(verdict: Arc<Verdict>) -> Verifier {
        let algorithms = provider().signature_verification_algorithms;
        let (host, place, roots) = (String::new(), String::new(), Vec::new());
        let level = Level::Nothing;
        Verifier { level, host, roots, place, strict: None, has_lists: false, algorithms, verdict }
    }

    /// # Errors
    /// When the revocation lists do not parse.
    pub(super) fn new(trust: ServerTrust<'_>, verdict: Arc<Verdict>) -> Result<Verifier> {
        let ServerTrust { level, host, roots, place, lists } = trust;
        let mut store = RootCertStore::empty();
        store.add_parsable_certificates(roots.iter().cloned());
        let has_lists = !lists.is_empty();
        let strict = match store.is_empty() {
            true => None,
            false => Some(make_strict(store, lists)?),
        };
        let accepting = Verifier::accept_any(verdict);
        Ok(Verifier { level, host: host.to_string(), roots, place, strict, has_lists, ..accepting })
    }

    fn judge_certificate(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Refusal> {
        if self.level == Level::Nothing {
            return Ok(());
        }
        let Ok((_, cert)) = X509Certificate::from_der(leaf) else {
            return refuse_certificate("the server's certificate cannot be read", "issue a new one");
        };
        if self.roots.iter().any(|root| root == leaf) {
            // The certificate itself is trusted; only its dates are left to judge.
            in_time(&cert, now)?;
        } else if cert.version() == X509Version::V1 {
            self.signed_by_root(&cert, now)?;
        } else {
            self.check_chain(leaf, others, &cert, now)?;
        }
        if self.level == Level::Name { self.check_name(&cert) } else { Ok(()) }
    }

    fn check_chain(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        cert: &X509Certificate<'_>,
        now: UnixTime,
    ) -> Result<(), Refusal> {
        let Some(strict) = &self.strict else { return self.unknown_issuer(cert, others.is_empty()) };
        // Any name will do: the chain is judged first, and a wrong name is told apart below.
        let nobody = ServerName::try_from("name.invalid").expect("a DNS name");
        match strict.verify_server_cert(leaf, others, &nobody, &[], now) {
            Ok(_) => Ok(()),
            Err(rustls::Error::InvalidCertificate(e)) => self.explain_error(&e, cert, others.is_empty(), now),
            Err(e) => refuse_certificate(format!("the server's certificate: {e}"), "issue a new one"),
        }
    }

    fn explain_error(
        &self,
        e: &CertificateError,
        cert: &X509Certificate<'_>,
        alone: bool,
        now: UnixTime,
    ) -> Result<(), Refusal> {
        match e {
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => Ok(()),
            CertificateError::UnknownIssuer => self.unknown_issuer(cert, alone),
            CertificateError::Revoked => refuse_certificate(
                "the server's certificate was revoked",
                "give the server a new certificate",
            ),
            // CaUsedAsEndEntity: OpenSSL takes an authority's certificate as a server's.
            _ if cert.is_ca() => self.signed_by_root(cert, now),
            _ => {
                in_time(cert, now)?;
                check_strength(cert)?;
                let (raw, remedy) = (format!("{e:?}"), "issue a new certificate for the server");
                let why = crate::tls_words::certificate(&raw).unwrap_or(&raw);
                refuse_certificate(format!("the server's certificate is refused: {why}"), remedy)
            }
        }
    }

    fn unknown_issuer(&self, cert: &X509Certificate<'_>, alone: bool) -> Result<(), Refusal> {
        check_strength(cert)?;
        let issuer = cert.issuer();
        let why = format!(
            "the server's certificate was signed by \"{issuer}\", which {} does not know",
            self.place
        );
        if cert.subject() == issuer {
            return refuse_certificate(
                why,
                format!("it is self-signed: put this very certificate into {}", self.place),
            );
        }
        let remedy = match alone {
            true => "if that is an intermediate authority, append its certificate to the server's server.crt",
            false => "is it the right authority's root certificate?",
        };
        refuse_certificate(why, remedy)
    }

    /// For what rustls' chain building does not take: one signature, by a root itself.
    fn signed_by_root(&self, cert: &X509Certificate<'_>, now: UnixTime) -> Result<(), Refusal> {
        if self.has_lists {
            return refuse_certificate(
                "the server's certificate (X.509 version 1, or CA:TRUE) is not looked up in sslcrl",
                "issue one with a subjectAltName and CA:FALSE",
            );
        }
        let signs = |root: &CertificateDer<'_>| {
            let parsed = X509Certificate::from_der(root);
            parsed.is_ok_and(|(_, root)| {
                root.subject() == cert.issuer()
                    && root.validity().is_valid_at(asn1_time(now))
                    && cert.verify_signature(Some(root.public_key())).is_ok()
            })
        };
        check_strength(cert)?;
        if !self.roots.iter().any(signs) {
            return self.unknown_issuer(cert, true);
        }
        in_time(cert, now)
    }

    fn check_name(&self, cert: &X509Certificate<'_>) -> Result<(), Refusal> {
        let names = Names::read_names(cert);
        if names.cover_host(&self.host) {
            return Ok(());
        }
        let why = format!("the server's certificate is for {}, not for {}", names.list_names(), self.host);
        match names.has_alternatives() {
            true => refuse_certificate(why, "connect by a name that it has, or issue one with this name"),
            false => refuse_certificate(
                format!("{why} (it has no subjectAltName)"),
                format!("issue one with subjectAltName=DNS:{}", self.host),
            ),
        }
    }

    fn note_verdict(&self, judged: Result<(), Refusal>) -> Result<ServerCertVerified, rustls::Error> {
        self.verdict.note_refusal(judged.as_ref().err().cloned());
        match judged {
            Ok(()) => Ok(ServerCertVerified::assertion()),
            Err(_) => Err(CertificateError::ApplicationVerificationFailure.into()),
        }
    }

    /// A signature that does not verify has a reason people can act on: a key of a size that ring does not take, or a
    /// version that rustls reads no key from in TLS 1.2.
    fn note_bad_signature<T>(
        &self,
        cert: &CertificateDer<'_>,
        checked: Result<T, rustls::Error>,
    ) -> Result<T, rustls::Error> {
        if checked.is_err()
            && let Ok((_, cert)) = X509Certificate::from_der(cert)
        {
            let old = || {
                refuse_certificate::<()>(
                    "X.509 version 1 works with TLS 1.3 only here",
                    "issue a new certificate for the server",
                )
            };
            let checked = if cert.version() == X509Version::V1 { old() } else { Ok(()) };
            self.verdict.note_refusal(check_strength(&cert).and(checked).err());
        }
        checked
    }
}

fn make_strict(
    store: RootCertStore,
    lists: Vec<CertificateRevocationListDer<'static>>,
) -> Result<Arc<WebPkiServerVerifier>> {
    let builder = WebPkiServerVerifier::builder_with_provider(Arc::new(store), provider()).with_crls(lists);
    builder.allow_unknown_revocation_status().build().doing(|| "read the revocation lists".into())
}

fn in_time(cert: &X509Certificate<'_>, now: UnixTime) -> Result<(), Refusal> {
    let (validity, now) = (cert.validity(), asn1_time(now));
    if now > validity.not_after {
        return refuse_certificate(
            format!("the server's certificate expired {}", validity.not_after),
            "renew it on the server",
        );
    }
    if now < validity.not_before {
        let why = format!("the server's certificate is not valid before {}", validity.not_before);
        return refuse_certificate(why, "is the clock of this machine right?");
    }
    Ok(())
}

fn asn1_time(now: UnixTime) -> x509_parser::time::ASN1Time {
    let seconds = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    x509_parser::time::ASN1Time::from_timestamp(seconds)
        .unwrap_or_else(|_| x509_parser::time::ASN1Time::now())
}

/// Keys and signatures that ring does not verify, which OpenSSL may still take.
fn check_strength(cert: &X509Certificate<'_>) -> Result<(), Refusal> {
    if let Ok(PublicKey::RSA(key)) = cert.public_key().parsed()
        && !(2048..=8192).contains(&key.key_size())
    {
        let why = format!("the server's RSA key has {} bits; 2048 to 8192 are taken", key.key_size());
        return refuse_certificate(why, "make a new key and certificate for the server");
    }
    let algorithm = cert.signature_algorithm.algorithm.to_id_string();
    // sha1WithRSAEncryption, md5WithRSAEncryption, ecdsa-with-SHA1.
    if ["1.2.840.113549.1.1.5", "1.2.840.113549.1.1.4", "1.2.840.10045.4.1"].contains(&algorithm.as_str()) {
        return refuse_certificate(
            "the server's certificate is signed with SHA-1 or MD5",
            "issue one that is signed with SHA-256",
        );
    }
    Ok(())
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.note_verdict(self.judge_certificate(end_entity, intermediates, now))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.note_bad_signature(cert, crypto::verify_tls12_signature(message, cert, dss, &self.algorithms))
    }

    /// By the bare key: the way through the certificate refuses version 1.
    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let (_, parsed) = X509Certificate::from_der(cert).map_err(|_| CertificateError::BadEncoding)?;
        let key = SubjectPublicKeyInfoDer::from(parsed.public_key().raw);
        self.note_bad_signature(
            cert,
            crypto::verify_tls13_signature_with_raw_key(message, &key, dss, &self.algorithms),
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
