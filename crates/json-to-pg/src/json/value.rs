//! A value of a parsed text: what it is, what is inside of it, and the characters of a string.

use super::document::{LONE, NUL, Node, POINT};
use std::borrow::Cow;

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    Null,
    True,
    False,
    Number,
    String,
    Array,
    Object,
}

impl Shape {
    /// In words, with its article.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Shape::Null => "null",
            Shape::True | Shape::False => "a boolean",
            Shape::Number => "a number",
            Shape::String => "a string",
            Shape::Array => "a list",
            Shape::Object => "an object",
        }
    }
}

/// Why a string is no text of PostgreSQL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BadText {
    Nul,
    Lone,
}

/// A value inside of a parsed text.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Value<'a> {
    text: &'a [u8],
    nodes: &'a [Node],
    at: usize,
}

impl<'a> Value<'a> {
    pub(super) fn new(text: &'a [u8], nodes: &'a [Node], at: usize) -> Value<'a> {
        Value { text, nodes, at }
    }

    fn node(&self) -> &'a Node {
        &self.nodes[self.at]
    }

    /// The value of a node that [`super::DuplicateKey`] names.
    pub(crate) fn node_value(&self, node: u32) -> Value<'a> {
        Value { at: node as usize, ..*self }
    }

    pub(crate) fn shape(&self) -> Shape {
        self.node().shape
    }

    /// Bytes of the text before it.
    pub(crate) fn offset(&self) -> usize {
        self.node().start as usize
    }

    /// As it was written, a string with its quotes.
    pub(crate) fn raw(&self) -> &'a [u8] {
        let node = self.node();
        &self.text[node.start as usize..node.end as usize]
    }

    /// A number without point and exponent.
    pub(crate) fn is_whole(&self) -> bool {
        self.shape() == Shape::Number && self.node().flags & POINT == 0
    }

    /// What a list holds.
    pub(crate) fn items(&self) -> ValueItems<'a> {
        ValueItems { value: *self, next: self.at + 1, end: self.end_of(Shape::Array) }
    }

    /// What an object holds: keys and values.
    pub(crate) fn members(&self) -> ValueMembers<'a> {
        ValueMembers { value: *self, next: self.at + 1, end: self.end_of(Shape::Object) }
    }

    fn end_of(&self, shape: Shape) -> usize {
        if self.shape() == shape { self.node().next as usize } else { self.at }
    }

    /// The member of this name; of several the last, as PostgreSQL's jsonb and most readers have it.
    pub(crate) fn get(&self, name: &str) -> Option<Value<'a>> {
        self.members().filter(|(key, _)| key.is_named(name)).last().map(|(_, value)| value)
    }

    /// Whether a key is this one.
    pub(crate) fn is_named(&self, name: &str) -> bool {
        let raw = self.raw();
        if raw.len() == name.len() + 2 {
            return &raw[1..raw.len() - 1] == name.as_bytes();
        }
        self.node().flags > 0 && self.text().is_ok_and(|t| t == name)
    }

    /// The characters of a string.
    ///
    /// # Errors
    /// When PostgreSQL's text cannot hold them.
    pub(crate) fn text(&self) -> Result<Cow<'a, str>, BadText> {
        let (raw, flags) = (self.raw(), self.node().flags);
        if flags & NUL > 0 {
            return Err(BadText::Nul);
        }
        if flags & LONE > 0 {
            return Err(BadText::Lone);
        }
        Ok(self.shown_text(raw, flags))
    }

    /// The same, with U+2400 for each `\u0000` and U+FFFD for what is no character.
    pub(crate) fn nearest_text(&self) -> Cow<'a, str> {
        self.shown_text(self.raw(), self.node().flags)
    }

    /// The characters of a string, and anything else as it was written: for people.
    pub(crate) fn nearest_text_or_raw(&self) -> String {
        match self.shape() {
            Shape::String => self.nearest_text().into_owned(),
            _ => String::from_utf8_lossy(self.raw()).into_owned(),
        }
    }

    fn shown_text(&self, raw: &'a [u8], flags: u8) -> Cow<'a, str> {
        let inner = raw.get(1..raw.len().saturating_sub(1)).unwrap_or_default();
        match flags {
            0 => String::from_utf8_lossy(inner),
            _ => Cow::Owned(unescape(inner)),
        }
    }

    /// Whether PostgreSQL's numeric, and so jsonb, holds every number in it.
    pub(crate) fn fits_numeric(&self) -> bool {
        let mut room = Vec::new();
        self.own_nodes()
            .iter()
            .filter(|n| n.shape == Shape::Number && (n.flags & POINT > 0 || n.end - n.start > 1000))
            .all(|n| {
                let text = &self.text[n.start as usize..n.end as usize];
                migrate::number::Digits::from_text(text, &mut room).is_some_and(|d| d.fits_numeric())
            })
    }

    /// Its own node and those inside of it.
    fn own_nodes(&self) -> &'a [Node] {
        let end = match self.shape() {
            Shape::Array | Shape::Object => self.node().next as usize,
            _ => self.at + 1,
        };
        &self.nodes[self.at..end]
    }

    /// Whether a string in it cannot be text in PostgreSQL, and why.
    pub(crate) fn find_bad_text(&self) -> Option<BadText> {
        let flags =
            self.own_nodes().iter().filter(|n| n.shape == Shape::String).fold(0, |all, n| all | n.flags);
        match flags {
            f if f & NUL > 0 => Some(BadText::Nul),
            f if f & LONE > 0 => Some(BadText::Lone),
            _ => None,
        }
    }
}

/// See [`Value::items`].
pub(crate) struct ValueItems<'a> {
    value: Value<'a>,
    next: usize,
    end: usize,
}

impl<'a> Iterator for ValueItems<'a> {
    type Item = Value<'a>;

    fn next(&mut self) -> Option<Value<'a>> {
        if self.next >= self.end {
            return None;
        }
        let item = Value { at: self.next, ..self.value };
        self.next = item.node().next as usize;
        Some(item)
    }
}

/// See [`Value::members`].
pub(crate) struct ValueMembers<'a> {
    value: Value<'a>,
    next: usize,
    end: usize,
}

impl<'a> Iterator for ValueMembers<'a> {
    type Item = (Value<'a>, Value<'a>);

    fn next(&mut self) -> Option<(Value<'a>, Value<'a>)> {
        if self.next >= self.end {
            return None;
        }
        let (key, value) = (Value { at: self.next, ..self.value }, Value { at: self.next + 1, ..self.value });
        self.next = value.node().next as usize;
        Some((key, value))
    }
}

/// The characters behind escapes; the parser has seen that each is whole.
fn unescape(inner: &[u8]) -> String {
    let mut units: Vec<u16> = Vec::new();
    let mut out = String::with_capacity(inner.len());
    let flush = |units: &mut Vec<u16>, out: &mut String| {
        out.extend(char::decode_utf16(units.drain(..)).map(|c| match c {
            Ok('\0') => '\u{2400}',
            Ok(c) => c,
            Err(_) => char::REPLACEMENT_CHARACTER,
        }));
    };
    let mut at = 0;
    while at < inner.len() {
        if inner[at] == b'\\' && inner.get(at + 1) == Some(&b'u') {
            let hex = inner.get(at + 2..at + 6).and_then(|h| std::str::from_utf8(h).ok());
            // Not decoded one by one: two that follow each other may be a surrogate pair.
            units.extend(hex.and_then(|h| u16::from_str_radix(h, 16).ok()));
            at += 6;
            continue;
        }
        flush(&mut units, &mut out);
        if inner[at] == b'\\' {
            out.push(match inner.get(at + 1) {
                Some(b'b') => '\u{8}',
                Some(b'f') => '\u{c}',
                Some(b'n') => '\n',
                Some(b'r') => '\r',
                Some(b't') => '\t',
                Some(other) => char::from(*other),
                None => '\\',
            });
            at += 2;
            continue;
        }
        let end = memchr::memchr(b'\\', &inner[at..]).map_or(inner.len(), |n| at + n);
        out.push_str(&String::from_utf8_lossy(&inner[at..end]));
        at = end;
    }
    flush(&mut units, &mut out);
    out
}

#[cfg(test)]
mod tests {
    use super::super::Parser;
    use super::*;

    #[test]
    fn strings_as_they_read() {
        let mut parser = Parser::default();
        let cases = [
            (r#""a\n\"\\\/é""#, Ok("a\n\"\\/é")),
            (r#""\u3042\ud83d\ude00""#, Ok("あ😀")),
            (r#""a\u0000""#, Err(BadText::Nul)),
            (r#""\ud800""#, Err(BadText::Lone)),
            (r#""\ud800\ud800\udc00""#, Err(BadText::Lone)),
            (r#""\ud800x\udc00""#, Err(BadText::Lone)),
            (r#""\udc00""#, Err(BadText::Lone)),
        ];
        for (text, expected) in cases {
            let value = parser.parse_text(text.as_bytes()).expect("JSON");
            assert_eq!(value.text(), expected.map(Cow::Borrowed), "{text}");
        }
        let value = parser.parse_text(br#""a\u0000\ud800b""#).expect("JSON");
        assert_eq!(value.nearest_text(), "a\u{2400}\u{fffd}b");
    }

    #[test]
    fn members_and_items_in_their_order() {
        let mut parser = Parser::default();
        let value = parser.parse_text(br#"{"a":[1,[2],{"b":3}],"\u0063":4}"#).expect("JSON");
        let list = value.get("a").expect("a");
        assert_eq!(list.items().map(|v| v.raw().len()).collect::<Vec<_>>(), [1, 3, 7]);
        assert_eq!(value.get("c").map(|v| v.raw()), Some(&b"4"[..]));
        assert!(value.get("b").is_none() && list.get("a").is_none() && value.items().next().is_none());
    }
}
