//! The ClientHello: RFC 5246, 7.4.1.2, and RFC 8446, 4.1.2.

use super::{SSL3, TLS12, TLS13};

/// What one hello offers.
#[derive(Clone, Debug)]
pub(crate) struct Hello<'a> {
    pub(crate) version: u16,
    pub(crate) ciphers: &'a [u16],
    /// A host name; none is sent for an address.
    pub(crate) sni: Option<&'a str>,
}

/// Groups in TLS's registry: x25519, P-256, P-384, P-521, the finite fields; then curves that only old servers use, so
/// that they show their certificate: P-192, P-224, secp256k1, brainpool's, x448.
const GROUPS: [u16; 14] = [29, 23, 24, 25, 256, 257, 258, 19, 21, 22, 26, 27, 28, 30];
/// RSA, RSA-PSS, ECDSA and DSA with every hash from SHA-512 to MD5, and the Edwards curves.
const SIGNATURES: [u16; 21] = [
    0x0804, 0x0805, 0x0806, 0x0809, 0x080a, 0x080b, 0x0401, 0x0501, 0x0601, 0x0403, 0x0503, 0x0603, 0x0807,
    0x0808, 0x0201, 0x0203, 0x0202, 0x0301, 0x0303, 0x0402, 0x0101,
];

impl Hello<'_> {
    /// The record to send.
    pub(crate) fn record(&self) -> Vec<u8> {
        let mut body = Vec::with_capacity(512);
        // TLS 1.3 calls itself 1.2 here, and tells by an extension.
        body.extend(self.version.min(TLS12).to_be_bytes());
        body.extend([0x5a; 32]);
        let session: &[u8] = if self.version == TLS13 { &[0x5b; 32] } else { &[] };
        vector8(&mut body, session);
        vector16(&mut body, &words(self.ciphers));
        vector8(&mut body, &[0]);
        if self.version > SSL3 {
            vector16(&mut body, &self.extensions());
        }
        let mut message = vec![1];
        message.extend(&u32::try_from(body.len()).unwrap_or(0).to_be_bytes()[1..]);
        message.extend(body);
        // Some old servers take no record of a version above their own in the first flight.
        let mut record = vec![22];
        record.extend(self.version.min(0x0301).to_be_bytes());
        vector16(&mut record, &message);
        record
    }

    fn extensions(&self) -> Vec<u8> {
        let mut all = Vec::new();
        if let Some(name) = self.sni {
            let mut host = vec![0];
            vector16(&mut host, name.as_bytes());
            extension(&mut all, 0, &prefixed16(&host));
        }
        // status_request for OCSP, without responders or extensions.
        extension(&mut all, 5, &[1, 0, 0, 0, 0]);
        extension(&mut all, 10, &prefixed16(&words(&GROUPS)));
        extension(&mut all, 11, &[1, 0]);
        if self.version >= TLS12 {
            extension(&mut all, 13, &prefixed16(&words(&SIGNATURES)));
        }
        if self.version == TLS13 {
            extension(&mut all, 43, &[2, 3, 4]);
            let mut share = vec![0, 29];
            // Any 32 bytes are a public key of x25519; the secret is never needed.
            vector16(&mut share, &[9; 32]);
            extension(&mut all, 51, &prefixed16(&share));
        }
        all
    }
}

fn words(list: &[u16]) -> Vec<u8> {
    list.iter().flat_map(|w| w.to_be_bytes()).collect()
}

fn vector8(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(u8::try_from(bytes.len()).unwrap_or(0));
    out.extend(bytes);
}

fn vector16(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend(u16::try_from(bytes.len()).unwrap_or(0).to_be_bytes());
    out.extend(bytes);
}

fn prefixed16(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    vector16(&mut out, bytes);
    out
}

fn extension(out: &mut Vec<u8>, kind: u16, bytes: &[u8]) {
    out.extend(kind.to_be_bytes());
    vector16(out, bytes);
}
