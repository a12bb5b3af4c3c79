//! `host=db1 dbname='my app'`: libpq's key=value strings.

use super::settings::Settings;
use crate::error::{Error, Result};
use std::iter::Peekable;
use std::str::Chars;

type Rest<'a> = Peekable<Chars<'a>>;

/// Reads a key=value string; a later value of the same key wins.
///
/// # Errors
/// Usage: an unknown key, a missing `=`, an open quote. Values are never part of the message.
pub(super) fn parse_keyvalue(text: &str) -> Result<Settings> {
    let (mut rest, mut settings) = (text.chars().peekable(), Settings::default());
    loop {
        skip_blanks(&mut rest);
        if rest.peek().is_none() {
            return Ok(settings);
        }
        let key = parse_key(&mut rest)?;
        settings.set_value(&key, parse_value(&mut rest, &key)?)?;
    }
}

fn parse_key(rest: &mut Rest<'_>) -> Result<String> {
    let mut key = String::new();
    while let Some(c) = rest.next_if(|c| *c != '=' && !c.is_ascii_whitespace()) {
        key.push(c);
    }
    skip_blanks(rest);
    match rest.next_if_eq(&'=') {
        Some(_) => Ok(key),
        // The word may be a piece of a password with a blank in it: it is not shown.
        None => Err(Error::usage("read the connection string: a word without \"=\"")
            .hint("quote a value that has blanks: password='two words'")),
    }
}

fn parse_value(rest: &mut Rest<'_>, key: &str) -> Result<String> {
    skip_blanks(rest);
    let quoted = rest.next_if_eq(&'\'').is_some();
    let mut value = String::new();
    loop {
        match rest.next() {
            None if quoted => return Err(Error::usage(format!("the quote of \"{key}\" is never closed"))),
            None => return Ok(value),
            Some('\'') if quoted => return Ok(value),
            Some(c) if !quoted && c.is_ascii_whitespace() => return Ok(value),
            // A backslash takes the next character as it is, in quotes and outside of them (libpq, "Keyword/Value
            // Connection Strings").
            Some('\\') => value.extend(rest.next()),
            Some(c) => value.push(c),
        }
    }
}

fn skip_blanks(rest: &mut Rest<'_>) {
    while rest.next_if(char::is_ascii_whitespace).is_some() {}
}

/// `value` as a key=value string wants it: `'it\'s'`.
pub fn quote_value(value: &str) -> String {
    format!("'{}'", value.replace('\\', r"\\").replace('\'', r"\'"))
}
