//! One file: opened for reading only, unpacked when it is gzip, summed in the pass that reads it.

use super::encoding::name_foreign;
use flate2::read::MultiGzDecoder;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fs::{File, Metadata};
use std::io::{BufReader, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::Mutex;
use toban_core::sync::lock;
use toban_core::{Context, Error, Kind, Result};

/// Bytes that are read at a time.
const CHUNK: usize = 256 << 10;

/// Which file it is, and which state of it: another one after a rename, a write, or a restored backup.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Identity {
    /// Device and inode: the file itself, whatever its name is. As text: TOML has no number for all of them.
    pub(crate) file: String,
    pub(crate) bytes: u64,
    /// Nanoseconds since 1970.
    pub(crate) modified: String,
    /// SHA-256 of the bytes, hexadecimal.
    pub(crate) sha256: String,
}

impl Identity {
    /// Of a file that was not read: without its sum.
    pub(crate) fn of(meta: &Metadata) -> Identity {
        let modified = i128::from(meta.mtime()) * 1_000_000_000 + i128::from(meta.mtime_nsec());
        Identity {
            file: format!("{}:{}", meta.dev(), meta.ino()),
            bytes: meta.len(),
            modified: modified.to_string(),
            sha256: String::new(),
        }
    }
}

/// A file that is being read.
pub(crate) struct JsonInput {
    reader: Box<dyn Read + Send>,
    raw: Arc<Mutex<Summed>>,
    before: Identity,
}

/// Sums what passes.
struct Summed {
    file: File,
    hash: Sha256,
}

struct SharedReader(Arc<Mutex<Summed>>);

impl Read for SharedReader {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        let mut summed = lock(&self.0);
        let n = summed.file.read(buf)?;
        summed.hash.update(&buf[..n]);
        Ok(n)
    }
}

impl JsonInput {
    /// Opens `path`; a byte order mark is left out.
    ///
    /// # Errors
    /// Usage for what is no regular file, cannot be read, is empty, or is in an encoding that JSON does not have.
    pub(crate) fn open_file(path: &Path) -> Result<JsonInput> {
        let shown = path.display();
        let doing = || format!("open {shown}");
        let as_usage = |e: Error| e.kind_as(Kind::Usage);
        // Looked at before it is opened: opening a FIFO waits for a writer.
        let meta = std::fs::metadata(path).doing(doing).map_err(as_usage)?;
        if !meta.is_file() {
            return Err(Error::usage(format!("{shown} is no regular file")));
        }
        if path.is_symlink() {
            let target = std::fs::canonicalize(path).doing(doing)?;
            log::info!("{shown} is a link to {}", target.display());
        }
        let file = File::open(path).doing(doing).map_err(as_usage)?;
        let before = Identity::of(&file.metadata().doing(doing)?);
        let raw = Arc::new(Mutex::new(Summed { file, hash: Sha256::new() }));
        let mut reader: Box<dyn Read + Send> =
            Box::new(BufReader::with_capacity(CHUNK, SharedReader(raw.clone())));
        let mut head = peek_bytes(&mut reader, 4).doing(doing)?;
        // By its first bytes and not by its name. A file may have several members, as `cat a.gz b.gz` makes them (RFC
        // 1952, section 2.2).
        if head.starts_with(&[0x1f, 0x8b]) {
            let packed = std::io::Cursor::new(head).chain(reader);
            reader = Box::new(BufReader::with_capacity(CHUNK, MultiGzDecoder::new(packed)));
            head = peek_bytes(&mut reader, 4).doing(doing)?;
        }
        if head.is_empty() {
            return Err(Error::usage(format!("{shown} is empty: not even an empty list"))
                .hint("was it being written? compare it with the newest backup"));
        }
        if let Some(name) = name_foreign(&head) {
            return Err(Error::usage(format!("{shown} is in {name}, and JSON is UTF-8"))
                .hint("convert it with iconv, and look at the result"));
        }
        // JSON must not begin with a byte order mark, and whoever reads it may pass over one (RFC 8259, section 8.1).
        let head = head.strip_prefix(b"\xef\xbb\xbf").map(<[u8]>::to_vec).unwrap_or(head);
        Ok(JsonInput { reader: Box::new(std::io::Cursor::new(head).chain(reader)), raw, before })
    }

    /// What the file is, now that it was read to its end.
    ///
    /// # Errors
    /// Retry when it changed meanwhile, in place or by another file under its name.
    pub(crate) fn finish_reading(mut self, path: &Path) -> Result<Identity> {
        let doing = || format!("read {}", path.display());
        // What follows the end of a gzip member belongs to the sum too.
        std::io::copy(&mut self.reader, &mut std::io::sink()).doing(doing)?;
        drop(self.reader);
        let mut summed = lock(&self.raw);
        let mut rest = vec![0; CHUNK];
        loop {
            match summed.file.read(&mut rest).doing(doing)? {
                0 => break,
                n => summed.hash.update(&rest[..n]),
            }
        }
        let now = std::fs::metadata(path).doing(doing)?;
        let after = Identity::of(&summed.file.metadata().doing(doing)?);
        // Two looks: at the file that we hold, which was written to in place, and at the name, which os.replace() and
        // rename(2) give to another one.
        if after != self.before || Identity::of(&now) != self.before {
            return Err(file_changed(path));
        }
        let sha256 = toban_core::sum::hex(&summed.hash.finalize_reset());
        Ok(Identity { sha256, ..after })
    }
}

impl Read for JsonInput {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        self.reader.read(buf)
    }
}

/// The error for a file that is not what it was a moment ago.
pub(crate) fn file_changed(path: &Path) -> Error {
    Error::retry(format!("{} changed while it was read: the application still writes", path.display()))
        .hint("stop the application, or give a copy of its files")
}

fn peek_bytes(reader: &mut impl Read, most: usize) -> std::io::Result<Vec<u8>> {
    let mut head = Vec::new();
    reader.take(most as u64).read_to_end(&mut head)?;
    Ok(head)
}
