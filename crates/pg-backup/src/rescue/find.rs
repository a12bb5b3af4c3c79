//! `--find`: the transactions around the moment that changed a table, by the WAL.

use super::Rescue;
use super::moment::Moment;
use super::structure::{Structure, list_tree};
use super::tables::TableName;
use crate::cli::{RowSearch, SearchedChange};
use crate::restore::PartialRestore;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use toban_core::wal::{Lsn, Record as WalRecord, RowChange, What};
use toban_core::{Context, Record, Result};

/// A transaction that changed the table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct FoundTransaction {
    xid: u32,
    committed: Timestamp,
    /// Where its end is in the WAL.
    lsn: Lsn,
    inserted: u64,
    updated: u64,
    deleted: u64,
    /// It locked the whole table, as TRUNCATE, DROP and ALTER do.
    locked: bool,
}

impl Record for FoundTransaction {
    const SCHEMA: &'static str = "pg-backup.rescue-find/1";
    const HEAD: &'static [&'static str] =
        &["transaction", "committed", "inserted", "updated", "deleted", "locked", "just before it"];
    fn cells(&self) -> Vec<String> {
        vec![
            self.xid.to_string(),
            self.committed.to_string(),
            self.inserted.to_string(),
            self.updated.to_string(),
            self.deleted.to_string(),
            if self.locked { "yes" } else { "no" }.into(),
            format!("--target-xid {} --target-exclusive", self.xid),
        ]
    }
}

/// What a table is called in the WAL.
#[derive(Debug, Default)]
struct SearchedTable {
    database: u32,
    /// OIDs, by which it is locked.
    tables: BTreeSet<u32>,
    /// Numbers of files, by which its rows are changed: TRUNCATE gives it another.
    files: BTreeSet<u32>,
}

/// Finds them, in the order of their commits.
///
/// # Errors
/// Failed when neither the moment nor the live server has the table; those of the repositories.
pub(super) fn find_transactions(
    rescue: &Rescue<'_>,
    restore: &PartialRestore,
    at: &Moment,
    search: &RowSearch,
) -> Result<Vec<FoundTransaction>> {
    let table = find_table(rescue, at)?;
    let mut session = at.open_session()?;
    // Where recovery stopped: a position or a transaction that was named has no time of its own.
    let sql = "select coalesce(extract(epoch from pg_last_xact_replay_timestamp()) * 1e6, 0)::int8";
    let stopped = session.query_one(sql, &[]).doing(|| "ask for the moment".into())?.get::<_, i64>(0);
    let stopped = Timestamp::from_microsecond(stopped).doing(|| "read the moment".into())?;
    let named = rescue.args.moment.target_time.as_ref().and_then(|text| text.parse::<Timestamp>().ok());
    let moment = named.unwrap_or(stopped);
    let around = SignedDuration::try_from(rescue.args.within.0).doing(|| "read --within".into())?;
    let from = moment.checked_sub(around).doing(|| "count from the moment".into())?;
    let to = moment.checked_add(around).doing(|| "count from the moment".into())?;
    let mut changes = Changes::default();
    restore.read_records(from, to, &mut |record| changes.add_record(&table, record))?;
    let wanted = |found: &FoundTransaction| found.committed >= from && is_wanted(found, search.change);
    Ok(changes.found.into_iter().filter(wanted).collect())
}

/// The table with its parts as it is at the moment, and as it is now where it is still there.
fn find_table(rescue: &Rescue<'_>, at: &Moment) -> Result<SearchedTable> {
    let name = &rescue.tables[0];
    let mut table = SearchedTable { database: at.oid, ..SearchedTable::default() };
    let now = rescue.live.open_session().and_then(|mut live| table.add_tree(&mut live, name));
    match table.add_tree(&mut at.open_session()?, name) {
        Err(e) if now.is_err() => Err(e),
        _ => Ok(table),
    }
}

impl SearchedTable {
    /// Of a partitioned table no file has the rows, and those of a table that others inherit from are in theirs too.
    fn add_tree(&mut self, client: &mut postgres::Client, name: &TableName) -> Result<()> {
        let table = Structure::read(client, name)?;
        for part in list_tree(client, &table)? {
            self.tables.insert(part.oid);
            self.files.insert(part.file);
        }
        Ok(())
    }
}

fn is_wanted(found: &FoundTransaction, change: SearchedChange) -> bool {
    match change {
        SearchedChange::Any => true,
        SearchedChange::Inserted => found.inserted > 0,
        SearchedChange::Updated => found.updated > 0,
        SearchedChange::Deleted => found.deleted > 0 || found.locked,
        SearchedChange::Locked => found.locked,
    }
}

/// Changes of transactions that have not ended, by the number that the records bear, and those that have.
#[derive(Default)]
struct Changes {
    open: BTreeMap<u32, Counts>,
    found: Vec<FoundTransaction>,
}

#[derive(Clone, Copy, Default)]
struct Counts {
    inserted: u64,
    updated: u64,
    deleted: u64,
    locked: bool,
}

impl Changes {
    fn add_record(&mut self, table: &SearchedTable, record: WalRecord) {
        match record.what {
            What::RowsChanged { xid, database, file, change, rows }
                if database == table.database && table.files.contains(&file) =>
            {
                let counts = self.open.entry(xid).or_default();
                match change {
                    RowChange::Inserted => counts.inserted += rows,
                    RowChange::Updated => counts.updated += rows,
                    RowChange::Deleted => counts.deleted += rows,
                }
            }
            What::TableLocked { xid, database, table: oid }
                if database == table.database && table.tables.contains(&oid) =>
            {
                self.open.entry(xid).or_default().locked = true;
            }
            // Only the record of the end tells whether any of it became visible. A subtransaction changes rows under
            // a number of its own, and the record lists these (xact.h, xl_xact_subxacts).
            What::End { xid, at, committed, parts } => {
                let all = parts.iter().chain([&xid]).filter_map(|part| self.open.remove(part));
                let sum = all.reduce(|a, b| Counts {
                    inserted: a.inserted + b.inserted,
                    updated: a.updated + b.updated,
                    deleted: a.deleted + b.deleted,
                    locked: a.locked || b.locked,
                });
                let Some(Counts { inserted, updated, deleted, locked }) = sum.filter(|_| committed) else {
                    return;
                };
                let lsn = record.lsn;
                self.found.push(FoundTransaction {
                    xid,
                    committed: at,
                    lsn,
                    inserted,
                    updated,
                    deleted,
                    locked,
                });
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_count_for_their_transaction_and_what_was_rolled_back_for_none() {
        let table = SearchedTable { database: 5, tables: [70].into(), files: [71].into() };
        let mut changes = Changes::default();
        let rows = |xid, file, change| What::RowsChanged { xid, database: 5, file, change, rows: 2 };
        let end = |xid, committed, parts: &[u32]| What::End {
            xid,
            at: Timestamp::UNIX_EPOCH,
            committed,
            parts: parts.to_vec(),
        };
        let all = [
            rows(10, 71, RowChange::Deleted),
            rows(11, 71, RowChange::Updated),
            rows(10, 99, RowChange::Deleted),
            rows(12, 71, RowChange::Inserted),
            What::TableLocked { xid: 13, database: 5, table: 70 },
            end(12, false, &[]),
            end(10, true, &[11]),
            end(13, true, &[]),
            end(14, true, &[]),
        ];
        for (lsn, what) in (0..).zip(all) {
            changes.add_record(&table, WalRecord { lsn: Lsn(lsn), what });
        }
        let found: Vec<_> =
            changes.found.iter().map(|f| (f.xid, f.inserted, f.updated, f.deleted, f.locked)).collect();
        assert_eq!(found, [(10, 0, 2, 2, false), (13, 0, 0, 0, true)]);
    }
}
