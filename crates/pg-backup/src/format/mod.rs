//! What lies in a repository and how it is read (docs/FORMATS.md).

pub(crate) mod backup;
pub(crate) mod catalog;
pub(crate) mod codec;
pub(crate) mod content;
pub(crate) mod copies;
pub(crate) mod dump;
pub(crate) mod frames;
pub(crate) mod id;
pub(crate) mod index;
pub(crate) mod mark;
pub(crate) mod order;
pub(crate) mod outline;
pub(crate) mod pin;
pub(crate) mod pseudonym;
pub(crate) mod tar;
pub(crate) mod verdict;
