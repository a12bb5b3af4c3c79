//! Examples and what one should know, below each verb's options; the manual page takes them from here.

pub(crate) const VERIFY_HELP: &str = "\
Examples:
  cert-checker verify leaf.pem";
