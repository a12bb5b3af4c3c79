//! What a judgement says: codes that stay the same, over the network and in files.

use serde::Serialize;
use toban_core::Severity;

/// One thing that was judged; `Severity::Ok` is for what is good to know.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Finding {
    pub(crate) code: &'static str,
    pub(crate) severity: Severity,
    pub(crate) says: String,
    /// What to do; empty where nothing is to be done or everybody knows.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) advice: String,
}

impl Finding {
    /// Good to know.
    pub(crate) fn info(code: &'static str, says: impl Into<String>) -> Finding {
        Finding::new(code, Severity::Ok, says)
    }

    /// Look at it in working hours.
    pub(crate) fn warning(code: &'static str, says: impl Into<String>) -> Finding {
        Finding::new(code, Severity::Warning, says)
    }

    /// Look at it now.
    pub(crate) fn critical(code: &'static str, says: impl Into<String>) -> Finding {
        Finding::new(code, Severity::Critical, says)
    }

    /// Could not be judged.
    pub(crate) fn unknown(code: &'static str, says: impl Into<String>) -> Finding {
        Finding::new(code, Severity::Unknown, says)
    }

    /// Of a severity that the caller has decided.
    pub(crate) fn new(code: &'static str, severity: Severity, says: impl Into<String>) -> Finding {
        debug_assert!(CODES.iter().any(|(c, _)| *c == code), "{code} is in no table");
        Finding { code, severity, says: says.into(), advice: String::new() }
    }

    /// The same with its cure.
    pub(crate) fn advise(mut self, advice: impl Into<String>) -> Finding {
        self.advice = advice.into();
        self
    }
}

/// Every code and what it means: docs/guide/certificates.md says the same, and a test compares them.
pub(crate) const CODES: &[(&str, &str)] = &[
    ("expired", "the certificate has expired"),
    ("expires", "it expires soon, by the rule or the thresholds given"),
    ("not-yet-valid", "its validity has not begun"),
    ("life-too-long", "it lives longer than browsers accept from public authorities"),
    ("name-mismatch", "it does not hold the name that was asked for"),
    ("name-common-only", "the name is only in the CN, which no client looks at any more"),
    ("name-wildcard-wide", "a wildcard covers a whole public suffix"),
    ("self-signed", "it is signed by its own key and not trusted"),
    ("untrusted-root", "the chain ends at a root that is not trusted"),
    ("chain-incomplete", "the issuer's certificate was not sent and is not trusted"),
    ("chain-invalid", "no path to a trusted root is valid, for the reason given"),
    ("chain-order", "certificates are sent in the wrong order"),
    ("chain-duplicate", "a certificate is sent more than once"),
    ("chain-unrelated", "a certificate is sent that has no part in the chain"),
    ("chain-large", "the certificates sent take more room than clients give them"),
    ("chain-root-sent", "the root is sent, which no client needs"),
    ("chain-expired", "a member of the chain has expired"),
    ("chain-expires", "a member of the chain expires soon"),
    ("root-expired", "the trusted root has expired, which some clients refuse"),
    ("root-expires", "the trusted root expires within 90 days"),
    ("signature-md5", "signed with MD5 or MD2"),
    ("signature-sha1", "signed with SHA-1"),
    ("key-weak", "the public key is too weak"),
    ("key-odd", "the public key has an unusual size"),
    ("key-unknown", "the public key's algorithm is not known here"),
    ("key-reused", "a new certificate has the old key"),
    ("certificate-odd", "something in the certificate is not as RFC 5280 wants it"),
    ("certificate-unreadable", "it cannot be read at all"),
    ("ct-missing", "a public certificate without timestamps of transparency logs"),
    ("pin-mismatch", "neither certificate nor key is the pinned one"),
    ("key-mismatch", "the private key on disk is not the certificate's"),
    ("key-mode", "the private key's file can be read by others"),
    ("key-encrypted", "the private key is encrypted: it was not compared"),
    ("key-unreadable", "the private key cannot be read: it was not compared"),
    ("not-served", "the certificate on disk is newer than the one being served"),
    ("served-newer", "the certificate being served is newer than the one on disk"),
    ("served-differs", "another certificate is being served than the one on disk"),
    ("served-chain-differs", "the same certificate, but another chain than on disk"),
    ("revoked", "its issuer has revoked it"),
    ("crl-expired", "the revocation list is past its next update"),
    ("crl-expires", "the next update of the revocation list is due soon"),
    ("crl-unusable", "the revocation list is not the issuer's, or cannot be read"),
    ("crl-unreachable", "the revocation list could not be fetched"),
    ("staple-missing", "it demands a stapled OCSP answer, and none was sent"),
    ("staple-expired", "the stapled OCSP answer is past its next update"),
    ("staple-unusable", "the stapled OCSP answer cannot be used"),
    ("protocol-old", "TLS 1.1 or older is spoken"),
    ("protocol-no-tls13", "TLS 1.3 is not spoken"),
    ("cipher-weak", "weak ciphers are accepted"),
    ("http-no-redirect", "a web server that is asked without TLS does not lead to https"),
    ("hsts-missing", "no Strict-Transport-Security header is sent"),
    ("hsts-weak", "the Strict-Transport-Security header is too short-lived or malformed"),
    ("grade", "the grade after SSL Labs' guide, and what keeps it from A+"),
    ("client-certificate-requested", "the server asks for a client certificate"),
    (
        "client-certificate-not-requested",
        "the server does not ask for the client certificate that was expected",
    ),
    ("client-certificate-expires", "our own client certificate expires soon or has expired"),
    ("client-certificate-refused", "the server does not take our client certificate"),
    ("signature-unproven", "the server did not prove that it has the certificate's key"),
    ("alpn-missing", "the server does not agree on the protocol inside TLS, which its clients demand"),
    ("handshake-failed", "no TLS handshake with the server succeeds"),
    ("starttls-refused", "the server does not offer or refuses STARTTLS"),
    ("starttls-injected", "the server sent plain text after STARTTLS, where an attacker could put it"),
    ("not-tls", "what answers does not speak TLS"),
    ("not-http", "what answers does not speak HTTP"),
    ("dns-not-found", "the name has no address"),
    ("dns-failed", "the name could not be looked up"),
    ("refused", "the connection was refused"),
    ("unreachable", "no connection to the address"),
    ("timeout", "no answer in time"),
    ("closed", "the server closed the connection"),
    ("address-dead", "one address does not answer while others do"),
    ("unreadable", "the file cannot be read"),
    ("damaged", "a part of the file cannot be read"),
    ("nothing-found", "no certificate is there: nothing was checked"),
    ("changed-issuer", "another issuer than in the last run"),
    ("changed-names", "names of the last run are gone"),
    ("changed-key", "another key than in the last run"),
    ("changed-usage", "uses of the last run are gone from its extended key usage"),
    ("changed-chain", "fewer certificates are sent than in the last run"),
];

#[cfg(test)]
mod tests {
    use super::CODES;

    #[test]
    fn the_guide_tells_every_code() {
        let guide = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/guide/certificates.md");
        let guide = std::fs::read_to_string(guide).expect("the guide");
        let rows: Vec<String> =
            guide.lines().filter(|l| l.starts_with("| `")).map(ToString::to_string).collect();
        let wanted: Vec<String> = CODES.iter().map(|(code, says)| format!("| `{code}` | {says} |")).collect();
        let missing: Vec<_> = wanted.iter().filter(|w| !rows.contains(w)).collect();
        assert!(missing.is_empty(), "the guide lacks:\n{missing:#?}");
    }
}
