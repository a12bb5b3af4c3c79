//! From a host to its addresses, and a connection that keeps its deadline whatever the other side does: silence, drips
//! or floods.

use super::failure::ProbeFailure;
use crate::rules;
use pkix::DnsName;
use std::collections::BTreeSet;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::mpsc;
use std::time::{Duration, Instant};
use toban_core::shutdown;

/// No server needs to send more than this before its certificate is known.
const MOST: u64 = 2 << 20;

/// How long a wait lasts before it is checked whether the process must stop.
const SLICE: Duration = Duration::from_millis(250);

/// When a target's time is over.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline(Instant);

impl Deadline {
    /// `time` from now.
    pub(crate) fn after(time: Duration) -> Deadline {
        Deadline(Instant::now() + time)
    }

    /// Half of what is left: for a step that must not cost the next one its time.
    pub(crate) fn halved(self) -> Deadline {
        Deadline::after(self.0.saturating_duration_since(Instant::now()) / 2)
    }

    /// `time` from now, or this, if it is sooner.
    pub(crate) fn within(self, time: Duration) -> Deadline {
        Deadline(self.0.min(Instant::now() + time))
    }

    /// What is left.
    ///
    /// # Errors
    /// `TimedOut`, when nothing is, or once the process must stop.
    pub(crate) fn time_left(self) -> io::Result<Duration> {
        let left = self.0.saturating_duration_since(Instant::now());
        if left.is_zero() || shutdown::due() { Err(ErrorKind::TimedOut.into()) } else { Ok(left) }
    }
}

/// A TCP connection with a deadline over all of it, and a bound on what it reads.
#[derive(Debug)]
pub(crate) struct TimedStream {
    stream: TcpStream,
    deadline: Deadline,
    read: u64,
}

impl TimedStream {
    /// Connects.
    ///
    /// # Errors
    /// Those of the system, and `TimedOut`.
    pub(crate) fn connect(to: SocketAddr, deadline: Deadline) -> io::Result<TimedStream> {
        let stream = TcpStream::connect_timeout(&to, deadline.time_left()?)?;
        // Small messages that each wait for an answer: Nagle's algorithm would hold them back (RFC 1122, section
        // 4.2.3.4).
        stream.set_nodelay(true)?;
        Ok(TimedStream { stream, deadline, read: 0 })
    }

    /// From now on the connection keeps this deadline.
    pub(crate) fn set_deadline(&mut self, deadline: Deadline) {
        self.deadline = deadline;
    }

    /// Whether something is there to read at once.
    pub(crate) fn has_more(&self) -> bool {
        let quick = self.stream.set_nonblocking(true).and_then(|()| self.stream.peek(&mut [0]));
        let _ = self.stream.set_nonblocking(false);
        quick.is_ok_and(|n| n > 0)
    }
}

impl Read for TimedStream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        // A server may drip or flood within its time: what it can cost in memory has an end as well.
        if self.read > MOST {
            return Err(io::Error::new(ErrorKind::InvalidData, "more than 2 MiB before the certificate"));
        }
        loop {
            // In slices, so that a signal ends a wait for a silent server: std's reads go on after EINTR.
            self.stream.set_read_timeout(Some(self.deadline.time_left()?.min(SLICE)))?;
            match self.stream.read(buf) {
                Err(e) if e.kind() == ErrorKind::WouldBlock => {}
                ended => {
                    let n = ended?;
                    self.read += n as u64;
                    return Ok(n);
                }
            }
        }
    }
}

impl Write for TimedStream {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        // Set before each write: a socket's timeout is for one call, and a peer that takes a byte at a time would
        // start it anew.
        self.stream.set_write_timeout(Some(self.deadline.time_left()?))?;
        self.stream.write(buf).map_err(timed_out)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A socket's timeout shows as `WouldBlock`.
fn timed_out(e: io::Error) -> io::Error {
    if e.kind() == ErrorKind::WouldBlock { ErrorKind::TimedOut.into() } else { e }
}

/// Addresses of one name that are asked; a name with more is a mistake or an attack.
const ADDRESSES: usize = 16;

/// Every address of `host`, those of IPv4 first, each once.
///
/// # Errors
/// `dns-not-found`, `dns-failed` or `timeout`.
pub(crate) fn resolve_host(
    host: &str,
    port: u16,
    deadline: Deadline,
) -> Result<Vec<SocketAddr>, ProbeFailure> {
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(ip, port)]);
    }
    if host.parse::<std::net::SocketAddrV6>().is_err() && host.contains('%') {
        let found = format!("[{host}]:{port}").to_socket_addrs();
        return found
            .map(Iterator::collect)
            .map_err(|e| ProbeFailure::new(&rules::DNS_FAILED, e.to_string()));
    }
    // The text as it stands, for a dot at its end keeps the resolver from trying the search domains.
    let name = match DnsName::parse(host) {
        Ok(name) if !host.is_ascii() => name.to_string(),
        _ => host.to_string(),
    };
    look_up_name(name, port, deadline)
}

/// The system's resolver knows no deadline, so a thread of its own waits for it.
fn look_up_name(name: String, port: u16, deadline: Deadline) -> Result<Vec<SocketAddr>, ProbeFailure> {
    let (sender, receiver) = mpsc::channel();
    let asked = name.clone();
    // The thread is left alone when the time is over: getaddrinfo cannot be interrupted, and the process ends soon.
    let spawned = std::thread::Builder::new().stack_size(256 << 10).spawn(move || {
        let found = (asked.as_str(), port).to_socket_addrs();
        let _ = sender.send(found.map(Iterator::collect::<BTreeSet<_>>));
    });
    spawned.map_err(|e| ProbeFailure::new(&rules::DNS_FAILED, format!("look up {name}: {e}")))?;
    let left = deadline.time_left().map_err(|e| ProbeFailure::from_io("look up the name", &e))?;
    match receiver.recv_timeout(left) {
        Ok(Ok(found)) => Ok(found.into_iter().take(ADDRESSES).collect()),
        Ok(Err(e)) => Err(explain_resolver(&name, &e)),
        Err(_) => Err(ProbeFailure::new(&rules::TIMEOUT, format!("no answer in time: look up {name}"))),
    }
}

/// The resolver's codes come as text only.
fn explain_resolver(name: &str, e: &std::io::Error) -> ProbeFailure {
    let text = e.to_string();
    let absent = ["not known", "No address associated"].iter().any(|w| text.contains(w));
    match absent {
        true => ProbeFailure::new(&rules::DNS_NOT_FOUND, format!("{name} has no address")),
        false => ProbeFailure::new(&rules::DNS_FAILED, format!("look up {name}: {text}")),
    }
}
