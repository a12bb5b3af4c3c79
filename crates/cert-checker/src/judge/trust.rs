//! Who is trusted, and whether a chain as sent leads there.

use crate::facts::{Cert, Moment};
use crate::store::pem;
use rustls_pki_types::{CertificateDer, UnixTime};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use toban_core::{Context, Error, Result};

/// Roots that end a chain.
#[derive(Debug, Default)]
pub(crate) struct Roots {
    all: Vec<Root>,
    /// Positions in `all` by subject.
    by_subject: BTreeMap<Vec<u8>, Vec<usize>>,
}

#[derive(Debug)]
struct Root {
    cert: Arc<Cert>,
    /// From the system's store: a public authority, for which the browsers' rules hold.
    public: bool,
}

/// A way from the leaf to a root.
#[derive(Debug)]
pub(crate) struct Trusted {
    /// Leaf first; the root is not among them.
    pub(crate) path: Vec<Cert>,
    /// The root at its end.
    pub(crate) root: Arc<Cert>,
    pub(crate) public: bool,
}

impl Roots {
    /// The system's roots, or those of `trust` where it is given, and those of `more`.
    ///
    /// # Errors
    /// A file that cannot be read or holds no certificate.
    pub(crate) fn load(trust: &[PathBuf], more: &[PathBuf]) -> Result<Roots> {
        let mut roots = Roots::default();
        if trust.is_empty() {
            for der in system()? {
                roots.add(&der, true);
            }
        }
        for path in trust.iter().chain(more) {
            for der in certificates(path)? {
                roots.add(&der, false);
            }
        }
        Ok(roots)
    }

    /// Adds one; a certificate that cannot be read trusts nobody.
    fn add(&mut self, der: &[u8], public: bool) {
        let Ok(cert) = Cert::read(der) else { return };
        self.by_subject.entry(cert.subject_der.clone()).or_default().push(self.all.len());
        self.all.push(Root { cert: Arc::new(cert), public });
    }

    /// Whether this very certificate is a root here.
    pub(crate) fn holds(&self, cert: &Cert) -> bool {
        self.named(&cert.subject_der).any(|r| r.cert.der == cert.der)
    }

    fn named(&self, subject: &[u8]) -> impl Iterator<Item = &Root> {
        self.by_subject.get(subject).into_iter().flatten().map(|i| &self.all[*i])
    }

    /// Whether somebody here could have issued `cert`.
    pub(crate) fn issuer_of(&self, cert: &Cert) -> Option<Arc<Cert>> {
        self.named(&cert.issuer_der).find(|r| cert.issued_by(&r.cert)).map(|r| Arc::clone(&r.cert))
    }

    /// Whether a root of the name of its issuer is here, of whatever key.
    pub(crate) fn named_like(&self, cert: &Cert) -> bool {
        self.by_subject.contains_key(&cert.issuer_der)
    }

    fn public(&self, root: &Cert) -> bool {
        self.named(&root.subject_der).any(|r| r.cert.der == root.der && r.public)
    }
}

/// The system's, read once.
fn system() -> Result<Vec<Vec<u8>>> {
    static LOADED: Mutex<Option<Arc<Vec<Vec<u8>>>>> = Mutex::new(None);
    let mut loaded = LOADED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some(roots) = &*loaded {
        return Ok(roots.to_vec());
    }
    let found = rustls_native_certs::load_native_certs();
    if found.certs.is_empty() {
        let why = found.errors.first().map(ToString::to_string).unwrap_or_default();
        return Err(Error::failed(format!("no trusted roots on this system {why}"))
            .hint("install ca-certificates, or give the roots with --trust FILE"));
    }
    let roots: Vec<Vec<u8>> = found.certs.iter().map(|c| c.as_ref().to_vec()).collect();
    *loaded = Some(Arc::new(roots.clone()));
    Ok(roots)
}

fn certificates(path: &Path) -> Result<Vec<Vec<u8>>> {
    let bytes = std::fs::read(path).doing(|| format!("read {}", path.display()))?;
    let found: Vec<Vec<u8>> = match pem::blocks(&bytes) {
        blocks if blocks.is_empty() => vec![bytes],
        blocks => blocks.into_iter().filter(pem::Block::is_certificate).filter_map(|b| b.der.ok()).collect(),
    };
    match found.iter().any(|der| Cert::read(der).is_ok()) {
        true => Ok(found),
        false => Err(Error::usage(format!("no certificate in {}", path.display()))),
    }
}

/// A valid way from the first of `sent` to a root at that time.
///
/// # Errors
/// Why there is none, in words.
pub(crate) fn path(sent: &[Cert], roots: &Roots, at: Moment) -> std::result::Result<Trusted, String> {
    let Some((leaf, others)) = sent.split_first() else { return Err("no certificate".into()) };
    let chain = climb(leaf, others, roots);
    let Some(root) = chain.last().and_then(|top| roots.issuer_of(top)) else {
        return Err("no path ends at a trusted root".into());
    };
    webpki(leaf, others, &root, at)?;
    let public = roots.public(&root);
    Ok(Trusted { path: chain, root, public })
}

/// From the leaf upwards by issuers among those that were sent, until a root issues the last.
fn climb(leaf: &Cert, others: &[Cert], roots: &Roots) -> Vec<Cert> {
    let mut chain = vec![leaf.clone()];
    while let Some(top) = chain.last() {
        if roots.issuer_of(top).is_some() || chain.len() > others.len() {
            break;
        }
        let next = others.iter().find(|c| top.issued_by(c) && !chain.contains(c));
        match next {
            Some(next) => chain.push(next.clone()),
            None => break,
        }
    }
    chain
}

fn webpki(leaf: &Cert, others: &[Cert], root: &Cert, at: Moment) -> std::result::Result<(), String> {
    let mut store = rustls::RootCertStore::empty();
    store.add(CertificateDer::from(root.der.as_slice())).map_err(|e| e.to_string())?;
    let end = CertificateDer::from(leaf.der.as_slice());
    let parsed = rustls::server::ParsedCertificate::try_from(&end).map_err(|e| e.to_string())?;
    let middle: Vec<CertificateDer<'_>> =
        others.iter().map(|c| CertificateDer::from(c.der.as_slice())).collect();
    let now = UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(at.0).unwrap_or(0)));
    let algorithms = toban_core::pg::tls::provider().signature_verification_algorithms;
    rustls::client::verify_server_cert_signed_by_trust_anchor(&parsed, &store, &middle, now, algorithms.all)
        .map_err(|e| e.to_string())
}
