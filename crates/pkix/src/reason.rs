//! Why a path is not valid: stable codes, and words for people.

use std::fmt;

macro_rules! codes {
    ($($name:ident = $text:literal, $meaning:literal;)*) => {
        /// A stable, machine-readable reason.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Code { $(#[doc = $meaning] $name,)* }

        impl Code {
            /// Every code.
            pub const ALL: &'static [Code] = &[$(Code::$name,)*];

            /// The word that scripts see; it never changes.
            pub fn as_str(self) -> &'static str {
                match self { $(Code::$name => $text,)* }
            }

            /// One sentence for help texts and documents.
            pub fn meaning(self) -> &'static str {
                match self { $(Code::$name => $meaning,)* }
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
