//! pg_control, as pg_controldata prints it.

use super::found;
use crate::Result;
use crate::{Context, Error};
use jiff::Timestamp;
use std::path::Path;
use std::process::Command;

/// What a server of ours needs of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Control {
    /// System identifier.
    pub system: u64,
    /// Of the latest checkpoint.
    pub timeline: u32,
    /// Bytes of a segment of the WAL.
    pub segment: u64,
    /// Whether pages have checksums.
    pub checksums: bool,
    /// When its checkpoint was made: what was committed before is in the cluster.
    pub checkpoint: Option<Timestamp>,
    /// Every transaction below had ended at the checkpoint.
    pub all_ended_below: u64,
    /// The setting of the server that was backed up.
    pub max_connections: u32,
    /// The setting of the server that was backed up.
    pub max_worker_processes: u32,
    /// The setting of the server that was backed up.
    pub max_wal_senders: u32,
    /// The setting of the server that was backed up.
    pub max_prepared_transactions: u32,
    /// The setting of the server that was backed up.
    pub max_locks_per_transaction: u32,
    /// Whether it kept the times of commits.
    pub track_commit_timestamp: bool,
}

/// Reads it by `program`, pg_controldata, with times in UTC and in English.
///
/// # Errors
/// Findings when it is damaged or is not there.
pub fn read_control(mut program: Command, data: &Path) -> Result<Control> {
    let done = program.env("TZ", "UTC").arg("-D").arg(data).output().doing(|| "run pg_controldata".into())?;
    let output = String::from_utf8_lossy(&done.stdout).into_owned();
    let complaint = String::from_utf8_lossy(&done.stderr);
    // A wrong checksum of pg_control is only a warning to pg_controldata, which ends with 0 all the same.
    if !done.status.success() || output.contains("WARNING") || complaint.contains("WARNING") {
        let why = complaint
            .lines()
            .chain(output.lines())
            .find(|l| !l.trim().is_empty())
            .unwrap_or("it wrote nothing");
        return Err(found(format!("pg_control is damaged: {why}")));
    }
    parse_control(&output)
}

fn parse_control(output: &str) -> Result<Control> {
    let field = |name: &str| -> Result<&str> {
        let line = output.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(':'));
        line.map(str::trim).ok_or_else(|| Error::failed(format!("pg_controldata does not print: {name}")))
    };
    let number = |name: &str| -> Result<u64> {
        field(name)?.parse().doing(|| format!("read pg_controldata's {name}"))
    };
    let setting = |name: &str| Ok::<u32, Error>(u32::try_from(number(name)?).unwrap_or(u32::MAX));
    // `epoch:xid`: together they number transactions without wrapping, as pg_snapshot_xmax does.
    let next = field("Latest checkpoint's NextXID")?;
    let (epoch, xid) = next.split_once(':').unwrap_or(("0", next));
    let parsed = |text: &str| text.parse::<u64>().doing(|| "read pg_controldata's NextXID".into());
    let next = parsed(epoch)? << 32 | parsed(xid)?;
    Ok(Control {
        system: number("Database system identifier")?,
        timeline: setting("Latest checkpoint's TimeLineID")?,
        segment: number("Bytes per WAL segment")?,
        checksums: number("Data page checksum version")? != 0,
        checkpoint: parse_time(field("Time of latest checkpoint")?),
        all_ended_below: all_ended_below(next, number("Latest checkpoint's oldestActiveXID")?),
        max_connections: setting("max_connections setting")?,
        max_worker_processes: setting("max_worker_processes setting")?,
        max_wal_senders: setting("max_wal_senders setting")?,
        max_prepared_transactions: setting("max_prepared_xacts setting")?,
        max_locks_per_transaction: setting("max_locks_per_xact setting")?,
        track_commit_timestamp: field("track_commit_timestamp setting")? == "on",
    })
}

/// The oldest that was active is printed without its epoch; none was when it is 0.
fn all_ended_below(next: u64, oldest_active: u64) -> u64 {
    match oldest_active {
        0 => next,
        xid if xid <= next & 0xFFFF_FFFF => next & !0xFFFF_FFFF | xid,
        xid => (next & !0xFFFF_FFFF).saturating_sub(1 << 32) | xid,
    }
}

/// `Sun Nov 22 00:19:47 2026`, of a clock of UTC.
fn parse_time(text: &str) -> Option<Timestamp> {
    let civil = jiff::civil::DateTime::strptime("%a %b %e %H:%M:%S %Y", text).ok()?;
    civil.to_zoned(jiff::tz::TimeZone::UTC).ok().map(|z| z.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = "\
Database system identifier:           7710783935778474046
Latest checkpoint's TimeLineID:       3
Latest checkpoint's NextXID:          1:724
Latest checkpoint's oldestActiveXID:  4294967290
Time of latest checkpoint:            Sun Nov 22 00:19:47 2026
max_connections setting:              100
max_worker_processes setting:         8
max_wal_senders setting:              10
max_prepared_xacts setting:           0
max_locks_per_xact setting:           64
track_commit_timestamp setting:       off
Bytes per WAL segment:                16777216
Data page checksum version:           1
";

    #[test]
    fn what_pg_controldata_says() {
        let control = parse_control(OUTPUT).expect("it reads");
        assert_eq!(
            (control.system, control.timeline, control.checksums),
            (7_710_783_935_778_474_046, 3, true)
        );
        assert_eq!(control.checkpoint.map(|t| t.to_string()).as_deref(), Some("2026-11-22T00:19:47Z"));
        // The oldest that is active began before the counter went round.
        assert_eq!(control.all_ended_below, 4_294_967_290);
        assert!(parse_control("Database system identifier: 7\n").is_err());
    }

    #[test]
    fn the_epoch_of_the_oldest_transaction() {
        assert_eq!(all_ended_below(1 << 32 | 724, 0), 1 << 32 | 724);
        assert_eq!(all_ended_below(1 << 32 | 724, 700), 1 << 32 | 700);
    }
}
