//! Units of systemd that have failed.

use crate::fact::SubjectReport;
use crate::finding::HostFinding;
use crate::host::{HostView, ProgramQuestion, Sight};
use crate::rules;
use crate::subject::HostSubject;
use toban_core::Severity;

/// A unit, and how it stands.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct FailedUnit {
    name: String,
    text: String,
}

/// What systemd says; None where it does not run.
pub(crate) fn read_units(host: &HostView) -> Sight<Option<Vec<FailedUnit>>> {
    // As sd_booted(3) knows it.
    if !host.path("/run/systemd/system").is_dir() {
        return Ok(None);
    }
    let command =
        ["systemctl", "list-units", "--failed", "--all", "--plain", "--no-legend", "--no-pager", "--full"];
    let text = host.ask(&ProgramQuestion { label: "systemctl-failed", command: &command, also: &[] })?;
    Ok(Some(parse_units(&text)))
}

fn parse_units(text: &str) -> Vec<FailedUnit> {
    let unit = |line: &str| {
        let words: Vec<&str> = line.trim_start_matches(['●', ' ']).split_whitespace().collect();
        let name = words.first()?.to_string();
        Some(FailedUnit { name, text: words[1..].join(" ") })
    };
    text.lines().filter_map(unit).collect()
}

/// One finding for each.
pub(crate) fn judge_units(units: Option<&Vec<FailedUnit>>, report: &mut SubjectReport) {
    let Some(units) = units else {
        report.not_applicable = Some("systemd does not run here".into());
        return;
    };
    report.looked_at = format!("{} failed units", units.len());
    report.findings.extend(units.iter().map(|unit| {
        HostFinding::new(HostSubject::Units, &rules::FAILED_UNIT, &unit.name, Severity::Warning)
            .says(format!("it has failed: {}", unit.text))
            .advise(format!("systemctl status {0}; then: systemctl reset-failed {0}", unit.name))
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_first() {
        let units = parse_units(
            "nginx.service loaded failed failed A web server\n● x.timer not-found failed failed x\n\n",
        );
        assert_eq!(units.iter().map(|u| u.name.as_str()).collect::<Vec<_>>(), ["nginx.service", "x.timer"]);
        assert_eq!(units[0].text, "loaded failed failed A web server");
    }
}
