//! The first load: every value is counted, and copied at once by a plan that was made from a sample. Where the sample was right,
//! the rows need not be read again.

use super::scan::{RowCounter, ScanPart, TableStats, count_part, join_parts};
use crate::load::copy::{LoadConnections, LoadPart, LoadTable, Loaded, cut_parts};
use crate::load::stream::{CHUNK, PIECE, TableStream};
use crate::model::{Plan, Policy, Table};
use crate::source::Snapshot;
use crate::source::catalog::RawTable;
use crate::threads;
use migrate::copy::{SIGNATURE, TRAILER};
use postgres::Client;
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;
use toban_core::progress::Progress;
use toban_core::{Context, Result, shutdown};

/// What the first load needs to know.
pub(crate) struct FirstLoad<'a> {
    /// The tables of the source.
    pub(crate) tables: &'a [RawTable],
    /// The plan that was made from a sample.
    pub(crate) draft: &'a Plan,
    /// Where the tables are that [`FirstLoad::copied_tables`] names.
    pub(crate) schema: &'a str,
    pub(crate) quiet: bool,
}

/// What one table holds, and how it was copied; none when it could not be copied by the draft.
#[derive(Debug)]
pub(crate) struct FirstOutcome {
    pub(crate) counted: TableStats,
    pub(crate) loaded: Option<Loaded>,
}

/// A table that is copied.
struct FirstStream<'a> {
    stream: TableStream<'a>,
    rowid: Option<usize>,
    /// A value did not fit, or the target did not take a row: from now on it is only counted.
    unfit: AtomicBool,
}

impl FirstLoad<'_> {
    /// The tables that are copied at once: those whose sample has no value that needs a policy, for what is rejected is listed
    /// once, and no column that PostgreSQL computes, for that may not be as here.
    pub(crate) fn copied_tables(&self) -> impl Iterator<Item = &Table> {
        let computes = |t: &Table| self.tables.iter().any(|raw| raw.name == t.source && raw.has_generated());
        let plain = |t: &Table| t.columns.iter().all(|c| c.policy == Policy::Stop) && t.orphans.is_empty();
        self.draft.tables.iter().filter(move |t| plain(t) && !computes(t))
    }

    /// Reads every row once; the answer is in the order of the tables.
    ///
    /// # Errors
    /// Those of SQLite, a damaged page among them; a lost connection; Retry when told to stop.
    pub(crate) fn count_and_copy(
        &self,
        snapshot: &mut Snapshot,
        clients: &mut [Client],
    ) -> Result<Vec<FirstOutcome>> {
        let path = snapshot.path().to_path_buf();
        let streams =
            self.tables.iter().map(|raw| self.find_stream(raw, &path)).collect::<Result<Vec<_>>>()?;
        let size =
            |raw: &RawTable| self.draft.tables.iter().find(|t| t.source == raw.name).map_or(0, |t| t.bytes);
        let sizes: Vec<LoadTable<'_>> = self
            .tables
            .iter()
            .map(|raw| LoadTable { name: &raw.name, rowid: raw.rowid.as_deref(), bytes: size(raw) })
            .collect();
        let parts = cut_parts(snapshot, &sizes, clients.len())?;
        let progress = Progress::bytes("copy", Some(sizes.iter().map(|t| t.bytes).sum()), self.quiet);
        let mut pairs = LoadConnections::pair(snapshot.readers(), clients);
        let done = threads::share(&mut pairs, &parts, |pair, part| {
            let taken =
                PartWork { first: self, part, path: &path }.take_part(pair, streams[part.table].as_ref())?;
            progress.add(taken.counted.count_bytes());
            Ok(taken)
        })?;
        let mut loaded: Vec<Option<Loaded>> =
            streams.iter().map(|s| s.as_ref().map(|_| Loaded::default())).collect();
        let mut counted = Vec::new();
        for (part, done) in parts.iter().zip(done) {
            let whole = loaded[part.table].take().zip(done.loaded);
            loaded[part.table] = whole.map(|(mut whole, part)| {
                whole.add_part(part);
                whole
            });
            counted.push((part.table, done.counted));
        }
        let counted = join_parts(self.tables, counted).into_iter();
        Ok(counted.zip(loaded).map(|(counted, loaded)| FirstOutcome { counted, loaded }).collect())
    }

    fn find_stream<'s>(&'s self, raw: &RawTable, path: &'s Path) -> Result<Option<FirstStream<'s>>> {
        let Some(table) = self.copied_tables().find(|t| t.source == raw.name) else { return Ok(None) };
        let mut stream = TableStream::new(table, path)?;
        let rowid = stream.ask_for_rowid();
        Ok(Some(FirstStream { stream, rowid, unfit: AtomicBool::new(false) }))
    }
}

/// One part of the work.
struct PartWork<'a> {
    first: &'a FirstLoad<'a>,
    part: &'a LoadPart,
    path: &'a Path,
}

impl PartWork<'_> {
    fn take_part(
        &self,
        pair: &mut LoadConnections<'_>,
        table: Option<&FirstStream<'_>>,
    ) -> Result<FirstOutcome> {
        let (LoadPart { table: at, range, .. }, raw) = (*self.part, &self.first.tables[self.part.table]);
        let Some(table) = table.filter(|t| !t.unfit.load(Ordering::Relaxed)) else {
            let part = ScanPart { table: at, raw, range, limit: None };
            return Ok(FirstOutcome { counted: count_part(pair.reader, &part, self.path)?, loaded: None });
        };
        let counter = RowCounter::new(raw, self.path, table.rowid);
        let done = self.copy_counting(pair, table, counter)?;
        if done.loaded.is_none() {
            table.unfit.store(true, Ordering::Relaxed);
        }
        Ok(done)
    }

    fn copy_counting(
        &self,
        pair: &mut LoadConnections<'_>,
        table: &FirstStream<'_>,
        mut counter: RowCounter<'_>,
    ) -> Result<FirstOutcome> {
        let (began, stream) = (Instant::now(), &table.stream);
        let (before, sql) = self.part.begin_sql(stream.table, self.first.schema);
        // Dropped without a commit it leaves no rows: those of a part that does not fit, and of one that failed.
        let mut work = pair.client.transaction().doing(|| "begin COPY".into())?;
        if let Some(before) = before {
            work.batch_execute(&before).doing(|| "begin COPY".into())?;
        }
        let mut writer = Some(work.copy_in(&sql).doing(|| "begin COPY".into())?);
        let mut buf = Vec::with_capacity(CHUNK + (CHUNK >> 2));
        buf.extend_from_slice(SIGNATURE);
        let mut loaded = Loaded::default();
        let read = stream.for_each_row(pair.reader, self.part.range, |row| {
            loaded.rows += 1;
            if loaded.rows % 4096 == 0 {
                shutdown::check()?;
            }
            let Some(open) = &mut writer else { return counter.add_row(row, None) };
            let fits = stream.put_fitting_row(row, &mut buf)?;
            counter.add_row(row, fits.then_some(&*stream.encoders))?;
            if buf.len() >= CHUNK || !fits {
                loaded.bytes += buf.len() as u64;
                // Why the target does not take the rows, the next load says; a connection that broke says so at once.
                if !fits || buf.chunks(PIECE).try_for_each(|piece| open.write_all(piece)).is_err() {
                    writer = None;
                }
                buf.clear();
                buf.shrink_to(CHUNK * 2);
            }
            Ok(())
        });
        buf.extend_from_slice(&TRAILER);
        loaded.bytes += buf.len() as u64;
        let sent = writer.is_some_and(|mut open| open.write_all(&buf).is_ok() && open.finish().is_ok());
        let counted = counter.end_part(read)?;
        let kept = sent && counted.unreadable.is_none() && work.commit().is_ok();
        loaded.time = began.elapsed();
        Ok(FirstOutcome { counted, loaded: kept.then_some(loaded) })
    }
}
