//! The bytes between us and a server: over TCP or a Unix socket, with TLS or without.

use super::super::connect::Attempt;
use super::super::conninfo::ConnInfo;
use super::super::host::Host;
use super::super::tls::Mode;
use super::super::verify::Verdict;
use super::explain_unreached;
use crate::error::{Context, Error, Result};
use bytes::BytesMut;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr as UnixAddr, UnixStream};
use std::sync::Arc;
use std::time::Duration;

const CHUNK: usize = 128 << 10;

pub(super) enum Raw {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// A connection whose encryption is settled.
pub(super) enum Socket {
    Plain(Raw),
    Tls(Box<StreamOwned<ClientConnection, Raw>>),
}

impl Socket {
    /// Connects, and negotiates TLS as `mode` wants it.
    pub(super) fn open_socket(to: &ConnInfo, host: &Host, mode: Mode) -> Result<Socket, Attempt> {
        let mut raw = Raw::connect_raw(host, to.timeout).map_err(|e| explain_unreached(to, host, e))?;
        raw.set_timeout(to.timeout).map_err(|e| explain_unreached(to, host, e))?;
        if mode == Mode::Disable {
            return Ok(Socket::Plain(raw));
        }
        if !to.tls.direct && !raw.offers_tls().map_err(|e| explain_unreached(to, host, e))? {
            return match mode {
                Mode::Prefer => Ok(Socket::Plain(raw)),
                _ => Err(refuse_plain(host, "the server does not support TLS")),
            };
        }
        start_tls(to, host, raw).map(|tls| Socket::Tls(Box::new(tls)))
    }

    pub(super) fn is_encrypted(&self) -> bool {
        matches!(self, Socket::Tls(_))
    }

    /// The server's certificate, which SCRAM can be bound to.
    pub(super) fn peer_certificate(&self) -> Option<&[u8]> {
        match self {
            Socket::Plain(_) => None,
            Socket::Tls(tls) => tls.conn.peer_certificates()?.first().map(AsRef::as_ref),
        }
    }

    /// How long one read or write may take.
    pub(super) fn set_timeout(&self, limit: Option<Duration>) -> Result<()> {
        self.raw().set_timeout(limit).doing(|| "set a timeout".into())
    }

    fn raw(&self) -> &Raw {
        match self {
            Socket::Plain(raw) => raw,
            Socket::Tls(tls) => &tls.sock,
        }
    }

    /// Sends all of it.
    pub(super) fn send_all(&mut self, bytes: &[u8]) -> Result<()> {
        let sent = match self {
            Socket::Plain(raw) => raw.write_all(bytes).and_then(|()| raw.flush()),
            Socket::Tls(tls) => tls.write_all(bytes).and_then(|()| tls.flush()),
        };
        sent.map_err(|e| connection_gone(&e))
    }

    /// Appends what comes to `inbox`; false when nothing comes within `wait`, or `wake` can be read before.
    pub(super) fn fill_inbox(
        &mut self,
        inbox: &mut BytesMut,
        wait: Duration,
        wake: Option<BorrowedFd<'_>>,
    ) -> Result<bool> {
        let mut chunk = [0; CHUNK];
        let read = match self.take_decrypted(&mut chunk) {
            Some(n) => Ok(n),
            None if !self.wait_readable(wait, wake)? => return Ok(false),
            None => self.read_chunk(&mut chunk),
        };
        match read {
            Ok(0) => Err(Error::retry("the server closed the connection")),
            Ok(n) => {
                inbox.extend_from_slice(&chunk[..n]);
                Ok(true)
            }
            // A record of TLS that is not whole yet.
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(false),
            Err(e) => Err(connection_gone(&e)),
        }
    }

    /// What rustls holds already: poll knows nothing of it.
    fn take_decrypted(&mut self, chunk: &mut [u8]) -> Option<usize> {
        match self {
            Socket::Plain(_) => None,
            Socket::Tls(tls) => tls.conn.reader().read(chunk).ok().filter(|n| *n > 0),
        }
    }

    fn read_chunk(&mut self, chunk: &mut [u8]) -> io::Result<usize> {
        match self {
            Socket::Plain(raw) => raw.read(chunk),
            Socket::Tls(tls) => tls.read(chunk),
        }
    }

    fn wait_readable(&self, wait: Duration, wake: Option<BorrowedFd<'_>>) -> Result<bool> {
        let own = self.raw().as_fd();
        let mut fds: Vec<PollFd<'_>> =
            std::iter::once(own).chain(wake).map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)).collect();
        let wait = Timespec {
            tv_sec: i64::try_from(wait.as_secs()).unwrap_or(1),
            tv_nsec: wait.subsec_nanos().into(),
        };
        match poll(&mut fds, Some(&wait)) {
            Ok(_) => Ok(fds.first().is_some_and(|fd| !fd.revents().is_empty())),
            Err(rustix::io::Errno::INTR) => Ok(false),
            Err(e) => Err(e).doing(|| "wait for the server".into()),
        }
    }
}

fn connection_gone(e: &io::Error) -> Error {
    Error::retry(format!("the connection to the server is lost: {e}"))
}

fn refuse_plain(host: &Host, why: &str) -> Attempt {
    let error = Error::failed(format!("connect to {host}: {why}"))
        .hint("set ssl=on on the server, or sslmode=prefer if the network is trusted");
    Attempt { error, answered: true, encrypted: false }
}

fn start_tls(
    to: &ConnInfo,
    host: &Host,
    mut raw: Raw,
) -> Result<StreamOwned<ClientConnection, Raw>, Attempt> {
    let broken = |error| Attempt { error, answered: true, encrypted: false };
    let (config, verdict) = to.tls.client_config(&host.name).map_err(broken)?;
    let name = match (ServerName::try_from(host.name.clone()), host.address) {
        (Ok(name), _) => name,
        (Err(_), Some(address)) => ServerName::from(address),
        (Err(e), None) => return Err(broken(Error::usage(format!("{:?} is no host name: {e}", host.name)))),
    };
    let config = Arc::new(config);
    let mut tls = ClientConnection::new(config, name).doing(|| "begin TLS".into()).map_err(broken)?;
    while tls.is_handshaking() {
        tls.complete_io(&mut raw).map_err(|e| explain_distrust(to, host, &verdict, e))?;
    }
    Ok(StreamOwned::new(tls, raw))
}

fn explain_distrust(to: &ConnInfo, host: &Host, verdict: &Verdict, e: io::Error) -> Attempt {
    let met = verdict.saw_certificate();
    match verdict.last_refusal() {
        Some(refusal) => {
            let error = Error::failed(format!("connect to {host}: {}", refusal.why)).hint(refusal.remedy);
            Attempt { error, answered: met, encrypted: met }
        }
        None => Attempt { answered: met, encrypted: met, ..explain_unreached(to, host, e) },
    }
}

impl Raw {
    fn connect_raw(host: &Host, limit: Option<Duration>) -> io::Result<Raw> {
        let file = format!(".s.PGSQL.{}", host.port);
        match (host.name.strip_prefix('@'), host.address) {
            (Some(name), None) => {
                let address = UnixAddr::from_abstract_name(format!("{name}/{file}"))?;
                UnixStream::connect_addr(&address).map(Raw::Unix)
            }
            (None, None) if host.is_socket() => {
                UnixStream::connect(format!("{}/{file}", host.name)).map(Raw::Unix)
            }
            (_, Some(address)) => connect_tcp(SocketAddr::new(address, host.port), limit),
            (_, None) => connect_any_address(&host.name, host.port, limit),
        }
    }

    /// Sends the request, reads the one byte that answers it.
    fn offers_tls(&mut self) -> io::Result<bool> {
        let mut request = BytesMut::new();
        postgres_protocol::message::frontend::ssl_request(&mut request);
        self.write_all(&request)?;
        // One byte and no more: what somebody sent along with it in plain text would later count as decrypted
        // (CVE-2021-23222).
        let mut answer = [0];
        self.read_exact(&mut answer)?;
        Ok(answer == *b"S")
    }

    fn set_timeout(&self, limit: Option<Duration>) -> io::Result<()> {
        match self {
            Raw::Tcp(s) => s.set_read_timeout(limit).and_then(|()| s.set_write_timeout(limit)),
            Raw::Unix(s) => s.set_read_timeout(limit).and_then(|()| s.set_write_timeout(limit)),
        }
    }
}

/// A name may have several addresses; the last one's trouble is told.
fn connect_any_address(name: &str, port: u16, limit: Option<Duration>) -> io::Result<Raw> {
    let mut trouble = io::Error::new(ErrorKind::NotFound, "the name has no address");
    for address in (name, port).to_socket_addrs()? {
        match connect_tcp(address, limit) {
            Ok(raw) => return Ok(raw),
            Err(e) => trouble = e,
        }
    }
    Err(trouble)
}

fn connect_tcp(address: SocketAddr, limit: Option<Duration>) -> io::Result<Raw> {
    let stream = match limit {
        Some(limit) => TcpStream::connect_timeout(&address, limit)?,
        None => TcpStream::connect(address)?,
    };
    // A report of 34 bytes must not wait for more.
    stream.set_nodelay(true)?;
    Ok(Raw::Tcp(stream))
}

impl Read for Raw {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Raw::Tcp(s) => s.read(buf),
            Raw::Unix(s) => s.read(buf),
        }
    }
}

impl Write for Raw {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        match self {
            Raw::Tcp(s) => s.write(buf),
            Raw::Unix(s) => s.write(buf),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl AsFd for Raw {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Raw::Tcp(s) => s.as_fd(),
            Raw::Unix(s) => s.as_fd(),
        }
    }
}
