//! A file of the WAL, hashed and compressed once for every repository that gets it.

use super::{BYTES, SHA256, WRITTEN};
use crate::error::{Context, Error, Result};
use crate::store::Attrs;
use crate::sum::{Measured, Sum};
use crate::sync::joined;
use std::fs::File;
use std::io::{self, Cursor, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Levels of zstd that may be asked for.
pub const LEVELS: std::ops::RangeInclusive<i32> = 1..=19;

/// Compressed bytes that are kept in memory; a segment of the usual size always fits.
const KEPT: u64 = 17 << 20;
const CHUNK: usize = 256 << 10;

/// A file, or a stretch of one, that is ready to be stored; in bounded memory whatever its size.
pub struct Compressed {
    stretch: Stretch,
    level: i32,
    sum: Sum,
    written: jiff::Timestamp,
    /// All of it, compressed; `None` when it is too large to be kept, then it is compressed again for each store.
    kept: Option<Vec<u8>>,
}

/// Bytes of a file.
struct Stretch {
    path: PathBuf,
    bytes: Range<u64>,
}

impl Compressed {
    /// Reads `path`: one thread hashes while another compresses.
    ///
    /// # Errors
    /// When the file cannot be read, or changes meanwhile.
    pub fn new(path: &Path, level: i32) -> Result<Compressed> {
        let length = || path.metadata().doing(|| format!("read {}", path.display())).map(|m| m.len());
        let before = length()?;
        let compressed = Compressed::part(path, 0..before, level)?;
        // PostgreSQL hands over only what it does not write any more; a file that grows is not one of these, and what
        // was read of it is no segment.
        if length()? != before {
            return Err(Error::failed(format!("{} changed while it was read", path.display())));
        }
        Ok(compressed)
    }

    /// The same of `content`, which is small, as written now.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub fn small(content: &[u8], level: i32) -> Result<Compressed> {
        let kept = zstd::encode_all(content, level).doing(|| "compress".into())?;
        let mut measured = Measured::new(content);
        io::copy(&mut measured, &mut io::sink()).doing(|| "compress".into())?;
        let stretch = Stretch { path: PathBuf::new(), bytes: 0..content.len() as u64 };
        Ok(Compressed {
            stretch,
            level,
            sum: measured.sum(),
            written: jiff::Timestamp::now(),
            kept: Some(kept),
        })
    }

    /// The same of the stretch `bytes` alone, which must not change while the rest of the file may.
    ///
    /// # Errors
    /// When the file cannot be read or ends before.
    pub fn part(path: &Path, bytes: Range<u64>, level: i32) -> Result<Compressed> {
        let meta = path.metadata().doing(|| format!("read {}", path.display()))?;
        let written = meta.modified().ok().and_then(|t| jiff::Timestamp::try_from(t).ok());
        let written = written.unwrap_or(jiff::Timestamp::UNIX_EPOCH);
        let stretch = Stretch { path: path.into(), bytes };
        let (sum, kept) = std::thread::scope(|scope| {
            // Two passes over a file that the page cache holds take less time than one that does both in turn.
            let hashing = scope.spawn(|| stretch.hash_range());
            let kept = stretch.compress_kept(level);
            (joined(hashing.join()), kept)
        });
        let (sum, kept) = (sum?, kept?);
        if sum.bytes != stretch.bytes.end - stretch.bytes.start {
            return Err(Error::failed(format!("{} changed while it was read", path.display())));
        }
        Ok(Compressed { stretch, level, sum, written, kept })
    }

    /// Bytes and SHA-256 of the file itself.
    pub fn sum(&self) -> &Sum {
        &self.sum
    }

    /// What is kept beside the object.
    pub(super) fn attrs(&self) -> Attrs {
        let facts = [
            (SHA256, self.sum.sha256.clone()),
            (BYTES, self.sum.bytes.to_string()),
            (WRITTEN, self.written.to_string()),
        ];
        facts.into_iter().map(|(n, v)| (n.to_string(), v)).collect()
    }

    /// The object's body.
    pub(super) fn body(&self) -> Result<Box<dyn Read + '_>> {
        Ok(match &self.kept {
            Some(bytes) => Box::new(Cursor::new(bytes)),
            None => Box::new(self.stretch.make_encoder(self.level)?),
        })
    }
}

type Encoder = zstd::stream::read::Encoder<'static, io::BufReader<io::Take<File>>>;

impl Stretch {
    fn open_range(&self) -> Result<io::Take<File>> {
        let doing = || format!("read {}", self.path.display());
        let mut file = File::open(&self.path).doing(doing)?;
        file.seek(SeekFrom::Start(self.bytes.start)).doing(doing)?;
        Ok(file.take(self.bytes.end - self.bytes.start))
    }

    fn hash_range(&self) -> Result<Sum> {
        let mut file = Measured::new(self.open_range()?);
        let mut chunk = vec![0; CHUNK];
        while file.read(&mut chunk).doing(|| format!("read {}", self.path.display()))? > 0 {}
        Ok(file.sum())
    }

    fn compress_kept(&self, level: i32) -> Result<Option<Vec<u8>>> {
        let mut bytes = Vec::new();
        let mut encoder = self.make_encoder(level)?;
        let done = (&mut encoder).take(KEPT + 1).read_to_end(&mut bytes);
        done.doing(|| format!("compress {}", self.path.display()))?;
        Ok((bytes.len() as u64 <= KEPT).then_some(bytes))
    }

    fn make_encoder(&self, level: i32) -> Result<Encoder> {
        let doing = || format!("compress {}", self.path.display());
        let file = io::BufReader::with_capacity(CHUNK, self.open_range()?);
        let mut encoder = zstd::stream::read::Encoder::with_buffer(file, level).doing(doing)?;
        // zstd's own sum: whoever unpacks without us notices damage too.
        encoder.include_checksum(true).doing(doing)?;
        Ok(encoder)
    }
}
