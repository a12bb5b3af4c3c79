//! What keeps WAL: slots, the archiver, and how much there is.

use super::{Memory, PgServer, number, query_rows, text};
use crate::damping::{AT_ONCE, TWICE};
use crate::reading::{Limits, Measure, Reading, percent, seconds};
use crate::rules;
use postgres::Transaction;
use toban_core::out::bytes;
use toban_core::{Result, Severity};

/// Seconds that a file may wait for the archiver.
const WAITS: Limits = Limits { warning: 600.0, critical: 3600.0 };
/// Times what the settings allow.
const TOO_MUCH: f64 = 2.0;

/// `restart_lsn` is NULL of a slot that was never used and of a lost one alike: the status tells them apart.
const SLOTS: &str = "\
    select slot_name::text, active, coalesce(wal_status, 'never'), \
           pg_wal_lsn_diff(case when pg_is_in_recovery() then pg_last_wal_replay_lsn() else pg_current_wal_lsn() end, \
                           restart_lsn)::float8, \
           current_setting('max_slot_wal_keep_size') = '-1', current_setting('data_directory') \
      from pg_replication_slots where not temporary";

/// One slot.
#[derive(Clone, Debug, Default, PartialEq)]
struct SeenSlot {
    name: String,
    active: bool,
    status: String,
    held: f64,
    unlimited: bool,
    /// Bytes that are free on the disk of pg_wal, where that is ours.
    free: Option<f64>,
}

/// Every slot.
pub(super) fn check_slots(
    server: &PgServer<'_>,
    transaction: &mut Transaction<'_>,
    _: &mut Memory<'_>,
) -> Result<Vec<Reading>> {
    let rows = query_rows(transaction, SLOTS)?;
    let flag =
        |row: &postgres::Row, at: usize| row.try_get::<_, Option<bool>>(at).ok().flatten() == Some(true);
    let free = |row: &postgres::Row| {
        let folder = std::path::PathBuf::from(text(row, 5)).join("pg_wal");
        toban_core::machine::free_bytes(&folder).ok().filter(|_| server.local).map(|free| free as f64)
    };
    let slot = |row: &postgres::Row| SeenSlot {
        name: text(row, 0),
        active: flag(row, 1),
        status: text(row, 2),
        held: number(row, 3).unwrap_or(0.0).max(0.0),
        unlimited: flag(row, 4),
        free: free(row),
    };
    Ok(rows.iter().map(|row| judge_slot(&slot(row))).collect())
}

fn judge_slot(slot: &SeenSlot) -> Reading {
    let held = bytes(slot.held as u64);
    let all = slot.free.map(|free| slot.held / (slot.held + free));
    let (severity, text) = match (slot.status.as_str(), slot.active) {
        ("lost", _) => (Severity::Critical, "its WAL is gone: its client must begin anew".to_string()),
        ("unreserved", _) => (Severity::Critical, format!("its WAL is about to be removed, {held} behind")),
        ("never", _) => (Severity::Ok, "it was never used and keeps nothing".to_string()),
        (_, _) if all.is_some_and(|part| part >= 0.5) => {
            let part = percent(all.unwrap_or(0.0));
            (Severity::Critical, format!("it holds {held}, {part} of what the disk of pg_wal can take"))
        }
        (_, true) => (Severity::Ok, format!("in use, {held} held")),
        (_, false) if slot.unlimited => (
            Severity::Warning,
            format!("nobody uses it, {held} held, and max_slot_wal_keep_size sets no end"),
        ),
        (_, false) => (Severity::Ok, format!("nobody uses it, {held} held")),
    };
    let policy = if severity == Severity::Warning { &TWICE } else { &AT_ONCE };
    let measure = Measure::new(slot.held, "B").seen_by("server");
    Reading::of_state(&rules::PG_SLOT, severity, text)
        .with_measure(measure)
        .damped_by(policy)
        .about(&slot.name)
}

/// A note is `NAME.ready` as long as the file waits. An idle server archives nothing for hours, legally.
const ARCHIVER: &str = "\
    select current_setting('archive_mode'), \
           coalesce(a.last_failed_time > a.last_archived_time, a.last_failed_time is not null), \
           coalesce(a.last_failed_wal, ''), w.n::float8, w.age, pg_is_in_recovery() \
      from pg_stat_archiver a, \
           (select count(*) n, extract(epoch from clock_timestamp() - min(modification))::float8 age \
              from pg_ls_archive_statusdir() where name like '%.ready') w";

/// Whether files wait for the archiver.
pub(super) fn check_archiver(
    _: &PgServer<'_>,
    transaction: &mut Transaction<'_>,
    _: &mut Memory<'_>,
) -> Result<Vec<Reading>> {
    let rows = query_rows(transaction, ARCHIVER)?;
    let Some(row) = rows.first() else { return Ok(Vec::new()) };
    let flag = |at: usize| row.try_get::<_, Option<bool>>(at).ok().flatten() == Some(true);
    let mode = text(row, 0);
    if mode == "off" || (flag(5) && mode != "always") {
        let said = if mode == "off" { "archive_mode is off" } else { "a standby archives nothing" };
        return Ok(vec![Reading::of_state(&rules::PG_ARCHIVER, Severity::Ok, said)]);
    }
    let failed = flag(1).then(|| text(row, 2));
    Ok(vec![judge_archiver(failed.as_deref(), number(row, 3).unwrap_or(0.0), number(row, 4).unwrap_or(0.0))])
}

fn judge_archiver(failed: Option<&str>, waiting: f64, age: f64) -> Reading {
    let measure = Measure::new(age, "s").judged_by(WAITS).seen_by("server");
    let said = format!("{waiting} files wait, the oldest for {}", seconds(age));
    match failed {
        // It tries again every minute: that the last try failed is so until one succeeds.
        Some(name) if waiting > 0.0 => {
            let text = format!("archive_command fails for {name}; {said}");
            Reading::of_state(&rules::PG_ARCHIVER, Severity::Critical, text)
                .with_measure(measure)
                .damped_by(&TWICE)
        }
        _ if waiting > 0.0 => Reading::of_measure(&rules::PG_ARCHIVER, measure, said).damped_by(&AT_ONCE),
        _ => Reading::of_state(&rules::PG_ARCHIVER, Severity::Ok, "no file waits"),
    }
}

/// An empty set sums to NULL.
const VOLUME: &str = "\
    select (select coalesce(sum(size), 0)::float8 from pg_ls_waldir()), \
           (select sum(setting::float8 * case unit when 'MB' then 1048576 when 'kB' then 1024 else 1 end) \
              from pg_settings where name in ('max_wal_size', 'wal_keep_size')), \
           coalesce((select format('slot %s', slot_name) from pg_replication_slots where restart_lsn is not null \
                      order by restart_lsn limit 1), ''), \
           (select coalesce(last_failed_time > last_archived_time, last_failed_time is not null) from pg_stat_archiver)";

/// How much WAL lies there, beside what the settings allow.
pub(super) fn check_volume(
    _: &PgServer<'_>,
    transaction: &mut Transaction<'_>,
    _: &mut Memory<'_>,
) -> Result<Vec<Reading>> {
    let rows = query_rows(transaction, VOLUME)?;
    let Some(row) = rows.first() else { return Ok(Vec::new()) };
    let (size, allowed) = (number(row, 0).unwrap_or(0.0), number(row, 1).unwrap_or(0.0));
    let failing = row.try_get::<_, Option<bool>>(3).ok().flatten() == Some(true);
    let holder = if failing { "the failing archiver".to_string() } else { text(row, 2) };
    Ok(vec![judge_volume(size, allowed, &holder)])
}

fn judge_volume(size: f64, allowed: f64, holder: &str) -> Reading {
    let limit = (allowed * TOO_MUCH).max(1.0);
    let measure = Measure { warning: Some(limit), ..Measure::new(size, "B").seen_by("server") };
    let who = if holder.is_empty() { String::new() } else { format!("; {holder} holds the oldest") };
    let mut said = format!("{} of WAL, the settings allow {}", bytes(size as u64), bytes(allowed as u64));
    if size >= limit {
        said.push_str(&who);
    }
    Reading::of_measure(&rules::PG_WAL, measure, said).damped_by(&TWICE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_slot_holds_nothing_and_is_the_worst() {
        let slot = |status: &str, active, held, free| SeenSlot {
            status: status.into(),
            active,
            held,
            free,
            unlimited: true,
            ..SeenSlot::default()
        };
        for (slot, severity) in [
            (slot("lost", false, 0.0, None), Severity::Critical),
            (slot("unreserved", true, 5e9, None), Severity::Critical),
            (slot("never", false, 0.0, None), Severity::Ok),
            (slot("reserved", true, 5e9, None), Severity::Ok),
            (slot("extended", true, 5e9, Some(4e9)), Severity::Critical),
            (slot("reserved", false, 5e6, Some(4e9)), Severity::Warning),
            (SeenSlot { unlimited: false, ..slot("reserved", false, 5e6, None) }, Severity::Ok),
        ] {
            assert_eq!(judge_slot(&slot).severity, severity, "{slot:?}");
        }
    }

    #[test]
    fn an_archiver_is_judged_by_what_waits() {
        for (failed, waiting, age, severity) in [
            (None, 0.0, 0.0, Severity::Ok),
            (Some("00000001000000000000000A"), 0.0, 0.0, Severity::Ok),
            (Some("00000002.history"), 1.0, 5.0, Severity::Critical),
            (None, 3.0, 599.0, Severity::Ok),
            (None, 3.0, 600.0, Severity::Warning),
            (None, 500.0, 3600.0, Severity::Critical),
        ] {
            assert_eq!(judge_archiver(failed, waiting, age).severity, severity, "{failed:?} {waiting} {age}");
        }
        let reading = judge_volume(5e9, 1e9, "slot a");
        assert_eq!(reading.severity, Severity::Warning);
        assert!(reading.text.contains("slot a"), "{}", reading.text);
        assert_eq!(judge_volume(1.9e9, 1e9, "slot a").severity, Severity::Ok);
    }
}
