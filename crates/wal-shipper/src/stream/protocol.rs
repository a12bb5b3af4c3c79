//! The commands and messages of physical replication.
//!
//! <https://www.postgresql.org/docs/current/protocol-replication.html>

use bytes::{Buf, Bytes};
use std::os::fd::BorrowedFd;
use std::time::Duration;
use toban_core::pg::{ConnInfo, Message, Wire};
use toban_core::wal::{Lsn, Timeline};
use toban_core::{Context, Error, Result};

/// A session that may stream.
pub(super) struct Replication(Wire);

/// What the server is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Identity {
    pub(super) system: u64,
    pub(super) timeline: Timeline,
}

/// Where a timeline goes on that has ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Next(pub(super) Timeline);

/// What comes while it streams.
pub(super) enum Event {
    /// WAL from `start` on.
    Wal { start: Lsn, bytes: Bytes },
    /// The server is there, and may want to know how far we are.
    Alive { reply: bool },
    /// The timeline ends here.
    TimelineEnds,
    /// The server has sent everything and goes down.
    Shutdown,
    /// Nothing within the time, or we were woken.
    Nothing,
}

/// Seconds between PostgreSQL's epoch, 2000-01-01, and Unix'.
const EPOCH: i64 = 946_684_800;

impl Replication {
    /// Logs in.
    pub(super) fn open(at: &ConnInfo) -> Result<Replication> {
        at.replicate().map(Replication)
    }

    pub(super) fn identify(&mut self) -> Result<Identity> {
        let row = self.row("IDENTIFY_SYSTEM")?;
        Ok(Identity { system: number(&row, 0)?, timeline: Timeline(number(&row, 1)?) })
    }

    /// The content of a timeline's history file.
    pub(super) fn history(&mut self, timeline: Timeline) -> Result<Bytes> {
        let row = self.row(&format!("TIMELINE_HISTORY {timeline}"))?;
        row.into_iter().nth(1).flatten().ok_or_else(|| odd("an empty history"))
    }

    fn row(&mut self, command: &str) -> Result<Vec<Option<Bytes>>> {
        let rows = self.0.query(command).doing(|| command.to_string())?;
        rows.into_iter().next().ok_or_else(|| odd("no row"))
    }

    /// Begins to stream; `Some` when there is nothing more on this timeline, and where it goes on.
    pub(super) fn start(
        &mut self,
        slot: Option<&str>,
        from: Lsn,
        timeline: Timeline,
    ) -> Result<Option<Next>> {
        let slot = slot.map(|s| format!("SLOT \"{s}\" ")).unwrap_or_default();
        let command = format!("START_REPLICATION {slot}PHYSICAL {from} TIMELINE {timeline}");
        self.0.ask(&command)?;
        match self.0.answer().doing(|| format!("stream timeline {timeline} from {from}"))? {
            Message::CopyBoth => Ok(None),
            Message::Row(row) => self.next(Some(row)).map(Some),
            other => Err(odd(&format!("{other:?}"))),
        }
    }

    /// What comes within `wait`; `wake` ends the wait.
    pub(super) fn receive(&mut self, wait: Duration, wake: BorrowedFd<'_>) -> Result<Event> {
        match self.0.receive(wait, Some(wake))? {
            None => Ok(Event::Nothing),
            Some(Message::CopyData(data)) => event(data),
            Some(Message::CopyDone) => Ok(Event::TimelineEnds),
            Some(Message::Complete) => Ok(Event::Shutdown),
            Some(other) => Err(odd(&format!("{other:?}"))),
        }
    }

    /// Tells the server what was received and what is stored; `None` says nothing of the latter. `apply` is told equal
    /// to it, since with `remote_apply` commits would wait for ever.
    pub(super) fn report(&mut self, received: Lsn, stored: Option<Lsn>, ask: bool) -> Result<()> {
        let stored = stored.unwrap_or_default().0;
        let mut message = Vec::with_capacity(34);
        message.push(b'r');
        for number in [received.0.max(stored), stored, stored] {
            message.extend(number.to_be_bytes());
        }
        let now = jiff::Timestamp::now().as_microsecond() - EPOCH * 1_000_000;
        message.extend(now.to_be_bytes());
        message.push(u8::from(ask));
        self.0.copy_data(&message)
    }

    /// Answers the end of a timeline: where it goes on.
    pub(super) fn turn(&mut self) -> Result<Next> {
        self.0.copy_done()?;
        loop {
            if let Message::Row(row) = self.0.answer()? {
                return self.next(Some(row));
            }
        }
    }

    fn next(&mut self, row: Option<Vec<Option<Bytes>>>) -> Result<Next> {
        let next = Timeline(number(&row.unwrap_or_default(), 0)?);
        while self.0.answer()? != Message::Ready {}
        Ok(Next(next))
    }

    /// Ends streaming from our side and waits until the server has seen it.
    pub(super) fn finish(&mut self) -> Result<()> {
        self.0.copy_done()?;
        while self.0.answer()? != Message::Complete {}
        Ok(())
    }
}

fn event(mut data: Bytes) -> Result<Event> {
    match (data.first(), data.len()) {
        (Some(b'w'), 25..) => {
            data.advance(1);
            let start = Lsn(data.get_u64());
            data.advance(16);
            Ok(Event::Wal { start, bytes: data })
        }
        (Some(b'k'), 18) => Ok(Event::Alive { reply: data[17] != 0 }),
        _ => Err(odd("a message of another kind")),
    }
}

fn odd(what: &str) -> Error {
    Error::failed(format!("the server answers with {what}, which replication does not know"))
}

fn number<T: std::str::FromStr>(row: &[Option<Bytes>], at: usize) -> Result<T> {
    let cell = row.get(at).and_then(Option::as_ref);
    let text = cell.and_then(|c| std::str::from_utf8(c).ok());
    text.and_then(|t| t.parse().ok()).ok_or_else(|| odd("no number"))
}
