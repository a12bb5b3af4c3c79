//! The verb `fallback`: the changes of PostgreSQL back into the file, and the application with them.

use super::back::{apply_back, set_numbers_back};
use super::capture::LOCK_WAIT;
use super::commands::{await_probe, run_command};
use super::fence::lift_fence;
use super::file;
use super::forecast::Timer;
use super::link::LiveLink;
use super::reverse_log::reverse_tables;
use super::state::{self, LivePhase, LiveState};
use super::target_fence::raise_target_fence;
use super::touched::{plan_to_compare, set_numbers};
use crate::live_args::FallbackArgs;
use crate::target::fence::drop_fence;
use crate::verify;
use migrate::session;
use std::time::{Duration, Instant};
use toban_core::{Error, Kind, Out, Result, machine, shutdown};

/// What one round may take before the application is stopped.
const SHORT: Duration = Duration::from_secs(1);
const ROUNDS: usize = 20;

/// Goes back, or with `--only-sync` keeps the file ready for it.
///
/// # Errors
/// Usage before the cutover and after the point of no return; Findings when the two sides differ: then the
/// application goes on with PostgreSQL; those of either side and of the commands.
pub(crate) fn run(args: &FallbackArgs, out: &mut Out<'_>) -> Result<()> {
    let mut link = LiveLink::open_sides(&args.sides)?;
    let mut timer = Timer::new(out);
    match link.state.phase {
        LivePhase::Switched => {}
        // Killed, or its command failed: what is left is done again, as a cutover's is.
        LivePhase::FellBack if !args.only_sync => {
            return end_fallback(&mut link, args, &mut timer);
        }
        phase => {
            return Err(Error::usage(format!("there is nothing to go back from: it is {}", phase.name()))
                .hint("`sqlite-to-pg status` says how far it is"));
        }
    }
    for _ in 0..ROUNDS {
        shutdown::check()?;
        let began = Instant::now();
        timer.time_phase("catch up", |_| apply_back(&mut link).map(drop))?;
        if began.elapsed() < SHORT {
            break;
        }
    }
    if args.only_sync {
        return Ok(());
    }
    if let Some(command) = &args.stop_command {
        timer.time_phase("stop command", |_| run_command("stop", command))?;
    }
    let tables = reverse_tables(&link.plan, &link.record.tables);
    timer.time_phase("fence", |_| {
        raise_target_fence(&mut link.client, &link.plan, &tables, LOCK_WAIT.as_secs())
    })?;
    if let Err(e) = carry_back(&mut link, &mut timer) {
        let LiveLink { client, plan, .. } = &mut link;
        session::in_transaction(
            client,
            || "let PostgreSQL take writes".into(),
            |client| drop_fence(client, &plan.schema),
        )?;
        log::warn!("the fence is lifted: the application goes on with PostgreSQL");
        return Err(e);
    }
    end_fallback(&mut link, args, &mut timer)
}

/// The last changes, and the comparison of everything.
fn carry_back(link: &mut LiveLink, timer: &mut Timer<'_, '_>) -> Result<()> {
    timer.time_phase("last changes", |_| {
        apply_back(link)?;
        set_numbers_back(link)
    })?;
    let plan = plan_to_compare(&link.plan, &link.reader)?;
    // The application may have given numbers of its own, past the sequences.
    set_numbers(&mut link.client, &plan)?;
    let proof = timer.time_phase("compare", |_| {
        let open = |_| {
            let reader = file::open_reader(&link.path)?;
            file::begin_snapshot(&reader, &link.path)?;
            Ok(reader)
        };
        let mut readers: Vec<_> = (0..machine::cores().clamp(1, 4)).map(open).collect::<Result<_>>()?;
        verify::prove_copy(&plan, &mut readers, &link.to, true)
    })?;
    proof.differences.iter().for_each(|difference| log::error!("{difference}"));
    match proof.total {
        0 => {
            // From here on the file counts; the fence of it is lifted next, also after a crash.
            set_phase(link, LivePhase::FellBack)
        }
        n => Err(Error::new(Kind::Findings, format!("the file differs from PostgreSQL in {n} places"))),
    }
}

fn end_fallback(link: &mut LiveLink, args: &FallbackArgs, timer: &mut Timer<'_, '_>) -> Result<()> {
    lift_fence(&link.path, LOCK_WAIT)?;
    timer.time_phase("switch", |_| {
        args.switch_command.iter().try_for_each(|command| run_command("switch", command))?;
        let patience = Duration::from_secs(args.probe_wait);
        args.probe.iter().try_for_each(|command| await_probe(command, patience))
    })
}

fn set_phase(link: &mut LiveLink, phase: LivePhase) -> Result<()> {
    let next = LiveState { phase, proven: None, ..link.state.clone() };
    let LiveLink { client, plan, .. } = link;
    session::in_transaction(
        client,
        || "write the state of the cutover".into(),
        |client| state::write_state(client, &plan.schema, &next),
    )?;
    link.state = next;
    Ok(())
}
