//! A handshake's clear part by hand: what versions and ciphers a server takes, and the certificate that it shows up
//! to TLS 1.2. No secret is made, so nothing here needs cryptography. Every length that comes is checked against what is
//! there, and the whole against a bound.

use super::ciphers;
use crate::facts::modulus_bits;
use std::io::{self, Read};

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

/// What one hello offers.
#[derive(Clone, Debug)]
pub(crate) struct ClientHello<'a> {
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

impl ClientHello<'_> {
    /// The record to send.
    pub(crate) fn to_record(&self) -> Vec<u8> {
        let mut body = Vec::with_capacity(512);
        // TLS 1.3 calls itself 1.2 here, and tells by an extension.
        body.extend(self.version.min(TLS12).to_be_bytes());
        // The client's random. It need not be random: no session comes of this handshake.
        body.extend([0x5a; 32]);
        // A session id of 32 bytes is what middleboxes expect of TLS 1.3 (RFC 8446, D.4).
        let session: &[u8] = if self.version == TLS13 { &[0x5b; 32] } else { &[] };
        put_vector8(&mut body, session);
        put_vector16(&mut body, &be_bytes(self.ciphers));
        put_vector8(&mut body, &[0]);
        // SSL 3.0 knows no extensions, and some servers of that age break off when there are any.
        if self.version > SSL3 {
            put_vector16(&mut body, &self.encode_extensions());
        }
        let mut message = vec![1];
        // A handshake message has a length of 24 bits (RFC 8446, 4).
        message.extend(&u32::try_from(body.len()).unwrap_or(0).to_be_bytes()[1..]);
        message.extend(body);
        // Some old servers take no record of a version above their own in the first flight (RFC 8446, 5.1 allows 3.1).
        let mut record = vec![22];
        record.extend(self.version.min(0x0301).to_be_bytes());
        put_vector16(&mut record, &message);
        record
    }

    fn encode_extensions(&self) -> Vec<u8> {
        let mut all = Vec::new();
        if let Some(name) = self.sni {
            let mut host = vec![0];
            put_vector16(&mut host, name.as_bytes());
            put_extension(&mut all, 0, &with_length16(&host));
        }
        // status_request for OCSP, without responders or extensions.
        put_extension(&mut all, 5, &[1, 0, 0, 0, 0]);
        put_extension(&mut all, 10, &with_length16(&be_bytes(&GROUPS)));
        // Uncompressed points, the one form that RFC 8422, 5.1.2, leaves.
        put_extension(&mut all, 11, &[1, 0]);
        if self.version >= TLS12 {
            put_extension(&mut all, 13, &with_length16(&be_bytes(&SIGNATURES)));
        }
        if self.version == TLS13 {
            // supported_versions names 1.3 alone: a server that does not have it must refuse instead of going down
            // (RFC 8446, 4.2.1).
            put_extension(&mut all, 43, &[2, 3, 4]);
            let mut share = vec![0, 29];
            // Any 32 bytes are a public key of x25519; the secret is never needed.
            put_vector16(&mut share, &[9; 32]);
            put_extension(&mut all, 51, &with_length16(&share));
        }
        all
    }
}

fn be_bytes(list: &[u16]) -> Vec<u8> {
    list.iter().flat_map(|w| w.to_be_bytes()).collect()
}

fn put_vector8(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(u8::try_from(bytes.len()).unwrap_or(0));
    out.extend(bytes);
}

fn put_vector16(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend(u16::try_from(bytes.len()).unwrap_or(0).to_be_bytes());
    out.extend(bytes);
}

fn with_length16(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    put_vector16(&mut out, bytes);
    out
}

fn put_extension(out: &mut Vec<u8>, kind: u16, bytes: &[u8]) {
    out.extend(kind.to_be_bytes());
    put_vector16(out, bytes);
}

/// The most that a first flight may hold: a chain of a hundred large certificates fits.
const FLIGHT: usize = 512 << 10;
/// The largest record: RFC 5246, 6.2.3.
const RECORD: usize = (16 << 10) + 2048;

/// What a server answered to a hello.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct ServerFlight {
    pub(crate) version: u16,
    pub(crate) cipher: u16,
    /// DER, in the order sent; empty in TLS 1.3, where it comes encrypted.
    pub(crate) chain: Vec<Vec<u8>>,
    /// Bits of the Diffie-Hellman prime.
    pub(crate) dh_bits: Option<usize>,
    /// The elliptic curve's group number.
    pub(crate) group: Option<u16>,
    pub(crate) asks_client: bool,
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum NoFlight {
    /// An alert.
    Alert,
    /// What came is no TLS, or malformed, or without end.
    Junk,
    /// The connection failed.
    Io(io::Error),
}

/// Reads up to ServerHelloDone, or to ServerHello in TLS 1.3, after which everything is encrypted (RFC 8446, 2).
///
/// # Errors
/// An alert, junk, or what the connection says.
pub(crate) fn read_flight(from: &mut impl Read) -> Result<ServerFlight, NoFlight> {
    let mut answer = ServerFlight::default();
    let mut messages: Vec<u8> = Vec::new();
    let mut total = 0;
    loop {
        let (kind, body) = match read_record(from) {
            Ok(record) => record,
            // Servers that close in the middle of the flight, as some do when they want a client certificate, have still
            // shown their own.
            Err(_) if !answer.chain.is_empty() => return Ok(answer),
            Err(e) => return Err(e),
        };
        match kind {
            21 if answer.version == 0 => return Err(NoFlight::Alert),
            21 => return Ok(answer),
            22 => {}
            // A change of cipher spec, or what is encrypted: TLS 1.3 says no more in clear.
            _ if answer.version == TLS13 => return Ok(answer),
            _ => return Err(NoFlight::Junk),
        }
        total += body.len();
        if total > FLIGHT {
            return Err(NoFlight::Junk);
        }
        messages.extend(body);
        if take_messages(&mut messages, &mut answer)? {
            return Ok(answer);
        }
    }
}

fn read_record(from: &mut impl Read) -> Result<(u8, Vec<u8>), NoFlight> {
    let mut head = [0; 5];
    from.read_exact(&mut head).map_err(NoFlight::Io)?;
    let length = usize::from(u16::from_be_bytes([head[3], head[4]]));
    if !(20..=23).contains(&head[0]) || head[1] != 3 || length > RECORD {
        return Err(NoFlight::Junk);
    }
    let mut body = vec![0; length];
    from.read_exact(&mut body).map_err(NoFlight::Io)?;
    Ok((head[0], body))
}

/// Takes the whole messages at the front; true when the flight is over.
fn take_messages(messages: &mut Vec<u8>, answer: &mut ServerFlight) -> Result<bool, NoFlight> {
    let mut at = 0;
    let mut over = false;
    // Messages and records have each their own borders: a message may fill several records, and a record hold several
    // messages (RFC 5246, 6.2.1).
    while !over && messages.len() - at >= 4 {
        let head = &messages[at..at + 4];
        let length = usize::from(head[1]) << 16 | usize::from(head[2]) << 8 | usize::from(head[3]);
        let Some(body) = messages.get(at + 4..at + 4 + length) else { break };
        over = read_message(head[0], body, answer).ok_or(NoFlight::Junk)?;
        at += 4 + length;
    }
    messages.drain(..at);
    Ok(over)
}

/// One handshake message; `None` for a malformed one.
fn read_message(kind: u8, body: &[u8], answer: &mut ServerFlight) -> Option<bool> {
    match kind {
        2 => read_server_hello(body, answer)?,
        11 => answer.chain = read_certificates(body)?,
        12 => read_key_exchange(body, answer),
        13 => answer.asks_client = true,
        14 => return Some(true),
        _ => {}
    }
    Some(answer.version == TLS13)
}

fn read_server_hello(body: &[u8], answer: &mut ServerFlight) -> Option<()> {
    let mut reader = ByteReader(body);
    answer.version = reader.read_u16()?;
    reader.take(32)?;
    reader.read_vector8()?;
    answer.cipher = reader.read_u16()?;
    reader.take(1)?;
    let Some(extensions) = reader.read_vector16() else { return Some(()) };
    let mut extensions = ByteReader(extensions);
    while let (Some(kind), Some(value)) = (extensions.read_u16(), extensions.read_vector16()) {
        // supported_versions (RFC 8446, 4.2.1): TLS 1.3 calls itself 1.2 in the field of old and tells here.
        if kind == 43 && answer.version == TLS12 {
            answer.version = ByteReader(value).read_u16()?;
        }
    }
    Some(())
}

fn read_certificates(body: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut list = ByteReader(ByteReader(body).read_vector24()?);
    let mut chain = Vec::new();
    while !list.0.is_empty() {
        chain.push(list.read_vector24()?.to_vec());
    }
    Some(chain)
}

/// Restriction what grades: the size of the prime, or the curve. Which of both it is, the cipher tells.
fn read_key_exchange(body: &[u8], answer: &mut ServerFlight) {
    let mut reader = ByteReader(body);
    if ciphers::is_dhe(answer.cipher) {
        answer.dh_bits = reader.read_vector16().map(modulus_bits);
    } else if reader.take(1) == Some(&[3]) {
        answer.group = reader.read_u16();
    }
}

/// Takes pieces off the front of bytes that a peer sent.
#[derive(Clone, Copy, Debug)]
struct ByteReader<'a>(&'a [u8]);

impl<'a> ByteReader<'a> {
    /// The next `n` bytes; none, when fewer are left.
    fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(n)?;
        self.0 = rest;
        Some(taken)
    }

    fn read_u16(&mut self) -> Option<u16> {
        self.take(2).map(|b| u16::from_be_bytes([b[0], b[1]]))
    }

    /// Bytes after their length of one byte.
    fn read_vector8(&mut self) -> Option<&'a [u8]> {
        let n = usize::from(self.take(1)?[0]);
        self.take(n)
    }

    /// … of two bytes.
    fn read_vector16(&mut self) -> Option<&'a [u8]> {
        let n = usize::from(self.read_u16()?);
        self.take(n)
    }

    /// … of three bytes.
    fn read_vector24(&mut self) -> Option<&'a [u8]> {
        let n = self.take(3)?;
        self.take(usize::from(n[0]) << 16 | usize::from(n[1]) << 8 | usize::from(n[2]))
    }
}
