//! Examples and what one should know, below each verb's options; the manual page takes them from here.

pub(crate) const VERIFY_HELP: &str = "\
Examples:
  cert-checker verify fullchain.pem
  cert-checker verify --trust roots.pem --intermediates ints.pem --name example.org leaf.pem
  cert-checker verify --trust ca.pem --crl ca.crl --at 2026-11-21T03:00:00Z --json - <leaf.pem

Status 0 says that a valid path exists, 4 that none does and why; 1 and 2 that it could not be judged. A file that
holds PEM or DER which is no certificate is judged: such a leaf is not valid. Expiry thresholds, the longest life
and transparency logs are not validity: check watches those.";
