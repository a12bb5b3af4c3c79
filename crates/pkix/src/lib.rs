//! Certification paths, judged by RFC 5280 and by the Web PKI's rules. Pure: no file, no socket, no clock.
//!
//! [`validate`] reads the certificates with a strict DER reader of its own, builds paths from the leaf to a trust
//! anchor in every way that names and keys allow, and judges each whole. rustls-webpki was looked at and left: it
//! takes expired anchors and anchors without basic constraints, weak keys in leaves, certificates without key
//! identifiers, wildcards over public suffixes, and knows neither directory name constraints nor policies.

mod alg;
mod build;
mod cert;
mod chain;
mod constraint;
mod crl;
mod der;
mod dn;
mod ecdsa;
mod ext;
mod general;
mod leaf;
mod lint;
mod names;
mod oid;
mod policy;
mod purpose;
mod reason;
mod request;
mod revoke;
mod rsa;
mod sig;
mod spki;
mod time;
mod webpki;

pub use build::validate;
pub use cert::Cert;
pub use crl::Crl;
pub use crl::Entry;
pub use names::{PeerName, Suffix, presents, suffix_covered};
pub use oid::ANY_EKU as ANY_USE;
pub use purpose::Purpose;
pub use reason::{Code, Reason};
pub use request::{Other, Pool, Profile, Request, Verdict};
pub use revoke::{Reading, Standing, standing};
