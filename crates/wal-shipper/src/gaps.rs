//! Gaps of repositories that are not required, recorded in those that have the file.

use toban_core::Result;
use toban_core::repo::Settled;
use toban_core::repo::gap::Gap;
use toban_core::repo::keys::System;
use toban_core::wal::WalName;

/// Records in the repositories that took `name` which others did not: PostgreSQL hands it over only once. Of a history
/// there is no gap to record: `check` finds it missing where a segment of its timeline is.
///
/// # Errors
/// When no repository took a record either; then PostgreSQL must keep the file.
pub(crate) fn record_gaps(settled: &Settled<'_, ()>, name: WalName, system: &System) -> Result<()> {
    settled.warn_of_lacking(&name.to_string());
    if !matches!(name, WalName::Segment(..)) {
        return Ok(());
    }
    // Recorded before our 0: after it PostgreSQL recycles the file, and nothing shows any more that it is missing there.
    for (lacks, e) in &settled.lacking {
        let gap = Gap::new(name, name, Some(&lacks.name), jiff::Timestamp::now(), e.chain());
        let recorded: Vec<Result<()>> =
            settled.written.iter().map(|(repo, ())| gap.store_record(&*repo.store, system)).collect();
        if !recorded.iter().any(Result::is_ok) {
            recorded.into_iter().collect::<Result<()>>()?;
        }
    }
    Ok(())
}
