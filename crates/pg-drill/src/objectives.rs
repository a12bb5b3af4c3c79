//! Recovery time and recovery point, against what was promised.

use crate::chart::time;
use crate::finding::Findings;
use crate::live_server::{Live, Loss};
use crate::plan::Plan;
use crate::proof::Proof;
use crate::recovered::Recovered;
use toban_core::out;

/// What was measured, and where that goes.
pub(crate) struct Objectives<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) proof: &'a mut Proof,
    pub(crate) findings: &'a mut Findings,
}

impl Objectives<'_> {
    /// From the begin of the restore to the first answer.
    pub(crate) fn time(&mut self) {
        let objective = self.plan.rto.map(|t| t.as_secs_f64());
        self.proof.rto_seconds = objective;
        let Some(took) = self.proof.recovery_seconds else { return };
        match objective {
            Some(most) => {
                let text = format!("{}; the objective is {}", time(took), time(most));
                self.findings.judge("recovery time", took <= most, text);
            }
            None => self.findings.passed("recovery time", time(took)),
        }
    }

    /// What would have been lost when the drill began; without a live server, counted back from our own clock.
    pub(crate) fn point(&mut self, live: Option<&Live>, recovered: &Recovered) {
        let since = |at| self.proof.started.duration_since(at).as_secs_f64().max(0.0);
        let loss = match live {
            Some(live) => live.loss(recovered),
            None => recovered.point.map(|at| Loss::AtMost(since(at))),
        };
        let behind = live.map_or(String::new(), |l| {
            format!("; {} of WAL behind the live server", out::bytes(l.lsn.0.saturating_sub(recovered.lsn.0)))
        });
        self.proof.loss_seconds = loss.map(Loss::seconds);
        self.proof.loss_is_exact = loss.is_some_and(|l| !matches!(l, Loss::AtMost(_)));
        self.proof.rpo_seconds = self.plan.rpo.map(|t| t.as_secs_f64());
        let said = loss.map_or("what was lost is not known".into(), Loss::shown) + &behind;
        match (self.proof.loss_seconds, self.proof.rpo_seconds) {
            (Some(lost), Some(most)) => {
                let text = format!("{said}; the objective is {}", time(most));
                self.findings.judge("recovery point", lost <= most, text);
            }
            (None, Some(_)) => self.findings.unknown("recovery point", said),
            (_, None) => self.findings.passed("recovery point", said),
        }
    }
}

impl Loss {
    fn seconds(self) -> f64 {
        match self {
            Loss::Nothing => 0.0,
            Loss::Exactly(seconds) | Loss::AtMost(seconds) => seconds,
        }
    }

    fn shown(self) -> String {
        match self {
            Loss::Nothing => "nothing was lost".into(),
            Loss::Exactly(seconds) => format!("{} lost", time(seconds)),
            Loss::AtMost(seconds) => format!("at most {} lost", time(seconds)),
        }
    }
}
