//! What is news: a pure judgement of the last notification and the present state.

use crate::config::NotifyOn;
use serde::{Deserialize, Serialize};

/// How a job stands: fine, or failed with this exit status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Standing {
    /// The last run did all it should.
    Fine,
    /// The last run ended with this exit status.
    Failed(u8),
}

impl Standing {
    /// The standing after a run that ended with `status`.
    pub(super) fn of(status: u8) -> Standing {
        if status == 0 { Standing::Fine } else { Standing::Failed(status) }
    }
}

/// What happened, to somebody who remembers the last notification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Event {
    /// It failed, and did not before.
    Failed,
    /// It failed before too, but otherwise.
    Changed,
    /// It failed as before.
    Still,
    /// It works again.
    Resolved,
    /// It worked, as before.
    Done,
}

/// The event that `now` is to somebody who was last notified of `previous` and wants to hear `on`; `None` when it is none.
pub(super) fn decide(previous: Option<Standing>, now: Standing, on: NotifyOn) -> Option<Event> {
    let event = match (previous, now) {
        (Some(Standing::Failed(a)), Standing::Failed(b)) if a == b => Event::Still,
        (Some(Standing::Failed(_)), Standing::Failed(_)) => Event::Changed,
        (_, Standing::Failed(_)) => Event::Failed,
        (Some(Standing::Failed(_)), Standing::Fine) => Event::Resolved,
        (_, Standing::Fine) => Event::Done,
    };
    let wanted = match on {
        NotifyOn::Always => true,
        NotifyOn::Failure => matches!(event, Event::Failed | Event::Changed | Event::Still),
        NotifyOn::Change => matches!(event, Event::Failed | Event::Changed | Event::Resolved),
    };
    wanted.then_some(event)
}

#[cfg(test)]
mod tests {
    use super::*;
    use Event::{Changed, Done, Failed, Resolved, Still};
    use NotifyOn::{Always, Change, Failure};

    #[test]
    fn every_step_under_every_rule() {
        let fine = Standing::Fine;
        let bad = Standing::Failed;
        // previous, now: what `change`, `failure` and `always` hear.
        let table = [
            (None, fine, None, None, Some(Done)),
            (None, bad(1), Some(Failed), Some(Failed), Some(Failed)),
            (Some(fine), fine, None, None, Some(Done)),
            (Some(fine), bad(75), Some(Failed), Some(Failed), Some(Failed)),
            (Some(bad(75)), bad(75), None, Some(Still), Some(Still)),
            (Some(bad(75)), bad(5), Some(Changed), Some(Changed), Some(Changed)),
            (Some(bad(5)), fine, Some(Resolved), None, Some(Resolved)),
        ];
        for (previous, now, change, failure, always) in table {
            for (on, wanted) in [(Change, change), (Failure, failure), (Always, always)] {
                assert_eq!(decide(previous, now, on), wanted, "{previous:?} -> {now:?} on {on:?}");
            }
        }
    }
}
