//! `list`: what the last run saw, and what is accepted of it.

use crate::baseline::HostBaseline;
use crate::cli;
use crate::memory::LastLook;
use crate::state::HostState;
use crate::subject::HostSubject;
use jiff::Timestamp;
use serde::Serialize;
use toban_core::stamp::iso_seconds;
use toban_core::{Error, Out, Record, Result};

/// One fact of the last run.
#[derive(Serialize)]
struct ListedFact<'a> {
    subject: HostSubject,
    key: &'a str,
    value: &'a str,
    text: &'a str,
    since: Option<Timestamp>,
    /// `accepted`, `changed` since, or `new`.
    state: &'static str,
    by: String,
}

impl Record for ListedFact<'_> {
    const SCHEMA: &'static str = "host-audit.fact/1";
    const HEAD: &'static [&'static str] = &["key", "state", "since", "fact", "by"];

    fn cells(&self) -> Vec<String> {
        let key = format!("{}/{}", self.subject.name(), self.key);
        let since = self.since.map_or_else(|| "-".into(), iso_seconds);
        vec![key, self.state.into(), since, self.text.into(), self.by.clone()]
    }
}

/// Runs the verb.
pub(crate) fn list_facts(args: &cli::List, out: &mut Out<'_>) -> Result<()> {
    let state = HostState::open(&args.place)?;
    let run = load_last(&state)?;
    let baseline = HostBaseline::load(&state.dir, &state.machine)?;
    let wanted = |s: &HostSubject| args.subjects.is_empty() || args.subjects.contains(s);
    for (subject, seen) in run.subjects.iter().filter(|(s, _)| wanted(s)) {
        let accepted = baseline.as_ref().and_then(|b| b.of(*subject));
        for fact in &seen.facts {
            let known = accepted.and_then(|a| a.get(&fact.key));
            let state = match known {
                None => "new",
                Some(known) if (&known.fact.value, known.fact.rank) == (&fact.value, fact.rank) => "accepted",
                Some(_) => "changed",
            };
            out.emit(&ListedFact {
                subject: *subject,
                key: &fact.key,
                value: &fact.value,
                text: &fact.text,
                since: fact.since.or_else(|| run.sighting(*subject, &fact.key).map(|s| s.since)),
                state,
                by: known.map(|k| k.by.describe()).unwrap_or_default(),
            })?;
        }
    }
    Ok(())
}

/// The last run of this host.
///
/// # Errors
/// When there is none, or it is another machine's.
pub(crate) fn load_last(state: &HostState) -> Result<LastLook> {
    let none = || Error::failed("this host was not looked at yet").hint("host-audit run");
    let run = LastLook::load(&state.dir)?.ok_or_else(none)?;
    match run.machine == state.machine {
        true => Ok(run),
        false => {
            Err(Error::failed(format!("the last run is of the machine {}", run.machine))
                .hint("host-audit run"))
        }
    }
}
