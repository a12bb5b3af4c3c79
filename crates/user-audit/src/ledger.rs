//! Where findings go: what is told in the end, the pack, counts; and the allow-list and the last review on their way.

use crate::allow::AllowList;
use crate::finding::{Access, Finding};
use crate::pack::{Facts, Pack};
use crate::population::{Before, Row};
use crate::redact::Redactor;
use crate::review::{self, Review};
use crate::rulebook;
use crate::spool::Spool;
use crate::totals::Totals;
use jiff::{SignedDuration, Timestamp};
use std::collections::{BTreeMap, BTreeSet};
use toban_core::{Error, Kind, Result, Severity};

/// What one database's audit writes into.
pub(crate) struct Ledger<'a> {
    pub(crate) source: String,
    pub(crate) redactor: &'a Redactor,
    pub(crate) allow: &'a mut AllowList,
    pub(crate) spool: &'a mut Spool,
    pub(crate) pack: Option<&'a mut Pack>,
    pub(crate) totals: &'a mut Totals,
    pub(crate) told: &'a mut Told,
    pub(crate) baseline: Baseline,
}

/// What the ledgers of one run write into, one after the other.
pub(crate) struct Books<'a> {
    pub(crate) redactor: &'a Redactor,
    pub(crate) allow: &'a mut AllowList,
    pub(crate) spool: &'a mut Spool,
    pub(crate) pack: Option<&'a mut Pack>,
    pub(crate) totals: &'a mut Totals,
    pub(crate) told: &'a mut Told,
}

impl Books<'_> {
    /// The ledger of `source`, compared with `baseline`.
    pub(crate) fn ledger(&mut self, baseline: Baseline, source: String) -> Ledger<'_> {
        Ledger {
            source,
            redactor: self.redactor,
            allow: self.allow,
            spool: self.spool,
            pack: self.pack.as_deref_mut(),
            totals: self.totals,
            told: self.told,
            baseline,
        }
    }
}

/// What this run is compared with, and how old that may be.
pub(crate) struct Baseline {
    pub(crate) review: Result<Option<Review>>,
    pub(crate) before: Option<Before>,
    pub(crate) every: SignedDuration,
}

/// Findings of whole clusters, which every database of theirs would tell again.
#[derive(Debug, Default)]
pub(crate) struct Told {
    cluster: Option<String>,
    first: BTreeMap<(String, String), String>,
    again: u64,
    by: String,
}

impl Told {
    fn already(&mut self, f: &Finding) -> bool {
        let of_database = f.id.ends_with("/pg_database_owner") || !rulebook::is_of_cluster(f.rule);
        let Some(cluster) = self.cluster.clone().filter(|_| !of_database) else { return false };
        let said = format!("{} {} {} {}", f.id, f.severity, f.finding, f.allowed.is_some());
        match self.first.get(&(cluster.clone(), said.clone())) {
            Some(source) if *source != f.source => {
                (self.again, self.by) = (self.again + 1, source.clone());
                true
            }
            Some(_) => false,
            None => {
                self.first.insert((cluster, said), f.source.clone());
                false
            }
        }
    }
}

impl Ledger<'_> {
    /// Takes one finding: asks the allow-list, keeps it, counts it.
    ///
    /// # Errors
    /// When it cannot be kept.
    pub(crate) fn add(&mut self, mut finding: Finding) -> Result<()> {
        debug_assert!(rulebook::knows(finding.rule), "{} is not in the rulebook", finding.rule);
        finding.source.clone_from(&self.source);
        self.allow.apply(&mut finding);
        let finding = self.redactor.finding(finding);
        if self.told.already(&finding) {
            return Ok(());
        }
        self.totals.count(&finding);
        self.spool.add(&finding)
    }

    /// Which server or file it is, asked as whom. A review of another database is none of this one.
    pub(crate) fn facts(&mut self, facts: &Facts) {
        if matches!(&self.baseline.review, Ok(Some(r)) if r.identity != facts.identity) {
            self.baseline.before = None;
        }
        if let Some(pack) = &mut self.pack {
            let auditor = self.redactor.name(&facts.auditor);
            pack.facts(&self.source, &Facts { auditor, ..facts.clone() });
        }
    }

    /// From here on: what every database of this cluster says is told once.
    pub(crate) fn of_cluster(&mut self, cluster: String) {
        (self.told.cluster, self.told.again) = (Some(cluster), 0);
    }

    /// Takes one account: into the pack, and compared with the review.
    ///
    /// # Errors
    /// When the pack cannot be written.
    pub(crate) fn account(&mut self, row: &Row) -> Result<()> {
        let row = row.shown(self.redactor);
        if let Some(before) = &mut self.baseline.before {
            before.compare(&row);
        }
        match &mut self.pack {
            Some(pack) => pack.account(&self.source, &row),
            None => Ok(()),
        }
    }

    /// Compares who holds which right with the last accepted review, and every account with it. Then every right
    /// is listed: at peace where the review accepted it, with its own weight where nobody has looked at it.
    ///
    /// # Errors
    /// When it cannot be kept.
    pub(crate) fn compare(&mut self, identity: &str, now: Timestamp, access: Vec<Access>) -> Result<()> {
        let (review, trouble) = match std::mem::replace(&mut self.baseline.review, Ok(None)) {
            Ok(Some(review)) if review.identity != identity => (None, Some(review.of_another())),
            Ok(review) => (review.map(|r| self.shown(r)), None),
            Err(e) => (None, Some(e.chain())),
        };
        let shown: Vec<Access> = access.iter().map(|a| self.redactor.access(a)).collect();
        let changes = review.as_ref().map(|r| review::changes(&r.access, &shown)).unwrap_or_default();
        let told: BTreeSet<String> =
            changes.iter().filter_map(|f| Some(f.key().rsplit_once('/')?.0.to_string())).collect();
        changes.into_iter().try_for_each(|f| self.add(f))?;
        if let Some(before) = self.baseline.before.take() {
            before.changes(&told, self.redactor)?.into_iter().try_for_each(|f| self.add(f))?;
        }
        self.add(review::basis(review.as_ref(), trouble, (now, self.baseline.every)))?;
        for (held, shown) in access.iter().zip(&shown) {
            self.add(review::holding(held, shown, review.as_ref()))?;
        }
        if let Some(pack) = &mut self.pack {
            pack.access(&self.source, identity, shown, review.as_ref());
        }
        Ok(())
    }

    /// Says what was told of the cluster already.
    ///
    /// # Errors
    /// When it cannot be kept.
    pub(crate) fn close(mut self) -> Result<()> {
        let n = std::mem::take(&mut self.told.again);
        self.told.cluster = None;
        if n == 0 {
            return Ok(());
        }
        let said = format!("{n} findings are the whole cluster's, and told under {}", self.told.by);
        self.add(Finding::new("server", "same-cluster", "server", Severity::Ok).says(said))
    }

    /// The review as this run may show it, and compare with what it shows.
    fn shown(&self, review: Review) -> Review {
        let access = review.access.iter().map(|a| self.redactor.access(a)).collect();
        Review { access, reviewer: self.redactor.text(&review.reviewer), ..review }
    }
}

/// A database that was not audited, as a finding.
pub(crate) fn not_audited(e: &Error) -> Finding {
    let advice = e.cure().unwrap_or_default().to_string();
    let kind = if e.kind() == Kind::Retry { "for now: " } else { "" };
    Finding::new("not-audited", "database", "the whole database", Severity::Unknown)
        .says(format!("{kind}{}", e.chain()))
        .advise(advice)
}
