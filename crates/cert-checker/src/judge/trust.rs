//! Who is trusted, and whether a chain as sent leads there.

use crate::facts::{CertFacts, UnixSeconds};
use crate::files::pem;
use pkix::{Pool, Profile, Purpose, Reason, Request};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use toban_core::sync::lock;
use toban_core::{Context, Error, Result};

/// Roots that end a chain.
#[derive(Debug, Default)]
pub(crate) struct Roots {
    pool: Pool,
    all: Vec<Root>,
    /// Positions in `all` by subject.
    by_subject: BTreeMap<Vec<u8>, Vec<usize>>,
}

#[derive(Debug)]
struct Root {
    cert: Arc<CertFacts>,
    /// From the system's store: a public authority, for which the browsers' rules hold.
    public: bool,
}

/// A valid path from the leaf to a root.
#[derive(Debug)]
pub(crate) struct TrustedPath {
    /// Leaf first; the root is not among them.
    pub(crate) path: Vec<CertFacts>,
    /// The root at its end.
    pub(crate) root: Arc<CertFacts>,
    pub(crate) public: bool,
}

impl TrustedPath {
    /// Who is above the leaf, up to the root.
    pub(crate) fn issuers(&self) -> Vec<CertFacts> {
        self.path.iter().skip(1).chain([&*self.root]).cloned().collect()
    }
}

impl Roots {
    /// The system's roots, or those of `trust` where it is given, and those of `more`.
    ///
    /// # Errors
    /// A file that cannot be read or holds no certificate.
    pub(crate) fn load(trust: &[PathBuf], more: &[PathBuf]) -> Result<Roots> {
        let mut roots = Roots::default();
        let mut ders: Vec<Vec<u8>> = Vec::new();
        if trust.is_empty() {
            for der in load_system_roots()? {
                roots.add(&der, true);
                ders.push(der);
            }
        }
        for path in trust.iter().chain(more) {
            for der in read_trusted(path)? {
                roots.add(&der, false);
                ders.push(der);
            }
        }
        roots.pool = Pool::new(&ders);
        Ok(roots)
    }

    /// Adds one; a certificate that cannot be read is no root.
    fn add(&mut self, der: &[u8], public: bool) {
        let Ok(cert) = CertFacts::read_der(der) else { return };
        self.by_subject.entry(cert.subject_der.clone()).or_default().push(self.all.len());
        self.all.push(Root { cert: Arc::new(cert), public });
    }

    /// Whether this very certificate is a root here.
    pub(crate) fn holds(&self, cert: &CertFacts) -> bool {
        self.with_subject(&cert.subject_der).any(|r| r.cert.der == cert.der)
    }

    fn with_subject(&self, subject: &[u8]) -> impl Iterator<Item = &Root> {
        self.by_subject.get(subject).into_iter().flatten().map(|i| &self.all[*i])
    }

    /// The root here that may have issued `cert`.
    pub(crate) fn issuer_of(&self, cert: &CertFacts) -> Option<Arc<CertFacts>> {
        self.with_subject(&cert.issuer_der)
            .find(|r| cert.may_be_issued_by(&r.cert))
            .map(|r| Arc::clone(&r.cert))
    }

    /// Whether a root of the name of its issuer is here, of whatever key.
    pub(crate) fn have_issuer_name_of(&self, cert: &CertFacts) -> bool {
        self.by_subject.contains_key(&cert.issuer_der)
    }

    fn is_public(&self, root: &CertFacts) -> bool {
        self.with_subject(&root.subject_der).any(|r| r.cert.der == root.der && r.public)
    }
}

/// The roots of this system's store, in DER, read once.
pub(crate) fn load_system_roots() -> Result<Vec<Vec<u8>>> {
    static LOADED: Mutex<Option<Arc<Vec<Vec<u8>>>>> = Mutex::new(None);
    // Some 150 certificates, which each set of options would read again.
    let mut loaded = lock(&LOADED);
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

/// The certificates that a file, or any file of a folder, holds; those that are marked there as not to be trusted for
/// servers are left out.
fn read_trusted(path: &Path) -> Result<Vec<Vec<u8>>> {
    let mut files = vec![path.to_path_buf()];
    if path.is_dir() {
        let entries = std::fs::read_dir(path).and_then(Iterator::collect::<std::io::Result<Vec<_>>>);
        files = entries
            .doing(|| format!("read {}", path.display()))?
            .iter()
            .map(std::fs::DirEntry::path)
            .collect();
        files.retain(|file| file.is_file());
        files.sort();
    }
    let trusted = |b: &pem::Block| b.is_certificate() && b.trust.allows(Purpose::Server.accepted_usages());
    let mut all = Vec::new();
    for file in files {
        let bytes = std::fs::read(&file).doing(|| format!("read {}", file.display()))?;
        all.extend(pem::select_ders(&bytes, trusted).into_iter().filter_map(std::result::Result::ok));
    }
    match all.iter().any(|der| CertFacts::read_der(der).is_ok()) {
        true => Ok(all),
        false => Err(Error::usage(format!("no certificate to trust in {}", path.display()))),
    }
}

/// A valid path from the first of `sent` to a root at that time.
///
/// # Errors
/// Why there is none: of the path that came nearest.
pub(crate) fn find_path(
    sent: &[CertFacts],
    roots: &Roots,
    at: UnixSeconds,
) -> std::result::Result<TrustedPath, Vec<Reason>> {
    let Some((leaf, others)) = sent.split_first() else { return Err(Vec::new()) };
    let others: Vec<&[u8]> = others.iter().map(|c| c.der.as_slice()).collect();
    let verdict = pkix::validate_path(&Request {
        leaf: &leaf.der,
        sent: &Pool::new(&others),
        roots: &roots.pool,
        names: &[],
        purpose: Some(Purpose::Server),
        at: at.0,
        crls: &[],
        unreadable_crl: None,
        need_crl: false,
        profile: Profile::Basic,
        max_depth: None,
    });
    if verdict.valid { read_path(&verdict.path, roots).ok_or_else(Vec::new) } else { Err(verdict.reasons) }
}

fn read_path(ders: &[Vec<u8>], roots: &Roots) -> Option<TrustedPath> {
    let mut path: Vec<CertFacts> = ders.iter().filter_map(|der| CertFacts::read_der(der).ok()).collect();
    let root = path.pop()?;
    let public = roots.is_public(&root);
    Some(TrustedPath { path, root: Arc::new(root), public })
}
