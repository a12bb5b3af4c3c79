//! pgbouncer, by its own console.

use crate::damping::{DELAY, TWICE};
use crate::reading::{Limits, Measure, Reading, seconds};
use crate::rules;
use crate::settings::PoolerSettings;
use postgres::SimpleQueryMessage;
use std::collections::BTreeMap;
use toban_core::pg::ConnInfo;
use toban_core::{Context, Error, Kind, Result, Severity};

/// Seconds that a client waits for a server connection.
const WAIT: Limits = Limits { warning: 5.0, critical: 30.0 };

/// The pools in which clients wait.
pub(crate) fn check_pgbouncer(name: &str, settings: &PoolerSettings) -> Vec<Reading> {
    let readings = match show_pools(&settings.db) {
        Err(e) => vec![judge_failure(&e)],
        Ok(pools) => vec![judge_pools(&pools)],
    };
    readings.into_iter().map(|reading| reading.about(name)).collect()
}

/// One row of SHOW POOLS, by its columns: their order differs between versions.
type Pool = BTreeMap<String, String>;

fn show_pools(db: &str) -> Result<Vec<Pool>> {
    let mut client = ConnInfo::resolve(Some(db), "health-check")?.connect()?;
    // Its console knows the simple protocol alone.
    let answer = client.simple_query("show pools").doing(|| "ask pgbouncer for its pools".into());
    let answer = answer.map_err(|e| e.hint("connect to its database pgbouncer as one of its stats_users"))?;
    let row = |message: &SimpleQueryMessage| match message {
        SimpleQueryMessage::Row(row) => {
            let cells = row.columns().iter().enumerate();
            Some(cells.filter_map(|(at, c)| Some((c.name().to_string(), row.get(at)?.to_string()))).collect())
        }
        _ => None,
    };
    Ok(answer.iter().filter_map(row).collect())
}

fn judge_failure(e: &Error) -> Reading {
    let reading = match e.kind() {
        Kind::Retry => Reading::of_state(&rules::PGBOUNCER, Severity::Critical, e.chain()).damped_by(&TWICE),
        _ => Reading::unknown(&rules::PGBOUNCER, e.chain()),
    };
    match e.find_hint() {
        Some(hint) => reading.advise(hint),
        None => reading,
    }
}

fn judge_pools(pools: &[Pool]) -> Reading {
    let number = |pool: &Pool, key: &str| pool.get(key).and_then(|v| v.parse::<f64>().ok()).unwrap_or(0.0);
    let wait = |pool: &Pool| number(pool, "maxwait") + number(pool, "maxwait_us") / 1e6;
    let Some(worst) = pools.iter().max_by(|a, b| wait(a).total_cmp(&wait(b))) else {
        return Reading::of_state(&rules::PGBOUNCER, Severity::Ok, "no pool is open");
    };
    let waiting: f64 = pools.iter().map(|pool| number(pool, "cl_waiting")).sum();
    let measure = Measure::new(wait(worst), "s").judged_by(WAIT).seen_by("server");
    let pool = format!(
        "{}/{}",
        worst.get("database").map_or("", String::as_str),
        worst.get("user").map_or("", String::as_str)
    );
    let text = match waiting > 0.0 {
        true => format!(
            "{waiting} clients wait for a server connection, the longest {} for {pool}",
            seconds(wait(worst))
        ),
        false => format!("no client waits, {} pools", pools.len()),
    };
    Reading::of_measure(&rules::PGBOUNCER, measure, text).damped_by(&DELAY)
}
