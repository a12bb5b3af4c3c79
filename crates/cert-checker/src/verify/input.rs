//! Certificates and revocation lists out of files and standard input.

use crate::store::pem;
use std::io::Read;
use std::path::Path;
use toban_core::{Context, Error, Result};

/// Above this a file holds no certificates; the largest revocation lists have some 50 MiB.
const MOST_BYTES: u64 = 256 << 20;

/// Reads files, and standard input at most once.
#[derive(Default)]
pub(super) struct Source {
    stdin_read: bool,
}

impl Source {
    /// The certificates of a file, in DER; none when it holds none.
    pub(super) fn certificates(&mut self, file: &Path) -> Result<Vec<Vec<u8>>> {
        self.held(file, pem::Block::is_certificate)
    }

    /// The same, but for those that are said there not to be trusted for any of these uses.
    pub(super) fn anchors(&mut self, file: &Path, uses: &[&[u8]]) -> Result<Vec<Vec<u8>>> {
        self.held(file, |block| block.is_certificate() && block.trust.allows(uses))
    }

    /// The revocation lists of a file, in DER; none when it holds none.
    pub(super) fn crls(&mut self, file: &Path) -> Result<Vec<Vec<u8>>> {
        self.held(file, |block| block.label == "X509 CRL")
    }

    fn held(&mut self, file: &Path, of_kind: impl Fn(&pem::Block) -> bool) -> Result<Vec<Vec<u8>>> {
        let bytes = self.bytes(file)?;
        if is_der(&bytes) {
            return Ok(vec![bytes]);
        }
        let blocks = pem::blocks(&bytes).into_iter().filter(of_kind).map(|b| b.der);
        let read: std::result::Result<_, String> = blocks.collect();
        read.map_err(|why| Error::failed(format!("read {} as PEM: {why}", file.display())))
    }

    fn bytes(&mut self, file: &Path) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        if file == Path::new("-") {
            if std::mem::replace(&mut self.stdin_read, true) {
                return Err(Error::usage("standard input is named twice"));
            }
            let read = std::io::stdin().take(MOST_BYTES).read_to_end(&mut bytes);
            return read.map(|_| bytes).doing(|| "read standard input".into());
        }
        let opened = std::fs::File::open(file).doing(|| format!("open {}", file.display()))?;
        let read = opened.take(MOST_BYTES).read_to_end(&mut bytes);
        read.map(|_| bytes).doing(|| format!("read {}", file.display()))
    }
}

/// PEM is text; DER begins with the tag of a sequence and the length of a length, which no text does.
fn is_der(bytes: &[u8]) -> bool {
    matches!(bytes, [0x30, length, ..] if *length >= 0x80)
}

/// The error for a file that holds nothing of its kind.
pub(super) fn nothing(file: &Path, kind: &str) -> Error {
    Error::failed(format!("there is no {kind} in {}", file.display()))
        .hint("it must be PEM (BEGIN CERTIFICATE, BEGIN X509 CRL) or DER")
}

/// What this system trusts.
pub(super) fn system_roots() -> Result<Vec<Vec<u8>>> {
    let loaded = rustls_native_certs::load_native_certs();
    match loaded.certs.is_empty() {
        false => Ok(loaded.certs.iter().map(|der| der.to_vec()).collect()),
        true => Err(Error::failed("this system has no trust store").hint("name the roots with --trust")),
    }
}
