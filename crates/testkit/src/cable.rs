//! A TCP connection that can be cut, refused, stalled, or answered by somebody in between.

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

/// A proxy on a free port of 127.0.0.1 that passes bytes on to one address.
pub struct Cable {
    addr: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    target: SocketAddr,
    http: bool,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    mode: Mode,
    cut_after: Option<u64>,
    answers: VecDeque<(u16, String)>,
    open: Vec<TcpStream>,
    cuts: usize,
    passed: u64,
    requests: Vec<String>,
}

#[derive(Clone, Copy, Default, PartialEq)]
enum Mode {
    #[default]
    Whole,
    Refused,
    Stalled,
    Ended,
}

impl Cable {
    /// A cable to `target` that knows nothing of what it carries.
    pub fn to(target: SocketAddr) -> Cable {
        Cable::new(target, false)
    }

    /// A cable to a service that speaks HTTP/1.1 in plain text; it can [`Cable::answer`].
    pub fn http(target: SocketAddr) -> Cable {
        Cable::new(target, true)
    }

    fn new(target: SocketAddr, http: bool) -> Cable {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let addr = listener.local_addr().expect("address");
        let state = Mutex::default();
        let shared = Arc::new(Shared { target, http, state, changed: Condvar::new() });
        let serving = Arc::clone(&shared);
        std::thread::spawn(move || serve(&listener, &serving));
        Cable { addr, shared }
    }

    /// Its near end.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// `http://127.0.0.1:PORT`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Cuts every connection, once, when `bytes` more have passed in both directions together.
    pub fn cut_after(&self, bytes: u64) {
        self.shared.lock().cut_after = Some(bytes);
    }

    /// How many bytes passed so far, in both directions together.
    pub fn passed(&self) -> u64 {
        self.shared.lock().passed
    }

    /// How often it was cut.
    pub fn cuts(&self) -> usize {
        self.shared.lock().cuts
    }

    /// Cuts what is open and closes what comes, until mended.
    pub fn refuse(&self) {
        self.set(Mode::Refused);
        self.shared.lock().cut();
    }

    /// Keeps connections open and passes nothing on, until mended.
    pub fn stall(&self) {
        self.set(Mode::Stalled);
    }

    /// Whole again: nothing refused, stalled, to be cut or to be answered.
    pub fn mend(&self) {
        self.set(Mode::Whole);
        let mut state = self.shared.lock();
        state.cut_after = None;
        state.answers.clear();
    }

    /// Answers the next `times` requests itself with `status` and `body`; they do not reach the service.
    pub fn answer(&self, status: u16, body: &str, times: usize) {
        assert!(self.shared.http, "only Cable::http can answer");
        let answers = std::iter::repeat_n((status, body.to_string()), times);
        self.shared.lock().answers.extend(answers);
    }

    /// The heads of the requests that came, answered or passed on.
    pub fn requests(&self) -> Vec<String> {
        self.shared.lock().requests.clone()
    }

    fn set(&self, mode: Mode) {
        self.shared.lock().mode = mode;
        self.shared.changed.notify_all();
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        self.set(Mode::Ended);
        self.shared.lock().cut();
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(self.addr);
    }
}

impl State {
    fn cut(&mut self) {
        for stream in self.open.drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic while it is held")
    }

    fn mode(&self) -> Mode {
        self.lock().mode
    }

    /// Waits while stalled; then how many of `bytes` may pass. After fewer the connections are cut.
    fn allow(&self, bytes: usize) -> io::Result<usize> {
        let state = self.lock();
        let mut state = self.changed.wait_while(state, |s| s.mode == Mode::Stalled).expect("no panic");
        state.passed += bytes as u64;
        let Some(left) = state.cut_after else { return Ok(bytes) };
        if left > bytes as u64 {
            state.cut_after = Some(left - bytes as u64);
            return Ok(bytes);
        }
        state.cut_after = None;
        state.cuts += 1;
        Ok(usize::try_from(left).expect("less than bytes"))
    }

    fn pass(&self, bytes: &[u8], to: &mut TcpStream) -> io::Result<()> {
        let allowed = self.allow(bytes.len())?;
        to.write_all(&bytes[..allowed])?;
        if allowed < bytes.len() {
            self.lock().cut();
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        Ok(())
    }

    fn pump(&self, mut from: impl Read, to: &mut TcpStream) -> io::Result<()> {
        let mut buffer = vec![0; 16 << 10];
        loop {
            match from.read(&mut buffer)? {
                0 => return Ok(()),
                n => self.pass(&buffer[..n], to)?,
            }
        }
    }

    /// Passes requests on one by one, or answers them.
    fn requests(&self, from: TcpStream, to: &mut TcpStream) -> io::Result<()> {
        let mut near = from.try_clone()?;
        let mut from = BufReader::new(from);
        loop {
            let head = head(&mut from)?;
            if head.is_empty() {
                return Ok(());
            }
            self.lock().requests.push(head.clone());
            let mut body = (&mut from).take(length(&head));
            let answer = self.lock().answers.pop_front();
            let Some((status, text)) = answer else {
                self.pass(head.as_bytes(), to)?;
                self.pump(body, to)?;
                continue;
            };
            io::copy(&mut body, &mut io::sink())?;
            let text = if head.starts_with("HEAD ") { String::new() } else { text };
            let kind = "Content-Type: application/xml\r\nETag: \"none\"";
            let head = format!("HTTP/1.1 {status} Said\r\n{kind}\r\nContent-Length: {}\r\n\r\n", text.len());
            near.write_all(format!("{head}{text}").as_bytes())?;
        }
    }
}

fn serve(listener: &TcpListener, shared: &Arc<Shared>) {
    for near in listener.incoming().flatten() {
        match shared.mode() {
            Mode::Ended => return,
            Mode::Refused => drop(near),
            Mode::Whole | Mode::Stalled => drop(connect(near, shared)),
        }
    }
}

fn connect(near: TcpStream, shared: &Arc<Shared>) -> io::Result<()> {
    let far = TcpStream::connect(shared.target)?;
    shared.lock().open.extend([near.try_clone()?, far.try_clone()?]);
    let (mut to_far, mut to_near) = (far.try_clone()?, near.try_clone()?);
    let (there, back) = (Arc::clone(shared), Arc::clone(shared));
    std::thread::spawn(move || {
        let _ = if there.http { there.requests(near, &mut to_far) } else { there.pump(near, &mut to_far) };
        let _ = to_far.shutdown(Shutdown::Write);
    });
    std::thread::spawn(move || {
        let _ = back.pump(far, &mut to_near);
        let _ = to_near.shutdown(Shutdown::Both);
    });
    Ok(())
}

fn head(from: &mut BufReader<TcpStream>) -> io::Result<String> {
    let mut head = String::new();
    while from.read_line(&mut head)? > 0 && !head.ends_with("\r\n\r\n") {}
    Ok(head)
}

fn length(head: &str) -> u64 {
    let lower = head.to_ascii_lowercase();
    let value = lower.lines().find_map(|l| l.strip_prefix("content-length:"));
    value.and_then(|v| v.trim().parse().ok()).unwrap_or(0)
}
