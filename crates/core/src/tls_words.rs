//! What the TLS library says, in words: it prints the names of its own variants, such as `CaUsedAsEndEntity`.

/// Reasons of a certificate's refusal. The first that the text holds counts.
const CERTIFICATE: &[(&str, &str)] = &[
    ("CaUsedAsEndEntity", "it is an authority's own (CA:TRUE), not a server's"),
    ("EndEntityUsedAsCa", "it was signed by a certificate that may sign none (CA:FALSE)"),
    ("UnknownIssuer", "this machine does not know the authority that signed it"),
    ("NotValidForName", "it is for other names than this host's"),
    ("not valid for name", "it is for other names than this host's"),
    ("NotValidYet", "it is not valid yet: is one of the two clocks wrong?"),
    ("not valid yet", "it is not valid yet: is one of the two clocks wrong?"),
    ("ExpiredRevocationList", "the revocation list has expired"),
    ("UnknownRevocationStatus", "no revocation list tells about it"),
    ("Expired", "it has expired"),
    ("expired", "it has expired"),
    ("Revoked", "it was revoked"),
    ("UnsupportedCertVersion", "it is of X.509 version 1"),
    ("BadSignature", "its signature is not its authority's"),
    ("InvalidSignatureForPublicKey", "its signature is not its authority's"),
    ("InvalidPurpose", "it is not for servers (extended key usage)"),
    ("RequiredEkuNotFound", "it is not for servers (extended key usage)"),
    ("UnsupportedSignatureAlgorithm", "it is signed by a method that is not accepted, such as SHA-1"),
    ("UnsupportedCriticalExtension", "it holds a critical extension that is not known here"),
    ("UnhandledCriticalExtension", "it holds a critical extension that is not known here"),
    ("NameConstraintViolation", "its authority may not sign for its names"),
    ("PathLenConstraintViolated", "it has more intermediate authorities than its root allows"),
    ("BadEncoding", "it cannot be read"),
    ("BadDer", "it cannot be read"),
];

/// Why a server ended a handshake, by the alert that it sent.
const ALERT: &[(&str, &str)] = &[
    ("HandshakeFailure", "it accepts none of our ciphers"),
    ("InsufficientSecurity", "it accepts none of our ciphers"),
    ("ProtocolVersion", "it speaks neither TLS 1.2 nor 1.3"),
    ("CertificateRequired", "it wants a client certificate"),
    ("BadCertificate", "it refuses our certificate"),
    ("UnknownCA", "it does not know the authority that signed our certificate"),
    ("CertificateUnknown", "it refuses our certificate"),
    ("CertificateExpired", "our certificate has expired"),
    ("CertificateRevoked", "our certificate was revoked"),
    ("UnrecognisedName", "it knows no host of this name"),
    ("AccessDenied", "it refuses our certificate"),
];

/// Why a certificate is refused, where the library's text is known.
pub(crate) fn certificate(text: &str) -> Option<&'static str> {
    CERTIFICATE.iter().find(|(token, _)| text.contains(token)).map(|(_, words)| *words)
}

/// `text` with what the TLS library says put into words; other texts as they are.
pub(crate) fn in_words(text: &str) -> String {
    let before = |at: usize| text[..at].trim_end_matches("rustls: ").to_string();
    if let Some((at, rest)) = split(text, "invalid peer certificate: ")
        && let Some(words) = certificate(rest)
    {
        return format!("{}the server's certificate is refused: {words}", before(at));
    }
    if let Some((at, rest)) = split(text, "received fatal alert: ")
        && let Some((_, words)) = ALERT.iter().find(|(token, _)| rest.starts_with(token))
    {
        return format!("{}the server ended the TLS handshake: {words}", before(at));
    }
    match split(text, "received corrupt message of type InvalidContentType") {
        Some((at, _)) => format!("{}the server does not speak TLS on this port", before(at)),
        None => text.to_string(),
    }
}

fn split<'t>(text: &'t str, mark: &str) -> Option<(usize, &'t str)> {
    text.find(mark).map(|at| (at, &text[at + mark.len()..]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::{AlertDescription, CertificateError, Error, InvalidMessage};

    #[test]
    fn no_variant_of_the_library_is_told() {
        let other = "invalid peer certificate: Other(OtherError(CaUsedAsEndEntity))".to_string();
        let certificate = |e: CertificateError| Error::InvalidCertificate(e).to_string();
        let alert = |a: AlertDescription| Error::AlertReceived(a).to_string();
        for (text, said) in [
            (other, "(CA:TRUE)"),
            (certificate(CertificateError::UnknownIssuer), "does not know the authority"),
            (certificate(CertificateError::Expired), "it has expired"),
            (certificate(CertificateError::NotValidForName), "other names"),
            (certificate(CertificateError::NotValidYet), "not valid yet"),
            (certificate(CertificateError::Revoked), "it was revoked"),
            (alert(AlertDescription::HandshakeFailure), "none of our ciphers"),
            (alert(AlertDescription::ProtocolVersion), "neither TLS 1.2"),
            (alert(AlertDescription::CertificateRequired), "client certificate"),
            (Error::InvalidMessage(InvalidMessage::InvalidContentType).to_string(), "does not speak TLS"),
        ] {
            let words = in_words(&format!("connect: rustls: {text}"));
            assert!(words.starts_with("connect: the server") && words.contains(said), "{text}: {words}");
        }
        assert_eq!(in_words("connection refused"), "connection refused");
    }
}
