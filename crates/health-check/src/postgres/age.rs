//! What grows old: transaction ids, with who holds them; and pages whose checksums are wrong.

use super::{Memory, PgServer, number, query_rows, text};
use crate::reading::{Limits, Measure, Reading};
use crate::rules;
use postgres::Transaction;
use toban_core::{Result, Severity};

/// Templates and databases that take no connections grow old too. `mxid_age` counts multixacts, which wrap by themselves.
const AGES: &str = "\
    select d.datname::text, age(d.datfrozenxid)::float8, mxid_age(d.datminmxid)::float8, \
           current_setting('autovacuum_freeze_max_age')::float8 \
      from pg_database d order by greatest(age(d.datfrozenxid), mxid_age(d.datminmxid)) desc limit 1";

/// Who keeps the oldest transaction, so that no vacuum helps before it is gone.
const HOLDER: &str = "\
    select what from ( \
      select format('session pid %s of %s', pid, usename) what, age(backend_xmin) held from pg_stat_activity \
       where backend_xmin is not null and backend_type = 'client backend' and pid <> pg_backend_pid() \
      union all select format('prepared transaction %s', gid), age(transaction) from pg_prepared_xacts \
      union all select format('slot %s', slot_name), greatest(age(xmin), age(catalog_xmin)) from pg_replication_slots \
       where xmin is not null or catalog_xmin is not null \
      union all select format('standby %s', application_name), age(backend_xmin) from pg_stat_replication \
       where backend_xmin is not null) holders order by held desc limit 1";

/// The oldest database, and who holds it.
pub(super) fn check_age(
    _: &PgServer<'_>,
    transaction: &mut Transaction<'_>,
    _: &mut Memory<'_>,
) -> Result<Vec<Reading>> {
    let rows = query_rows(transaction, AGES)?;
    let Some(row) = rows.first() else { return Ok(Vec::new()) };
    let cell = |at| number(row, at).unwrap_or(0.0);
    let (name, age) = (text(row, 0), cell(1).max(cell(2)));
    let holder = query_rows(transaction, HOLDER)?.first().map(|row| text(row, 0));
    Ok(vec![judge_age(&name, age, cell(3), holder.as_deref())])
}

/// Autovacuum begins at `freeze`; what is half as old again was not done.
fn judge_age(database: &str, age: f64, freeze: f64, holder: Option<&str>) -> Reading {
    let limits = Limits { warning: (freeze * 1.5).min(5e8), critical: 1e9 };
    let measure = Measure::new(age, "").judged_by(limits).seen_by("server");
    let mut said = format!("{:.0} million transactions, database {database}", age / 1e6);
    let reading = Reading::of_measure(&rules::PG_WRAPAROUND, measure, String::new());
    if reading.severity != Severity::Ok {
        said += &format!("; {} holds the oldest", holder.unwrap_or("nobody"));
    }
    Reading { text: said, ..reading }
}

const CHECKSUMS: &str = "\
    select coalesce(datname, 'shared objects')::text, checksum_failures::float8 from pg_stat_database \
     where checksum_failures > 0";

/// Counted since the statistics were reset; NULL where checksums are off.
pub(super) fn check_checksums(
    _: &PgServer<'_>,
    transaction: &mut Transaction<'_>,
    _: &mut Memory<'_>,
) -> Result<Vec<Reading>> {
    let rows = query_rows(transaction, CHECKSUMS)?;
    let found = rows.iter().map(|row| {
        let said = format!("{} pages with a wrong checksum were read", number(row, 1).unwrap_or(0.0));
        Reading::of_state(&rules::PG_CHECKSUM, Severity::Critical, said).about(text(row, 0))
    });
    let found: Vec<Reading> = found.collect();
    match found.is_empty() {
        true => Ok(vec![Reading::of_state(&rules::PG_CHECKSUM, Severity::Ok, "none is counted")]),
        false => Ok(found),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_holder_is_named_when_it_counts() {
        for (age, freeze, severity) in [
            (2e8, 2e8, Severity::Ok),
            (3e8, 2e8, Severity::Warning),
            (5e8, 1e9, Severity::Warning),
            (1e9, 2e8, Severity::Critical),
        ] {
            let reading = judge_age("app", age, freeze, Some("slot a"));
            assert_eq!(reading.severity, severity, "{age}");
            assert_eq!(reading.text.contains("slot a"), severity != Severity::Ok, "{}", reading.text);
        }
    }
}
