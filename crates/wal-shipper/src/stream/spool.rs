//! The bytes of one segment while it comes: in a file without a name, which is gone however we end.

use std::fs::File;
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use toban_core::repo::archive::Compressed;
use toban_core::{Context, Result};

pub(super) struct Spool(File);

impl Spool {
    /// An empty one in the folder for temporary files (`TMPDIR`).
    pub(super) fn new() -> Result<Spool> {
        let folder = std::env::temp_dir();
        // Unlinked from the start (O_TMPFILE): a killed service leaves nothing behind in TMPDIR.
        tempfile::tempfile().map(Spool).doing(|| format!("make a temporary file in {}", folder.display()))
    }

    pub(super) fn write(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.0.write_all_at(bytes, offset).doing(|| "keep WAL in a temporary file".into())
    }

    /// A part of it, ready to be stored.
    pub(super) fn compress(&self, bytes: Range<u64>, level: i32) -> Result<Compressed> {
        // The one path that a file without a name has.
        let path = PathBuf::from(format!("/proc/self/fd/{}", self.0.as_raw_fd()));
        Compressed::part(&path, bytes, level)
    }
}
