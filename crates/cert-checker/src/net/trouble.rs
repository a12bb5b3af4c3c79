//! Why an endpoint could not be asked, as a finding.

use crate::finding::Finding;
use std::io::ErrorKind;
use toban_core::Severity;

/// What went wrong before or instead of a certificate.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Trouble {
    pub(crate) code: &'static str,
    pub(crate) says: String,
    /// It speaks of the server's TLS, so that the certificate may still be had by an older hello.
    pub(crate) tls: bool,
}

impl Trouble {
    /// Trouble of this code.
    pub(crate) fn new(code: &'static str, says: impl Into<String>) -> Trouble {
        Trouble { code, says: says.into(), tls: false }
    }

    /// Trouble with a TLS handshake.
    pub(crate) fn tls(says: impl Into<String>) -> Trouble {
        Trouble { tls: true, ..Trouble::new("handshake-failed", says) }
    }

    /// Judges what the system or rustls said while `doing`.
    pub(crate) fn of(doing: &str, e: &std::io::Error) -> Trouble {
        if let Some(tls) = e.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            return of_tls(tls);
        }
        let code = match e.kind() {
            ErrorKind::TimedOut | ErrorKind::WouldBlock => {
                return Trouble::new("timeout", format!("no answer in time: {doing}"));
            }
            ErrorKind::ConnectionRefused => "refused",
            ErrorKind::UnexpectedEof
            | ErrorKind::ConnectionReset
            | ErrorKind::BrokenPipe
            | ErrorKind::ConnectionAborted => "closed",
            ErrorKind::InvalidData => "not-tls",
            _ => "unreachable",
        };
        let says = match code {
            "closed" => format!("the server closed the connection: {doing}"),
            _ => format!("{doing}: {e}"),
        };
        // Old servers close instead of sending an alert when no version is common.
        Trouble { tls: code == "closed" && doing == "handshake", ..Trouble::new(code, says) }
    }

    /// The finding; `reach` is the severity of what could not be reached.
    pub(crate) fn finding(&self, reach: Severity) -> Finding {
        match self.code {
            "handshake-failed" | "starttls-injected" => Finding::critical(self.code, self.says.clone()),
            code => Finding::new(code, reach, self.says.clone()),
        }
    }
}

fn of_tls(e: &rustls::Error) -> Trouble {
    match e {
        rustls::Error::InvalidMessage(rustls::InvalidMessage::HandshakePayloadTooLarge) => {
            Trouble::tls("its certificates take more than 64 KiB, which many clients refuse")
        }
        rustls::Error::InvalidMessage(what) => {
            Trouble { tls: true, ..Trouble::new("not-tls", format!("no TLS message: {what:?}")) }
        }
        rustls::Error::AlertReceived(rustls::AlertDescription::UnrecognisedName) => Trouble::tls(
            "the server knows no certificate for the name it was asked for, or for none: give one with sni",
        ),
        rustls::Error::AlertReceived(alert) => {
            Trouble::tls(format!("the server refuses the handshake: alert {alert:?}"))
        }
        other => Trouble::tls(format!("the handshake failed: {other}")),
    }
}
