//! Certification paths, judged by RFC 5280 and by the Web PKI's rules. Pure: no file, no socket, no clock.
//!
//! [`validate_path`] reads the certificates with a strict DER reader of its own, builds paths from the leaf to a trust
//! anchor in every way that names and keys allow, and judges each whole. rustls-webpki was looked at and left: it
//! takes expired anchors and anchors without basic constraints, weak keys in leaves, certificates without key
//! identifiers, wildcards over public suffixes, and knows neither directory name constraints nor policies.

mod build;
mod cert;
mod constraint;
mod crl;
mod der;
mod extensions;
mod host;
mod key;
mod name;
mod oid;
mod path;
mod policy;
mod profile;
mod request;
mod signature;

pub use build::validate_path;
pub use cert::Cert;
pub use crl::{Crl, Reading, Revocation, Standing, find_standing};
pub use der::format_time;
pub use host::{DnsName, PeerName, Suffix, covered_suffix};
pub use oid::ANY_EKU;
pub use profile::Profile;
pub use request::{Code, OtherPath, PathVerdict, Pool, Purpose, Reason, Request};
pub use signature::is_signed_by;
