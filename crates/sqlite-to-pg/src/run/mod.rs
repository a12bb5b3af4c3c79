//! The verb `run`: plan, prepare, copy, index, compare, and only then put in place.

mod again;
mod existing;
mod html;
mod offending;
mod preflight;
mod prepare;
mod report;
mod written;

use crate::cli::Run;
use crate::load::rejects::Rejects;
use crate::plan::{Action, Conversion, Fate, Mode, Object, Plan, Table, build, file, verb};
use crate::source::Snapshot;
use crate::target::existing::{adapt, without_counterpart};
use crate::target::{create, place, session, undo};
use crate::verify;
use postgres::Client;
use report::Summary;
use std::time::Instant;
use toban_core::pg::ConnInfo;
use toban_core::{Error, Kind, Out, Result};

/// Runs it.
///
/// # Errors
/// Those of either side; Partial with rejects that the plan does not accept; Findings when the copy differs, and then
/// it is not kept.
pub(crate) fn run(args: &Run, quiet: bool, out: &mut Out<'_>) -> Result<()> {
    let to = ConnInfo::resolve(args.to.as_deref().or(args.target.as_deref()), "sqlite-to-pg")?;
    if args.undo {
        return take_back(args, &to, out);
    }
    let jobs = verb::jobs(args.jobs);
    let began = Instant::now();
    let again = args.rejects.as_deref().map(|list| again::gather(&args.db, list)).transpose()?;
    let db = again.as_ref().map_or_else(|| args.db.clone(), again::Again::path);
    let mut snapshot = Snapshot::take(&db, jobs)?;
    let mut control = session::lead(&to)?;
    session::check(&mut control, &to)?;
    let (mut plan, oddities) = plan(args, &mut snapshot, &mut control, quiet)?;
    plan.tables.iter_mut().for_each(|table| table.accept_rejects |= args.accept_rejects);
    session::lock(&mut control, &plan.schema)?;
    if plan.mode == Mode::Create {
        no_arrays(&plan)?;
    }
    if plan.mode == Mode::Create && !args.rehearse {
        place::empty(&mut control, &plan)?;
        place::may_be_put(&mut control, &plan)?;
        place::room(&mut control, &plan)?;
    }
    if plan.mode == Mode::Existing {
        existing::ready(&mut control, &plan)?;
        preflight::check(&mut snapshot, &mut control, &plan, out)?;
    }
    let mut summary = Summary::new(args, to.describe(), &plan, oddities);
    summary.phase("plan", began);
    let stage = create::staging(&plan.schema);
    let guard = Stage { to: &to, stage: &stage };
    let rejects = Rejects::new()?;
    let job = Job { args, to: &to, stage: &stage, rejects: &rejects, jobs, quiet };
    let done =
        job.run(&mut snapshot, &mut control, &mut plan, &mut summary).map_err(|e| lost(e, &mut control));
    drop(guard);
    summary.finish(began);
    let told = report::write(args, &plan, &summary, &rejects, out);
    done.and(told)?;
    outcome(args, &plan, &rejects)
}

/// A connection that broke says so in many words; whether the server is gone, another one tells.
fn lost(e: Error, control: &mut Client) -> Error {
    match e.kind() == Kind::Failed && control.batch_execute("select 1").is_err_and(|e| e.is_closed()) {
        true => {
            e.kind_as(Kind::Retry).hint("the target went away; it is as it was, and the run may begin again")
        }
        false => e,
    }
}

/// Everything one run needs to know.
struct Job<'a> {
    args: &'a Run,
    to: &'a ConnInfo,
    stage: &'a str,
    rejects: &'a Rejects,
    jobs: usize,
    quiet: bool,
}

impl Job<'_> {
    fn run(
        &self,
        snapshot: &mut Snapshot,
        control: &mut Client,
        plan: &mut Plan,
        summary: &mut Summary,
    ) -> Result<()> {
        prepare::everything(self, snapshot, control, plan, summary)?;
        if !self.args.no_verify {
            self.prove(snapshot, plan, summary)?;
        }
        if self.args.rehearse {
            return Ok(());
        }
        let began = Instant::now();
        match plan.mode {
            Mode::Create => {
                let rows: Vec<u64> = summary.loaded.iter().map(|l| l.rows).collect();
                place::move_in(control, plan, self.stage, &rows)?;
            }
            Mode::Existing => {
                let how = (self.stage, self.args.rejects.is_some());
                let mut prove = |client: &mut Client, plan: &Plan| match self.args.no_verify {
                    true => Ok(()),
                    false => self.prove_in_place(snapshot, plan, summary, client),
                };
                existing::move_in(control, plan, how, &mut prove)?;
            }
        }
        summary.placed = true;
        summary.phase("put in place", began);
        Ok(())
    }

    /// Compares what was prepared, before anybody sees it.
    fn prove(&self, snapshot: &mut Snapshot, plan: &Plan, summary: &mut Summary) -> Result<()> {
        let began = Instant::now();
        let base = if plan.mode == Mode::Existing { prepare::staged(plan) } else { plan.clone() };
        let staged = Plan { schema: self.stage.to_string(), ..base };
        let proof = verify::prove(&staged, snapshot.readers(), self.to, self.quiet)?;
        summary.compared(proof);
        summary.phase("compare", began);
        match summary.total {
            0 => Ok(()),
            n => Err(Error::new(
                Kind::Findings,
                format!("the copy differs from its source in {n} places, and was not kept"),
            )
            .hint("this is a fault of ours: please report it, with the lines above")),
        }
    }

    /// Compares the application's tables inside the transaction that fills them: where a cast, a default or a rule of
    /// theirs made other values, it is rolled back.
    fn prove_in_place(
        &self,
        snapshot: &mut Snapshot,
        plan: &Plan,
        summary: &mut Summary,
        client: &mut Client,
    ) -> Result<()> {
        let began = Instant::now();
        let proof = verify::prove_within(plan, snapshot.readers(), client, self.quiet)?;
        summary.compared(proof);
        summary.phase("compare in place", began);
        match summary.total {
            0 => Ok(()),
            n => Err(Error::new(
                Kind::Findings,
                format!("the target's tables hold other values in {n} places, and nothing was loaded"),
            )
            .hint("the lines above name rows and columns: another --cast, type or policy takes them as they are")),
        }
    }
}

/// What is prepared goes when the run ends, however it ends; a new connection, for the old one may be gone.
struct Stage<'a> {
    to: &'a ConnInfo,
    stage: &'a str,
}

impl Drop for Stage<'_> {
    fn drop(&mut self) {
        let gone = session::open(self.to).and_then(|mut c| create::drop_schema(&mut c, self.stage));
        if let Err(e) = gone {
            log::warn!("{}; the next run does it", e.chain());
        }
    }
}

/// The plan that was given, or one made now. One that was given must be of this very schema.
fn plan(
    args: &Run,
    snapshot: &mut Snapshot,
    control: &mut Client,
    quiet: bool,
) -> Result<(Plan, Vec<build::Oddity>)> {
    if let Some(path) = &args.plan {
        let plan = file::read(path)?;
        let now = build::source(snapshot)?;
        if now.schema_sum != plan.source.schema_sum {
            return Err(Error::failed("the source's schema is not the one that was planned")
                .hint("make the plan again with: sqlite-to-pg plan DB -o FILE"));
        }
        snapshot.judged(|_| Ok(()))?;
        return Ok((plan, Vec::new()));
    }
    let mut built = build::build(snapshot, &args.rules, quiet)?;
    let action = args.existing.map(Action::from).or(args.rejects.as_ref().map(|_| Action::Upsert));
    match action {
        Some(action) => {
            let missing = adapt(&mut built, control, action, &args.rules)?;
            without_counterpart(&built.plan.schema, &missing)?;
        }
        None => verb::no_sets(&args.rules)?,
    }
    Ok((built.plan, built.oddities))
}

/// Only a table that is there already says which type the elements of an array have.
fn no_arrays(plan: &Plan) -> Result<()> {
    let of = |t: &Table| {
        t.columns
            .iter()
            .find(|c| c.conversion == Conversion::Array)
            .map(|c| format!("{}.{}", t.source, c.source))
    };
    match plan.tables.iter().find_map(of) {
        None => Ok(()),
        Some(name) => {
            Err(Error::usage(format!("{name}: the conversion array needs a table that the application made"))
                .hint("load into it with --existing, or convert to json"))
        }
    }
}

fn take_back(args: &Run, to: &ConnInfo, out: &mut Out<'_>) -> Result<()> {
    let mut control = session::lead(to)?;
    session::lock(&mut control, &args.rules.schema)?;
    for step in undo::undo(&mut control, &args.rules.schema, args.even_if_changed)? {
        out.emit(&report::Step { step })?;
    }
    Ok(())
}

/// Success means that everything the source has is there, or was excluded by name.
fn outcome(args: &Run, plan: &Plan, rejects: &Rejects) -> Result<()> {
    let n = report::unaccepted(plan, rejects);
    let list = report::folder(args, plan, rejects).unwrap_or_default().join("rejects.jsonl");
    let kept = format!("{n} values, whose originals are in {}", list.display());
    let missing = report::behind(plan);
    let what = match (n, missing.is_empty()) {
        (0, true) => return Ok(()),
        (_, true) => kept,
        (0, false) => missing,
        (_, false) => format!("{kept}, and {missing}"),
    };
    let hint = match n {
        0 => {
            "the lines above say why; --exclude KIND:NAME says that one may lack (view:NAME, default:TABLE.COLUMN)"
        }
        _ => {
            "--rejects with that file and a new rule loads them; --accept-rejects, or accept_rejects = true in the plan's [[table]], makes this a success"
        }
    };
    Err(Error::new(Kind::Partial, format!("all is there but {what}")).hint(hint))
}

/// An object of the plan, told after the fact.
fn object(kind: &str, name: &str, fate: Fate, why: String) -> Object {
    Object { kind: kind.into(), name: name.into(), fate, why, ..Object::default() }
}
