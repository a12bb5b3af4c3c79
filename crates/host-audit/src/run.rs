//! `run`: one look, compared with what was accepted; what is new first.

use crate::baseline::HostBaseline;
use crate::cli::{self, Lang};
use crate::delta::compare_report;
use crate::fact::SubjectReport;
use crate::finding::HostFinding;
use crate::host::HostView;
use crate::japanese;
use crate::memory::LastLook;
use crate::observe::{LookOptions, look_at_host};
use crate::pack::{HostPack, PackFacts};
use crate::rules;
use crate::settings::{HostSettings, read_settings};
use crate::state::HostState;
use crate::subject::HostSubject;
use jiff::Timestamp;
use toban_core::check::{AcceptList, Finding, Totals};
use toban_core::config::Config;
use toban_core::{Error, Out, Result, Severity, evidence, run as jobs};

/// Runs the verb.
pub(crate) fn run_audit(args: &cli::Run, config: &Config, out: &mut Out<'_>) -> Result<()> {
    if args.monitoring.monitoring {
        return audit_host(args, config, None)?.write_plugin_line(out);
    }
    jobs::job(config, "host-audit", "run", "host", |report| {
        let totals = audit_host(args, config, Some(out))?;
        totals.report_to("host_audit", report);
        totals.end()
    })
}

fn audit_host(args: &cli::Run, config: &Config, out: Option<&mut Out<'_>>) -> Result<Totals> {
    let settings = read_settings(config)?;
    let now = args.at.now();
    let signer = match (&args.pack, &args.sign.sign_key) {
        (Some(_), _) => args.sign.find_signer(config, "host-audit")?,
        (None, None) => None,
        (None, Some(_)) => {
            return Err(Error::usage("--sign-key signs a pack, and none is written").hint("give --pack DIR"));
        }
    };
    let accepted = AcceptList::new(config, "host-audit", rules::all_rules(), now)?;
    let state = HostState::open(&args.place)?;
    let host = HostView::new(&args.place.root);
    let options = look_options(args, &settings, now);
    let pack = args.pack.as_deref().map(|dir| HostPack::begin(dir, now)).transpose()?;
    let reports = look_at_host(&host, &options);
    // One that cannot be read is a new beginning: since when is then not known, and that is all.
    let before = LastLook::load(&state.dir).unwrap_or_else(|e| {
        log::warn!("{}; since when things are so is not known", e.chain());
        None
    });
    let before =
        before.filter(|b| b.machine == state.machine).unwrap_or_else(|| LastLook::empty(&state.machine, now));
    let run = before.follow(&reports, now);
    let findings = judge_findings(&reports, &state, &run, accepted.of_part(options.is_part()));
    let findings: Vec<HostFinding> = findings.into_iter().map(|f| translate_finding(f, args.lang)).collect();
    let mut totals = Totals::default();
    findings.iter().for_each(|f| totals.count(&f.base));
    if let Some(out) = out {
        findings.iter().try_for_each(|f| out.emit(f))?;
    }
    run.save(&state.dir)?;
    if let Some(pack) = pack {
        let raw = host.take_raw();
        let facts =
            PackFacts { run: &run, findings: &findings, raw: &raw, host: &state.name, lang: args.lang };
        let made = pack.close_pack(&facts, signer.as_ref())?;
        evidence::remember_pack(&state.dir, &made)?;
        log::info!("{}: SHA-256 of its manifest {}", made.pack, made.sha256);
    }
    Ok(totals)
}

fn look_options(args: &cli::Run, settings: &HostSettings, now: Timestamp) -> LookOptions {
    let subjects = if args.subjects.is_empty() { HostSubject::ALL.to_vec() } else { args.subjects.clone() };
    LookOptions {
        subjects,
        deep: args.deep,
        sshd_configs: [&args.sshd_config[..], &settings.sshd_configs].concat(),
        closed: [&args.closed[..], &settings.closed].concat(),
        now,
    }
}

impl LookOptions {
    /// Whether less is looked at than entries of `[[accept]]` may be about.
    fn is_part(&self) -> bool {
        self.subjects.len() < HostSubject::ALL.len()
    }
}

/// Everything that is told, in order: what changed, then what is wrong, then what was looked at.
fn judge_findings(
    reports: &[SubjectReport],
    state: &HostState,
    run: &LastLook,
    accepted: AcceptList,
) -> Vec<HostFinding> {
    let (baseline, trouble) = match HostBaseline::load(&state.dir, &state.machine) {
        Ok(baseline) => (baseline, None),
        Err(e) => (None, Some(e)),
    };
    let is_first = baseline.is_none();
    let baseline = baseline.unwrap_or_else(|| HostBaseline::empty(&state.machine));
    let mut findings = vec![baseline_finding(&baseline, is_first, trouble.as_ref())];
    findings.extend(reports.iter().flat_map(|report| compare_report(report, &baseline, run)));
    let gaps = reports.iter().any(|r| !r.gaps.is_empty());
    let mut accepted = accepted.of_part(gaps);
    findings.iter_mut().for_each(|f| accepted.apply(&mut f.base));
    findings.extend(accepted.leftovers().into_iter().map(HostFinding::of_host));
    findings.sort_by_key(|f| {
        (!rules::is_change(f.base.rule), f.base.severity.rank(), f.subject, f.base.key.clone())
    });
    findings
}

/// What the run is compared with.
fn baseline_finding(baseline: &HostBaseline, is_first: bool, trouble: Option<&Error>) -> HostFinding {
    let finding = |severity| {
        HostFinding::of_host(Finding::new(&rules::BASELINE, severity).with_key("host").about("host"))
    };
    let newest = baseline.reviewed.values().max_by_key(|by| by.date);
    match (trouble, newest) {
        (Some(e), _) => finding(Severity::Unknown).says(format!("{}; what changed is not known", e.chain())),
        (None, Some(by)) => finding(Severity::Ok).since(Some(by.date)).says(format!(
            "compared with {} reviewed subjects, the last of them on {}",
            baseline.reviewed.len(),
            by.describe()
        )),
        (None, None) if is_first => {
            finding(Severity::Ok).says("nothing was accepted yet: nothing is compared")
        }
        (None, None) => finding(Severity::Ok).says("no subject was reviewed as a whole yet"),
    }
}

fn translate_finding(finding: HostFinding, lang: Lang) -> HostFinding {
    match lang {
        Lang::En => finding,
        Lang::Ja => japanese::translate_finding(finding),
    }
}
