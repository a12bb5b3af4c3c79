//! Access logs: the combined form of nginx and Apache, with the request's time where it is written, and lines of JSON.

use super::{Tally, Times};
use jiff::Timestamp;
use jiff::fmt::strtime;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use toban_core::{Context, Error, Result};

/// Of more than this only the end is read.
const MOST: u64 = 64 << 20;

/// How far a log was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct LogPosition {
    inode: u64,
    offset: u64,
}

/// One request.
#[derive(Clone, Debug, PartialEq)]
struct LoggedRequest {
    at: Option<Timestamp>,
    status: u16,
    seconds: Option<f64>,
}

/// The requests behind `from`, or since `since`, and where the log ends now. A log that was rotated is read from its
/// beginning.
///
/// # Errors
/// When it cannot be read; Failed when it has lines, and none of them is a request.
pub(crate) fn read_log(
    path: &Path,
    from: Option<LogPosition>,
    since: Option<Timestamp>,
) -> Result<(Tally, LogPosition)> {
    let doing = || format!("read {}", path.display());
    let mut file = File::open(path).doing(doing)?;
    let meta = file.metadata().doing(doing)?;
    let begin = from
        .filter(|from| from.inode == meta.ino() && from.offset <= meta.len())
        .map_or(0, |from| from.offset);
    let begin = begin.max(meta.len().saturating_sub(MOST));
    file.seek(SeekFrom::Start(begin)).doing(doing)?;
    let mut bytes = Vec::new();
    file.take(MOST).read_to_end(&mut bytes).doing(doing)?;
    // The last line may be half written: it is the next run's.
    let whole = bytes.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
    let text = String::from_utf8_lossy(&bytes[..whole]);
    let position = LogPosition { inode: meta.ino(), offset: begin + whole as u64 };
    let requests: Vec<LoggedRequest> = text.lines().filter_map(parse_line).collect();
    if requests.is_empty() && text.lines().count() > 1 {
        return Err(Error::failed(format!("{}: no line is a request", path.display()))
            .hint("the combined form and lines of JSON with `status` are read"));
    }
    if since.is_some() && !requests.is_empty() && requests.iter().all(|r| r.at.is_none()) {
        // None of them would count, and a version that was never looked at would pass for a quiet one.
        return Err(Error::failed(format!("{}: no line has a time that can be read", path.display()))
            .hint("the combined form has $time_local in brackets; lines of JSON want RFC 3339 or seconds"));
    }
    let recent = |r: &&LoggedRequest| since.is_none_or(|since| r.at.is_some_and(|at| at >= since));
    Ok((count_requests(requests.iter().filter(recent)), position))
}

fn count_requests<'a>(requests: impl Iterator<Item = &'a LoggedRequest>) -> Tally {
    let (mut tally, mut times) = (Tally::default(), Vec::new());
    for request in requests {
        tally.requests += 1.0;
        tally.errors += f64::from(u8::from(request.status >= 500));
        times.extend(request.seconds);
    }
    times.sort_by(f64::total_cmp);
    tally.times = if times.is_empty() { Times::Untold } else { Times::Each(times) };
    tally
}

fn parse_line(line: &str) -> Option<LoggedRequest> {
    if line.starts_with('{') { parse_json(line) } else { parse_combined(line) }
}

/// `ADDRESS - USER [01/Dec/2026:01:25:41 +0000] "GET / HTTP/1.1" 200 123 "REFERER" "AGENT" 0.012`: the time is the last
/// word, alone or as `rt=0.012` or `request_time=0.012`, and may be missing.
fn parse_combined(line: &str) -> Option<LoggedRequest> {
    let (_, rest) = line.split_once('[')?;
    let (at, rest) = rest.split_once(']')?;
    let quoted = rest.trim_start().strip_prefix('"')?;
    let status = quoted[end_of_quoted(quoted)? + 1..].split_whitespace().next()?.parse().ok()?;
    let named = |word: &str| {
        let value = word.strip_prefix("rt=").or_else(|| word.strip_prefix("request_time="))?;
        value.trim_matches('"').parse().ok()
    };
    // A number alone is a time when it has a decimal point; without one it may be bytes.
    let alone = |word: &str| word.parse().ok().filter(|_| word.contains('.'));
    let words = || line.split_whitespace().rev();
    let seconds = words().find_map(named).or_else(|| words().next().and_then(alone));
    let at = strtime::parse("%d/%b/%Y:%H:%M:%S %z", at).and_then(|time| time.to_timestamp()).ok();
    Some(LoggedRequest { at, status, seconds })
}

/// Where the quotation ends; nginx writes a quotation mark in it as `\x22`, Apache as `\"`.
fn end_of_quoted(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.char_indices().find_map(|(at, c)| {
        let ends = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        ends.then_some(at)
    })
}

fn parse_json(line: &str) -> Option<LoggedRequest> {
    let value: Value = serde_json::from_str(line).ok()?;
    let first = |keys: &[&str]| keys.iter().find_map(|key| value.get(*key)).cloned();
    let number = |value: Value| value.as_f64().or_else(|| value.as_str()?.parse().ok());
    let status = number(first(&["status", "status_code", "statusCode"])?)? as u16;
    let at =
        first(&["time", "timestamp", "time_iso8601", "@timestamp", "ts"]).and_then(|v| match v.as_f64() {
            Some(seconds) => Timestamp::from_millisecond((seconds * 1000.0) as i64).ok(),
            None => v.as_str()?.parse().ok(),
        });
    let millis =
        first(&["duration_ms", "response_time_ms", "responseTime"]).and_then(number).map(|ms| ms / 1000.0);
    let seconds = first(&["request_time", "duration", "response_time"]).and_then(number).or(millis);
    Some(LoggedRequest { at, status, seconds })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_all_kinds_are_requests() {
        let at = "2026-12-01T01:25:41Z".parse().ok();
        let combined = r#"::1 - - [01/Dec/2026:02:25:41 +0100] "GET /a\"] HTTP/1.1" 503 12 "-" "x 1.5""#;
        for (line, status, seconds, time) in [
            (combined.to_string(), 503, None, at),
            (format!("{combined} 0.250"), 503, Some(0.25), at),
            (format!("{combined} rt=0.3 up=0.2"), 503, Some(0.3), at),
            (
                r#"{"status":200,"request_time":"0.1","time":"2026-12-01T01:25:41Z"}"#.into(),
                200,
                Some(0.1),
                at,
            ),
            (r#"{"statusCode":500,"responseTime":20}"#.into(), 500, Some(0.02), None),
        ] {
            let parsed = parse_line(&line).unwrap_or_else(|| panic!("{line}"));
            assert_eq!(parsed, LoggedRequest { at: time, status, seconds }, "{line}");
        }
        for odd in ["", "started", "{}", "[x] y", "a [b] \"c"] {
            assert_eq!(parse_line(odd), None, "{odd}");
        }
    }

    #[test]
    fn a_log_is_read_on_from_where_it_ended() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("log");
        let line =
            |status: u16| format!("a - - [01/Dec/2026:01:25:41 +0000] \"GET / HTTP/1.1\" {status} 1 0.5\n");
        std::fs::write(&path, format!("{}{}a - - [01/", line(200), line(500))).expect("written");
        let (tally, position) = read_log(&path, None, None).expect("read");
        assert_eq!((tally.requests, tally.errors, tally.p95()), (2.0, 1.0, Some(0.5)));
        std::fs::write(&path, format!("{}{}{}", line(200), line(500), line(502))).expect("written");
        let (tally, position) = read_log(&path, Some(position), None).expect("read");
        assert_eq!((tally.requests, tally.errors), (1.0, 1.0));
        std::fs::rename(&path, dir.path().join("log.1")).expect("rotated");
        std::fs::write(&path, line(200)).expect("written");
        assert_eq!(read_log(&path, Some(position), None).expect("read").0.requests, 1.0);
        let later = "2026-12-01T02:00:00Z".parse().ok();
        assert_eq!(read_log(&path, None, later).expect("read").0.requests, 0.0);
        std::fs::write(&path, "no\nrequests\n").expect("written");
        assert!(read_log(&path, None, None).is_err());
    }
}
