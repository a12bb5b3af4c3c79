//! Translations compared by the data: each is evaluated on both sides, and only what agrees is kept.

use super::create::tolerate;
use crate::model::{Column, Index, Object, ObjectKind, Outcome, Plan, Table};
use crate::source::{display_value, quote_name};
use migrate::sql::qualified_name;
use postgres::Client;
use postgres::error::SqlState;
use rusqlite::Connection;
use rusqlite::types::ValueRef;
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;
use toban_core::pg::Ident;
use toban_core::{Context, Result, shutdown};

/// How long one view may take on either side to be counted.
const LIMIT: Duration = Duration::from_secs(5);
const LONG: &str = "made, but not compared: to count its rows takes too long";

/// Why a translation whose two sides disagree is not kept.
pub(crate) const DISAGREE: &str = "the two sides disagree on the data";

/// Rows up to which the truth of every check is counted, and not only whether one is broken.
pub(super) const SMALL: u64 = 200_000;

/// The first row of a query of SQLite's, as text; none where SQLite cannot evaluate it.
pub(super) fn ask_row(db: &Connection, sql: &str) -> Option<Vec<Option<String>>> {
    let mut statement = db.prepare(sql).ok()?;
    let width = statement.column_count();
    let cell = |row: &rusqlite::Row<'_>, at| -> rusqlite::Result<Option<String>> {
        Ok(match row.get_ref(at)? {
            ValueRef::Null => None,
            value => Some(display_value(value)),
        })
    };
    statement.query_row([], |row| (0..width).map(|at| cell(row, at)).collect()).ok()
}

fn count_rows(db: &Connection, sql: &str) -> Option<i64> {
    ask_row(db, sql)?.first()?.as_ref()?.parse().ok()
}

/// The answer of the target; none when it cannot evaluate what was asked.
fn tolerate_answer<T>(answer: std::result::Result<T, postgres::Error>) -> Result<Option<T>> {
    match answer {
        Ok(row) => Ok(Some(row)),
        Err(e) => tolerate(e).map(|_| None),
    }
}

/// The source and the copy that is prepared in the schema `stage`.
pub(crate) struct BothSides<'a> {
    pub(crate) db: &'a Connection,
    pub(crate) client: &'a mut Client,
    pub(crate) stage: &'a str,
}

impl BothSides<'_> {
    /// Compares the indexes on expressions and of a part of the rows; those that disagree are dropped, and are the answer.
    pub(crate) fn compare_indexes(&mut self, plan: &Plan) -> Result<Vec<Object>> {
        let is_translated =
            |i: &&Index| i.predicate.is_some() || i.parts.iter().any(|p| p.source_sql.is_some());
        let mut dropped = Vec::new();
        for table in &plan.tables {
            for index in table.indexes.iter().filter(is_translated) {
                shutdown::check()?;
                if !self.is_there(&index.target)? || self.same_counts(table, index)? {
                    continue;
                }
                let sql = format!("drop index {}", qualified_name(self.stage, &index.target));
                self.client.batch_execute(&sql).doing(|| format!("drop the index {}", index.target))?;
                let predicate = index.source_predicate.as_deref().unwrap_or_default();
                dropped
                    .push(Object::skipped(ObjectKind::Index, &index.source, DISAGREE).with_source(predicate));
            }
        }
        Ok(dropped)
    }

    fn is_there(&mut self, name: &str) -> Result<bool> {
        let row =
            self.client.query_one("select to_regclass($1) is not null", &[&qualified_name(self.stage, name)]);
        row.map(|r| r.get(0)).doing(|| format!("look for {name}"))
    }

    fn same_counts(&mut self, table: &Table, index: &Index) -> Result<bool> {
        for (theirs, ours) in counts_of(table, index) {
            let sql = format!("select {ours} from {}", qualified_name(self.stage, &table.target));
            let right: Option<i64> = tolerate_answer(self.client.query_one(&sql, &[]))?.map(|row| row.get(0));
            let left = count_rows(self.db, &format!("select {theirs} from {}", quote_name(&table.source)));
            // What one side cannot evaluate is not known to be equal, so it is not kept.
            if left.is_none() || left != right {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Generated columns whose values differ: table and column, in the plan's order.
    pub(crate) fn differing_columns(&mut self, plan: &Plan) -> Result<Vec<(String, String)>> {
        let mut differ = Vec::new();
        for table in &plan.tables {
            for column in table.columns.iter().filter(|c| c.generated.is_some()) {
                if !self.same_values(table, column)? {
                    differ.push((table.source.clone(), column.source.clone()));
                }
            }
        }
        Ok(differ)
    }

    /// Counts and bounds of both sides; every single value is compared by verify later.
    fn same_values(&mut self, table: &Table, column: &Column) -> Result<bool> {
        let (theirs, ours) = (quote_name(&column.source), Ident::new(&*column.target).to_string());
        let text = column.pg_type == "text";
        let collate = if text { " collate \"C\"" } else { "" };
        let bounds = text || column.pg_type == "bigint";
        let mut left = format!("count({theirs}), count(distinct {theirs})");
        let mut right = format!("count({ours})::text, count(distinct {ours})::text");
        if bounds {
            left += &format!(", min({theirs}), max({theirs})");
            right += &format!(", left(min({ours}{collate})::text, 60), left(max({ours}{collate})::text, 60)");
        }
        let left = ask_row(self.db, &format!("select {left} from {}", quote_name(&table.source)));
        let sql = format!("select {right} from {}", qualified_name(self.stage, &table.target));
        let row = tolerate_answer(self.client.query_one(&sql, &[]))?;
        let right: Option<Vec<Option<String>>> =
            row.map(|row| (0..row.len()).map(|at| row.get(at)).collect());
        let alike = left.is_some() && left == right;
        Ok(alike && (!bounds || table.rows > SMALL || self.same_list(table, column)?))
    }

    /// The beginning of each value on both sides: a number such as `-Inf` is written in another way there.
    fn same_list(&mut self, table: &Table, column: &Column) -> Result<bool> {
        let sql = format!("select {} from {}", quote_name(&column.source), quote_name(&table.source));
        let list = || -> rusqlite::Result<Vec<String>> {
            self.db.prepare(&sql)?.query_map([], |r| Ok(display_value(r.get_ref(0)?)))?.collect()
        };
        let Ok(mut left) = list() else { return Ok(false) };
        let ours = Ident::new(&*column.target).to_string();
        let from = qualified_name(self.stage, &table.target);
        let sql = format!("select coalesce({ours}::text, 'NULL') from {from}");
        let Some(rows) = tolerate_answer(self.client.query(&sql, &[]))? else { return Ok(false) };
        let cut = |text: &str| text[..text.floor_char_boundary(60)].to_string();
        let mut right: Vec<String> = rows.iter().map(|r| cut(r.get(0))).collect();
        left.sort_unstable();
        right.sort_unstable();
        Ok(left == right)
    }

    /// Compares the views that were made by their numbers of rows. The answer is what differs from the plan: one that
    /// disagrees is dropped and written to a file, with those that read it.
    pub(crate) fn compare_views(&mut self, views: &[Object]) -> Result<Vec<Object>> {
        let limit = format!("set statement_timeout = {}", LIMIT.as_millis());
        self.client.batch_execute(&limit).doing(|| "bound the time of views".into())?;
        let mut told = Vec::new();
        // The last first: a view that others use is dropped with them.
        for view in views.iter().rev() {
            shutdown::check()?;
            told.extend(self.compare_view(view)?);
        }
        self.client.batch_execute("set statement_timeout = 0").doing(|| "unbound the time".into())?;
        for view in views {
            let is_told = told.iter().any(|o: &Object| o.name == view.name && !o.outcome.is_made());
            if !is_told && !self.is_there(&view.view_name())? {
                told.push(view.with_outcome(Outcome::Written, "a view that it reads was not made"));
            }
        }
        Ok(told)
    }

    fn compare_view(&mut self, view: &Object) -> Result<Option<Object>> {
        const MOST: u32 = 1_000_001;
        let target = view.view_name();
        let from = |name: &str| format!("select count(*) from (select 1 from {name} limit {MOST}) x");
        let name = qualified_name(self.stage, &target);
        let too_long = || Some(view.with_outcome(view.outcome, LONG));
        let Some(left) = with_limit(self.db, || count_rows(self.db, &from(&quote_name(&view.name)))) else {
            return Ok(too_long());
        };
        let right = match self.client.query_one(&from(&name), &[]) {
            Ok(row) => Some(row.get::<_, i64>(0)),
            Err(e) if e.code() == Some(&SqlState::QUERY_CANCELED) => return Ok(too_long()),
            Err(e) => tolerate_answer::<i64>(Err(e))?,
        };
        let why = match (left, right) {
            (Some(l), Some(r)) if l == r => return Ok(None),
            (None, _) => "SQLite itself cannot run it".to_string(),
            (Some(l), Some(r)) => format!("{l} rows in SQLite, {r} in PostgreSQL"),
            (Some(_), None) => "PostgreSQL cannot run it".into(),
        };
        let drop = format!("drop view if exists {name} cascade");
        self.client.batch_execute(&drop).doing(|| format!("drop the view {target}"))?;
        Ok(Some(view.with_outcome(Outcome::Written, why)))
    }
}

/// What is counted on the two sides: SQLite's expression, PostgreSQL's.
fn counts_of(table: &Table, index: &Index) -> Vec<(String, String)> {
    let mut counts = Vec::new();
    if let (Some(theirs), Some(ours)) = (&index.source_predicate, &index.predicate) {
        counts.push((format!("count(*) filter (where {theirs})"), format!("count(*) filter (where {ours})")));
    }
    for part in &index.parts {
        let Some(theirs) = &part.source_sql else { continue };
        counts.push((format!("count({theirs})"), format!("count({})", part.sql)));
        // Sorting all of a large table twice would cost more than the index itself.
        if table.rows <= SMALL {
            counts.push((format!("count(distinct {theirs})"), format!("count(distinct {})", part.sql)));
        }
    }
    counts
}

/// What `ask` answers, or none when SQLite was interrupted because it took too long.
fn with_limit<T>(db: &Connection, ask: impl FnOnce() -> T) -> Option<T> {
    let (done, waiting) = std::sync::mpsc::channel::<()>();
    let handle = db.get_interrupt_handle();
    std::thread::scope(|scope| {
        let watch = scope.spawn(move || {
            let late = waiting.recv_timeout(LIMIT) == Err(RecvTimeoutError::Timeout);
            late.then(|| handle.interrupt())
        });
        let answer = ask();
        drop(done);
        let late = watch.join().ok().flatten();
        late.is_none().then_some(answer)
    })
}
