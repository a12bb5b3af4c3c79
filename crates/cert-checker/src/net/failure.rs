//! Why an endpoint could not be asked, as a finding.

use crate::finding::Finding;
use std::io::ErrorKind;
use toban_core::Severity;

/// What went wrong before or instead of a certificate.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ProbeFailure {
    pub(crate) code: &'static str,
    pub(crate) text: String,
    /// It speaks of the server's TLS, so that the certificate may still be had by an older hello.
    pub(crate) tls: bool,
}

impl ProbeFailure {
    /// ProbeFailure of this code.
    pub(crate) fn new(code: &'static str, text: impl Into<String>) -> ProbeFailure {
        ProbeFailure { code, text: text.into(), tls: false }
    }

    /// ProbeFailure with a TLS handshake.
    pub(crate) fn tls(text: impl Into<String>) -> ProbeFailure {
        ProbeFailure { tls: true, ..ProbeFailure::new("handshake-failed", text) }
    }

    /// Judges what the system or rustls said while `doing`.
    pub(crate) fn from_io(doing: &str, e: &std::io::Error) -> ProbeFailure {
        if let Some(tls) = e.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            return explain_tls(tls);
        }
        let code = match e.kind() {
            ErrorKind::TimedOut | ErrorKind::WouldBlock => {
                return ProbeFailure::new("timeout", format!("no answer in time: {doing}"));
            }
            ErrorKind::ConnectionRefused => "refused",
            ErrorKind::UnexpectedEof
            | ErrorKind::ConnectionReset
            | ErrorKind::BrokenPipe
            | ErrorKind::ConnectionAborted => "closed",
            ErrorKind::InvalidData => "not-tls",
            _ => "unreachable",
        };
        let text = match code {
            "closed" => format!("the server closed the connection: {doing}"),
            _ => format!("{doing}: {e}"),
        };
        // Old servers close instead of sending an alert when no version is common.
        ProbeFailure { tls: code == "closed" && doing == "handshake", ..ProbeFailure::new(code, text) }
    }

    /// The finding; `reach` is the severity of what could not be reached.
    pub(crate) fn to_finding(&self, reach: Severity) -> Finding {
        match self.code {
            "handshake-failed" | "starttls-injected" => Finding::critical(self.code, self.text.clone()),
            code => Finding::new(code, reach, self.text.clone()),
        }
    }
}

fn explain_tls(e: &rustls::Error) -> ProbeFailure {
    match e {
        rustls::Error::InvalidMessage(rustls::InvalidMessage::HandshakePayloadTooLarge) => {
            ProbeFailure::tls("its certificates take more than 64 KiB, which many clients refuse")
        }
        rustls::Error::InvalidMessage(what) => {
            ProbeFailure { tls: true, ..ProbeFailure::new("not-tls", format!("no TLS message: {what:?}")) }
        }
        rustls::Error::AlertReceived(rustls::AlertDescription::UnrecognisedName) => ProbeFailure::tls(
            "the server knows no certificate for the name it was asked for, or for none: give one with sni",
        ),
        rustls::Error::AlertReceived(alert) => {
            ProbeFailure::tls(format!("the server refuses the handshake: alert {alert:?}"))
        }
        other => ProbeFailure::tls(format!("the handshake failed: {other}")),
    }
}
