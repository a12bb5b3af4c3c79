//! One stream into several repositories at once, in one pass and bounded memory.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use toban_core::repo::Repo;
use toban_core::store::{Attrs, Key, Stored};
use toban_core::sum::{Measured, Sum};
use toban_core::sync::joined;
use toban_core::{Context, Error, Result, shutdown};

const CHUNK: usize = 256 * 1024;
/// How many chunks a slow repository may lag behind the fastest.
const LAG: usize = 32;

enum Piece {
    Data(Arc<[u8]>),
    End,
}

/// What came of it: the sum of the bytes, and for each repository whether it has them.
pub(crate) struct Spread {
    pub(crate) sum: Sum,
    pub(crate) stored: Vec<Result<()>>,
}

/// Stores what `source` reads under `key` in each of `repos`. A repository that fails leaves the others alone.
///
/// # Errors
/// The source's; then no repository has an object of that name.
pub(crate) fn spread(source: impl Read, key: &Key, repos: &[Repo]) -> Result<Spread> {
    let mut measured = Measured::new(source);
    thread::scope(|scope| {
        let mut lines = Vec::new();
        let mut writers = Vec::new();
        for repo in repos {
            let (line, pieces) = sync_channel(LAG);
            lines.push(Some(line));
            writers.push(scope.spawn(move || store(repo, key, pieces)));
        }
        let pumped = pump(&mut measured, &mut lines);
        drop(lines);
        let stored = writers.into_iter().map(|w| joined(w.join()));
        let stored: Vec<Result<()>> = stored.collect();
        pumped.doing(|| format!("write {key}"))?;
        Ok(Spread { sum: measured.sum(), stored })
    })
}

/// Reads to the end and says so to all lines; a line whose repository failed is dropped, and with the last the work.
fn pump(source: &mut impl Read, lines: &mut [Option<SyncSender<Piece>>]) -> io::Result<()> {
    let mut buf = vec![0; CHUNK];
    while lines.iter().any(Option::is_some) {
        shutdown::check()?;
        let n = fill(source, &mut buf)?;
        if n == 0 {
            send(lines, || Piece::End);
            return Ok(());
        }
        let chunk: Arc<[u8]> = buf[..n].into();
        send(lines, || Piece::Data(Arc::clone(&chunk)));
    }
    Ok(())
}

fn fill(source: &mut impl Read, buf: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buf.len() {
        match source.read(&mut buf[filled..])? {
            0 => break,
            n => filled += n,
        }
    }
    Ok(filled)
}

fn send(lines: &mut [Option<SyncSender<Piece>>], piece: impl Fn() -> Piece) {
    for line in lines {
        if line.as_ref().is_some_and(|l| l.send(piece()).is_err()) {
            *line = None;
        }
    }
}

fn store(repo: &Repo, key: &Key, pieces: Receiver<Piece>) -> Result<()> {
    let mut body = Line { pieces, now: Arc::from([]), at: 0, ended: false };
    match repo.store.put(key, &mut body, &Attrs::new()).doing(|| format!("store {key} in {}", repo.name))? {
        Stored::New => Ok(()),
        Stored::Exists => Err(Error::failed(format!("store {key} in {}: the name is taken", repo.name))),
    }
}

/// The reading end of a line. Only an explicit `End` ends it: a source that broke must not look like a short one.
struct Line {
    pieces: Receiver<Piece>,
    now: Arc<[u8]>,
    at: usize,
    ended: bool,
}

impl Read for Line {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        while self.at == self.now.len() && !self.ended {
            match self.pieces.recv() {
                Ok(Piece::Data(chunk)) => (self.now, self.at) = (chunk, 0),
                Ok(Piece::End) => self.ended = true,
                Err(_) => return Err(Error::failed("the source broke off").into()),
            }
        }
        let n = buf.len().min(self.now.len() - self.at);
        buf[..n].copy_from_slice(&self.now[self.at..self.at + n]);
        self.at += n;
        Ok(n)
    }
}
