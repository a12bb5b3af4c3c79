//! What is asked and what is answered.

use super::{Cert, Crl, PeerName, Purpose, Reason};

/// Whose rules a path is judged by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Profile {
    /// RFC 5280 and the Web PKI's rules together; what RFC 5280 expressly permits (a CA certificate as the leaf,
    /// no extended key usage) stays permitted.
    #[default]
    Both,
    /// The certificate profile and the path validation of RFC 5280.
    Rfc5280,
    /// The same with the CA/Browser Forum's Baseline Requirements, where these differ as they say.
    Webpki,
    /// Path validation alone (RFC 5280, section 6): what common TLS clients enforce.
    Basic,
}

impl Profile {
    /// Every profile, by the word of the command line.
    pub const ALL: [(&'static str, Profile); 4] = [
        ("both", Profile::Both),
        ("rfc5280", Profile::Rfc5280),
        ("webpki", Profile::Webpki),
        ("basic", Profile::Basic),
    ];

    /// Whether the certificate profile of RFC 5280 (section 4) is enforced, not only path validation.
    pub(crate) fn strict(self) -> bool {
        self != Profile::Basic
    }

    /// Whether the Baseline Requirements are enforced.
    pub(crate) fn web(self) -> bool {
        matches!(self, Profile::Both | Profile::Webpki)
    }
}

/// Parsed certificates, to be used for many requests.
#[derive(Clone, Debug, Default)]
pub struct Pool {
    pub(crate) certs: Vec<Cert>,
    /// What could not be read as a certificate, by its place in the input.
    pub unreadable: Vec<(usize, Reason)>,
}

impl Pool {
    /// Parses DER certificates; those that are none are kept apart and never trusted.
    pub fn new<D: AsRef<[u8]>>(ders: &[D]) -> Pool {
        let mut pool = Pool::default();
        for (place, der) in ders.iter().enumerate() {
            match Cert::parse(der.as_ref()) {
                Ok(cert) => pool.certs.push(cert),
                Err(reason) => pool.unreadable.push((place, reason)),
            }
        }
        pool
    }

    /// How many certificates there are to use.
    pub fn len(&self) -> usize {
        self.certs.len()
    }

    /// Whether there is none to use.
    pub fn is_empty(&self) -> bool {
        self.certs.is_empty()
    }
}

/// One question: is there a valid path from this leaf to one of these roots?
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// The certificate to judge, in DER.
    pub leaf: &'a [u8],
    /// What the peer sent beside it (or the file of intermediates), in any order, repeats and strangers allowed.
    pub sent: &'a Pool,
    /// Further certificates that may be part of a path, such as a store of known intermediates.
    pub extra: &'a Pool,
    /// The trust anchors; they need not be self-signed.
    pub roots: &'a Pool,
    /// The names that the leaf must all be valid for; none asks for no name.
    pub names: &'a [PeerName],
    /// What the key is to be used for; `None` asks what the names suggest ([`Purpose::suggested`]).
    pub purpose: Option<Purpose>,
    /// The moment to judge by, in seconds since 1970.
    pub at: i64,
    /// Revocation lists. Those of the leaf's issuer, and of any other issuer with a list here, must cover its certificate.
    pub crls: &'a [Crl],
    /// Why a list that was given could not be read: it may be the one that revokes the leaf, so the leaf's issuer must
    /// then have another.
    pub unreadable_crl: Option<&'a str>,
    /// Whether a path is refused when a certificate's issuer has no list here.
    pub need_crl: bool,
    /// Whose rules.
    pub profile: Profile,
    /// The most intermediate certificates of a path; `None` takes 16.
    pub max_depth: Option<usize>,
}

/// A path that was looked at and not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Other {
    /// The certificates in DER, the leaf first.
    pub path: Vec<Vec<u8>>,
    /// What is wrong with it; `None` for one that is valid as well.
    pub reason: Option<Reason>,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Whether there is a valid path.
    pub valid: bool,
    /// Why not, the weightiest first; empty when valid.
    pub reasons: Vec<Reason>,
    /// The valid path, or the one that came nearest: DER, the leaf first, the anchor last.
    pub path: Vec<Vec<u8>>,
    /// Other complete paths, at most 16.
    pub others: Vec<Other>,
}
