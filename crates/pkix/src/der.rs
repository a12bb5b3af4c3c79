//! A strict reader of DER: definite, minimal lengths; minimal integers; canonical booleans and bit strings.

/// What is wrong with the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bad(pub(crate) &'static str);

pub(crate) type Result<T> = std::result::Result<T, Bad>;

pub(crate) const BOOLEAN: u8 = 0x01;
pub(crate) const INTEGER: u8 = 0x02;
pub(crate) const BIT_STRING: u8 = 0x03;
pub(crate) const OCTET_STRING: u8 = 0x04;
pub(crate) const NULL: u8 = 0x05;
pub(crate) const OID: u8 = 0x06;
pub(crate) const ENUMERATED: u8 = 0x0a;
pub(crate) const UTC_TIME: u8 = 0x17;
pub(crate) const GENERALIZED_TIME: u8 = 0x18;
pub(crate) const SEQUENCE: u8 = 0x30;
pub(crate) const SET: u8 = 0x31;

/// The context tag `n` of a primitive value.
pub(crate) const fn context(n: u8) -> u8 {
    0x80 | n
}

/// The context tag `n` of a constructed value.
pub(crate) const fn explicit(n: u8) -> u8 {
    0xa0 | n
}

/// One element.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tlv<'a> {
    pub(crate) tag: u8,
    pub(crate) value: &'a [u8],
    /// Tag, length and value.
    pub(crate) whole: &'a [u8],
}

/// Reads elements one after the other.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Der<'a> {
    rest: &'a [u8],
}

impl<'a> Der<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Der<'a> {
        Der { rest: bytes }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Whether the next element has `tag`.
    pub(crate) fn starts_with(&self, tag: u8) -> bool {
        self.rest.first() == Some(&tag)
    }

    /// The next element, whatever it is.
    pub(crate) fn read(&mut self) -> Result<Tlv<'a>> {
        let (&tag, after) = self.rest.split_first().ok_or(Bad("ends too early"))?;
        if tag & 0x1f == 0x1f {
            return Err(Bad("has a tag of many bytes"));
        }
        let (length, header) = length(after)?;
        let (start, end) = (1 + header, 1 + header + length);
        let value = self.rest.get(start..end).ok_or(Bad("ends inside of a value"))?;
        let whole = &self.rest[..end];
        self.rest = &self.rest[end..];
        Ok(Tlv { tag, value, whole })
    }

    /// The next element, which must have `tag`.
    pub(crate) fn expect(&mut self, tag: u8) -> Result<&'a [u8]> {
        match self.read()? {
            found if found.tag == tag => Ok(found.value),
            _ => Err(Bad("holds something else than it must")),
        }
    }

    /// The next element if it has `tag`.
    pub(crate) fn optional(&mut self, tag: u8) -> Result<Option<&'a [u8]>> {
        match self.rest.first() {
            Some(&next) if next == tag => self.expect(tag).map(Some),
            _ => Ok(None),
        }
    }

    /// The next element, which must be a sequence, as a reader of its parts.
    pub(crate) fn sequence(&mut self) -> Result<Der<'a>> {
        self.expect(SEQUENCE).map(Der::new)
    }

    /// Nothing may be left.
    pub(crate) fn end(&self) -> Result<()> {
        match self.is_empty() {
            true => Ok(()),
            false => Err(Bad("has something behind its end")),
        }
    }

    /// Each remaining element by `one`; there must be at least one.
    pub(crate) fn each<T>(mut self, mut one: impl FnMut(&mut Der<'a>) -> Result<T>) -> Result<Vec<T>> {
        if self.is_empty() {
            return Err(Bad("is an empty sequence"));
        }
        let mut all = Vec::new();
        while !self.is_empty() {
            all.push(one(&mut self)?);
        }
        Ok(all)
    }
}

/// The one sequence that these bytes are, as a reader of its parts.
pub(crate) fn only_sequence(bytes: &[u8]) -> Result<Der<'_>> {
    only(bytes, SEQUENCE).map(Der::new)
}

/// The value of the one element that these bytes are.
pub(crate) fn only(bytes: &[u8], tag: u8) -> Result<&[u8]> {
    let mut outer = Der::new(bytes);
    let value = outer.expect(tag)?;
    outer.end()?;
    Ok(value)
}

/// Length and how many bytes it takes.
fn length(bytes: &[u8]) -> Result<(usize, usize)> {
    let (&first, rest) = bytes.split_first().ok_or(Bad("ends too early"))?;
    if first < 0x80 {
        return Ok((usize::from(first), 1));
    }
    let count = usize::from(first & 0x7f);
    if count == 0 || count > 4 {
        return Err(Bad("has a length that is not definite and short"));
    }
    let digits = rest.get(..count).ok_or(Bad("ends too early"))?;
    let value = digits.iter().fold(0usize, |sum, d| sum << 8 | usize::from(*d));
    match value < 0x80 || digits[0] == 0 {
        true => Err(Bad("has a length that is longer than it need be")),
        false => Ok((value, 1 + count)),
    }
}

/// An integer's bytes, proven minimal.
pub(crate) fn integer(value: &[u8]) -> Result<&[u8]> {
    match value {
        [] => Err(Bad("has an empty integer")),
        [0, second, ..] if second & 0x80 == 0 => Err(Bad("has an integer that is longer than it need be")),
        [0xff, second, ..] if second & 0x80 != 0 => Err(Bad("has an integer that is longer than it need be")),
        _ => Ok(value),
    }
}

/// A small integer that is not negative.
pub(crate) fn small(value: &[u8]) -> Result<u32> {
    let value = integer(value)?;
    if value[0] & 0x80 != 0 {
        return Err(Bad("has a negative number"));
    }
    if value.len() > 4 {
        return Err(Bad("has too large a number"));
    }
    Ok(value.iter().fold(0, |sum, b| sum << 8 | u32::from(*b)))
}

/// A positive integer without its sign byte.
pub(crate) fn positive(value: &[u8]) -> Result<&[u8]> {
    let value = integer(value)?;
    match value {
        [0] => Err(Bad("has a zero")),
        [0, rest @ ..] => Ok(rest),
        [first, ..] if first & 0x80 != 0 => Err(Bad("has a negative number")),
        _ => Ok(value),
    }
}

pub(crate) fn boolean(value: &[u8]) -> Result<bool> {
    match value {
        [0xff] => Ok(true),
        [0] => Ok(false),
        _ => Err(Bad("has a boolean that is neither true nor false")),
    }
}

/// The next element as a boolean that is false where none is. DER leaves the default out, but authorities write
/// `cA FALSE` and `critical FALSE`, and every validator takes them.
pub(crate) fn flag(parts: &mut Der<'_>) -> Result<bool> {
    parts.optional(BOOLEAN)?.map_or(Ok(false), boolean)
}

/// The bytes of a bit string that ends on a byte.
pub(crate) fn octets(value: &[u8]) -> Result<&[u8]> {
    match value {
        [0, bytes @ ..] => Ok(bytes),
        _ => Err(Bad("has a bit string that ends inside of a byte")),
    }
}

/// A list of named bits, the first as 1, the second as 2, …; at most 16.
pub(crate) fn named_bits(value: &[u8]) -> Result<u16> {
    let (&unused, bytes) = value.split_first().ok_or(Bad("has an empty bit string"))?;
    let last = bytes.last().copied().unwrap_or(0);
    let padding = u8::try_from((1u16 << unused.min(8)) - 1).unwrap_or(0xff);
    if unused > 7 || last & padding != 0 || (bytes.is_empty() && unused != 0) || bytes.len() > 2 {
        return Err(Bad("has a malformed bit string"));
    }
    Ok(bytes.iter().enumerate().fold(0, |all, (i, b)| all | u16::from(b.reverse_bits()) << (8 * i)))
}

/// An object identifier's bytes, proven well-formed.
pub(crate) fn oid(value: &[u8]) -> Result<&[u8]> {
    let whole = value.last().is_some_and(|last| last & 0x80 == 0);
    let begins = |i: usize| i == 0 || value[i - 1] & 0x80 == 0;
    let padded = value.iter().enumerate().any(|(i, b)| *b == 0x80 && begins(i));
    match whole && !padded {
        true => Ok(value),
        false => Err(Bad("has a malformed object identifier")),
    }
}

/// Bytes that are 7-bit ASCII.
pub(crate) fn ascii(value: &[u8]) -> Result<&str> {
    match std::str::from_utf8(value) {
        Ok(text) if text.is_ascii() => Ok(text),
        _ => Err(Bad("has text that is not ASCII")),
    }
}
