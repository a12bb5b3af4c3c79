//! Expiry: of the leaf by the thresholds, of the others by the rule.

use super::Question;
use crate::facts::{Cert, span};
use crate::finding::Finding;
use crate::threshold::{Thresholds, left};
use toban_core::Severity;

const DAY: i64 = 86_400;
/// A root that leaves within this time is told of.
const ROOT_LEAVES: i64 = 90 * DAY;
/// A wrong local clock is likelier than a certificate that begins within this time.
const CLOCK: i64 = DAY;

/// The leaf's own time.
pub(super) fn leaf(cert: &Cert, q: &Question<'_>) -> Option<Finding> {
    let remaining = cert.not_after.since(q.at);
    if remaining < 0 {
        let says = format!("expired {}", left(remaining, cert.not_after));
        return Some(Finding::critical("expired", says).advise("renew it"));
    }
    if cert.not_before > q.at {
        return Some(not_yet(cert, q));
    }
    let says = format!("expires {}", left(remaining, cert.not_after));
    match q.rules.thresholds.judge(cert.life(), remaining) {
        Severity::Ok => None,
        severity => Some(Finding::new("expires", severity, says).advise("renew it")),
    }
}

fn not_yet(cert: &Cert, q: &Question<'_>) -> Finding {
    let wait = cert.not_before.since(q.at);
    let says = format!("becomes valid in {}, on {}", span(wait), cert.not_before);
    let finding = Finding::critical("not-yet-valid", says);
    if wait < CLOCK { finding.advise("is the local clock right?") } else { finding }
}

/// A certificate between leaf and root that clients use.
pub(super) fn member(cert: &Cert, q: &Question<'_>) -> Option<Finding> {
    let remaining = cert.not_after.since(q.at);
    let rule = Thresholds::new(None, None).ok()?;
    match rule.judge(cert.life(), remaining) {
        _ if remaining < 0 => None,
        Severity::Ok => None,
        severity => {
            let says = format!("{} of the chain expires {}", cert.title(), left(remaining, cert.not_after));
            Some(Finding::new("chain-expires", severity, says))
        }
    }
}

/// The root at the end of the path.
pub(super) fn root(cert: &Cert, q: &Question<'_>) -> Option<Finding> {
    let remaining = cert.not_after.since(q.at);
    let when = left(remaining, cert.not_after);
    match remaining {
        r if r < 0 => {
            let says = format!("the root {} expired {when}", cert.title());
            Some(Finding::warning("root-expired", says).advise("some clients refuse it: plan the new root"))
        }
        r if r < ROOT_LEAVES => {
            Some(Finding::warning("root-expires", format!("the root {} expires {when}", cert.title())))
        }
        _ => None,
    }
}

/// What browsers accept of public authorities, by the day the validity begins (Baseline Requirements, 6.3.2).
const LIVES: [(i64, i64); 4] = [
    (1_868_227_200, 47),  // 2029-03-15
    (1_805_068_800, 100), // 2027-03-15
    (1_773_532_800, 200), // 2026-03-15
    (1_598_918_400, 398), // 2020-09-01
];

/// A life longer than browsers accept.
pub(super) fn life(cert: &Cert) -> Option<Finding> {
    let (_, days) = LIVES.iter().find(|(from, _)| cert.not_before.0 >= *from)?;
    // Both ends count, so a life of 90 d is 7 775 999 s + 1.
    (cert.life() + 1 > days * DAY).then(|| {
        let says =
            format!("lives {}, and browsers accept {days} d from public authorities", span(cert.life()));
        Finding::warning("life-too-long", says)
    })
}
