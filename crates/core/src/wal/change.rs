//! Bytes of the WAL that recovery shall see otherwise than they were written.

use super::{Lsn, Segment};
use crate::error::{Context, Error, Result};
use crate::sum::hex;
use std::fmt::Write;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Some bytes at a position; none lies over two segments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Where they begin.
    pub lsn: Lsn,
    /// What was written.
    pub old: Vec<u8>,
    /// What recovery shall see.
    pub new: Vec<u8>,
}

/// The text of a file of changes: position, old and new bytes in hexadecimal, a line each.
pub fn write_changes(changes: &[Change]) -> String {
    let mut text = String::new();
    for change in changes {
        let _ = writeln!(text, "{} {} {}", change.lsn, hex(&change.old), hex(&change.new));
    }
    text
}

/// What [`write_changes`] wrote.
///
/// # Errors
/// Corrupt, with the line.
pub fn read_changes(text: &str) -> Result<Vec<Change>> {
    text.lines()
        .map(|l| {
            parse_change(l)
                .ok_or_else(|| Error::corrupt(format!("this is not a line of a file of WAL changes: {l:?}")))
        })
        .collect()
}

fn parse_change(text: &str) -> Option<Change> {
    let mut words = text.split(' ');
    let change = Change {
        lsn: words.next()?.parse().ok()?,
        old: parse_bytes(words.next()?)?,
        new: parse_bytes(words.next()?)?,
    };
    (words.next().is_none() && !change.old.is_empty() && change.old.len() == change.new.len())
        .then_some(change)
}

fn parse_bytes(hex: &str) -> Option<Vec<u8>> {
    let pair = |p: &[u8]| u8::from_str_radix(std::str::from_utf8(p).ok()?, 16).ok();
    hex.as_bytes().chunks(2).map(pair).collect()
}

/// Makes those of the `changes` that lie in `segment`, whose content is the file at `path`; how many were made.
///
/// # Errors
/// Corrupt when the file holds other bytes there than were written: then nobody knows what recovery would do.
pub fn apply_changes(changes: &[Change], segment: &Segment, path: &Path) -> Result<usize> {
    let inside = |c: &&Change| (segment.start()..segment.end()).contains(&c.lsn);
    let doing = || format!("change {}", path.display());
    let mut file: Option<File> = None;
    let mut made = 0;
    for change in changes.iter().filter(inside) {
        let file = match &mut file {
            Some(file) => file,
            none => none.insert(OpenOptions::new().read(true).write(true).open(path).doing(doing)?),
        };
        let (at, mut there) = (change.lsn.0 - segment.start().0, vec![0; change.old.len()]);
        file.read_exact_at(&mut there, at).doing(doing)?;
        // After a crash recovery asks for the same segment again: what was changed before is not an error.
        if there != change.new {
            if there != change.old {
                let e = format!(
                    "{} holds other bytes at {} than when the restore read it",
                    segment.name(),
                    change.lsn
                );
                return Err(Error::corrupt(e));
            }
            file.write_all_at(&change.new, at).doing(doing)?;
        }
        made += 1;
    }
    Ok(made)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wal::Timeline;

    #[test]
    fn changes_are_written_read_and_made_once() {
        let changes = [
            Change { lsn: Lsn(0x10_0014), old: vec![1, 2, 0xff, 4], new: vec![5, 6, 7, 8] },
            Change { lsn: Lsn(0x20_0000), old: vec![b'/'], new: vec![0] },
        ];
        let read = read_changes(&write_changes(&changes)).expect("it reads");
        assert_eq!(read, changes);
        for bad in ["0/1 00", "x 00 00", "0/1 00 0000", "0/1 0g 00", "0/1 00 00 00", "0/1  "] {
            assert!(read_changes(bad).is_err(), "{bad}");
        }
        let file = tempfile::NamedTempFile::new().expect("a file");
        let mut content = vec![0; 1 << 20];
        content[0x14..0x18].copy_from_slice(&[1, 2, 0xff, 4]);
        std::fs::write(file.path(), &content).expect("write");
        let segment = Segment { timeline: Timeline(1), number: 1, size: 1 << 20 };
        for _ in 0..2 {
            assert_eq!(apply_changes(&changes, &segment, file.path()).expect("made"), 1);
            content[0x14..0x18].copy_from_slice(&[5, 6, 7, 8]);
            assert!(std::fs::read(file.path()).expect("read") == content);
        }
        std::fs::write(file.path(), vec![9; 1 << 20]).expect("write");
        let e = apply_changes(&changes, &segment, file.path()).expect_err("other bytes");
        assert_eq!(e.kind(), crate::Kind::Corrupt);
    }
}
