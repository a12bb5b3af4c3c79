//! Records by the batch: one thread reads, unpacks, sums and finds them, the caller parses them.

use super::file::{Identity, JsonInput};
use super::records::{FileShape, Place, RecordReader};
use crate::json::{Parser, Value};
use std::path::Path;
use std::sync::mpsc::sync_channel;
use toban_core::{Error, Result, shutdown};

/// Bytes of records that are handed on at a time.
const BATCH: usize = 512 << 10;
/// Batches that wait.
const WAITING: usize = 4;

/// Records with their places.
#[derive(Default)]
struct Batch {
    text: Vec<u8>,
    /// Where each record ends in the text.
    records: Vec<(Place, usize)>,
}

/// A file whose records are read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RecordFile<'a> {
    pub(crate) path: &'a Path,
    /// Its name in messages.
    pub(crate) name: &'a str,
    pub(crate) shape: &'a FileShape,
}

/// One record, parsed.
#[derive(Clone, Copy)]
pub(crate) struct FileRecord<'a> {
    pub(crate) value: Value<'a>,
    pub(crate) text: &'a [u8],
    pub(crate) place: Place,
    /// Keys that stand twice: the two values of each.
    pub(crate) duplicates: &'a [crate::json::DuplicateKey],
}

impl RecordFile<'_> {
    /// Gives each record to `each`, in the order of the file; the answer is what the file was.
    ///
    /// # Errors
    /// Usage for what is no JSON, with its place; Retry when the file changed meanwhile or we are to stop; those of `each`.
    pub(crate) fn for_each_record(
        &self,
        mut each: impl FnMut(FileRecord<'_>) -> Result<()>,
    ) -> Result<Identity> {
        let file = JsonInput::open_file(self.path)?;
        // Bounded: a disk that is faster than the server must wait for it, and not fill the memory.
        let (sender, receiver) = sync_channel::<Batch>(WAITING);
        std::thread::scope(|scope| {
            let reading = scope.spawn(move || {
                let mut reader = RecordReader::new(file, self.name, self.shape.clone());
                let mut batch = Batch::default();
                while let Some(place) = reader.next_record(&mut batch.text)? {
                    batch.records.push((place, batch.text.len()));
                    // A closed channel: the one who parses has met an error, and says it.
                    if batch.text.len() >= BATCH && sender.send(std::mem::take(&mut batch)).is_err() {
                        return Ok(None);
                    }
                }
                let sent = sender.send(batch).is_ok();
                drop(sender);
                if sent { reader.into_input().finish_reading(self.path).map(Some) } else { Ok(None) }
            });
            let mut parser = Parser::default();
            let parsed = receiver.iter().try_for_each(|batch| {
                shutdown::check()?;
                self.parse_batch(&mut parser, &batch, &mut each)
            });
            // Before the join: a reader that waits for room in the channel would wait for ever.
            drop(receiver);
            let read: Result<Option<Identity>> =
                reading.join().unwrap_or_else(|_| Err(Error::failed("a thread panicked: this is a bug")));
            parsed?;
            read?.ok_or_else(|| Error::failed(format!("{} was not read to its end", self.name)))
        })
    }

    fn parse_batch(
        &self,
        parser: &mut Parser,
        batch: &Batch,
        each: &mut impl FnMut(FileRecord<'_>) -> Result<()>,
    ) -> Result<()> {
        let mut start = 0;
        for (place, end) in &batch.records {
            let text = &batch.text[start..*end];
            start = *end;
            if let Err(e) = parser.parse_text(text) {
                return Err(RecordReader::<JsonInput>::record_error(self.name, *place, text, &e));
            }
            let record =
                FileRecord { value: parser.root(text), text, place: *place, duplicates: &parser.duplicates };
            each(record)?;
        }
        Ok(())
    }
}
