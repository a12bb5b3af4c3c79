//! Whether a text is JSON, and whether jsonb would hold all of it.

use rusqlite::Connection;
use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::collections::HashSet;
use std::fmt;

/// Valid JSON, as PostgreSQL's json takes it.
pub(crate) fn is_json(text: &str) -> bool {
    serde_json::from_str::<IgnoredAny>(text).is_ok()
}

/// Valid JSON of which jsonb loses nothing: no key twice, no `\u0000`, no lone surrogate.
pub(crate) fn fits_jsonb(text: &str) -> bool {
    // A NUL can only come as this escape, and serde's strings refuse lone surrogates; the plain case is cheap.
    !text.contains("\\u0000") && serde_json::from_str::<Strict>(text).is_ok() && exponents_fit(text)
}

/// numeric has at most 131,072 digits before the point; serde parses digits without computing them.
fn exponents_fit(text: &str) -> bool {
    let mut rest = text;
    while let Some(at) = rest.find(['e', 'E']) {
        let digits: String =
            rest[at + 1..].chars().take_while(|c| c.is_ascii_digit() || "+-".contains(*c)).collect();
        let before = rest[..at].chars().next_back().is_some_and(|c| c.is_ascii_digit());
        if before && digits.parse::<i64>().is_ok_and(|n| n.abs() > 10_000) {
            return false;
        }
        rest = &rest[at + 1..];
    }
    true
}

thread_local! {
    /// SQLite itself, to read its own binary JSON.
    static SQLITE: Option<Connection> = Connection::open_in_memory().ok();
}

/// The text of SQLite's binary JSON (JSONB); none when the blob is no such.
pub(crate) fn text_of_jsonb(blob: &[u8]) -> Option<String> {
    let sql = "select json(?1) where json_valid(?1, 8)";
    SQLITE.with(|db| db.as_ref()?.query_row(sql, [blob], |r| r.get(0)).ok())
}

struct Strict;

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Strict, D::Error> {
        deserializer.deserialize_any(StrictVisitor)
    }
}

struct StrictVisitor;

macro_rules! takes {
    ($($name:ident: $type:ty),*) => {
        $(fn $name<E: Error>(self, _: $type) -> Result<Strict, E> { Ok(Strict) })*
    };
}

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Strict;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    takes!(visit_bool: bool, visit_i64: i64, visit_u64: u64, visit_f64: f64, visit_str: &str);

    fn visit_unit<E: Error>(self) -> Result<Strict, E> {
        Ok(Strict)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Strict, A::Error> {
        while items.next_element::<Strict>()?.is_some() {}
        Ok(Strict)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Strict, A::Error> {
        let mut keys = HashSet::new();
        while let Some(key) = map.next_key::<String>()? {
            if !keys.insert(key) {
                return Err(A::Error::custom("a key twice"));
            }
            map.next_value::<Strict>()?;
        }
        Ok(Strict)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sqlites_own_jsonb_is_read_by_sqlite() {
        let blob: Vec<u8> = Connection::open_in_memory()
            .and_then(|db| db.query_row("select jsonb('{\"a\":[1.10,null]}')", [], |r| r.get(0)))
            .expect("SQLite");
        assert_eq!(text_of_jsonb(&blob).as_deref(), Some("{\"a\":[1.10,null]}"));
        assert_eq!(text_of_jsonb(b"not JSON at all"), None);
    }

    #[test]
    fn what_jsonb_holds() {
        for text in
            ["{}", "[1, 2.5, \"a\"]", "null", r#"{"a": {"a": 1}}"#, r#""\u00e9""#, "12345678901234567890"]
        {
            assert!(fits_jsonb(text), "{text}");
        }
        for text in [r#"{"a": 1, "a": 2}"#, r#""\u0000""#, r#""\ud800""#, "1e400000"] {
            assert!(!fits_jsonb(text), "{text}");
        }
        for text in ["", "{a: 1}", "[1,]", "'x'", "{'a':1}"] {
            assert!(!is_json(text), "{text}");
        }
    }
}
