//! Recovery time and recovery point, against what was promised.

use crate::chart::format_seconds;
use crate::findings::{DrillFindings, severity};
use crate::live_server::{LiveServer, Loss};
use crate::plan::DrillPlan;
use crate::proof::Proof;
use crate::recovered::Recovered;
use crate::rulebook::{RECOVERY_POINT, RECOVERY_TIME};
use toban_core::check::Finding;
use toban_core::{Severity, out};

/// What was measured, and where that goes.
pub(crate) struct Objectives<'a> {
    pub(crate) plan: &'a DrillPlan,
    pub(crate) proof: &'a mut Proof,
    pub(crate) findings: &'a mut DrillFindings,
}

impl Objectives<'_> {
    /// From the begin of the restore to the first answer.
    pub(crate) fn judge_time(&mut self) {
        let objective = self.plan.rto.map(|t| t.as_secs_f64());
        self.proof.rto_seconds = objective;
        let Some(took) = self.proof.recovery_seconds else { return };
        let (fine, text) = match objective {
            Some(most) => {
                (took <= most, format!("{}; the objective is {}", format_seconds(took), format_seconds(most)))
            }
            None => (true, format_seconds(took)),
        };
        let finding = Finding::new(&RECOVERY_TIME, severity(fine)).says(text);
        self.findings.add(finding.with_perf(perf("recovery time", took, objective)));
    }

    /// What would have been lost when the drill began; without a live server, counted back from our own clock.
    pub(crate) fn judge_point(&mut self, live: Option<&LiveServer>, recovered: &Recovered) {
        let since = |at| self.proof.started.duration_since(at).as_secs_f64().max(0.0);
        let loss = match live {
            Some(live) => live.measure_loss(recovered),
            None => recovered.point.map(|at| Loss::AtMost(since(at))),
        };
        let behind = live.map_or(String::new(), |l| {
            format!("; {} of WAL behind the live server", out::bytes(l.lsn.0.saturating_sub(recovered.lsn.0)))
        });
        self.proof.loss_seconds = loss.map(Loss::seconds);
        self.proof.loss_is_exact = loss.is_some_and(|l| !matches!(l, Loss::AtMost(_)));
        self.proof.rpo_seconds = self.plan.rpo.map(|t| t.as_secs_f64());
        let lost = loss.map_or("what was lost is not known".into(), Loss::describe) + &behind;
        let objective = self.proof.rpo_seconds;
        let (severity, text) = match (self.proof.loss_seconds, objective) {
            (Some(seconds), Some(most)) => {
                (severity(seconds <= most), format!("{lost}; the objective is {}", format_seconds(most)))
            }
            (None, Some(_)) => (Severity::Unknown, lost),
            (_, None) => (Severity::Ok, lost),
        };
        let finding = Finding::new(&RECOVERY_POINT, severity).says(text);
        self.findings.add(match self.proof.loss_seconds {
            Some(lost) => finding.with_perf(perf("recovery point", lost, objective)),
            None => finding,
        });
    }
}

/// Seconds, with the objective as the critical threshold.
fn perf(label: &str, seconds: f64, objective: Option<f64>) -> String {
    // 'label'=value[UOM];[warn];[crit];[min];[max], a label with a space in single quotes. Without an objective
    // nothing stands where the threshold would, and semicolons at the end may be left out (Monitoring Plugins
    // Development Guidelines, "Performance data").
    format!("'{label}'={seconds:.1}s;;{}", objective.map(|s| s.to_string()).unwrap_or_default())
}

impl Loss {
    fn seconds(self) -> f64 {
        match self {
            Loss::Nothing => 0.0,
            Loss::Exactly(seconds) | Loss::AtMost(seconds) => seconds,
        }
    }

    fn describe(self) -> String {
        match self {
            Loss::Nothing => "nothing was lost".into(),
            Loss::Exactly(seconds) => format!("{} lost", format_seconds(seconds)),
            Loss::AtMost(seconds) => format!("at most {} lost", format_seconds(seconds)),
        }
    }
}
