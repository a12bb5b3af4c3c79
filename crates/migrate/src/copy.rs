//! COPY's binary form: the header, rows of fields with their length, the trailer.
//! <https://www.postgresql.org/docs/current/sql-copy.html#SQL-COPY-BINARY-FORMAT>

use crate::invalid::Invalid;

/// What stands before the rows.
pub const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// What stands after them: without it the server takes the data for cut off.
pub const TRAILER: [u8; 2] = (-1_i16).to_be_bytes();

/// NULL.
pub fn put_null(buf: &mut Vec<u8>) -> Result<(), Invalid> {
    buf.extend_from_slice(&[0xff; 4]);
    Ok(())
}

/// A field of these bytes, its length first.
///
/// # Errors
/// When it is larger than PostgreSQL takes.
pub fn put_field(bytes: &[u8], buf: &mut Vec<u8>) -> Result<(), Invalid> {
    buf.extend_from_slice(&field_length(bytes.len())?.to_be_bytes());
    buf.extend_from_slice(bytes);
    Ok(())
}

/// The length of a field as the wire has it. PostgreSQL's varlena header has 30 bits.
///
/// # Errors
/// When it is larger than that.
pub fn field_length(len: usize) -> Result<i32, Invalid> {
    i32::try_from(len).ok().filter(|n| *n < (1 << 30) - 64).ok_or(Invalid::TooLarge)
}
