//! From SQLite's values to PostgreSQL's COPY streams.

pub(crate) mod array;
pub(crate) mod copy;
pub(crate) mod encode;
pub(crate) mod interval;
pub(crate) mod json;
pub(crate) mod preflight;
pub(crate) mod rejects;
pub(crate) mod stream;
