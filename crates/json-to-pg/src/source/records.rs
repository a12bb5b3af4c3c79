//! Where one record ends and the next begins: a list, one record a line, an object of records by id, or a list under one key.

use super::encoding::guess_encoding;
use crate::json::SyntaxError;
use serde::{Deserialize, Serialize};
use std::io::Read;
use toban_core::{Context, Error, Result};

/// Bytes that are read at a time.
const CHUNK: usize = 256 << 10;
/// The longest record: a field of PostgreSQL has less than 1 GB.
const LONGEST: usize = 1 << 30;
/// The name that the key of an object of records has as a member of them.
pub(crate) const KEY: &str = "$key";

/// How records stand in a file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) enum FileShape {
    /// `[{…}, {…}]`
    #[default]
    List,
    /// `{…}` after `{…}`, usually one a line.
    Lines,
    /// `{"id": {…}, …}`
    Keyed,
    /// `{"items": [{…}, …]}`, and the key.
    Wrapped(String),
}

impl From<FileShape> for String {
    fn from(shape: FileShape) -> String {
        match shape {
            FileShape::List => "list".into(),
            FileShape::Lines => "lines".into(),
            FileShape::Keyed => "keyed".into(),
            FileShape::Wrapped(key) => format!("under {key}"),
        }
    }
}

impl TryFrom<String> for FileShape {
    type Error = String;

    fn try_from(text: String) -> std::result::Result<FileShape, String> {
        match text.as_str() {
            "list" => Ok(FileShape::List),
            "lines" => Ok(FileShape::Lines),
            "keyed" => Ok(FileShape::Keyed),
            other => match other.strip_prefix("under ") {
                Some(key) => Ok(FileShape::Wrapped(key.into())),
                None => Err(format!("shape {other:?}: list, lines, keyed, or \"under KEY\"")),
            },
        }
    }
}

/// Where a record stands in its file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place {
    /// Counted from 1.
    pub(crate) record: u64,
    /// Bytes before it (of the unpacked text).
    pub(crate) byte: u64,
    /// Counted from 1.
    pub(crate) line: u64,
}

/// Finds the records of a text, whatever its length; memory for one record.
pub(crate) struct RecordReader<R> {
    input: R,
    /// Messages begin with it.
    name: String,
    buf: Vec<u8>,
    at: usize,
    ended: bool,
    /// Bytes before the buffer.
    before: u64,
    /// Line ends before `counted`, a position in the buffer.
    lines: u64,
    counted: usize,
    records: u64,
    shape: FileShape,
    begun: bool,
}

impl<R: Read> RecordReader<R> {
    /// Over `input`, whose records stand as `shape` says.
    pub(crate) fn new(input: R, name: &str, shape: FileShape) -> RecordReader<R> {
        let name = name.to_string();
        RecordReader {
            input,
            name,
            buf: Vec::new(),
            at: 0,
            ended: false,
            before: 0,
            lines: 0,
            counted: 0,
            records: 0,
            shape,
            begun: false,
        }
    }

    /// What was read from, to finish it.
    pub(crate) fn into_input(self) -> R {
        self.input
    }

    /// Copies the next record to the end of `out`; none after the last one.
    ///
    /// # Errors
    /// Usage where the text is none of its shape, with byte, line and record; those of reading.
    pub(crate) fn next_record(&mut self, out: &mut Vec<u8>) -> Result<Option<Place>> {
        if !self.step_to_record()? {
            return Ok(None);
        }
        self.records += 1;
        let mut key = None;
        if self.shape == FileShape::Keyed {
            let (begin, end) = self.find_value()?;
            key = Some(self.buf[begin..end].to_vec());
            self.at = end;
            self.expect_byte(b':', "no colon after the key")?;
            self.peek_byte()?;
        }
        if self.peek_byte()? != Some(b'{') {
            let found = self.name_value();
            return Err(self.error_at(self.at, &format!("{found}, not an object")));
        }
        self.count_lines(self.at);
        let mut place =
            Place { record: self.records, byte: self.before + self.at as u64, line: self.lines + 1 };
        let (begin, end) = self.find_value()?;
        match key {
            // The key becomes the first member, so that all that follows knows one kind of record.
            Some(key) => {
                let start = out.len();
                out.extend_from_slice(b"{\"$key\":");
                out.extend_from_slice(&key);
                let inner = &self.buf[begin + 1..end];
                let is_empty = inner.iter().find(|b| !b.is_ascii_whitespace()) == Some(&b'}');
                out.extend_from_slice(if is_empty { b"" } else { b"," });
                // So that places inside of the record are those of the file.
                place.byte = (place.byte + 1).saturating_sub((out.len() - start) as u64);
                out.extend_from_slice(inner);
            }
            None => out.extend_from_slice(&self.buf[begin..end]),
        }
        self.at = end;
        Ok(Some(place))
    }

    /// The error for what stands `at` bytes into a record that was given.
    pub(crate) fn record_error(name: &str, place: Place, text: &[u8], error: &SyntaxError) -> Error {
        let what = &error.what;
        let at = error.at.min(text.len());
        let (byte, line) = (place.byte + at as u64, place.line + count_newlines(&text[..at]));
        let guess = match what.contains("UTF-8") {
            true => format!(" ({})", guess_encoding(&text[at..text.len().min(at + 4000)])),
            false => String::new(),
        };
        Error::usage(format!("{name}: byte {byte}, line {line}, record {}: {what}{guess}", place.record))
    }

    /// Whether there is one more record, with all that stands before it read.
    fn step_to_record(&mut self) -> Result<bool> {
        let first = !std::mem::replace(&mut self.begun, true);
        let (open, close) = match &self.shape {
            FileShape::Lines => return Ok(self.peek_byte()?.is_some()),
            FileShape::Keyed => (b'{', b'}'),
            FileShape::List | FileShape::Wrapped(_) => (b'[', b']'),
        };
        if first {
            if let FileShape::Wrapped(wanted) = self.shape.clone() {
                self.expect_byte(b'{', "no object")?;
                self.peek_byte()?;
                let (begin, end) = self.find_value()?;
                if self.buf[begin..end] != *format!("\"{wanted}\"").as_bytes() {
                    return Err(self.error_at(begin, &format!("another key than {wanted}")));
                }
                self.at = end;
                self.expect_byte(b':', "no colon after the key")?;
            }
            self.expect_byte(open, if open == b'[' { "no list of records" } else { "no object of records" })?;
        }
        match self.peek_byte()? {
            Some(b) if b == close => {
                self.at += 1;
                self.expect_end()?;
                Ok(false)
            }
            None => Err(self.error_at(self.at, "the text ends in the middle")),
            Some(_) if first => Ok(true),
            Some(b',') => {
                self.at += 1;
                match self.peek_byte()? {
                    Some(b) if b == close => {
                        Err(self.error_at(self.at, "a comma before the end of the list"))
                    }
                    None => Err(self.error_at(self.at, "the text ends in the middle")),
                    Some(_) => Ok(true),
                }
            }
            Some(_) => Err(self.error_at(self.at, self.name_gap())),
        }
    }

    fn expect_end(&mut self) -> Result<()> {
        if matches!(self.shape, FileShape::Wrapped(_)) {
            self.expect_byte(b'}', "something beside the list")?;
        }
        match self.peek_byte()? {
            None => Ok(()),
            Some(_) => Err(self.error_at(self.at, "text after the end")),
        }
    }

    fn expect_byte(&mut self, wanted: u8, otherwise: &str) -> Result<()> {
        if self.peek_byte()? != Some(wanted) {
            return Err(self.error_at(self.at, otherwise));
        }
        self.at += 1;
        Ok(())
    }

    /// The next byte that is no white space; it is not taken.
    fn peek_byte(&mut self) -> Result<Option<u8>> {
        loop {
            while let Some(b) = self.buf.get(self.at) {
                if !matches!(b, b' ' | b'\n' | b'\r' | b'\t') {
                    return Ok(Some(*b));
                }
                self.at += 1;
            }
            if !self.read_more()? {
                return Ok(None);
            }
        }
    }

    /// Begin and end of the value at the position; it is not taken. Only brackets and strings are looked at.
    fn find_value(&mut self) -> Result<(usize, usize)> {
        let (mut at, mut depth, mut in_string) = (self.at, 0_usize, false);
        loop {
            let rest = &self.buf[at..];
            if in_string {
                match memchr::memchr2(b'"', b'\\', rest) {
                    Some(n) if rest[n] == b'\\' && n + 1 < rest.len() => at += n + 2,
                    Some(n) if rest[n] == b'"' => {
                        at += n + 1;
                        in_string = false;
                        if depth == 0 {
                            return Ok((self.at, at));
                        }
                    }
                    // A backslash at the end of what was read waits for its partner.
                    Some(n) => at = self.refill_from(at + n)?,
                    None => at = self.refill_from(self.buf.len())?,
                }
                continue;
            }
            // Bytes can be compared without decoding them: in UTF-8 all bytes of longer characters are above 0x7f
            // (RFC 3629, section 3).
            let Some(n) = rest.iter().position(|b| matches!(b, b'"' | b'{' | b'}' | b'[' | b']')) else {
                at = self.refill_from(self.buf.len())?;
                continue;
            };
            at += n + 1;
            match rest[n] {
                b'"' => in_string = true,
                b'{' | b'[' => depth += 1,
                _ => {
                    depth = depth.saturating_sub(1);
                    if depth == 0 {
                        return Ok((self.at, at));
                    }
                }
            }
        }
    }

    /// Reads more to look at from `at`, which may be elsewhere afterwards.
    fn refill_from(&mut self, at: usize) -> Result<usize> {
        let held = at - self.at;
        if held > LONGEST {
            return Err(self.error_at(self.at, "a record of more than 1 GB"));
        }
        match self.read_more()? {
            true => Ok(self.at + held),
            false => Err(self.error_at(self.buf.len(), "the text ends in the middle")),
        }
    }

    fn read_more(&mut self) -> Result<bool> {
        if self.ended {
            return Ok(false);
        }
        self.count_lines(self.at);
        // What was taken makes room, so that memory is that of one record.
        self.buf.drain(..self.at);
        self.before += self.at as u64;
        (self.at, self.counted) = (0, 0);
        let held = self.buf.len();
        // Twice as much each time: a record of hundreds of megabytes must not be copied once for each chunk.
        self.buf.resize(held + CHUNK.max(held), 0);
        let n = self.input.read(&mut self.buf[held..]).doing(|| format!("read {}", self.name))?;
        self.buf.truncate(held + n);
        self.buf.shrink_to(4 * CHUNK);
        self.ended = n == 0;
        Ok(n > 0)
    }

    fn count_lines(&mut self, to: usize) {
        self.lines += count_newlines(&self.buf[self.counted.min(to)..to]);
        self.counted = to;
    }

    fn name_value(&self) -> &'static str {
        match self.buf.get(self.at) {
            Some(b'[') => "a list",
            Some(b'"') => "a string",
            Some(b't' | b'f') => "a boolean",
            Some(b'-' | b'0'..=b'9') => "a number",
            Some(b'n') => "null",
            _ => "no value",
        }
    }

    /// What stands where a comma or the end of the list was to be.
    fn name_gap(&self) -> &'static str {
        match self.buf.get(self.at) {
            Some(b'/') => {
                "neither a comma nor the end of the list after a record, but `/`: JSON has no comments"
            }
            _ => "neither a comma nor the end of the list after a record",
        }
    }

    fn error_at(&self, at: usize, what: &str) -> Error {
        let line = self.lines + 1 + count_newlines(&self.buf[self.counted.min(at)..at]);
        let (name, byte, record) = (&self.name, self.before + at as u64, self.records.max(1));
        Error::usage(format!("{name}: byte {byte}, line {line}, record {record}: {what}"))
    }
}

fn count_newlines(text: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', text).count() as u64
}

/// How records stand in a text, by looking over it once.
///
/// # Errors
/// Usage for a scalar, an empty object, and an object that is neither records by id nor a list under one key.
pub(crate) fn detect_shape<R: Read>(input: R, name: &str) -> Result<FileShape> {
    let mut reader = RecordReader::new(input, name, FileShape::Lines);
    match reader.peek_byte()? {
        Some(b'[') => return Ok(FileShape::List),
        Some(b'{') => {}
        None => return Err(reader.error_at(reader.at, "nothing but white space")),
        Some(_) => {
            return Err(
                reader.error_at(reader.at, &format!("{}, not a list of records", reader.name_value()))
            );
        }
    }
    // What the first member is: the value after the first colon.
    reader.at += 1;
    let no_records = "an object that holds no records";
    if reader.peek_byte()? != Some(b'"') {
        return Err(reader.error_at(reader.at, no_records).hint(
            "an empty object has no records: move the file out of the folder, or name the others to `plan`",
        ));
    }
    let (begin, end) = reader.find_value()?;
    let key = String::from_utf8_lossy(&reader.buf[begin + 1..end - 1]).into_owned();
    reader.at = end;
    reader.expect_byte(b':', "no colon after the key")?;
    let first = reader.peek_byte()?;
    if matches!(first, Some(b'{' | b'[')) {
        let (_, end) = reader.find_value()?;
        reader.at = end;
        match (first, reader.peek_byte()?) {
            (Some(b'{'), Some(b',')) if reader.has_object_next()? => return Ok(FileShape::Keyed),
            (Some(b'{' | b'['), Some(b'}')) => {
                reader.at += 1;
                let alone = reader.peek_byte()?.is_none();
                match (first, alone) {
                    (Some(b'['), true) => return Ok(FileShape::Wrapped(key)),
                    (_, true) => return Ok(FileShape::Keyed),
                    _ => return Ok(FileShape::Lines),
                }
            }
            _ => {}
        }
    }
    Ok(FileShape::Lines)
}

impl<R: Read> RecordReader<R> {
    /// After the comma behind a member that is an object: whether the next member is one too.
    fn has_object_next(&mut self) -> Result<bool> {
        self.at += 1;
        if self.peek_byte()? != Some(b'"') {
            return Ok(false);
        }
        let (_, end) = self.find_value()?;
        self.at = end;
        self.expect_byte(b':', "no colon after the key")?;
        Ok(self.peek_byte()? == Some(b'{'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Gives one byte at a time.
    struct Slow<'a>(&'a [u8]);

    impl Read for Slow<'_> {
        fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
            let n = self.0.len().min(1).min(buf.len());
            buf[..n].copy_from_slice(&self.0[..n]);
            self.0 = &self.0[n..];
            Ok(n)
        }
    }

    fn records(text: &str) -> Result<(FileShape, Vec<String>, Vec<Place>)> {
        let shape = detect_shape(Slow(text.as_bytes()), "f")?;
        let mut reader = RecordReader::new(Slow(text.as_bytes()), "f", shape.clone());
        let (mut all, mut places) = (Vec::new(), Vec::new());
        loop {
            let mut out = Vec::new();
            let Some(place) = reader.next_record(&mut out)? else { return Ok((shape, all, places)) };
            all.push(String::from_utf8(out).expect("UTF-8"));
            places.push(place);
        }
    }

    #[test]
    fn the_same_records_in_four_shapes() {
        let cases = [
            ("[{\"a\":1},\n {\"a\":\"}\\\"\"}]\n", FileShape::List),
            ("{\"a\":1}\n{\"a\":\"}\\\"\"}\n", FileShape::Lines),
            ("{\"items\": [{\"a\":1}, {\"a\":\"}\\\"\"}]}", FileShape::Wrapped("items".into())),
        ];
        for (text, shape) in cases {
            let (found, all, places) = records(text).expect(text);
            assert_eq!((found, all), (shape, vec!["{\"a\":1}".into(), "{\"a\":\"}\\\"\"}".into()]), "{text}");
            assert_eq!(places[1].record, 2);
            assert_eq!(&text[usize::try_from(places[1].byte).expect("small")..][..5], "{\"a\":");
        }
        let (shape, all, _) = records(r#"{"u1": {"a":1}, "u2": {}}"#).expect("keyed");
        assert_eq!(shape, FileShape::Keyed);
        assert_eq!(all, [r#"{"$key":"u1","a":1}"#, r#"{"$key":"u2"}"#]);
        assert_eq!(records("[]").expect("empty list").1.len(), 0);
        assert_eq!(records("{\"o\":{\"x\":1},\"n\":1}").expect("one line").0, FileShape::Lines);
    }

    #[test]
    fn what_is_no_file_of_records_is_named_with_its_place() {
        let cases = [
            ("[{},]", "byte 4, line 1, record 1: a comma before the end"),
            ("[{}\n{}]", "byte 4, line 2, record 1: neither a comma"),
            ("[{},\n3]", "byte 5, line 2, record 2: a number, not an object"),
            ("[{}] x", "text after the end"),
            ("[{}", "ends in the middle"),
            ("[{\"a\":\"", "ends in the middle"),
            ("{}", "holds no records"),
            ("3", "a number, not a list"),
            (" \n", "nothing but white space"),
            ("null", "null, not a list"),
        ];
        for (text, words) in cases {
            let e = records(text).expect_err(text);
            assert!(e.chain().contains(words), "{text}: {}", e.chain());
        }
    }

    proptest! {
        #[test]
        fn records_come_back_whatever_is_in_their_strings(texts in proptest::collection::vec("[a-z\"\\\\{}\\[\\], \n]{0,12}", 0..8)) {
            let one = |t: &String| format!("{{\"a\":{}}}", serde_json::to_string(t).expect("JSON"));
            let expected: Vec<String> = texts.iter().map(one).collect();
            let (_, all, _) = records(&format!("[{}]", expected.join(" , "))).expect("a list");
            prop_assert_eq!(all, expected);
        }
    }
}
