//! The PostgreSQL side: tables, keys, and what moves them into place.

pub(crate) mod casts;
pub(crate) mod checks;
pub(crate) mod create;
pub(crate) mod definitions;
pub(crate) mod expressions;
pub(crate) mod fence;
pub(crate) mod foreign_keys;
pub(crate) mod indexes;
pub(crate) mod place;
pub(crate) mod sequences;
pub(crate) mod undo;
