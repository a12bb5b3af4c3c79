//! JSON in one spelling: keys sorted, the last of equal keys, no blanks, numbers without a scale.

use super::decimal;

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
            // A lone surrogate is no character (RFC 8259, section 7), and jsonb refuses it.
            (0xDC00..0xE000).contains(&low).then_some(())?;
            code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
        }
        // \u0000 is JSON, and jsonb refuses it, as text cannot hold it (manual, "JSON Types").
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
}
