//! A reader of the file that content becomes, and of the content of a file, from any byte on.

use crate::error::{Context, Error, Result};
use crate::sync::lock;
use age::stream::{StreamReader, StreamWriter};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::sync::{Arc, Mutex};

/// Bytes of content that are encrypted at a time: those of a chunk of the format.
const CHUNK: u64 = 64 << 10;

/// A reader of the age file that `inner`'s bytes become. The file's last chunk is marked, and is made at the end of
/// `inner` alone: after an error of `inner` there is no whole file.
pub struct Encrypted<R> {
    inner: R,
    /// None: the file has ended.
    writer: Option<StreamWriter<Pipe>>,
    pipe: Pipe,
    plain: Vec<u8>,
    out: Vec<u8>,
    at: usize,
}

/// What the writer has written and the reader has not taken.
#[derive(Clone, Default)]
struct Pipe(Arc<Mutex<Vec<u8>>>);

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        lock(&self.0).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<R: Read> Encrypted<R> {
    pub(super) fn new(inner: R, encryptor: age::Encryptor) -> Result<Encrypted<R>> {
        let pipe = Pipe::default();
        let writer = encryptor.wrap_output(pipe.clone()).doing(|| "encrypt".into())?;
        Ok(Encrypted { inner, writer: Some(writer), pipe, plain: Vec::new(), out: Vec::new(), at: 0 })
    }

    fn encrypt_chunk(&mut self) -> io::Result<()> {
        self.plain.clear();
        (&mut self.inner).take(CHUNK).read_to_end(&mut self.plain)?;
        match &mut self.writer {
            Some(writer) if !self.plain.is_empty() => writer.write_all(&self.plain)?,
            // finish() marks the last chunk (the specification of age, "Payload"): a file that was cut at a chunk is
            // found by its missing mark.
            _ => _ = self.writer.take().map(StreamWriter::finish).transpose()?,
        }
        self.out.clear();
        std::mem::swap(&mut self.out, &mut lock(&self.pipe.0));
        self.at = 0;
        Ok(())
    }
}

impl<R: Read> Read for Encrypted<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        while self.at == self.out.len() && self.writer.is_some() {
            self.encrypt_chunk()?;
        }
        let n = buf.len().min(self.out.len() - self.at);
        buf[..n].copy_from_slice(&self.out[self.at..self.at + n]);
        self.at += n;
        Ok(n)
    }
}

/// A reader of the content of an age file. What was changed, moved, cut or added in the file is an error of a read.
pub struct Decrypted<R>(StreamReader<R>);

impl<R: Read> Decrypted<R> {
    pub(super) fn new(content: StreamReader<R>) -> Decrypted<R> {
        Decrypted(content)
    }
}

impl<R: Read + Seek> Decrypted<R> {
    /// Goes to byte `at` of the content; of the file only the chunk with that byte is read. Its end is a place to read
    /// from, what is beyond is not.
    ///
    /// # Errors
    /// Corrupt when the content ends before; else those of the file.
    pub fn go_to(&mut self, at: u64) -> Result<()> {
        let Some(before) = at.checked_sub(1) else { return Ok(()) };
        let doing = || format!("go to byte {at}");
        self.0.seek(SeekFrom::Start(before)).map_err(explain).doing(doing)?;
        // Whether there is such a place is told by the byte before it: behind the last chunk there is nothing that
        // tells an end from a file that was cut.
        self.read_exact(&mut [0]).doing(doing).map_err(|e| match e.kind() {
            crate::Kind::Failed => Error::corrupt("the age file ends before").because(e),
            _ => e,
        })
    }
}

impl<R: Read> Read for Decrypted<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.read(buf).map_err(explain)
    }
}

/// What the format complains of is damage; an error of the file's reader stays what it is.
fn explain(e: io::Error) -> io::Error {
    let of_format = [io::ErrorKind::InvalidData, io::ErrorKind::UnexpectedEof].contains(&e.kind());
    let ours = e.get_ref().is_some_and(<dyn std::error::Error + Send + Sync>::is::<Error>);
    match of_format && !ours {
        true => Error::corrupt("the age file was changed, moved or cut").because(e).into(),
        false => e,
    }
}
