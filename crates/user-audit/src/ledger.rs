//! Where findings go: the `[[accept]]` entries, the last review, counts, the pack, and what is told in the end.

use crate::finding::{Access, AuditFinding};
use crate::pack::{AuditFacts, Pack};
use crate::population::{Before, Row};
use crate::redact::Redactor;
use crate::review::{self as reviews, Review};
use crate::rulebook::{self, review, roles};
use crate::spool::Spool;
use crate::totals::AuditTotals;
use jiff::{SignedDuration, Timestamp};
use std::collections::{BTreeMap, BTreeSet};
use toban_core::check::AcceptList;
use toban_core::{Error, Kind, Out, Result, Severity};

/// What a run over all databases writes into.
pub(crate) struct Books {
    pub(crate) redactor: Redactor,
    pub(crate) accepted: AcceptList,
    pub(crate) pack: Option<Pack>,
    pub(crate) totals: AuditTotals,
    spool: Spool,
    told: ClusterFindings,
}

impl Books {
    /// Empty ones.
    pub(crate) fn new(redactor: Redactor, accepted: AcceptList, pack: Option<Pack>) -> Books {
        let (totals, spool, told) = Default::default();
        Books { redactor, accepted, pack, totals, spool, told }
    }

    /// The ledger of `source`, compared with `baseline`.
    pub(crate) fn open_ledger(&mut self, source: String, baseline: Baseline) -> Ledger<'_> {
        Ledger { books: self, source, baseline }
    }

    /// Adds what became of the `[[accept]]` entries; only of a run in which every database was audited.
    ///
    /// # Errors
    /// When it cannot be kept.
    pub(crate) fn add_leftovers(&mut self, source: &str) -> Result<()> {
        let left = self.accepted.leftovers();
        left.into_iter().try_for_each(|f| self.add(source, f.into()))
    }

    fn add(&mut self, source: &str, mut finding: AuditFinding) -> Result<()> {
        finding.base.source = source.into();
        // Before the redaction, as entries name addresses; and before the counts, as what is accepted counts as OK.
        self.accepted.apply(&mut finding.base);
        let finding = self.redactor.redact_finding(finding);
        // After the redaction: what two databases say of one role must be the same text to be told once.
        if self.told.is_known(&finding) {
            return Ok(());
        }
        self.totals.count_finding(&finding);
        self.spool.add(&finding)
    }

    /// Writes every finding to the pack and to `out`, the gravest first; gives the counts, and the pack to be published.
    ///
    /// # Errors
    /// When any of it cannot be written.
    pub(crate) fn close(
        self,
        parameters: &serde_json::Value,
        mut out: Option<&mut Out<'_>>,
    ) -> Result<(AuditTotals, Option<Pack>)> {
        let Books { mut pack, totals, spool, .. } = self;
        if let Some(pack) = &mut pack {
            pack.write_summary(&totals, parameters)?;
        }
        spool.replay_findings(|finding| {
            pack.as_mut().map_or(Ok(()), |pack| pack.add_finding(finding))?;
            out.as_mut().map_or(Ok(()), |out| out.emit(finding))
        })?;
        Ok((totals, pack))
    }
}

/// What one database's audit writes into.
pub(crate) struct Ledger<'a> {
    books: &'a mut Books,
    source: String,
    baseline: Baseline,
}

/// What this run is compared with, and how old that may be.
pub(crate) struct Baseline {
    pub(crate) review: Result<Option<Review>>,
    pub(crate) before: Option<Before>,
    pub(crate) every: SignedDuration,
}

/// Findings of whole clusters, which every database of theirs would tell again.
#[derive(Debug, Default)]
struct ClusterFindings {
    /// The cluster of the database that is being audited.
    cluster: Option<String>,
    /// Under which source each was told first.
    first: BTreeMap<(String, String), String>,
    /// How many of this database were told before, and under which source the last of them was.
    known: u64,
    known_under: String,
}

impl ClusterFindings {
    fn is_known(&mut self, f: &AuditFinding) -> bool {
        let of_database = f.base.key.ends_with("/pg_database_owner") || !rulebook::is_of_cluster(f.base.rule);
        let Some(cluster) = self.cluster.clone().filter(|_| !of_database) else { return false };
        let base = &f.base;
        let said =
            format!("{} {} {} {} {}", f.id(), base.key, base.severity, base.text, base.accepted.is_some());
        match self.first.get(&(cluster.clone(), said.clone())) {
            // Word for word what another database of the cluster said: told once, and counted here.
            Some(source) if *source != base.source => {
                (self.known, self.known_under) = (self.known + 1, source.clone());
                true
            }
            Some(_) => false,
            None => {
                self.first.insert((cluster, said), base.source.clone());
                false
            }
        }
    }
}

impl Ledger<'_> {
    /// Takes one finding: asks the `[[accept]]` entries, keeps it, counts it.
    ///
    /// # Errors
    /// When it cannot be kept.
    pub(crate) fn add(&mut self, finding: AuditFinding) -> Result<()> {
        self.books.add(&self.source, finding)
    }

    /// Which server or file it is, asked as whom. A review of another database is none of this one.
    pub(crate) fn set_facts(&mut self, facts: &AuditFacts) {
        // The name of a database outlives it: after a restore into another cluster the oids of the review mean other roles.
        if matches!(&self.baseline.review, Ok(Some(r)) if r.identity != facts.identity) {
            self.baseline.before = None;
        }
        if let Some(pack) = &mut self.books.pack {
            let auditor = self.books.redactor.redact_name(&facts.auditor);
            pack.add_facts(&self.source, &AuditFacts { auditor, ..facts.clone() });
        }
    }

    /// From here on: what every database of this cluster says is told once.
    pub(crate) fn of_cluster(&mut self, cluster: String) {
        (self.books.told.cluster, self.books.told.known) = (Some(cluster), 0);
    }

    /// Takes one account: into the pack, and compared with the review.
    ///
    /// # Errors
    /// When the pack cannot be written.
    pub(crate) fn add_account(&mut self, row: &Row) -> Result<()> {
        let row = row.redact_with(&self.books.redactor);
        if let Some(before) = &mut self.baseline.before {
            before.compare_account(&row);
        }
        match &mut self.books.pack {
            Some(pack) => pack.add_account(&self.source, &row),
            None => Ok(()),
        }
    }

    /// Compares who holds which right with the last accepted review, and every account with it. Then every right
    /// is listed: OK where the review accepted it, with its own weight where nobody has looked at it.
    ///
    /// # Errors
    /// When it cannot be kept.
    pub(crate) fn compare_with_review(
        &mut self,
        identity: &str,
        now: Timestamp,
        access: Vec<Access>,
    ) -> Result<()> {
        let (review, unusable) = match std::mem::replace(&mut self.baseline.review, Ok(None)) {
            // A database that was restored or made anew has other numbers for its roles: comparing them would call
            // strangers known.
            Ok(Some(review)) if review.identity != identity => (None, Some(review.of_another())),
            Ok(review) => (review.map(|r| self.redact_review(r)), None),
            Err(e) => (None, Some(e.chain())),
        };
        let shown: Vec<Access> = access.iter().map(|a| self.books.redactor.redact_access(a)).collect();
        let changes = review.as_ref().map(|r| reviews::compare_access(&r.access, &shown)).unwrap_or_default();
        let told: BTreeSet<String> =
            changes.iter().filter_map(|f| Some(f.base.key.rsplit_once('/')?.0.to_string())).collect();
        // Changes before holdings: what is new is told first, and the lists after it are what it is new against.
        changes.into_iter().try_for_each(|f| self.add(f))?;
        if let Some(before) = self.baseline.before.take() {
            before.list_changes(&told, &self.books.redactor)?.into_iter().try_for_each(|f| self.add(f))?;
        }
        self.add(reviews::review_finding(review.as_ref(), unusable, now, self.baseline.every))?;
        for (held, shown) in access.iter().zip(&shown) {
            self.add(reviews::holding_finding(held, shown, review.as_ref()))?;
        }
        if let Some(pack) = &mut self.books.pack {
            pack.add_access(&self.source, identity, shown, review.as_ref());
        }
        Ok(())
    }

    /// Says what was told of the cluster already.
    ///
    /// # Errors
    /// When it cannot be kept.
    pub(crate) fn close(mut self) -> Result<()> {
        let n = std::mem::take(&mut self.books.told.known);
        self.books.told.cluster = None;
        if n == 0 {
            return Ok(());
        }
        let said =
            format!("{n} findings are the whole cluster's, and told under {}", self.books.told.known_under);
        self.add(AuditFinding::new(&roles::SERVER, "same-cluster", "server", Severity::Ok).says(said))
    }

    /// The review as this run may show it, and compare with what it shows.
    fn redact_review(&self, review: Review) -> Review {
        let access = review.access.iter().map(|a| self.books.redactor.redact_access(a)).collect();
        Review { access, reviewer: self.books.redactor.redact_text(&review.reviewer), ..review }
    }
}

/// A database that was not audited, as a finding.
pub(crate) fn not_audited(e: &Error) -> AuditFinding {
    let kind = if e.kind() == Kind::Retry { "for now: " } else { "" };
    let finding =
        AuditFinding::new(&review::NOT_AUDITED, "database", "the whole database", Severity::Unknown)
            .says(format!("{kind}{}", e.chain()));
    match e.find_hint() {
        Some(cure) => finding.advise(cure),
        None => finding,
    }
}
