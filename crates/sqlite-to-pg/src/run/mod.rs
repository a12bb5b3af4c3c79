//! The verb `run`: plan, prepare, copy, index, compare, and only then put in place.

mod existing;
mod first_load;
mod html;
mod ledger;
mod manual_sql;
mod offending;
mod preflight;
mod prepare;
mod report;
mod retry_rejects;

use crate::cli::RunArgs;
use crate::load::copy::Loaded;
use crate::load::rejects::Rejects;
use crate::model::{Action, Cause, Conversion, Mode, Object, Plan, Table};
use crate::plan::build::{self, MismatchedValues, remark_objects};
use crate::plan::existing::{adapt_plan, check_counterparts};
use crate::plan::{file, verb};
use crate::source::damage::PageCheck;
use crate::source::salvage::{self, SalvageLoss, SalvagedFile};
use crate::source::{Snapshot, orphans};
use crate::target::{create, place, undo};
use crate::verify;
use existing::Transfer;
use ledger::Ledger;
use migrate::session;
use postgres::Client;
use report::{Report, Summary};
use std::collections::BTreeMap;
use std::time::Instant;
use toban_core::pg::ConnInfo;
use toban_core::sign::Signer;
use toban_core::{Common, Error, Kind, Out, Result};

/// Runs it.
///
/// # Errors
/// Those of either side; Partial with rejects that the plan does not accept; Findings when the copy differs, and then
/// it is not kept.
pub(crate) fn run(args: &RunArgs, common: &Common, out: &mut Out<'_>) -> Result<()> {
    let quiet = common.quiet;
    let to = ConnInfo::resolve(args.to.as_deref().or(args.target.as_deref()), "sqlite-to-pg")?;
    if args.undo {
        return undo_last_run(args, &to, out);
    }
    let signer = args.sign.find_signer(&common.config()?, "sqlite-to-pg")?;
    let jobs = verb::job_count(args.jobs);
    let began = Instant::now();
    let retried =
        args.rejects.as_deref().map(|list| retry_rejects::gather_rows(&args.db, list)).transpose()?;
    let salvaged = args.salvage.then(|| salvage::salvage_file(&args.db)).transpose()?;
    let db = retried
        .as_ref()
        .map(retry_rejects::RejectedRows::path)
        .or(salvaged.as_ref().map(SalvagedFile::path))
        .unwrap_or_else(|| args.db.clone());
    let losses = salvaged.as_ref().map_or(&[][..], |file| &file.losses);
    let mut snapshot = Snapshot::take_snapshot(&db, jobs)?;
    let mut check = None;
    let asked = Asked { args, to: &to, signer: signer.as_ref(), jobs, quiet, began, losses };
    let done = asked.run_checked(&mut snapshot, &mut check, out);
    let Err(e) = &done else { return done };
    // The check tells whether an error comes from damage; what the target says does not.
    let check = match check {
        None if e.kind() == Kind::Corrupt => Some(snapshot.begin_check()?),
        check => check.filter(|_| !is_of_target(e)),
    };
    match check {
        Some(check) => check.settle(done).map(|((), _)| ()),
        None => done,
    }
}

/// Whether an error is the target's, or the connection's to it.
fn is_of_target(e: &Error) -> bool {
    let first: Option<&(dyn std::error::Error + 'static)> = Some(e);
    std::iter::successors(first, |e| e.source()).any(<dyn std::error::Error>::is::<postgres::Error>)
}

/// What a run was asked for.
struct Asked<'a> {
    args: &'a RunArgs,
    to: &'a ConnInfo,
    signer: Option<&'a Signer>,
    jobs: usize,
    quiet: bool,
    began: Instant,
    /// What a damaged file does not give.
    losses: &'a [SalvageLoss],
}

impl Asked<'_> {
    fn run_checked(
        &self,
        snapshot: &mut Snapshot,
        check: &mut Option<PageCheck>,
        out: &mut Out<'_>,
    ) -> Result<()> {
        let Asked { args, to, jobs, quiet, began, .. } = *self;
        let mut control = session::open_lead(to)?;
        session::check_server(&mut control, to)?;
        let prepared = match args.plan.is_none() && args.existing.is_none() && args.rejects.is_none() {
            true => first_load::plan_by_sample(args, snapshot)?,
            false => {
                let (plan, mismatches) = make_plan(args, snapshot, &mut control, quiet)?;
                first_load::Prepared::of_plan(plan, mismatches)
            }
        };
        let plan = &prepared.plan;
        // Before anything is made: two runs into one schema would share the staging schema, whose name follows from it.
        session::lock_schema(&mut control, "sqlite-to-pg", &plan.schema)?;
        check_target(args, plan, &mut control)?;
        *check = Some(snapshot.begin_check()?);
        let mut summary = Summary::default();
        summary.end_phase("plan", began);
        let stage = create::staging_schema(&plan.schema);
        // Made before the schema is: whatever ends the run, the schema is dropped.
        let guard = StageGuard { to, stage: &stage };
        let stage_of = first_load::Stage { to, control: &mut control, name: &stage, quiet };
        let prepared = stage_of
            .load_first(prepared, &args.rules, snapshot)
            .map_err(|e| explain_lost_connection(e, &mut control))?;
        let mut plan = prepared.plan;
        accept_rejects(args, &mut plan);
        orphans::list_orphans(snapshot.readers(), &plan.tables)?;
        if plan.mode == Mode::Existing {
            preflight::check_values(snapshot, &mut control, &plan, out)?;
        }
        summary.end_phase("copy", prepared.began);
        summary.mismatches = prepared.mismatches;
        let rejects = Rejects::new()?;
        let mut migration = Migration {
            args,
            to,
            stage: &stage,
            rejects: &rejects,
            plan: &plan,
            jobs,
            quiet,
            snapshot,
            control,
            ledger: Ledger::of_losses(self.losses),
            summary,
            loaded: prepared.loaded,
            clients: prepared.clients,
            check,
        };
        let done = migration.carry_out();
        let done = done.map_err(|e| explain_lost_connection(e, &mut migration.control));
        drop(guard);
        // Of a damaged file nothing else is worth telling.
        if done.as_ref().is_err_and(|e| matches!(e.kind(), Kind::Failed | Kind::Corrupt) && !is_of_target(e))
            && let Some(check) = migration.check.take()
        {
            check.settle(Ok(()))?;
        }
        migration.summary.seconds = began.elapsed().as_secs_f64();
        let report = Report::new(&migration);
        // Also of a run that failed: the rejects and what was found so far are what says why.
        let told = report.write_report(&to.describe(), self.signer, out);
        done.and(told)?;
        report.final_status()
    }
}

/// What refuses the run as a whole, before a row is copied.
fn check_target(args: &RunArgs, plan: &Plan, control: &mut Client) -> Result<()> {
    match plan.mode {
        Mode::Existing => return existing::check_ready(control, plan),
        Mode::Create => refuse_arrays(plan)?,
    }
    if args.trial {
        return Ok(());
    }
    place::check_empty(control, plan)?;
    place::check_rights(control, plan)?;
    place::check_room(control, plan)
}

/// A connection that broke says so in many words; whether the server is gone, another one tells.
fn explain_lost_connection(e: Error, control: &mut Client) -> Error {
    match e.kind() == Kind::Failed && control.batch_execute("select 1").is_err_and(|e| e.is_closed()) {
        true => e
            .kind_as(Kind::Retry)
            .hint("the connection to the target was lost; the target is unchanged: run this again"),
        false => e,
    }
}

/// One run: what it was asked, its connections, and what has happened so far.
struct Migration<'a> {
    args: &'a RunArgs,
    to: &'a ConnInfo,
    stage: &'a str,
    rejects: &'a Rejects,
    /// As it was printed or given; it does not change.
    plan: &'a Plan,
    jobs: usize,
    quiet: bool,
    snapshot: &'a mut Snapshot,
    control: Client,
    ledger: Ledger,
    summary: Summary,
    /// Tables that were copied already while they were counted, by the source's names.
    loaded: BTreeMap<String, Loaded>,
    /// Sessions that copy.
    clients: Vec<Client>,
    /// The reading of all pages, as long as it goes on.
    check: &'a mut Option<PageCheck>,
}

impl Migration<'_> {
    fn carry_out(&mut self) -> Result<()> {
        let mut carried_out = self.prepare_copy()?;
        if !self.args.no_verify {
            self.compare_staged(&carried_out)?;
        }
        // Nothing is put in place before it is known that the file is whole.
        if let Some(check) = self.check.take() {
            let began = Instant::now();
            let ((), remarks) = check.settle(Ok(()))?;
            let cause = if carried_out.mode == Mode::Existing { Cause::Application } else { Cause::Other };
            let remarks = remark_objects(&remarks).into_iter().map(|o| Object { cause, ..o });
            self.ledger.note_all(remarks.collect());
            carried_out = self.ledger.carried_out(&carried_out);
            self.summary.end_phase("wait for the integrity check", began);
        }
        if self.args.trial {
            return Ok(());
        }
        let began = Instant::now();
        match carried_out.mode {
            Mode::Create => {
                let loaded = &self.summary.loaded;
                let rows = |t: &Table| loaded.get(&t.source).map_or(0, |l| l.rows);
                let rows: Vec<u64> = carried_out.tables.iter().map(rows).collect();
                place::move_tables(&mut self.control, &carried_out, self.stage, &rows)?;
            }
            Mode::Existing => self.move_into_existing()?,
        }
        self.summary.placed = true;
        self.summary.end_phase("put in place", began);
        Ok(())
    }

    fn move_into_existing(&mut self) -> Result<()> {
        let Migration { args, plan, stage, quiet, snapshot, control, summary, .. } = self;
        let transfer = Transfer { plan, stage, retries: args.rejects.is_some() };
        // The application's tables are compared inside the transaction that fills them: where a cast, a default or a rule
        // of theirs made other values, it is rolled back.
        let mut compare = |client: &mut Client| {
            if args.no_verify {
                return Ok(());
            }
            let began = Instant::now();
            summary.note_proof(verify::prove_within(plan, snapshot.readers(), client, *quiet)?);
            summary.end_phase("compare in place", began);
            check_equal(summary.total, "the target's tables hold other values in", "and nothing was loaded")
                .map_err(|e| {
                    e.hint(
                        "the lines above name rows and columns: give another --cast, type or policy for them",
                    )
                })
        };
        let outcomes = transfer.move_in(control, &mut compare)?;
        self.ledger.note_all(outcomes);
        Ok(())
    }

    /// Compares what was prepared, before anybody sees it.
    fn compare_staged(&mut self, carried_out: &Plan) -> Result<()> {
        let began = Instant::now();
        let base = match carried_out.mode {
            Mode::Existing => carried_out.staged(),
            Mode::Create => carried_out.clone(),
        };
        let staged = Plan { schema: self.stage.to_string(), ..base };
        let proof = verify::prove_copy(&staged, self.snapshot.readers(), self.to, self.quiet)?;
        self.summary.note_proof(proof);
        self.summary.end_phase("compare", began);
        check_equal(self.summary.total, "the copy differs from its source in", "and was not kept")
            .map_err(|e| e.hint("this is a bug in sqlite-to-pg: please report it, with the lines above"))
    }
}

fn check_equal(places: u64, what: &str, so: &str) -> Result<()> {
    match places {
        0 => Ok(()),
        n => Err(Error::new(Kind::Findings, format!("{what} {n} places, {so}"))),
    }
}

/// What is prepared goes when the run ends, however it ends; a new connection, for the old one may be gone.
struct StageGuard<'a> {
    to: &'a ConnInfo,
    stage: &'a str,
}

impl Drop for StageGuard<'_> {
    fn drop(&mut self) {
        let gone = session::open_session(self.to).and_then(|mut c| create::drop_schema(&mut c, self.stage));
        if let Err(e) = gone {
            log::warn!("{}; the next run drops it", e.chain());
        }
    }
}

/// The plan that was given, or one made now. One that was given must be of this very schema.
fn make_plan(
    args: &RunArgs,
    snapshot: &mut Snapshot,
    control: &mut Client,
    quiet: bool,
) -> Result<(Plan, Vec<MismatchedValues>)> {
    if let Some(path) = &args.plan {
        let mut plan = file::read_plan(path)?;
        let now = build::source_file(snapshot)?;
        // Rows may have come since; a column that the plan does not know would be left out without a word.
        if now.schema_sum != plan.source.schema_sum {
            return Err(Error::failed("the source's schema has changed since the plan was made")
                .hint("make the plan again with: sqlite-to-pg plan DB -o FILE"));
        }
        // What is copied is the file as it is now; `sync` compares it with the beginning of the capture.
        plan.source = now;
        return Ok((plan, Vec::new()));
    }
    let mut built = build::build_plan(snapshot, &args.rules, quiet)?;
    let action = args.existing.or(args.rejects.as_ref().map(|_| Action::Upsert));
    match action {
        Some(action) => {
            let missing = adapt_plan(&mut built, control, action, &args.rules)?;
            check_counterparts(&built.plan.schema, &missing)?;
        }
        None => verb::refuse_sets(&args.rules)?,
    }
    Ok((built.plan, built.mismatches))
}

fn accept_rejects(args: &RunArgs, plan: &mut Plan) {
    plan.tables.iter_mut().for_each(|table| table.accept_rejects |= args.accept_rejects);
}

/// Only a table that is there already says which type the elements of an array have.
fn refuse_arrays(plan: &Plan) -> Result<()> {
    let of = |t: &Table| {
        t.columns
            .iter()
            .find(|c| c.conversion == Conversion::Array)
            .map(|c| format!("{}.{}", t.source, c.source))
    };
    match plan.tables.iter().find_map(of) {
        None => Ok(()),
        Some(name) => Err(Error::usage(format!(
            "{name}: the conversion array only works with a table that the application made"
        ))
        .hint("load into it with --existing, or convert to json")),
    }
}

fn undo_last_run(args: &RunArgs, to: &ConnInfo, out: &mut Out<'_>) -> Result<()> {
    let mut control = session::open_lead(to)?;
    session::lock_schema(&mut control, "sqlite-to-pg", &args.rules.schema)?;
    for step in undo::undo_last(&mut control, &args.rules.schema, args.even_if_changed)? {
        out.emit(&report::UndoStep { step })?;
    }
    Ok(())
}
