//! The independent comparison: what PostgreSQL returns against what SQLite holds. Reads both sides, writes to none.

mod array;
mod compare;
mod convert;
mod decimal;
mod defaults;
pub(crate) mod definitions;
mod form;
mod interval;
mod json;
mod matching;
mod moment;
mod narrow;
mod objects;
mod pair;
mod record;
mod scan;
mod second;
mod shown;
mod source;
mod sums;
mod target;
mod typed;
mod wire;
mod words;

use crate::cli::Verify;
use crate::plan::{self, Plan};
use compare::Both;
use definitions::Definitions;
use matching::{Expected, Matched};
use objects::Judge;
use pair::Pair;
use postgres::Client;
use record::{Compared, Difference, Kind};
use rusqlite::Connection;
use scan::Sides;
use toban_core::machine;
use toban_core::pg::ConnInfo;
use toban_core::{Context, Error, Kind as Status, Out, Result};
pub(crate) use words::{named, of_index};

/// The verb `verify`.
///
/// # Errors
/// Findings when the copy differs, Partial when the plan left rows behind that it does not accept; those of either
/// database; Failed when there was nothing to compare.
pub(crate) fn run(args: &Verify, quiet: bool, out: &mut Out<'_>) -> Result<()> {
    let to = ConnInfo::resolve(args.against.as_deref(), "sqlite-to-pg")?;
    let mut readers = source::open(&args.db, threads())?;
    let given = args.plan.as_ref().map(|path| plan::file::read(path)).transpose()?;
    let schema = given.as_ref().map_or(args.schema.clone(), |p| p.schema.clone());
    let (plan, kept) = kept_plan(&readers, &to, &schema, given)?;
    let mut clients = target::open(&to, readers.len())?;
    let mut outcome = judge((plan.as_ref(), &schema), &mut readers, &mut clients, quiet)?;
    let names = match &plan {
        Some(plan) => crate::target::undo::relations(plan),
        None => outcome.tables.iter().map(|t| t.target.clone()).collect(),
    };
    outcome.defined(match &kept {
        Some(kept) => definitions::judge(&mut clients[0], &schema, &names, kept)?,
        None => definitions::unfit(&mut clients[0], &schema, &names)?,
    });
    if plan.is_none() {
        let wanted = source::schema(&readers[0])?.triggers;
        let there = definitions::triggers(&mut clients[0], &schema, &names)?;
        outcome.differences.extend(words::triggers(&wanted, &there));
    }
    plan.iter().for_each(|plan| outcome.lacks(plan));
    for table in &outcome.tables {
        out.emit(table)?;
    }
    for difference in outcome.differences.iter().chain(&outcome.known) {
        out.emit(difference)?;
    }
    outcome.status(&to)
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
        None if kept.source.schema_sum == plan::build::schema_sum(reader)? => {
            log::info!("compared by the plan of the run that made this copy");
            Ok((Some(kept), definitions))
        }
        None => Ok((None, None)),
    }
}

fn threads() -> usize {
    machine::cores().min(8)
}

/// What `run` ends with: every table of `plan` compared, in the schema that it names. `readers` are connections inside
/// read transactions that all see the very snapshot which was copied; they may be used by one thread each.
///
/// # Errors
/// Those of either database; a difference is not an error but in the answer.
pub(crate) fn prove(plan: &Plan, readers: &mut [Connection], to: &ConnInfo, quiet: bool) -> Result<Proof> {
    let mut clients = target::open(to, readers.len())?;
    proof(plan, readers, &mut clients, quiet)
}

/// The same inside the transaction that `client` is in: what it has written and not yet committed is compared.
///
/// # Errors
/// Those of [`prove`].
pub(crate) fn prove_within(
    plan: &Plan,
    readers: &mut [Connection],
    client: &mut Client,
    quiet: bool,
) -> Result<Proof> {
    target::unlocked(client, |client| {
        target::settle(client)?;
        proof(plan, readers, std::slice::from_mut(client), quiet)
    })
}

fn proof(plan: &Plan, readers: &mut [Connection], clients: &mut [Client], quiet: bool) -> Result<Proof> {
    let outcome = judge((Some(plan), &plan.schema), readers, clients, quiet)?;
    let equal = |t: &Compared| (t.table.clone(), t.verdict == "equal");
    Ok(Proof {
        tables: outcome.tables.iter().filter(|t| t.verdict != "skipped").map(equal).collect(),
        differences: outcome.differences.iter().map(Difference::line).collect(),
        total: outcome.total(),
        rows: outcome.tables.iter().map(|t| t.rows).sum(),
    })
}

/// The outcome of a comparison.
#[derive(Debug, Default)]
pub(crate) struct Proof {
    /// Every difference in words: table, key, column, both values. Bounded; `total` counts them all.
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
struct Outcome {
    tables: Vec<Compared>,
    differences: Vec<Difference>,
    /// Tables that both sides have.
    compared: usize,
    /// Rows and values left behind by the plan in tables where that is not accepted.
    left: u64,
    /// What the run that made the copy could not make, and said so.
    known: Vec<Difference>,
}

impl Outcome {
    /// What the run could not take along: it is told again, as it was then.
    fn lacks(&mut self, plan: &Plan) {
        for object in plan.objects.iter().filter(|o| o.is_missing()) {
            if object.is_lost() {
                self.tables.retain(|t| t.table != object.name);
                self.tables.push(bare(&object.name, "missing"));
            }
            let sides = ("there", format!("not there: {}", object.why));
            self.known.push(Difference::of_table(
                &object.name,
                Kind::LeftOut,
                &object.kind,
                (sides.0, &sides.1),
            ));
        }
    }

    /// Definitions that changed; what was named already is not named twice.
    fn defined(&mut self, changed: Vec<Difference>) {
        for difference in changed {
            let of = |t: &&mut Compared| t.target == difference.table;
            self.tables.iter_mut().filter(|t| of(t)).for_each(|t| t.verdict = "differs".into());
            self.differences.push(difference);
        }
    }

    /// Differing rows, and differences that are about no row.
    fn total(&self) -> u64 {
        let rows: u64 = self.tables.iter().map(|t| t.rows_differing).sum();
        let others = self.differences.iter().filter(|d| d.row.is_empty() || d.kind == Kind::SecondWay);
        rows + others.count() as u64
    }

    fn status(&self, to: &ConnInfo) -> Result<()> {
        let partly = |what: String| Err(Error::new(Status::Partial, format!("equal, but for {what}")));
        let left = format!("{} rows and values that the plan left behind", self.left);
        let known = format!("{} objects that the run could not make", self.known.len());
        match (self.total(), self.left, self.known.len()) {
            (0, 0, 0) if self.compared == 0 => {
                log::warn!("the file holds no tables: nothing was compared");
                Ok(())
            }
            (0, 0, 0) => Ok(()),
            (0, 0, _) => partly(known).map_err(|e: Error| {
                e.hint("each is named above; --exclude KIND:NAME of a run says that it may lack")
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

fn judge(
    (plan, schema): (Option<&Plan>, &str),
    readers: &mut [Connection],
    clients: &mut [Client],
    quiet: bool,
) -> Result<Outcome> {
    let [reader, ..] = readers else { return Err(Error::failed("no connection to the source")) };
    let own = source::schema(reader)?;
    let targets = target::tables(&mut clients[0], schema)?;
    let mut matched = match plan {
        Some(plan) => matching::by_plan(plan, &own, &targets),
        None => matching::by_name(&readers[0], &own, &targets, schema),
    };
    let views = matched.wanted_views(plan, &own);
    if !views.is_empty() {
        matched.views = words::views(&views, &target::relations(&mut clients[0], schema)?);
    }
    for pair in &mut matched.pairs {
        scan::measure(&readers[0], pair)?;
    }
    let mut sides = Sides { readers, clients };
    let sums = compare::sums(&mut sides, &matched.pairs, quiet)?;
    let mut outcome = begun(&matched);
    for ((pair, both), expected) in matched.pairs.iter().zip(&sums).zip(&matched.expected) {
        sides.clients[0].batch_execute("savepoint one").doing(|| "begin a table".into())?;
        table(&mut sides, (pair, both, expected), &mut outcome)?;
        let back = "rollback to savepoint one; release savepoint one";
        sides.clients[0].batch_execute(back).doing(|| "end a table".into())?;
    }
    outcome.tables.sort_by(|a, b| a.table.cmp(&b.table));
    Ok(outcome)
}

/// A table that was not compared.
fn bare(name: &str, verdict: &str) -> Compared {
    Compared {
        table: name.into(),
        target: String::new(),
        rows: 0,
        target_rows: 0,
        sum: String::new(),
        target_sum: String::new(),
        ranges: 0,
        ranges_differing: 0,
        rows_differing: 0,
        more: false,
        second_way: 0,
        rejected: 0,
        replaced: 0,
        constraints: 0,
        verdict: verdict.into(),
    }
}

/// What is known before a row is read.
fn begun(matched: &Matched) -> Outcome {
    let skipped = matched.skipped.iter().map(|(name, why)| bare(name, &format!("skipped: {why}")));
    let gone = matched.gaps.iter().filter(|g| g.column.is_empty()).map(|g| bare(&g.table, "missing"));
    Outcome {
        tables: skipped.chain(gone).collect(),
        differences: matched.gaps.iter().chain(&matched.views).cloned().collect(),
        compared: matched.pairs.len(),
        left: 0,
        known: matched.unread.clone(),
    }
}

/// Ends one table: rows that differ, the second opinion, keys and constraints.
fn table(
    sides: &mut Sides<'_>,
    (pair, both, expected): (&Pair, &Both, &Expected),
    outcome: &mut Outcome,
) -> Result<()> {
    let differing = both.differing().iter().filter(|d| **d).count();
    let look = differing > 0 || pair.is_loose();
    let found = if look { narrow::narrow(sides, pair, both)? } else { narrow::Found::default() };
    let (source, target) = (both.source.total(), both.target.total());
    let (second_way, mut told) =
        second::opinion(&sides.readers[0], &mut sides.clients[0], pair, source.rows)?;
    // Where the sums have spoken already the second way says it once more.
    told.retain(|_| found.differences.is_empty());
    let mut judge = Judge { reader: &sides.readers[0], client: &mut sides.clients[0], pair, expected };
    let (constraints, lacking) = judge.judge()?;
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
        second_way,
        rejected: both.source.left.rows,
        replaced: both.source.left.values,
        constraints,
        verdict: if equal { "equal" } else { "differs" }.into(),
    });
    outcome.differences.extend(found.differences.into_iter().chain(told).chain(lacking));
    Ok(())
}
