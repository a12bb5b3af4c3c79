//! When a role was last seen: in a server's log, in pg_stat_activity. PostgreSQL itself keeps no such time.

use flate2::read::MultiGzDecoder;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use toban_core::{Context, Result};

const MARK: &str = "connection authorized: user=";

/// What logs and the server know of connections.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// The oldest time in any log: before it nothing is known.
    pub(crate) since: Option<Timestamp>,
    last: BTreeMap<String, (Timestamp, &'static str)>,
}

impl Seen {
    /// Reads every log; `zone` is the server's log_timezone.
    ///
    /// # Errors
    /// When a log cannot be read.
    pub(crate) fn read(logs: &[PathBuf], zone: &TimeZone) -> Result<Seen> {
        let mut seen = Seen::default();
        for path in logs {
            let doing = || format!("read the log {}", path.display());
            for line in lines(path).doing(doing)? {
                seen.line(&String::from_utf8_lossy(&line.doing(doing)?), zone);
            }
        }
        Ok(seen)
    }

    /// Takes one line of any of the three formats: each holds a time, then the message.
    fn line(&mut self, line: &str, zone: &TimeZone) {
        let Some(at) = time(line, zone) else { return };
        self.since = Some(self.since.map_or(at, |since| since.min(at)));
        let Some((_, rest)) = line.split_once(MARK) else { return };
        let ends = [" database=", " application_name=", " SSL enabled", "\"", ","];
        let end = ends.iter().filter_map(|e| rest.find(e)).min().unwrap_or(rest.trim_end().len());
        self.add(&rest[..end], at, "log");
    }

    /// A session that is there, or was.
    pub(crate) fn add(&mut self, role: &str, at: Timestamp, source: &'static str) {
        let last = self.last.entry(role.to_string()).or_insert((at, source));
        if at > last.0 {
            *last = (at, source);
        }
    }

    /// When and by which source.
    pub(crate) fn last(&self, role: &str) -> Option<(Timestamp, &'static str)> {
        self.last.get(role).copied()
    }
}

fn lines(path: &Path) -> std::io::Result<impl Iterator<Item = std::io::Result<Vec<u8>>>> {
    let file = File::open(path)?;
    let packed = path.extension().is_some_and(|e| e == "gz");
    let text: Box<dyn Read> = if packed { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) };
    Ok(BufReader::new(text).split(b'\n'))
}

/// The first `2026-11-22 01:02:03` of the line, wherever log_line_prefix puts it.
fn time(line: &str, zone: &TimeZone) -> Option<Timestamp> {
    let bytes = line.as_bytes();
    let shape = b"dddd-dd-dd dd:dd:dd";
    let fits = |at: &usize| {
        let there = &bytes[*at..*at + shape.len()];
        there.iter().zip(shape).all(|(b, s)| if *s == b'd' { b.is_ascii_digit() } else { b == s })
    };
    let at = (0..bytes.len().checked_sub(shape.len())? + 1).find(fits)?;
    let civil: DateTime = line.get(at..at + shape.len())?.parse().ok()?;
    let rest =
        line[at + shape.len()..].trim_start_matches(|c: char| c == '.' || c.is_ascii_digit()).trim_start();
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
            "2026-11-22 01:02:03.456 UTC [77] LOG:  connection authorized: user=alice database=app application_name=psql",
            "<2026-11-22 02:02:03 CET>app LOG:  connection authorized: user=alice database=app",
            "[77] 2026-11-22 01:02:03 UTC alice@app LOG:  connection authorized: user=alice database=app SSL enabled (protocol=TLSv1.3)",
            "2026-11-22 01:02:03.456 UTC,\"alice\",\"app\",77,\"[local]\",1,2,3,\"\",LOG,00000,\"connection authorized: user=alice database=app\",,",
            r#"{"timestamp":"2026-11-22 01:02:03.456 UTC","user":"alice","message":"connection authorized: user=alice database=app"}"#,
            "2026-11-22 01:02:03 UTC LOG:  replication connection authorized: user=alice",
        ] {
            let mut seen = Seen::default();
            seen.line(line, &zone);
            let at = "2026-11-22T01:02:03Z".parse().expect("a time");
            assert_eq!(seen.last("alice"), Some((at, "log")), "{line}");
            assert_eq!(seen.since, Some(at));
        }
        let mut seen = Seen::default();
        seen.line("LOG:  connection authorized: user=alice database=app", &zone);
        assert!(seen.last("alice").is_none(), "a line without a time says nothing");
    }
}
