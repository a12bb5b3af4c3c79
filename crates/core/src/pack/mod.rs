//! Packs: ordinary tar streams in independent compressed frames, readable by `zstd -dc | tar x` and from any frame.

pub mod tar;

use crate::error::{Context, Error, Result};
use crc_fast::CrcAlgorithm::Crc32Iscsi;
use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use serde::{Deserialize, Serialize};
use std::io::{Read, Write};

/// How frames are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Codec {
    /// zstd frames.
    Zstd,
    /// gzip members.
    Gzip,
    /// As it is.
    None,
}

impl Codec {
    /// The ending of a pack's name.
    pub fn suffix(self) -> &'static str {
        match self {
            Codec::Zstd => "tar.zst",
            Codec::Gzip => "tar.gz",
            Codec::None => "tar",
        }
    }

    /// The lowest and highest level.
    pub fn levels(self) -> (i32, i32) {
        match self {
            Codec::Zstd => (-7, 19),
            Codec::Gzip => (1, 9),
            Codec::None => (0, 0),
        }
    }
}

/// Compresses frames, each by itself, with buffers that are used again.
pub enum Press {
    /// zstd with its context.
    Zstd(zstd::bulk::Compressor<'static>),
    /// gzip of this level.
    Gzip(Compression),
    /// A copy.
    None,
}

impl Press {
    /// A press for `codec` at `level`.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub fn new(codec: Codec, level: i32) -> Result<Press> {
        Ok(match codec {
            Codec::Zstd => Press::Zstd(zstd::bulk::Compressor::new(level).doing(|| "start zstd".into())?),
            Codec::Gzip => Press::Gzip(Compression::new(level.unsigned_abs())),
            Codec::None => Press::None,
        })
    }

    /// The frame that holds `plain`, in the place of what `frame` was.
    ///
    /// # Errors
    /// When the library fails.
    pub fn press(&mut self, plain: &[u8], frame: &mut Vec<u8>) -> Result<()> {
        frame.clear();
        match self {
            Press::Zstd(zstd) => {
                frame.reserve(zstd::zstd_safe::compress_bound(plain.len()));
                zstd.compress_to_buffer(plain, frame).doing(|| "compress a frame".into())?;
            }
            Press::Gzip(level) => {
                let mut gzip = GzEncoder::new(&mut *frame, *level);
                gzip.write_all(plain).and_then(|()| gzip.try_finish()).doing(|| "compress a frame".into())?;
            }
            Press::None => frame.extend_from_slice(plain),
        }
        Ok(())
    }
}

/// Unpacks frames, with a context that is used again.
pub enum Unpress {
    /// zstd with its context.
    Zstd(zstd::bulk::Decompressor<'static>),
    /// gzip.
    Gzip,
    /// A copy.
    None,
}

impl Unpress {
    /// For frames of `codec`.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub fn new(codec: Codec) -> Result<Unpress> {
        Ok(match codec {
            Codec::Zstd => Unpress::Zstd(zstd::bulk::Decompressor::new().doing(|| "start zstd".to_string())?),
            Codec::Gzip => Unpress::Gzip,
            Codec::None => Unpress::None,
        })
    }

    /// What `frame` holds, `size` bytes, in the place of what `plain` was.
    ///
    /// # Errors
    /// Corrupt when it is not a frame of that size.
    pub fn unpress(&mut self, frame: &[u8], size: usize, plain: &mut Vec<u8>) -> Result<()> {
        plain.clear();
        plain.reserve(size);
        let done = match self {
            Unpress::Zstd(zstd) => zstd.decompress_to_buffer(frame, plain).map(drop),
            Unpress::Gzip => MultiGzDecoder::new(frame).take(size as u64 + 1).read_to_end(plain).map(drop),
            Unpress::None => {
                plain.extend_from_slice(frame);
                Ok(())
            }
        };
        match done {
            Ok(()) if plain.len() == size => Ok(()),
            Ok(()) => Err(Error::corrupt(format!("a frame holds {} bytes, not {size}", plain.len()))),
            Err(e) => Err(Error::corrupt("a frame does not unpack").because(e)),
        }
    }
}

/// CRC-32C of `bytes`, as PostgreSQL's backup manifests have it.
pub fn crc32c(bytes: &[u8]) -> u32 {
    narrow(crc_fast::checksum(Crc32Iscsi, bytes))
}

/// The CRC-32C of two stretches together, from that of each and the length of the second.
pub fn crc32c_both(first: u32, second: u32, second_bytes: u64) -> u32 {
    narrow(crc_fast::checksum_combine(Crc32Iscsi, first.into(), second.into(), second_bytes))
}

fn narrow(crc: u64) -> u32 {
    u32::try_from(crc & 0xFFFF_FFFF).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_check_value_of_crc32c() {
        assert_eq!(crc32c(b"123456789"), 0xE306_9283);
    }

    #[test]
    fn a_frame_that_is_cut_or_longer_is_damage() {
        for codec in [Codec::Zstd, Codec::Gzip, Codec::None] {
            let mut frame = Vec::new();
            let mut plain = Vec::new();
            Press::new(codec, 3).expect("a press").press(&[7; 5000], &mut frame).expect("compressed");
            let mut unpress = Unpress::new(codec).expect("an unpress");
            unpress.unpress(&frame, 5000, &mut plain).expect("whole");
            assert_eq!(plain, [7; 5000]);
            for (frame, size) in [(&frame[..frame.len() - 1], 5000), (&frame[..], 4999)] {
                let e = unpress.unpress(frame, size, &mut plain).expect_err("damage");
                assert_eq!(e.kind(), crate::Kind::Corrupt, "{codec:?}");
            }
        }
    }

    proptest! {
        #[test]
        fn checksums_combine(a in proptest::collection::vec(any::<u8>(), 0..5000), cut in any::<prop::sample::Index>()) {
            let (first, second) = a.split_at(cut.index(a.len() + 1).min(a.len()));
            prop_assert_eq!(crc32c_both(crc32c(first), crc32c(second), second.len() as u64), crc32c(&a));
        }
    }
}
