//! When a role was last seen: in a server's log, in pg_stat_activity. PostgreSQL itself keeps no such time.

use flate2::read::MultiGzDecoder;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use toban_core::{Context, Result};

const MARK: &str = "connection authorized: user=";
/// Programs of which each role is told.
const PROGRAMS: usize = 3;

/// When a role was last seen.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Last {
    pub(crate) at: Timestamp,
    /// By what, for people.
    pub(crate) source: &'static str,
    /// What the clients called themselves (application_name): a hint, anybody may say anything.
    pub(crate) programs: BTreeSet<String>,
}

/// What logs and the server know of connections.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    /// The oldest time in any log: before it nothing is known.
    pub(crate) since: Option<Timestamp>,
    last: BTreeMap<String, Last>,
}

impl Connections {
    /// Reads every log; `zone` is the server's log_timezone.
    ///
    /// # Errors
    /// When a log cannot be read.
    pub(crate) fn read_logs(logs: &[PathBuf], zone: &TimeZone) -> Result<Connections> {
        let mut seen = Connections::default();
        for path in logs {
            let doing = || format!("read the log {}", path.display());
            for line in open_lines(path).doing(doing)? {
                seen.read_line(&String::from_utf8_lossy(&line.doing(doing)?), zone);
            }
        }
        Ok(seen)
    }

    /// Takes one line of any of the three formats: each holds a time, then the message.
    fn read_line(&mut self, line: &str, zone: &TimeZone) {
        let Some(at) = parse_time(line, zone) else { return };
        // Any line of the log counts for how far it reaches back, also one that names no role: silence means something
        // only from the oldest line on.
        self.since = Some(self.since.map_or(at, |since| since.min(at)));
        // A statement that somebody logged may quote the words: only where the message itself begins with them was there
        // a connection, else anybody could keep a role in use by a comment in a query.
        let message = line.split_once(MARK).filter(|(before, _)| is_message(before));
        let Some((_, rest)) = message else { return };
        let (role, more) =
            cut_at(rest, &[" database=", " application_name=", " SSL enabled", " GSS ", "\"", ","]);
        let program =
            more.split_once(" application_name=").map(|(_, p)| cut_at(p, &[" SSL enabled", " GSS ", "\""]).0);
        self.add(role, at, "log_connections", program);
    }

    /// A session that is there, or was.
    pub(crate) fn add(&mut self, role: &str, at: Timestamp, source: &'static str, program: Option<&str>) {
        let new = || Last { at, source, programs: BTreeSet::new() };
        let last = self.last.entry(role.to_string()).or_insert_with(new);
        if at > last.at {
            (last.at, last.source) = (at, source);
        }
        if let Some(program) =
            program.map(str::trim).filter(|p| !p.is_empty() && last.programs.len() < PROGRAMS)
        {
            last.programs.insert(program.to_string());
        }
    }

    /// When, by which source and by which programs.
    pub(crate) fn last(&self, role: &str) -> Option<&Last> {
        self.last.get(role)
    }
}

/// Up to the first of `ends`, and the rest.
fn cut_at<'a>(text: &'a str, ends: &[&str]) -> (&'a str, &'a str) {
    let end = ends.iter().filter_map(|e| text.find(e)).min().unwrap_or(text.trim_end().len());
    text.split_at(end)
}

/// Whether the message begins here: a statement that quotes one is none.
fn is_message(before: &str) -> bool {
    let before = before.strip_suffix("replication ").unwrap_or(before);
    match before.contains("LOG:  ") {
        true => before.ends_with("LOG:  ") && before.matches("LOG:  ").count() == 1,
        false => before.ends_with(",\"") || before.ends_with(":\""),
    }
}

/// A log that is not there is told before anything is asked of any server.
///
/// # Errors
/// When one cannot be opened.
pub(super) fn check_readable(logs: &[PathBuf]) -> Result<()> {
    logs.iter()
        .try_for_each(|log| File::open(log).map(drop).doing(|| format!("read the log {}", log.display())))
}

fn open_lines(path: &Path) -> std::io::Result<impl Iterator<Item = std::io::Result<Vec<u8>>>> {
    let file = File::open(path)?;
    // logrotate packs what is older than a day: a span of 90 days is mostly in such files.
    let packed = path.extension().is_some_and(|e| e == "gz");
    let text: Box<dyn Read> = if packed { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) };
    Ok(BufReader::new(text).split(b'\n'))
}

/// The first `2026-11-22 01:02:03` of the line, wherever log_line_prefix puts it; times in a message are not ours.
fn parse_time(line: &str, zone: &TimeZone) -> Option<Timestamp> {
    // The lines of a statement follow its first one behind a tab.
    if line.starts_with('\t') {
        return None;
    }
    let bytes = line.split_once(":  ").map_or(line, |(prefix, _)| prefix).as_bytes();
    let shape = b"dddd-dd-dd dd:dd:dd";
    let fits = |at: &usize| {
        let there = &bytes[*at..*at + shape.len()];
        there.iter().zip(shape).all(|(b, s)| if *s == b'd' { b.is_ascii_digit() } else { b == s })
    };
    let at = (0..bytes.len().checked_sub(shape.len())? + 1).find(fits)?;
    let civil: DateTime = line.get(at..at + shape.len())?.parse().ok()?;
    let rest =
        line[at + shape.len()..].trim_start_matches(|c: char| c == '.' || c.is_ascii_digit()).trim_start();
    // The log's own abbreviations of zones are ambiguous (CST is three); only these two are never another.
    let zone = if rest.starts_with("UTC") || rest.starts_with("GMT") { &TimeZone::UTC } else { zone };
    zone.to_timestamp(civil).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_format_and_any_prefix() {
        let zone = TimeZone::get("Europe/Berlin").expect("a zone");
        for line in [
            "2026-11-22 01:02:03.456 UTC [77] LOG:  connection authorized: user=alice database=app application_name=psql app SSL enabled (protocol=TLSv1.3)",
            "<2026-11-22 02:02:03 CET>app LOG:  connection authorized: user=alice database=app",
            "[77] 2026-11-22 01:02:03 UTC alice@app LOG:  connection authorized: user=alice database=app SSL enabled (protocol=TLSv1.3)",
            "2026-11-22 01:02:03.456 UTC,\"alice\",\"app\",77,\"[local]\",1,2,3,\"\",LOG,00000,\"connection authorized: user=alice database=app\",,",
            r#"{"timestamp":"2026-11-22 01:02:03.456 UTC","user":"alice","message":"connection authorized: user=alice database=app"}"#,
            "2026-11-22 01:02:03 UTC LOG:  replication connection authorized: user=alice",
        ] {
            let mut seen = Connections::default();
            seen.read_line(line, &zone);
            let at = "2026-11-22T01:02:03Z".parse().expect("a time");
            let last = seen.last("alice").unwrap_or_else(|| panic!("nobody in {line}"));
            assert_eq!((last.at, last.source), (at, "log_connections"), "{line}");
            assert_eq!(last.programs.contains("psql app"), line.contains("psql"), "{line}: {last:?}");
            assert_eq!(seen.since, Some(at));
        }
        let mut seen = Connections::default();
        seen.read_line("LOG:  connection authorized: user=alice database=app", &zone);
        assert!(seen.last("alice").is_none(), "a line without a time says nothing");
        for line in [
            "2026-11-22 01:02:03 UTC [7] LOG:  statement: select 'connection authorized: user=alice database=app'",
            "2026-11-22 01:02:03 UTC [7] LOG:  statement: select 'LOG:  connection authorized: user=alice database=app'",
            "\t2026-11-22 01:02:03 UTC [7] LOG:  connection authorized: user=alice database=app",
            "2026-11-22 01:02:03.456 UTC,\"bert\",\"app\",7,\"\",LOG,00000,\"statement: select \"\"connection authorized: user=alice\",,",
        ] {
            seen.read_line(line, &zone);
            assert!(seen.last("alice").is_none(), "what anybody can write into a statement: {line}");
        }
        seen.read_line("[7] LOG:  duration of '1970-01-01 00:00:00'", &zone);
        assert!(seen.since.is_some_and(|s| s.as_second() > 0), "a time in a message is no age of the log");
    }
}
