//! Records on stdout: a table on a terminal, tab-separated in a pipe, one JSON object per line with `--json`.

use crate::error::{Context, Result};
use serde::Serialize;
use std::io::{self, ErrorKind, IsTerminal, Write};

/// One thing that was done or found: a line on stdout.
pub trait Record: Serialize {
    /// Names the record in JSON (`"schema": "tool.verb/1"`); its fields may grow, never change.
    const SCHEMA: &'static str;
    /// The table's column titles, as many as [`Record::cells`].
    const HEAD: &'static [&'static str];
    /// The columns for people and pipes.
    fn cells(&self) -> Vec<String>;
}

/// How records are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Aligned columns under titles, written at the end.
    Table,
    /// Tab-separated, each written at once; control characters as `\t`, `\n`, `\u{1b}`.
    Lines,
    /// One JSON object per line, each written at once.
    Json,
}

/// The severity of the monitoring-plugins contract; the number is the exit status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// All is well.
    Ok = 0,
    /// Look at it in working hours.
    Warning = 1,
    /// Look at it now.
    Critical = 2,
    /// Could not judge: never taken for well.
    Unknown = 3,
}

impl Severity {
    /// What needs attention, the most urgent first: an alarm counts more than not knowing, that more than a warning.
    pub const NEEDING_ATTENTION: [Severity; 3] = [Severity::Critical, Severity::Unknown, Severity::Warning];

    /// Its place in the order of urgency: 0 is the most urgent.
    pub fn rank(self) -> usize {
        Severity::NEEDING_ATTENTION
            .iter()
            .position(|t| *t == self)
            .unwrap_or(Severity::NEEDING_ATTENTION.len())
    }

    /// The most urgent of `all`; nothing judged is Unknown.
    pub fn worst(all: impl IntoIterator<Item = Severity>) -> Severity {
        all.into_iter().min_by_key(|s| s.rank()).unwrap_or(Severity::Unknown)
    }

    /// Its name in records and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Severity::Ok => "ok",
            Severity::Warning => "warning",
            Severity::Critical => "critical",
            Severity::Unknown => "unknown",
        }
    }
}

impl std::fmt::Display for Severity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Severity::Ok => "OK",
            Severity::Warning => "WARNING",
            Severity::Critical => "CRITICAL",
            Severity::Unknown => "UNKNOWN",
        })
    }
}

/// Where records go. A reader that closed the pipe early is content: the job goes on, the rest is not written.
pub struct Out<'a> {
    sink: Box<dyn Write + 'a>,
    format: Format,
    head: &'static [&'static str],
    rows: Vec<Vec<String>>,
    closed: bool,
    plugin: Option<Severity>,
}

#[derive(Serialize)]
struct Tagged<'r, R: Record> {
    schema: &'static str,
    #[serde(flatten)]
    record: &'r R,
}

impl<'a> Out<'a> {
    /// Standard output, as a table on a terminal.
    pub fn stdout(json: bool) -> Out<'static> {
        let stdout = io::stdout();
        let format = match (json, stdout.is_terminal()) {
            (true, _) => Format::Json,
            (false, true) => Format::Table,
            (false, false) => Format::Lines,
        };
        Out::new(Box::new(stdout), format)
    }

    /// Any sink.
    pub fn new(sink: Box<dyn Write + 'a>, format: Format) -> Out<'a> {
        Out { sink, format, head: &[], rows: Vec::new(), closed: false, plugin: None }
    }

    /// Writes one record: what it says is done (or, in a dry run, would be).
    ///
    /// # Errors
    /// When stdout cannot be written (a full disk), but not when its reader went away.
    pub fn emit<R: Record>(&mut self, record: &R) -> Result<()> {
        match self.format {
            Format::Table => {
                if self.head != R::HEAD {
                    self.flush()?;
                    self.head = R::HEAD;
                }
                self.rows.push(record.cells().iter().map(|c| escape(c)).collect());
                Ok(())
            }
            Format::Lines => {
                let line: Vec<String> = record.cells().iter().map(|c| escape(c)).collect();
                self.line(&line.join("\t"))
            }
            Format::Json => {
                let tagged = Tagged { schema: R::SCHEMA, record };
                let line =
                    serde_json::to_string(&tagged).doing(|| format!("write a {} record", R::SCHEMA))?;
                self.line(&escape_json(&line))
            }
        }
    }

    /// Ends a check under the monitoring-plugins contract: one line, then the status is `severity`'s number.
    ///
    /// # Errors
    /// Those of [`Out::emit`].
    pub fn plugin(&mut self, severity: Severity, text: &str, perfdata: &[String]) -> Result<()> {
        self.plugin = Some(severity);
        // `|` ends the text and begins the perfdata.
        let text = escape(text).replace('|', "/");
        let bar = if perfdata.is_empty() { "" } else { " | " };
        self.line(&format!("{severity}: {text}{bar}{}", perfdata.join(" ")))
    }

    /// What [`Out::plugin`] said.
    pub fn severity(&self) -> Option<Severity> {
        self.plugin
    }

    /// Writes the table that was gathered.
    ///
    /// # Errors
    /// Those of [`Out::emit`].
    pub fn flush(&mut self) -> Result<()> {
        if !self.rows.is_empty() {
            let table = render(self.head, &std::mem::take(&mut self.rows));
            self.line(table.trim_end_matches('\n'))?;
        }
        let flushed = self.sink.flush();
        self.settle(flushed)
    }

    fn line(&mut self, line: &str) -> Result<()> {
        if self.closed {
            return Ok(());
        }
        // Flushed for each: whoever reads along learns of a thing when it is done, and a record that was written is
        // not lost when we are killed.
        let written = writeln!(self.sink, "{line}").and_then(|()| self.sink.flush());
        self.settle(written)
    }

    fn settle(&mut self, written: io::Result<()>) -> Result<()> {
        if matches!(&written, Err(e) if e.kind() == ErrorKind::BrokenPipe) {
            // As for `head`: whoever reads no more has what he wanted, and the job is not over for that (SIGPIPE is
            // ignored by Rust's runtime, so the write fails instead).
            self.closed = true;
            return Ok(());
        }
        written.doing(|| "write to stdout".into())
    }
}

/// Control characters never reach a terminal or break a line: `\t`, `\n`, `\u{1b}`; a backslash stays one. Nor do
/// marks that turn the direction of what follows, by which one name poses as another.
pub fn escape(cell: &str) -> String {
    let turns =
        |c: char| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let bad = |c: char| c.is_control() || turns(c);
    if !cell.chars().any(bad) {
        return cell.to_string();
    }
    cell.chars().flat_map(|c| if bad(c) { c.escape_default().collect::<Vec<_>>() } else { vec![c] }).collect()
}

/// A text as HTML has it, between tags or in quotes: nothing of it is markup.
pub fn html(text: &str) -> String {
    let pairs = [('&', "&amp;"), ('<', "&lt;"), ('>', "&gt;"), ('"', "&quot;"), ('\'', "&#39;")];
    pairs.into_iter().fold(text.to_string(), |text, (c, name)| text.replace(c, name))
}

/// The control characters from U+007F to U+009F, which JSON allows and terminals obey.
fn escape_json(line: &str) -> String {
    if !line.chars().any(char::is_control) {
        return line.to_string();
    }
    let one = |c: char| if c.is_control() { format!("\\u{:04x}", u32::from(c)) } else { c.to_string() };
    line.chars().map(one).collect()
}

fn render(head: &[&str], rows: &[Vec<String>]) -> String {
    let titles: Vec<String> = head.iter().map(|h| h.to_uppercase()).collect();
    let width = |i: usize| rows.iter().chain([&titles]).map(|r| r[i].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(c, w)| format!("{c:<w$}")).collect();
        format!("{}\n", cells.join("  ").trim_end())
    };
    [&titles].into_iter().chain(rows).map(line).collect()
}

/// Bytes for people: `1.5 MiB`; the exact number below 1 KiB.
pub fn bytes(n: u64) -> String {
    let units = ["KiB", "MiB", "GiB", "TiB"];
    if n < 1024 {
        return format!("{n} B");
    }
    let (mut value, mut unit) = (n as f64 / 1024.0, 0);
    while value >= 1024.0 && unit + 1 < units.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", units[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize)]
    struct Cat {
        name: &'static str,
        lives: u8,
    }
    impl Record for Cat {
        const SCHEMA: &'static str = "test.cat/1";
        const HEAD: &'static [&'static str] = &["name", "lives"];
        fn cells(&self) -> Vec<String> {
            vec![self.name.into(), self.lives.to_string()]
        }
    }

    #[test]
    fn the_most_urgent_decides_and_nothing_judged_is_unknown() {
        use Severity::{Critical, Ok, Unknown, Warning};
        assert_eq!(Severity::worst([Ok, Warning, Unknown, Ok]), Unknown);
        assert_eq!(Severity::worst([Unknown, Critical, Warning]), Critical);
        assert_eq!((Severity::worst([Warning, Ok]), Severity::worst([Ok])), (Warning, Ok));
        assert_eq!(Severity::worst([]), Unknown);
    }

    #[test]
    fn no_control_character_gets_through_json() {
        let mut sink = Vec::new();
        let mut out = Out::new(Box::new(&mut sink), Format::Json);
        out.emit(&Cat { name: "a\u{9b}31m\u{7f}\n", lives: 9 }).expect("emit");
        drop(out);
        let text = String::from_utf8(sink).expect("UTF-8");
        assert!(text.contains(r"a\u009b31m\u007f\n"), "{text}");
    }

    fn written(format: Format) -> String {
        let mut sink = Vec::new();
        let mut out = Out::new(Box::new(&mut sink), format);
        out.emit(&Cat { name: "tama\t\x1b[31m", lives: 9 }).expect("emit");
        out.emit(&Cat { name: "mi", lives: 8 }).expect("emit");
        out.flush().expect("flush");
        drop(out);
        String::from_utf8(sink).expect("utf-8")
    }

    #[test]
    fn three_formats() {
        assert_eq!(
            written(Format::Table),
            "NAME              LIVES\ntama\\t\\u{1b}[31m  9\nmi                8\n"
        );
        assert_eq!(written(Format::Lines), "tama\\t\\u{1b}[31m\t9\nmi\t8\n");
        let json = written(Format::Json);
        assert!(json.starts_with(r#"{"schema":"test.cat/1","name":"tama\t\u001b[31m","lives":9}"#), "{json}");
    }

    #[test]
    fn a_closed_reader_is_content() {
        struct Closed;
        impl Write for Closed {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut out = Out::new(Box::new(Closed), Format::Lines);
        out.emit(&Cat { name: "tama", lives: 9 }).expect("quiet");
        out.emit(&Cat { name: "tama", lives: 9 }).expect("quiet");
    }

    #[test]
    fn bytes_for_people() {
        let seen: Vec<String> = [0, 1023, 1024, 1_610_612_736].iter().map(|n| bytes(*n)).collect();
        assert_eq!(seen, ["0 B", "1023 B", "1.0 KiB", "1.5 GiB"]);
    }
}
