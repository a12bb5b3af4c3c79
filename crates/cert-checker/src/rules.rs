//! Every finding that `check` can make: codes that stay the same, over the network and in files.

use toban_core::Severity;
use toban_core::check::{Finding, Rule};

toban_core::rules! {
    EXPIRED = "expired" in "validity":
        "the certificate has expired", "renew it";
    EXPIRES = "expires" in "validity":
        "it expires soon, by the rule or the thresholds given", "renew it";
    NOT_YET_VALID = "not-yet-valid" in "validity":
        "its validity has not begun", "wait, or have the clock of issuer or this host set right";
    LIFE_TOO_LONG = "life-too-long" in "validity":
        "it lives longer than browsers accept from public authorities", "have it issued for a shorter time";
    NAME_MISMATCH = "name-mismatch" in "names":
        "it does not hold the name that was asked for", "issue it with that name, or check the name that clients use";
    NAME_COMMON_ONLY = "name-common-only" in "names":
        "the name is only in the CN, which no client looks at any more", "issue it with a subjectAltName";
    NAME_WILDCARD_WIDE = "name-wildcard-wide" in "names":
        "a wildcard covers a whole public suffix", "issue it for the names that are yours";
    SELF_SIGNED = "self-signed" in "chain":
        "it is signed by its own key and not trusted", "trust it with ca or pin it, if that is meant";
    UNTRUSTED_ROOT = "untrusted-root" in "chain":
        "the chain ends at a root that is not trusted", "trust it with ca, if it is yours";
    CHAIN_INCOMPLETE = "chain-incomplete" in "chain":
        "the issuer's certificate was not sent and is not trusted",
        "add the intermediate to the server's chain, or trust the root with ca";
    CHAIN_INVALID = "chain-invalid" in "chain":
        "no path to a trusted root is valid, for the reason given", "have the certificates of the path issued anew";
    CHAIN_ORDER = "chain-order" in "chain":
        "certificates are sent in the wrong order", "send leaf, then its issuer, then that one's";
    CHAIN_DUPLICATE = "chain-duplicate" in "chain":
        "a certificate is sent more than once", "send each certificate once";
    CHAIN_UNRELATED = "chain-unrelated" in "chain":
        "a certificate is sent that has no part in the chain", "leave it away";
    CHAIN_LARGE = "chain-large" in "chain":
        "the certificates sent take more room than clients give them",
        "send only the leaf and the issuers between it and the root";
    CHAIN_ROOT_SENT = "chain-root-sent" in "chain":
        "the root is sent, which no client needs", "leave it away";
    CHAIN_EXPIRED = "chain-expired" in "chain":
        "a member of the chain has expired", "install the issuer's present chain";
    CHAIN_EXPIRES = "chain-expires" in "chain":
        "a member of the chain expires soon", "install the issuer's next chain";
    ROOT_EXPIRED = "root-expired" in "chain":
        "the trusted root has expired, which some clients refuse", "plan the new root";
    ROOT_EXPIRES = "root-expires" in "chain":
        "the trusted root expires within 90 days", "plan the new root";
    SIGNATURE_MD5 = "signature-md5" in "algorithms":
        "signed with MD5 or MD2", "issue it anew with SHA-256";
    SIGNATURE_SHA1 = "signature-sha1" in "algorithms":
        "signed with SHA-1", "issue it anew with SHA-256";
    KEY_WEAK = "key-weak" in "algorithms":
        "the public key is too weak", "make a new key";
    KEY_UNUSUAL = "key-unusual" in "algorithms":
        "the public key has an unusual size", "make a key of 2048, 3072 or 4096 bits at the next renewal";
    KEY_UNKNOWN = "key-unknown" in "algorithms":
        "the public key's algorithm is not known here", "nothing, where the clients know it";
    KEY_REUSED = "key-reused" in "changes":
        "a new certificate has the old key", "nothing, where that is meant; else renew with a new key";
    CERTIFICATE_NONSTANDARD = "certificate-nonstandard" in "form":
        "something in the certificate is not as RFC 5280 wants it", "have it issued anew";
    CERTIFICATE_UNREADABLE = "certificate-unreadable" in "form":
        "it cannot be read at all", "have it issued anew";
    CT_MISSING = "ct-missing" in "form":
        "a public certificate without timestamps of transparency logs", "have it issued with them";
    PIN_MISMATCH = "pin-mismatch" in "chain":
        "neither certificate nor key is the pinned one", "find out who changed it; then pin the new one";
    KEY_MISMATCH = "key-mismatch" in "keys":
        "the private key on disk is not the certificate's", "a server with both does not start: find the right key";
    KEY_MODE = "key-mode" in "keys":
        "the private key's file can be read by others", "chmod 600";
    KEY_ENCRYPTED = "key-encrypted" in "keys":
        "the private key is encrypted: it was not compared", "nothing";
    KEY_UNREADABLE = "key-unreadable" in "keys":
        "the private key cannot be read: it was not compared", "let this user read it, or accept this";
    NOT_SERVED = "not-served" in "served":
        "the certificate on disk is newer than the one being served", "reload the service";
    SERVED_NEWER = "served-newer" in "served":
        "the certificate being served is newer than the one on disk", "does the service read another file?";
    SERVED_DIFFERS = "served-differs" in "served":
        "another certificate is being served than the one on disk",
        "reload the service, or does it read another file?";
    SERVED_CHAIN_DIFFERS = "served-chain-differs" in "served":
        "the same certificate, but another chain than on disk", "reload the service";
    REVOKED = "revoked" in "revocation":
        "its issuer has revoked it", "replace it, and its key";
    CRL_EXPIRED = "crl-expired" in "revocation":
        "the revocation list is past its next update", "fetch the issuer's present list";
    CRL_EXPIRES = "crl-expires" in "revocation":
        "the next update of the revocation list is due soon", "is it still being fetched?";
    CRL_UNUSABLE = "crl-unusable" in "revocation":
        "the revocation list is not the issuer's, or cannot be read", "fetch the issuer's list anew";
    CRL_UNREACHABLE = "crl-unreachable" in "revocation":
        "the revocation list could not be fetched", "can this host reach the address?";
    STAPLE_MISSING = "staple-missing" in "revocation":
        "it demands a stapled OCSP answer, and none was sent", "have the server staple";
    STAPLE_EXPIRED = "staple-expired" in "revocation":
        "the stapled OCSP answer is past its next update", "can the server reach its issuer's responder?";
    STAPLE_UNUSABLE = "staple-unusable" in "revocation":
        "the stapled OCSP answer cannot be used", "can the server reach its issuer's responder?";
    PROTOCOL_OLD = "protocol-old" in "tls":
        "TLS 1.1 or older is spoken", "let the server speak TLS 1.2 and 1.3 only";
    PROTOCOL_NO_TLS13 = "protocol-no-tls13" in "tls":
        "TLS 1.3 is not spoken", "switch it on";
    CIPHER_WEAK = "cipher-weak" in "tls":
        "weak ciphers are accepted", "switch them off";
    HTTP_NO_REDIRECT = "http-no-redirect" in "http":
        "a web server that is asked without TLS does not lead to https",
        "let it answer with a redirect to https:// and nothing else";
    HSTS_MISSING = "hsts-missing" in "http":
        "no Strict-Transport-Security header is sent", "send it, for half a year or longer";
    HSTS_WEAK = "hsts-weak" in "http":
        "the Strict-Transport-Security header is too short-lived or malformed", "send it for half a year or longer";
    GRADE = "grade" in "tls":
        "the grade after SSL Labs' guide, and what keeps it from A+", "correct what is listed";
    CLIENT_CERTIFICATE_REQUESTED = "client-certificate-requested" in "client":
        "the server asks for a client certificate", "nothing";
    CLIENT_CERTIFICATE_NOT_REQUESTED = "client-certificate-not-requested" in "client":
        "the server does not ask for the client certificate that was expected",
        "let the server demand client certificates";
    CLIENT_CERTIFICATE_EXPIRES = "client-certificate-expires" in "client":
        "our own client certificate expires soon or has expired", "renew it";
    CLIENT_CERTIFICATE_REFUSED = "client-certificate-refused" in "client":
        "the server does not take our client certificate",
        "is it of an authority that the server trusts for clients, and of today?";
    SIGNATURE_UNPROVEN = "signature-unproven" in "tls":
        "the server did not prove that it has the certificate's key", "does another host answer for it?";
    ALPN_MISSING = "alpn-missing" in "tls":
        "the server does not agree on the protocol inside TLS, which its clients demand",
        "is it PostgreSQL 17 or newer that answers?";
    HANDSHAKE_FAILED = "handshake-failed" in "tls":
        "no TLS handshake with the server succeeds", "read the server's log of this time";
    STARTTLS_REFUSED = "starttls-refused" in "tls":
        "the server does not offer or refuses STARTTLS", "switch TLS on in the server";
    STARTTLS_INJECTED = "starttls-injected" in "tls":
        "the server sent plain text after STARTTLS, where an attacker could put it", "update the server";
    NOT_TLS = "not-tls" in "connection":
        "what answers does not speak TLS", "is it the right port and protocol?";
    NOT_HTTP = "not-http" in "connection":
        "what answers does not speak HTTP", "is it the right port?";
    DNS_NOT_FOUND = "dns-not-found" in "connection":
        "the name has no address", "is it spelled right, and still in use?";
    DNS_FAILED = "dns-failed" in "connection":
        "the name could not be looked up", "does this host's resolver work?";
    REFUSED = "refused" in "connection":
        "the connection was refused", "is the service up?";
    UNREACHABLE = "unreachable" in "connection":
        "no connection to the address", "can this host reach it?";
    TIMEOUT = "timeout" in "connection":
        "no answer in time", "is it up, and can this host reach it?";
    CLOSED = "closed" in "connection":
        "the server closed the connection", "read the server's log of this time";
    ADDRESS_DEAD = "address-dead" in "connection":
        "one address does not answer while others do", "correct the name's addresses, or start that server";
    UNREADABLE = "unreadable" in "files":
        "the file cannot be read", "let this user read it";
    DAMAGED = "damaged" in "files":
        "a part of the file cannot be read", "write the file anew";
    NOTHING_FOUND = "nothing-found" in "files":
        "no certificate is there: nothing was checked", "name the right file, or leave the target out";
    CHANGED_ISSUER = "changed-issuer" in "changes":
        "another issuer than in the last run", "nothing, where that is meant";
    CHANGED_NAMES = "changed-names" in "changes":
        "names of the last run are gone", "nothing, where that is meant";
    CHANGED_KEY = "changed-key" in "changes":
        "another key than in the last run", "nothing: renewals make new keys";
    CHANGED_USAGE = "changed-usage" in "changes":
        "uses of the last run are gone from its extended key usage",
        "who shows it for such a use, as a client of databases or mail, is refused";
    CHANGED_CHAIN = "changed-chain" in "changes":
        "fewer certificates are sent than in the last run", "nothing, where that is meant";
}

/// Good to know.
pub(crate) fn info(rule: &'static Rule, text: impl Into<String>) -> Finding {
    Finding::new(rule, Severity::Ok).says(text)
}

/// Look at it in working hours.
pub(crate) fn warning(rule: &'static Rule, text: impl Into<String>) -> Finding {
    Finding::new(rule, Severity::Warning).says(text)
}

/// Look at it now.
pub(crate) fn critical(rule: &'static Rule, text: impl Into<String>) -> Finding {
    Finding::new(rule, Severity::Critical).says(text)
}

/// Could not be judged.
pub(crate) fn unknown(rule: &'static Rule, text: impl Into<String>) -> Finding {
    Finding::new(rule, Severity::Unknown).says(text)
}
