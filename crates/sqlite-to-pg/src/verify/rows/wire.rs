//! A row in the form that is compared, and how what PostgreSQL's binary COPY sends is brought into it
//! (<https://www.postgresql.org/docs/current/sql-copy.html>, "Binary Format").

use crate::verify::pair::{Form, PairColumn, Rule, TablePair};
use crate::verify::values::json::Canon;
use crate::verify::values::{array, decimal};
use std::io::{BufRead, Write};
use toban_core::{Context, Error, Result};

/// `PGCOPY\n\xff\r\n\0`, flags, length of an extension that is not defined yet.
const HEAD: usize = 19;

/// A row in the form that is compared: for each column the length and the bytes. The key comes first.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RowBytes<'a> {
    pub(crate) bytes: &'a [u8],
    /// Where the key ends.
    pub(crate) key: usize,
}

impl<'a> RowBytes<'a> {
    /// The row `bytes`, whose first `key` fields are the key.
    pub(crate) fn new(bytes: &'a [u8], key: usize) -> RowBytes<'a> {
        RowBytes { bytes, key: split_fields(bytes).take(key).map(<[u8]>::len).sum() }
    }
}

/// The fields one after the other, each with its length before it.
pub(crate) fn split_fields(mut bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (field, rest) = bytes.split_at_checked(4 + field_length(bytes)?)?;
        bytes = rest;
        Some(field)
    })
}

/// The length of the first field's bytes; NULL and what fits nowhere have none.
fn field_length(bytes: &[u8]) -> Option<usize> {
    let head = bytes.first_chunk::<4>()?;
    Some(usize::try_from(i32::from_be_bytes(*head)).unwrap_or(0))
}

/// Calls `each` with the fields of every tuple.
///
/// # Errors
/// Of the connection, of `each`; when the stream ends early.
pub(crate) fn for_each_tuple(
    mut copy: impl BufRead,
    mut each: impl FnMut(&[u8]) -> Result<()>,
) -> Result<()> {
    let mut carry: Vec<u8> = Vec::new();
    let mut state = Stream { head: HEAD, ended: false };
    loop {
        let chunk = copy.fill_buf().doing(|| "read rows".into())?;
        let size = chunk.len();
        if size == 0 {
            break;
        }
        // PostgreSQL sends each row as one message: it is read where it lies.
        if carry.is_empty() {
            let used = state.take_tuples(chunk, &mut each)?;
            carry.extend_from_slice(&chunk[used..]);
        } else {
            carry.extend_from_slice(chunk);
            let used = state.take_tuples(&carry, &mut each)?;
            carry.drain(..used);
        }
        copy.consume(size);
    }
    if state.ended { Ok(()) } else { Err(Error::retry("the server's data ended too early: try again")) }
}

struct Stream {
    /// Bytes of the head that are still to come.
    head: usize,
    ended: bool,
}

impl Stream {
    /// Takes whole tuples from the front, and says how many bytes they were.
    fn take_tuples(&mut self, bytes: &[u8], each: &mut impl FnMut(&[u8]) -> Result<()>) -> Result<usize> {
        let mut at = self.head.min(bytes.len());
        self.head -= at;
        while let Some(count) = bytes.get(at..at + 2).map(|c| i16::from_be_bytes([c[0], c[1]])) {
            // The trailer is a field count of -1 (COPY, "File Trailer"): a stream that ends without it was cut.
            let Ok(count) = usize::try_from(count) else {
                self.ended = true;
                return Ok(bytes.len());
            };
            let Some(end) = tuple_end(bytes, at + 2, count) else { break };
            each(&bytes[at + 2..end])?;
            at = end;
        }
        Ok(at)
    }
}

/// Where `count` fields from `at` on end; None when they are not all there.
fn tuple_end(bytes: &[u8], mut at: usize, count: usize) -> Option<usize> {
    for _ in 0..count {
        at += 4 + field_length(bytes.get(at..)?)?;
    }
    (at <= bytes.len()).then_some(at)
}

/// Puts what PostgreSQL sends into the form that is compared; keeps its buffers from one row to the next.
#[derive(Debug, Default)]
pub(crate) struct Normaliser {
    row: Vec<u8>,
    scratch: Vec<u8>,
    canon: Canon,
}

impl Normaliser {
    /// The fields of `tuple` that `pair` compares, and what follows them.
    pub(crate) fn split_tuple<'t>(
        &'t mut self,
        tuple: &'t [u8],
        pair: &TablePair,
        plain: bool,
    ) -> (RowBytes<'t>, &'t [u8]) {
        let size = split_fields(tuple).take(pair.columns.len()).map(<[u8]>::len).sum();
        let (own, rest) = tuple.split_at(size);
        if plain {
            return (RowBytes::new(own, pair.key), rest);
        }
        self.row.clear();
        for (field, column) in split_fields(own).zip(&pair.columns) {
            self.put_field(field, column);
        }
        (RowBytes::new(&self.row, pair.key), rest)
    }

    fn put_field(&mut self, field: &[u8], column: &PairColumn) {
        let form = column.form;
        // A negative length is NULL, which has no bytes after it.
        if form.is_plain() || field.starts_with(&[0xFF]) {
            return self.row.extend_from_slice(field);
        }
        let start = self.row.len();
        self.row.extend_from_slice(&[0; 4]);
        self.put_bytes(&field[4..], form);
        if matches!(form, Form::Numeric | Form::Money) && column.rule == Rule::Auto {
            let _ = decimal::shorten_double(&mut self.row, start + 4, &mut self.scratch);
        }
        let length = u32::try_from(self.row.len() - start - 4).unwrap_or(u32::MAX);
        self.row[start..start + 4].copy_from_slice(&length.to_be_bytes());
    }

    fn put_bytes(&mut self, bytes: &[u8], form: Form) {
        match form {
            Form::Numeric | Form::Money => decimal::from_wire(bytes, &mut self.row),
            Form::Array(element) => {
                if array::array_of_literal(bytes, element, &mut self.row).is_none() {
                    self.row.extend_from_slice(bytes);
                }
            }
            Form::Float4 => self.put_float4(bytes),
            Form::Padded => self.row.extend_from_slice(trim_blanks(bytes)),
            Form::Jsonb => {
                // One byte of version stands before the text.
                let text = bytes.get(1..).unwrap_or(&[]);
                if self.canon.write_canonical(text, &mut self.row).is_none() {
                    self.row.extend_from_slice(text);
                }
            }
            _ => self.row.extend_from_slice(bytes),
        }
    }

    /// The double that the shortest digits of the float name.
    fn put_float4(&mut self, bytes: &[u8]) {
        let single = bytes.first_chunk::<4>().map_or(f32::NAN, |b| f32::from_be_bytes(*b));
        self.scratch.clear();
        let _ = write!(self.scratch, "{single:e}");
        let double = std::str::from_utf8(&self.scratch).ok().and_then(|t| t.parse().ok());
        self.row.extend_from_slice(&double.unwrap_or(f64::NAN).to_bits().to_be_bytes());
    }
}

fn trim_blanks(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().rposition(|b| *b != b' ').map_or(0, |at| at + 1);
    &bytes[..end]
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::BufReader;

    /// Two tuples: (1, NULL) and ('ab').
    fn stream() -> Vec<u8> {
        let mut bytes = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0".to_vec();
        bytes.extend_from_slice(&[0, 2, 0, 0, 0, 1, 7, 0xFF, 0xFF, 0xFF, 0xFF]);
        bytes.extend_from_slice(&[0, 1, 0, 0, 0, 2, b'a', b'b', 0xFF, 0xFF]);
        bytes
    }

    #[test]
    fn tuples_are_found_however_they_are_cut() {
        for size in 1..50 {
            let mut seen: Vec<Vec<u8>> = Vec::new();
            let cut = BufReader::with_capacity(size, &stream()[..]).into_inner().to_vec();
            let reader = BufReader::with_capacity(size, &cut[..]);
            for_each_tuple(reader, |t| {
                seen.push(t.to_vec());
                Ok(())
            })
            .expect("whole");
            assert_eq!(seen, [&[0, 0, 0, 1, 7, 255, 255, 255, 255][..], &[0, 0, 0, 2, 97, 98]], "{size}");
        }
    }

    #[test]
    fn an_early_end_is_an_error() {
        let bytes = stream();
        assert!(for_each_tuple(&bytes[..bytes.len() - 2], |_| Ok(())).is_err());
        assert!(for_each_tuple(&bytes[..25], |_| Ok(())).is_err());
    }

    #[test]
    fn the_key_ends_where_its_fields_do() {
        let row = [0, 0, 0, 1, 7, 255, 255, 255, 255, 0, 0, 0, 0];
        assert_eq!([0, 1, 2, 3].map(|n| RowBytes::new(&row, n).key), [0, 5, 9, 13]);
    }
}
