//! Clocks, and the hours that timers elapse in. Pure.

use super::facts::Facts;
use super::{finding, judge_learned, rulebook};
use crate::units::Unit;
use toban_core::Severity;
use toban_core::check::Finding;
use toban_core::repo::CLOCK_TOLERANCE;

/// The clocks of the machine and of the server, and the zone of the timers.
pub(super) fn judge_time(facts: &Facts) -> Vec<Finding> {
    let mut findings = judge_learned("clock", &facts.machine.synchronised, |synchronised| {
        let wrong =
            (!synchronised).then(|| finding(&rulebook::CLOCK_UNSYNCHRONISED, Severity::Warning, "clock"));
        wrong.into_iter().collect()
    });
    let ahead = facts.server.as_ref().map_or(0.0, |s| s.ahead);
    if ahead.abs() > CLOCK_TOLERANCE.as_secs_f64() {
        let text = format!("the server's clock is {ahead:.0} s ahead of this machine's");
        findings.push(finding(&rulebook::CLOCK_APART, Severity::Critical, "clock").says(text));
    }
    let timers = facts.units.iter().flatten().filter(|u| u.is_timer() && u.is_on());
    for (unit, hour) in timers.filter_map(|u| Some((u, find_changed_hour(u, facts)?))) {
        let text = format!(
            "it elapses at {hour:02} by the local clock, an hour that daylight saving takes or doubles"
        );
        let advice = format!(
            "mkdir -p {0} && printf '[Timer]\\nOnCalendar=\\nOnCalendar={1} UTC\\n' > {0}/zone.conf && systemctl daemon-reload",
            format_args!("/etc/systemd/system/{}.d", unit.name),
            unit.calendars.first().map_or("", String::as_str),
        );
        findings
            .push(finding(&rulebook::TIMER_ZONE, Severity::Warning, &unit.name).says(text).advise(advice));
    }
    findings
}

/// The hour of a timer that elapses once a day or more seldom by the local clock, where the zone's changes are in it.
fn find_changed_hour(unit: &Unit, facts: &Facts) -> Option<i8> {
    let hour = |calendar: &String| {
        let mut words = calendar.split_whitespace().skip_while(|word| !word.contains(':'));
        let time = words.next()?;
        // A zone follows the time (systemd.time(7), "Calendar events").
        let hour = time.split(':').next()?.parse().ok().filter(|_| words.next().is_none());
        hour.filter(|hour| facts.machine.changed_hours.contains(hour))
    };
    unit.calendars.iter().find_map(hour)
}
