//! `backup_manifest` in PostgreSQL's own format, so that pg_verifybackup judges what was restored.

use crate::format::backup::BackupManifest;
use crate::format::index::{FileName, IndexEntry};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use toban_core::crc::crc32c;
use toban_core::sum::hex;
use toban_core::{Context, Result};

const NAME: &str = "backup_manifest";

/// The lines of the files, gathered on disk: a cluster may have millions.
pub(super) struct ManifestWriter {
    path: PathBuf,
    lines: BufWriter<File>,
    first: bool,
}

impl ManifestWriter {
    /// An empty one in the target, hidden until it is complete.
    pub(super) fn create_in(target: &Path) -> Result<ManifestWriter> {
        let path = target.join(NAME);
        let _ = std::fs::remove_file(&path);
        let lines = tempfile::tempfile_in(target).doing(|| format!("write {}", path.display()))?;
        Ok(ManifestWriter { path, lines: BufWriter::new(lines), first: true })
    }

    /// Adds a file as it was backed up. WAL and what a restore writes itself are not listed.
    pub(super) fn add_file(&mut self, entry: &IndexEntry) -> Result<()> {
        let name = entry.path.text();
        if name.starts_with("pg_wal/") || name == "postgresql.auto.conf" {
            return Ok(());
        }
        self.write_line(&entry.path, entry.size, entry.modified, entry.crc32c)
    }

    /// Adds a file that the restore wrote with these bytes.
    pub(super) fn add_bytes(&mut self, name: &str, bytes: &[u8], modified: i64) -> Result<()> {
        self.write_line(&FileName(name.as_bytes().to_vec()), bytes.len() as u64, modified, crc32c(bytes))
    }

    fn write_line(&mut self, name: &FileName, size: u64, modified: i64, crc: u32) -> Result<()> {
        let doing = || format!("write {}", self.path.display());
        let path = match std::str::from_utf8(&name.0) {
            Ok(text) => format!("\"Path\": {}", serde_json::to_string(text).doing(doing)?),
            Err(_) => format!("\"Encoded-Path\": \"{}\"", hex(&name.0)),
        };
        let at = jiff::Timestamp::from_second(modified).unwrap_or_default().strftime("%Y-%m-%d %H:%M:%S GMT");
        // PostgreSQL prints the bytes of the checksum as they lie in memory.
        let sum = hex(&crc.to_ne_bytes());
        let comma = if std::mem::take(&mut self.first) { "" } else { ",\n" };
        let line = format!(
            "{comma}{{ {path}, \"Size\": {size}, \"Last-Modified\": \"{at}\", \
             \"Checksum-Algorithm\": \"CRC32C\", \"Checksum\": \"{sum}\" }}"
        );
        self.lines.write_all(line.as_bytes()).doing(doing)
    }

    /// Writes it whole: head, files, WAL range, and last its own SHA-256.
    pub(super) fn write_file(self, backup: &BackupManifest) -> Result<()> {
        let doing = || format!("write {}", self.path.display());
        let mut lines = self.lines.into_inner().map_err(std::io::IntoInnerError::into_error).doing(doing)?;
        std::io::Seek::rewind(&mut lines).doing(doing)?;
        let mut head = manifest_head(backup).into_bytes();
        let tail = manifest_tail(backup).into_bytes();
        head.extend_from_slice(b"\"Files\": [\n");
        toban_core::durable::replace(&self.path, 0o600, |w| {
            let text = std::io::Read::chain(std::io::Read::chain(&head[..], lines), &tail[..]);
            let mut text = toban_core::sum::Measured::new(text);
            std::io::copy(&mut text, w).doing(doing)?;
            let sum = text.sum().sha256;
            writeln!(w, "\"Manifest-Checksum\": \"{sum}\"}}").doing(doing)
        })
    }
}

/// Version 2 names the system; servers before 17 know version 1 only.
fn manifest_head(backup: &BackupManifest) -> String {
    match backup.major {
        ..17 => "{ \"PostgreSQL-Backup-Manifest-Version\": 1,\n".into(),
        _ => format!(
            "{{ \"PostgreSQL-Backup-Manifest-Version\": 2,\n\"System-Identifier\": {},\n",
            backup.system_identifier
        ),
    }
}

fn manifest_tail(backup: &BackupManifest) -> String {
    format!(
        "\n],\n\"WAL-Ranges\": [\n{{ \"Timeline\": {}, \"Start-LSN\": \"{}\", \"End-LSN\": \"{}\" }}\n],\n",
        backup.timeline, backup.start_lsn, backup.stop_lsn
    )
}
