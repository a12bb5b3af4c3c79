//! Certificates as they lie in files.

pub(crate) mod der;
pub(crate) mod glob;
pub(crate) mod jks;
pub(crate) mod key;
pub(crate) mod pem;
pub(crate) mod read;
pub(crate) mod walk;
