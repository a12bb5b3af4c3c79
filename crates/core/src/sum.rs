//! Bytes counted and hashed in the pass that moves them.

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fmt;
use std::io::{self, Read, Write};

/// How many bytes and their SHA-256.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Sum {
    /// Length in bytes.
    pub bytes: u64,
    /// SHA-256, lower-case hexadecimal.
    pub sha256: String,
}

impl fmt::Display for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes, sha256 {}", self.bytes, self.sha256)
    }
}

/// A reader that knows what went through it.
pub struct Measured<R> {
    inner: R,
    hash: Sha256,
    bytes: u64,
}

impl<R: Read> Measured<R> {
    /// Measures `inner` from here on.
    pub fn new(inner: R) -> Measured<R> {
        Measured { inner, hash: Sha256::new(), bytes: 0 }
    }

    /// What went through so far.
    pub fn sum(&self) -> Sum {
        Sum { bytes: self.bytes, sha256: hex(&self.hash.clone().finalize()) }
    }

    /// The measured reader.
    pub fn get_ref(&self) -> &R {
        &self.inner
    }
}

impl<R: Read> Read for Measured<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buf)?;
        self.hash.update(&buf[..n]);
        self.bytes += n as u64;
        Ok(n)
    }
}

/// A writer that keeps nothing but the sum of what was written.
#[derive(Default)]
pub struct SumWriter {
    hash: Sha256,
    bytes: u64,
}

impl SumWriter {
    /// What was written so far.
    pub fn sum(&self) -> Sum {
        Sum { bytes: self.bytes, sha256: hex(&self.hash.clone().finalize()) }
    }
}

impl Write for SumWriter {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.hash.update(buf);
        self.bytes += buf.len() as u64;
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A reader that ends with an error unless exactly what was promised came through it.
pub struct Checked<R> {
    measured: Measured<R>,
    expected: Sum,
    what: String,
}

impl<R: Read> Checked<R> {
    /// Checks `inner`, called `what` in the error, against `expected`.
    pub fn new(inner: R, expected: Sum, what: impl Into<String>) -> Checked<R> {
        Checked { measured: Measured::new(inner), expected, what: what.into() }
    }

    fn verdict(&self) -> Result<()> {
        let seen = self.measured.sum();
        if seen == self.expected {
            return Ok(());
        }
        let message = format!("{} is damaged: stored {seen}, recorded {}", self.what, self.expected);
        Err(Error::corrupt(message))
    }
}

impl<R: Read> Read for Checked<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.measured.read(buf)?;
        if n == 0 && !buf.is_empty() {
            self.verdict()?;
        }
        Ok(n)
    }
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// What hexadecimal digits stand for; none unless they are pairs of digits.
pub fn unhex(digits: &str) -> Option<Vec<u8>> {
    let pair = |p: &[u8]| u8::from_str_radix(std::str::from_utf8(p).ok()?, 16).ok();
    let (pairs, rest) = digits.as_bytes().as_chunks::<2>();
    pairs.iter().map(|p| pair(p)).collect::<Option<Vec<u8>>>().filter(|_| rest.is_empty())
}

/// SHA-256 of `bytes`, raw.
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Context, Kind};

    #[test]
    fn a_known_sum_and_a_flipped_bit() {
        let mut m = Measured::new(&b"abc"[..]);
        io::copy(&mut m, &mut io::sink()).expect("copy");
        let sum = m.sum();
        assert_eq!(sum.sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        io::copy(&mut Checked::new(&b"abc"[..], sum.clone(), "x"), &mut io::sink()).expect("equal");
        let e = io::copy(&mut Checked::new(&b"abd"[..], sum, "x"), &mut io::sink()).doing(|| "read".into());
        assert_eq!(e.unwrap_err().kind(), Kind::Corrupt);
    }
}
