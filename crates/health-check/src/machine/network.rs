//! Lines: bytes, errors and drops of the interfaces that are hardware, against their speed where it is known.

use super::Machine;
use crate::damping::TRAFFIC;
use crate::reading::{Measure, Reading, percent};
use crate::rules;
use crate::settings::NetworkSettings;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use toban_core::Severity;
use toban_core::out::bytes;

/// More lost packets than this part are a warning.
const LOST: f64 = 0.001;
/// Of fewer packets a share says nothing.
const ENOUGH: f64 = 1000.0;

/// Counters of one interface, and its speed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Interface {
    received: f64,
    sent: f64,
    packets: f64,
    /// Errors and drops.
    lost: f64,
    /// Bits a second; none where the driver does not know.
    speed: Option<f64>,
}

/// The interfaces of hardware, and bonds in the place of theirs.
pub(crate) fn read_interfaces(machine: &Machine) -> BTreeMap<String, Interface> {
    let text = machine.read_text("/proc/net/dev").unwrap_or_default();
    let lines = text.lines().filter_map(|line| line.split_once(':'));
    let interfaces = lines.filter_map(|(name, counters)| {
        let name = name.trim();
        let speed = Some(name).filter(|name| counts(machine, name)).map(|name| read_speed(machine, name))?;
        Some((name.to_string(), Interface { speed, ..parse_counters(counters)? }))
    });
    interfaces.collect()
}

fn parse_counters(text: &str) -> Option<Interface> {
    let fields: Vec<f64> = text.split_whitespace().map_while(|word| word.parse().ok()).collect();
    let field = |at: usize| fields.get(at).copied();
    let sum = |places: [usize; 2]| Some(field(places[0])? + field(places[1])?);
    Some(Interface {
        received: field(0)?,
        sent: field(8)?,
        packets: sum([1, 9])?,
        lost: sum([2, 3])? + sum([10, 11])?,
        speed: None,
    })
}

/// Bridges, tunnels and the like pass on what others count already.
fn counts(machine: &Machine, name: &str) -> bool {
    let has = |what: &str| machine.path(format!("/sys/class/net/{name}/{what}")).exists();
    has("bonding") || (has("device") && !has("master"))
}

fn read_speed(machine: &Machine, name: &str) -> Option<f64> {
    let base = format!("/sys/class/net/{name}");
    let slaves = machine.read_text(format!("{base}/bonding/slaves")).unwrap_or_default();
    let of = |name: &str| {
        let base = format!("/sys/class/net/{name}");
        let up = machine.read_text(format!("{base}/operstate")).is_ok_and(|state| state.trim() == "up");
        machine.read_number(format!("{base}/speed")).filter(|mbit| *mbit > 0.0 && up).map(|mbit| mbit * 1e6)
    };
    if slaves.trim().is_empty() {
        return of(name);
    }
    // What a bond can carry is what its active lines can; the driver's own number is often that of one.
    slaves.split_whitespace().filter_map(of).reduce(|a, b| a + b)
}

/// Two looks at all interfaces.
pub(crate) struct NetworkWindow<'a> {
    pub(crate) before: &'a BTreeMap<String, Interface>,
    pub(crate) after: &'a BTreeMap<String, Interface>,
    pub(crate) seconds: f64,
}

/// Each interface by itself.
pub(crate) fn judge_network(window: &NetworkWindow<'_>, settings: &NetworkSettings) -> Vec<Reading> {
    let judge = |(name, after): (&String, &Interface)| {
        let speed = settings.speed.get(name).map(|speed| speed.0).or(after.speed);
        let after = Interface { speed, ..*after };
        match window.before.get(name) {
            Some(before) => judge_interface(name, [before, &after], window.seconds, settings),
            // It came since: the next run has two looks.
            None => Vec::new(),
        }
    };
    window.after.iter().flat_map(judge).collect()
}

fn judge_interface(
    name: &str,
    [before, after]: [&Interface; 2],
    seconds: f64,
    settings: &NetworkSettings,
) -> Vec<Reading> {
    let (received, sent) = (after.received - before.received, after.sent - before.sent);
    let (packets, lost) = (after.packets - before.packets, after.lost - before.lost);
    if received < 0.0 || sent < 0.0 || packets < 0.0 || lost < 0.0 || seconds <= 0.0 {
        // A driver that was loaded anew, or a counter of 32 bits that wrapped.
        return vec![Reading::unknown(&rules::NETWORK, "its counters went back").about(name)];
    }
    let fastest = received.max(sent) / seconds;
    let rates =
        format!("{}/s in, {}/s out", bytes((received / seconds) as u64), bytes((sent / seconds) as u64));
    let traffic = match after.speed {
        Some(speed) => {
            let part = fastest * 8.0 / speed;
            let measure =
                Measure::new(part, "ratio").judged_by(settings.thresholds().limits(70.0, 85.0)).over(seconds);
            let text =
                format!("{} of {:.0} Mbit/s over {seconds:.0} s ({rates})", percent(part), speed / 1e6);
            Reading::of_measure(&rules::NETWORK, measure, text)
        }
        None => {
            let text = format!("{rates} over {seconds:.0} s; its speed is not known");
            Reading::of_measure(&rules::NETWORK, Measure::new(fastest, "B/s").over(seconds), text)
        }
    };
    let mut readings = vec![traffic.damped_by(&TRAFFIC).about(name)];
    if packets + lost >= ENOUGH {
        let part = lost / (packets + lost);
        let severity = if part > LOST { Severity::Warning } else { Severity::Ok };
        let text = format!("{lost} of {} packets in error or dropped", packets + lost);
        let reading = Reading::of_state(&rules::NETWORK_ERRORS, severity, text).damped_by(&TRAFFIC);
        readings.push(reading.about(name).with_measure(Measure::new(part, "ratio").over(seconds)));
    }
    readings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn severities(before: &Interface, after: &Interface) -> Vec<(&'static str, Severity)> {
        let readings = judge_interface("eth0", [before, after], 10.0, &NetworkSettings::default());
        readings.iter().map(|r| (r.rule.id, r.severity)).collect()
    }

    #[test]
    fn each_direction_has_the_whole_line() {
        let speed = Some(1e9);
        let zero = Interface { speed, ..Interface::default() };
        for (received, sent, severity) in [
            (0.875e9, 0.0, Severity::Warning),
            (0.0, 0.875e9, Severity::Warning),
            (0.625e9, 0.625e9, Severity::Ok),
            (1.25e9, 0.0, Severity::Critical),
        ] {
            let after = Interface { received, sent, ..zero };
            assert_eq!(severities(&zero, &after), [("network", severity)], "{received} {sent}");
        }
        let unknown = Interface { received: 1e12, ..Interface::default() };
        assert_eq!(severities(&Interface::default(), &unknown), [("network", Severity::Ok)]);
    }

    #[test]
    fn counters_that_went_back_judge_nothing_and_losses_are_a_share() {
        let high = Interface { received: 4e9, ..Interface::default() };
        assert_eq!(severities(&high, &Interface::default()), [("network", Severity::Unknown)]);
        let lossy = |lost| Interface { packets: 10_000.0, lost, ..Interface::default() };
        assert_eq!(severities(&Interface::default(), &lossy(20.0))[1], ("network-errors", Severity::Warning));
        assert_eq!(severities(&Interface::default(), &lossy(5.0))[1], ("network-errors", Severity::Ok));
    }
}
