//! The verb `cutover`: everything that takes long before the application is stopped, and then in a short window the
//! fence, the last changes, the comparison, and the switch. Whatever fails before the switch lifts the fence again.

use super::apply::{LogRange, LoggedChanges};
use super::capture::LOCK_WAIT;
use super::commands::{await_probe, run_command};
use super::constraints;
use super::fence::{FENCED, lift_fence, raise_fence, set_finished};
use super::file;
use super::forecast::{Forecast, Timer};
use super::held::limits_of;
use super::link::{LiveLink, warn_of_schema};
use super::openers::{FencedFile, check_visible};
use super::record::{newest_entry, schema_version};
use super::reverse_log::{has_entries, install_log, remove_log, reverse_tables};
use super::state::{self, LivePhase, LiveState};
use super::target_fence::put_target_fence;
use super::touched::{drop_touched, filter_touched, plan_to_compare, set_numbers};
use crate::live_args::CutoverArgs;
use crate::target::fence::drop_fence;
use crate::verify::{self, CopyProof};
use migrate::session;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use toban_core::{Context, Error, Kind, Out, Result, machine, shutdown};

/// Rounds of catching up before the fence, and what the last one may take.
const ROUNDS: usize = 20;
const SHORT: Duration = Duration::from_secs(1);

/// Cuts over, or goes on where a run was killed; with `--abort` takes it back, with `--finish` ends it for good.
///
/// # Errors
/// Findings for a no-go and for a copy that differs; Retry when the application keeps its lock; Failed for a command
/// of the user's. In all of these the application goes on with SQLite, unless the message says otherwise.
pub(crate) fn run(args: &CutoverArgs, out: &mut Out<'_>) -> Result<()> {
    let mut link = LiveLink::open_sides(&args.sides)?;
    match (args.abort, args.finish) {
        (true, _) => return abort_cutover(&mut link),
        (_, true) => return finish_cutover(&mut link),
        _ => {}
    }
    let fenced = link.record.state == FENCED;
    if args.dry_run && (fenced || !link.is_followed()) {
        return Err(Error::usage("there is no window to forecast: a cutover was begun already")
            .hint("`sqlite-to-pg status` says how far it is"));
    }
    // The fence is raised only after the target knows of the capture: this one is not of this cutover.
    if fenced && link.is_fresh() {
        return Err(Error::usage(
            "the file is behind the fence of a cutover that this target knows nothing of",
        )
        .hint("is it that of another database, or of another --schema?"));
    }
    let mut timer = Timer::new(out);
    if link.state.phase == LivePhase::FellBack && link.record.state == FENCED {
        return Err(Error::usage("a fallback ended in the middle").hint("run fallback again"));
    }
    if link.is_followed() {
        if link.record.state != FENCED {
            // Before all that takes long, though it is asked once more right before the fence.
            check_visible(&link.path, is_stopped(args) || args.dry_run)?;
            let forecast = prepare(&mut link, &mut timer)?;
            forecast.emit_lines(&mut timer)?;
            timer.print_limits(&limits_of(&link.plan))?;
            forecast.check_window(args.max_window)?;
            if args.dry_run {
                return Ok(());
            }
            if let Some(command) = &args.stop_command {
                timer.time_phase("stop command", |_| run_command("stop", command))?;
            }
        }
        check_openers(&link, args)?;
        close_window(&mut link, args, &mut timer)?;
    }
    match link.state.phase {
        LivePhase::Proven => switch_over(&mut link, args, &mut timer)?,
        // A fallback that was killed before it was decided: the application stays.
        _ => session::in_transaction(
            &mut link.client,
            || "let PostgreSQL take writes".into(),
            |client| drop_fence(client, &link.plan.schema),
        )?,
    }
    timer.time_phase("validate foreign keys", |_| {
        for broken in constraints::validate_keys(&mut link.client, &link.plan.schema)? {
            log::warn!("stays NOT VALID, for rows break it: {broken}");
        }
        Ok(())
    })
}

/// Whether the application is stopped, as far as we were told.
fn is_stopped(args: &CutoverArgs) -> bool {
    args.stop_command.is_some() || args.app_stopped
}

/// That the fence stops whoever still has the file open.
fn check_openers(link: &LiveLink, args: &CutoverArgs) -> Result<()> {
    let moves = |name: &str| link.plan.tables.iter().any(|t| t.source == name);
    let unfenced = link.record.tables.iter().find(|t| t.is_virtual && moves(&t.name));
    let unfenced = unfenced.map(|t| t.name.as_str());
    FencedFile { path: &link.path, stopped: is_stopped(args), unfenced }.check_openers()
}

/// Everything before the fence: the copy is caught up, and compared with one moment of the file.
fn prepare(link: &mut LiveLink, timer: &mut Timer<'_, '_>) -> Result<Forecast> {
    link.begin_following()?;
    let mut forecast = Forecast::default();
    for round in 1..=ROUNDS {
        shutdown::check()?;
        let began = Instant::now();
        timer.time_phase("catch up", |_| link.apply_newest().map(drop))?;
        forecast.sync = began.elapsed();
        if forecast.sync < SHORT {
            break;
        }
        if round == ROUNDS {
            return Err(Error::new(
                Kind::Findings,
                format!("no-go: after {ROUNDS} rounds the changes of one still take {:.1} s to apply", forecast.sync.as_secs_f64()),
            )
            .hint("the application writes faster than they are applied: try when it writes less, or stop it first"));
        }
    }
    warn_of_schema(link)?;
    let recopied = state::read_recopied(&mut link.client, &link.plan.schema)?;
    for table in recopied.iter().filter(|t| t.changed) {
        let bytes = link.plan.tables.iter().find(|t| t.source == table.source).map_or(0, |t| t.bytes);
        forecast.add_recopied(&table.source, bytes);
    }
    // In the older journal modes a reader keeps writers waiting: there everything is compared in the window.
    if is_wal(link)? {
        let began = Instant::now();
        timer.time_phase("compare everything", |_| compare_everything(link))?;
        // Of the changes since then alone: a part of it, and what opening sessions and reading catalogues takes.
        forecast.compare = began.elapsed().mul_f64(0.1) + Duration::from_millis(200);
    } else {
        forecast.compare_all_of(link.plan.tables.iter().map(|t| t.bytes).sum());
    }
    Ok(forecast)
}

fn is_wal(link: &LiveLink) -> Result<bool> {
    let mode: String = link
        .reader
        .pragma_query_value(None, "journal_mode", |r| r.get(0))
        .doing(|| "ask for the journal mode".into())?;
    Ok(mode.eq_ignore_ascii_case("wal"))
}

/// Applies what there is, and compares all of the copy with the same moment of the file.
fn compare_everything(link: &mut LiveLink) -> Result<()> {
    let proof = link.with_snapshot(|link| {
        link.apply_here()?;
        let plan = plan_to_compare(&link.plan, &link.reader)?;
        set_numbers(&mut link.client, &plan)?;
        // Tables that are copied again in the window differ until then.
        let recopied = state::read_recopied(&mut link.client, &plan.schema)?;
        let is_changed = |name: &str| recopied.iter().any(|r| r.changed && r.source == name);
        let mut plan = plan;
        plan.tables.retain(|t| !is_changed(&t.source));
        verify::prove_copy(&plan, std::slice::from_mut(&mut link.reader), &link.to, true)
    })?;
    check_proof(&proof, "the copy differs before the fence")?;
    let proven = LiveState { proven: Some(link.state.position), ..link.state.clone() };
    state::write_state(&mut link.client, &link.plan.schema, &proven)?;
    link.state = proven;
    Ok(())
}

fn check_proof(proof: &CopyProof, what: &str) -> Result<()> {
    proof.differences.iter().for_each(|difference| log::error!("{difference}"));
    match proof.total {
        0 => Ok(()),
        n => Err(Error::new(Kind::Findings, format!("{what}: in {n} places"))
            .hint("who else writes to the copy? begin again: run --undo --even-if-changed, run, sync")),
    }
}

/// The window, up to the moment before the switch: fence, last changes, comparison. Whatever fails lifts the fence.
fn close_window(link: &mut LiveLink, args: &CutoverArgs, timer: &mut Timer<'_, '_>) -> Result<()> {
    let wait = args.lock_wait.map_or(LOCK_WAIT, Duration::from_secs);
    let version = timer.time_phase("fence", |_| raise_fence(&link.path, wait))?;
    let closed = follow_anew(link)
        .and_then(|()| carry_over(link, timer))
        .and_then(|()| check_fence(link, version))
        .and_then(|()| timer.time_phase("restore keys and triggers", |_| settle_target(link)));
    let Err(e) = closed else { return Ok(()) };
    Err(match lift_fence(&link.path, LOCK_WAIT) {
        Ok(()) => {
            log::warn!("the fence is lifted: the application goes on with SQLite");
            e
        }
        Err(lift) => {
            log::error!("{}", lift.chain());
            e.hint("the fence could not be lifted, and the file takes no writes: cutover --abort lifts it")
        }
    })
}

/// Behind the fence of a return to SQLite that was cut off, keys and triggers are in the target again, and so is the
/// fence of its own.
fn follow_anew(link: &mut LiveLink) -> Result<()> {
    match link.record.state == FENCED && link.state.proven.is_none() {
        true => link.begin_following(),
        false => Ok(()),
    }
}

/// The last changes and the tables that are copied again, in one transaction, then the comparison.
fn carry_over(link: &mut LiveLink, timer: &mut Timer<'_, '_>) -> Result<()> {
    let range = timer.time_phase("last changes", |timer| {
        link.with_snapshot(|link| {
            link.apply_here()?;
            let recopied = state::read_recopied(&mut link.client, &link.plan.schema)?;
            for table in recopied.iter().filter(|t| t.changed) {
                timer.time_phase("copy a table again", |_| link.recopy_table(&table.source))?;
            }
            let range = LogRange { after: link.state.proven.unwrap_or(0), upto: newest_entry(&link.reader)? };
            Ok(link.state.proven.is_some().then_some(range))
        })
    })?;
    let plan = plan_to_compare(&link.plan, &link.reader)?;
    set_numbers(&mut link.client, &plan)?;
    let filters = match range {
        Some(range) => {
            let LiveLink { client, plan, record, rejects, path, reader, .. } = link;
            let changes = LoggedChanges { plan, tables: &record.tables, path, rejects };
            filter_touched(&changes, reader, client, range)?
        }
        None => BTreeMap::new(),
    };
    let plan = match range {
        Some(_) => touched_plan(link, plan, &filters)?,
        None => plan,
    };
    let proof = timer.time_phase("compare", |_| {
        let mut readers = open_readers(link)?;
        verify::prove_rows(&plan, &mut readers, &link.to, &filters)
    })?;
    let LiveLink { client, plan, record, rejects, path, .. } = link;
    drop_touched(client, &LoggedChanges { plan, tables: &record.tables, path, rejects })?;
    check_proof(&proof, "the copy differs")
}

/// Of the plan the tables that changed since everything was compared.
fn touched_plan(
    link: &mut LiveLink,
    mut plan: crate::model::Plan,
    filters: &BTreeMap<String, verify::RowFilter>,
) -> Result<crate::model::Plan> {
    let recopied = state::read_recopied(&mut link.client, &plan.schema)?;
    let is_changed = |name: &str| recopied.iter().any(|r| r.changed && r.source == name);
    plan.tables.retain(|t| filters.contains_key(&t.source) || is_changed(&t.source));
    Ok(plan)
}

/// Several readers of the fenced file: nothing is committed between their beginnings.
fn open_readers(link: &LiveLink) -> Result<Vec<rusqlite::Connection>> {
    let open = |_| {
        let reader = file::open_reader(&link.path)?;
        file::begin_snapshot(&reader, &link.path)?;
        Ok(reader)
    };
    (0..machine::cores().clamp(1, 4)).map(open).collect()
}

/// That nobody changed the schema behind the fence: triggers do not see CREATE, DROP and ALTER.
fn check_fence(link: &mut LiveLink, version: i64) -> Result<()> {
    match schema_version(&link.reader)? == version {
        true => link.check_schema(),
        false => Err(Error::new(Kind::Findings, "the application changed its schema behind the fence")
            .hint("stop the application before the cutover: --stop-command")),
    }
}

/// What was away comes back, and what the application writes from now on is logged for the way back.
fn settle_target(link: &mut LiveLink) -> Result<()> {
    let proven = LiveState { phase: LivePhase::Proven, ..link.state.clone() };
    let LiveLink { client, plan, record, .. } = link;
    session::in_transaction(
        client,
        || "end the window in the target".into(),
        |client| {
            constraints::put_back(client, &plan.schema)?;
            install_log(client, plan, &reverse_tables(plan, &record.tables))?;
            state::write_state(client, &plan.schema, &proven)
        },
    )?;
    link.state = proven;
    Ok(())
}

/// Runs the switch command and the probe. When they fail and nothing was written to PostgreSQL yet, the application
/// goes back to SQLite by itself.
fn switch_over(link: &mut LiveLink, args: &CutoverArgs, timer: &mut Timer<'_, '_>) -> Result<()> {
    let switched = timer.time_phase("switch", |_| {
        args.switch_command.iter().try_for_each(|command| run_command("switch", command))?;
        let patience = Duration::from_secs(args.probe_wait);
        args.probe.iter().try_for_each(|command| await_probe(command, patience))
    });
    if let Err(e) = switched {
        return Err(match return_to_sqlite(link) {
            Ok(true) => e.hint("nothing was written to PostgreSQL, and the SQLite file takes writes again"),
            Ok(false) => e.hint(
                "rows were written to PostgreSQL already, so nothing is taken back: correct the command and run cutover again",
            ),
            Err(back) => {
                log::error!("{}", back.chain());
                e.hint("run cutover again, or cutover --abort: the SQLite file still takes no writes")
            }
        });
    }
    let state = LiveState { phase: LivePhase::Switched, ..link.state.clone() };
    state::write_state(&mut link.client, &link.plan.schema, &state)?;
    link.state = state;
    Ok(())
}

/// Back to SQLite, unless rows were written to PostgreSQL: then it is false, and nothing is done.
fn return_to_sqlite(link: &mut LiveLink) -> Result<bool> {
    let following = LiveState { phase: LivePhase::Following, proven: None, ..link.state.clone() };
    let LiveLink { client, plan, record, .. } = link;
    // The target first: a file that takes writes while the copy counts as proven would lose them at the next run.
    let returned = session::in_transaction(
        client,
        || "return to SQLite".into(),
        |client| {
            let tables = reverse_tables(plan, &record.tables);
            // The fence waits for every transaction that writes there and is not committed yet; only then the log tells
            // whether there was one, if each statement sees what is committed by then. It stays up, for a part of the
            // application may have been switched, until the copy follows the file again.
            let isolation = "set transaction isolation level read committed";
            client.batch_execute(isolation).doing(|| "return to SQLite".into())?;
            put_target_fence(client, plan, &tables, LOCK_WAIT.as_secs())?;
            if has_entries(client, &plan.schema)? {
                drop_fence(client, &plan.schema)?;
                return Ok(false);
            }
            remove_log(client, plan, &tables)?;
            state::write_state(client, &plan.schema, &following)?;
            Ok(true)
        },
    )?;
    if returned {
        link.state = following;
        lift_fence(&link.path, LOCK_WAIT)?;
    }
    Ok(returned)
}

/// Back to SQLite, as long as nothing was written to PostgreSQL.
fn abort_cutover(link: &mut LiveLink) -> Result<()> {
    let phase = link.state.phase;
    match phase {
        LivePhase::Following => lift_fence(&link.path, LOCK_WAIT),
        LivePhase::Proven | LivePhase::Switched if return_to_sqlite(link)? => Ok(()),
        LivePhase::FellBack if link.record.state != FENCED => Ok(()),
        LivePhase::FellBack => Err(Error::usage("a fallback ended in the middle").hint("run fallback again")),
        _ => Err(Error::usage("rows were written to PostgreSQL since the cutover, and would be lost")
            .hint("`sqlite-to-pg fallback` takes them along")),
    }
}

/// The point of no return: everything of ours leaves both sides. The fence stays, for the file is
/// no longer what counts; `capture --stop` takes it away too.
fn finish_cutover(link: &mut LiveLink) -> Result<()> {
    if link.state.phase != LivePhase::Switched {
        return Err(Error::usage(format!("the cutover is not over: it is {}", link.state.phase.name()))
            .hint("`sqlite-to-pg status` says how far it is"));
    }
    // The file first: killed in between, this is run again, for the target still knows of the cutover.
    set_finished(&link.path)?;
    let LiveLink { client, plan, record, .. } = link;
    session::in_transaction(
        client,
        || "end the cutover".into(),
        |client| {
            // Of a fallback that was killed: nothing takes it away later.
            drop_fence(client, &plan.schema)?;
            remove_log(client, plan, &reverse_tables(plan, &record.tables))?;
            state::forget_cutover(client, &plan.schema)
        },
    )
}
