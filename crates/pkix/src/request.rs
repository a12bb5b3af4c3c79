//! What is asked and what is answered: purposes, reasons, verdicts.

use crate::cert::Cert;
use crate::crl::Crl;
use crate::host::PeerName;
use crate::oid;
use crate::profile::Profile;
use std::fmt;

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
}

/// One question: is there a valid path from this leaf to one of these roots?
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// The certificate to judge, in DER.
    pub leaf: &'a [u8],
    /// What may be part of the path beside it: what the peer sent, or files of intermediates, in any order, repeats and strangers allowed.
    pub sent: &'a Pool,
    /// The trust anchors; they need not be self-signed.
    pub roots: &'a Pool,
    /// The names that the leaf must all be valid for; none asks for no name.
    pub names: &'a [PeerName],
    /// What the key is to be used for; `None` asks what the names suggest ([`Purpose::suggested_by`]).
    pub purpose: Option<Purpose>,
    /// The time to judge by, in seconds since 1970.
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

impl Request<'_> {
    /// The purpose that is asked for, or suggested.
    pub(crate) fn wanted_purpose(&self) -> Purpose {
        self.purpose.unwrap_or_else(|| Purpose::suggested_by(self.names))
    }
}

/// A path that was looked at and not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtherPath {
    /// The certificates in DER, the leaf first.
    pub path: Vec<Vec<u8>>,
    /// What is wrong with it; `None` for one that is valid as well.
    pub reason: Option<Reason>,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathVerdict {
    /// Whether there is a valid path.
    pub valid: bool,
    /// Why not, the weightiest first; empty when valid.
    pub reasons: Vec<Reason>,
    /// The valid path, or the one that came nearest: DER, the leaf first, the anchor last.
    pub path: Vec<Vec<u8>>,
    /// Other complete paths, at most 16.
    pub others: Vec<OtherPath>,
}

macro_rules! codes {
    ($($name:ident = $text:literal, $meaning:literal;)*) => {
        /// A stable, machine-readable reason.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Code { $(#[doc = $meaning] $name,)* }

        impl Code {
            /// The word that scripts see; it never changes.
            pub fn as_str(self) -> &'static str {
                match self { $(Code::$name => $text,)* }
            }
        }
    };
}

// The order is the weight: of several reasons the first tells most.
codes! {
    Malformed = "malformed", "The bytes are not a certificate, or an extension's are not what it must hold.";
    Expired = "expired", "The certificate's time is over.";
    NotYetValid = "not-yet-valid", "The certificate's time has not begun.";
    NameMismatch = "name-mismatch", "The certificate is not for the name that was asked for.";
    Revoked = "revoked", "The issuer has revoked the certificate.";
    NotForPurpose = "not-for-purpose", "The certificate's extended key usage does not allow this use.";
    BadSignature = "bad-signature", "The signature does not fit the issuer's key.";
    WeakKey = "weak-key", "The key is too small or of a kind that is no longer allowed.";
    WeakSignature = "weak-signature", "The signature uses a digest that is no longer allowed.";
    UnsupportedAlgorithm = "unsupported-algorithm", "The signature's algorithm is unknown here.";
    AlgorithmMismatch = "algorithm-mismatch", "The certificate names two different signature algorithms.";
    UnknownCritical = "unknown-critical-extension", "A critical extension is unknown here.";
    DuplicateExtension = "duplicate-extension", "An extension appears twice.";
    Version = "version", "The certificate is not of version 3.";
    Serial = "serial-number", "The serial number is zero, negative or longer than 20 octets.";
    Validity = "validity", "The times are not encoded as they must be.";
    Subject = "subject", "The subject is empty where it must not be.";
    Issuer = "issuer", "The issuer is empty.";
    AltName = "subject-alt-name", "The alternative names are missing, malformed or wrongly marked.";
    CommonName = "common-name", "The common name contradicts the alternative names.";
    PublicSuffix = "public-suffix-wildcard", "A wildcard stands for a whole public suffix.";
    NotCa = "not-a-ca", "The issuer's certificate is not that of a certificate authority.";
    CaAsLeaf = "ca-as-leaf", "The certificate of an authority is used as a server's.";
    BasicConstraints = "basic-constraints", "The basic constraints break the profile.";
    KeyUsage = "key-usage", "The key usage does not allow this use or contradicts itself.";
    ExtendedKeyUsage = "extended-key-usage", "The extended key usage breaks the profile.";
    KeyIdentifier = "key-identifier", "A key identifier is missing, critical or wrong.";
    NameConstraints = "name-constraints", "The name constraints break the profile.";
    NotPermitted = "name-not-permitted", "A name lies outside of what an issuer may certify.";
    PathLength = "path-length", "The path is longer than an issuer allows.";
    Policy = "policy", "No certificate policy is valid for the whole path, or the policies break the profile.";
    InformationAccess = "information-access", "The authority information access breaks the profile.";
    RevocationUnknown = "revocation-unknown", "No usable revocation list covers the certificate.";
    UnknownIssuer = "unknown-issuer", "No path leads to a trusted root.";
    TooMuchWork = "too-much-work", "The certificates ask for more work than is allowed.";
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// One reason: what, of which certificate, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// What is wrong.
    pub code: Code,
    /// The subject of the certificate it is about, or another name for it; empty where none is known.
    pub subject: String,
    /// What exactly, in words.
    pub detail: String,
}

impl Reason {
    pub(crate) fn new(code: Code, subject: impl Into<String>, detail: impl Into<String>) -> Reason {
        Reason { code, subject: subject.into(), detail: detail.into() }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.detail)?;
        match self.subject.as_str() {
            "" => Ok(()),
            subject => write!(f, " ({subject})"),
        }
    }
}

/// A use of the leaf's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A TLS server.
    Server,
    /// A TLS client.
    Client,
    /// Mail that is signed or encrypted.
    Email,
    /// A mailbox as TLS client or in mail: what a mail address asks for when nothing else is said.
    Mailbox,
    /// Signed programs.
    CodeSigning,
    /// Time stamps.
    TimeStamping,
    /// Answers about revocation.
    OcspSigning,
    /// Whatever the certificate says.
    Any,
}

impl Purpose {
    /// Every purpose that can be asked for, by the word of the command line.
    pub const ALL: [(&'static str, Purpose); 7] = [
        ("server", Purpose::Server),
        ("client", Purpose::Client),
        ("email", Purpose::Email),
        ("code-signing", Purpose::CodeSigning),
        ("time-stamping", Purpose::TimeStamping),
        ("ocsp-signing", Purpose::OcspSigning),
        ("any", Purpose::Any),
    ];

    /// What the names suggest: a mail address is a mailbox's, anything else a TLS server's.
    pub fn suggested_by(names: &[PeerName]) -> Purpose {
        match names.first() {
            Some(PeerName::Email(_)) => Purpose::Mailbox,
            _ => Purpose::Server,
        }
    }

    /// The extended key usages of which one must be there; none means that any will do.
    pub fn accepted_usages(self) -> &'static [&'static [u8]] {
        match self {
            Purpose::Server => &[oid::SERVER_AUTH],
            Purpose::Client => &[oid::CLIENT_AUTH],
            Purpose::Email => &[oid::EMAIL_PROTECTION],
            Purpose::Mailbox => &[oid::EMAIL_PROTECTION, oid::CLIENT_AUTH],
            Purpose::CodeSigning => &[oid::CODE_SIGNING],
            Purpose::TimeStamping => &[oid::TIME_STAMPING],
            Purpose::OcspSigning => &[oid::OCSP_SIGNING],
            Purpose::Any => &[],
        }
    }
}
