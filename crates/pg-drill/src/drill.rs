//! The order of a drill: restore, inspect, start, recover, check, compare, measure, prove, clear.

use crate::PURPOSE;
use crate::chart::format_seconds;
use crate::cli::{DrillArgs, Target};
use crate::comparison::compare_servers;
use crate::findings::{DrillFindings, found, name};
use crate::live_server::{self, LiveServer};
use crate::objectives::Objectives;
use crate::plan::DrillPlan;
use crate::proof::{self, Phase, Proof, ProofCheck};
use crate::recovered::{self, RecoveredServer};
use crate::repository::{self, RecordedSystem};
use crate::rulebook;
use crate::{checks, integrity, report, restore};
use std::path::Path;
use std::time::Instant;
use toban_core::check::{AcceptList, Finding, Totals};
use toban_core::durable::state_dir;
use toban_core::private_server::conf::{self, RecoverySettings, ServerOptions};
use toban_core::private_server::{PrivateServer, Programs, Runner, Scratch, control, sandbox};
use toban_core::run::{self, Report};
use toban_core::systemd;
use toban_core::{Kind, Out, Result, Severity};

/// Makes a drill as a job.
///
/// # Errors
/// Findings when it failed; the other kinds when it could not be made.
pub(crate) fn run_drill(args: &DrillArgs, out: &mut Out<'_>) -> Result<()> {
    let config = args.common.config()?;
    let plan = DrillPlan::make(args, &config)?;
    if args.dry.dry_run {
        return plan.emit_steps(out);
    }
    let accepted = AcceptList::new(&config, "pg-drill", rulebook::RULES, jiff::Timestamp::now())?;
    let monitoring = args.monitoring.monitoring;
    let drill = |report: &mut Report| {
        let scratch = Scratch::open(&PURPOSE, &plan.work, plan.user.as_ref(), plan.keep)?;
        let runner = scratch.runner(plan.user.as_ref(), Instant::now() + plan.timeout);
        let mut drill = Drill {
            plan: &plan,
            scratch: &scratch,
            runner: &runner,
            findings: DrillFindings::default(),
            proof: Proof::new(&plan.cluster, &plan.command),
            begun: Instant::now(),
        };
        drill.restore_and_check()?;
        drill.findings.accept(&plan.cluster, accepted);
        drill.conclude(report, monitoring, out)
    };
    // A plugin's answer goes to its monitoring system, and to nobody else.
    match monitoring {
        true => drill(&mut Report::default()),
        false => run::job(&config, "pg-drill", "run", &plan.cluster, drill),
    }
}

/// A drill in progress.
struct Drill<'a> {
    plan: &'a DrillPlan,
    scratch: &'a Scratch,
    runner: &'a Runner,
    findings: DrillFindings,
    proof: Proof,
    begun: Instant,
}

impl Drill<'_> {
    /// Everything up to the verdict. A finding ends the steps that build on it, not the drill.
    fn restore_and_check(&mut self) -> Result<()> {
        match self.plan.into {
            Target::Directory => self.drill_directory(),
            Target::Server => self.drill_dump(),
        }?;
        if self.findings.compared == 0 && self.findings.all_passed() {
            self.findings.failed(&rulebook::NOTHING_COMPARED, "nothing was compared, so nothing is proven");
        }
        Ok(())
    }

    fn drill_directory(&mut self) -> Result<()> {
        // The live server and the repositories are asked before the restore: what comes later, no drill can find missing.
        let live = self.query_live_server();
        let recorded = repository::read_repositories(&self.plan.repos, &self.plan.cluster)?;
        let restored = self.phase("restore", |drill| drill.restore_backup(&recorded));
        if self.findings.step(&rulebook::RESTORE, restored)?.is_none() {
            return Ok(());
        }
        let role = self.plan.role.clone().or_else(|| live.as_ref().map(|l| l.superuser.clone()));
        let up = self.phase("recover", |drill| drill.start_server(role.as_deref().unwrap_or("postgres")));
        let up = self.in_time(up);
        let Some(mut up) = self.findings.step(&rulebook::RECOVERY, up)? else { return Ok(()) };
        self.proof.recovery_seconds = Some(self.proof.phases.iter().map(|p| p.seconds).sum());
        self.record_recovery(&up);
        let judged = self.phase("check", |drill| drill.check_server(&mut up, live.as_ref(), &recorded));
        let judged = self.in_time(judged).and_then(|()| up.server.check_running());
        self.findings.step(&rulebook::CHECK, judged)?;
        self.objectives().judge_time();
        self.objectives().judge_point(live.as_ref(), &up.recovered);
        // pg_checksums reads the files of a server that was shut down cleanly, and of no other.
        let stopped = self.phase("stop", |_| up.server.stop());
        if self.findings.step(&rulebook::STOP, stopped)?.is_some() && up.control.checksums {
            let runner = self.runner;
            self.phase("checksums", |d| integrity::run_checksums(runner, &up.programs, &mut d.findings))?;
        }
        Ok(())
    }

    fn drill_dump(&mut self) -> Result<()> {
        let (programs, mut server) = restore::start_empty_server(self.plan, self.scratch, self.runner)?;
        self.proof.major = Some(programs.major);
        let restored = self.phase("restore", |d| restore::run_command(d.plan, d.runner));
        if self.findings.step(&rulebook::RESTORE, restored)?.is_none() {
            return Ok(());
        }
        self.proof.recovery_seconds = Some(self.proof.phases.iter().map(|p| p.seconds).sum());
        self.findings.passed(&rulebook::RESTORE, "the command ended well");
        let judged = self.phase("check", |drill| {
            let runner = drill.runner;
            if drill.plan.amcheck {
                integrity::run_amcheck(runner, &programs, &server, &mut drill.findings)?;
            }
            checks::run_checks(&drill.plan.queries, &mut drill.findings, |db| server.connect(db))
        });
        let judged = self.in_time(judged).and_then(|()| server.check_running());
        self.findings.step(&rulebook::CHECK, judged)?;
        self.objectives().judge_time();
        Ok(())
    }

    /// The live server at the drill's begin; that it cannot be asked is a finding.
    fn query_live_server(&mut self) -> Option<LiveServer> {
        match live_server::query_live_server(self.plan.live.as_deref()?) {
            Ok(live) => Some(live),
            Err(e) => {
                self.findings.unknown(&rulebook::LIVE_SERVER, e.chain());
                None
            }
        }
    }

    fn restore_backup(&mut self, recorded: &[RecordedSystem]) -> Result<()> {
        if self.plan.ours
            && let Some(e) = repository::no_backup(recorded, &self.plan.repos)
        {
            return Err(e);
        }
        restore::run_command(self.plan, self.runner)
    }

    /// From a restored data directory to a promoted server.
    fn start_server(&mut self, role: &str) -> Result<RecoveredServer> {
        let data = self.scratch.path("data");
        let major = sandbox::read_major(&data)?;
        self.proof.major = Some(major);
        let programs = Programs::find(major, self.plan.bin_dir.as_deref())?;
        let control = control::read_control(self.runner.command(programs.path("pg_controldata")), &data)?;
        self.proof.system_identifier = Some(control.system.to_string());
        let mut inspected = sandbox::inspect(self.runner, &data)?;
        (self.proof.files, self.proof.bytes) = (inspected.files, inspected.bytes);
        self.proof.backup_manifest_sha256 = inspected.backup_manifest_sha256.clone();
        conf::write_files(self.scratch, "", self.runner)?;
        let empty = self.scratch.path("postgresql.conf");
        let (mut recovery, refused) =
            RecoverySettings::read(self.runner, &programs.path("postgres"), &data, &empty)?;
        if let Some(refused) = refused {
            self.findings.failed(
                &rulebook::CONFIGURATION,
                format!("no server starts with what was restored: {refused}"),
            );
        }
        // Before the server's first start: what is not disarmed now takes effect.
        sandbox::disarm(self.runner, &data, &mut inspected, &mut recovery)?;
        let options = ServerOptions {
            purpose: &PURPOSE,
            major,
            preload: &self.plan.preload,
            in_place_tablespaces: inspected.in_place_tablespaces,
            recovery: Some(&recovery),
            pauses: false,
            more: &[],
        };
        let text = conf::postgresql_conf(Some(&control), &self.scratch.dir, &options);
        conf::write_files(self.scratch, &text, self.runner)?;
        systemd::show_status("recovering");
        let mut server = PrivateServer::start(self.runner, &programs, role)?;
        let mut client = server.wait_until_recovered()?;
        let recovered = recovered::read_recovered(&mut client, &control, &data)?;
        let to_the_end = recovery.goes_to_the_end();
        Ok(RecoveredServer { programs, server, control, inspected, recovered, to_the_end })
    }

    fn record_recovery(&mut self, up: &RecoveredServer) {
        let proof = &mut self.proof;
        proof.timeline = Some(up.recovered.timeline);
        proof.reached_lsn = Some(up.recovered.lsn);
        proof.recovery_point = up.recovered.point;
        let text = format!("to {} on timeline {}, then promoted", up.recovered.lsn, up.recovered.timeline);
        self.findings.passed(&rulebook::RECOVERY, text);
    }

    fn check_server(
        &mut self,
        up: &mut RecoveredServer,
        live: Option<&LiveServer>,
        recorded: &[RecordedSystem],
    ) -> Result<()> {
        integrity::disable_event_triggers(&up.server)?;
        let backup = repository::compare_with_recorded(recorded, up, &mut self.findings);
        self.proof.recovery_point = self.proof.recovery_point.max(backup.as_ref().map(|b| b.finished));
        up.recovered.point = self.proof.recovery_point;
        let able = |name: &&String| backup.as_ref().is_some_and(|b| b.recipients.contains(name));
        self.proof.opened_by = self.plan.identities.iter().filter(able).cloned().collect();
        self.proof.backup = backup.map(|b| b.id);
        if self.plan.amcheck {
            systemd::show_status("pg_amcheck");
            integrity::run_amcheck(self.runner, &up.programs, &up.server, &mut self.findings)?;
        }
        checks::run_checks(&self.plan.queries, &mut self.findings, |db| up.server.connect(db))?;
        systemd::show_status("comparing");
        let Some(live) = live else { return Ok(()) };
        if live.system != up.control.system {
            let text =
                format!("system {} was restored; the live server is {}", up.control.system, live.system);
            self.findings.failed(&rulebook::SYSTEM, text);
            return Ok(());
        }
        match compare_servers(live, up, self.plan.count_up_to, &mut self.findings) {
            Err(e) if e.kind() != Kind::Findings => {
                toban_core::shutdown::check()?;
                self.findings.unknown(&rulebook::LIVE_SERVER, e.chain());
                Ok(())
            }
            done => done,
        }
    }

    fn objectives(&mut self) -> Objectives<'_> {
        Objectives { plan: self.plan, proof: &mut self.proof, findings: &mut self.findings }
    }

    /// Does a part of the drill and measures it.
    fn phase<T>(&mut self, name: &str, part: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        systemd::show_status(name);
        log::info!("{name}");
        let clock = Instant::now();
        let done = part(self);
        self.proof.phases.push(Phase { name: name.into(), seconds: clock.elapsed().as_secs_f64() });
        done
    }

    /// When the drill's time is over its server is ended, and whatever was asked of it fails for that.
    fn in_time<T>(&self, done: Result<T>) -> Result<T> {
        match done {
            Err(e) if Instant::now() > self.runner.end && e.kind() != Kind::Findings => {
                toban_core::shutdown::check()?;
                Err(found("it did not end within --timeout"))
            }
            done => done,
        }
    }

    /// Proof, report, records, verdict.
    fn conclude(&mut self, job: &mut Report, monitoring: bool, out: &mut Out<'_>) -> Result<()> {
        toban_core::shutdown::check()?;
        self.proof.passed = self.findings.all_passed();
        self.proof.checks = self.findings.all.iter().map(ProofCheck::from).collect();
        self.proof.finished = jiff::Timestamp::now();
        let folder = state_dir().join("drill").join(&self.plan.cluster).join("proofs");
        // Signed once, and the same bytes go to every place: two signatures of one proof would be two proofs to
        // whoever compares.
        let signed = self.proof.sign(self.plan.signer.as_ref())?;
        let proof = self.proof.write_into(&folder, &signed)?;
        let page = self.plan.report.clone().unwrap_or_else(|| folder.join(self.proof.file_name("html")));
        report::write_report(&page, &self.proof, &proof::read_drills(&folder))?;
        // The verdict is in the proof's name, and an object is never rewritten: nothing may be found after this.
        let stored = self.proof.store_in(&self.plan.repos, &signed);
        self.write_gauges(job);
        self.log_places(&proof, &page);
        if let Err(e) = &stored {
            log::warn!("{}", e.chain());
        }
        if monitoring {
            let unstored = stored
                .err()
                .map(|e| Finding::new(&rulebook::PROOF_NOT_STORED, Severity::Warning).says(e.chain()));
            let mut totals = Totals::default();
            self.findings.all.iter().chain(&unstored).for_each(|f| totals.count(f));
            return totals.write_plugin_line(out);
        }
        let mut totals = Totals::default();
        for finding in &self.findings.all {
            totals.count(finding);
            job.note(format!("{} {}: {}", finding.severity, name(finding), finding.full_text()));
            out.emit(finding)?;
        }
        totals.add_metrics("pg_drill", job);
        self.findings.end()?;
        stored.map_err(proof::not_stored)
    }

    fn log_places(&self, proof: &Path, page: &Path) {
        log::info!(
            "{} in all; proof {}, report {}",
            format_seconds(self.begun.elapsed().as_secs_f64()),
            proof.display(),
            page.display()
        );
        if self.plan.repos.is_empty() || self.proof.system_identifier.is_none() {
            log::info!("no repository has the proof: none is named, or a dump has no system in it");
        }
    }

    fn write_gauges(&self, job: &mut Report) {
        let labels = [("cluster", self.plan.cluster.as_str())];
        let mut gauge = |name: &str, help: &str, value: Option<f64>| {
            if let Some(value) = value {
                job.gauge(name, help, &labels, value);
            }
        };
        gauge(
            "drill_last_rto_seconds",
            "Seconds from the begin of the restore to the first answer in the last drill.",
            self.proof.recovery_seconds,
        );
        gauge(
            "drill_last_rpo_seconds",
            "Seconds of work that would have been lost when the last drill began, at most.",
            self.proof.loss_seconds,
        );
        gauge(
            "drill_last_passed",
            "Whether the last drill passed.",
            Some(f64::from(u8::from(self.proof.passed))),
        );
        gauge("drill_bytes", "Bytes that the last drill restored.", Some(self.proof.bytes as f64));
    }
}
