//! An HTTP listener whose answers are scripted: stands in for Slack and for ping monitors.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use toban_core::sync::lock;

/// What the listener answers one request with.
#[derive(Clone, Debug)]
pub enum Answer {
    /// Status, headers (each with its `\r\n`), body.
    Say(u16, String, String),
    /// Nothing: the connection stays open.
    Stall,
}

impl Answer {
    /// A status and a body.
    pub fn say(status: u16, body: &str) -> Answer {
        Answer::Say(status, String::new(), body.to_string())
    }
}

/// One request as it came.
#[derive(Clone, Debug)]
pub struct Request {
    /// The path with its query.
    pub path: String,
    /// The body.
    pub body: String,
}

#[derive(Default)]
struct Shared {
    script: Mutex<VecDeque<Answer>>,
    requests: Mutex<Vec<Request>>,
    /// Stalled connections, held open.
    stalled: Mutex<Vec<TcpStream>>,
    ended: AtomicBool,
}

/// A listener on 127.0.0.1 that answers from its script, and `200 ok` when that is empty; ended on drop.
pub struct Slack {
    address: SocketAddr,
    shared: Arc<Shared>,
}

impl Slack {
    /// Starts one.
    pub fn start() -> Slack {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("is bound");
        let shared = Arc::new(Shared::default());
        let theirs = shared.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if theirs.ended.load(Ordering::SeqCst) {
                    return;
                }
                // A client that goes away in the middle is the client's affair.
                let _ = serve(stream, &theirs);
            }
        });
        Slack { address, shared }
    }

    /// Its URL with this path.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The next answers, after those already scripted.
    pub fn script(&self, answers: impl IntoIterator<Item = Answer>) {
        lock(&self.shared.script).extend(answers);
    }

    /// What it was asked so far.
    pub fn requests(&self) -> Vec<Request> {
        lock(&self.shared.requests).clone()
    }
}

impl Drop for Slack {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
    }
}

fn serve(mut stream: TcpStream, shared: &Shared) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let (mut first, mut length) = (String::new(), 0);
    reader.read_line(&mut first)?;
    loop {
        let mut header = String::new();
        if reader.read_line(&mut header)? <= 2 {
            break;
        }
        let lower = header.to_lowercase();
        length = lower.strip_prefix("content-length:").map_or(length, |v| v.trim().parse().unwrap_or(0));
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let path = first.split(' ').nth(1).unwrap_or_default().to_string();
    lock(&shared.requests).push(Request { path, body: String::from_utf8_lossy(&body).into_owned() });
    match lock(&shared.script).pop_front().unwrap_or(Answer::say(200, "ok")) {
        Answer::Stall => lock(&shared.stalled).push(stream),
        Answer::Say(status, headers, body) => {
            let head = format!("HTTP/1.1 {status} X\r\nConnection: close\r\n{headers}");
            write!(stream, "{head}Content-Length: {}\r\n\r\n{body}", body.len())?;
        }
    }
    Ok(())
}
