//! The PostgreSQL side: tables, keys, and what moves them into place.

pub(crate) mod existing;
