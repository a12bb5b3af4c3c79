//! Which blocks may have changed since a backup, by the WAL summaries of PostgreSQL 17 (`summarize_wal`): the rest need not
//! be read. What the summaries do not cover is read, and of what they say did not change a sample is read too.
//!
//! <https://www.postgresql.org/docs/current/functions-info.html#FUNCTIONS-INFO-WAL-SUMMARY>

use super::base::Base;
use super::exclude::{of_relations, parse_relation};
use super::page::SEGMENT_PAGES;
use super::source::{BackupStart, SourceServer};
use postgres::Client;
use postgres::fallible_iterator::FallibleIterator;
use std::collections::HashMap;
use std::time::{Duration, Instant};
use toban_core::wal::Lsn;
use toban_core::{Context, Error, Result};

/// The first major that summarizes.
pub(super) const FIRST_MAJOR: u32 = 17;
/// How long the summarizer may need to come to the backup's start.
const PATIENCE: Duration = Duration::from_secs(20);
/// Blocks that are remembered, of 4 bytes each.
const MOST_BLOCKS: usize = 16 << 20;
/// `pg_default` and `pg_global` (src/include/catalog/pg_tablespace.dat).
const DEFAULT_SPACE: u32 = 1663;
const GLOBAL_SPACE: u32 = 1664;

/// The main fork of a relation: tablespace, database and file number.
type RelationKey = [u32; 3];

/// What may have changed in a relation's main fork.
#[derive(Debug, Default)]
struct RelationChanges {
    /// From this block on everything may have: it was made anew, truncated or extended.
    limit: Option<u32>,
    /// Blocks below, in order.
    blocks: Vec<u32>,
}

/// The blocks of a cluster that may have changed.
pub(super) struct ChangedBlocks(HashMap<RelationKey, RelationChanges>);

/// Of one file, a segment of a relation's main fork.
#[derive(Clone, Copy)]
pub(super) struct FileChanges<'a> {
    changes: Option<&'a RelationChanges>,
    /// The number of its first block.
    first: u32,
}

impl ChangedBlocks {
    /// What changed between the start of `base` and the start of this backup.
    ///
    /// # Errors
    /// Why everything has to be read.
    pub(super) fn read(
        client: &mut Client,
        source: &SourceServer,
        base: &Base,
        start: &BackupStart,
    ) -> Result<ChangedBlocks> {
        // Only then are its files those that the base has: files put in their place while it was down, a copy of an older day,
        // another server of the same system, hint bits that were not logged, all of that takes a restart.
        if base.map.server_started != source.server_started {
            return Err(Error::failed(format!("the server was started after {}", base.manifest.id)));
        }
        if base.manifest.timeline != start.timeline {
            return Err(Error::failed(format!("{} is of another timeline", base.manifest.id)));
        }
        // A standby that lags, or a server that was set back: the base has pages of a time that this one has not come to.
        if base.manifest.stop_lsn > start.lsn {
            return Err(Error::failed(format!("{} ended later than this one begins", base.manifest.id)));
        }
        // Without either, a reader sets hint bits in a page and writes no WAL of it: it changed, and no summary says so.
        let sql = "select current_setting('summarize_wal') = 'on',
                          current_setting('data_checksums') = 'on' or current_setting('wal_log_hints') = 'on'";
        let row = client.query_one(sql, &[]).doing(|| "ask for summarize_wal".into())?;
        if !row.get::<_, bool>(0) {
            return Err(
                Error::failed("summarize_wal is off").hint("with summarize_wal = on less would be read")
            );
        }
        if !row.get::<_, bool>(1) {
            return Err(Error::failed("neither page checksums nor wal_log_hints are on"));
        }
        let span = [base.manifest.start_lsn, start.lsn];
        let mut changed = HashMap::new();
        for summary in await_summaries(client, start, span)? {
            read_blocks(client, start, summary, &mut changed)?;
        }
        changed.values_mut().for_each(|changes: &mut RelationChanges| {
            changes.blocks.sort_unstable();
            changes.blocks.dedup();
        });
        Ok(ChangedBlocks(changed))
    }

    /// What may have changed in the file `path`; none for what no summary tells of, as a free space map.
    pub(super) fn of_file(&self, path: &str) -> Option<FileChanges<'_>> {
        let (folder, name) = path.rsplit_once('/')?;
        let relation = parse_relation(name).filter(|r| r.fork == "main" && of_relations(path))?;
        let parts: Vec<&str> = folder.split('/').collect();
        let (space, database) = match parts[..] {
            ["global"] => (GLOBAL_SPACE, 0),
            ["base", database] => (DEFAULT_SPACE, database.parse().ok()?),
            ["pg_tblspc", space, _, database] => (space.parse().ok()?, database.parse().ok()?),
            _ => return None,
        };
        // A database that was made or moved by copying its files is in the summaries as a relation of number 0.
        if self.0.contains_key(&[space, database, 0]) {
            return None;
        }
        let changes = self.0.get(&[space, database, relation.number.parse().ok()?]);
        Some(FileChanges { changes, first: relation.segment.checked_mul(SEGMENT_PAGES)? })
    }
}

impl FileChanges<'_> {
    /// Whether any summary tells of the relation.
    pub(super) fn is_told(&self) -> bool {
        self.changes.is_some()
    }

    /// Whether the block of this number in the file may have changed.
    pub(super) fn may_have(&self, block: u32) -> bool {
        let Some(changes) = self.changes else { return false };
        let Some(number) = self.first.checked_add(block) else { return true };
        changes.limit.is_some_and(|limit| number >= limit) || changes.blocks.binary_search(&number).is_ok()
    }
}

/// Waits until summaries cover the span without a gap, and gives those that it needs.
fn await_summaries(client: &mut Client, start: &BackupStart, [from, to]: [Lsn; 2]) -> Result<Vec<[Lsn; 2]>> {
    let sql =
        "select s.start_lsn::text, s.end_lsn::text from pg_available_wal_summaries() s where s.tli = $1";
    let timeline = i64::from(start.timeline.0);
    let begun = Instant::now();
    loop {
        let rows = client.query(sql, &[&timeline]).doing(|| "list the WAL summaries".into())?;
        let parse = |row: &postgres::Row| -> Result<[Lsn; 2]> {
            Ok([row.get::<_, String>(0).parse()?, row.get::<_, String>(1).parse()?])
        };
        let mut summaries = rows.iter().map(parse).collect::<Result<Vec<_>>>()?;
        summaries.sort_unstable();
        let reached = reach(&summaries, from);
        if reached >= to {
            summaries.retain(|[begin, end]| *end > from && *begin < to);
            return Ok(summaries);
        }
        // The summarizer comes after the checkpoint; a summary that begins later than that says that others are gone.
        let gap = summaries.iter().any(|[begin, _]| *begin > reached);
        if begun.elapsed() > PATIENCE || gap {
            return Err(Error::failed(format!(
                "the WAL summaries from {from} on end at {reached}, and not at {to}"
            )));
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Pure: how far summaries, in order, go from `from` on without a gap.
fn reach(summaries: &[[Lsn; 2]], from: Lsn) -> Lsn {
    summaries
        .iter()
        .fold(from, |reached, [begin, end]| if *begin <= reached { reached.max(*end) } else { reached })
}

fn read_blocks(
    client: &mut Client,
    start: &BackupStart,
    [from, to]: [Lsn; 2],
    changed: &mut HashMap<RelationKey, RelationChanges>,
) -> Result<()> {
    // Main forks alone. The free space map is not properly WAL-logged, and PostgreSQL's own incremental
    // backup copies it whole for that reason (GetFileBackupMethod in basebackup_incremental.c).
    let sql = "select c.reltablespace, c.reldatabase, c.relfilenode, c.relblocknumber, c.is_limit_block
               from pg_wal_summary_contents($1, $2::text::pg_lsn, $3::text::pg_lsn) c where c.relforknumber = 0";
    let doing = || format!("read the WAL summary from {from} to {to}");
    let (timeline, first, last) = (i64::from(start.timeline.0), from.to_string(), to.to_string());
    let parameters: [&(dyn postgres::types::ToSql + Sync); 3] = [&timeline, &first, &last];
    let mut rows = client.query_raw(sql, parameters).doing(doing)?;
    while let Some(row) = rows.next().doing(doing)? {
        let key: RelationKey = [row.get(0), row.get(1), row.get(2)];
        let block = u32::try_from(row.get::<_, i64>(3)).doing(doing)?;
        let changes = changed.entry(key).or_default();
        match row.get::<_, bool>(4) {
            // The shortest length that the relation had in the span (blkreftable.c): all beyond it was
            // truncated or written anew at some time, whatever the later summaries say.
            true => changes.limit = Some(changes.limit.map_or(block, |limit| limit.min(block))),
            false => changes.blocks.push(block),
        }
    }
    // With more of them there is little that need not be read.
    if changed.values().map(|changes| changes.blocks.len()).sum::<usize>() > MOST_BLOCKS {
        return Err(Error::failed(format!("more than {MOST_BLOCKS} blocks changed")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summaries_that_follow_one_another() {
        let all = [[Lsn(10), Lsn(20)], [Lsn(20), Lsn(30)], [Lsn(31), Lsn(40)]];
        assert_eq!(reach(&all, Lsn(12)), Lsn(30), "then there is a gap");
        assert_eq!(reach(&all, Lsn(5)), Lsn(5), "they begin too late");
        assert_eq!(reach(&all[1..], Lsn(31)), Lsn(40));
    }

    #[test]
    fn blocks_of_a_file_by_its_name() {
        let changes = |limit, blocks: &[u32]| RelationChanges { limit, blocks: blocks.to_vec() };
        let changed = ChangedBlocks(HashMap::from([
            ([DEFAULT_SPACE, 5, 16384], changes(Some(SEGMENT_PAGES + 9), &[3, SEGMENT_PAGES + 1])),
            ([GLOBAL_SPACE, 0, 1262], changes(None, &[0])),
            ([777, 5, 16385], changes(None, &[2])),
            ([DEFAULT_SPACE, 6, 0], changes(Some(0), &[])),
        ]));
        let blocks = |path: &str| {
            let file = changed.of_file(path)?;
            Some((0..12).filter(|block| file.may_have(*block)).collect::<Vec<u32>>())
        };
        assert_eq!(blocks("base/5/16384"), Some(vec![3]));
        assert_eq!(blocks("base/5/16384.1"), Some(vec![1, 9, 10, 11]));
        assert_eq!(blocks("base/5/16385"), Some(vec![]), "of another tablespace");
        assert_eq!(blocks("pg_tblspc/777/PG_17_202406281/5/16385"), Some(vec![2]));
        assert_eq!(blocks("global/1262"), Some(vec![0]));
        for read in
            ["base/5/16384_fsm", "base/5/16384_vm", "base/5/16384_init", "base/5/PG_VERSION", "pg_xact/0000"]
        {
            assert_eq!(blocks(read), None, "{read}");
        }
    }
}
