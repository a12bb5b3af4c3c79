//! A connection with one deadline over all that is said on it: a server that drips is as late as a silent one.

use super::tls::TlsSetup;
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};
use std::collections::BTreeSet;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

/// Addresses of one name that are asked.
const ADDRESSES: usize = 8;

/// TCP or a Unix socket.
#[derive(Debug)]
enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// A socket that reads and writes until its deadline.
#[derive(Debug)]
pub(crate) struct TimedSocket {
    socket: Socket,
    deadline: Instant,
}

/// A connection.
#[derive(Debug)]
pub(crate) enum Line {
    Plain(TimedSocket),
    Tls(Box<StreamOwned<ClientConnection, TimedSocket>>),
}

fn time_left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(ErrorKind::TimedOut.into()) } else { Ok(left) }
}

impl Line {
    /// Connects by TCP.
    ///
    /// # Errors
    /// Those of the system; `TimedOut`.
    pub(crate) fn connect_tcp(to: SocketAddr, deadline: Instant) -> io::Result<Line> {
        let stream = TcpStream::connect_timeout(&to, time_left(deadline)?)?;
        stream.set_nodelay(true)?;
        Ok(Line::Plain(TimedSocket { socket: Socket::Tcp(stream), deadline }))
    }

    /// Connects to a Unix socket.
    ///
    /// # Errors
    /// Those of the system.
    pub(crate) fn connect_unix(path: &Path, deadline: Instant) -> io::Result<Line> {
        let socket = Socket::Unix(UnixStream::connect(path)?);
        Ok(Line::Plain(TimedSocket { socket, deadline }))
    }

    /// Begins TLS on it, and ends the handshake.
    ///
    /// # Errors
    /// Those of the socket, and of TLS inside an `InvalidData`.
    pub(crate) fn begin_tls(self, setup: &TlsSetup, name: ServerName<'static>) -> io::Result<Line> {
        let Line::Plain(mut socket) = self else { return Ok(self) };
        let mut connection = ClientConnection::new(setup.config(), name)
            .map_err(|e| io::Error::new(ErrorKind::InvalidData, e))?;
        while connection.is_handshaking() {
            connection.complete_io(&mut socket)?;
        }
        Ok(Line::Tls(Box::new(StreamOwned::new(connection, socket))))
    }
}

impl Read for TimedSocket {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        // Before each read: the timeout of a socket is of one call, and a peer that drips would start it anew.
        let left = Some(time_left(self.deadline)?);
        let read = match &mut self.socket {
            Socket::Tcp(stream) => stream.set_read_timeout(left).and_then(|()| stream.read(buf)),
            Socket::Unix(stream) => stream.set_read_timeout(left).and_then(|()| stream.read(buf)),
        };
        read.map_err(timed_out)
    }
}

impl Write for TimedSocket {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let left = Some(time_left(self.deadline)?);
        let written = match &mut self.socket {
            Socket::Tcp(stream) => stream.set_write_timeout(left).and_then(|()| stream.write(buf)),
            Socket::Unix(stream) => stream.set_write_timeout(left).and_then(|()| stream.write(buf)),
        };
        written.map_err(timed_out)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A socket's timeout shows as `WouldBlock`.
fn timed_out(e: io::Error) -> io::Error {
    if e.kind() == ErrorKind::WouldBlock { ErrorKind::TimedOut.into() } else { e }
}

impl Read for Line {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Line::Plain(socket) => socket.read(buf),
            // A server that closes without saying so in TLS: what came is judged by its own length.
            Line::Tls(stream) => match stream.read(buf) {
                Err(e) if e.kind() == ErrorKind::UnexpectedEof => Ok(0),
                read => read,
            },
        }
    }
}

impl Write for Line {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        match self {
            Line::Plain(socket) => socket.write(buf),
            Line::Tls(stream) => stream.write(buf),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Line::Plain(socket) => socket.flush(),
            Line::Tls(stream) => stream.flush(),
        }
    }
}

/// Every address of a name, each once. The system's resolver knows no deadline, so a thread waits for it.
///
/// # Errors
/// Those of the resolver; `TimedOut`.
pub(crate) fn resolve_name(host: &str, port: u16, deadline: Instant) -> io::Result<Vec<SocketAddr>> {
    let host = host.trim_start_matches('[').trim_end_matches(']').to_string();
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let found = (host.as_str(), port).to_socket_addrs();
        sender.send(found.map(Iterator::collect::<BTreeSet<SocketAddr>>))
    });
    let found =
        receiver.recv_timeout(time_left(deadline)?).map_err(|_| io::Error::from(ErrorKind::TimedOut))??;
    Ok(found.into_iter().take(ADDRESSES).collect())
}
