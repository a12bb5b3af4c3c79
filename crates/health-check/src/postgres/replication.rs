//! Standbys, from both sides. No single number tells whether one is behind: lags are NULL when the primary is idle, stale
//! when replay is paused, and time since the last transaction grows by itself when nothing is written.

use super::{Memory, PgServer, number, query_rows, text};
use crate::damping::{AT_ONCE, DELAY, TWICE};
use crate::reading::{Limits, Measure, Reading, seconds};
use crate::rules;
use postgres::Transaction;
use serde_json::{Value, json};
use toban_core::out::bytes;
use toban_core::{Result, Severity};

const MIB: f64 = 1_048_576.0;
/// A walreceiver that is told nothing for so long, in seconds, has lost its primary (twice wal_receiver_timeout's default).
const SILENCE: f64 = 120.0;
/// A standby that replays from an archive gets a segment at least so often, or the archive stands still.
const ARCHIVE_STALL: f64 = 900.0;

/// In bytes of WAL between what is written and what a standby has replayed; of pg_receivewal, which replays nothing, what
/// it has on disk.
const STANDBYS: &str = "\
    select coalesce(nullif(application_name, ''), client_addr::text, pid::text), state, sync_state, \
           pg_wal_lsn_diff(case when pg_is_in_recovery() then pg_last_wal_receive_lsn() else pg_current_wal_lsn() end, \
                           coalesce(replay_lsn, flush_lsn, write_lsn))::float8, \
           extract(epoch from clock_timestamp() - reply_time)::float8 from pg_stat_replication";

/// One row of pg_stat_replication.
#[derive(Clone, Debug, Default, PartialEq)]
struct SeenStandby {
    name: String,
    state: String,
    sync: String,
    behind: Option<f64>,
    silent: Option<f64>,
}

/// Who is connected, and how far each is.
pub(super) fn check_standbys(
    server: &PgServer<'_>,
    transaction: &mut Transaction<'_>,
    _: &mut Memory<'_>,
) -> Result<Vec<Reading>> {
    let rows = query_rows(transaction, STANDBYS)?;
    let standbys: Vec<SeenStandby> = rows
        .iter()
        .map(|row| SeenStandby {
            name: text(row, 0),
            state: text(row, 1),
            sync: text(row, 2),
            behind: number(row, 3),
            silent: number(row, 4),
        })
        .collect();
    let names = query_rows(transaction, "select current_setting('synchronous_standby_names')")?;
    let wanted = names.first().map(|row| text(row, 0)).unwrap_or_default();
    let lag = &server.check.settings.lag;
    let limits = Limits {
        warning: lag.warning.map_or(256.0 * MIB, |size| size.0),
        critical: lag.critical.map_or(1024.0 * MIB, |size| size.0),
    };
    let mut readings = judge_standbys(&standbys, &server.check.settings.standbys, limits);
    if !server.standby && !wanted.is_empty() {
        readings.push(judge_sync(&standbys, &wanted));
    }
    Ok(readings)
}

fn judge_standbys(standbys: &[SeenStandby], expected: &[String], limits: Limits) -> Vec<Reading> {
    let missing = expected.iter().filter(|name| standbys.iter().all(|s| s.name != **name)).map(|name| {
        Reading::of_state(&rules::PG_STANDBY, Severity::Critical, "it is not connected")
            .damped_by(&TWICE)
            .about(name)
    });
    // A base backup and a standby that just connects are no standbys yet.
    let settled = standbys.iter().filter(|s| !matches!(s.state.as_str(), "startup" | "backup"));
    missing.chain(settled.map(|s| judge_standby(s, limits))).collect()
}

fn judge_standby(standby: &SeenStandby, limits: Limits) -> Reading {
    let Some(behind) = standby.behind else {
        return Reading::unknown(&rules::PG_STANDBY, "it has reported no position").about(&standby.name);
    };
    let reading = match standby.silent {
        Some(silent) if silent > SILENCE => {
            let text = format!("it has reported nothing for {}", seconds(silent));
            Reading::of_state(&rules::PG_STANDBY, Severity::Warning, text).damped_by(&TWICE)
        }
        _ => {
            let measure = Measure::new(behind.max(0.0), "B").judged_by(limits).seen_by("server");
            let text = format!("{} behind, {}", bytes(behind.max(0.0) as u64), standby.state);
            Reading::of_measure(&rules::PG_STANDBY, measure, text).damped_by(&DELAY)
        }
    };
    reading.about(&standby.name)
}

fn judge_sync(standbys: &[SeenStandby], wanted: &str) -> Reading {
    let there = standbys.iter().filter(|s| matches!(s.sync.as_str(), "sync" | "quorum")).count();
    let (severity, text) = match there {
        0 => (
            Severity::Critical,
            format!("synchronous_standby_names is {wanted:?}, and none of them is connected"),
        ),
        n => (Severity::Ok, format!("{n} synchronous standbys are connected")),
    };
    Reading::of_state(&rules::PG_SYNC, severity, text)
}

/// What a standby knows of where its WAL comes from.
const SOURCE: &str = "\
    select r.status, extract(epoch from clock_timestamp() - r.last_msg_receipt_time)::float8, \
           pg_last_wal_replay_lsn()::text, pg_get_wal_replay_pause_state(), \
           pg_wal_lsn_diff(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())::float8, \
           extract(epoch from clock_timestamp() - pg_last_xact_replay_timestamp())::float8, \
           current_setting('primary_conninfo') <> '', \
           (select setting::float8 / 1000 from pg_settings where name = 'recovery_min_apply_delay') \
      from (select 1) one left join pg_stat_wal_receiver r on true";

/// The standby's own view.
#[derive(Clone, Debug, Default, PartialEq)]
struct StandbySource {
    status: Option<String>,
    silent: Option<f64>,
    replayed: String,
    pause: String,
    /// Bytes that are received and not replayed.
    waiting: f64,
    /// Seconds since the last replayed transaction was committed.
    since: Option<f64>,
    /// Whether it is to stream at all.
    streams: bool,
    /// Seconds that it waits on purpose.
    delay: f64,
}

/// Whether the standby gets WAL, and replays it.
pub(super) fn check_source(
    server: &PgServer<'_>,
    transaction: &mut Transaction<'_>,
    memory: &mut Memory<'_>,
) -> Result<Vec<Reading>> {
    if !server.standby {
        return Ok(Vec::new());
    }
    let rows = query_rows(transaction, SOURCE)?;
    let Some(row) = rows.first() else { return Ok(Vec::new()) };
    let source = StandbySource {
        status: row.try_get(0).ok().flatten(),
        silent: number(row, 1),
        replayed: text(row, 2),
        pause: text(row, 3),
        waiting: number(row, 4).unwrap_or(0.0),
        since: number(row, 5),
        streams: row.try_get::<_, Option<bool>>(6).ok().flatten().unwrap_or(false),
        delay: number(row, 7).unwrap_or(0.0),
    };
    let fact = format!("replayed {}", server.check.name);
    let (position, still) = still_since(memory.before.get(&fact), &source.replayed, server.check.now);
    memory.kept.insert(fact, position);
    Ok(vec![judge_source(&source, still)])
}

/// The position with the time since when it is the same, and for how long that is; none at the first look.
fn still_since(known: Option<&Value>, position: &str, now: f64) -> (Value, Option<f64>) {
    let before = known.and_then(|v| Some((v.get(0)?.as_str()?, v.get(1)?.as_f64()?)));
    match before {
        Some((known, since)) if known == position && since <= now => {
            (json!([position, since]), Some(now - since))
        }
        Some(_) => (json!([position, now]), Some(0.0)),
        None => (json!([position, now]), None),
    }
}

fn judge_source(source: &StandbySource, still: Option<f64>) -> Reading {
    let state = |severity, text: String| Reading::of_state(&rules::PG_REPLICATION, severity, text);
    if source.pause == "paused" {
        let text = format!("replay is paused, {} wait", bytes(source.waiting.max(0.0) as u64));
        return state(Severity::Warning, text).damped_by(&TWICE).advise("select pg_wal_replay_resume()");
    }
    let streaming = source.status.as_deref() == Some("streaming");
    match (streaming, source.silent) {
        (true, Some(silent)) if silent > SILENCE => {
            return state(
                Severity::Critical,
                format!("its primary has said nothing for {}", seconds(silent)),
            );
        }
        // What is received and not replayed is what it is behind: with nothing received the time says that nobody writes.
        (true, _) if source.waiting > 0.0 => {
            let behind = (source.since.unwrap_or(0.0) - source.delay).max(0.0);
            let limits = Limits { warning: 60.0, critical: 600.0 };
            let measure = Measure::new(behind, "s").judged_by(limits).seen_by("server");
            let text = format!("{} and {} behind", seconds(behind), bytes(source.waiting as u64));
            return Reading::of_measure(&rules::PG_REPLICATION, measure, text).damped_by(&DELAY);
        }
        (true, _) => return state(Severity::Ok, "streams, all that was received is replayed".into()),
        (false, _) => {}
    }
    if source.streams && still.is_none_or(|still| still > 0.0) {
        let text = "it is not connected to its primary, and replays nothing".to_string();
        return state(Severity::Critical, text).damped_by(&TWICE);
    }
    match still {
        None => state(
            Severity::Unknown,
            "it replays from an archive; the next run knows whether it goes on".into(),
        )
        .advise("run again, with a state directory"),
        Some(still) if still >= ARCHIVE_STALL => {
            let text = format!("it has replayed nothing for {}", seconds(still));
            state(Severity::Critical, text).damped_by(&AT_ONCE)
        }
        Some(still) => {
            state(Severity::Ok, format!("replays from an archive, the last {} ago", seconds(still)))
        }
    }
}

const SUBSCRIPTIONS: &str = "\
    select s.subname::text, s.subenabled, exists (select from pg_stat_subscription t where t.subid = s.oid and t.pid is not null) \
      from pg_subscription s join pg_database d on d.oid = s.subdbid where d.datname = current_database()";

/// Subscriptions of the database that is asked.
pub(super) fn check_subscriptions(
    server: &PgServer<'_>,
    transaction: &mut Transaction<'_>,
    _: &mut Memory<'_>,
) -> Result<Vec<Reading>> {
    if server.standby {
        return Ok(Vec::new());
    }
    let rows = query_rows(transaction, SUBSCRIPTIONS)?;
    let flag =
        |row: &postgres::Row, at: usize| row.try_get::<_, Option<bool>>(at).ok().flatten() == Some(true);
    let judge = |row: &postgres::Row| {
        let (severity, said) = match (flag(row, 1), flag(row, 2)) {
            (false, _) => (Severity::Warning, "it is disabled, and its slot may keep WAL over there"),
            (true, false) => (Severity::Critical, "it is enabled, and no worker applies it"),
            (true, true) => (Severity::Ok, "a worker applies it"),
        };
        Reading::of_state(&rules::PG_SUBSCRIPTION, severity, said).damped_by(&TWICE).about(text(row, 0))
    };
    Ok(rows.iter().map(judge).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table of truths: what one number says, and what is so.
    #[test]
    fn no_situation_is_taken_for_another() {
        let streaming = StandbySource {
            status: Some("streaming".into()),
            silent: Some(3.0),
            pause: "not paused".into(),
            streams: true,
            ..StandbySource::default()
        };
        let archive = StandbySource { status: None, silent: None, streams: false, ..streaming.clone() };
        let gone = StandbySource { streams: true, ..archive.clone() };
        let late = StandbySource { waiting: 64_288.0, since: Some(700.0), ..streaming.clone() };
        for (what, source, still, severity) in [
            (
                "idle for a day",
                StandbySource { since: Some(86_400.0), ..streaming.clone() },
                None,
                Severity::Ok,
            ),
            ("behind", late.clone(), None, Severity::Critical),
            ("behind on purpose", StandbySource { delay: 690.0, ..late.clone() }, None, Severity::Ok),
            ("paused", StandbySource { pause: "paused".into(), ..late.clone() }, None, Severity::Warning),
            (
                "silent primary",
                StandbySource { silent: Some(500.0), ..streaming.clone() },
                None,
                Severity::Critical,
            ),
            ("primary gone", gone.clone(), Some(60.0), Severity::Critical),
            ("primary gone, first look", gone.clone(), None, Severity::Critical),
            ("caught up from the archive while the primary is away", gone, Some(0.0), Severity::Ok),
            ("archive, first look", archive.clone(), None, Severity::Unknown),
            ("archive goes on", archive.clone(), Some(300.0), Severity::Ok),
            ("restore_command fails", archive, Some(1000.0), Severity::Critical),
        ] {
            let reading = judge_source(&source, still);
            assert_eq!(reading.severity, severity, "{what}: {}", reading.text);
        }
    }

    #[test]
    fn a_standby_that_is_not_there_is_missed() {
        let limits = Limits { warning: 100.0, critical: 1000.0 };
        let there = |name: &str, state: &str, behind: Option<f64>| SeenStandby {
            name: name.into(),
            state: state.into(),
            behind,
            ..SeenStandby::default()
        };
        let standbys = [
            there("a", "streaming", Some(0.0)),
            there("b", "catchup", Some(5000.0)),
            there("pg_basebackup", "backup", None),
            there("c", "streaming", None),
        ];
        let readings = judge_standbys(&standbys, &["a".into(), "z".into()], limits);
        let found: Vec<(&str, Severity)> = readings.iter().map(|r| (r.object.as_str(), r.severity)).collect();
        assert_eq!(
            found,
            [
                ("z", Severity::Critical),
                ("a", Severity::Ok),
                ("b", Severity::Critical),
                ("c", Severity::Unknown)
            ]
        );
        assert_eq!(judge_sync(&standbys, "z").severity, Severity::Critical);
        let silent = SeenStandby { silent: Some(300.0), ..standbys[0].clone() };
        assert_eq!(judge_standby(&silent, limits).severity, Severity::Warning);
    }

    #[test]
    fn a_position_that_stands_still_is_timed() {
        let (first, still) = still_since(None, "0/1", 100.0);
        assert_eq!(still, None);
        let (same, still) = still_since(Some(&first), "0/1", 160.0);
        assert_eq!((still, &same), (Some(60.0), &first));
        assert_eq!(still_since(Some(&same), "0/2", 220.0).1, Some(0.0));
    }
}
