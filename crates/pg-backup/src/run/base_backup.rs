//! BASE_BACKUP of the replication protocol: one stream of tar archives, and where the backup begins and ends.
//!
//! <https://www.postgresql.org/docs/current/protocol-replication.html>

use super::source::BackupStart;
use crate::format::backup::Tablespace;
use crate::format::tar::{self, TarHeader};
use bytes::{Buf, Bytes};
use std::io::{self, Read};
use std::time::{Duration, Instant};
use toban_core::fill::fill_buffer;
use toban_core::pg::{ConnInfo, Message, Wire, quote_literal, reports_damage};
use toban_core::wal::{Lsn, Timeline};
use toban_core::{Context, Error, Result, shutdown};

/// How long the server may say nothing: before the first answer it makes a checkpoint, spread over its usual time.
const SILENCE: Duration = Duration::from_secs(600);
const CHECKPOINT: Duration = Duration::from_secs(6 * 3600);

/// What the server is asked for.
pub(super) struct BaseBackupOptions<'a> {
    pub(super) label: &'a str,
    /// The checkpoint at once.
    pub(super) fast: bool,
    /// Bytes in a second.
    pub(super) rate: Option<u64>,
}

impl BaseBackupOptions<'_> {
    fn command(&self) -> String {
        let checkpoint = if self.fast { "fast" } else { "spread" };
        // In kB, within the protocol's bounds.
        let rate = self.rate.map(|rate| format!(", MAX_RATE {}", (rate / 1024).clamp(32, 1_048_576)));
        // The WAL comes last in the stream, and the server does not wait until it is archived: the backup has its own.
        // Page checksums are verified, which is the default.
        format!(
            "BASE_BACKUP (LABEL {}, PROGRESS, CHECKPOINT '{checkpoint}', WAL, WAIT false, TABLESPACE_MAP{}, MANIFEST 'no')",
            quote_literal(self.label),
            rate.unwrap_or_default()
        )
    }
}

/// A base backup that is being received.
pub(super) struct BaseBackup {
    wire: Wire,
    /// What came and was not read yet.
    data: Bytes,
    /// The tablespace of the archive that is read; none of the data directory.
    pub(super) tablespace: Option<String>,
    /// The next archive begins.
    next: Option<Option<String>>,
    ended: bool,
    /// Bytes of the whole, as the server estimates them.
    pub(super) estimated: u64,
    /// Those outside the data directory, as they were when it began.
    pub(super) tablespaces: Vec<Tablespace>,
}

/// How it ended.
pub(super) struct BaseBackupEnd {
    pub(super) stop: Lsn,
    /// What the server found damaged.
    pub(super) warnings: Vec<String>,
    /// It says that pages are damaged.
    pub(super) damaged: bool,
}

impl BaseBackup {
    /// Asks for it, and waits until it begins.
    ///
    /// # Errors
    /// What the server says; Retry when the connection is gone.
    pub(super) fn start(
        conn: &ConnInfo,
        options: &BaseBackupOptions<'_>,
    ) -> Result<(BaseBackup, BackupStart)> {
        let mut wire = conn.connect_replication()?;
        let command = options.command();
        wire.send_query(&command).doing(|| "begin the backup".into())?;
        let mut backup = BaseBackup {
            wire,
            data: Bytes::new(),
            tablespace: None,
            next: None,
            ended: false,
            estimated: 0,
            tablespaces: Vec::new(),
        };
        let Message::Row(row) = backup.await_message(CHECKPOINT)? else { return Err(unknown_answer()) };
        let start = BackupStart { lsn: parse_cell(&row, 0)?, timeline: Timeline(parse_cell(&row, 1)?) };
        let mut results = 0;
        while results < 2 {
            match backup.await_message(SILENCE)? {
                // Of each tablespace its OID, place and size in kB.
                Message::Row(row) => {
                    backup.estimated += parse_cell::<u64>(&row, 2)? * 1024;
                    backup.tablespaces.extend(read_tablespace(&row)?);
                }
                Message::Complete => results += 1,
                _ => return Err(unknown_answer()),
            }
        }
        Ok((backup, start))
    }

    /// The next message, however long the server needs for it within `limit`.
    fn await_message(&mut self, limit: Duration) -> Result<Message> {
        let until = Instant::now() + limit;
        while Instant::now() < until {
            shutdown::check()?;
            if let Some(message) = self.wire.receive_message(Duration::from_secs(1), None)? {
                return Ok(message);
            }
        }
        Err(Error::retry("the server does not answer"))
    }

    /// Takes the next message of the stream into `data`, or learns that an archive begins or all of them have ended.
    fn receive(&mut self) -> Result<()> {
        match self.await_message(SILENCE).doing(|| "receive the backup".into())? {
            Message::CopyData(data) => self.take_data(data),
            Message::CopyDone => {
                self.ended = true;
                Ok(())
            }
            _ => Err(unknown_answer()),
        }
    }

    /// `n` begins an archive, `d` is data, `p` counts what was sent.
    fn take_data(&mut self, mut data: Bytes) -> Result<()> {
        match data.first() {
            Some(b'd') => {
                data.advance(1);
                self.data = data;
                Ok(())
            }
            Some(b'n') => {
                let name = data[1..].split(|b| *b == 0).next().unwrap_or_default();
                let name = String::from_utf8_lossy(name).into_owned();
                let oid = name.strip_suffix(".tar").ok_or_else(unknown_answer)?;
                self.next = Some(Some(oid.to_string()).filter(|oid| oid != "base"));
                Ok(())
            }
            Some(b'p') => Ok(()),
            _ => Err(unknown_answer()),
        }
    }

    /// The next file or folder of the stream, whose content is to be read then; none at its end.
    ///
    /// # Errors
    /// Corrupt for what is no tar; Retry when the connection is gone.
    pub(super) fn next_member(&mut self) -> Result<Option<TarHeader>> {
        loop {
            let mut block = [0; tar::BLOCK];
            let filled = fill_buffer(&mut *self, &mut block).doing(|| "receive the backup".into())?;
            match filled {
                tar::BLOCK if block == [0; tar::BLOCK] => {}
                tar::BLOCK => {
                    let header = tar::parse_header(&block);
                    return header
                        .map(Some)
                        .ok_or_else(|| Error::corrupt("the server's stream is no tar archive"));
                }
                0 if self.ended => return Ok(None),
                0 => self.tablespace = self.next.take().ok_or_else(unknown_answer)?,
                _ => return Err(Error::corrupt("an archive of the server's stream is cut off")),
            }
        }
    }

    /// The content of the member that was begun.
    pub(super) fn content(&mut self, header: &TarHeader) -> MemberContent<'_> {
        MemberContent { left: header.size, padding: tar::padding(header.size), backup: self }
    }

    /// Where it ended, after the last member.
    ///
    /// # Errors
    /// What the server says, but that pages are damaged: then the backup is whole as the source is.
    pub(super) fn finish(mut self) -> Result<BaseBackupEnd> {
        let (mut stop, mut damaged) = (None, false);
        loop {
            match self.await_message(SILENCE) {
                Ok(Message::Row(row)) => stop = Some(parse_cell(&row, 0)?),
                Ok(Message::Ready) => break,
                Ok(_) => {}
                // After everything was sent (perform_base_backup in basebackup.c).
                Err(e) if stop.is_some() && reports_damage(&e) => {
                    damaged = true;
                    break;
                }
                Err(e) => return Err(e).doing(|| "end the backup".into()),
            }
        }
        let warnings = self.wire.take_warnings();
        let stop = stop.ok_or_else(unknown_answer)?;
        Ok(BaseBackupEnd { stop, warnings, damaged })
    }
}

impl Read for BaseBackup {
    /// The archive that is read, to its end.
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        while self.data.is_empty() && self.next.is_none() && !self.ended {
            self.receive()?;
        }
        let n = buf.len().min(self.data.len());
        buf[..n].copy_from_slice(&self.data[..n]);
        self.data.advance(n);
        Ok(n)
    }
}

/// Read to its end before the next member is asked for.
pub(super) struct MemberContent<'a> {
    left: u64,
    padding: usize,
    backup: &'a mut BaseBackup,
}

impl Read for MemberContent<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buf.len());
        if most == 0 {
            let mut padding = [0; tar::BLOCK];
            let padding = &mut padding[..std::mem::take(&mut self.padding)];
            self.backup.read_exact(padding)?;
            return Ok(0);
        }
        match self.backup.read(&mut buf[..most])? {
            0 => Err(Error::corrupt("an archive of the server's stream is cut off").into()),
            n => {
                self.left -= n as u64;
                Ok(n)
            }
        }
    }
}

fn unknown_answer() -> Error {
    Error::failed("the server answers BASE_BACKUP otherwise than the replication protocol has it")
}

/// None of the data directory itself, which has neither, and of one in it, which has a relative place.
fn read_tablespace(row: &[Option<Bytes>]) -> Result<Option<Tablespace>> {
    if !row.get(1).and_then(Option::as_ref).is_some_and(|place| place.starts_with(b"/")) {
        return Ok(None);
    }
    Ok(Some(Tablespace { oid: parse_cell(row, 0)?, location: parse_cell(row, 1)?, late: false }))
}

fn parse_cell<T: std::str::FromStr>(row: &[Option<Bytes>], at: usize) -> Result<T> {
    let cell = row.get(at).and_then(Option::as_ref).and_then(|c| std::str::from_utf8(c).ok());
    cell.and_then(|text| text.parse().ok()).ok_or_else(unknown_answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for() {
        let options = BaseBackupOptions { label: "it's", fast: true, rate: Some(1) };
        let command = options.command();
        assert!(
            command.starts_with("BASE_BACKUP (LABEL 'it''s', PROGRESS, CHECKPOINT 'fast', WAL,"),
            "{command}"
        );
        assert!(command.contains(", MAX_RATE 32,"), "{command}");
    }
}
