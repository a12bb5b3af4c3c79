//! The server's first flight: ServerHello, Certificate, ServerKeyExchange, CertificateRequest. Every length is
//! checked against what is there, and the whole against a bound.

use super::{TLS12, TLS13};
use std::io::{self, Read};

/// The most that a first flight may hold: a chain of a hundred large certificates fits.
const FLIGHT: usize = 512 << 10;
/// The largest record: RFC 5246, 6.2.3.
const RECORD: usize = (16 << 10) + 2048;

/// What a server answered to a hello.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Answer {
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
pub(crate) enum Refusal {
    /// An alert.
    Alert,
    /// What came is no TLS, or malformed, or without end.
    Junk,
    /// The connection failed.
    Io(io::Error),
}

/// Reads up to ServerHelloDone, or to ServerHello in TLS 1.3.
///
/// # Errors
/// An alert, junk, or what the connection says.
pub(crate) fn read(from: &mut impl Read) -> Result<Answer, Refusal> {
    let mut answer = Answer::default();
    let mut messages: Vec<u8> = Vec::new();
    let mut total = 0;
    loop {
        let (kind, body) = match record(from) {
            Ok(record) => record,
            // Servers that end in the middle of the flight have still shown their certificate.
            Err(_) if !answer.chain.is_empty() => return Ok(answer),
            Err(e) => return Err(e),
        };
        match kind {
            21 if answer.version == 0 => return Err(Refusal::Alert),
            21 => return Ok(answer),
            22 => {}
            // A change of cipher spec, or what is encrypted: TLS 1.3 says no more in clear.
            _ if answer.version == TLS13 => return Ok(answer),
            _ => return Err(Refusal::Junk),
        }
        total += body.len();
        if total > FLIGHT {
            return Err(Refusal::Junk);
        }
        messages.extend(body);
        if take_messages(&mut messages, &mut answer)? {
            return Ok(answer);
        }
    }
}

fn record(from: &mut impl Read) -> Result<(u8, Vec<u8>), Refusal> {
    let mut head = [0; 5];
    from.read_exact(&mut head).map_err(Refusal::Io)?;
    let length = usize::from(u16::from_be_bytes([head[3], head[4]]));
    if !(20..=23).contains(&head[0]) || head[1] != 3 || length > RECORD {
        return Err(Refusal::Junk);
    }
    let mut body = vec![0; length];
    from.read_exact(&mut body).map_err(Refusal::Io)?;
    Ok((head[0], body))
}

/// Takes the whole messages at the front; true when the flight is over.
fn take_messages(messages: &mut Vec<u8>, answer: &mut Answer) -> Result<bool, Refusal> {
    let mut at = 0;
    let mut over = false;
    while !over && messages.len() - at >= 4 {
        let head = &messages[at..at + 4];
        let length = usize::from(head[1]) << 16 | usize::from(head[2]) << 8 | usize::from(head[3]);
        let Some(body) = messages.get(at + 4..at + 4 + length) else { break };
        over = message(head[0], body, answer).ok_or(Refusal::Junk)?;
        at += 4 + length;
    }
    messages.drain(..at);
    Ok(over)
}

/// One handshake message; `None` for a malformed one.
fn message(kind: u8, body: &[u8], answer: &mut Answer) -> Option<bool> {
    match kind {
        2 => server_hello(body, answer)?,
        11 => answer.chain = certificates(body)?,
        12 => key_exchange(body, answer),
        13 => answer.asks_client = true,
        14 => return Some(true),
        _ => {}
    }
    Some(answer.version == TLS13)
}

fn server_hello(body: &[u8], answer: &mut Answer) -> Option<()> {
    let mut reader = Reader(body);
    answer.version = reader.u16()?;
    reader.take(32)?;
    reader.vector8()?;
    answer.cipher = reader.u16()?;
    reader.take(1)?;
    let Some(extensions) = reader.vector16() else { return Some(()) };
    let mut extensions = Reader(extensions);
    while let (Some(kind), Some(value)) = (extensions.u16(), extensions.vector16()) {
        // supported_versions: the true one of TLS 1.3.
        if kind == 43 && answer.version == TLS12 {
            answer.version = Reader(value).u16()?;
        }
    }
    Some(())
}

fn certificates(body: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut list = Reader(Reader(body).vector24()?);
    let mut chain = Vec::new();
    while !list.0.is_empty() {
        chain.push(list.vector24()?.to_vec());
    }
    Some(chain)
}

/// Only what grades: the size of the prime, or the curve. Which of both it is, the cipher tells.
fn key_exchange(body: &[u8], answer: &mut Answer) {
    let mut reader = Reader(body);
    if super::super::ciphers::is_dhe(answer.cipher) {
        answer.dh_bits = reader.vector16().map(crate::facts::modulus_bits);
    } else if reader.take(1) == Some(&[3]) {
        answer.group = reader.u16();
    }
}

/// Takes pieces off the front of bytes that somebody else sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    /// The next `n` bytes; none, when fewer are left.
    pub(crate) fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(n)?;
        self.0 = rest;
        Some(taken)
    }

    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.take(2).map(|b| u16::from_be_bytes([b[0], b[1]]))
    }

    /// Bytes behind their length of one byte.
    pub(crate) fn vector8(&mut self) -> Option<&'a [u8]> {
        let n = usize::from(self.take(1)?[0]);
        self.take(n)
    }

    /// … of two bytes.
    pub(crate) fn vector16(&mut self) -> Option<&'a [u8]> {
        let n = usize::from(self.u16()?);
        self.take(n)
    }

    /// … of three bytes.
    pub(crate) fn vector24(&mut self) -> Option<&'a [u8]> {
        let n = self.take(3)?;
        self.take(usize::from(n[0]) << 16 | usize::from(n[1]) << 8 | usize::from(n[2]))
    }
}
