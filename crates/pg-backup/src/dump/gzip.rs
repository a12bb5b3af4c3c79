//! gzip by all cores: independent members of 1 MiB of input each, one after another, as RFC 1952 §2.2 allows;
//! `gunzip`, `zcat` and `pigz` read them as one stream.

use crate::machine;
use flate2::Compression;
use flate2::read::GzEncoder;
use std::io::{self, Read};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread;
use toban_core::sync::lock;

// Each member begins with an empty window, which is 32 KiB at most (RFC 1951): at 1 MiB little is lost by
// that, and the members that are in work at once take little memory.
const MEMBER: usize = 1 << 20;

type Packed = io::Result<Vec<u8>>;
struct Task {
    plain: Vec<u8>,
    done: SyncSender<Packed>,
}

/// What `source` reads, compressed. Memory is a few members for each core, whatever the source's length.
pub(crate) struct Gzip {
    members: Receiver<Receiver<Packed>>,
    now: io::Cursor<Vec<u8>>,
    ended: bool,
}

impl Gzip {
    /// Compresses `source` at `level` (1 to 9) by one thread for each core.
    pub(crate) fn new(source: impl Read + Send + 'static, level: u32) -> Gzip {
        let workers = machine::worker_count(None) as usize;
        // Both channels are bounded: where the repository is slow, pg_dump waits in its write to the pipe,
        // and the dump does not pile up in memory.
        let (to_workers, tasks) = sync_channel::<Task>(workers);
        let (in_order, members) = sync_channel(2 * workers);
        let tasks = Arc::new(Mutex::new(tasks));
        for _ in 0..workers {
            let tasks = Arc::clone(&tasks);
            thread::spawn(move || compress_members(&tasks, level));
        }
        thread::spawn(move || cut_members(source, &to_workers, &in_order));
        Gzip { members, now: io::Cursor::default(), ended: false }
    }
}

impl Read for Gzip {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            let n = self.now.read(buf)?;
            if n > 0 || buf.is_empty() {
                return Ok(n);
            }
            if self.ended {
                return Ok(0);
            }
            let died = |_| io::Error::other("a compressing thread died");
            // A sender that is dropped without a result belongs to a thread that died: an error, and never an end.
            let packed = self.members.recv().map_err(died)?.recv().map_err(died)??;
            // No member is empty: this is how the cutter says that the source has ended.
            self.ended = packed.is_empty();
            self.now = io::Cursor::new(packed);
        }
    }
}

/// Cuts the source into tasks and lines up their results; an error of the source takes its place in the line.
fn cut_members(mut source: impl Read, work: &SyncSender<Task>, line: &SyncSender<Receiver<Packed>>) {
    let mut first = true;
    loop {
        let (done, result) = sync_channel(1);
        let plain = fill_member(&mut source);
        if line.send(result).is_err() {
            return;
        }
        let more = match plain {
            // An empty source is one empty member, which gunzip wants to see.
            Ok(plain) if first || !plain.is_empty() => work.send(Task { plain, done }).is_ok(),
            end_or_error => done.send(end_or_error).is_err(),
        };
        first = false;
        if !more {
            return;
        }
    }
}

fn fill_member(source: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut plain = Vec::with_capacity(MEMBER);
    source.take(MEMBER as u64).read_to_end(&mut plain)?;
    Ok(plain)
}

fn compress_members(tasks: &Mutex<Receiver<Task>>, level: u32) {
    loop {
        let task = lock(tasks).recv();
        let Ok(Task { plain, done }) = task else { return };
        let mut packed = Vec::with_capacity(plain.len() / 3);
        let result = GzEncoder::new(&plain[..], Compression::new(level)).read_to_end(&mut packed);
        let _ = done.send(result.map(|_| packed));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::read::MultiGzDecoder;
    use proptest::prelude::*;

    fn packed(plain: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        Gzip::new(io::Cursor::new(plain.to_vec()), 6).read_to_end(&mut out).expect("compress");
        out
    }

    #[test]
    fn stock_gunzip_reads_every_length() {
        use std::io::Write;
        use std::process::{Command, Stdio};
        for length in [0, 1, MEMBER - 1, MEMBER, MEMBER + 1, 5 * MEMBER + 17] {
            let plain: Vec<u8> = (0..length).map(|i| ((i * i) >> 7) as u8).collect();
            let gz = packed(&plain);
            let mut child =
                Command::new("gunzip").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("gunzip");
            let mut stdin = child.stdin.take().expect("piped");
            let writer = thread::spawn(move || stdin.write_all(&gz));
            let out = child.wait_with_output().expect("gunzip");
            writer.join().expect("join").expect("write");
            assert!(out.status.success() && out.stdout == plain, "length {length}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn unpacking_undoes_packing(plain in proptest::collection::vec(any::<u8>(), 0..70_000)) {
            let mut back = Vec::new();
            MultiGzDecoder::new(&packed(&plain)[..]).read_to_end(&mut back).expect("unpack");
            prop_assert_eq!(back, plain);
        }
    }

    #[test]
    fn an_error_of_the_source_comes_through_and_is_not_an_end() {
        struct Dying(usize);
        impl Read for Dying {
            fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
                if self.0 == 0 {
                    return Err(io::Error::other("the source died"));
                }
                self.0 -= 1;
                buf.fill(b'x');
                Ok(buf.len())
            }
        }
        for reads in [0, 1, 30] {
            let e = Gzip::new(Dying(reads), 1).read_to_end(&mut Vec::new()).expect_err("must fail");
            assert_eq!(e.to_string(), "the source died");
        }
    }
}
