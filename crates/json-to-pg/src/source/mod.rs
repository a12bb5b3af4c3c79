//! The files: opened without being written to, what they are, and their records one after another.

pub(crate) mod encoding;
pub(crate) mod file;
pub(crate) mod folder;
pub(crate) mod layout;
pub(crate) mod records;
pub(crate) mod stream;
