//! One record's text as a list of nodes, in the order of the text; no allocation for each value.

use super::value::{Shape, Value};
use std::borrow::Cow;

/// Levels of arrays and objects. PostgreSQL's jsonb takes some thousands, by its stack; what people write is far from either.
pub(crate) const MOST_LEVELS: usize = 1000;
/// Keys of an object that are compared each with each.
const FEW_KEYS: usize = 16;

/// What a string's escapes are.
pub(crate) const ESCAPED: u8 = 1;
/// It holds `\u0000`, which no text of PostgreSQL can.
pub(crate) const NUL: u8 = 2;
/// It holds half of a surrogate pair, which is no character.
pub(crate) const LONE: u8 = 4;
/// A number with a point or an exponent.
pub(crate) const POINT: u8 = 8;

/// A value or a key.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Node {
    pub(super) shape: Shape,
    pub(super) flags: u8,
    pub(super) start: u32,
    pub(super) end: u32,
    /// The node after it and all that is inside of it.
    pub(super) next: u32,
}

/// A key that stands twice in an object: the nodes of both values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DuplicateKey {
    pub(crate) first: u32,
    pub(crate) second: u32,
}

/// Where a text is no JSON, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SyntaxError {
    /// Bytes before it.
    pub(crate) at: usize,
    pub(crate) what: String,
}

impl SyntaxError {
    pub(crate) fn new(at: usize, what: impl Into<String>) -> SyntaxError {
        SyntaxError { at, what: what.into() }
    }
}

/// Reads values; its room is used again for the next one.
#[derive(Debug, Default)]
pub(crate) struct Parser {
    nodes: Vec<Node>,
    open: Vec<u32>,
    keys: Vec<u32>,
    /// Keys of the last value that stand twice.
    pub(crate) duplicates: Vec<DuplicateKey>,
}

impl Parser {
    /// The value that `text` is, whole: RFC 8259, and nothing after it but white space.
    ///
    /// # Errors
    /// Where it is no JSON, or deeper than [`MOST_LEVELS`].
    pub(crate) fn parse_text<'a>(&'a mut self, text: &'a [u8]) -> Result<Value<'a>, SyntaxError> {
        self.nodes.clear();
        self.open.clear();
        self.duplicates.clear();
        // Before all else: what follows compares bytes, and JSON that is exchanged is UTF-8 (RFC 8259, section 8.1).
        if let Err(e) = std::str::from_utf8(text) {
            return Err(SyntaxError::new(e.valid_up_to(), "bytes that are no UTF-8"));
        }
        let end = skip_space(text, self.read_value(text)?);
        if end < text.len() {
            return Err(SyntaxError::new(end, "text after the end of the value"));
        }
        Ok(Value::new(text, &self.nodes, 0))
    }

    /// The value that was parsed last, from the same text.
    pub(crate) fn root<'a>(&'a self, text: &'a [u8]) -> Value<'a> {
        Value::new(text, &self.nodes, 0)
    }

    fn read_value(&mut self, text: &[u8]) -> Result<usize, SyntaxError> {
        let mut at = 0;
        // A list of open brackets and no recursion: a file that nests deeply must not be able to exhaust the stack.
        'value: loop {
            at = skip_space(text, at);
            at = match text.get(at) {
                Some(b'{') => {
                    self.open_node(Shape::Object, at)?;
                    at = skip_space(text, at + 1);
                    if text.get(at) != Some(&b'}') {
                        at = self.read_key(text, at)?;
                        continue 'value;
                    }
                    self.close_node(text, at + 1)
                }
                Some(b'[') => {
                    self.open_node(Shape::Array, at)?;
                    at = skip_space(text, at + 1);
                    if text.get(at) != Some(&b']') {
                        continue 'value;
                    }
                    self.close_node(text, at + 1)
                }
                Some(b'"') => self.read_string(text, at)?,
                Some(b'-' | b'0'..=b'9') => self.read_number(text, at)?,
                _ => self.read_word(text, at)?,
            };
            loop {
                let Some(top) = self.open.last() else { return Ok(at) };
                let object = self.nodes[*top as usize].shape == Shape::Object;
                at = skip_space(text, at);
                match text.get(at) {
                    Some(b',') => {
                        at = skip_space(text, at + 1);
                        if object {
                            at = self.read_key(text, at)?;
                        }
                        continue 'value;
                    }
                    Some(b'}') if object => at = self.close_node(text, at + 1),
                    Some(b']') if !object => at = self.close_node(text, at + 1),
                    Some(_) => return Err(SyntaxError::new(at, "neither a comma nor the end of a list")),
                    None => return Err(SyntaxError::new(at, "the text ends in the middle")),
                }
            }
        }
    }

    fn push_node(&mut self, node: Node) {
        self.nodes.push(node);
    }

    fn next_index(&self) -> u32 {
        u32::try_from(self.nodes.len()).unwrap_or(u32::MAX)
    }

    fn open_node(&mut self, shape: Shape, at: usize) -> Result<(), SyntaxError> {
        if self.open.len() == MOST_LEVELS {
            return Err(SyntaxError::new(at, format!("nested deeper than {MOST_LEVELS} levels")));
        }
        self.open.push(self.next_index());
        self.push_node(Node { shape, flags: 0, start: offset(at), end: 0, next: 0 });
        Ok(())
    }

    /// The end of the innermost array or object; the answer is `end`.
    fn close_node(&mut self, text: &[u8], end: usize) -> usize {
        let next = self.next_index();
        let Some(top) = self.open.pop() else { return end };
        let node = &mut self.nodes[top as usize];
        (node.end, node.next) = (offset(end), next);
        if node.shape == Shape::Object {
            self.find_duplicates(text, top);
        }
        end
    }

    fn find_duplicates(&mut self, text: &[u8], object: u32) {
        let end = self.nodes[object as usize].next;
        self.keys.clear();
        let (mut key, mut escaped) = (object + 1, false);
        while key < end {
            self.keys.push(key);
            escaped |= self.nodes[key as usize].flags & ESCAPED > 0;
            key = self.nodes[key as usize + 1].next;
        }
        let nodes = &self.nodes;
        let name = |key: u32| -> Cow<'_, [u8]> {
            let raw = Value::new(text, nodes, key as usize).raw();
            match escaped {
                true => {
                    Value::new(text, nodes, key as usize).text().map_or(Cow::Borrowed(raw), |t| match t {
                        Cow::Borrowed(t) => Cow::Borrowed(t.as_bytes()),
                        Cow::Owned(t) => Cow::Owned(t.into_bytes()),
                    })
                }
                false => Cow::Borrowed(&raw[1..raw.len() - 1]),
            }
        };
        if self.keys.len() > FEW_KEYS {
            self.keys.sort_by(|a, b| name(*a).cmp(&name(*b)));
            let pairs = self.keys.windows(2).filter(|pair| name(pair[0]) == name(pair[1]));
            self.duplicates.extend(pairs.map(|p| DuplicateKey { first: p[0] + 1, second: p[1] + 1 }));
            return;
        }
        for (at, key) in self.keys.iter().enumerate() {
            if let Some(first) = self.keys[..at].iter().find(|other| name(**other) == name(*key)) {
                self.duplicates.push(DuplicateKey { first: first + 1, second: key + 1 });
            }
        }
    }

    /// A key and its colon.
    fn read_key(&mut self, text: &[u8], at: usize) -> Result<usize, SyntaxError> {
        if text.get(at) != Some(&b'"') {
            return Err(match text.get(at) {
                Some(b'}') => SyntaxError::new(at, "a comma before the end of the object"),
                Some(_) => SyntaxError::new(at, "a key must be a string in double quotes"),
                None => SyntaxError::new(at, "the text ends in the middle"),
            });
        }
        let at = skip_space(text, self.read_string(text, at)?);
        match text.get(at) {
            Some(b':') => Ok(at + 1),
            _ => Err(SyntaxError::new(at, "no colon after the key")),
        }
    }

    fn read_string(&mut self, text: &[u8], start: usize) -> Result<usize, SyntaxError> {
        let (mut at, mut flags) = (start + 1, 0);
        // The half of a pair that a low half must follow at once.
        let mut high_ends_at = None;
        loop {
            match text.get(at) {
                Some(b'"') => break,
                Some(b'\\') => {
                    flags |= ESCAPED;
                    // Two escapes at once may be one character (RFC 8259, section 7). What readers make of a half
                    // alone differs (section 8.2), and PostgreSQL refuses it.
                    let (unit, next) = read_escape(text, at)?;
                    if high_ends_at.is_some_and(|end| end != at) {
                        flags |= LONE;
                    }
                    let follows = high_ends_at == Some(at);
                    high_ends_at = None;
                    match unit {
                        Some(0) => flags |= NUL,
                        Some(0xd800..=0xdbff) => {
                            flags |= if follows { LONE } else { 0 };
                            high_ends_at = Some(next);
                        }
                        Some(0xdc00..=0xdfff) if !follows => flags |= LONE,
                        Some(0xdc00..=0xdfff) => {}
                        _ if follows => flags |= LONE,
                        _ => {}
                    }
                    at = next;
                }
                // They must be escaped (RFC 8259, section 7): mostly the string was not ended, and all that follows
                // would be read as its part.
                Some(b) if *b < 0x20 => {
                    return Err(SyntaxError::new(at, format!("the control character {b:#04x} in a string")));
                }
                Some(_) => at += 1,
                None => return Err(SyntaxError::new(at, "the text ends in a string")),
            }
        }
        flags |= if high_ends_at.is_some() { LONE } else { 0 };
        let next = self.next_index() + 1;
        self.push_node(Node { shape: Shape::String, flags, start: offset(start), end: offset(at + 1), next });
        Ok(at + 1)
    }

    fn read_number(&mut self, text: &[u8], start: usize) -> Result<usize, SyntaxError> {
        let digits = |mut at: usize| {
            let begin = at;
            while text.get(at).is_some_and(u8::is_ascii_digit) {
                at += 1;
            }
            if at > begin { Ok(at) } else { Err(SyntaxError::new(at, "a number without digits")) }
        };
        let begin = start + usize::from(text[start] == b'-');
        let mut at = digits(begin)?;
        // No JSON (RFC 8259, section 6), and readers differ in what they make of it: an octal number, or the digits
        // after the zero.
        if text[begin] == b'0' && at > begin + 1 {
            return Err(SyntaxError::new(begin, "a number that begins with zero"));
        }
        let mut flags = 0;
        if text.get(at) == Some(&b'.') {
            flags = POINT;
            at = digits(at + 1)?;
        }
        if matches!(text.get(at), Some(b'e' | b'E')) {
            flags = POINT;
            at = digits(at + 1 + usize::from(matches!(text.get(at + 1), Some(b'+' | b'-'))))?;
        }
        let next = self.next_index() + 1;
        self.push_node(Node { shape: Shape::Number, flags, start: offset(start), end: offset(at), next });
        Ok(at)
    }

    fn read_word(&mut self, text: &[u8], at: usize) -> Result<usize, SyntaxError> {
        let words = [("null", Shape::Null), ("true", Shape::True), ("false", Shape::False)];
        for (word, shape) in words {
            if text[at.min(text.len())..].starts_with(word.as_bytes()) {
                let (end, next) = (at + word.len(), self.next_index() + 1);
                self.push_node(Node { shape, flags: 0, start: offset(at), end: offset(end), next });
                return Ok(end);
            }
        }
        let what = match text.get(at) {
            None => "the text ends in the middle",
            Some(b'}' | b']') => "a comma before the end of the list",
            Some(b'/' | b'#') => "a comment, which JSON does not have",
            Some(b'N' | b'I') => "NaN and Infinity, which JSON does not have",
            Some(b'\'') => "a string in single quotes",
            Some(_) => "no value",
        };
        Err(SyntaxError::new(at, what))
    }
}

/// Records have less than 1 GB.
fn offset(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

fn skip_space(text: &[u8], mut at: usize) -> usize {
    while matches!(text.get(at), Some(b' ' | b'\n' | b'\r' | b'\t')) {
        at += 1;
    }
    at
}

/// The UTF-16 unit of `\uXXXX`, or none for any other escape; and where the text goes on.
fn read_escape(text: &[u8], at: usize) -> Result<(Option<u16>, usize), SyntaxError> {
    match text.get(at + 1) {
        Some(b'u') => {
            let hex = text.get(at + 2..at + 6).filter(|h| h.iter().all(u8::is_ascii_hexdigit));
            let unit =
                hex.and_then(|h| std::str::from_utf8(h).ok()).and_then(|h| u16::from_str_radix(h, 16).ok());
            unit.map(|u| (Some(u), at + 6)).ok_or_else(|| SyntaxError::new(at, "\\u without four digits"))
        }
        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok((None, at + 2)),
        _ => Err(SyntaxError::new(at, "an escape that JSON does not have")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn refused(text: &[u8]) -> String {
        Parser::default().parse_text(text).expect_err("no JSON").what
    }

    #[test]
    fn what_is_no_json_is_named() {
        let cases: [(&[u8], &str); 14] = [
            (b"[1,]", "comma before the end"),
            (b"{\"a\":1,}", "comma before the end"),
            (b"NaN", "NaN"),
            (b"// x", "comment"),
            (b"{\"a\":", "ends in the middle"),
            (b"1 2", "after the end"),
            (b"\"a\nb\"", "control character 0x0a"),
            (b"\"\xff\"", "no UTF-8"),
            (b"{a:1}", "double quotes"),
            (b"'a'", "single quotes"),
            (b"01", "begins with zero"),
            (b"1.", "without digits"),
            (b"\"\\x\"", "escape"),
            (b"", "ends in the middle"),
        ];
        for (text, words) in cases {
            assert!(refused(text).contains(words), "{}: {}", String::from_utf8_lossy(text), refused(text));
        }
    }

    #[test]
    fn deep_texts_end_without_a_stack_overflow() {
        let deep = |n: usize| [vec![b'['; n], vec![b']'; n]].concat();
        assert!(Parser::default().parse_text(&deep(129)).is_ok());
        assert!(refused(&deep(10_000)).contains("deeper than 1000"));
    }

    #[test]
    fn keys_that_stand_twice_are_found_however_they_are_written() {
        let mut parser = Parser::default();
        for text in [r#"{"a":1,"b":2,"a":3}"#, r#"{"a":1,"\u0061":2}"#] {
            parser.parse_text(text.as_bytes()).expect("JSON");
            assert_eq!(parser.duplicates.len(), 1, "{text}");
        }
        let many: Vec<String> = (0..40).map(|n| format!("\"k{}\":{n}", n % 39)).collect();
        let many = format!("{{{}}}", many.join(","));
        parser.parse_text(many.as_bytes()).expect("JSON");
        assert_eq!(parser.duplicates.len(), 1);
        parser.parse_text(br#"[{"a":1},{"a":1}]"#).expect("JSON");
        assert!(parser.duplicates.is_empty());
    }

    proptest! {
        #[test]
        fn what_serde_takes_we_take_and_the_other_way(text in "[\\[\\]{}\",:0-9a-u\\\\.eE+ -]{0,24}") {
            let ours = Parser::default().parse_text(text.as_bytes()).is_ok();
            let theirs = serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok();
            prop_assert_eq!(ours, theirs, "{}", text);
        }
    }
}
