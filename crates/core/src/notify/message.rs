//! What a notification says: a subject that fits a phone's lock screen, and a text.

use super::decide::{Event, Standing};
use crate::error::Kind;
use crate::out::escape;
use crate::random;
use crate::run_record::RunRecord;
use crate::stamp::iso_seconds;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::fmt::Write;

/// The longest subject, in characters.
const SUBJECT: usize = 120;
/// The longest text, in bytes: what a ping monitor keeps, and what fits one message of Slack's.
pub(super) const TEXT: usize = 10_000;

impl RunRecord {
    /// How the job stands after this run.
    pub(super) fn standing(&self) -> Standing {
        Standing::of(self.status)
    }

    /// All there is to say, at most [`TEXT`] bytes; of too many notes the last are kept.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        let mut line = |name: &str, value: &str| {
            let _ = writeln!(text, "{name:<9}{value}");
        };
        line("Job:", cut(&escape(&self.title()), 500));
        line("Host:", &self.host);
        for (name, text, limit) in [("Error:", &self.error, 2000), ("Hint:", &self.hint, 1000)] {
            text.iter().for_each(|t| line(name, cut(&escape(t), limit)));
        }
        line("Status:", &format!("{} ({})", self.status, meaning(self.status)));
        line("Started:", &iso_seconds(self.started));
        line("Took:", &format!("{:.1} s", self.seconds));
        if let Ok(id) = std::env::var("INVOCATION_ID") {
            line("Log:", &format!("journalctl _SYSTEMD_INVOCATION_ID={id}"));
        }
        if !self.notes.is_empty() {
            let notes = self.notes.join("\n");
            let _ = write!(text, "\n{}\n", tail(&notes, TEXT.saturating_sub(text.len() + 2)));
        }
        text
    }

    /// One line: what, where, and what happened.
    fn subject(&self, event: Event) -> String {
        let what = format!("{} on {}", self.title(), self.host);
        let error = self.error.as_deref().unwrap_or("no error was given");
        let line = match event {
            Event::Failed => format!("{what} failed: {error}"),
            Event::Changed => format!("{what} fails in another way: {error}"),
            Event::Still => format!("{what} still fails: {error}"),
            Event::Resolved => format!("{what} works again"),
            Event::Done => format!("{what} is done"),
        };
        subject_safe(&line)
    }
}

/// A UUID of version 8, whose bits are of our own making (RFC 9562, section 5.8): random ones.
pub(super) fn uuid() -> String {
    let high = random::number() & !0xf000 | 0x8000;
    let low = random::number() & !(0xc << 60) | 0x8 << 60;
    let hex = format!("{high:016x}{low:016x}");
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

fn meaning(status: u8) -> &'static str {
    match Kind::ALL.iter().find(|k| k.status() == status) {
        Some(kind) => kind.meaning(),
        None if status == 0 => "done",
        None => "ended by a bug",
    }
}

/// One line without control characters, so that no text can begin a header of its own; cut to 120 characters.
fn subject_safe(line: &str) -> String {
    let plain: String = line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    match plain.char_indices().nth(SUBJECT - 1) {
        Some((at, _)) if plain.chars().count() > SUBJECT => format!("{}…", &plain[..at]),
        _ => plain,
    }
}

/// The first `limit` bytes, or fewer where a character would be cut.
pub(super) fn cut(text: &str, limit: usize) -> &str {
    &text[..text.floor_char_boundary(limit)]
}

/// The last `limit` bytes, or fewer where a character would be cut.
pub(super) fn tail(text: &str, limit: usize) -> &str {
    &text[text.ceil_char_boundary(text.len().saturating_sub(limit))..]
}

/// A message as it waits for its delivery.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Message {
    /// Names it for ever: a mail that was sent twice can be known by it.
    pub id: String,
    /// When it was written.
    pub date: Timestamp,
    /// What happened.
    pub event: Event,
    /// How the job stood then.
    pub standing: Standing,
    /// One line.
    pub subject: String,
    /// The rest.
    pub text: String,
}

impl Message {
    /// The message about the `event` that `run` is.
    pub(super) fn new(run: &RunRecord, event: Event) -> Message {
        Message {
            id: uuid(),
            date: run.ended,
            event,
            standing: run.standing(),
            subject: run.subject(event),
            text: run.text(),
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::notify) fn run(status: u8, error: &str) -> RunRecord {
        RunRecord {
            seconds: 1.5,
            status,
            error: (status != 0).then(|| error.to_string()),
            host: "db1".into(),
            ..RunRecord::started("pg-backup", "dump", "main")
        }
    }

    #[test]
    fn a_subject_is_one_short_line() {
        let nasty = run(1, &format!("a\r\nBcc: eve@example.org\u{0}{}", "日".repeat(200)));
        let subject = Message::new(&nasty, Event::Failed).subject;
        assert!(subject.starts_with("pg-backup dump main on db1 failed: a  Bcc: eve"), "{subject}");
        assert_eq!(subject.chars().count(), 120);
        assert!(!subject.chars().any(char::is_control), "{subject:?}");
    }

    #[test]
    fn a_text_is_bounded_and_keeps_the_last_notes() {
        let mut long = run(1, &"é".repeat(9000));
        long.hint = Some("é".repeat(9000));
        long.notes = (0..2000).map(|n| format!("note {n} 日本")).collect();
        let text = long.text();
        assert!(text.len() <= TEXT && text.ends_with("note 1999 日本\n"), "{} bytes", text.len());
    }

    #[test]
    fn every_message_has_a_uuid_of_its_own() {
        let (a, b) = (uuid(), uuid());
        let shape: Vec<usize> = a.split('-').map(str::len).collect();
        assert_eq!((shape, &a[14..15]), (vec![8, 4, 4, 4, 12], "8"));
        assert_ne!(a, b);
    }
}
