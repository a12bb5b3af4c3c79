//! Password files: `host:port:database:user:password`, the first line that fits.
//! <https://www.postgresql.org/docs/current/libpq-pgpass.html>

use crate::secret::Secret;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Whom a password is wanted for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted<'a> {
    pub(super) host: &'a str,
    pub(super) port: &'a str,
    pub(super) dbname: &'a str,
    pub(super) user: &'a str,
}

/// Whether a password file may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// By us and by libpq.
    All,
    /// By us: systemd shows a service its credentials with mode 0440, which libpq ignores.
    Ours,
    /// Not there, or refused with a warning.
    None,
}

/// Judges a password file as libpq does: others must not be able to read it.
pub(super) fn judge_access(path: &Path, credentials: Option<&Path>) -> Access {
    let Ok(meta) = std::fs::metadata(path) else { return Access::None };
    if !meta.is_file() {
        log::warn!("password file {} is not a plain file: ignored", path.display());
        return Access::None;
    }
    if meta.mode() & 0o077 == 0 {
        return Access::All;
    }
    if meta.mode() & 0o007 == 0 && credentials.is_some_and(|dir| path.starts_with(dir)) {
        return Access::Ours;
    }
    let mode = meta.mode() & 0o777;
    log::warn!("password file {} can be read by others (mode {mode:o}): ignored; chmod 600", path.display());
    Access::None
}

/// The password of the first line that fits.
pub(super) fn find_password(text: &str, wanted: Wanted<'_>) -> Option<Secret> {
    text.lines().filter(|l| !l.starts_with('#')).find_map(|line| match_line(line, wanted))
}

fn match_line(line: &str, wanted: Wanted<'_>) -> Option<Secret> {
    let mut rest = line.trim_end_matches('\r');
    for token in [wanted.host, wanted.port, wanted.dbname, wanted.user] {
        rest = after_field(rest, token)?;
    }
    // A colon ends the password too, unless escaped; most people do not know, and neither does the manual tell.
    let end = field_end(rest).unwrap_or(rest.len());
    Some(Secret::new(unescape_field(&rest[..end])))
}

/// What follows the first field and its colon, when the field is `*` or says `token`.
fn after_field<'a>(line: &'a str, token: &str) -> Option<&'a str> {
    if let Some(rest) = line.strip_prefix("*:") {
        return Some(rest);
    }
    let end = field_end(line)?;
    (unescape_field(&line[..end]) == token).then(|| &line[end + 1..])
}

/// The first colon that no backslash escapes.
fn field_end(line: &str) -> Option<usize> {
    let mut escaped = false;
    line.char_indices()
        .find(|(_, c)| {
            let here = *c == ':' && !escaped;
            escaped = *c == '\\' && !escaped;
            here
        })
        .map(|(i, _)| i)
}

fn unescape_field(text: &str) -> String {
    let (mut out, mut chars) = (String::new(), text.chars());
    while let Some(c) = chars.next() {
        // A backslash at the very end stands for itself.
        out.push(if c == '\\' { chars.next().unwrap_or('\\') } else { c });
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_that_fits_counts() {
        let text = "#*:*:*:*:no\nother:*:*:*:no\ndb:5432:a\\:b:u\\\\v:p\\:w\\\\:rest\n*:*:*:*:last\\\n";
        let found = |host, dbname, user| {
            let wanted = Wanted { host, port: "5432", dbname, user };
            find_password(text, wanted).map(|s| s.reveal().to_string())
        };
        assert_eq!(found("db", "a:b", "u\\v").as_deref(), Some("p:w\\"));
        assert_eq!(found("db", "a", "u").as_deref(), Some("last\\"));
        assert_eq!(found("other", "a", "u").as_deref(), Some("no"));
    }
}
