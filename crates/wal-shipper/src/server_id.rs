//! Which server answers: what `stream` and `check` both ask first.

use postgres::Row;
use toban_core::wal::Timeline;
use toban_core::{Context, Result};

/// Which server it is, and in which state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServerId {
    pub(crate) system: u64,
    pub(crate) major: u32,
    /// Bytes of a segment.
    pub(crate) segment_size: u64,
    /// It is in recovery.
    pub(crate) standby: bool,
    pub(crate) timeline: Timeline,
}

/// The first columns of a query `from pg_control_system() s, pg_control_checkpoint() c`.
//
// pg_control has a new timeline only since the first checkpoint after a promotion, which may be minutes later. So a
// primary is asked for the name of the file that it writes, and a standby for the timeline that it receives.
pub(crate) const ID_COLUMNS: &str = "s.system_identifier::text, current_setting('server_version_num')::int / 10000, \
    pg_size_bytes(current_setting('wal_segment_size')), pg_is_in_recovery(), \
    case when pg_is_in_recovery() then coalesce((select received_tli from pg_stat_wal_receiver), c.timeline_id) \
         else ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int end";
/// How many they are.
pub(crate) const ID_WIDTH: usize = 5;

impl ServerId {
    /// Reads [`ID_COLUMNS`].
    ///
    /// # Errors
    /// When the system identifier is no number.
    pub(crate) fn from_row(row: &Row) -> Result<ServerId> {
        let system: String = row.get(0);
        Ok(ServerId {
            system: system.parse().doing(|| format!("read the system identifier {system}"))?,
            major: u32::try_from(row.get::<_, i32>(1)).unwrap_or_default(),
            segment_size: u64::try_from(row.get::<_, i64>(2)).unwrap_or_default(),
            standby: row.get(3),
            timeline: Timeline(u32::try_from(row.get::<_, i32>(4)).unwrap_or_default()),
        })
    }
}
