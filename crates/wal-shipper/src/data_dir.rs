//! Files of the WAL in a data directory: which system they are of, and whether they are what their names say.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use toban_core::wal::{Header, WalName};
use toban_core::{Context, Error, Result};

/// The system identifier of a data directory: the first field of pg_control (ControlFileData in pg_control.h, in the
/// machine's own byte order).
///
/// # Errors
/// When there is no data directory.
pub(crate) fn read_system_identifier(data_dir: &Path) -> Result<u64> {
    let path = data_dir.join("global/pg_control");
    let mut bytes = [0; 8];
    let hint = "run it where PostgreSQL runs it: in the data directory";
    let read = File::open(&path).and_then(|mut f| f.read_exact(&mut bytes));
    read.doing(|| format!("read {}", path.display())).map_err(|e| e.hint(hint))?;
    Ok(u64::from_ne_bytes(bytes))
}

/// The header of the segment at `path`, which must be `name`, whole, and of `system` where that is known.
///
/// # Errors
/// Corrupt, with what does not fit.
pub(crate) fn check_segment_file(path: &Path, name: WalName, system: Option<u64>) -> Result<Header> {
    let doing = || format!("read {}", path.display());
    let mut file = File::open(path).doing(doing)?;
    let mut page = [0; Header::BYTES];
    let length = file.metadata().doing(doing)?.len();
    file.read_exact(&mut page).doing(doing)?;
    let header = Header::read_header(&page).doing(|| format!("{name} is not what its name says"))?;
    let segment = name.segment(header.segment_size);
    let segment = segment
        .ok_or_else(|| Error::corrupt(format!("{name} is no segment of {} bytes", header.segment_size)))?;
    header.check_segment(&segment)?;
    // A segment that is being copied or was cut has a good first page, too.
    if length != segment.size {
        return Err(Error::corrupt(format!("{name} has {length} bytes, not {}", segment.size)));
    }
    match system.filter(|s| *s != header.system) {
        None => Ok(header),
        Some(ours) => Err(Error::corrupt(format!("{name} is of system {}, not of {ours}", header.system))),
    }
}
