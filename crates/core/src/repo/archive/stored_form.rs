//! A file of the WAL on its way from one repository to another: passed on as it is stored, compared as it unpacks.

use super::{SHA256, ZSTD};
use crate::error::{Error, Result};
use crate::store::{Attrs, Key};
use crate::sum::{Sum, SumWriter};
use std::io::{self, Read, Write};
use zstd::stream::raw::Decoder;
use zstd::stream::zio::Writer;

/// A reader that passes on what is stored, and ends with an error unless it unpacks to what its attributes record.
pub struct StoredForm<R> {
    inner: R,
    plain: Plain,
    recorded: Option<String>,
    key: Key,
}

/// What came so far, unpacked.
enum Plain {
    /// Fewer bytes than tell the form.
    Undecided(Vec<u8>),
    Packed(Box<Writer<SumWriter, Decoder<'static>>>),
    AsItIs(SumWriter),
}

impl<R: Read> StoredForm<R> {
    /// Passes on `inner`, the object `key` with the attributes `attrs`. Where they record no sum (somebody copied the
    /// object without them), what unpacks passes.
    pub fn new(inner: R, attrs: &Attrs, key: &Key) -> StoredForm<R> {
        let recorded = attrs.get(SHA256).cloned();
        StoredForm { inner, plain: Plain::Undecided(Vec::new()), recorded, key: key.clone() }
    }

    fn unpack_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.plain {
            Plain::Packed(decoder) => decoder.write_all(bytes),
            Plain::AsItIs(sum) => sum.write_all(bytes),
            Plain::Undecided(first) => {
                first.extend_from_slice(bytes);
                if first.len() < ZSTD.len() {
                    return Ok(());
                }
                self.decide_form()
            }
        }
    }

    /// By what it begins with, as a reader of the archive does.
    fn decide_form(&mut self) -> io::Result<()> {
        let Plain::Undecided(first) = &mut self.plain else { return Ok(()) };
        let first = std::mem::take(first);
        self.plain = match first.starts_with(&ZSTD) {
            true => Plain::Packed(Box::new(Writer::new(SumWriter::default(), Decoder::new()?))),
            false => Plain::AsItIs(SumWriter::default()),
        };
        self.unpack_bytes(&first)
    }

    fn finish_sum(&mut self) -> io::Result<Sum> {
        self.decide_form()?;
        match &mut self.plain {
            Plain::Packed(decoder) => {
                // Not `flush`, which says nothing of a frame that is cut off.
                decoder.finish()?;
                Ok(decoder.writer().sum())
            }
            Plain::AsItIs(sum) => Ok(sum.sum()),
            Plain::Undecided(_) => Ok(SumWriter::default().sum()),
        }
    }

    fn compare_sum(&mut self) -> Result<()> {
        let sum = self.finish_sum().map_err(|e| damaged(&self.key, e))?;
        match &self.recorded {
            Some(sha256) if *sha256 != sum.sha256 => {
                let key = &self.key;
                Err(Error::corrupt(format!("{key} is damaged: it holds {sum}, recorded is {sha256}")))
            }
            _ => Ok(()),
        }
    }
}

impl<R: Read> Read for StoredForm<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buf)?;
        if n > 0 {
            self.unpack_bytes(&buf[..n]).map_err(|e| damaged(&self.key, e))?;
        } else if !buf.is_empty() {
            self.compare_sum()?;
        }
        Ok(n)
    }
}

/// What the unpacker complains of is damage.
fn damaged(key: &Key, e: io::Error) -> Error {
    Error::corrupt(format!("{key} is damaged")).because(e)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Context, Kind};

    fn pass(stored: &[u8], recorded: Option<&str>) -> Result<Vec<u8>> {
        let attrs: Attrs = recorded.map(|sum| (SHA256.to_string(), sum.to_string())).into_iter().collect();
        let key: Key = "wal/x".parse().expect("a key");
        let mut out = Vec::new();
        // A byte at a time: no length of a read may matter.
        let mut form = StoredForm::new(stored, &attrs, &key);
        let mut byte = [0];
        while form.read(&mut byte).doing(|| "read".into())? > 0 {
            out.push(byte[0]);
        }
        Ok(out)
    }

    #[test]
    fn what_is_stored_passes_and_every_flipped_byte_does_not() {
        let plain: Vec<u8> = (0..20_000_u32).flat_map(u32::to_ne_bytes).collect();
        let sum = crate::sum::hex(&crate::sum::sha256(&plain));
        let packed = zstd::stream::encode_all(&plain[..], 1).expect("packed");
        for stored in [&packed, &plain] {
            assert!(pass(stored, Some(&sum)).expect("whole") == *stored);
            assert!(pass(stored, None).expect("it unpacks") == *stored);
            let cut = &stored[..stored.len() - 1];
            assert_eq!(pass(cut, Some(&sum)).expect_err("cut").kind(), Kind::Corrupt);
        }
        for length in (ZSTD.len()..packed.len()).step_by(packed.len() / 97 + 1) {
            assert_eq!(pass(&packed[..length], None).expect_err("no sum").kind(), Kind::Corrupt, "{length}");
        }
        for at in (0..packed.len()).step_by(packed.len() / 97 + 1) {
            let mut flipped = packed.clone();
            flipped[at] ^= 0x10;
            // A bit of the frame that changes nothing of the content is no damage.
            if zstd::stream::decode_all(&flipped[..]).is_ok_and(|content| content == plain) {
                continue;
            }
            assert_eq!(pass(&flipped, Some(&sum)).expect_err("flipped").kind(), Kind::Corrupt, "byte {at}");
        }
        for short in [&b""[..], b"a", b"abcd"] {
            let sum = crate::sum::hex(&crate::sum::sha256(short));
            assert_eq!(pass(short, Some(&sum)).expect("as it is"), short);
            assert!(pass(short, Some("another")).is_err());
        }
    }
}
