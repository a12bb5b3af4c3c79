//! The validator, asked about certificates that are written byte by byte. The cases carry the names that x509-limbo,
//! BetterTLS and NIST's PKITS give theirs, so that what they cover can be looked up; the certificates are our own.

mod ca;
mod case;
mod constraints;
mod crl;
mod der;
mod graph;
mod keys;
mod names;
mod pki;
mod policy;
mod shape;
#[expect(dead_code, reason = "shared with the tests of the whole tool")]
mod signers;
mod soak;
mod usage;
mod validity;
mod web;
