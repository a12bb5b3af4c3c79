//! JSON arrays as PostgreSQL's array literals.

use super::json;

/// The literal of an array: made of a JSON array, or as it stands; none when the text is neither.
pub(crate) fn array_literal(text: &str) -> Option<String> {
    let bare = text.trim();
    match bare.as_bytes().first()? {
        // An object of JSON looks like an array of PostgreSQL; only the empty ones are the same.
        b'{' if bare.len() > 2 && json::is_json(bare) => None,
        b'{' => Some(bare.to_string()),
        b'[' if json::is_json(bare) => {
            let mut out = String::with_capacity(bare.len());
            write_elements(&mut JsonRest(bare), &mut out)?;
            Some(out)
        }
        _ => None,
    }
}

/// What is still to be read of valid JSON.
struct JsonRest<'a>(&'a str);

impl<'a> JsonRest<'a> {
    fn next(&mut self) -> Option<u8> {
        self.0 = self.0.trim_start();
        self.0.bytes().next()
    }

    fn take_bytes(&mut self, len: usize) -> &'a str {
        let (taken, rest) = self.0.split_at(len);
        self.0 = rest;
        taken
    }

    /// A string with its quotes.
    fn take_string(&mut self) -> Option<&'a str> {
        let mut escaped = true;
        let end = self.0.bytes().position(|b| {
            let ends = b == b'"' && !escaped;
            // The first quote begins the string.
            escaped = b == b'\\' && !escaped;
            ends
        })?;
        Some(self.take_bytes(end + 1))
    }

    /// An object with its braces.
    fn take_object(&mut self) -> Option<&'a str> {
        let whole = self.0;
        let mut depth = 0_usize;
        loop {
            match self.next()? {
                b'"' => drop(self.take_string()?),
                b @ (b'{' | b'[' | b'}' | b']') => {
                    self.take_bytes(1);
                    depth = if matches!(b, b'{' | b'[') { depth + 1 } else { depth.checked_sub(1)? };
                    if depth == 0 {
                        return Some(&whole[..whole.len() - self.0.len()]);
                    }
                }
                _ => drop(self.take_bytes(1)),
            }
        }
    }
}

fn write_elements(rest: &mut JsonRest<'_>, out: &mut String) -> Option<()> {
    rest.next()?;
    rest.take_bytes(1);
    out.push('{');
    loop {
        match rest.next()? {
            b']' => {
                rest.take_bytes(1);
                out.push('}');
                return Some(());
            }
            b',' => {
                rest.take_bytes(1);
                out.push(',');
            }
            b'[' => write_elements(rest, out)?,
            b'{' => push_quoted(rest.take_object()?, out),
            b'"' => {
                let text: String = serde_json::from_str(rest.take_string()?).ok()?;
                // No text of PostgreSQL holds it.
                if text.contains('\0') {
                    return None;
                }
                push_quoted(&text, out);
            }
            // A number, true, false or null.
            _ => {
                let end = rest.0.find([',', ']', ' ', '\t', '\n', '\r'])?;
                let word = rest.take_bytes(end);
                out.push_str(if word == "null" { "NULL" } else { word });
            }
        }
    }
}

fn push_quoted(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        if matches!(c, '"' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrays_of_json() {
        for (json, expected) in [
            ("[]", "{}"),
            (r#"["a", "b c"]"#, r#"{"a","b c"}"#),
            (r#"[1, -2.50, 1e3, null, true]"#, "{1,-2.50,1e3,NULL,true}"),
            (r#"["null", "", "q\"q", "b\\b", "\u00e9,{}"]"#, r#"{"null","","q\"q","b\\b","é,{}"}"#),
            ("[[1,2],[3,4]]", "{{1,2},{3,4}}"),
            (r#"[{"a":[1,"}"]}, {"b":"]"}]"#, r#"{"{\"a\":[1,\"}\"]}","{\"b\":\"]\"}"}"#),
            (" {1, 2} ", "{1, 2}"),
        ] {
            assert_eq!(array_literal(json).as_deref(), Some(expected), "{json}");
        }
        for text in ["", "a,b", r#"{"a":1}"#, "[1,", "[1 2]", "1", r#"["\u0000"]"#] {
            assert_eq!(array_literal(text), None, "{text}");
        }
    }
}
