//! A connection that keeps its deadline whatever the other side does: silence, drips or floods.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};
use toban_core::shutdown;

/// No server needs to send more than this before its certificate is known.
const MOST: u64 = 2 << 20;

/// How long a wait lasts before it is looked whether the process is told to stop.
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
    pub(crate) fn half(self) -> Deadline {
        Deadline::after(self.0.saturating_duration_since(Instant::now()) / 2)
    }

    /// `time` from now, or this, if it is sooner.
    pub(crate) fn within(self, time: Duration) -> Deadline {
        Deadline(self.0.min(Instant::now() + time))
    }

    /// What is left.
    ///
    /// # Errors
    /// `TimedOut`, when nothing is, or once the process is told to stop.
    pub(crate) fn left(self) -> io::Result<Duration> {
        let left = self.0.saturating_duration_since(Instant::now());
        if left.is_zero() || shutdown::due() { Err(ErrorKind::TimedOut.into()) } else { Ok(left) }
    }
}

/// A TCP connection with a deadline over all of it, and a bound on what it reads.
#[derive(Debug)]
pub(crate) struct Line {
    stream: TcpStream,
    deadline: Deadline,
    read: u64,
}

impl Line {
    /// Connects.
    ///
    /// # Errors
    /// Those of the system, and `TimedOut`.
    pub(crate) fn connect(to: SocketAddr, deadline: Deadline) -> io::Result<Line> {
        let stream = TcpStream::connect_timeout(&to, deadline.left()?)?;
        stream.set_nodelay(true)?;
        Ok(Line { stream, deadline, read: 0 })
    }

    /// From now on the connection keeps this deadline.
    pub(crate) fn keep(&mut self, deadline: Deadline) {
        self.deadline = deadline;
    }

    /// Whether something is there to read at once.
    pub(crate) fn has_more(&self) -> bool {
        let quick = self.stream.set_nonblocking(true).and_then(|()| self.stream.peek(&mut [0]));
        let _ = self.stream.set_nonblocking(false);
        quick.is_ok_and(|n| n > 0)
    }
}

impl Read for Line {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.read > MOST {
            return Err(io::Error::new(ErrorKind::InvalidData, "more than 2 MiB before the certificate"));
        }
        loop {
            self.stream.set_read_timeout(Some(self.deadline.left()?.min(SLICE)))?;
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

impl Write for Line {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(Some(self.deadline.left()?))?;
        self.stream.write(buf).map_err(late)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A socket's timeout shows as `WouldBlock`.
fn late(e: io::Error) -> io::Error {
    if e.kind() == ErrorKind::WouldBlock { ErrorKind::TimedOut.into() } else { e }
}
