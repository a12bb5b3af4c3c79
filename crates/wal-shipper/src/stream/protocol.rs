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

/// The answer to IDENTIFY_SYSTEM.
#[derive(Clone, Copy, Debug)]
pub(super) struct SystemAnswer {
    pub(super) system: u64,
    pub(super) timeline: Timeline,
}

/// What comes while it streams.
pub(super) enum StreamEvent {
    /// WAL from `start` on.
    Wal { start: Lsn, bytes: Bytes },
    /// The server runs (a keepalive), and may want to know how far we are.
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
        at.connect_replication().map(Replication)
    }

    pub(super) fn identify_system(&mut self) -> Result<SystemAnswer> {
        let row = self.query_row("IDENTIFY_SYSTEM")?;
        Ok(SystemAnswer { system: parse_cell(&row, 0)?, timeline: Timeline(parse_cell(&row, 1)?) })
    }

    /// The content of a timeline's history file.
    pub(super) fn timeline_history(&mut self, timeline: Timeline) -> Result<Bytes> {
        let row = self.query_row(&format!("TIMELINE_HISTORY {timeline}"))?;
        row.into_iter().nth(1).flatten().ok_or_else(|| unknown_answer("an empty history"))
    }

    fn query_row(&mut self, command: &str) -> Result<Vec<Option<Bytes>>> {
        let rows = self.0.query_rows(command).doing(|| command.to_string())?;
        rows.into_iter().next().ok_or_else(|| unknown_answer("no row"))
    }

    /// Begins to stream; `Some` when there is nothing more on this timeline: the next one.
    pub(super) fn start_streaming(
        &mut self,
        slot: Option<&str>,
        from: Lsn,
        timeline: Timeline,
    ) -> Result<Option<Timeline>> {
        let slot = slot.map(|s| format!("SLOT \"{s}\" ")).unwrap_or_default();
        // Without TIMELINE the server streams its newest, and that has nothing of what an older one wrote before the switch.
        let command = format!("START_REPLICATION {slot}PHYSICAL {from} TIMELINE {timeline}");
        self.0.send_query(&command)?;
        match self.0.await_message().doing(|| format!("stream timeline {timeline} from {from}"))? {
            Message::CopyBoth => Ok(None),
            Message::Row(row) => self.finish_timeline(&row).map(Some),
            other => Err(unknown_answer(&format!("{other:?}"))),
        }
    }

    /// What comes within `wait`; `wake` ends the wait.
    pub(super) fn receive(&mut self, wait: Duration, wake: BorrowedFd<'_>) -> Result<StreamEvent> {
        match self.0.receive_message(wait, Some(wake))? {
            None => Ok(StreamEvent::Nothing),
            Some(Message::CopyData(data)) => parse_event(data),
            Some(Message::CopyDone) => Ok(StreamEvent::TimelineEnds),
            Some(Message::Complete) => Ok(StreamEvent::Shutdown),
            Some(other) => Err(unknown_answer(&format!("{other:?}"))),
        }
    }

    /// Tells the server what was received and what is stored ("Standby status update"); `None` says nothing of the latter.
    //
    // The three positions are written, flushed and applied. The slot's restart_lsn and commits under
    // synchronous_commit = on follow the flushed one, so that it must not be ahead of what is durable. Applied is the same:
    // nothing is applied here, and with remote_apply commits would wait for ever.
    pub(super) fn report_progress(&mut self, received: Lsn, stored: Option<Lsn>, ask: bool) -> Result<()> {
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

    /// Answers the end of a timeline, gives the next.
    pub(super) fn end_timeline(&mut self) -> Result<Timeline> {
        // The server has ended its side with CopyDone, and sends the row with the next timeline only after ours.
        self.0.copy_done()?;
        loop {
            if let Message::Row(row) = self.0.await_message()? {
                return self.finish_timeline(&row);
            }
        }
    }

    fn finish_timeline(&mut self, row: &[Option<Bytes>]) -> Result<Timeline> {
        let next = Timeline(parse_cell(row, 0)?);
        while self.0.await_message()? != Message::Ready {}
        Ok(next)
    }

    /// Ends streaming from our side and waits until the server has seen it: then it has read our last report, too.
    pub(super) fn end_streaming(&mut self) -> Result<()> {
        self.0.copy_done()?;
        while self.0.await_message()? != Message::Complete {}
        Ok(())
    }
}

fn parse_event(mut data: Bytes) -> Result<StreamEvent> {
    match (data.first(), data.len()) {
        (Some(b'w'), 25..) => {
            data.advance(1);
            let start = Lsn(data.get_u64());
            data.advance(16);
            Ok(StreamEvent::Wal { start, bytes: data })
        }
        (Some(b'k'), 18) => Ok(StreamEvent::Alive { reply: data[17] != 0 }),
        _ => Err(unknown_answer("a message of another kind")),
    }
}

fn unknown_answer(what: &str) -> Error {
    Error::failed(format!("the server answers with {what}, which the replication protocol does not know"))
}

fn parse_cell<T: std::str::FromStr>(row: &[Option<Bytes>], at: usize) -> Result<T> {
    let cell = row.get(at).and_then(Option::as_ref);
    let text = cell.and_then(|c| std::str::from_utf8(c).ok());
    text.and_then(|t| t.parse().ok()).ok_or_else(|| unknown_answer("no number"))
}
