//! What a key is to be used for.

use super::names::PeerName;
use super::oid;

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
    pub fn suggested(names: &[PeerName]) -> Purpose {
        match names.first() {
            Some(PeerName::Email(_)) => Purpose::Mailbox,
            _ => Purpose::Server,
        }
    }

    /// The extended key usages of which one must be there; none means that any will do.
    pub fn accepted(self) -> &'static [&'static [u8]] {
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
