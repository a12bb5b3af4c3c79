//! Certificates as servers show them.

pub(crate) mod ciphers;
pub(crate) mod collect;
pub(crate) mod connection;
pub(crate) mod failure;
pub(crate) mod hello;
pub(crate) mod http;
pub(crate) mod probe;
mod starttls;
pub(crate) mod survey;
