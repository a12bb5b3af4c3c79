//! A handshake's clear part by hand: what versions and ciphers a server takes, and the certificate that it shows up
//! to TLS 1.2. No secret is made, so nothing here needs cryptography.

#[cfg(test)]
pub(crate) mod mutants;
mod read;
mod write;

pub(crate) use read::{Answer, Refusal, read};
pub(crate) use write::Hello;

/// Protocol versions as they stand in records.
pub(crate) const SSL3: u16 = 0x0300;
pub(crate) const TLS10: u16 = 0x0301;
pub(crate) const TLS11: u16 = 0x0302;
pub(crate) const TLS12: u16 = 0x0303;
pub(crate) const TLS13: u16 = 0x0304;

/// The version's usual name.
pub(crate) fn version_name(version: u16) -> String {
    match version {
        SSL3 => "SSLv3".into(),
        TLS10 => "TLSv1.0".into(),
        TLS11 => "TLSv1.1".into(),
        TLS12 => "TLSv1.2".into(),
        TLS13 => "TLSv1.3".into(),
        other => format!("version {other:#06x}"),
    }
}
