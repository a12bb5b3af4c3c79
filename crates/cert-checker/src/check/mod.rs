//! `check`: certificates of servers and files, judged, reported, remembered.

mod changes;
mod graded;
mod pair;
mod redirects;
pub(crate) mod report;
mod served;
mod stored;
mod workers;

use crate::cli::{CheckArgs, Unreachable};
use crate::endpoint::Endpoint;
use crate::facts::{CertFacts, UnixSeconds};
use crate::files::pem;
use crate::judge::{Question, Roots};
use crate::net::connection::Deadline;
use crate::options::read_section;
use crate::revocation::{GivenLists, RevocationCheck};
use crate::rules;
use crate::target::{CheckTarget, TargetKind, gather_targets};
use crate::threshold::{Thresholds, format_remaining};
use changes::ChangeMemory;
use pkix::PeerName;
use report::{CertReport, RunTotals};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use rustls::sign::CertifiedKey;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use toban_core::check::{AcceptList, Finding};
use toban_core::config::Config;
use toban_core::progress::Progress;
use toban_core::{Context, Error, Kind, Out, Result, Secret, Severity, run as jobs};

/// How long a target may take by default.
const TIMEOUT: Duration = Duration::from_secs(10);

/// One target with all that its judgement needs.
pub(crate) struct TargetJob<'a> {
    pub(crate) target: &'a CheckTarget,
    thresholds: Thresholds,
    pub(crate) roots: Arc<Roots>,
    /// The revocation lists of the target's files.
    pub(crate) lists: Arc<GivenLists>,
    pub(crate) at: UnixSeconds,
    /// How bad it is that a server cannot be reached.
    unreachable: Severity,
    identity: Option<Arc<CertifiedKey>>,
    own: Option<CertFacts>,
    password: Option<Secret>,
}

impl TargetJob<'_> {
    /// What it may take.
    fn timeout(&self) -> Duration {
        self.target.options.timeout.map_or(TIMEOUT, |t| t.0)
    }

    /// When its time is over, begun now.
    fn deadline(&self) -> Deadline {
        Deadline::after(self.timeout())
    }

    fn password(&self) -> &str {
        self.password.as_ref().map_or("", Secret::reveal)
    }

    /// The target's text; of a pair the endpoint's.
    fn label_for(&self, endpoint: &Endpoint) -> String {
        match &self.target.kind {
            TargetKind::Pair(file, _) => format!("{file}={endpoint}"),
            _ => self.target.text.clone(),
        }
    }

    /// What a chain is judged by, for a client that asks for `name`.
    fn question<'q>(&'q self, name: Option<&'q PeerName>) -> Question<'q> {
        let options = &self.target.options;
        Question { options, thresholds: &self.thresholds, roots: &self.roots, at: self.at, name }
    }

    fn revocation_check(&self, deadline: Deadline) -> RevocationCheck<'_> {
        RevocationCheck { options: &self.target.options, lists: &self.lists, at: self.at, deadline }
    }

    /// Our own client certificate's expiry.
    fn own_expiry(&self) -> Option<Finding> {
        let own = self.own.as_ref()?;
        let remaining = own.not_after.since(self.at);
        let text = format!(
            "our client certificate {} expires {}",
            own.title(),
            format_remaining(remaining, own.not_after)
        );
        match self.thresholds.judge(own.lifetime(), remaining) {
            Severity::Ok => None,
            severity => Some(Finding::new(&rules::CLIENT_CERTIFICATE_EXPIRES, severity).says(text)),
        }
    }

    fn check_target(&self) -> Vec<CertReport> {
        match &self.target.kind {
            TargetKind::Served(endpoint) => served::check_endpoint(self, endpoint),
            TargetKind::Discovered(endpoint) => {
                // A port that speaks no TLS is no fault: no one named it as one that does.
                let mut all = served::check_endpoint(self, endpoint);
                all.retain(|report| !report.chain.is_empty());
                all
            }
            TargetKind::Stored(what) => stored::check_files(self, what).all,
            TargetKind::Pair(file, endpoints) => pair::check_pair(self, file, endpoints),
        }
    }
}

/// Runs the verb.
pub(crate) fn run_check(args: &CheckArgs, quiet: bool, config: &Config, out: &mut Out<'_>) -> Result<()> {
    let section = read_section(config)?;
    let targets = gather_targets(args, &section)?;
    let accepted = AcceptList::new(config, "cert-checker", rules::RULES, args.at.now())?;
    let accepted = accepted.of_part(args.names_targets());
    let run = CheckRun { args, targets: &targets, accepted };
    if args.monitoring.monitoring {
        return run.check_all(true, None)?.write_plugin_line(out);
    }
    jobs::job(config, "cert-checker", "check", &args.job, |report| {
        let totals = run.check_all(quiet, Some(out))?;
        totals.report_to(report);
        totals.end()
    })
}

/// What one run checks.
struct CheckRun<'a> {
    args: &'a CheckArgs,
    targets: &'a [CheckTarget],
    accepted: AcceptList,
}

impl CheckRun<'_> {
    fn check_all(mut self, quiet: bool, mut out: Option<&mut Out<'_>>) -> Result<RunTotals> {
        let jobs = prepare_jobs(self.args, self.targets)?;
        let mut memory = ChangeMemory::open(&self.args.job);
        let mut totals = RunTotals::default();
        let mut emit = |mut report: CertReport, accepted: &mut AcceptList| {
            report.accept(accepted);
            totals.count(&report);
            out.as_mut().map_or(Ok(()), |out| out.emit(&report))
        };
        let progress = Progress::items("check", jobs.len() as u64, quiet);
        let check_one = |at: usize| {
            let reports = jobs[at].check_target();
            progress.add(1);
            reports
        };
        let most = workers::most_at_once(self.args.jobs);
        workers::run_ordered(jobs.len(), most, check_one, |mut reports| {
            memory.compare(&mut reports);
            reports.into_iter().try_for_each(|report| emit(report, &mut self.accepted))
        })?;
        for finding in self.accepted.leftovers() {
            emit(CertReport::unseen(&finding.object.clone(), "configuration", finding), &mut self.accepted)?;
        }
        if let Err(e) = memory.save() {
            log::warn!("changes will not be reported: {}", e.chain());
        }
        Ok(totals)
    }
}

/// Everything that can be wrong with what was asked is an error before the first connection.
fn prepare_jobs<'t>(args: &CheckArgs, targets: &'t [CheckTarget]) -> Result<Vec<TargetJob<'t>>> {
    let mut stores: BTreeMap<(&[PathBuf], &[PathBuf]), Arc<Roots>> = BTreeMap::new();
    let mut lists: BTreeMap<&[PathBuf], Arc<GivenLists>> = BTreeMap::new();
    let mut jobs = Vec::with_capacity(targets.len());
    for target in targets {
        let options = &target.options;
        let key = (options.trust.as_slice(), options.ca.as_slice());
        let roots = match stores.get(&key) {
            Some(roots) => Arc::clone(roots),
            None => {
                let roots = Arc::new(load_roots(target)?);
                stores.insert(key, Arc::clone(&roots));
                roots
            }
        };
        // A list may have 50 MiB: it is read once, whoever looks into it.
        let load = || Arc::new(GivenLists::load(&options.crl));
        let lists = Arc::clone(lists.entry(options.crl.as_slice()).or_insert_with(load));
        jobs.push(TargetJob { lists, ..prepare_job(args, target, roots)? });
    }
    Ok(jobs)
}

/// Without roots of the system, targets that need none can still be checked.
fn load_roots(target: &CheckTarget) -> Result<Roots> {
    let options = &target.options;
    match Roots::load(&options.trust, &options.ca) {
        Err(_) if options.any_issuer && options.trust.is_empty() && options.ca.is_empty() => {
            Ok(Roots::default())
        }
        loaded => loaded.map_err(|e| e.kind_as(Kind::Usage)),
    }
}

fn prepare_job<'t>(args: &CheckArgs, target: &'t CheckTarget, roots: Arc<Roots>) -> Result<TargetJob<'t>> {
    let options = &target.options;
    let thresholds = Thresholds::new(options.warning, options.critical)?;
    let identity = options.cert.as_deref().zip(options.key.as_deref());
    let identity = identity.map(|(cert, key)| load_identity(cert, key)).transpose()?;
    let own = identity.as_ref().and_then(|i| CertFacts::read_der(i.cert.first()?).ok());
    let password =
        Secret::find(options.password_file.as_deref(), "certs_p12_password", "TOBAN_P12_PASSWORD")?;
    let unreachable = match args.unreachable {
        Unreachable::Unknown => Severity::Unknown,
        Unreachable::Critical => Severity::Critical,
    };
    let lists = Arc::default();
    Ok(TargetJob {
        target,
        thresholds,
        roots,
        lists,
        at: UnixSeconds::at(args.at.now()),
        unreachable,
        identity,
        own,
        password,
    })
}

fn load_identity(cert: &Path, key: &Path) -> Result<Arc<CertifiedKey>> {
    let bytes = std::fs::read(cert).doing(|| format!("read {}", cert.display()))?;
    let ders =
        pem::select_ders(&bytes, pem::Block::is_certificate).into_iter().filter_map(std::result::Result::ok);
    let chain: Vec<CertificateDer<'static>> = ders.map(CertificateDer::from).collect();
    if chain.is_empty() {
        return Err(Error::usage(format!("no certificate in {}", cert.display())));
    }
    let secret =
        PrivateKeyDer::from_pem_file(key).doing(|| format!("read the private key {}", key.display()))?;
    let made = CertifiedKey::from_der(chain, secret, &toban_core::tls::provider());
    made.map(Arc::new)
        .doing(|| format!("use {} with {}", cert.display(), key.display()))
        .map_err(|e| e.kind_as(Kind::Usage))
}
