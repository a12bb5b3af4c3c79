//! pg_control: read until it is whole, and what its first bytes say.

use crate::format::backup::PG_CONTROL;
use std::fs;
use std::path::Path;
use std::time::Duration;
use toban_core::crc::crc32c;
use toban_core::{Context, Error, Result};

/// The whole file, with a checksum that holds: the server may write it while we read.
///
/// # Errors
/// When it cannot be read, or never holds.
pub(crate) fn read_control(data_dir: &Path) -> Result<Vec<u8>> {
    let path = data_dir.join(PG_CONTROL);
    // The server may be writing it, and a reader may see half of that: PostgreSQL's own programs read it again, too
    // (get_controlfile in controldata_utils.c).
    for _ in 0..100 {
        let bytes = fs::read(&path).doing(|| format!("read {}", path.display()))?;
        if is_whole(&bytes) {
            return Ok(bytes);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Err(Error::failed(format!("{} is damaged: its checksum does not hold", path.display())))
}

/// The checksum comes after the last field, at an offset that differs between majors: it is where it holds.
fn is_whole(bytes: &[u8]) -> bool {
    let holds = |at: usize| {
        let stored = bytes.get(at..at + 4).and_then(|b| b.try_into().ok()).map(u32::from_ne_bytes);
        stored == Some(crc32c(&bytes[..at]))
    };
    // The fields are kept within 512 bytes, so that a disk writes them in one sector
    // (PG_CONTROL_MAX_SAFE_SIZE in pg_control.h): a shorter file is cut off.
    bytes.len() >= 512 && (200..400).step_by(4).any(holds)
}

/// The system identifier, its first field.
pub(crate) fn system_identifier(bytes: &[u8]) -> Option<u64> {
    bytes.get(..8).and_then(|b| b.try_into().ok()).map(u64::from_ne_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torn_one_is_not_whole() {
        let mut bytes = vec![7; 8192];
        let crc = crc32c(&bytes[..288]).to_ne_bytes();
        bytes[288..292].copy_from_slice(&crc);
        assert!(is_whole(&bytes));
        bytes[100] ^= 1;
        assert!(!is_whole(&bytes));
        assert_eq!(system_identifier(&[1, 0, 0, 0, 0, 0, 0, 0]), Some(1));
    }
}
