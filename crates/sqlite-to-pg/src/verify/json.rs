//! JSON in one spelling: keys sorted, the last of equal keys, no blanks, numbers without a scale; and arrays, element by
//! element, as JSON on one side and PostgreSQL's literal on the other.

use super::pair::Element;
use super::{decimal, time};
use rusqlite::types::ValueRef;
use serde::de::IgnoredAny;

/// How deep a document may be: PostgreSQL's own limit is its stack, and no real document nests so deep.
const DEPTH: usize = 200;

/// Writes documents; keeps its buffers from one to the next.
#[derive(Debug, Default)]
pub(crate) struct Canon {
    scratch: Vec<u8>,
    /// Members of the objects that are open: key and value lie in `text`.
    members: Vec<Member>,
    text: Vec<u8>,
    /// Whether two members of an object had one key.
    doubles: bool,
}

#[derive(Clone, Copy, Debug)]
struct Member {
    key: (usize, usize),
    end: usize,
}

struct Input<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Canon {
    /// Appends `document` to `out` and says whether some object had a key twice. None: it is no JSON that jsonb holds.
    pub(crate) fn write_canonical(&mut self, document: &[u8], out: &mut Vec<u8>) -> Option<bool> {
        self.members.clear();
        self.text.clear();
        self.doubles = false;
        std::str::from_utf8(document).ok()?;
        let mut input = Input { bytes: document, at: 0 };
        self.write_value(&mut input, DEPTH)?;
        input.skip_blanks();
        if input.at < document.len() {
            return None;
        }
        out.extend_from_slice(&self.text);
        Some(self.doubles)
    }

    fn write_value(&mut self, input: &mut Input<'_>, depth: usize) -> Option<()> {
        input.skip_blanks();
        match input.peek_byte()? {
            b'{' => self.write_object(input, depth.checked_sub(1)?),
            b'[' => self.write_array(input, depth.checked_sub(1)?),
            b'"' => self.write_string(input),
            b't' => self.write_word(input, b"true"),
            b'f' => self.write_word(input, b"false"),
            b'n' => self.write_word(input, b"null"),
            _ => self.write_number(input),
        }
    }

    fn write_word(&mut self, input: &mut Input<'_>, word: &[u8]) -> Option<()> {
        input.bytes[input.at..].starts_with(word).then_some(())?;
        input.at += word.len();
        self.text.extend_from_slice(word);
        Some(())
    }

    fn write_array(&mut self, input: &mut Input<'_>, depth: usize) -> Option<()> {
        input.at += 1;
        self.text.push(b'[');
        if !input.take_byte(b']') {
            loop {
                self.write_value(input, depth)?;
                self.text.push(b',');
                if input.take_byte(b']') {
                    break;
                }
                input.take_byte(b',').then_some(())?;
            }
        }
        self.text.push(b']');
        Some(())
    }

    /// Members are written in their order after `start`, then once more, sorted, and the first writing goes.
    fn write_object(&mut self, input: &mut Input<'_>, depth: usize) -> Option<()> {
        input.at += 1;
        let (start, first) = (self.text.len(), self.members.len());
        if !input.take_byte(b'}') {
            loop {
                let member = self.write_member(input, depth)?;
                self.members.push(member);
                if input.take_byte(b'}') {
                    break;
                }
                input.take_byte(b',').then_some(())?;
            }
        }
        self.sort_members(start, first);
        Some(())
    }

    fn write_member(&mut self, input: &mut Input<'_>, depth: usize) -> Option<Member> {
        input.skip_blanks();
        let begin = self.text.len();
        (input.peek_byte()? == b'"').then_some(())?;
        self.write_string(input)?;
        let key = (begin, self.text.len());
        input.take_byte(b':').then_some(())?;
        self.text.push(b':');
        self.write_value(input, depth)?;
        Some(Member { key, end: self.text.len() })
    }

    fn sort_members(&mut self, start: usize, first: usize) {
        let Canon { members, text, scratch, doubles } = self;
        let own = &mut members[first..];
        let key = |m: &Member| &text[m.key.0..m.key.1];
        // A stable sort: of equal keys the last one written comes last, and counts.
        own.sort_by(|a, b| key(a).cmp(key(b)));
        scratch.clear();
        scratch.push(b'{');
        for (i, member) in own.iter().enumerate() {
            match own.get(i + 1) {
                Some(next) if key(next) == key(member) => *doubles = true,
                _ => {
                    scratch.extend_from_slice(&text[member.key.0..member.end]);
                    scratch.push(b',');
                }
            }
        }
        scratch.push(b'}');
        members.truncate(first);
        text.truncate(start);
        text.extend_from_slice(scratch);
    }

    fn write_number(&mut self, input: &mut Input<'_>) -> Option<()> {
        let rest = &input.bytes[input.at..];
        let length = rest.iter().take_while(|b| b.is_ascii_digit() || b"+-.eE".contains(b)).count();
        let digits = &rest[..length];
        is_number(digits).then_some(())?;
        input.at += length;
        // With its length: the bytes of a number may be any.
        self.text.extend_from_slice(b"#..");
        let begin = self.text.len();
        decimal::put_literal(digits, &mut self.scratch, &mut self.text)?;
        let length = u16::try_from(self.text.len() - begin).ok()?;
        self.text[begin - 2..begin].copy_from_slice(&length.to_be_bytes());
        Some(())
    }

    fn write_string(&mut self, input: &mut Input<'_>) -> Option<()> {
        input.at += 1;
        self.text.push(b'"');
        loop {
            let rest = &input.bytes[input.at..];
            let plain = rest.iter().position(|b| matches!(b, b'"' | b'\\' | 0..0x20))?;
            self.text.extend_from_slice(&rest[..plain]);
            input.at += plain + 1;
            match rest[plain] {
                b'"' => break,
                b'\\' => self.write_escape(input)?,
                _ => return None,
            }
        }
        self.text.push(b'"');
        Some(())
    }

    fn write_escape(&mut self, input: &mut Input<'_>) -> Option<()> {
        let letter = input.peek_byte()?;
        input.at += 1;
        let plain = match letter {
            b'n' => b'\n',
            b't' => b'\t',
            b'r' => b'\r',
            b'b' => 8,
            b'f' => 12,
            b'/' => b'/',
            // These two end a string or begin an escape: they keep their backslash.
            b'"' | b'\\' => {
                self.text.push(b'\\');
                letter
            }
            b'u' => return self.write_unicode(input),
            _ => return None,
        };
        self.text.push(plain);
        Some(())
    }

    fn write_unicode(&mut self, input: &mut Input<'_>) -> Option<()> {
        let mut code = input.take_hex4()?;
        if (0xD800..0xDC00).contains(&code) {
            input.bytes.get(input.at..)?.starts_with(b"\\u").then_some(())?;
            input.at += 2;
            let low = input.take_hex4()?;
            (0xDC00..0xE000).contains(&low).then_some(())?;
            code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
        }
        let letter = char::from_u32(code).filter(|c| *c != '\0')?;
        if matches!(letter, '"' | '\\') {
            self.text.push(b'\\');
        }
        self.text.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
        Some(())
    }
}

/// JSON's grammar of numbers: no plus, no leading zero, digits around the point.
fn is_number(text: &[u8]) -> bool {
    let text = text.strip_prefix(b"-").unwrap_or(text);
    let digits = |t: &[u8]| t.iter().take_while(|b| b.is_ascii_digit()).count();
    let whole = digits(text);
    if whole == 0 || (whole > 1 && text[0] == b'0') {
        return false;
    }
    let mut rest = &text[whole..];
    if let Some(after) = rest.strip_prefix(b".") {
        let fraction = digits(after);
        if fraction == 0 {
            return false;
        }
        rest = &after[fraction..];
    }
    match rest.split_first() {
        None => true,
        Some((b'e' | b'E', after)) => {
            let after = after.strip_prefix(b"+").or(after.strip_prefix(b"-")).unwrap_or(after);
            !after.is_empty() && digits(after) == after.len()
        }
        _ => false,
    }
}

impl Input<'_> {
    fn peek_byte(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn skip_blanks(&mut self) {
        while matches!(self.peek_byte(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn take_byte(&mut self, byte: u8) -> bool {
        self.skip_blanks();
        let there = self.peek_byte() == Some(byte);
        self.at += usize::from(there);
        there
    }

    fn take_hex4(&mut self) -> Option<u32> {
        let digits = self.bytes.get(self.at..self.at + 4)?;
        self.at += 4;
        digits.iter().try_fold(0, |sum, d| char::from(*d).to_digit(16).map(|d| sum * 16 + d))
    }
}

/// How deep arrays of arrays are read; PostgreSQL has six dimensions.
const DIMENSIONS: usize = 8;

const OPEN: u8 = 1;
const CLOSE: u8 = 2;
const NULL: u8 = 3;
const VALUE: u8 = 4;

/// Appends what a text of SQLite says.
pub(crate) fn array_of_source(value: ValueRef<'_>, element: Element, out: &mut Vec<u8>) -> Option<()> {
    let ValueRef::Text(text) = value else { return None };
    let text = text.trim_ascii();
    match text.first()? {
        b'[' => {
            serde_json::from_slice::<IgnoredAny>(text).ok()?;
            array_of_json(text, element, DIMENSIONS, out)
        }
        _ => array_of_literal(text, element, out),
    }
}

/// Appends the elements of valid JSON.
fn array_of_json(text: &[u8], element: Element, depth: usize, out: &mut Vec<u8>) -> Option<()> {
    depth.checked_sub(1)?;
    out.push(OPEN);
    let mut rest = text[1..].trim_ascii_start();
    while rest.first()? != &b']' {
        rest = rest.strip_prefix(b",").unwrap_or(rest).trim_ascii_start();
        let mut values = serde_json::Deserializer::from_slice(rest).into_iter::<IgnoredAny>();
        values.next()?.ok()?;
        let (own, after) = rest.split_at(values.byte_offset());
        match own.first()? {
            b'[' => array_of_json(own, element, depth - 1, out)?,
            b'"' => put_element(serde_json::from_slice::<String>(own).ok()?.as_bytes(), element, out),
            b'n' => out.push(NULL),
            _ => put_element(own, element, out),
        }
        rest = after.trim_ascii_start();
    }
    out.push(CLOSE);
    Some(())
}

/// Appends the elements of `{a,"b c",NULL,{d}}`; none for one whose bounds are written before it, and for what is none.
pub(crate) fn array_of_literal(text: &[u8], element: Element, out: &mut Vec<u8>) -> Option<()> {
    let start = out.len();
    let rest = write_elements(text.trim_ascii(), element, DIMENSIONS, out);
    if rest.is_some_and(<[u8]>::is_empty) {
        return Some(());
    }
    out.truncate(start);
    None
}

/// The elements up to the brace that closes; the answer is what follows it.
fn write_elements<'a>(text: &'a [u8], element: Element, depth: usize, out: &mut Vec<u8>) -> Option<&'a [u8]> {
    depth.checked_sub(1)?;
    let mut rest = text.strip_prefix(b"{")?.trim_ascii_start();
    out.push(OPEN);
    let mut word = Vec::new();
    loop {
        match *rest.first()? {
            b'}' => {
                out.push(CLOSE);
                return Some(&rest[1..]);
            }
            b',' => rest = rest[1..].trim_ascii_start(),
            b'{' => rest = write_elements(rest, element, depth - 1, out)?.trim_ascii_start(),
            b'"' => {
                word.clear();
                rest = read_quoted(&rest[1..], &mut word)?.trim_ascii_start();
                put_element(&word, element, out);
            }
            _ => {
                let end = rest.iter().position(|b| matches!(b, b',' | b'}'))?;
                let bare = rest[..end].trim_ascii_end();
                match bare.eq_ignore_ascii_case(b"null") {
                    true => out.push(NULL),
                    false => put_element(bare, element, out),
                }
                rest = &rest[end..];
            }
        }
    }
}

fn read_quoted<'a>(mut text: &'a [u8], word: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        match text {
            [b'"', rest @ ..] => return Some(rest),
            [b'\\', escaped, rest @ ..] => {
                word.push(*escaped);
                text = rest;
            }
            [plain, rest @ ..] => {
                word.push(*plain);
                text = rest;
            }
            [] => return None,
        }
    }
}

/// One element in the spelling of its kind, or as it stands where it is none of it.
fn put_element(value: &[u8], element: Element, out: &mut Vec<u8>) {
    out.push(VALUE);
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    if spell_element(value, element, out).is_none() {
        out.truncate(start + 4);
        out.extend_from_slice(value);
    }
    let length = u32::try_from(out.len() - start - 4).unwrap_or(u32::MAX);
    out[start..start + 4].copy_from_slice(&length.to_be_bytes());
}

fn spell_element(value: &[u8], element: Element, out: &mut Vec<u8>) -> Option<()> {
    match element {
        Element::Number => decimal::put_literal(value, &mut Vec::new(), out),
        Element::Bool => {
            let truth = match value {
                b"t" | b"true" => b't',
                b"f" | b"false" => b'f',
                _ => return None,
            };
            out.push(truth);
            Some(())
        }
        Element::Json => Canon::default().write_canonical(value, out).map(drop),
        Element::Moment => {
            let micros = time::parse_timestamp(value).filter(|m| m.beyond.is_none())?.utc()?;
            out.extend_from_slice(&micros.to_be_bytes());
            Some(())
        }
        Element::Uuid => {
            let digits = value.iter().filter(|b| **b != b'-');
            out.extend(digits.map(u8::to_ascii_lowercase));
            Some(())
        }
        Element::Text => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canon(text: &str) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        Canon::default().write_canonical(text.as_bytes(), &mut out).map(|_| out)
    }

    #[test]
    fn spellings_of_one_document_are_one() {
        for (a, b) in [
            (r#"{"b":1,"a":[1.0,2]}"#, r#"{"a": [1, 2.00], "b": 10e-1}"#),
            (r#"{"a":1,"a":2}"#, r#"{"a":2}"#),
            (r#""\u00e9\/""#, r#""é/""#),
            (r#""\ud83d\ude00""#, r#""😀""#),
            (r#" [ ] "#, "[]"),
            (r#"{"x":{"d":1,"c":{}}}"#, r#"{"x":{"c":{},"d":1}}"#),
            (r#""\u0022""#, r#""\"""#),
        ] {
            assert_eq!(canon(a).expect(a), canon(b).expect(b), "{a}");
        }
    }

    #[test]
    fn different_documents_differ() {
        for (a, b) in [
            ("1", "2"),
            (r#""1""#, "1"),
            ("[1,2]", "[2,1]"),
            (r#"{"a":null}"#, "{}"),
            (r#""a ""#, r#""a""#),
            (r#"{"a":"b,c"}"#, r#"{"a":"b","c":1}"#),
            (r#"["\"a"]"#, r#"["a"]"#),
        ] {
            assert_ne!(canon(a).expect(a), canon(b).expect(b), "{a}");
        }
    }

    #[test]
    fn what_is_no_json() {
        for text in
            ["", "{", "{a:1}", "[1,]", "01", "1.", "+1", "'a'", r#""\ud800""#, r#""\u0000""#, "nul", "[1] 2"]
        {
            assert_eq!(canon(text), None, "{text}");
        }
        assert_eq!(canon(&"[".repeat(100_000)), None);
    }

    #[test]
    fn doubles_are_told() {
        let mut out = Vec::new();
        let mut told = |text: &str| Canon::default().write_canonical(text.as_bytes(), &mut out).expect(text);
        assert!(told(r#"{"x":{"a":1,"b":2,"a":3}}"#));
        assert!(!told(r#"{"a":{"a":1}}"#));
    }

    fn of(text: &str, element: Element) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        array_of_source(ValueRef::Text(text.as_bytes()), element, &mut out)?;
        Some(out)
    }

    #[test]
    fn spellings_of_one_array_are_one() {
        use Element as E;
        for (element, same) in [
            (E::Text, &[r#"["a","b c"]"#, r#"{a,"b c"}"#, r#"{ "a" , b c }"#][..]),
            (E::Text, &["[]", "{}", " [ ] "]),
            (E::Text, &[r#"["null",null,""]"#, r#"{"null",NULL,""}"#]),
            (E::Text, &[r#"["q\"b\\"]"#, r#"{"q\"b\\"}"#]),
            (E::Number, &["[1, 2.50, 1e3]", "{1,2.5,1000}"]),
            (E::Number, &["[[1,2],[3]]", "{{1,2},{3}}"]),
            (E::Bool, &["[true,false]", "{t,f}"]),
            (E::Moment, &[r#"["2025-01-01T10:00:00Z"]"#, r#"{"2025-01-01 10:00:00+00"}"#]),
            (E::Json, &[r#"[{"b":1,"a":[1.0]}]"#, r#"{"{\"a\": [1], \"b\": 1}"}"#]),
        ] {
            assert!(of(same[0], element).is_some(), "{}", same[0]);
            same.iter().for_each(|s| assert_eq!(of(s, element), of(same[0], element), "{s}"));
        }
        for (a, b) in
            [(r#"["a"]"#, r#"["b"]"#), ("[1]", "[1,1]"), ("[null]", r#"["null"]"#), ("[[1],[2]]", "[1,2]")]
        {
            assert_ne!(of(a, E::Text), of(b, E::Text), "{a} {b}");
        }
        for no in ["", "a", "[1", "{a", "[0:1]={1,2}"] {
            assert_eq!(of(no, E::Text), None, "{no}");
        }
    }
}
