//! Packs: ordinary tar streams in independent compressed frames, readable by `zstd -dc | tar x` and from any frame.

use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use serde::{Deserialize, Serialize};
use std::io::{Read, Write};
use toban_core::{Context, Error, Result};

/// How frames are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Codec {
    /// zstd frames.
    Zstd,
    /// gzip members.
    Gzip,
    /// As it is.
    None,
}

impl Codec {
    /// The ending of a pack's name.
    pub(crate) fn suffix(self) -> &'static str {
        match self {
            Codec::Zstd => "tar.zst",
            Codec::Gzip => "tar.gz",
            Codec::None => "tar",
        }
    }

    /// The lowest and highest level.
    pub(crate) fn levels(self) -> (i32, i32) {
        match self {
            Codec::Zstd => (-7, 19),
            Codec::Gzip => (1, 9),
            Codec::None => (0, 0),
        }
    }
}

/// Compresses frames, each by itself, with buffers that are used again.
pub(crate) enum FrameCompressor {
    /// zstd with its context.
    Zstd(zstd::bulk::Compressor<'static>),
    /// gzip of this level.
    Gzip(Compression),
    /// A copy.
    None,
}

impl FrameCompressor {
    /// A compressor for `codec` at `level`.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub(crate) fn new(codec: Codec, level: i32) -> Result<FrameCompressor> {
        Ok(match codec {
            Codec::Zstd => {
                FrameCompressor::Zstd(zstd::bulk::Compressor::new(level).doing(|| "start zstd".into())?)
            }
            Codec::Gzip => FrameCompressor::Gzip(Compression::new(level.unsigned_abs())),
            Codec::None => FrameCompressor::None,
        })
    }

    /// The frame that holds `plain`, in the place of what `frame` was.
    ///
    /// # Errors
    /// When the library fails.
    pub(crate) fn compress(&mut self, plain: &[u8], frame: &mut Vec<u8>) -> Result<()> {
        frame.clear();
        match self {
            FrameCompressor::Zstd(zstd) => {
                frame.reserve(zstd::zstd_safe::compress_bound(plain.len()));
                zstd.compress_to_buffer(plain, frame).doing(|| "compress a frame".into())?;
            }
            FrameCompressor::Gzip(level) => {
                let mut gzip = GzEncoder::new(&mut *frame, *level);
                gzip.write_all(plain).and_then(|()| gzip.try_finish()).doing(|| "compress a frame".into())?;
            }
            FrameCompressor::None => frame.extend_from_slice(plain),
        }
        Ok(())
    }
}

/// Unpacks frames, with a context that is used again.
pub(crate) enum FrameDecompressor {
    /// zstd with its context.
    Zstd(zstd::bulk::Decompressor<'static>),
    /// gzip.
    Gzip,
    /// A copy.
    None,
}

impl FrameDecompressor {
    /// For frames of `codec`.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub(crate) fn new(codec: Codec) -> Result<FrameDecompressor> {
        Ok(match codec {
            Codec::Zstd => {
                FrameDecompressor::Zstd(zstd::bulk::Decompressor::new().doing(|| "start zstd".to_string())?)
            }
            Codec::Gzip => FrameDecompressor::Gzip,
            Codec::None => FrameDecompressor::None,
        })
    }

    /// What `frame` holds, `size` bytes, in the place of what `plain` was.
    ///
    /// # Errors
    /// Corrupt when it is not a frame of that size.
    pub(crate) fn decompress(&mut self, frame: &[u8], size: usize, plain: &mut Vec<u8>) -> Result<()> {
        plain.clear();
        plain.reserve(size);
        let done = match self {
            FrameDecompressor::Zstd(zstd) => zstd.decompress_to_buffer(frame, plain).map(drop),
            FrameDecompressor::Gzip => {
                // One byte more than it may be: a frame that unpacks to more is found out by that byte, and
                // not by all the memory that it would take.
                MultiGzDecoder::new(frame).take(size as u64 + 1).read_to_end(plain).map(drop)
            }
            FrameDecompressor::None => {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_that_is_cut_or_longer_is_damage() {
        for codec in [Codec::Zstd, Codec::Gzip, Codec::None] {
            let mut frame = Vec::new();
            let mut plain = Vec::new();
            FrameCompressor::new(codec, 3)
                .expect("a compressor")
                .compress(&[7; 5000], &mut frame)
                .expect("compressed");
            let mut decompressor = FrameDecompressor::new(codec).expect("a decompressor");
            decompressor.decompress(&frame, 5000, &mut plain).expect("whole");
            assert_eq!(plain, [7; 5000]);
            for (frame, size) in [(&frame[..frame.len() - 1], 5000), (&frame[..], 4999)] {
                let e = decompressor.decompress(frame, size, &mut plain).expect_err("damage");
                assert_eq!(e.kind(), toban_core::Kind::Corrupt, "{codec:?}");
            }
        }
    }
}
