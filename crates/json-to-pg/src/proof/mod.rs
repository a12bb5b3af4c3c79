//! The proof: records rebuilt from PostgreSQL equal the file's.

pub(crate) mod compare;
pub(crate) mod parts;
pub(crate) mod rebuild;
pub(crate) mod sums;
