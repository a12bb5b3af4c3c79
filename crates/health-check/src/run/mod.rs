//! `run`: everything is checked at once, judged after the runs before, and told the worst first.

mod gather;
mod plan;
mod record;
mod state;

use crate::cli::RunArgs;
use crate::machine::Machine;
use crate::machine::mounts::Mount;
use crate::machine::rates::Counters;
use crate::reading::{Facts, Reading};
use crate::rules;
use crate::settings::{Settings, read_settings};
use gather::run_tasks;
use jiff::Timestamp;
use plan::{Ground, Plan, name_paths};
use record::HealthRecord;
use state::HealthState;
use std::sync::Arc;
use toban_core::check::{AcceptList, Totals};
use toban_core::config::Config;
use toban_core::machine::host_name;
use toban_core::run::{self as jobs, Report};
use toban_core::{Error, Out, Result, Severity, shutdown};

/// Runs the verb.
pub(crate) fn run_checks(args: &RunArgs, config: &Config, out: &mut Out<'_>) -> Result<()> {
    let machine = Machine::at_root(&args.root);
    let mounts =
        machine.read_text("/proc/self/mountinfo").map(|text| Mount::parse_all(&text)).unwrap_or_default();
    // Before anything else: our own start would be in a window of two seconds.
    let counters = Counters::read_now(&machine, &mounts);
    let settings = read_settings(config)?;
    let accepted =
        AcceptList::new(config, "health-check", rules::RULES, args.at.now())?.of_part(args.is_part());
    let mut run = HealthRun { args, config, accepted, settings };
    if args.monitoring.monitoring {
        let records = run.judge_all(machine, mounts, counters)?;
        return count_records(&records).write_plugin_line(out);
    }
    jobs::job(config, "health-check", "run", &args.job, |report| {
        let records = run.judge_all(machine, mounts, counters)?;
        tell_records(&records, report, out)
    })
}

/// One run.
struct HealthRun<'a> {
    args: &'a RunArgs,
    config: &'a Config,
    accepted: AcceptList,
    settings: Settings,
}

impl HealthRun<'_> {
    /// Every record, the worst first.
    fn judge_all(
        &mut self,
        machine: Machine,
        mounts: Vec<Mount>,
        counters: Counters,
    ) -> Result<Vec<HealthRecord>> {
        let now = self.args.at.now();
        let mut state = match self.args.no_state {
            true => HealthState::forgotten(),
            false => HealthState::open(&self.args.job),
        };
        let last = state.last_counters();
        let rebooted = last.as_ref().is_some_and(|last| last.is_before_boot(&counters));
        let ground = Ground {
            named: name_paths(self.config, &self.settings),
            machine,
            mounts,
            settings: self.settings.clone(),
            before: state.facts(),
            counters: counters.clone(),
            last,
            now: now.as_millisecond() as f64 / 1000.0,
        };
        let tasks = Plan::make_tasks(Arc::new(ground), self.args, self.config)?;
        let seen = run_tasks(tasks);
        shutdown::check()?;
        let mut readings: Vec<Reading> = seen.iter().flat_map(|checked| checked.readings.clone()).collect();
        if rebooted {
            readings.push(Reading::of_state(
                &rules::REBOOTED,
                Severity::Ok,
                "started anew since the last run",
            ));
        }
        let records = self.tell_readings(readings, &mut state, now);
        let facts: Facts = seen.into_iter().flat_map(|checked| checked.facts).collect();
        state.save(counters, facts, now);
        Ok(records)
    }

    fn tell_readings(
        &mut self,
        readings: Vec<Reading>,
        state: &mut HealthState,
        now: Timestamp,
    ) -> Vec<HealthRecord> {
        let host = host_name();
        let tell = |reading: Reading| {
            let told = state.tell_reading(&reading, now);
            HealthRecord::new(reading, &told, &host)
        };
        let mut records: Vec<HealthRecord> = readings.into_iter().map(tell).collect();
        records.iter_mut().for_each(|record| self.accepted.apply(&mut record.finding));
        let left = self.accepted.leftovers().into_iter();
        records.extend(left.map(|finding| HealthRecord::of_finding(finding.in_source(&host))));
        records.sort_by_key(|record| record.finding.severity.rank());
        records
    }
}

fn count_records(records: &[HealthRecord]) -> Totals {
    let mut totals = Totals::default();
    records.iter().for_each(|record| totals.count(&record.finding));
    totals
}

fn tell_records(records: &[HealthRecord], report: &mut Report, out: &mut Out<'_>) -> Result<()> {
    records.iter().try_for_each(|record| out.emit(record))?;
    let totals = count_records(records);
    totals.report_to("health_check", report);
    records.iter().for_each(|record| record.add_metrics(report));
    // Nothing was judged, neither well nor bad: the next run may.
    if records.iter().all(|record| record.finding.severity == Severity::Unknown) {
        return Err(Error::retry("nothing could be judged").hint("the records say why of each"));
    }
    totals.end()
}
