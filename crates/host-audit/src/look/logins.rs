//! Logins: who came from where, and whether a password was guessed.

use crate::fact::{HostFact, SubjectReport};
use crate::finding::HostFinding;
use crate::look::auth_history::{AuthHistory, LoginPlace, Occurrence};
use crate::rules;
use crate::subject::HostSubject;
use toban_core::Severity;
use toban_core::stamp::iso_seconds;

/// Facts of every person and place; findings of what the files themselves say.
pub(crate) fn judge_logins(history: &AuthHistory, report: &mut SubjectReport) {
    report.gaps.extend(history.gaps.iter().cloned());
    let sources: Vec<&str> = history.sources.iter().map(String::as_str).collect();
    report.looked_at = format!("logins of {} places, from {}", history.logins.len(), sources.join(", "));
    report.facts.extend(history.logins.iter().map(|(place, seen)| login_fact(place, seen)));
    for guess in &history.guessed {
        let day = guess.at.map(|at| iso_seconds(at)[..10].to_string()).unwrap_or_default();
        let key = format!("guessed/{}/{}/{day}", guess.user, guess.address);
        let said = format!(
            "{} failures from {}, then a login as {} with a password",
            guess.failures, guess.address, guess.user
        );
        report.facts.push(HostFact::new(key, "").says(said).weighs(Severity::Critical).happened(guess.at));
    }
    report.facts.extend(history.unclean.iter().map(|at| {
        let said = format!("the machine stopped without a shutdown before the boot of {}", iso_seconds(*at));
        HostFact::new(format!("unclean-stop/{}", iso_seconds(*at)), "").says(said).happened(Some(*at))
    }));
    for (path, bytes) in &history.damaged {
        let finding = HostFinding::new(HostSubject::Logins, &rules::DAMAGED_RECORDS, path, Severity::Warning);
        report.findings.push(finding.says(format!("{bytes} bytes are no record")));
    }
    if history.implausible > 0 {
        let finding =
            HostFinding::new(HostSubject::Logins, &rules::IMPLAUSIBLE_TIME, "times", Severity::Warning);
        report.findings.push(
            finding
                .says(format!("{} records have a time before 1970 or after tomorrow", history.implausible)),
        );
    }
}

fn login_fact(place: &LoginPlace, seen: &Occurrence) -> HostFact {
    let join = |set: &std::collections::BTreeSet<String>| {
        set.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
    };
    let by = if seen.methods.is_empty() { String::new() } else { format!(" by {}", join(&seen.methods)) };
    let local = place.network == "local";
    // Root over the network is nobody: which person it was, no log says.
    let weight = if place.user == "root" && !local { Severity::Critical } else { Severity::Warning };
    let times = if seen.times == 1 { "once".to_string() } else { format!("{} times", seen.times) };
    HostFact::new(format!("{}/{}", place.user, place.network), "")
        .says(format!(
            "{} from {} {times}{by} ({})",
            place.user,
            place.network.replace('-', "/"),
            join(&seen.sources)
        ))
        .weighs(weight)
        .happened(seen.last)
}
