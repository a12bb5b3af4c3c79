//! `check`: certificates of servers and files, judged, told, remembered.

mod change;
mod discover;
mod fleet;
mod graded;
mod pair;
mod plain;
mod redirects;
pub(crate) mod report;
mod served;
mod sources;
mod stored;

use crate::cli::{Check, Reach};
use crate::facts::{Cert, Moment};
use crate::finding::Finding;
use crate::judge::{Roots, Rules};
use crate::net::deadline::Deadline;
use crate::revocation::Lists;
use crate::settings;
use crate::store::pem;
use crate::target::{Endpoint, Target, What};
use crate::threshold::{Thresholds, left};
use change::Memory;
use pkix::PeerName;
use report::{Checked, Totals};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use rustls::sign::CertifiedKey;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use toban_core::config::Config;
use toban_core::progress::Progress;
use toban_core::{Context, Error, Kind, Out, Result, Secret, Severity, run as jobs};

/// How long a target may take where nothing is said.
const TIMEOUT: Duration = Duration::from_secs(10);

/// One target with all that its judgement needs.
pub(crate) struct Job<'a> {
    pub(crate) target: &'a Target,
    pub(crate) rules: Rules,
    pub(crate) roots: Arc<Roots>,
    /// The revocation lists of the target's files.
    pub(crate) lists: Arc<Lists>,
    pub(crate) at: Moment,
    /// How bad it is that a server cannot be reached.
    pub(crate) reach: Severity,
    identity: Option<Arc<CertifiedKey>>,
    own: Option<Cert>,
    password: Option<Secret>,
}

impl Job<'_> {
    /// What it may take.
    fn timeout(&self) -> Duration {
        self.target.wishes.timeout.map_or(TIMEOUT, |t| t.0)
    }

    /// When its time is over, begun now.
    pub(crate) fn deadline(&self) -> Deadline {
        Deadline::after(self.timeout())
    }

    pub(crate) fn password(&self) -> &str {
        self.password.as_ref().map_or("", Secret::reveal)
    }

    /// The target's text; of a pair the endpoint's.
    pub(crate) fn shown(&self, endpoint: &Endpoint) -> String {
        match &self.target.what {
            What::Pair(file, _) => format!("{file}={endpoint}"),
            _ => self.target.text.clone(),
        }
    }

    /// Our own client certificate's expiry.
    fn own_expiry(&self) -> Option<Finding> {
        let own = self.own.as_ref()?;
        let remaining = own.not_after.since(self.at);
        let says =
            format!("our client certificate {} expires {}", own.title(), left(remaining, own.not_after));
        match self.rules.thresholds.judge(own.life(), remaining) {
            Severity::Ok => None,
            severity => Some(Finding::new("client-certificate-expires", severity, says)),
        }
    }

    fn check(&self) -> Vec<Checked> {
        match &self.target.what {
            What::Served(endpoint) => served::check(self, endpoint),
            What::Discovered(endpoint) => self.discovered(endpoint),
            What::Stored(what) => stored::check(self, what).all,
            What::Pair(file, endpoints) => pair::check(self, file, endpoints),
        }
    }

    /// A port that speaks no TLS is no trouble: nobody said that it should.
    fn discovered(&self, endpoint: &Endpoint) -> Vec<Checked> {
        let mut all = served::check(self, endpoint);
        all.retain(|c| !c.chain.is_empty());
        all
    }
}

/// Runs the verb.
pub(crate) fn run(args: &Check, quiet: bool, config: &Config, out: &mut Out<'_>) -> Result<()> {
    let settings = settings::read(config)?;
    let targets = sources::targets(args, &settings)?;
    if args.monitoring.monitoring {
        let totals = whole(args, true, &targets, None)?;
        return totals.plugin(out);
    }
    jobs::job(config, "cert-checker", "check", &args.job, |report| {
        let totals = whole(args, quiet, &targets, Some(out))?;
        totals.tell(report);
        totals.verdict()
    })
}

fn whole(args: &Check, quiet: bool, targets: &[Target], mut out: Option<&mut Out<'_>>) -> Result<Totals> {
    let jobs = prepare(args, targets)?;
    let mut memory = Memory::open(&args.job);
    let mut totals = Totals::default();
    let progress = Progress::items("check", jobs.len() as u64, quiet);
    let one = |at: usize| {
        let checked = jobs[at].check();
        progress.add(1);
        checked
    };
    fleet::run(jobs.len(), fleet::most(args.jobs), one, |checked| {
        let mut checked = checked;
        memory.compare(&mut checked);
        for one in checked {
            totals.count(&one);
            out.as_mut().map_or(Ok(()), |out| out.emit(&one))?;
        }
        Ok(())
    })?;
    if let Err(e) = memory.save() {
        log::warn!("changes will not be told: {}", e.chain());
    }
    Ok(totals)
}

/// Everything that can be wrong with what was asked is said before the first connection.
fn prepare<'t>(args: &Check, targets: &'t [Target]) -> Result<Vec<Job<'t>>> {
    let mut stores: BTreeMap<(&[PathBuf], &[PathBuf]), Arc<Roots>> = BTreeMap::new();
    let mut lists: BTreeMap<&[PathBuf], Arc<Lists>> = BTreeMap::new();
    let mut jobs = Vec::with_capacity(targets.len());
    for target in targets {
        let wishes = &target.wishes;
        let key = (wishes.trust.as_slice(), wishes.ca.as_slice());
        let roots = match stores.get(&key) {
            Some(roots) => Arc::clone(roots),
            None => {
                let roots = Arc::new(roots(target)?);
                stores.insert(key, Arc::clone(&roots));
                roots
            }
        };
        // A list may have 50 MiB: it is read once, whoever looks into it.
        let load = || Arc::new(Lists::load(&wishes.crl));
        let lists = Arc::clone(lists.entry(wishes.crl.as_slice()).or_insert_with(load));
        jobs.push(Job { lists, ..job(args, target, roots)? });
    }
    Ok(jobs)
}

/// Without roots of the system, targets that need none can still be checked.
fn roots(target: &Target) -> Result<Roots> {
    let wishes = &target.wishes;
    match Roots::load(&wishes.trust, &wishes.ca) {
        Err(_) if wishes.any_issuer && wishes.trust.is_empty() && wishes.ca.is_empty() => {
            Ok(Roots::default())
        }
        loaded => loaded.map_err(|e| e.kind_as(Kind::Usage)),
    }
}

fn job<'t>(args: &Check, target: &'t Target, roots: Arc<Roots>) -> Result<Job<'t>> {
    let wishes = &target.wishes;
    named(target)?;
    pinned(target)?;
    let rules = Rules {
        thresholds: Thresholds::new(wishes.warning, wishes.critical)?,
        pins: wishes.pins(),
        any_issuer: wishes.any_issuer,
        self_signed: wishes.self_signed,
        policy: wishes.policy,
    };
    let identity = wishes.cert.as_deref().zip(wishes.key.as_deref());
    let identity = identity.map(|(cert, key)| identity_of(cert, key)).transpose()?;
    let own = identity.as_ref().and_then(|i| Cert::read(i.cert.first()?).ok());
    let password = Secret::find(wishes.password_file.as_deref(), "certs_p12_password", "TOBAN_P12_PASSWORD")?;
    let reach = match args.unreachable {
        Reach::Unknown => Severity::Unknown,
        Reach::Critical => Severity::Critical,
    };
    let lists = Arc::default();
    Ok(Job { target, rules, roots, lists, at: Moment::of(args.at.now()), reach, identity, own, password })
}

/// A name that cannot be asked for would never be missed.
fn named(target: &Target) -> Result<()> {
    let hosts: Vec<&str> = match &target.what {
        What::Served(endpoint) => vec![&endpoint.host],
        What::Pair(_, endpoints) => endpoints.iter().map(|e| e.host.as_str()).collect(),
        What::Stored(_) | What::Discovered(_) => Vec::new(),
    };
    let names = [target.wishes.name.as_deref(), target.wishes.sni.as_deref()];
    let bad =
        hosts.into_iter().chain(names.into_iter().flatten()).find_map(|n| PeerName::parse_host(n).err());
    bad.map_or(Ok(()), |why| Err(Error::usage(format!("target {:?}: {why}", target.text))))
}

/// A pin that nothing can fit would be told as a mismatch for ever.
fn pinned(target: &Target) -> Result<()> {
    let digest = |pin: &String| pin.len() == 64 && pin.bytes().all(|b| b.is_ascii_hexdigit());
    let bad = target.wishes.pins().into_iter().find(|pin| !digest(pin));
    bad.map_or(Ok(()), |pin| {
        Err(Error::usage(format!("target {:?}: the pin {pin:?} is no SHA-256", target.text))
            .hint("64 hexadecimal digits, with or without colons: --json shows those of certificate and key"))
    })
}

fn identity_of(cert: &Path, key: &Path) -> Result<Arc<CertifiedKey>> {
    let bytes = std::fs::read(cert).doing(|| format!("read {}", cert.display()))?;
    let blocks = pem::blocks(&bytes).into_iter().filter(pem::Block::is_certificate);
    let chain: Vec<CertificateDer<'static>> =
        blocks.filter_map(|b| b.der.ok()).map(CertificateDer::from).collect();
    if chain.is_empty() {
        return Err(Error::usage(format!("no certificate in {}", cert.display())));
    }
    let secret =
        PrivateKeyDer::from_pem_file(key).doing(|| format!("read the private key {}", key.display()))?;
    let made = CertifiedKey::from_der(chain, secret, &toban_core::pg::tls::provider());
    made.map(Arc::new)
        .doing(|| format!("use {} with {}", cert.display(), key.display()))
        .map_err(|e| e.kind_as(Kind::Usage))
}
