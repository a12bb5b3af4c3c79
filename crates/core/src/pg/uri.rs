//! `postgresql://user:password@host1:port1,host2/dbname?key=value`, read as libpq does.
//! <https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING-URIS>

use super::settings::Settings;
use crate::error::{Error, Result};

/// What follows the scheme, when `text` is a URI of ours.
pub(super) fn strip_scheme(text: &str) -> Option<&str> {
    text.strip_prefix("postgresql://").or_else(|| text.strip_prefix("postgres://"))
}

/// Reads what follows the scheme.
///
/// # Errors
/// Usage: an unknown parameter, a broken `%` sequence, an unclosed `[`. Values are never part of the message.
pub(super) fn parse_uri(text: &str) -> Result<Settings> {
    let mut settings = Settings::default();
    let rest = take_credentials(text, &mut settings)?;
    let (hosts, rest) = split_before(rest, &['/', '?']);
    take_locations(hosts, &mut settings)?;
    let (path, query) = match rest.strip_prefix('/') {
        Some(rest) => split_before(rest, &['?']),
        None => ("", rest),
    };
    give_unless_empty(&mut settings, "dbname", path)?;
    let query = query.strip_prefix('?').unwrap_or("");
    for pair in query.split('&').filter(|p| !p.is_empty()) {
        take_parameter(pair, &mut settings)?;
    }
    Ok(settings)
}

fn split_before<'a>(text: &'a str, at: &[char]) -> (&'a str, &'a str) {
    text.split_at(text.find(at).unwrap_or(text.len()))
}

/// Like libpq, an `@` counts as the credentials' end wherever it stands before the first `/`.
fn take_credentials<'a>(text: &'a str, settings: &mut Settings) -> Result<&'a str> {
    let (before, rest) = split_before(text, &['@', '/']);
    let Some(rest) = rest.strip_prefix('@') else { return Ok(text) };
    let (user, password) = before.split_once(':').unwrap_or((before, ""));
    give_unless_empty(settings, "user", user)?;
    give_unless_empty(settings, "password", password)?;
    Ok(rest)
}

fn take_locations(text: &str, settings: &mut Settings) -> Result<()> {
    let (mut hosts, mut ports) = (Vec::new(), Vec::new());
    for item in text.split(',') {
        let (host, port) = split_location(item)?;
        hosts.push(host);
        ports.push(port);
    }
    give_unless_empty(settings, "host", &hosts.join(","))?;
    give_unless_empty(settings, "port", &ports.join(","))
}

fn split_location(item: &str) -> Result<(&str, &str)> {
    let Some(rest) = item.strip_prefix('[') else {
        return Ok(item.split_once(':').unwrap_or((item, "")));
    };
    let bad = || Error::usage("read the connection URI: an IPv6 address is [address] or [address]:port");
    let (address, after) = rest.split_once(']').filter(|(a, _)| !a.is_empty()).ok_or_else(bad)?;
    match after.strip_prefix(':') {
        Some(port) => Ok((address, port)),
        None if after.is_empty() => Ok((address, "")),
        None => Err(bad()),
    }
}

fn take_parameter(pair: &str, settings: &mut Settings) -> Result<()> {
    let (key, value) = pair.split_once('=').ok_or_else(|| Error::usage("a URI parameter without \"=\""))?;
    let key = decode_component(key)?;
    if value.contains('=') {
        return Err(
            Error::usage(format!("the URI parameter \"{key}\" has a second \"=\"")).hint("write it as %3D")
        );
    }
    match (key.as_str(), value) {
        // JDBC's spelling.
        ("ssl", "true") => settings.set_value("sslmode", "require".into()),
        _ => settings.set_value(&key, decode_component(value)?),
    }
}

fn give_unless_empty(settings: &mut Settings, key: &str, encoded: &str) -> Result<()> {
    if encoded.is_empty() { Ok(()) } else { settings.set_value(key, decode_component(encoded)?) }
}

fn decode_component(text: &str) -> Result<String> {
    let bad =
        || Error::usage("read the connection URI: % must be followed by two hexadecimal digits, not 00");
    let (mut bytes, mut rest) = (Vec::new(), text.bytes());
    while let Some(b) = rest.next() {
        let byte = match b {
            b'%' => parse_hex(rest.next(), rest.next()).filter(|b| *b != 0).ok_or_else(bad)?,
            b => b,
        };
        bytes.push(byte);
    }
    String::from_utf8(bytes).map_err(|_| Error::usage("read the connection URI: not UTF-8 once decoded"))
}

fn parse_hex(high: Option<u8>, low: Option<u8>) -> Option<u8> {
    let digit = |b: Option<u8>| char::from(b?).to_digit(16);
    u8::try_from(digit(high)? * 16 + digit(low)?).ok()
}

/// `text` as a URI's component wants it.
pub fn encode_component(text: &str) -> String {
    let plain = |b: &u8| b.is_ascii_alphanumeric() || b"-._~".contains(b);
    text.bytes().map(|b| if plain(&b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}
