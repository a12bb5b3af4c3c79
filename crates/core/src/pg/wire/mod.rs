//! PostgreSQL's protocol spoken directly, for what the `postgres` crate does not speak: replication.
//!
//! <https://www.postgresql.org/docs/current/protocol.html>

mod login;
mod socket;

use super::connect::Attempt;
use super::conninfo::ConnInfo;
use super::explain::{self, password_hint, servers_words};
use super::host::Host;
use super::tls::Mode;
use crate::error::{Context, Error, Kind, Result};
use bytes::{Buf, Bytes, BytesMut};
use postgres::fallible_iterator::FallibleIterator;
use postgres_protocol::message::{backend, frontend};
use socket::Socket;
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

/// What a server says, as far as replication has use for it. Its errors are errors, its notices are logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Both sides may send data now.
    CopyBoth,
    /// A piece of it.
    CopyData(Bytes),
    /// The server sends no more of it.
    CopyDone,
    /// A row of a result; `None` is null.
    Row(Vec<Option<Bytes>>),
    /// A command is done.
    Complete,
    /// The next command may come.
    Ready,
}

/// A session in replication mode.
pub struct Wire {
    socket: Socket,
    inbox: BytesMut,
    /// The login proved that nobody sits between us and the server.
    bound: bool,
    warnings: Vec<String>,
}

/// Warnings that are kept; a server that is damaged throughout has one for each page.
const WARNINGS: usize = 10_000;
/// How long a server may take to answer a command.
const ANSWER: Duration = Duration::from_secs(60);
/// `CopyBothResponse`, which the crate does not parse.
const COPY_BOTH: u8 = b'W';

impl ConnInfo {
    /// Logs in to the (first) host for physical replication, with TLS and authentication as for [`ConnInfo::connect`].
    /// A passfile's line may name the database `replication`, as for libpq.
    ///
    /// # Errors
    /// Those of [`ConnInfo::connect`].
    pub fn connect_replication(&self) -> Result<Wire> {
        let to = self.with_dbname("replication");
        let host = to.hosts.first().ok_or_else(|| Error::usage("no host"))?;
        let password = to.find_password(host).or_else(|| self.find_password(host));
        let attempt = |mode| to.begin_session(host, mode, password.as_ref());
        to.negotiate_tls(host, attempt).map_err(|attempt| attempt.error)
    }

    fn begin_session(
        &self,
        host: &Host,
        mode: Mode,
        password: Option<&crate::Secret>,
    ) -> Result<Wire, Attempt> {
        let socket = Socket::open_socket(self, host, mode)?;
        let encrypted = socket.is_encrypted();
        let mut wire = Wire { socket, inbox: BytesMut::new(), bound: false, warnings: Vec::new() };
        let done = login::log_in(&mut wire, self, password);
        done.map_err(|e| Attempt {
            // A server that is starting up or full has not judged us: the other sslmode, or another try, may do.
            answered: e.kind() != Kind::Retry,
            error: self.explain_login(e, host),
            encrypted,
        })?;
        // The login had connect_timeout. From here on no single read or write may last longer than this: a peer that went
        // without a word must not hold a session of months up for ever.
        wire.socket.set_timeout(Some(ANSWER)).map_err(|error| Attempt {
            error,
            answered: true,
            encrypted,
        })?;
        Ok(wire)
    }

    fn explain_login(&self, e: Error, host: &Host) -> Error {
        let kind = e.kind();
        let remedy = match std::error::Error::source(&e).and_then(|s| s.downcast_ref::<ServerSaid>()) {
            Some(said) => servers_words(&said.code, &said.message, self, host),
            None if kind == Kind::Usage => Some(password_hint(self, host)),
            None => None,
        };
        let kind = if kind == Kind::Usage { Kind::Failed } else { kind };
        let told = Error::new(kind, format!("connect to {host}")).because(e);
        remedy.into_iter().fold(told, Error::hint)
    }
}

impl Wire {
    /// The rows of one command of the replication grammar.
    ///
    /// # Errors
    /// What the server says; Retry when the connection is gone.
    pub fn query_rows(&mut self, command: &str) -> Result<Vec<Vec<Option<Bytes>>>> {
        self.send_query(command)?;
        let mut rows = Vec::new();
        loop {
            match self.await_message()? {
                Message::Row(row) => rows.push(row),
                Message::Ready => return Ok(rows),
                _ => {}
            }
        }
    }

    /// Sends a command; its answers come by [`Wire::await_message`].
    ///
    /// # Errors
    /// Retry when the connection is gone.
    pub fn send_query(&mut self, command: &str) -> Result<()> {
        let mut out = BytesMut::new();
        frontend::query(command, &mut out).doing(|| "send the command".into())?;
        self.send_bytes(&out)
    }

    /// The next message, which must come within a minute.
    ///
    /// # Errors
    /// What the server says; Retry when the connection is gone or silent.
    pub fn await_message(&mut self) -> Result<Message> {
        let until = Instant::now() + ANSWER;
        while Instant::now() < until {
            if let Some(message) = self.receive_message(Duration::from_secs(1), None)? {
                return Ok(message);
            }
        }
        Err(Error::retry("the server does not answer"))
    }

    /// The next message; `None` when none is whole within `wait`, or as soon as `wake` can be read.
    ///
    /// # Errors
    /// What the server says; Retry when the connection is gone.
    pub fn receive_message(
        &mut self,
        wait: Duration,
        wake: Option<BorrowedFd<'_>>,
    ) -> Result<Option<Message>> {
        loop {
            while let Some(parsed) = self.parse_message()? {
                if let Some(message) = self.convert_message(parsed)? {
                    return Ok(Some(message));
                }
            }
            if !self.socket.fill_inbox(&mut self.inbox, wait, wake)? {
                return Ok(None);
            }
        }
    }

    /// The crate's own message, for logging in; `None` when `until` has passed.
    fn next_parsed(&mut self, until: Option<Instant>) -> Result<Option<backend::Message>> {
        loop {
            if let Some(Parsed::Other(message)) = self.parse_message()? {
                return Ok(Some(message));
            }
            if until.is_some_and(|u| Instant::now() > u) {
                return Ok(None);
            }
            self.socket.fill_inbox(&mut self.inbox, Duration::from_secs(1), None)?;
        }
    }

    fn parse_message(&mut self) -> Result<Option<Parsed>> {
        if self.inbox.first() == Some(&COPY_BOTH) {
            // A message is its type, then an Int32 that counts itself but not the type (protocol, "Messages").
            let length = self.inbox.get(1..5).map_or(usize::MAX, |mut l| l.get_u32() as usize);
            if self.inbox.len() <= length {
                return Ok(None);
            }
            self.inbox.advance(length + 1);
            return Ok(Some(Parsed::CopyBoth));
        }
        let parsed = backend::Message::parse(&mut self.inbox).doing(|| "read the server's message".into())?;
        Ok(parsed.map(Parsed::Other))
    }

    /// One piece of data, in copy mode.
    ///
    /// # Errors
    /// Retry when the connection is gone.
    pub fn copy_data(&mut self, data: &[u8]) -> Result<()> {
        let mut out = BytesMut::new();
        frontend::CopyData::new(data).doing(|| "send data".into())?.write(&mut out);
        self.send_bytes(&out)
    }

    /// No more data comes from us.
    ///
    /// # Errors
    /// Retry when the connection is gone.
    pub fn copy_done(&mut self) -> Result<()> {
        let mut out = BytesMut::new();
        frontend::copy_done(&mut out);
        self.send_bytes(&out)
    }

    fn send_bytes(&mut self, bytes: &[u8]) -> Result<()> {
        self.socket.send_all(bytes)
    }

    /// The server's warnings since they were taken last.
    pub fn take_warnings(&mut self) -> Vec<String> {
        std::mem::take(&mut self.warnings)
    }

    /// `None` for what nobody here needs.
    fn convert_message(&mut self, parsed: Parsed) -> Result<Option<Message>> {
        use backend::Message as Of;
        let Parsed::Other(message) = parsed else { return Ok(Some(Message::CopyBoth)) };
        Ok(match message {
            Of::CopyData(body) => Some(Message::CopyData(body.into_bytes())),
            Of::CopyDone => Some(Message::CopyDone),
            Of::CommandComplete(_) => Some(Message::Complete),
            Of::ReadyForQuery(_) => Some(Message::Ready),
            Of::DataRow(body) => Some(Message::Row(read_row(&body)?)),
            Of::ErrorResponse(body) => return Err(said(body.fields())?.into_error()),
            Of::NoticeResponse(body) => {
                let notice = said(body.fields())?;
                log::debug!("the server says: {}", notice.message);
                if notice.severity == "WARNING" && self.warnings.len() < WARNINGS {
                    self.warnings.push(notice.message);
                }
                None
            }
            _ => None,
        })
    }
}

enum Parsed {
    CopyBoth,
    Other(backend::Message),
}

fn read_row(body: &backend::DataRowBody) -> Result<Vec<Option<Bytes>>> {
    let whole = body.buffer();
    let cells = body.ranges().map(|range| Ok(range.map(|r| Bytes::copy_from_slice(&whole[r]))));
    cells.collect().doing(|| "read a row".into())
}

/// An error or a notice of the server.
#[derive(Clone, Debug, Default)]
pub(super) struct ServerSaid {
    code: String,
    message: String,
    /// As the protocol has it in English: `WARNING`.
    severity: String,
}

impl ServerSaid {
    fn into_error(self) -> Error {
        Error::new(Kind::of_sqlstate(&self.code), "the server refuses").because(self)
    }
}

/// Whether the server says that its own data is damaged (SQLSTATE `data_corrupted`).
pub fn reports_damage(e: &Error) -> bool {
    let mut cause = std::error::Error::source(e);
    while let Some(link) = cause {
        if link.downcast_ref::<ServerSaid>().is_some_and(|said| said.code == "XX001") {
            return true;
        }
        cause = link.source();
    }
    false
}

impl std::fmt::Display for ServerSaid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ServerSaid {}

fn said(mut fields: backend::ErrorFields<'_>) -> Result<ServerSaid> {
    let mut said = ServerSaid::default();
    while let Some(field) = fields.next().doing(|| "read the server's message".into())? {
        let text = String::from_utf8_lossy(field.value_bytes()).into_owned();
        match field.type_() {
            b'C' => said.code = text,
            b'M' => said.message = text,
            b'V' => said.severity = text,
            _ => {}
        }
    }
    Ok(said)
}

/// Below PostgreSQL's protocol: the host cannot be reached, or not in time.
fn explain_unreached(to: &ConnInfo, host: &Host, e: std::io::Error) -> Attempt {
    let remedy = explain::hint_unreachable(e.kind(), host);
    let missing = host.is_socket() && e.kind() == std::io::ErrorKind::NotFound;
    if e.kind() == std::io::ErrorKind::TimedOut || e.kind() == std::io::ErrorKind::WouldBlock {
        return to.timed_out(host);
    }
    let error = Error::caused_by(format!("connect to {host}"), e);
    let error = if missing { error.kind_as(Kind::Retry) } else { error };
    Attempt { error: remedy.into_iter().fold(error, Error::hint), answered: false, encrypted: false }
}
