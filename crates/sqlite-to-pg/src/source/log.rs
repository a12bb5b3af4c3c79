//! Whether the write-ahead log beside the file is whole: SQLite reads it up to the first frame that is not, and forgets
//! the transactions after that one without a message.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;
use std::time::Duration;
use toban_core::{Context, Error, Result};

const HEADER: usize = 32;
const FRAME: usize = 24;
/// The last bit tells the order of the bytes that are summed.
const MAGIC: u32 = 0x377f_0682;

/// Looks at the log of the database `path`, where there is one.
///
/// # Errors
/// Corrupt, when there are transactions after a damaged frame; those of the file system.
pub(crate) fn check_log(path: &Path) -> Result<()> {
    let log = super::open::path_beside(path, "-wal");
    let doing = || format!("look at {}", log.display());
    let look = || match File::open(&log) {
        Ok(file) => find_damage(BufReader::with_capacity(1 << 18, file)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    };
    if look().doing(doing)?.is_none() {
        return Ok(());
    }
    // A living writer sums frames again in the instant before it commits.
    std::thread::sleep(Duration::from_millis(200));
    match look().doing(doing)? {
        None => Ok(()),
        Some(what) => Err(Error::corrupt(format!("{} is damaged: {what}", log.display())).hint(
            "SQLite ignores the transactions after it; restore the file and its log together from a backup, or open the file \
             once with the sqlite3 shell, which drops them",
        )),
    }
}

/// Of a log what is damaged in it (<https://sqlite.org/fileformat.html#the_write_ahead_log>).
fn find_damage(mut log: impl Read) -> io::Result<Option<String>> {
    let mut header = Vec::new();
    log.by_ref().take(HEADER as u64).read_to_end(&mut header)?;
    if header.iter().all(|b| *b == 0) {
        return Ok(None);
    }
    let Some(mut sum) = Sum::of_header(&header) else { return Ok(Some("its header is not whole".into())) };
    let page = match read_u32(&header, 8) {
        1 => 65_536,
        n => n as usize,
    };
    let mut frame = vec![0; FRAME + page];
    let mut broken = None;
    for at in 1_u64.. {
        // Both salts change with each round of the log: a frame with other ones is of a round before.
        if log.read_exact(&mut frame).is_err() || frame[8..16] != header[16..24] {
            // The end, or frames of an earlier round, which are no part of the log any more.
            return Ok(None);
        }
        sum.add_bytes(&frame[..8]);
        sum.add_bytes(&frame[FRAME..]);
        if broken.is_none() && (read_u32(&frame, 16), read_u32(&frame, 20)) != (sum.first, sum.second) {
            broken = Some(at);
        }
        // A transaction that was being written when the program died ends the log; one that was committed does not.
        let commits = read_u32(&frame, 4) > 0;
        if let Some(broken) = broken.filter(|broken| commits && *broken < at) {
            return Ok(Some(format!("frame {broken} is not whole, and a transaction ends with frame {at}")));
        }
    }
    Ok(None)
}

fn read_u32(bytes: &[u8], at: usize) -> u32 {
    bytes[at..at + 4].iter().fold(0, |n, b| n << 8 | u32::from(*b))
}

/// The running sum over header and frames.
struct Sum {
    first: u32,
    second: u32,
    big: bool,
}

impl Sum {
    fn of_header(header: &[u8]) -> Option<Sum> {
        let magic = header.get(..HEADER).map(|h| read_u32(h, 0)).filter(|m| m & !1 == MAGIC)?;
        let mut sum = Sum { first: 0, second: 0, big: magic & 1 == 1 };
        sum.add_bytes(&header[..24]);
        let page = read_u32(header, 8);
        let sized = page == 1 || (page.is_power_of_two() && (512..=32_768).contains(&page));
        ((read_u32(header, 24), read_u32(header, 28)) == (sum.first, sum.second) && sized).then_some(sum)
    }

    fn add_bytes(&mut self, bytes: &[u8]) {
        let word = |four: &[u8]| {
            let n = read_u32(four, 0);
            if self.big { n } else { n.swap_bytes() }
        };
        let (mut first, mut second) = (self.first, self.second);
        // Two sums over pairs of words, each of which feeds the other (file format, "Checksum Algorithm"): words that
        // change places are noticed too.
        for pair in bytes.chunks_exact(8) {
            first = first.wrapping_add(word(&pair[..4])).wrapping_add(second);
            second = second.wrapping_add(word(&pair[4..])).wrapping_add(first);
        }
        (self.first, self.second) = (first, second);
    }
}
