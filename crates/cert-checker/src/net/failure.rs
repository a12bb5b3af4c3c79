//! Why an endpoint could not be asked, as a finding.

use crate::rules;
use std::io::ErrorKind;
use toban_core::Severity;
use toban_core::check::{Finding, Rule};

/// What went wrong before or instead of a certificate.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ProbeFailure {
    pub(crate) rule: &'static Rule,
    pub(crate) text: String,
    /// It speaks of the server's TLS, so that the certificate may still be had by an older hello.
    pub(crate) tls: bool,
}

impl ProbeFailure {
    /// ProbeFailure of this code.
    pub(crate) fn new(rule: &'static Rule, text: impl Into<String>) -> ProbeFailure {
        ProbeFailure { rule, text: text.into(), tls: false }
    }

    /// ProbeFailure with a TLS handshake.
    pub(crate) fn tls(text: impl Into<String>) -> ProbeFailure {
        ProbeFailure { tls: true, ..ProbeFailure::new(&rules::HANDSHAKE_FAILED, text) }
    }

    /// What went wrong while `doing`, by the error of the system or of rustls.
    pub(crate) fn from_io(doing: &str, e: &std::io::Error) -> ProbeFailure {
        // rustls's errors come inside of io's, from reads and writes of its stream.
        if let Some(tls) = e.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            return explain_tls(tls);
        }
        let rule = match e.kind() {
            ErrorKind::TimedOut | ErrorKind::WouldBlock => {
                return ProbeFailure::new(&rules::TIMEOUT, format!("no answer in time: {doing}"));
            }
            ErrorKind::ConnectionRefused => &rules::REFUSED,
            ErrorKind::UnexpectedEof
            | ErrorKind::ConnectionReset
            | ErrorKind::BrokenPipe
            | ErrorKind::ConnectionAborted => {
                let text = format!("the server closed the connection: {doing}");
                // Old servers close instead of sending an alert when no version is common.
                return ProbeFailure { tls: doing == "handshake", ..ProbeFailure::new(&rules::CLOSED, text) };
            }
            ErrorKind::InvalidData => &rules::NOT_TLS,
            _ => &rules::UNREACHABLE,
        };
        ProbeFailure::new(rule, format!("{doing}: {e}"))
    }

    /// The finding; `unreachable` is the severity of what could not be reached.
    pub(crate) fn to_finding(&self, unreachable: Severity) -> Finding {
        let seen = [&rules::HANDSHAKE_FAILED, &rules::STARTTLS_INJECTED].contains(&self.rule);
        let severity = if seen { Severity::Critical } else { unreachable };
        Finding::new(self.rule, severity).says(&self.text)
    }
}

fn explain_tls(e: &rustls::Error) -> ProbeFailure {
    match e {
        rustls::Error::InvalidMessage(rustls::InvalidMessage::HandshakePayloadTooLarge) => {
            ProbeFailure::tls("its certificates take more than 64 KiB, which many clients refuse")
        }
        rustls::Error::InvalidMessage(what) => ProbeFailure {
            tls: true,
            ..ProbeFailure::new(&rules::NOT_TLS, format!("no TLS message: {what:?}"))
        },
        rustls::Error::AlertReceived(rustls::AlertDescription::UnrecognisedName) => ProbeFailure::tls(
            "the server knows no certificate for the name it was asked for, or for none: give one with sni",
        ),
        rustls::Error::AlertReceived(alert) => {
            ProbeFailure::tls(format!("the server refuses the handshake: alert {alert:?}"))
        }
        other => ProbeFailure::tls(format!("the handshake failed: {other}")),
    }
}
