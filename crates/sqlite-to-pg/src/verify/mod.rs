//! The independent comparison: what PostgreSQL returns against what SQLite holds. Reads both sides, writes to none.

mod expected;
mod matching;
mod objects;
mod pair;
mod record;
mod rows;
mod source;
mod target;
mod values;

use crate::cli::VerifyArgs;
use crate::model::Plan;
use crate::plan;
use crate::source::{catalog, orphans};
use crate::target::definitions::Definitions;
use expected::ExpectedObjects;
use matching::Matched;
use objects::{TableJudge, definitions, expressions};
pub(crate) use pair::RowFilter;
use pair::TablePair;
use postgres::Client;
use record::{Compared, Difference, DifferenceKind, TableVerdict};
use rows::scan::{self, Sides};
use rows::sums::{self, SideSums};
use rows::{cross_check, locate};
use rusqlite::Connection;
use std::collections::BTreeMap;
use toban_core::pg::ConnInfo;
use toban_core::{Context, Error, Kind as Status, Out, Result};

/// The verb `verify`.
///
/// # Errors
/// Findings when the copy differs, Partial when the plan left rows out and does not accept that; those of either
/// database; Failed when there was nothing to compare.
pub(crate) fn run(args: &VerifyArgs, quiet: bool, out: &mut Out<'_>) -> Result<()> {
    let to = ConnInfo::resolve(args.against.as_deref(), "sqlite-to-pg")?;
    let mut readers = source::open_readers(&args.db, thread_count())?;
    let given = args.plan.as_ref().map(|path| plan::file::read_plan(path)).transpose()?;
    let schema = given.as_ref().map_or(args.schema.clone(), |p| p.schema.clone());
    let (plan, kept) = kept_plan(&readers, &to, &schema, given)?;
    let mut clients = target::open_sessions(&to, readers.len())?;
    let filters = BTreeMap::new();
    let scope = CompareScope { plan: plan.as_ref(), schema: &schema, quiet, filters: &filters };
    let mut outcome = compare_all(&scope, &mut readers, &mut clients)?;
    let names = match &plan {
        Some(plan) => crate::target::undo::plan_relations(plan),
        None => outcome.tables.iter().map(|t| t.target.clone()).collect(),
    };
    // A copy whose values are all right may have lost a trigger or a check since, which its rows do not show.
    outcome.add_definitions(match &kept {
        Some(kept) => definitions::compare_kept(&mut clients[0], &schema, &names, kept)?,
        None => definitions::find_unfit(&mut clients[0], &schema, &names)?,
    });
    if plan.is_none() {
        let wanted = source::read_schema(&readers[0])?.triggers;
        let there = definitions::trigger_names(&mut clients[0], &schema, &names)?;
        outcome.differences.extend(expressions::missing_triggers(&wanted, &there));
    }
    // After what was compared, so that a table that the run could not make is not reported as missing once more.
    plan.iter().for_each(|plan| outcome.add_missing(plan));
    for table in &outcome.tables {
        out.emit(table)?;
    }
    for difference in outcome.differences.iter().chain(&outcome.known) {
        out.emit(difference)?;
    }
    outcome.final_status(&to)
}

/// The plan that was given, or that of the run that made this copy, when one of ours did and the file's schema is still
/// the same; and the definitions which that run left there.
fn kept_plan(
    readers: &[Connection],
    to: &ConnInfo,
    schema: &str,
    given: Option<Plan>,
) -> Result<(Option<Plan>, Option<Definitions>)> {
    let [reader, ..] = readers else { return Ok((given, None)) };
    let Some((kept, definitions)) = target::kept_plan(to, schema)? else { return Ok((given, None)) };
    match given {
        Some(given) => {
            let same =
                given.source.schema_sum == kept.source.schema_sum && given.tables.len() == kept.tables.len();
            Ok((Some(given), definitions.filter(|_| same)))
        }
        None if kept.source.schema_sum == catalog::schema_sum(reader)? => {
            log::info!("compared by the plan of the run that made this copy");
            Ok((Some(kept), definitions))
        }
        None => Ok((None, None)),
    }
}

fn thread_count() -> usize {
    toban_core::machine::cores().min(8)
}

/// What `run` ends with: every table of `plan` compared, in the schema that it names. `readers` are connections inside
/// read transactions that all see the very snapshot which was copied; they may be used by one thread each.
pub(crate) fn prove_copy(
    plan: &Plan,
    readers: &mut [Connection],
    to: &ConnInfo,
    quiet: bool,
) -> Result<CopyProof> {
    let mut clients = target::open_sessions(to, readers.len())?;
    compare_plan(plan, readers, &mut clients, quiet)
}

/// The same of some rows alone: of each table that `filters` names by its name in SQLite those that its filter leaves, of
/// every other table all.
pub(crate) fn prove_rows(
    plan: &Plan,
    readers: &mut [Connection],
    to: &ConnInfo,
    filters: &BTreeMap<String, RowFilter>,
) -> Result<CopyProof> {
    let mut clients = target::open_sessions(to, readers.len())?;
    let scope = CompareScope { plan: Some(plan), schema: &plan.schema, quiet: true, filters };
    Ok(sum_up(&compare_all(&scope, readers, &mut clients)?))
}

/// The same inside the transaction that `client` is in: what it has written and not yet committed is compared.
pub(crate) fn prove_within(
    plan: &Plan,
    readers: &mut [Connection],
    client: &mut Client,
    quiet: bool,
) -> Result<CopyProof> {
    target::release_locks_after(client, |client| {
        target::settle_session(client)?;
        compare_plan(plan, readers, std::slice::from_mut(client), quiet)
    })
}

fn compare_plan(
    plan: &Plan,
    readers: &mut [Connection],
    clients: &mut [Client],
    quiet: bool,
) -> Result<CopyProof> {
    let scope = CompareScope { plan: Some(plan), schema: &plan.schema, quiet, filters: &BTreeMap::new() };
    Ok(sum_up(&compare_all(&scope, readers, clients)?))
}

fn sum_up(outcome: &Comparison) -> CopyProof {
    let equal = |t: &Compared| (t.table.clone(), t.verdict == TableVerdict::Equal);
    CopyProof {
        tables: outcome
            .tables
            .iter()
            .filter(|t| matches!(t.verdict, TableVerdict::Equal | TableVerdict::Differs))
            .map(equal)
            .collect(),
        differences: outcome.differences.iter().map(Difference::describe).collect(),
        total: outcome.count_differences(),
        rows: outcome.tables.iter().map(|t| t.rows).sum(),
    }
}

/// The outcome of a comparison.
#[derive(Debug, Default)]
pub(crate) struct CopyProof {
    /// Every difference as text: table, key, column, both values. Bounded; `total` counts them all.
    pub(crate) differences: Vec<String>,
    /// How many differences there are.
    pub(crate) total: u64,
    /// Rows that were compared.
    pub(crate) rows: u64,
    /// Each table that was compared, and whether it is equal.
    pub(crate) tables: Vec<(String, bool)>,
}

/// What a comparison found.
#[derive(Debug, Default)]
struct Comparison {
    tables: Vec<Compared>,
    differences: Vec<Difference>,
    /// Tables that both sides have.
    compared: usize,
    /// Rows and values left out by the plan in tables where that is not accepted.
    left: u64,
    /// What the run that made the copy could not make, and reported.
    known: Vec<Difference>,
}

impl Comparison {
    /// What the run could not take along: it is told again, as it was then.
    fn add_missing(&mut self, plan: &Plan) {
        for object in plan.objects.iter().filter(|o| o.is_missing()) {
            if object.is_lost_table() {
                self.tables.retain(|t| t.table != object.name);
                self.tables.push(uncompared(&object.name, TableVerdict::Missing));
            }
            let lacks = Difference::of_table(&object.name, DifferenceKind::LeftOut, object.kind.name());
            self.known.push(lacks.between("there", &format!("not there: {}", object.reason())));
        }
    }

    /// Definitions that changed; what was named already is not named twice.
    fn add_definitions(&mut self, changed: Vec<Difference>) {
        for difference in changed {
            let of = |t: &&mut Compared| t.target == difference.table;
            self.tables.iter_mut().filter(|t| of(t)).for_each(|t| t.verdict = TableVerdict::Differs);
            self.differences.push(difference);
        }
    }

    /// Differing rows, and differences that are about no row.
    fn count_differences(&self) -> u64 {
        let rows: u64 = self.tables.iter().map(|t| t.rows_differing).sum();
        let others =
            self.differences.iter().filter(|d| d.row.is_empty() || d.kind == DifferenceKind::CrossCheck);
        rows + others.count() as u64
    }

    fn final_status(&self, to: &ConnInfo) -> Result<()> {
        let partly = |what: String| Err(Error::new(Status::Partial, format!("equal, but for {what}")));
        let left = format!("{} rows and values that the plan left out", self.left);
        let known = format!("{} objects that the run could not make", self.known.len());
        match (self.count_differences(), self.left, self.known.len()) {
            (0, 0, 0) if self.compared == 0 => {
                log::warn!("the file holds no tables: nothing was compared");
                Ok(())
            }
            (0, 0, 0) => Ok(()),
            (0, 0, _) => partly(known).map_err(|e: Error| {
                e.hint("each is named above; `run --exclude KIND:NAME` accepts that it is not copied")
            }),
            (0, _, 0) => {
                partly(left).map_err(|e: Error| e.hint("accept_rejects = true in the plan accepts them"))
            }
            (0, _, _) => partly(format!("{left}, and {known}")).map_err(|e: Error| {
                e.hint("accept_rejects = true in the plan accepts the first, --exclude the others")
            }),
            (_, _, _) if self.compared == 0 && !self.tables.is_empty() => {
                let message = format!("nothing was compared: none of the tables is in {}", to.describe());
                Err(Error::new(Status::Findings, message).hint("--schema names the schema of the copy"))
            }
            (n, _, _) => Err(Error::new(Status::Findings, format!("the copy differs: {n} differences"))),
        }
    }
}

/// What is compared.
struct CompareScope<'a> {
    /// The plan of the copy; none: tables and columns are matched by name.
    plan: Option<&'a Plan>,
    schema: &'a str,
    quiet: bool,
    /// Of these tables only some rows, by the table's name in SQLite.
    filters: &'a BTreeMap<String, RowFilter>,
}

fn compare_all(
    scope: &CompareScope<'_>,
    readers: &mut [Connection],
    clients: &mut [Client],
) -> Result<Comparison> {
    let CompareScope { plan, schema, quiet, filters } = *scope;
    let [reader, ..] = readers else { return Err(Error::failed("no connection to the source")) };
    let own = source::read_schema(reader)?;
    if let Some(plan) = plan {
        orphans::list_orphans(readers, &plan.tables)?;
    }
    let targets = target::read_tables(&mut clients[0], schema)?;
    let mut matched = match plan {
        Some(plan) => matching::match_by_plan(plan, &own, &targets),
        None => matching::match_by_name(&readers[0], &own, &targets, schema),
    };
    let views = matched.wanted_views(plan, &own);
    if !views.is_empty() {
        matched.views = expressions::missing_views(&views, &target::read_relations(&mut clients[0], schema)?);
    }
    for pair in &mut matched.pairs {
        if let Some(filter) = filters.get(&pair.source) {
            (pair.filter, pair.blocks) = (Some(filter.clone()), None);
        }
        scan::measure_source(&readers[0], pair)?;
    }
    let mut sides = Sides { readers, clients };
    // Every row once, on both sides at once; only ranges whose sums differ are read again, row by row.
    let sums = sums::sum_tables(&mut sides, &matched.pairs, quiet)?;
    let mut outcome = begin_comparison(&matched);
    for ((pair, both), expected) in matched.pairs.iter().zip(&sums).zip(&matched.expected) {
        sides.clients[0].batch_execute("savepoint one").doing(|| "begin a table".into())?;
        finish_table(&mut sides, &SummedTable { pair, both, expected }, &mut outcome)?;
        // Rolled back, not committed: only locks were taken, and these a rollback to the savepoint gives back (manual,
        // "ROLLBACK TO SAVEPOINT"). One transaction over thousands of tables would fill the server's lock table.
        let back = "rollback to savepoint one; release savepoint one";
        sides.clients[0].batch_execute(back).doing(|| "end a table".into())?;
    }
    outcome.tables.sort_by(|a, b| a.table.cmp(&b.table));
    Ok(outcome)
}

/// A table that was not compared.
fn uncompared(name: &str, verdict: TableVerdict) -> Compared {
    Compared { table: name.into(), verdict, ..Compared::default() }
}

/// What is known before a row is read.
fn begin_comparison(matched: &Matched) -> Comparison {
    let skipped =
        matched.skipped.iter().map(|(name, why)| uncompared(name, TableVerdict::Skipped(why.clone())));
    let gone = matched
        .gaps
        .iter()
        .filter(|g| g.column.is_empty())
        .map(|g| uncompared(&g.table, TableVerdict::Missing));
    Comparison {
        tables: skipped.chain(gone).collect(),
        differences: matched.gaps.iter().chain(&matched.views).cloned().collect(),
        compared: matched.pairs.len(),
        left: 0,
        known: matched.unread.clone(),
    }
}

/// A table whose rows were read once.
struct SummedTable<'a> {
    pair: &'a TablePair,
    both: &'a SideSums,
    expected: &'a ExpectedObjects,
}

/// Ends one table: rows that differ, the second opinion, keys and constraints.
fn finish_table(sides: &mut Sides<'_>, table: &SummedTable<'_>, outcome: &mut Comparison) -> Result<()> {
    let SummedTable { pair, both, expected } = *table;
    let differing = both.differing_ranges().iter().filter(|d| **d).count();
    // In a table that held rows before, the sums always differ: there each of our rows is looked for by itself.
    let look = differing > 0 || pair.is_loose();
    let found = if look { locate::locate_rows(sides, pair, both)? } else { locate::LocatedRows::default() };
    let (source, target) = (both.source.total_sum(), both.target.total_sum());
    let (cross_checked, mut told) =
        cross_check::check_sample(&sides.readers[0], &mut sides.clients[0], pair, source.rows)?;
    // Where the sums have spoken already the second way says it once more.
    told.retain(|_| found.differences.is_empty());
    let mut judge = TableJudge { reader: &sides.readers[0], client: &mut sides.clients[0], pair, expected };
    let (constraints, lacking) = judge.judge_objects()?;
    let gaps = outcome.differences.iter().any(|d| d.table == pair.source);
    let equal = found.rows == 0 && told.is_empty() && lacking.is_empty() && !gaps;
    if !pair.accepts {
        outcome.left += both.source.left.rows + both.source.left.values;
    }
    outcome.tables.push(Compared {
        table: pair.source.clone(),
        target: pair.target.clone(),
        rows: source.rows,
        target_rows: target.rows,
        sum: format!("{:032x}", source.sum),
        target_sum: format!("{:032x}", target.sum),
        ranges: both.source.cells.len(),
        ranges_differing: if pair.is_loose() { 0 } else { differing },
        rows_differing: found.rows,
        more: found.more,
        cross_checked,
        rejected: both.source.left.rows,
        replaced: both.source.left.values,
        constraints,
        verdict: if equal { TableVerdict::Equal } else { TableVerdict::Differs },
    });
    outcome.differences.extend(found.differences.into_iter().chain(told).chain(lacking));
    Ok(())
}
