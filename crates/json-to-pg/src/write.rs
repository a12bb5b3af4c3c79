//! JSON as text again: in an application's own layout, or on one line.

use crate::json::{Shape, Value};
use crate::source::layout::Layout;
use std::fmt::Write;

/// Writes JSON step by step.
#[derive(Debug, Default)]
pub(crate) struct JsonWriter {
    pub(crate) text: String,
    layout: Layout,
    depth: usize,
    /// The innermost list or object holds nothing yet.
    empty: bool,
}

impl JsonWriter {
    pub(crate) fn new(layout: &Layout) -> JsonWriter {
        JsonWriter { layout: layout.clone(), ..JsonWriter::default() }
    }

    /// Begins a list or an object.
    pub(crate) fn open_bracket(&mut self, bracket: char) {
        self.text.push(bracket);
        self.depth += 1;
        self.empty = true;
    }

    /// Ends it.
    pub(crate) fn close_bracket(&mut self, bracket: char) {
        self.depth -= 1;
        if !self.empty {
            self.break_line();
        }
        self.text.push(bracket);
        self.empty = false;
    }

    /// Before each item of a list, and before each key.
    pub(crate) fn begin_item(&mut self) {
        if !self.empty {
            self.text.push(',');
            if self.layout.indent.is_none() && self.layout.spaced {
                self.text.push(' ');
            }
        }
        self.break_line();
        self.empty = false;
    }

    /// A key with its colon.
    pub(crate) fn put_key(&mut self, key: &str) {
        self.begin_item();
        self.put_string(key);
        self.text.push_str(if self.layout.spaced { ": " } else { ":" });
    }

    /// A string with quotes and the escapes that JSON demands, or that the layout has.
    pub(crate) fn put_string(&mut self, text: &str) {
        self.text.push('"');
        for c in text.chars() {
            match c {
                '"' => self.text.push_str("\\\""),
                '\\' => self.text.push_str("\\\\"),
                '\n' => self.text.push_str("\\n"),
                '\r' => self.text.push_str("\\r"),
                '\t' => self.text.push_str("\\t"),
                '\u{8}' => self.text.push_str("\\b"),
                '\u{c}' => self.text.push_str("\\f"),
                c if (c as u32) < 0x20 || (self.layout.ascii && !c.is_ascii()) => {
                    // Beyond U+FFFF an escape takes two, the halves of a surrogate pair (RFC 8259, section 7).
                    let mut units = [0; 2];
                    for unit in c.encode_utf16(&mut units) {
                        let _ = write!(self.text, "\\u{unit:04x}");
                    }
                }
                c => self.text.push(c),
            }
        }
        self.text.push('"');
    }

    /// Any value; members in the order of `order` where they are named there.
    pub(crate) fn put_value(&mut self, value: Value<'_>, order: &[String]) {
        match value.shape() {
            Shape::String => self.put_string(&value.nearest_text()),
            Shape::Array => {
                self.open_bracket('[');
                for item in value.items() {
                    self.begin_item();
                    self.put_value(item, order);
                }
                self.close_bracket(']');
            }
            Shape::Object => {
                self.open_bracket('{');
                let mut members: Vec<_> =
                    value.members().map(|(key, value)| (key.nearest_text(), value)).collect();
                members.sort_by_key(|(key, _)| order.iter().position(|o| o == key).unwrap_or(usize::MAX));
                for (key, value) in members {
                    self.put_key(&key);
                    self.put_value(value, order);
                }
                self.close_bracket('}');
            }
            _ => self.text.push_str(&String::from_utf8_lossy(value.raw())),
        }
    }

    fn break_line(&mut self) {
        if let Some(blanks) = self.layout.indent {
            self.text.push('\n');
            self.text.extend(std::iter::repeat_n(' ', blanks * self.depth));
        }
    }
}

/// A value on one line.
pub(crate) fn write_value(value: Value<'_>) -> String {
    let mut writer = JsonWriter::default();
    writer.put_value(value, &[]);
    writer.text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::Parser;

    #[test]
    fn text_comes_back_in_its_layout() {
        let cases = [
            (
                "[\n  {\n    \"b\": 1.10,\n    \"a\": []\n  }\n]",
                Layout { indent: Some(2), spaced: true, ..Layout::default() },
            ),
            ("[{\"a\": \"日\\n\", \"b\": {}}]", Layout { spaced: true, ..Layout::default() }),
            ("[{\"a\":\"\\u65e5\\ud83d\\ude00\"}]", Layout { ascii: true, ..Layout::default() }),
        ];
        for (text, layout) in cases {
            let mut parser = Parser::default();
            let mut writer = JsonWriter::new(&layout);
            writer.put_value(parser.parse_text(text.as_bytes()).expect("JSON"), &[]);
            assert_eq!(writer.text, text);
        }
    }
}
