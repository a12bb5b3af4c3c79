//! One run over several databases: what fails in one does not hide the others.

use crate::cli::Scope;
use crate::ledger::{Baseline, Books, not_audited};
use crate::pack::Pack;
use crate::population::Before;
use crate::redact::Redactor;
use crate::review;
use crate::rulebook;
use crate::settings::Settings;
use crate::source::{AuditTarget, mark_passing};
use crate::totals::AuditTotals;
use std::path::{Path, PathBuf};
use toban_core::check::AcceptList;
use toban_core::config::Config;
use toban_core::pg::ConnInfo;
use toban_core::sign::Signer;
use toban_core::{Context, Error, Out, Result, durable, evidence, run as jobs, shutdown};

pub(crate) use crate::ledger::Ledger;

/// The databases that flags, else the configuration, else the environment name.
///
/// # Errors
/// Usage, also when two have the same name: their reviews would be one.
pub(crate) fn list_places(scope: &Scope, config: &Config, sqlite: bool) -> Result<Vec<AuditTarget>> {
    let given: Vec<Option<&str>> = scope.db.iter().map(|d| Some(d.as_str())).collect();
    let cluster = config.cluster.get(&scope.cluster);
    let places = match (given.is_empty(), cluster.and_then(|c| c.db.as_deref())) {
        (false, _) => given.into_iter().map(|db| parse_place(db, sqlite)).collect::<Result<Vec<_>>>()?,
        (true, db) => {
            let to = ConnInfo::resolve(db, "user-audit")?;
            // The connection string names one database to connect to; the section may name more of the same server to
            // audit.
            let names = cluster.map(|c| c.databases.clone()).unwrap_or_default();
            match names.is_empty() {
                true => vec![AuditTarget::Pg(Box::new(to))],
                false => names.iter().map(|n| AuditTarget::Pg(Box::new(to.with_dbname(n)))).collect(),
            }
        }
    };
    let mut names: Vec<String> = places.iter().map(AuditTarget::name).collect();
    names.sort();
    match names.windows(2).find(|w| w[0] == w[1]) {
        // A review is kept by the name: two databases with one name would be compared with each other's.
        Some(twice) => Err(Error::usage(format!("two databases are called {}", twice[0]))
            .hint("audit them in two runs, each with its --cluster")),
        None => Ok(places),
    }
}

fn parse_place(db: Option<&str>, sqlite: bool) -> Result<AuditTarget> {
    match db.and_then(|d| d.strip_prefix("sqlite:")) {
        Some(path) if sqlite => Ok(AuditTarget::Sqlite(path.into())),
        Some(_) => Err(Error::usage("a SQLite file has no roles")
            .hint("user-audit app --db sqlite:FILE audits its users")),
        None => Ok(AuditTarget::Pg(Box::new(ConnInfo::resolve(db, "user-audit")?))),
    }
}

/// The folder of accepted reviews.
pub(crate) fn reviews_dir(given: Option<&Path>) -> PathBuf {
    given.map_or_else(|| durable::state_dir().join("reviews"), Path::to_path_buf)
}

/// One run of a verb: which databases, by which rules.
pub(crate) struct Audit<'a> {
    pub(crate) verb: &'static str,
    pub(crate) scope: &'a Scope,
    pub(crate) config: &'a Config,
    pub(crate) settings: &'a Settings,
    pub(crate) places: Vec<AuditTarget>,
    /// By what it is judged, for the pack.
    pub(crate) parameters: serde_json::Value,
}

/// Audits one database into the ledger.
type AuditOne<'a> = dyn FnMut(&AuditTarget, &mut Ledger<'_>) -> Result<()> + 'a;

impl Audit<'_> {
    /// Audits each database by `audit_one`, tells everything to `out` and the pack, and judges the whole.
    ///
    /// # Errors
    /// Findings; what `audit_one` failed with, when nothing was audited at all.
    pub(crate) fn run(&self, out: &mut Out<'_>, audit_one: &mut AuditOne<'_>) -> Result<()> {
        if self.scope.monitoring.monitoring {
            return self.audit_all(None, audit_one)?.findings.write_plugin_line(out);
        }
        jobs::job(self.config, "user-audit", self.verb, &self.scope.cluster, |report| {
            let totals = self.audit_all(Some(out), audit_one)?;
            totals.findings.report_to("user_audit", report);
            totals.findings.end()
        })
    }

    /// What fails in one database is a finding, and the others are still audited.
    fn audit_all(&self, out: Option<&mut Out<'_>>, audit_one: &mut AuditOne<'_>) -> Result<AuditTotals> {
        let signer = self.find_signer()?;
        let mut books = self.open_books()?;
        let mut failed = Vec::new();
        for place in &self.places {
            shutdown::check()?;
            let source = format!("{}/{}", self.scope.cluster, place.name());
            let baseline = self.load_baseline(&source, &books.redactor);
            let mut ledger = books.open_ledger(source, baseline);
            if let Err(e) = audit_one(place, &mut ledger).map_err(mark_passing) {
                // UNKNOWN and not left out: a database that nobody could look at must not make a clean report.
                ledger.add(not_audited(&e))?;
                failed.push(e);
            }
            ledger.close()?;
        }
        if failed.len() == self.places.len() {
            return Err(failed.remove(0));
        }
        // An entry may be about a database that could not be audited: then nobody knows whether it fits anything.
        if failed.is_empty() {
            books.add_leftovers(&self.scope.cluster)?;
        }
        let parameters = books.redactor.redact_text(&self.parameters.to_string());
        let parameters = serde_json::from_str(&parameters).doing(|| "write the parameters".into())?;
        let (totals, pack) = books.close(&parameters, out)?;
        // Last, when nothing can fail any more but the publishing itself: a pack is evidence of a run that ended.
        pack.map_or(Ok(()), |pack| self.publish_pack(pack, signer.as_ref()))?;
        Ok(totals)
    }

    /// Who signs the pack, if one is written.
    fn find_signer(&self) -> Result<Option<Signer>> {
        match (&self.scope.pack, &self.scope.sign.sign_key) {
            (Some(_), _) => self.scope.sign.find_signer(self.config, "user-audit"),
            (None, None) => Ok(None),
            (None, Some(_)) => {
                Err(Error::usage("--sign-key signs a pack, and none is written").hint("give --pack DIR"))
            }
        }
    }

    fn open_books(&self) -> Result<Books> {
        let (verb, now) = (self.verb, self.scope.at.now());
        let redactor = Redactor::new(self.scope.redact)?;
        let accepted = AcceptList::new(self.config, "user-audit", rulebook::all_rules(), now)?;
        let dir = self.scope.pack.as_deref();
        let pack = dir.map(|dir| Pack::begin(dir, verb, now)).transpose()?;
        let accepted = accepted.only(|id| rulebook::is_of_verb(verb, id)).of_part(self.is_part());
        Ok(Books::new(redactor, accepted, pack))
    }

    /// Whether the configuration has more databases than this run audits.
    fn is_part(&self) -> bool {
        let clusters = &self.config.cluster;
        let configured = clusters.get(&self.scope.cluster).is_some_and(|c| c.db.is_some());
        clusters.len() > 1 || (configured && !self.scope.db.is_empty())
    }

    /// The accepted review, and the accounts that were there then.
    fn load_baseline(&self, source: &str, redactor: &Redactor) -> Baseline {
        let dir = reviews_dir(self.scope.reviews.as_deref());
        let mut review = review::load_review(&dir, self.verb, source);
        let mut before = None;
        if let Ok(Some(r)) = &review
            && let Some(accounts) = r.accounts
        {
            match Before::load(&review::population_path(&dir, self.verb, source), accounts, redactor) {
                Ok(there) => before = Some(there),
                Err(e) => review = Err(e),
            }
        }
        Baseline { review, before, every: self.settings.review_every(self.scope) }
    }

    /// Gives the pack its name, and remembers its sum where whoever rewrites the pack does not write.
    fn publish_pack(&self, pack: Pack, signer: Option<&Signer>) -> Result<()> {
        let made = pack.close_pack(signer)?;
        let dir = reviews_dir(self.scope.reviews.as_deref());
        // After the pack has its name: remembered before, a crash in between would leave the sum of a pack that nobody
        // has.
        evidence::remember_pack(&dir, &made)?;
        log::info!("{}: SHA-256 of its manifest {}", made.pack, made.sha256);
        Ok(())
    }
}
